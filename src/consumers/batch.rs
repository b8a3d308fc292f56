//! One batch: fold events in memory, write rows and checkpoint in one transaction.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Position;
use projections::{AnyDelta, AnyProjection, Target};
use sqlx::{Connection, Executor, PgConnection, Postgres, Transaction};

use super::parking::ParkedStreams;
use super::tail::LogEvent;
use super::{ConsumerSettings, retry};
use crate::store::quoted;

/// The bounds on rows and time are looked at once per so many events.
const CHECK_EVERY_EVENTS: usize = 32;

/// One generation of one read model, where it stands, and the token it is held by.
#[derive(Clone)]
pub(super) struct Bookmark {
    pub(super) projection: Arc<dyn AnyProjection>,
    pub(super) tenant: Arc<str>,
    pub(super) generation: i32,
    /// The number in its tables' names.
    pub(super) storage: i32,
    pub(super) position: Position,
    pub(super) fence: i64,
    /// `live` for its projector, `building` for a rebuild: whoever finds another has no say any
    /// more.
    pub(super) state: &'static str,
    /// Positions someone decided to go on without.
    pub(super) skipped: Arc<BTreeSet<i64>>,
    /// Streams of which nothing is folded.
    pub(super) parked: Arc<ParkedStreams>,
}

impl Bookmark {
    /// Whose generation, of which read model, which one.
    pub(super) fn of_generation(&self) -> (&str, &str, i32) {
        (&self.tenant, self.projection.name(), self.generation)
    }

    /// Is the event one that this generation is to fold?
    fn wants(&self, event: &LogEvent) -> bool {
        concerns(self.projection.as_ref(), event)
            && !self.skipped.contains(&event.position.0)
            && (self.parked.is_empty() || !self.parked.hold(event))
    }

    /// Where it will be once a batch up to there is written.
    pub(super) fn after(&self, up_to: Position) -> Bookmark {
        Bookmark {
            position: up_to,
            ..self.clone()
        }
    }
}

/// The bounds of one batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchBounds {
    pub(super) rows_max: usize,
    pub(super) bytes_max: usize,
    pub(super) time_max: Duration,
    /// Not an event after this one.
    pub(super) up_to: Position,
}

impl BatchBounds {
    pub(super) fn of(settings: &ConsumerSettings) -> BatchBounds {
        BatchBounds {
            rows_max: settings.batch_rows_max,
            bytes_max: settings.batch_bytes_max,
            time_max: Duration::from_millis(settings.batch_ms_max),
            up_to: Position(i64::MAX),
        }
    }
}

/// A run of events after a bookmark, folded.
pub(super) struct Batch {
    /// What they add up to; `None` if none of them concerned the read model.
    delta: Option<AnyDelta>,
    /// When its first event was folded.
    pub(super) began: Instant,
    /// How many concerned it.
    pub(super) folded: usize,
    /// What its events weigh in memory, roughly.
    weight_bytes: usize,
    /// The last event it covers; the bookmark's position if it covers none.
    pub(super) up_to: Position,
    /// Why it ends before the next event, if that is why.
    pub(super) poison: Option<String>,
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The checkpoint is not ours to move: paused, stopped, swapped, or owned by someone else.
    #[error("the checkpoint was moved or taken by someone else")]
    Fenced,
    /// The database failed. Whether the batch was committed is for the checkpoint to say.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Folds the events after `bookmark`, as many as the bounds allow and at least one, up to the first
/// that cannot be folded.
pub(super) async fn fold(
    bookmark: &Bookmark,
    mut events: Vec<Arc<LogEvent>>,
    bounds: BatchBounds,
) -> Batch {
    let mut bytes = 0;
    let fitting = events.iter().take_while(|e| {
        let first = bytes == 0;
        bytes += e.weight_bytes;
        e.position <= bounds.up_to && (first || bytes <= bounds.bytes_max)
    });
    let count = fitting.count();
    events.truncate(count);
    if bytes <= retry::INLINE_BYTES_MAX {
        return fold_now(bookmark, &events, bounds);
    }
    let (owned, nothing) = (bookmark.clone(), Batch::empty(bookmark));
    retry::off_thread(move || fold_now(&owned, &events, bounds))
        .await
        .unwrap_or(nothing)
}

fn fold_now(bookmark: &Bookmark, events: &[Arc<LogEvent>], bounds: BatchBounds) -> Batch {
    let started = Instant::now();
    let projection = bookmark.projection.as_ref();
    let mut batch = Batch::empty(bookmark);
    for (n, event) in events.iter().enumerate() {
        if bookmark.wants(event) {
            let delta = batch.delta.get_or_insert_with(|| projection.delta());
            if let Err(reason) = fold_one(projection, delta, event) {
                // A fold that refuses may have begun to change the delta: start over without it.
                let mut clean = fold_now(bookmark, &events[..n], bounds);
                clean.poison = (clean.up_to.0 + 1 == event.position.0).then_some(reason);
                return clean;
            }
            batch.folded += 1;
        }
        batch.up_to = event.position;
        batch.weight_bytes += event.weight_bytes;
        let full = |delta: &AnyDelta| {
            projection.rows(delta) >= bounds.rows_max || started.elapsed() >= bounds.time_max
        };
        if n % CHECK_EVERY_EVENTS == CHECK_EVERY_EVENTS - 1
            && batch.delta.as_ref().is_some_and(full)
        {
            break;
        }
    }
    batch
}

/// Does the read model fold events of this kind of stream?
pub(super) fn concerns(projection: &dyn AnyProjection, event: &LogEvent) -> bool {
    projection
        .aggregates()
        .contains(&event.aggregate_type.as_ref())
}

/// Adds an event to a delta; if it cannot be, why. The delta may have begun to change then.
pub(super) fn fold_one(
    projection: &dyn AnyProjection,
    delta: &mut AnyDelta,
    event: &LogEvent,
) -> Result<(), String> {
    let recorded = event.body.as_ref().map_err(Clone::clone)?;
    retry::guarded(|| projection.fold(delta, recorded).map_err(|poison| poison.0))
}

impl Batch {
    fn empty(bookmark: &Bookmark) -> Batch {
        Batch {
            delta: None,
            began: Instant::now(),
            folded: 0,
            weight_bytes: 0,
            up_to: bookmark.position,
            poison: None,
        }
    }

