//! The sources of log records: what is said of each, the last word alone.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::log_source::{LogLimits, LogRetention, LogSourceEvent, PersonalFields};
use domain::{Event, Position, Recorded};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, QueryBuilder, Row};

use super::NAME;
use crate::latest::{Latest, keep_last, last, said_at};
use crate::upsert::{Column, Rows, Said, in_key_order};
use crate::{Page, ReadError, Snapshot, Target};

/// What changed about a source.
#[derive(Debug, Default, PartialEq)]
pub(super) struct SourceChange {
    registered: Option<Latest<Registered>>,
    limits: Option<Latest<LogLimits>>,
    retention: Option<Latest<LogRetention>>,
    personal_fields: Option<Latest<PersonalFields>>,
    /// Why nothing is taken; `None` inside while records are.
    paused: Option<Latest<Option<String>>>,
    version: i64,
    position: i64,
}

#[derive(Debug, PartialEq)]
struct Registered {
    at: DateTime<Utc>,
    on_first_batch: bool,
}

/// A source.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSourceRow {
    /// What it is called.
    pub id: String,
    /// Known because its first batch came, not because somebody asked for it.
    pub on_first_batch: bool,
    /// Since when it is known (recorded time).
    pub registered_at: DateTime<Utc>,
    /// What its records may be.
    pub limits: LogLimits,
    /// How long they are kept.
    pub retention: LogRetention,
    /// What in them tells who somebody is.
    pub personal_fields: PersonalFields,
    /// Why nothing is taken, if that is so.
    pub paused: Option<String>,
    /// How many of its records can be found.
    pub records: i64,
    /// When the last of them happened.
    pub last_at: Option<DateTime<Utc>>,
    /// Version of its stream.
    pub stream_version: i64,
    /// Position of its stream's last event.
    pub position: Position,
}

const SOURCES: Rows = Rows {
    key: &[("source_id", "text")],
    said: &[
        Said {
            position: "registered_pos",
            columns: &[
                ("on_first_batch", "boolean"),
                ("registered_at", "timestamptz"),
            ],
        },
        Said {
            position: "limits_pos",
            columns: &[("limits", "jsonb")],
        },
        Said {
            position: "retention_pos",
            columns: &[("retention", "jsonb")],
        },
        Said {
            position: "personal_pos",
            columns: &[("personal_fields", "jsonb")],
        },
        Said {
            position: "paused_pos",
            columns: &[("paused", "text")],
        },
    ],
    sums: &[],
    greatest: &["stream_version", "position"],
};

impl SourceChange {
    pub(super) fn hear(&mut self, event: &Recorded<Event>, what: &LogSourceEvent) {
        let position = event.position.0;
        match what {
            LogSourceEvent::LogSourceRegistered(e) => {
                let registered = Registered {
                    at: event.recorded_at,
                    on_first_batch: e.on_first_batch,
                };
                keep_last(&mut self.registered, said(position, registered));
                keep_last(&mut self.limits, said(position, e.limits));
                keep_last(&mut self.retention, said(position, e.retention.clone()));
                let fields = said(position, e.personal_fields.clone());
                keep_last(&mut self.personal_fields, fields);
            }
            LogSourceEvent::LogLimitsSet(e) => {
                keep_last(&mut self.limits, said(position, e.limits));
            }
            LogSourceEvent::LogRetentionSet(e) => {
                keep_last(&mut self.retention, said(position, e.retention.clone()));
            }
            LogSourceEvent::PersonalFieldsSet(e) => {
                let fields = said(position, e.personal_fields.clone());
                keep_last(&mut self.personal_fields, fields);
            }
            LogSourceEvent::LogSourcePaused(e) => {
                keep_last(&mut self.paused, said(position, Some(e.reason.clone())));
            }
            LogSourceEvent::LogSourceResumed(_) => {
                keep_last(&mut self.paused, said(position, None));
            }
        }
        self.version = self.version.max(event.sequence);
        self.position = self.position.max(position);
    }

    pub(super) fn merge(&mut self, from: SourceChange) {
        keep_last(&mut self.registered, from.registered);
        keep_last(&mut self.limits, from.limits);
        keep_last(&mut self.retention, from.retention);
        keep_last(&mut self.personal_fields, from.personal_fields);
        keep_last(&mut self.paused, from.paused);
        self.version = self.version.max(from.version);
        self.position = self.position.max(from.position);
    }
}

fn said<T>(position: i64, value: T) -> Option<Latest<T>> {
    Some(Latest { position, value })
}

