//! Reading objectives: as they are, or as they were known at a position.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::Position;
use domain::slo::{BurnRates, BurnRule, Objective, Sli};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

use super::NAME;
use crate::columns::number;
use crate::{Page, ReadError, Snapshot};

/// An objective.
#[derive(Clone, Debug, PartialEq)]
pub struct SloRow {
    /// Its id.
    pub id: String,
    /// What it says.
    pub objective: Objective,
    /// The number of that: 1 for what it said first.
    pub revision: u32,
    /// When it was defined (recorded time).
    pub defined_at: DateTime<Utc>,
    /// Since when it says this.
    pub revised_at: DateTime<Utc>,
    /// Position of the event that says this.
    pub revised_position: Position,
    /// Since when it is measured no more; `None` while it is.
    pub retired_at: Option<DateTime<Utc>>,
    /// Why.
    pub retired_reason: Option<String>,
    /// Alerts that are up, by the length of their rules' spans.
    pub alerts: Vec<AlertRow>,
    /// Version of its stream.
    pub stream_version: i64,
    /// Position of its last event.
    pub position: Position,
}

/// An alert that is up.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRow {
    /// By which rule.
    pub rule: BurnRule,
    /// How fast the budget burnt when it went up.
    pub rates: BurnRates,
    /// Since when it is up (recorded time).
    pub raised_at: DateTime<Utc>,
    /// Position of the event that says so.
    pub position: Position,
}

/// What an objective said from some time on.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionRow {
    /// Its number.
    pub revision: u32,
    /// What it said.
    pub objective: Objective,
    /// From when on (recorded time).
    pub at: DateTime<Utc>,
    /// Position of the event that says so.
    pub position: Position,
}

/// A span of time that does not count.
#[derive(Clone, Debug, PartialEq)]
pub struct ExclusionRow {
    /// From then on.
    pub from: DateTime<Utc>,
    /// Up to then.
    pub to: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// When somebody said so (recorded time).
    pub at: DateTime<Utc>,
    /// Position of the event that says so.
    pub position: Position,
}

/// Which objectives; conditions add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SloFilter {
    /// Those of this project alone.
    pub project: Option<String>,
    /// Those of this service alone.
    pub service: Option<String>,
    /// Those that measure this.
    pub sli: Option<Sli>,
    /// Those that are measured no more, or those that are.
    pub retired: Option<bool>,
}

/// Of a stream nothing is behind this place.
const EVERYTHING: Position = Position(i64::MAX);

/// One objective by id, as known at a position or as it is.
pub async fn slo(
    snap: &mut Snapshot,
    id: &str,
    known_at: Option<Position>,
) -> Result<Option<SloRow>, ReadError> {
    let known_at = known_at.unwrap_or(EVERYTHING);
    let mut sql = select(snap, known_at)?;
    sql.push(" and s.slo_id = ").push_bind(id.to_owned());
    Ok(read(snap, sql, known_at).await?.pop())
}

/// Objectives by ascending id, those after `after`, at most `first`.
pub async fn slos(
    snap: &mut Snapshot,
    filter: &SloFilter,
    after: Option<&str>,
    first: u32,
) -> Result<Page<SloRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select(snap, EVERYTHING)?;
    for (column, value) in [
        ("s.project", filter.project.as_deref()),
        ("s.service", filter.service.as_deref()),
        ("s.sli", filter.sli.map(|sli| sli.as_str())),
    ] {
        if let Some(value) = value {
            sql.push(format!(" and {column} = "))
                .push_bind(value.to_owned());
        }
    }
    if let Some(retired) = filter.retired {
        sql.push(" and (s.retired_at is not null) = ")
            .push_bind(retired);
    }
    if let Some(after) = after {
        sql.push(" and s.slo_id > ").push_bind(after.to_owned());
    }
    sql.push(" order by s.slo_id limit ")
        .push_bind(i64::from(first) + 1);
    let rows = read(snap, sql, EVERYTHING).await?;
    Ok(Page::cut(rows, first, as_of))
}

/// What an objective said, the latest first: those before `before`, at most `first`; as known at a
/// position or as it is.
pub async fn revisions(
    snap: &mut Snapshot,
    id: &str,
    known_at: Option<Position>,
    before: Option<Position>,
    first: u32,
) -> Result<Page<RevisionRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let (conn, tenant, table) = snap.table(NAME, "slo_revisions")?;
    let statement = format!(
        "select revision, objective, at, position from {table}
         where tenant = $1 and slo_id = $2 and position <= $3 and position < $4
         order by position desc limit $5"
    );
    let rows = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(id)
        .bind(known_at.unwrap_or(EVERYTHING).0)
        .bind(before.unwrap_or(EVERYTHING).0)
        .bind(i64::from(first) + 1)
        .fetch_all(conn)
        .await?;
    let read = |row: &PgRow| {
        let Json(objective) = row.try_get("objective")?;
        Ok(RevisionRow {
            revision: number(row, "revision")?,
            objective,
            at: row.try_get("at")?,
            position: Position(row.try_get("position")?),
        })
    };
    let revisions = rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?;
    Ok(Page::cut(revisions, first, as_of))
}

