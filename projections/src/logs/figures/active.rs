//! Who was there: users and sessions of each bucket, exactly; users of a day, a week and a month.

use chrono::{DateTime, NaiveDate, Utc};
use domain::Position;
use sqlx::{QueryBuilder, Row};

use super::super::NAME;
use super::super::read::LogFilter;
use super::super::walk::{Walk, days};
use super::volume::LogBucket;
use crate::zone::check_zone;
use crate::{Page, ReadError, Snapshot};

/// Users and sessions that records of a bucket name.
#[derive(Clone, Debug, PartialEq)]
pub struct Distinct {
    /// Where the bucket starts; of a whole span without a start, 1970.
    pub bucket: DateTime<Utc>,
    /// How many records there are.
    pub records: i64,
    /// How many batches they came in.
    pub batches: i64,
    /// How many users they are about.
    pub users: i64,
    /// How many sessions they belong to: an id counts once for each source.
    pub sessions: i64,
}

/// Users with a record on a day, or on one of the days before it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveUsers {
    /// The day, in UTC.
    pub day: NaiveDate,
    /// On that day.
    pub daily: i64,
    /// On it or one of the 6 days before.
    pub weekly: i64,
    /// On it or one of the 29 days before.
    pub monthly: i64,
    /// The log position it is as of.
    pub as_of: Position,
}

/// Users and sessions by bucket, at most `first`; counted from the records themselves, so the filter may
/// be any but for what is searched for, and a long span takes as long as reading it.
pub async fn distinct(
    snap: &mut Snapshot,
    filter: &LogFilter,
    bucket: LogBucket,
    zone: &str,
    first: u32,
) -> Result<Page<Distinct>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    check_zone(snap, zone).await?;
    let Some(days) = days(snap, filter).await? else {
        return Ok(Page::cut(vec![], first, as_of));
    };
    let mut sql = QueryBuilder::new("with asked as (select ");
    sql.push_bind(zone).push("::text as zone, ");
    sql.push_bind(filter.from).push(format!(
        "::timestamptz as first)
         select {}, count(*), count(distinct position), count(distinct user_id),
                count(distinct (source_id, session_id)) filter (where session_id is not null)
         from asked, ",
        bucket.start("happened_at")
    ));
    Walk::of(filter, days).push_known(&mut sql, snap)?;
    sql.push(" group by 1 order by 1 limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let mut buckets = Vec::with_capacity(rows.len());
    for row in &rows {
        let start: Option<DateTime<Utc>> = row.try_get(0)?;
        buckets.push(Distinct {
            bucket: start.unwrap_or(DateTime::UNIX_EPOCH),
            records: row.try_get(1)?,
            batches: row.try_get(2)?,
            users: row.try_get(3)?,
            sessions: row.try_get(4)?,
        });
    }
    Ok(Page::cut(buckets, first, as_of))
}

/// Users of a day, of its week and of its month, exactly.
pub async fn active_users(snap: &mut Snapshot, day: NaiveDate) -> Result<ActiveUsers, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let (conn, tenant, table) = snap.table(NAME, "log_user_days")?;
    let statement = format!(
        "select count(distinct user_id) filter (where day = $2),
                count(distinct user_id) filter (where day > $2 - 7),
                count(distinct user_id)
         from {table} where tenant = $1 and day > $2 - 30 and day <= $2"
    );
    let row = sqlx::query(&statement)
        .bind(tenant.as_ref())
        .bind(day)
        .fetch_one(conn)
        .await?;
    Ok(ActiveUsers {
        day,
        daily: row.try_get(0)?,
        weekly: row.try_get(1)?,
        monthly: row.try_get(2)?,
        as_of,
    })
}
