//! Boards in this process's memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::board::Board;
use domain::standing::Standing;
use projections::competitions::{self, CompetitionRow, Contenders, Moved, NAME};
use projections::{Live, ReadError, Reader, Snapshot};
use tokio::sync::Semaphore;

use super::{Found, Key, LOAD_STATEMENT_MAX, Ranking, found};
use crate::cache::Lines;
use crate::config;

/// What a board takes beside its lines, in lines: none is too small to be taken out.
const BOARD_LINES: usize = 64;

/// The boards. Cheap to clone.
#[derive(Clone)]
pub(super) struct Kept(Arc<Inner>);

struct Inner {
    settings: config::Leaderboards,
    reader: Reader,
    slots: Mutex<HashMap<Key, Slot>>,
    /// How often any of them was asked.
    asked: AtomicU64,
    /// One is read at a time: each holds a connection. Whoever finds it taken asks again later.
    loading: Arc<Semaphore>,
}

struct Slot {
    state: Arc<Mutex<Ready>>,
    lines: usize,
    /// When it was asked last, by [`Inner::asked`].
    used: u64,
}

/// A board as of a state of the read model.
struct Ready {
    live: Live,
    ranking: Ranking,
    board: Board,
}

/// What a board that is kept says to a snapshot.
enum Said {
    Lines(Found),
    /// It is behind.
    Behind(Live),
    /// It is of another time or of other rules.
    Another,
}

impl Kept {
    pub(super) fn new(settings: config::Leaderboards, reader: Reader) -> Kept {
        Kept(Arc::new(Inner {
            settings,
            reader,
            slots: Mutex::default(),
            asked: AtomicU64::new(0),
            loading: Arc::new(Semaphore::new(1)),
        }))
    }

    /// Lines of a board as of the snapshot or later; `None` if it is not kept. Then it is read, for those who
    /// ask later.
    pub(super) async fn ask(
        &self,
        snap: &mut Snapshot,
        competition: &CompetitionRow,
        key: Key,
        lines: Lines<'_>,
    ) -> Result<Option<Found>, ReadError> {
        if competition.entries > u64::from(self.0.settings.lines_max) {
            return Ok(None);
        }
        let (live, ranking) = (snap.live(NAME)?, Ranking::of(competition));
        let Some(state) = self.state(&key) else {
            self.read_later(key);
            return Ok(None);
        };
        let said = lock(&state).say(live, ranking, lines);
        let behind = match said {
            Said::Lines(found) => return Ok(Some(found)),
            Said::Behind(behind) => behind,
            // A snapshot of before the last rebuild: not ours to tell.
            Said::Another if lock(&state).live > live => return Ok(None),
            Said::Another => {
                self.slots().remove(&key);
                self.read_later(key);
                return Ok(None);
            }
        };
        // Nobody waits for what is read here.
        let (rows_max, period) = (self.0.settings.rows_max, &key.period);
        let moved =
            competitions::moved(snap, competition, period, behind.position, rows_max).await?;
        let Some(moved) = moved else {
            self.slots().remove(&key);
            self.read_later(key);
            return Ok(None);
        };
        let (said, len) = {
            let mut ready = lock(&state);
            ready.follow(live, &moved);
            (ready.say(live, ranking, lines), ready.board.len())
        };
        self.make_room(&key, len);
        Ok(match said {
            Said::Lines(found) => Some(found),
            Said::Behind(_) | Said::Another => None,
        })
    }

    /// The board, if it is there. It has been asked for now.
    fn state(&self, key: &Key) -> Option<Arc<Mutex<Ready>>> {
        let used = self.0.asked.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots();
        let slot = slots.get_mut(key)?;
        slot.used = used;
        Some(slot.state.clone())
    }

    /// Reads a board, unless another is being read.
    fn read_later(&self, key: Key) {
        let Ok(turn) = self.0.loading.clone().try_acquire_owned() else {
            return;
        };
        let kept = self.clone();
        tokio::spawn(async move {
            match kept.read(&key).await {
                Ok(Some(ready)) => {
                    let (lines, used) = (ready.board.len(), &kept.0.asked);
                    let slot = Slot {
                        state: Arc::new(Mutex::new(ready)),
                        lines,
                        used: used.load(Ordering::Relaxed),
                    };
                    kept.slots().insert(key.clone(), slot);
                    kept.make_room(&key, lines);
                }
                Ok(None) => {}
                Err(error) => {
                    let Key { competition, .. } = &key;
                    tracing::warn!(%error, "a board of {competition} is not kept: {error}");
                }
            }
            drop(turn);
        });
    }

    async fn read(&self, key: &Key) -> Result<Option<Ready>, ReadError> {
        let mut snap = self.0.reader.snapshot(&key.tenant).await?;
        snap.allow(LOAD_STATEMENT_MAX).await?;
        let live = snap.live(NAME)?;
        let Some(competition) = competitions::competition(&mut snap, &key.competition).await?
        else {
            return Ok(None);
        };
        let rules = &competition.rules;
        let mut board = Board::new(rules.sort, rules.ties);
        let mut contenders = Contenders::open(&mut snap, &competition, &key.period).await?;
        loop {
            let some = contenders.next(&mut snap, self.0.settings.rows_max).await?;
            if some.is_empty() {
                let ranking = Ranking::of(&competition);
                return Ok(Some(Ready {
                    live,
                    ranking,
                    board,
                }));
            }
            some.iter().for_each(|contender| board.set(contender));
        }
    }

    /// Notes how long a board is, and takes out those that nobody has asked for the longest, until the others
    /// fit.
    fn make_room(&self, grown: &Key, len: usize) {
        let most = self.0.settings.lines_max as usize + BOARD_LINES;
        let mut slots = self.slots();
        if let Some(slot) = slots.get_mut(grown) {
            slot.lines = len;
        }
        let lines = |slot: &Slot| slot.lines + BOARD_LINES;
        let mut all: usize = slots.values().map(lines).sum();
        while all > most {
            let oldest = slots.iter().min_by_key(|(_, slot)| slot.used);
            let Some((key, slot)) = oldest.map(|(key, slot)| (key.clone(), lines(slot))) else {
                return;
            };
            all -= slot;
            slots.remove(&key);
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        lock(&self.0.slots)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ready {
    fn say(&self, live: Live, ranking: Ranking, lines: Lines<'_>) -> Said {
        if self.live.generation != live.generation || self.ranking != ranking {
            return Said::Another;
        }
        if self.live.position < live.position {
            return Said::Behind(self.live);
        }
        let lines: Vec<Standing> = match lines {
            Lines::Page { before, limit } => self.board.page(before as usize, limit as usize),
            Lines::Around { user, each_side } => self.board.around(user, each_side as usize),
        };
        Said::Lines(found(lines, self.board.len() as u64, self.live.position))
    }

    /// Moves it on to a snapshot, by what has become of all who moved since it was behind: each as of the
    /// snapshot, so it does not matter how far others have moved it meanwhile, as long as that is no further.
    fn follow(&mut self, live: Live, moved: &[Moved]) {
        if self.live.generation != live.generation || self.live.position >= live.position {
            return;
        }
        for moved in moved {
            match moved {
                Moved::Here(contender) => self.board.set(contender),
                Moved::Gone(user) => self.board.remove(user),
            }
        }
        self.live = live;
    }
}
