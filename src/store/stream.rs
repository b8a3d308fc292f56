//! Reading one stream: by sequence, or what of it passes a filter.

use std::sync::Arc;

use domain::{Position, StreamKey};
use sqlx::PgConnection;

use super::filter::EventFilter;
use super::read::{FilteredPage, PageLimits, StoredEvent, cut, decode_rows, event_columns};
use super::{Store, StoreError, held};

/// Events of a stream that one filtered page looks through at most: a few tenths of a second's work.
pub const STREAM_LOOKED_THROUGH_MAX: i64 = 20_000;

/// Bounds choose partitions, never the index, here and below: to statistics that lag behind, a plain range is
/// next to nothing.
const STREAM: &str = concat!(
    "select ",
    event_columns!(),
    " from events
      where tenant = $1 and aggregate_type = $2 and aggregate_id = $3 and sequence > $4
        and position >= (select $5::bigint) and position <= any(array[(select $6::bigint)])
      order by sequence limit $7"
);

/// What of a stream passes a filter, between two of its sequences; each row tells how many there are before bytes
/// cut the page.
const FILTERED: &str = concat!(
    "select ",
    event_columns!(),
    ", found from (
        select *, sum(pg_column_size(payload)) over (order by sequence) as bytes,
               row_number() over (order by sequence) as nth, count(*) over () as found
        from (select * from events
              where tenant = $1 and aggregate_type = $2 and aggregate_id = $3
                and sequence > $4 and sequence <= $5
                and position >= (select $6::bigint) and position <= any(array[(select $7::bigint)])
                and ($8::text[] is null or event_type = any($8))
                and ($9::text is null or strpos(metadata::text, $9) > 0)
                and ($10::text is null or strpos(metadata::text, $10) > 0)
              order by sequence limit $11) page) sized
      where bytes <= $12 or nth = 1 order by sequence"
);

/// How many events a stream had up to a position, found by halving: positions never run against sequences. Whether
/// what is not there any more was early is for the caller to say.
const SEQUENCE_AT: &str = "
    with recursive search (low, high) as (
        select 0::bigint, $4::bigint
        union all
        select case when early then mid else low end, case when early then high else mid - 1 end
        from search,
             lateral (select (low + high + 1) / 2 as mid) m,
             lateral (select coalesce((select e.position <= $5 from events e
                                       where e.tenant = $1 and e.aggregate_type = $2
                                         and e.aggregate_id = $3 and e.sequence = m.mid
                                         and e.position >= (select $6::bigint)
                                         and e.position <= any(array[(select $7::bigint)])), $8) as early) t
        where low < high)
    select low from search where low = high";

impl Store {
    /// Events of one stream with `sequence > after`, in order, at most `events_max`. None is passed over:
    /// where one of them is not in the log any more, the answer is [`StoreError::Archived`].
    pub async fn read_stream(
        &self,
        tenant: &Arc<str>,
        stream: &StreamKey,
        after: i64,
        events_max: i64,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let up_to = Position(i64::MAX);
        self.read_stream_up_to(tenant, stream, after, up_to, events_max)
            .await
    }

    /// The same of the events up to a position.
    pub async fn read_stream_up_to(
        &self,
        tenant: &Arc<str>,
        stream: &StreamKey,
        after: i64,
        up_to: Position,
        events_max: i64,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut conn = self.pool().acquire().await?;
        let (kind, id) = (stream.aggregate_type, &*stream.aggregate_id);
        let Some(bounds) = stream_bounds(&mut conn, tenant, kind, id).await? else {
            return Ok(Vec::new());
        };
        let bounds = Bounds { up_to, ..bounds };
        read_within(&mut conn, tenant, stream, bounds, after, events_max).await
    }
}

/// Positions of a stream's first and last event and the last one's sequence; none behind `up_to` is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub first: i64,
    pub last: i64,
    pub version: i64,
    pub up_to: Position,
}

/// Events of one stream with `sequence > after`, in order and without a gap, within these bounds.
pub(super) async fn read_within(
    conn: &mut PgConnection,
    tenant: &Arc<str>,
    stream: &StreamKey,
    bounds: Bounds,
    after: i64,
    events_max: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let after = after.max(0);
    let rows = sqlx::query(STREAM)
        .bind(&**tenant)
        .bind(stream.aggregate_type)
        .bind(&*stream.aggregate_id)
        .bind(after)
        .bind(bounds.first)
        .bind(bounds.last.min(bounds.up_to.0))
        .bind(events_max)
        .fetch_all(&mut *conn)
        .await?;
    let events = decode_rows(tenant, rows)?;
    let is_full = events.len() as i64 >= events_max;
    let sequences = (after, events.iter().map(|event| event.sequence));
    held::check_stream(conn, (tenant, stream), bounds, sequences, is_full).await?;
    Ok(events)
}