    /// Is it as large as a batch may be?
    pub(super) fn is_full(&self, projection: &dyn AnyProjection, bounds: BatchBounds) -> bool {
        let rows = self
            .delta
            .as_ref()
            .map_or(0, |delta| projection.rows(delta));
        rows >= bounds.rows_max || self.weight_bytes >= bounds.bytes_max
    }

    /// Adds the batch that follows it.
    pub(super) fn join(&mut self, projection: &dyn AnyProjection, next: Batch) {
        match (&mut self.delta, next.delta) {
            (Some(delta), Some(from)) => projection.merge(delta, from),
            (delta @ None, from) => *delta = from,
            (Some(_), None) => {}
        }
        self.folded += next.folded;
        self.weight_bytes += next.weight_bytes;
        self.up_to = next.up_to;
        self.poison = next.poison;
    }
}

/// Writes a batch and moves the bookmark, or does neither.
///
/// The checkpoint comes first, in the same round trip as the transaction's beginning: whoever does
/// not own it learns so before touching a row. The commit does not wait for the disk: rows and
/// checkpoint are lost together or not at all, so after a crash of the server the batch is folded
/// anew, by a projector that `Board::saw` has told of it.
pub(super) async fn write(
    conn: &mut PgConnection,
    bookmark: &mut Bookmark,
    batch: Batch,
) -> Result<(), WriteError> {
    let begin = format!(
        "begin; set local synchronous_commit = off; select {}",
        advance(bookmark, batch.up_to)
    );
    match batch.delta {
        None => {
            let all = format!("{begin}; commit");
            conn.execute(all.as_str()).await.map_err(fenced)?;
        }
        Some(delta) => {
            let mut tx = conn.begin_with(begin).await.map_err(fenced)?;
            write_rows(&mut tx, bookmark, delta).await?;
            tx.commit().await?;
        }
    }
    bookmark.position = batch.up_to;
    Ok(())
}

/// Writes a batch and moves the checkpoint inside a transaction of the caller's.
pub(super) async fn write_within(
    tx: &mut Transaction<'_, Postgres>,
    bookmark: &mut Bookmark,
    batch: Batch,
) -> Result<(), WriteError> {
    advance_to(tx, bookmark, batch.up_to).await?;
    if let Some(delta) = batch.delta {
        write_rows(tx, bookmark, delta).await?;
    }
    bookmark.position = batch.up_to;
    Ok(())
}

/// Moves the checkpoint to a position, or leaves it there: no other owner writes before the transaction ends.
pub(super) async fn advance_to(
    tx: &mut Transaction<'_, Postgres>,
    bookmark: &Bookmark,
    to: Position,
) -> Result<(), WriteError> {
    let sql = format!("select {}", advance(bookmark, to));
    tx.execute(sql.as_str()).await.map_err(fenced)?;
    Ok(())
}

pub(super) async fn write_rows(
    tx: &mut Transaction<'_, Postgres>,
    bookmark: &Bookmark,
    delta: AnyDelta,
) -> Result<(), sqlx::Error> {
    let target = Target {
        tenant: &bookmark.tenant,
        generation: bookmark.storage,
    };
    bookmark.projection.write(tx, &target, delta).await
}

/// The call that moves the checkpoint, as text: a transaction's first message takes no parameters.
fn advance(bookmark: &Bookmark, to: Position) -> String {
    format!(
        "advance_generation({}, {}, {}, '{}', {}, {to}, {})",
        quoted(&bookmark.tenant),
        quoted(bookmark.projection.name()),
        bookmark.generation,
        bookmark.state,
        bookmark.position,
        bookmark.fence
    )
}

fn fenced(error: sqlx::Error) -> WriteError {
    let code = error.as_database_error().and_then(|e| e.code());
    if code.as_deref() == Some("DB001") {
        WriteError::Fenced
    } else {
        error.into()
    }
}
