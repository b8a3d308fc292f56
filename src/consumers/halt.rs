//! An event that cannot be taken in: it parks its stream, or stops its read model. Both for everyone to see.

use std::sync::Arc;

use domain::Position;
use sqlx::PgPool;

use super::batch::{self, Bookmark};
use super::failed::{self, ERROR_CHARS_MAX};
use super::parking;
use super::projector::Workplace;
use super::tail::LogEvent;
use crate::store::StoreError;

/// What a batch ends before, or is refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Culprit {
    /// An event: whatever is not of its stream can go on.
    Event,
    /// Nobody knows, or all of them.
    Unknown,
}

/// Parks the stream of the event after the bookmark if all others can go on; else stops the read model before
/// it. False if the checkpoint is not ours any more.
pub(super) async fn halt(
    place: &Workplace,
    bookmark: &Bookmark,
    (attempts, reason): (u32, &str),
    culprit: Culprit,
) -> Result<bool, StoreError> {
    let (pool, at) = (place.store.pool(), bookmark.position.0 + 1);
    let (name, tenant) = (bookmark.projection.name(), &*bookmark.tenant);
    let event = to_park(place, bookmark, culprit).await?;
    let (halted, what) = match event {
        None => (
            record_halt(pool, bookmark, (attempts, reason)).await?,
            format!("read model {name} is stopped"),
        ),
        Some(event) => {
            let (kind, id) = (&event.aggregate_type, &event.stored.aggregate_id);
            (
                parking::park(pool, bookmark, &event, (attempts, reason)).await?,
                format!("read model {name} goes on without the stream {kind} {id}"),
            )
        }
    };
    if halted {
        tracing::error!(
            projection = name,
            tenant,
            position = at,
            "{what} from position {at} on: {reason}"
        );
    }
    Ok(halted)
}

/// The event after the bookmark, if its stream can be parked.
async fn to_park(
    place: &Workplace,
    bookmark: &Bookmark,
    culprit: Culprit,
) -> Result<Option<Arc<LogEvent>>, StoreError> {
    let projection = bookmark.projection.as_ref();
    if culprit == Culprit::Unknown || !projection.by_stream() || is_full(place, bookmark) {
        return Ok(None);
    }
    let next = place.tail.after(bookmark.position, 1).await?.pop();
    Ok(next.filter(|event| batch::concerns(projection, event)))
}

/// Are as many streams parked as may be?
pub(super) fn is_full(place: &Workplace, bookmark: &Bookmark) -> bool {
    bookmark.parked.len() >= place.settings.parked_streams_max
}

/// Records in one transaction that the generation is stopped, and at which event. False if the
/// checkpoint is not ours any more.
async fn record_halt(
    pool: &PgPool,
    bookmark: &Bookmark,
    (attempts, reason): (u32, &str),
) -> Result<bool, sqlx::Error> {
    let at = Position(bookmark.position.0 + 1);
    let said = reason.lines().next().unwrap_or_default();
    let line: String = format!("position {at}: {said}");
    let mut tx = projections::begin(pool, "begin").await?;
    let stopped = sqlx::query(
        "update generations set status = 'stopped', error = $6
         where tenant = $1 and projection = $2 and generation = $3 and position = $4
           and fence <= $5 and state = 'live' and status = 'running'",
    )
    .bind(&*bookmark.tenant)
    .bind(bookmark.projection.name())
    .bind(bookmark.generation)
    .bind(bookmark.position.0)
    .bind(bookmark.fence)
    .bind(line.chars().take(ERROR_CHARS_MAX).collect::<String>())
    .execute(&mut *tx)
    .await?;
    if stopped.rows_affected() == 0 {
        return Ok(false);
    }
    failed::record(&mut tx, bookmark, at, (attempts, reason)).await?;
    tx.commit().await?;
    Ok(true)
}
