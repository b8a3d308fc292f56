//! Numbers that are missing between the records of a session.

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::{QueryBuilder, Row};

use super::super::NAME;
use super::super::conditions::{DaySpan, Sql, push_counted};
use super::super::reach::known;
use super::super::read::LogFilter;
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

/// Which sessions are looked at for gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GapQuery {
    /// Those of this source; `None`: of any.
    pub source_id: Option<String>,
    /// This one.
    pub session_id: Option<String>,
    /// With records that happened then or later.
    pub from: Option<DateTime<Utc>>,
    /// With records that happened earlier.
    pub to: Option<DateTime<Utc>>,
}

/// The gaps between the records that sessions have in a span, by source, session and number: those after
/// `after`, at most `first`. A number is missing if no record of its session has it, whenever that happened.
/// What comes before a session's first number or after its last is no gap, and a number that is there twice
/// makes none. What retention took out is missing here.
pub async fn gaps(
    snap: &mut Snapshot,
    query: &GapQuery,
    after: Option<&GapCursor>,
    first: u32,
) -> Result<Page<Gap>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let filter = LogFilter {
        source_id: query.source_id.clone(),
        session_id: query.session_id.clone(),
        from: query.from,
        to: query.to,
        ..LogFilter::default()
    };
    let Some(known) = known(snap, &filter).await? else {
        return Ok(Page::cut(vec![], first, as_of));
    };
    let mut sql = QueryBuilder::new("with apart as (");
    push_apart(&mut sql, snap, (&filter, known.days), after)?;
    sql.push(
        ") select a.source_id, a.session_id, n.* from apart a cross join lateral (
             select sequence_number, position, idx, lead(sequence_number) over w as next,
                    lead(position) over w as next_pos, lead(idx) over w as next_idx
             from (",
    );
    push_between(&mut sql, snap)?;
    sql.push(
        ") b window w as (order by sequence_number, position, idx)) n
         where n.next - 1 > n.sequence_number",
    );
    if let Some(after) = after {
        sql.push(" and (a.source_id, a.session_id, n.sequence_number + 1) > (");
        sql.push_bind(&after.source_id).push(", ");
        sql.push_bind(&after.session_id).push(", ");
        sql.push_bind(after.first).push(")");
    }
    sql.push(" order by a.source_id, a.session_id, n.sequence_number limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().persistent(false);
    let rows = rows.fetch_all(snap.connection()).await?;
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

/// Neighbours in the span whose numbers are more than one apart.
fn push_apart<'q>(
    sql: &mut Sql<'q>,
    snap: &Snapshot,
    (filter, days): (&LogFilter, DaySpan),
    after: Option<&'q GapCursor>,
) -> Result<(), ReadError> {
    sql.push(
        "select * from (
             select source_id, session_id, sequence_number, position, idx,
                    lead(sequence_number) over w as next, lead(position) over w as next_pos,
                    lead(idx) over w as next_idx
             from ",
    );
    push_counted(sql, snap, filter, days)?;
    sql.push(" where session_id is not null and sequence_number is not null");
    if let Some(after) = after {
        sql.push(" and (source_id, session_id) >= (")
            .push_bind(&after.source_id);
        sql.push(", ").push_bind(&after.session_id).push(")");
    }
    sql.push(
        " window w as (partition by source_id, session_id
                       order by sequence_number, position, idx)) n
         where next - 1 > sequence_number",
    );
    Ok(())
}

/// Both neighbours, and what their session has between them outside of the span.
fn push_between(sql: &mut Sql<'_>, snap: &Snapshot) -> Result<(), ReadError> {
    let table = snap.name(NAME, "log_records")?;
    sql.push(format!(
        "select a.sequence_number, a.position, a.idx
         union all select a.next, a.next_pos, a.next_idx
         union all select r.sequence_number, r.position, r.idx from {table} r
         where hashtext(r.session_id) = hashtext(a.session_id) and r.session_id = a.session_id
           and r.source_id = a.source_id and r.sequence_number > a.sequence_number
           and r.sequence_number < a.next and r.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(())
}
