//! Is all of it still there? Old partitions of the log can be taken away; whoever reads where they were
//! is told so instead of being given what comes after.

use std::ops::RangeInclusive;

use domain::{Position, StreamKey};
use sqlx::PgConnection;

use super::StoreError;
use super::stream::Bounds;

/// Where a reader's next position is by the log's head, and where the next event is that is there.
const NEXT_THERE: &str = "
    select l.position, (select e.position from events e
                        where e.tenant = $1 and e.position > $2 order by e.position limit 1)
    from logs l where l.tenant = $1";

/// The first position of a range in every partition that it touches, up to the head: it is there, or
/// the partition is not. Looked up one by one: as a join, all of a young log would be read for it.
const FIRST_MISSING: &str = "
    select p.first from (
        select greatest(from_position, $2) as first from event_partitions where to_position > $2) p
    where p.first <= least($3, (select position from logs where tenant = $1))
      and (select true from events e where e.tenant = $1 and e.position = p.first limit 1) is null
    order by 1 limit 1";

/// Makes sure that the log holds all positions of a range up to its head: partitions may have been
/// taken away.
pub async fn check_held(
    conn: &mut PgConnection,
    tenant: &str,
    positions: RangeInclusive<i64>,
) -> Result<(), StoreError> {
    if positions.is_empty() {
        return Ok(());
    }
    let missing: Option<i64> = sqlx::query_scalar(FIRST_MISSING)
        .bind(tenant)
        .bind(positions.start())
        .bind(positions.end())
        .fetch_optional(&mut *conn)
        .await?;
    let Some(missing) = missing.map(Position) else {
        return Ok(());
    };
    let (_, first) = next_there(conn, tenant, missing).await?;
    Err(StoreError::Archived { missing, first })
}

/// Makes sure that a page read after a position begins with the next one, or is empty because there is
/// none up to `up_to`.
pub(super) async fn check_page(
    conn: &mut PgConnection,
    tenant: &str,
    after: Position,
    up_to: Position,
    found: Option<Position>,
) -> Result<(), StoreError> {
    let next = Position(after.0 + 1);
    if found == Some(next) || up_to < next {
        return Ok(());
    }
    let (head, first) = next_there(conn, tenant, after).await?;
    if head < next || first == Some(next) {
        return Ok(());
    }
    let missing = next;
    Err(StoreError::Archived { missing, first })
}

/// The event of a stream that follows those up to a position: there, nothing is missing before it. The bounds
/// are spelled as where a stream is read.
const FOLLOWED: &str = "
    select exists (select from events
                   where tenant = $1 and aggregate_type = $2 and aggregate_id = $3 and sequence = $4
                     and position > (select $5::bigint)
                     and position <= any(array[(select $6::bigint)]))";

/// Makes sure that the events of a stream that were read are all that were asked for: they follow each other
/// from the one behind the first of `sequences` on, and unless the page was full, nothing comes behind them.
pub(super) async fn check_stream(
    conn: &mut PgConnection,
    (tenant, stream): (&str, &StreamKey),
    bounds: Bounds,
    (after, sequences): (i64, impl Iterator<Item = i64>),
    is_full: bool,
) -> Result<(), StoreError> {
    let Bounds { first, last, .. } = bounds;
    let up_to = bounds.up_to.0;
    let reached = reached(after, sequences);
    if reached.is_some_and(|reached| is_full || reached >= bounds.version) || up_to < first {
        return Ok(());
    }
    let is_cut = reached.is_some() && up_to < last;
    if let (true, Some(reached)) = (is_cut, reached) {
        let followed = sqlx::query_scalar(FOLLOWED)
            .bind(tenant)
            .bind(stream.aggregate_type)
            .bind(&*stream.aggregate_id)
            .bind(reached + 1)
            .bind(up_to)
            .bind(last);
        if followed.fetch_one(&mut *conn).await? {
            return Ok(());
        }
    }
    check_held(conn, tenant, first..=last.min(up_to)).await?;
    if is_cut {
        // What follows is gone, and all before it is there.
        return Ok(());
    }
    let missing = Position(first);
    let (_, first) = next_there(conn, tenant, missing).await?;
    Err(StoreError::Archived { missing, first })
}

/// The last of these sequences if they follow each other from behind `after` on.
fn reached(after: i64, mut sequences: impl Iterator<Item = i64>) -> Option<i64> {
    sequences.try_fold(after, |last, sequence| {
        (sequence == last + 1).then_some(sequence)
    })
}

/// How many of these ascending positions follow each other without a gap: behind one, a partition has
/// been taken away.
pub(super) fn consecutive(positions: impl Iterator<Item = i64>) -> usize {
    let mut next = None;
    let follows = |position: &i64| {
        next.replace(position + 1)
            .is_none_or(|next| next == *position)
    };
    positions.take_while(follows).count()
}

/// The head, and the first event after a position.
async fn next_there(
    conn: &mut PgConnection,
    tenant: &str,
    after: Position,
) -> Result<(Position, Option<Position>), StoreError> {
    let found: Option<(i64, Option<i64>)> = sqlx::query_as(NEXT_THERE)
        .bind(tenant)
        .bind(after.0)
        .fetch_optional(conn)
        .await?;
    let (head, first) = found.unwrap_or((0, None));
    Ok((Position(head), first.map(Position)))
}

#[cfg(test)]
mod tests {
    use super::{consecutive, reached};

    #[test]
    fn a_stream_is_read_as_far_as_its_events_follow_each_other() {
        let cases: [(i64, &[i64], Option<i64>); 5] = [
            (0, &[], Some(0)),
            (0, &[1, 2, 3], Some(3)),
            (4, &[5], Some(5)),
            (0, &[2, 3], None),
            (4, &[5, 7], None),
        ];
        for (after, sequences, expected) in cases {
            assert_eq!(reached(after, sequences.iter().copied()), expected);
        }
    }

    #[test]
    fn a_page_ends_at_its_first_gap() {
        let cases: [(&[i64], usize); 5] = [
            (&[], 0),
            (&[7], 1),
            (&[7, 8, 9], 3),
            (&[7, 8, 64, 65], 2),
            (&[7, 64], 1),
        ];
        for (positions, expected) in cases {
            assert_eq!(consecutive(positions.iter().copied()), expected);
        }
    }
}