/// What does not count of an objective, in the order in which it was said: what was said after `after`,
/// at most `first`; as known at a position or as it is.
pub async fn exclusions(
    snap: &mut Snapshot,
    id: &str,
    known_at: Option<Position>,
    after: Option<Position>,
    first: u32,
) -> Result<Page<ExclusionRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let (conn, tenant, table) = snap.table(NAME, "slo_exclusions")?;
    let statement = format!(
        "select from_at, to_at, reason, at, position from {table}
         where tenant = $1 and slo_id = $2 and position <= $3 and position > $4
         order by position limit $5"
    );
    let rows = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(id)
        .bind(known_at.unwrap_or(EVERYTHING).0)
        .bind(after.unwrap_or_default().0)
        .bind(i64::from(first) + 1)
        .fetch_all(conn)
        .await?;
    let read = |row: &PgRow| {
        Ok(ExclusionRow {
            from: row.try_get("from_at")?,
            to: row.try_get("to_at")?,
            reason: row.try_get("reason")?,
            at: row.try_get("at")?,
            position: Position(row.try_get("position")?),
        })
    };
    let exclusions = rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?;
    Ok(Page::cut(exclusions, first, as_of))
}

/// Nothing follows the retirement, so what is known of the stream by then is either all of it, or the
/// last of its facts by then.
fn select(
    snap: &Snapshot,
    known_at: Position,
) -> Result<QueryBuilder<'static, Postgres>, ReadError> {
    let [slos, revisions, exclusions, alerts] =
        ["slos", "slo_revisions", "slo_exclusions", "slo_alerts"].map(|base| snap.name(NAME, base));
    let (slos, revisions, exclusions, alerts) = (slos?, revisions?, exclusions?, alerts?);
    let last = |table: &str| {
        format!(
            "(select stream_version, position from {table}
              where tenant = s.tenant and slo_id = s.slo_id and position <= k.position
              order by position desc limit 1)"
        )
    };
    let mut sql = QueryBuilder::new("with k as (select ");
    sql.push_bind(known_at.0);
    sql.push(format!(
        "::bigint as position)
         select s.slo_id, s.defined_at, r.revision, r.objective, r.at as revised_at,
                r.position as revised_pos,
                case when s.retired_pos <= k.position then s.retired_at end as retired_at,
                case when s.retired_pos <= k.position then s.retired_reason end as retired_reason,
                coalesce(part.stream_version, s.stream_version) as stream_version,
                coalesce(part.position, s.position) as position
         from k cross join {slos} s
         cross join lateral (
             select * from {revisions}
             where tenant = s.tenant and slo_id = s.slo_id and position <= k.position
             order by position desc limit 1) r
         left join lateral (
             select stream_version, position from (
                 {} union all {} union all {}) facts
             order by position desc limit 1) part on s.position > k.position
         where s.tenant = ",
        last(&revisions),
        last(&exclusions),
        last(&alerts)
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

async fn read(
    snap: &mut Snapshot,
    mut sql: QueryBuilder<'static, Postgres>,
    known_at: Position,
) -> Result<Vec<SloRow>, ReadError> {
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let read = |row: &PgRow| {
        let Json(objective) = row.try_get("objective")?;
        Ok(SloRow {
            id: row.try_get("slo_id")?,
            objective,
            revision: number(row, "revision")?,
            defined_at: row.try_get("defined_at")?,
            revised_at: row.try_get("revised_at")?,
            revised_position: Position(row.try_get("revised_pos")?),
            retired_at: row.try_get("retired_at")?,
            retired_reason: row.try_get("retired_reason")?,
            alerts: vec![],
            stream_version: row.try_get("stream_version")?,
            position: Position(row.try_get("position")?),
        })
    };
    let mut slos = rows
        .iter()
        .map(read)
        .collect::<Result<Vec<SloRow>, sqlx::Error>>()?;
    let mut alerts = alerts(snap, &slos, known_at).await?;
    for slo in &mut slos {
        slo.alerts = alerts.remove(&slo.id).unwrap_or_default();
    }
    Ok(slos)
}

/// The alerts that are up: of what was said on each rule of the revision in force, the last word. None is
/// up of what is retired.
async fn alerts(
    snap: &mut Snapshot,
    slos: &[SloRow],
    known_at: Position,
) -> Result<HashMap<String, Vec<AlertRow>>, ReadError> {
    let in_force = slos.iter().filter(|slo| slo.retired_at.is_none());
    let (ids, revisions): (Vec<&str>, Vec<i64>) = in_force
        .map(|slo| (slo.id.as_str(), i64::from(slo.revision)))
        .unzip();
    let (conn, tenant, table) = snap.table(NAME, "slo_alerts")?;
    let statement = format!(
        "select a.* from (
             select distinct on (slo_id, long_minutes, short_minutes, factor_milli) f.*
             from {table} f
             join unnest($2::text[], $3::bigint[]) asked (id, number)
               on f.slo_id = asked.id and f.revision = asked.number
             where f.tenant = $1 and f.position <= $4
             order by slo_id, long_minutes, short_minutes, factor_milli, position desc) a
         where a.raised order by a.slo_id, a.long_minutes, a.short_minutes, a.factor_milli"
    );
    let rows = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(&ids)
        .bind(&revisions)
        .bind(known_at.0)
        .fetch_all(conn)
        .await?;
    let mut alerts: HashMap<String, Vec<AlertRow>> = HashMap::new();
    for row in &rows {
        let alert = AlertRow {
            rule: BurnRule {
                long_minutes: number(row, "long_minutes")?,
                short_minutes: number(row, "short_minutes")?,
                factor_milli: number(row, "factor_milli")?,
            },
            rates: BurnRates {
                long_milli: number(row, "long_milli")?,
                short_milli: number(row, "short_milli")?,
                position: Position(row.try_get("measured_pos")?),
            },
            raised_at: row.try_get("at")?,
            position: Position(row.try_get("position")?),
        };
        let of = alerts.entry(row.try_get("slo_id")?);
        of.or_default().push(alert);
    }
    Ok(alerts)
}
