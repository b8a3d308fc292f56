//! Who was there: users and sessions of each bucket, exactly; users of a day, a week and a month.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use domain::Position;
use sqlx::{QueryBuilder, Row};

use super::super::NAME;
use super::super::conditions::push_counted;
use super::super::reach::known;
use super::super::read::LogFilter;
use super::buckets::{Buckets, LogBucket, Span};
use crate::{Page, ReadError, Snapshot};

/// Users and sessions that records of a bucket name.
#[derive(Clone, Debug, PartialEq)]
pub struct Distinct {
    /// Where the bucket starts.
    pub bucket: DateTime<Utc>,
    /// Where it ends.
    pub end: DateTime<Utc>,
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
/// be any but for what is searched for, and a long span takes as long as reading it. A span of which an end
/// is not said ends with its records.
pub async fn distinct(
    snap: &mut Snapshot,
    filter: &LogFilter,
    bucket: LogBucket,
    zone: &str,
    first: u32,
) -> Result<Page<Distinct>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let known = known(snap, filter).await?;
    let from = filter.from.or(known.map(|known| known.first_at));
    let to = known.map(|known| known.last_at + TimeDelta::microseconds(1));
    let Some(span) = from.zip(filter.to.or(to)) else {
        return Ok(Page::cut(vec![], first, as_of));
    };
    let buckets = Buckets::cut(bucket, zone, span)?;
    let mut found = Vec::new();
    if let Some(known) = known {
        let mut sql = QueryBuilder::new("select width_bucket(happened_at, ");
        sql.push_bind(buckets.starts()).push(
            "), count(*), count(distinct position),
                    count(distinct user_id) + count(distinct user_text),
                    count(distinct (source_id, session_id)) filter (where session_id is not null)
             from ",
        );
        push_counted(&mut sql, snap, filter, known.days)?;
        sql.push(" group by 1 order by 1 limit ")
            .push_bind(i64::from(first) + 1);
        // Planned for this span alone, as pages of records are.
        let rows = sql.build().persistent(false);
        for row in &rows.fetch_all(snap.connection()).await? {
            let place = Buckets::place(row.try_get(0)?);
            let counts = [1, 2, 3, 4].map(|column| row.try_get(column));
            let [records, batches, users, sessions] = counts;
            let counts = [records?, batches?, users?, sessions?];
            found.push((place, of_bucket(buckets.span(place), counts)));
        }
    }
    let filled = buckets.filled(found, first, |span| of_bucket(span, [0; 4]));
    Ok(Page::cut(filled, first, as_of))
}

fn of_bucket((bucket, end): Span, [records, batches, users, sessions]: [i64; 4]) -> Distinct {
    Distinct {
        bucket,
        end,
        records,
        batches,
        users,
        sessions,
    }
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
