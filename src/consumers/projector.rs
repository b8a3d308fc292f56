//! The loop that keeps one read model of one tenant up to date, and what stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::Position;
use metrics::{Counter, Histogram, counter, histogram};
use projections::{AnyProjection, Live};
use sqlx::PgConnection;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::batch::{self, Batch, BatchBounds, Bookmark, WriteError};
use super::generations::LiveRow;
use super::halt::{self, Culprit};
use super::pace::Pace;
use super::parking::{self, Asked, Hindered, ParkedStreams, Taken, Taking};
use super::retry::{Backoff, Fault, Respite};
use super::tail::Tail;
use super::wait::Board;
use super::{ConsumerSettings, connection, failed};
use crate::store::{Store, StoreError};

/// The head was seen to move, yet nothing could be read: look again after this many milliseconds.
const NOTHING_READ_MS: u64 = 5;

/// A read model that rests, or has parked streams, is looked at again after this many milliseconds, whatever
/// was heard of it.
const RESTING_MS: u64 = 1_000;

/// Everything a projector works with.
#[derive(Clone)]
pub(super) struct Workplace {
    pub(super) store: Store,
    pub(super) tenant: Arc<str>,
    pub(super) projection: Arc<dyn AnyProjection>,
    pub(super) tail: Arc<Tail>,
    pub(super) board: Arc<Board>,
    pub(super) settings: Arc<ConsumerSettings>,
}

impl Workplace {
    /// Folds what comes after the bookmark, within the bounds of one batch; `None` if there is nothing.
    async fn fold(
        &self,
        bookmark: &Bookmark,
        events_max: usize,
    ) -> Result<Option<Batch>, StoreError> {
        let events = self.tail.after(bookmark.position, events_max).await?;
        if events.is_empty() {
            return Ok(None);
        }
        let bounds = BatchBounds::of(&self.settings);
        Ok(Some(batch::fold(bookmark, events, bounds).await))
    }

    /// Folds what comes after a batch while that is written: page after page, up to one batch. What cannot be
    /// read or folded now is left for when its turn comes.
    async fn fold_ahead(
        &self,
        mut bookmark: Bookmark,
        events_max: usize,
        head: &watch::Receiver<Position>,
        is_written: &AtomicBool,
    ) -> Option<Batch> {
        let (projection, bounds) = (self.projection.as_ref(), BatchBounds::of(&self.settings));
        let (mut ahead, mut events_left): (Option<Batch>, _) = (None, events_max);
        let is_full = |batch: &Batch| batch.is_full(projection, bounds);
        while *head.borrow() > bookmark.position
            && events_left > 0
            && !ahead.as_ref().is_some_and(is_full)
            && !is_written.load(Ordering::Relaxed)
        {
            let next = self.fold(&bookmark, events_left).await.ok().flatten();
            let Some(next) = next.filter(|next| next.up_to > bookmark.position) else {
                break;
            };
            let events = next.up_to.0 - bookmark.position.0;
            events_left = events_left.saturating_sub(usize::try_from(events).unwrap_or(usize::MAX));
            bookmark.position = next.up_to;
            match &mut ahead {
                Some(ahead) => ahead.join(projection, next),
                None => ahead = Some(next),
            }
        }
        ahead
    }
}

/// Why a projector came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was asked to.
    Asked,
    /// Someone with a newer token has taken over.
    Fenced,
    /// The live generation is of another version of the read model: not ours to write.
    OtherVersion,
}