pub(super) async fn write(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<String, SourceChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    sqlx::query(&SOURCES.upsert(&target.table("log_sources")))
        .bind(target.tenant)
        .bind(column.keys())
        .bind(column.of(|c| last(&c.registered).map(|r| r.on_first_batch)))
        .bind(column.of(|c| last(&c.registered).map(|r| r.at)))
        .bind(column.of(|c| said_at(&c.registered)))
        .bind(column.of(|c| last(&c.limits).copied().map(Json)))
        .bind(column.of(|c| said_at(&c.limits)))
        .bind(column.of(|c| last(&c.retention).cloned().map(Json)))
        .bind(column.of(|c| said_at(&c.retention)))
        .bind(column.of(|c| last(&c.personal_fields).cloned().map(Json)))
        .bind(column.of(|c| said_at(&c.personal_fields)))
        .bind(column.of(|c| last(&c.paused).cloned().flatten()))
        .bind(column.of(|c| said_at(&c.paused)))
        .bind(column.of(|c| c.version))
        .bind(column.of(|c| c.position))
        .execute(conn)
        .await?;
    Ok(())
}

/// One source by what it is called.
pub async fn log_source(snap: &mut Snapshot, id: &str) -> Result<Option<LogSourceRow>, ReadError> {
    let mut sql = select(snap)?;
    sql.push(" and s.source_id = ").push_bind(id);
    Ok(read(snap, sql).await?.pop())
}

/// Sources by ascending id, those after `after`, at most `first`.
pub async fn log_sources(
    snap: &mut Snapshot,
    after: Option<&str>,
    first: u32,
) -> Result<Page<LogSourceRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select(snap)?;
    if let Some(after) = after {
        sql.push(" and s.source_id > ").push_bind(after);
    }
    sql.push(" order by s.source_id limit ")
        .push_bind(i64::from(first) + 1);
    Ok(Page::cut(read(snap, sql).await?, first, as_of))
}

/// All sources together.
#[derive(Clone, Debug, PartialEq)]
pub struct LogTotals {
    /// How many are known.
    pub sources: i64,
    /// From how many nothing is taken.
    pub paused: i64,
    /// How many records can be found.
    pub records: i64,
    /// When the last of them happened.
    pub last_at: Option<DateTime<Utc>>,
    /// The log position it is as of.
    pub as_of: Position,
}

/// What all sources come to.
pub async fn log_totals(snap: &mut Snapshot) -> Result<LogTotals, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let (sources, days) = (
        snap.name(NAME, "log_sources")?,
        snap.name(NAME, "log_days")?,
    );
    let statement = format!(
        "select s.known, s.paused, d.records, d.last_at
         from (select count(*) as known, count(paused) as paused
               from {sources} where tenant = $1 and registered_pos > 0) s,
              (select coalesce(sum(records), 0)::bigint as records, max(last_at) as last_at
               from {days} where tenant = $1) d"
    );
    let tenant = snap.tenant().to_owned();
    let row = sqlx::query(&statement)
        .bind(tenant)
        .fetch_one(snap.connection())
        .await?;
    Ok(LogTotals {
        sources: row.try_get("known")?,
        paused: row.try_get("paused")?,
        records: row.try_get("records")?,
        last_at: row.try_get("last_at")?,
        as_of,
    })
}

fn select<'q>(snap: &Snapshot) -> Result<QueryBuilder<'q, sqlx::Postgres>, ReadError> {
    let (sources, days) = (
        snap.name(NAME, "log_sources")?,
        snap.name(NAME, "log_days")?,
    );
    // All sources' days are added up once: a page of sources would read them once for each.
    let mut sql = QueryBuilder::new(format!(
        "select s.*, coalesce(d.records, 0) as records, d.last_at from {sources} s left join (
             select source_id, sum(records)::bigint as records, max(last_at) as last_at
             from {days} where tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    sql.push(
        " group by source_id) d on d.source_id = s.source_id
         where s.registered_pos > 0 and s.tenant = ",
    );
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

async fn read(
    snap: &mut Snapshot,
    mut sql: QueryBuilder<'_, sqlx::Postgres>,
) -> Result<Vec<LogSourceRow>, ReadError> {
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let read = |row: &PgRow| {
        let Json(limits) = row.try_get("limits")?;
        let Json(retention) = row.try_get("retention")?;
        let Json(personal_fields) = row.try_get("personal_fields")?;
        Ok(LogSourceRow {
            id: row.try_get("source_id")?,
            on_first_batch: row.try_get("on_first_batch")?,
            registered_at: row.try_get("registered_at")?,
            limits,
            retention,
            personal_fields,
            paused: row.try_get("paused")?,
            records: row.try_get("records")?,
            last_at: row.try_get("last_at")?,
            stream_version: row.try_get("stream_version")?,
            position: Position(row.try_get("position")?),
        })
    };
    let rows: Result<_, sqlx::Error> = rows.iter().map(read).collect();
    Ok(rows?)
}
