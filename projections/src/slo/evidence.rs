//! What an objective's figures were counted from.

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::postgres::PgRow;
use sqlx::{QueryBuilder, Row};

use super::samples::{push_open, push_samples};
use super::{SampleKind, SloQuery, window};
use crate::{Page, ReadError, Snapshot};

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleRow {
    /// When it ended, the time it belongs to; of an open one when it began.
    pub at: DateTime<Utc>,
    /// When it began.
    pub began: DateTime<Utc>,
    /// Position of the event that ended it; of an open one, of that which began it.
    pub position: Position,
    /// Of which deployment; `None` for a look at a feed.
    pub deployment: Option<String>,
    /// How long it was, in seconds; `None` while it is open.
    pub seconds: Option<f64>,
    /// Positions of the events behind it, ascending.
    pub positions: Vec<Position>,
}

/// Samples by (time, position).
pub type SamplePage = Page<SampleRow>;

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleCursor {
    /// The last one's time.
    pub at: DateTime<Utc>,
    /// Its position.
    pub position: Position,
}

impl From<&SampleRow> for SampleCursor {
    fn from(row: &SampleRow) -> SampleCursor {
        SampleCursor {
            at: row.at,
            position: row.position,
        }
    }
}

/// The samples of the window of which this can be said, those after `after`, at most `first`. There are as
/// many as the figure counts.
pub async fn evidence(
    snap: &mut Snapshot,
    query: &SloQuery,
    of: SampleKind,
    after: Option<&SampleCursor>,
    first: u32,
) -> Result<SamplePage, ReadError> {
    let as_of = query.as_of(snap)?;
    let window = window::window(snap, query).await?;
    // What lies before the page need not be looked at again.
    let from = after.map_or(window.from, |after| after.at.max(window.from));
    let mut sql = QueryBuilder::new("with ");
    let table = if of == SampleKind::Open {
        push_open(&mut sql, snap, query, from)?;
        "open"
    } else {
        push_samples(&mut sql, snap, query, from)?;
        "samples"
    };
    sql.push(format!(
        " select ended, began, position, deployment_id, seconds, began_pos from {table}
          where kind = '{}'",
        of.as_str()
    ));
    if let Some(after) = after {
        sql.push(" and (ended, position) > (")
            .push_bind(after.at)
            .push(", ")
            .push_bind(after.position.0)
            .push(")");
    }
    sql.push(" order by ended, position limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(rows, first, as_of))
}

fn read(row: &PgRow) -> Result<SampleRow, sqlx::Error> {
    let position: i64 = row.try_get(2)?;
    let mut positions = vec![row.try_get(5)?, position];
    positions.sort_unstable();
    positions.dedup();
    Ok(SampleRow {
        at: row.try_get(0)?,
        began: row.try_get(1)?,
        position: Position(position),
        deployment: row.try_get(3)?,
        seconds: row.try_get(4)?,
        positions: positions.into_iter().map(Position).collect(),
    })
}