/// Keeps the read model up to date until `stop` turns true or a newer owner is found. Faults are
/// waited out however long they last; only an event that cannot be folded or written stops it, or parks
/// the event's stream, until someone decides.
///
/// Dropping the future drops its connection, and with it the transaction in flight.
pub(super) async fn run(place: Workplace, token: i64, stop: watch::Receiver<bool>) -> Ended {
    let settings = place.settings.clone();
    let backoff = || Backoff::new(settings.retry_ms_min, settings.retry_ms_max);
    let mut this = Projector {
        pace: Pace::new(settings.batch_events_max),
        taking: Taking::new(&settings),
        respite: Respite::new(backoff()),
        backoff: backoff(),
        meters: Meters::of(place.projection.name()),
        place,
        token,
        stop,
    };
    let mut live = this.place.board.watch_live();
    while !this.asked_to_end() {
        live.mark_unchanged();
        let interrupted = match this.open().await {
            Ok(Opened::NotOurs) => return Ended::Fenced,
            Ok(Opened::OtherVersion) => return Ended::OtherVersion,
            Ok(Opened::Resting) => {
                tokio::select! {
                    _ = live.changed() => {}
                    // stopped and resumed between two looks at the bookkeeping, it would seem unchanged
                    () = sleep(Duration::from_millis(RESTING_MS)) => {}
                    _ = this.stop.changed() => {}
                }
                continue;
            }
            Ok(Opened::Ready(bookmark, asked)) => this.follow(bookmark, asked, &mut live).await,
            Err(error) => Interrupted::Fault(error.to_string()),
        };
        if let Interrupted::Fault(error) = interrupted {
            this.wait_out(error).await;
        }
    }
    Ended::Asked
}

struct Projector {
    place: Workplace,
    token: i64,
    stop: watch::Receiver<bool>,
    pace: Pace,
    taking: Taking,
    /// Of taking in parked streams: what follows the log goes on meanwhile.
    respite: Respite,
    backoff: Backoff,
    meters: Meters,
}

/// How the live generation is found when its owner opens it.
enum Opened {
    /// With the parked stream that is to be taken in, if there is one.
    Ready(Bookmark, Option<Asked>),
    /// Paused or stopped.
    Resting,
    OtherVersion,
    /// A newer token has written, or there is no live generation.
    NotOurs,
}

/// Why the present bookmark is of no more use.
enum Interrupted {
    /// Asked to end, or the checkpoint is not where we left it: look again.
    LookAgain,
    /// Look again after a pause.
    Fault(String),
}

