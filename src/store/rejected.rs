//! Records that were refused one by one, as they are kept for a while: looked at, never decided on.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::{Store, StoreError};

/// Which refused records; conditions add up.
#[derive(Clone, Debug, Default)]
pub struct RejectedFilter {
    /// The door that refused them.
    pub door: &'static str,
    /// Log records of this source.
    pub source: Option<String>,
    /// Those refused for this.
    pub code: Option<String>,
    /// Those refused from then on.
    pub from: Option<DateTime<Utc>>,
    /// Those refused before then.
    pub to: Option<DateTime<Utc>>,
}

/// A refused record as it is kept.
#[derive(Clone, Debug)]
pub struct RejectedRow {
    /// Its own id; later ones are greater.
    pub id: Uuid,
    /// When it was refused.
    pub recorded_at: DateTime<Utc>,
    /// The command that carried it.
    pub command_id: Uuid,
    /// Of a log record: whose it is.
    pub log_source: Option<String>,
    /// Why.
    pub code: String,
    /// The record, JSON, cut to its limit.
    pub record: String,
    /// Message, path and facts of the refusal, JSON.
    pub details: String,
}

const COLUMNS: &str = "id, recorded_at, command_id, log_source, code, record::text as record,
                       details::text as details";

impl Store {
    /// Refused records, the last first, from behind `after` on; at most `first` of them.
    pub async fn rejected_records(
        &self,
        tenant: &str,
        filter: &RejectedFilter,
        after: Option<Uuid>,
        first: u32,
    ) -> Result<Vec<RejectedRow>, StoreError> {
        let mut sql = select(tenant, filter.door);
        if let Some(source) = &filter.source {
            sql.push(" and log_source = ").push_bind(source);
        }
        if let Some(code) = &filter.code {
            sql.push(" and code = ").push_bind(code);
        }
        if let Some(from) = filter.from {
            sql.push(" and recorded_at >= ").push_bind(from);
        }
        if let Some(to) = filter.to {
            sql.push(" and recorded_at < ").push_bind(to);
        }
        if let Some(after) = after {
            sql.push(" and id < ").push_bind(after);
        }
        sql.push(" order by id desc limit ")
            .push_bind(i64::from(first));
        let rows = sql.build().fetch_all(self.pool()).await?;
        let rows: Result<_, sqlx::Error> = rows.iter().map(read).collect();
        Ok(rows?)
    }

    /// One refused record; `None` if there is none, or it is not kept any more.
    pub async fn rejected_record(
        &self,
        tenant: &str,
        door: &str,
        id: Uuid,
    ) -> Result<Option<RejectedRow>, StoreError> {
        let mut sql = select(tenant, door);
        sql.push(" and id = ").push_bind(id);
        let row = sql.build().fetch_optional(self.pool()).await?;
        Ok(row.as_ref().map(read).transpose()?)
    }
}

fn select<'q>(tenant: &'q str, door: &'q str) -> QueryBuilder<'q, Postgres> {
    let mut sql = QueryBuilder::new(format!(
        "select {COLUMNS} from rejected_records where tenant = "
    ));
    sql.push_bind(tenant).push(" and source = ").push_bind(door);
    sql
}

fn read(row: &PgRow) -> Result<RejectedRow, sqlx::Error> {
    Ok(RejectedRow {
        id: row.try_get("id")?,
        recorded_at: row.try_get("recorded_at")?,
        command_id: row.try_get("command_id")?,
        log_source: row.try_get("log_source")?,
        code: row.try_get("code")?,
        record: row.try_get("record")?,
        details: row.try_get("details")?,
    })
}
