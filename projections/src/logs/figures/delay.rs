//! How long records take from their source into the log.

use domain::Position;
use sqlx::{QueryBuilder, Row};

use super::super::NAME;
use super::super::conditions::push_counted;
use super::super::reach::known;
use super::super::read::LogFilter;
use crate::{ReadError, Snapshot};

/// Seconds from a record's own time to when it was recorded; of a source whose clock is ahead they are
/// below 0. What was handed in long after, in a backfill, does not count.
#[derive(Clone, Debug, PartialEq)]
pub struct Delay {
    /// Of how many records.
    pub records: i64,
    /// Half of them took at most so long, between two of them in proportion; `None` if there are none.
    pub p50_s: Option<f64>,
    /// 95 in 100.
    pub p95_s: Option<f64>,
    /// The log position it is as of.
    pub as_of: Position,
}

/// The delay of the records of a filter, but for what is searched for.
pub async fn delay(snap: &mut Snapshot, filter: &LogFilter) -> Result<Delay, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let Some(known) = known(snap, filter).await? else {
        return Ok(Delay {
            records: 0,
            p50_s: None,
            p95_s: None,
            as_of,
        });
    };
    let mut sql = QueryBuilder::new(
        "select count(*), round(percentile_cont(0.5) within group (order by d.s)::numeric, 6)::float8,
                round(percentile_cont(0.95) within group (order by d.s)::numeric, 6)::float8
         from (select extract(epoch from recorded_at - happened_at)::float8 as s from ",
    );
    push_counted(&mut sql, snap, filter, known.days)?;
    sql.push(" where not backfill) d");
    let row = sql.build().persistent(false);
    let row = row.fetch_one(snap.connection()).await?;
    Ok(Delay {
        records: row.try_get(0)?,
        p50_s: row.try_get(1)?,
        p95_s: row.try_get(2)?,
        as_of,
    })
}