/// Where a stream's events lie; `None` if there is no such stream.
async fn stream_bounds(
    conn: &mut PgConnection,
    tenant: &str,
    aggregate_type: &str,
    aggregate_id: &str,
) -> Result<Option<Bounds>, sqlx::Error> {
    let found: Option<(i64, i64, i64)> = sqlx::query_as(
        "select first_position, last_position, version from streams
         where tenant = $1 and aggregate_type = $2 and aggregate_id = $3",
    )
    .bind(tenant)
    .bind(aggregate_type)
    .bind(aggregate_id)
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|(first, last, version)| Bounds {
        first,
        last,
        version,
        up_to: Position(i64::MAX),
    }))
}

/// What of one stream passes a filter behind a position: of a bounded number of its events. What lies outside of
/// the stream's bounds need not be in the log.
pub(super) async fn read_filtered(
    conn: &mut PgConnection,
    (tenant, (kind, id)): (&Arc<str>, (&str, &str)),
    filter: &EventFilter,
    after: Position,
    limits: PageLimits,
) -> Result<FilteredPage, StoreError> {
    let nothing = FilteredPage {
        events: Vec::new(),
        up_to: limits.up_to,
    };
    let Some(bounds) = stream_bounds(conn, tenant, kind, id).await? else {
        return Ok(nothing);
    };
    let after = after.max(Position(bounds.first - 1));
    let last = limits.up_to.min(Position(bounds.last));
    if after >= last {
        return Ok(nothing);
    }
    let stream = (&**tenant, kind, id);
    let from = match after.0 < bounds.first {
        true => 0,
        false => sequence_at(conn, stream, bounds, after).await?,
    };
    // What is not there takes no time to look through: the page ends at the next one that is.
    let ends = from + STREAM_LOOKED_THROUGH_MAX;
    let (to, at) = match ends < bounds.version {
        true => next_there(conn, stream, bounds, ends).await?,
        false => None,
    }
    .map_or((bounds.version, None), |(to, at)| (to, Some(at)));
    let [actor, correlation_id] = filter.written_causes();
    let rows = sqlx::query(FILTERED)
        .bind(&**tenant)
        .bind(kind)
        .bind(id)
        .bind(from)
        .bind(to)
        .bind(after.0 + 1)
        .bind(last.0)
        .bind(&filter.event_types)
        .bind(actor)
        .bind(correlation_id)
        .bind(limits.events_max)
        .bind(limits.bytes_max)
        .fetch_all(&mut *conn)
        .await?;
    let mut looked = cut(&rows, limits)?;
    if looked.is_none() {
        looked = at.filter(|at| *at < limits.up_to);
    }
    held::check_held(conn, tenant, after.0 + 1..=looked.unwrap_or(last).0).await?;
    let mut events = decode_rows(tenant, rows)?;
    events.retain(|event| filter.has_cause(event));
    Ok(FilteredPage {
        events,
        up_to: looked.unwrap_or(limits.up_to),
    })
}

/// A sequence behind which all of a stream's events after a position lie: the last one up to the position,
/// unless part of the stream is not in the log any more.
async fn sequence_at(
    conn: &mut PgConnection,
    stream: (&str, &str, &str),
    bounds: Bounds,
    position: Position,
) -> Result<i64, sqlx::Error> {
    let mut found = 0;
    // Nearly always what is away is the log's beginning. Where it is not, what was found may lie in a gap behind
    // the position: then what is away counts as late, and what is found is there.
    for gone_was_early in [true, false] {
        found = halved(conn, stream, bounds, position, gone_was_early).await?;
        let there = found == 0 || is_there(conn, stream, bounds, found).await?;
        if there {
            break;
        }
    }
    Ok(found)
}

async fn halved(
    conn: &mut PgConnection,
    (tenant, kind, id): (&str, &str, &str),
    bounds: Bounds,
    position: Position,
    gone_was_early: bool,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(SEQUENCE_AT)
        .bind(tenant)
        .bind(kind)
        .bind(id)
        .bind(bounds.version)
        .bind(position.0)
        .bind(bounds.first)
        .bind(bounds.last)
        .bind(gone_was_early)
        .fetch_one(conn)
        .await
}

async fn is_there(
    conn: &mut PgConnection,
    stream: (&str, &str, &str),
    bounds: Bounds,
    sequence: i64,
) -> Result<bool, sqlx::Error> {
    let next = next_there(conn, stream, bounds, sequence).await?;
    Ok(next.is_some_and(|(there, _)| there == sequence))
}

/// The first event of a stream from a sequence on that is in the log, and where; `None` if there is none.
async fn next_there(
    conn: &mut PgConnection,
    (tenant, kind, id): (&str, &str, &str),
    bounds: Bounds,
    sequence: i64,
) -> Result<Option<(i64, Position)>, sqlx::Error> {
    let found: Option<(i64, i64)> = sqlx::query_as(
        "select sequence, position from events
         where tenant = $1 and aggregate_type = $2 and aggregate_id = $3 and sequence >= $4
           and position >= (select $5::bigint) and position <= any(array[(select $6::bigint)])
         order by sequence limit 1",
    )
    .bind(tenant)
    .bind(kind)
    .bind(id)
    .bind(sequence)
    .bind(bounds.first)
    .bind(bounds.last)
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|(sequence, position)| (sequence, Position(position))))
}
