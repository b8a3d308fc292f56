//! Numbers that are missing between the records of a session.

use domain::Position;
use sqlx::{QueryBuilder, Row};

use super::super::NAME;
use super::super::read::LogFilter;
use super::super::walk::{Walk, days};
use crate::{Page, ReadError, Snapshot};

/// Missing numbers of a session, and the records on both sides of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// Whose session.
    pub source_id: String,
    /// The session.
    pub session_id: String,
    /// The first number that is missing.
    pub first: i64,
    /// The last.
    pub last: i64,
    /// Position and index of a record of the number before the first.
    pub before: (Position, i32),
    /// Of a record of the number after the last.
    pub after: (Position, i32),
}

/// Where a page of gaps ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapCursor {
    /// Whose session.
    pub source_id: String,
    /// The session.
    pub session_id: String,
    /// The first number that is missing.
    pub first: i64,
}

impl From<&Gap> for GapCursor {
    fn from(gap: &Gap) -> GapCursor {
        GapCursor {
            source_id: gap.source_id.clone(),
            session_id: gap.session_id.clone(),
            first: gap.first,
        }
    }
}

/// The gaps among the records of a filter, but for what is searched for, by source, session and number:
/// those after `after`, at most `first`. What comes before a session's first number or after its last is
/// no gap, and a number that is there twice makes none.
pub async fn gaps(
    snap: &mut Snapshot,
    filter: &LogFilter,
    after: Option<&GapCursor>,
    first: u32,
) -> Result<Page<Gap>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let Some(days) = days(snap, filter).await? else {
        return Ok(Page::cut(vec![], first, as_of));
    };
    let mut sql = QueryBuilder::new(
        "select * from (
             select source_id, session_id, sequence_number, position, idx,
                    lead(sequence_number) over w as next, lead(position) over w as next_pos,
                    lead(idx) over w as next_idx
             from ",
    );
    Walk::of(filter, days).push_known(&mut sql, snap)?;
    sql.push(
        " where session_id is not null and sequence_number is not null
             window w as (partition by source_id, session_id
                          order by sequence_number, position, idx)) n
         where next - 1 > sequence_number",
    );
    if let Some(after) = after {
        sql.push(" and (source_id, session_id, sequence_number + 1) > (");
        sql.push_bind(&after.source_id).push(", ");
        sql.push_bind(&after.session_id).push(", ");
        sql.push_bind(after.first).push(")");
    }
    sql.push(" order by source_id, session_id, sequence_number limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let mut gaps = Vec::with_capacity(rows.len());
    for row in &rows {
        let number: i64 = row.try_get("sequence_number")?;
        let next: i64 = row.try_get("next")?;
        gaps.push(Gap {
            source_id: row.try_get("source_id")?,
            session_id: row.try_get("session_id")?,
            first: number + 1,
            last: next - 1,
            before: (Position(row.try_get("position")?), row.try_get("idx")?),
            after: (Position(row.try_get("next_pos")?), row.try_get("next_idx")?),
        });
    }
    Ok(Page::cut(gaps, first, as_of))
}
