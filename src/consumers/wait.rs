//! Read-your-writes: how far each read model is, in whatever process, and waiting for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use domain::Position;
use projections::Live;
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::generations::{self, LiveRow};
use super::known::Known;

/// The bookkeeping is read at most once in so many milliseconds, whoever waits.
const POLL_MS_MIN: u64 = 2;

/// While somebody waits for another process, it is read at least once in so many milliseconds.
const POLL_MS_WAITING_MAX: u64 = 25;

/// A look at the bookkeeping that takes longer is not waited for, in milliseconds.
const LOOK_MS_MAX: u64 = 500;

/// The read models did not get there in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read models have not reached the position: {reached:?}")]
pub struct Stale {
    /// How far each of them got.
    pub reached: Vec<(&'static str, Position)>,
}

/// How far the read models of one tenant have come. Fed at once by the projectors of this process
/// and by one poller for those of others.
pub(super) struct Board {
    entries: RwLock<Entries>,
    known: Known,
    live: watch::Sender<Arc<Vec<LiveRow>>>,
    /// How many wait for a projector of another process.
    waiting: AtomicUsize,
    poke: Notify,
}

/// One per read model; grows when an analyst's is installed.
type Entries = BTreeMap<&'static str, Arc<Entry>>;

#[derive(Default)]
struct Entry {
    reached: watch::Sender<Position>,
    owned_here: AtomicBool,
}

impl Board {
    fn new(names: &[&'static str]) -> Board {
        Board {
            entries: RwLock::new(names.iter().map(|name| (*name, Arc::default())).collect()),
            known: Known::default(),
            live: watch::Sender::default(),
            waiting: AtomicUsize::new(0),
            poke: Notify::new(),
        }
    }

    fn entries(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, name: &str) -> Option<(&'static str, Arc<Entry>)> {
        let entries = self.entries();
        let (name, entry) = entries.get_key_value(name)?;
        Some((*name, entry.clone()))
    }

    /// Keeps account of this read model too, from now on: an analyst's.
    pub(super) fn keep(&self, name: &'static str) {
        if self.entry(name).is_none() {
            let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
            entries.entry(name).or_default();
        }
    }

    /// Waits until each of `projections` has folded `at_least`, or says how far they got.
    pub(super) async fn wait_for(
        &self,
        projections: &[&'static str],
        at_least: Position,
        timeout: Duration,
    ) -> Result<(), Stale> {
        let deadline = Instant::now() + timeout;
        for name in projections {
            let Some((_, entry)) = self.entry(name) else {
                return Err(self.stale(projections));
            };
            if *entry.reached.borrow() >= at_least {
                continue;
            }
            let _polling = (!entry.owned_here.load(Ordering::Relaxed)).then(|| Waiting::new(self));
            let mut reached = entry.reached.subscribe();
            let arrival = reached.wait_for(|at| *at >= at_least);
            if !matches!(timeout_at(deadline, arrival).await, Ok(Ok(_))) {
                return Err(self.stale(projections));
            }
        }
        Ok(())
    }

    fn stale(&self, projections: &[&'static str]) -> Stale {
        let at = |n: &&'static str| {
            (
                *n,
                self.entry(n)
                    .map(|(_, e)| *e.reached.borrow())
                    .unwrap_or_default(),
            )
        };
        Stale {
            reached: projections.iter().map(at).collect(),
        }
    }

    /// How far each read model has come as far as this process knows.
    fn believed(&self) -> Vec<(&'static str, Position)> {
        let entries = self.entries();
        entries
            .iter()
            .map(|(name, entry)| (*name, *entry.reached.borrow()))
            .collect()
    }

    /// Has the bookkeeping read once more, from now on, and waits for that.
    pub(super) async fn look_again(&self) {
        let _polling = Waiting::new(self);
        let look = self.known.look_since(Instant::now());
        // Who waits on finds out by itself whether it was of use.
        let _ = timeout(Duration::from_millis(LOOK_MS_MAX), look).await;
    }

    /// Tells that a read model was seen in this state. Never goes back.
    pub(super) fn reached(&self, projection: &str, live: Live) {
        if let Some((name, entry)) = self.entry(projection) {
            self.known.saw(name, live);
            entry.reached.send_if_modified(|at| {
                let further = live.position > *at;
                *at = live.position.max(*at);
                further
            });
        }
    }

    /// The states of these read models as this process knows them; if that knowledge is older than
    /// `age_max`, after another look. Half as old, the look is taken without waiting for it. `None` if
    /// one of them was never seen, or the database does not tell soon.
    pub(super) async fn known(
        &self,
        projections: &[&'static str],
        age_max: Duration,
    ) -> Option<Vec<(&'static str, Live)>> {
        let now = Instant::now();
        let age = self.known.last_look().map(|look| now - look);
        if age.is_none_or(|age| age > age_max) {
            let _polling = Waiting::new(self);
            let look = self
                .known
                .look_since(now.checked_sub(age_max).unwrap_or(now));
            timeout(Duration::from_millis(LOOK_MS_MAX), look)
                .await
                .ok()?;
        } else if age.is_some_and(|age| age > age_max / 2) {
            self.poke();
        }
        self.known.states_of(projections)
    }

    /// Tells whether a projector of this process feeds the board.
    pub(super) fn owned_here(&self, projection: &str, owned: bool) {
        if let Some((_, entry)) = self.entry(projection) {
            entry.owned_here.store(owned, Ordering::Relaxed);
        }
    }

    /// Is a projector of this process at work on it?
    pub(super) fn is_owned_here(&self, projection: &str) -> bool {
        self.entry(projection)
            .is_some_and(|(_, e)| e.owned_here.load(Ordering::Relaxed))
    }

    /// The live generations as last seen; changes when one of them was paused, stopped or swapped, is to take in
    /// a parked stream, or has gone back.
    pub(super) fn watch_live(&self) -> watch::Receiver<Arc<Vec<LiveRow>>> {
        self.live.subscribe()
    }

    /// Has the bookkeeping read now: someone has just changed it.
    pub(super) fn poke(&self) {
        self.poke.notify_one();
    }

    /// Takes note of all of the bookkeeping, which was read from `begun` on; what was believed before then
    /// must be there by now. If it is not, the database has gone back: batches are committed without waiting
    /// for the disk, so a crash of the server takes the last of them away, and a failover may.
    fn saw(&self, rows: Vec<LiveRow>, begun: Instant, believed: &[(&'static str, Position)]) {
        let mut gone_back = false;
        for row in &rows {
            let before = believed.iter().find(|(name, _)| *name == row.projection);
            let before = before.filter(|(_, before)| row.position < *before);
            let Some(((name, before), (_, entry))) = before.zip(self.entry(&row.projection)) else {
                continue;
            };
            let to = row.position;
            tracing::warn!(
                projection = name,
                "{name} has gone back from {before} to {to}"
            );
            entry.reached.send_if_modified(|at| {
                let unchanged = at == before;
                *at = if unchanged { to } else { *at };
                unchanged
            });
            gone_back = true;
        }
        for row in &rows {
            let live = Live {
                generation: row.generation,
                position: row.position,
            };
            self.reached(&row.projection, live);
        }
        self.known.looked(begun);
        self.live.send_if_modified(|seen| {
            let key = |r: &LiveRow| {
                (
                    r.projection.clone(),
                    r.generation,
                    r.status.clone(),
                    r.asked,
                )
            };
            let moved = !seen.iter().map(key).eq(rows.iter().map(key));
            *seen = Arc::new(rows);
            moved || gone_back
        });
    }
}

/// Somebody waits for another process as long as this lives.
struct Waiting<'a>(&'a Board);

impl<'a> Waiting<'a> {
    fn new(board: &'a Board) -> Waiting<'a> {
        board.waiting.fetch_add(1, Ordering::Relaxed);
        board.poke();
        Waiting(board)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A board and its poller.
type Polled = (Arc<Board>, JoinHandle<()>);

/// The boards of one process, made on demand, each with its poller.
pub(super) struct Boards {
    pool: PgPool,
    names: Vec<&'static str>,
    idle: Duration,
    boards: Mutex<HashMap<Arc<str>, Polled>>,
}

impl Boards {
    pub(super) fn new(pool: PgPool, names: Vec<&'static str>, idle_ms: u64) -> Boards {
        Boards {
            pool,
            names,
            idle: Duration::from_millis(idle_ms),
            boards: Mutex::default(),
        }
    }

    pub(super) fn of(&self, tenant: &Arc<str>) -> Arc<Board> {
        let mut boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        let (board, _) = boards.entry(tenant.clone()).or_insert_with(|| {
            let board = Arc::new(Board::new(&self.names));
            let poller = poll(self.pool.clone(), tenant.clone(), board.clone(), self.idle);
            (board, tokio::spawn(poller))
        });
        board.clone()
    }
}

impl Drop for Boards {
    fn drop(&mut self) {
        let boards = self
            .boards
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for (_, poller) in boards.values() {
            poller.abort();
        }
    }
}

/// Reads the bookkeeping: seldom when nobody waits, soon and then ever less often while somebody
/// does.
async fn poll(pool: PgPool, tenant: Arc<str>, board: Arc<Board>, idle: Duration) {
    let soon = Duration::from_millis(POLL_MS_MIN);
    let mut pause = soon;
    loop {
        let (begun, believed) = (Instant::now(), board.believed());
        match generations::live(&pool, &tenant).await {
            Ok(rows) => board.saw(rows, begun, &believed),
            // whoever needs the database says so louder
            Err(error) => tracing::debug!(%error, "the read models' progress was not read"),
        }
        sleep(soon).await;
        let waited_for = board.waiting.load(Ordering::Relaxed) > 0;
        pause = if waited_for {
            (pause * 2).min(Duration::from_millis(POLL_MS_WAITING_MAX))
        } else {
            idle
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = board.poke.notified() => pause = soon,
        }
    }
}