impl Projector {
    /// Whoever supervised it said so, or is gone.
    fn asked_to_end(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// Takes the live generation over: from here on older tokens write nothing.
    async fn open(&self) -> Result<Opened, sqlx::Error> {
        let (pool, name) = (self.place.store.pool(), self.place.projection.name());
        let row: Option<(i32, i32, i32, i64, String, i32)> = sqlx::query_as(
            "update generations set fence = $3
             where tenant = $1 and projection = $2 and state = 'live' and fence <= $3
             returning generation, coalesce(storage, generation), version, position, status, parked",
        )
        .bind(&*self.place.tenant)
        .bind(name)
        .bind(self.token)
        .fetch_optional(pool)
        .await?;
        let Some((generation, storage, version, position, status, parked)) = row else {
            return Ok(Opened::NotOurs);
        };
        if version != self.place.projection.version() {
            return Ok(Opened::OtherVersion);
        }
        let live = Live {
            generation,
            position: Position(position),
        };
        self.place.board.reached(name, live);
        if status != "running" {
            return Ok(Opened::Resting);
        }
        let which = (&*self.place.tenant, name, generation);
        let skipped = failed::skipped(pool, which, Position(position)).await?;
        let (parked, asked) = match parked {
            0 => (ParkedStreams::default(), None),
            _ => (
                parking::parked(pool, which).await?,
                parking::asked(pool, which).await?,
            ),
        };
        let bookmark = Bookmark {
            projection: self.place.projection.clone(),
            tenant: self.place.tenant.clone(),
            generation,
            storage,
            position: Position(position),
            fence: self.token,
            state: "live",
            skipped: Arc::new(skipped),
            parked: Arc::new(parked),
        };
        Ok(Opened::Ready(bookmark, asked))
    }

    /// Folds batch after batch from the bookmark on, on a connection of its own.
    async fn follow(
        &mut self,
        mut bookmark: Bookmark,
        mut asked: Option<Asked>,
        live: &mut watch::Receiver<Arc<Vec<LiveRow>>>,
    ) -> Interrupted {
        let mut conn =
            match connection::open_for(&self.place.store, self.place.settings.lease_ms).await {
                Ok(conn) => conn,
                Err(error) => return Interrupted::Fault(error.to_string()),
            };
        let mut head = self.place.store.watch_head(&self.place.tenant);
        // What comes after the batch that was written last. It goes with the bookmark: whoever is interrupted
        // folds it anew.
        let mut ahead = None;
        let mut look = interval(Duration::from_millis(RESTING_MS));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.reset();
        loop {
            if let Some(asked) = asked.as_mut().filter(|_| self.respite.is_over()) {
                match self.take_in(&mut conn, &bookmark, asked).await {
                    Ok(()) if self.asked_to_end() => return Interrupted::LookAgain,
                    // Where no more can be parked, what follows waits until this one is not.
                    Ok(()) if halt::is_full(&self.place, &bookmark) => continue,
                    Ok(()) if *head.borrow() <= bookmark.position => continue,
                    Ok(()) => {}
                    Err(interrupted) => return interrupted,
                }
            }
            let has_moved = tokio::select! {
                biased;
                _ = self.stop.changed() => return Interrupted::LookAgain,
                // Paused, swapped, or the database has gone back: the bookmark may be another.
                _ = live.changed() => return Interrupted::LookAgain,
                // However busy the log is.
                _ = look.tick(), if !bookmark.parked.is_empty() => false,
                moved = head.wait_for(|head| *head > bookmark.position) => match moved {
                    Ok(_) => true,
                    Err(_) => return Interrupted::Fault("nobody watches the log's head".to_owned()),
                },
            };
            if !has_moved {
                let pool = self.place.store.pool();
                match parking::asked(pool, bookmark.of_generation()).await {
                    Ok(found) => asked = found,
                    Err(error) => return Interrupted::Fault(error.to_string()),
                }
                continue;
            }
            let batch = match ahead.take() {
                Some(batch) => Ok(Some(batch)),
                None => self.place.fold(&bookmark, self.pace.events_max).await,
            };
            match batch {
                Ok(Some(batch)) => {
                    let written = self.advance(&mut conn, &mut bookmark, batch, &head).await;
                    match written {
                        Ok(next) => ahead = next,
                        Err(interrupted) => return interrupted,
                    }
                }
                Ok(None) => sleep(Duration::from_millis(NOTHING_READ_MS)).await,
                Err(error) => return Interrupted::Fault(error.to_string()),
            }
        }
    }

    /// Writes a batch, and folds meanwhile what comes after it.
    async fn advance(
        &mut self,
        conn: &mut PgConnection,
        bookmark: &mut Bookmark,
        batch: Batch,
        head: &watch::Receiver<Position>,
    ) -> Result<Option<Batch>, Interrupted> {
        let step_max = Duration::from_millis(self.place.settings.step_ms_max);
        if batch.up_to == bookmark.position {
            let (reason, culprit) = match batch.poison {
                Some(reason) => (reason, Culprit::Event),
                None => ("the runtime shuts down".to_owned(), Culprit::Unknown),
            };
            return Err(self.halt(bookmark, (1, &reason), culprit).await);
        }
        let (from, up_to) = (bookmark.position, batch.up_to);
        let (folded, began) = (batch.folded, batch.began);
        let (after, is_written) = (bookmark.after(up_to), AtomicBool::new(false));
        let writing = async {
            let written = timeout(step_max, batch::write(conn, bookmark, batch)).await;
            is_written.store(true, Ordering::Relaxed);
            if let Ok(Ok(())) = &written {
                let live = Live {
                    generation: bookmark.generation,
                    position: bookmark.position,
                };
                let name = self.place.projection.name();
                self.place.board.reached(name, live);
                self.meters.wrote(folded, began.elapsed());
            }
            written
        };
        let events_max = self.pace.events_max;
        let ahead = self.place.fold_ahead(after, events_max, head, &is_written);
        let (written, ahead) = tokio::join!(writing, ahead);
        match written {
            Ok(Ok(())) => {
                self.pace.wrote(up_to);
                self.backoff.reset();
                Ok(ahead)
            }
            Ok(Err(WriteError::Fenced)) => Err(Interrupted::LookAgain),
            Ok(Err(WriteError::Database(error))) => Err(self
                .refused(bookmark, from, up_to, Fault::of(&error), error.to_string())
                .await),
            Err(_) => {
                let error = format!("a batch took longer than {} ms", step_max.as_millis());
                Err(self
                    .refused(bookmark, from, up_to, Fault::TooLong, error)
                    .await)
            }
        }
    }

    /// The database did not take the batch: wait, or close in on the event that it is about.
    async fn refused(
        &mut self,
        bookmark: &Bookmark,
        from: Position,
        up_to: Position,
        fault: Fault,
        error: String,
    ) -> Interrupted {
        if fault == Fault::Passing {
            return Interrupted::Fault(error);
        }
        if up_to.0 - from.0 > 1 {
            self.pace.halve(from, up_to);
            return Interrupted::LookAgain;
        }
        self.pace.attempts += 1;
        let culprit = match fault {
            Fault::OfRow => Culprit::Event,
            _ => Culprit::Unknown,
        };
        let attempts = self.pace.attempts;
        if fault != Fault::TooLong && attempts >= self.place.settings.poison_attempts_max {
            return self.halt(bookmark, (attempts, &error), culprit).await;
        }
        Interrupted::Fault(error)
    }

    /// Parks the stream of the event after the bookmark, or stops the read model before it.
    async fn halt(
        &mut self,
        bookmark: &Bookmark,
        (attempts, reason): (u32, &str),
        culprit: Culprit,
    ) -> Interrupted {
        self.pace.attempts = 0;
        match halt::halt(&self.place, bookmark, (attempts, reason), culprit).await {
            Ok(false) => Interrupted::LookAgain,
            Ok(true) => {
                self.meters.failures.increment(1);
                self.place.board.poke();
                Interrupted::LookAgain
            }
            Err(error) => Interrupted::Fault(error.to_string()),
        }
    }

    /// Takes in a page of a parked stream. An error unless there is more to take in. After a fault it is left
    /// alone for a while: the others go on, on a connection that knows nothing of it.
    async fn take_in(
        &mut self,
        conn: &mut PgConnection,
        bookmark: &Bookmark,
        asked: &mut Asked,
    ) -> Result<(), Interrupted> {
        let store = &self.place.store;
        match self.taking.take_in(store, conn, bookmark, asked).await {
            Ok(taken) => {
                self.respite.reset();
                let (name, tenant) = (bookmark.projection.name(), &*bookmark.tenant);
                match taken {
                    Taken::Part => return Ok(()),
                    Taken::Whole => {
                        tracing::info!(projection = name, tenant, "{asked} of {name} is taken in");
                    }
                    Taken::Not(at) => {
                        self.meters.failures.increment(1);
                        tracing::error!(
                            projection = name,
                            tenant,
                            "{asked} of {name} is parked again at position {at}"
                        );
                    }
                }
                self.place.board.poke();
                Err(Interrupted::LookAgain)
            }
            Err(Hindered::LookAgain) => Err(Interrupted::LookAgain),
            Err(Hindered::Fault(error)) => {
                self.meters.failures.increment(1);
                if self.respite.begin() {
                    let (name, tenant) = (bookmark.projection.name(), &*bookmark.tenant);
                    tracing::warn!(
                        projection = name,
                        tenant,
                        "{asked} of {name} waits for a fault to pass: {error}"
                    );
                }
                Err(Interrupted::LookAgain)
            }
        }
    }

    async fn wait_out(&mut self, error: String) {
        self.meters.failures.increment(1);
        if self.backoff.faults == 0 {
            let name = self.place.projection.name();
            tracing::warn!(projection = name, tenant = %self.place.tenant,
                "read model {name} waits for a fault to pass: {error}");
        }
        tokio::select! {
            () = self.backoff.wait() => {}
            _ = self.stop.changed() => {}
        }
    }
}

struct Meters {
    events: Counter,
    failures: Counter,
    seconds: Histogram,
}

impl Meters {
    fn of(projection: &'static str) -> Meters {
        Meters {
            events: counter!("daybook_projection_events_total", "projection" => projection),
            failures: counter!("daybook_projection_failures_total", "projection" => projection),
            seconds: histogram!("daybook_projection_batch_seconds", "projection" => projection),
        }
    }

    fn wrote(&self, folded: usize, took: Duration) {
        self.events.increment(folded as u64);
        self.seconds.record(took.as_secs_f64());
    }
}
