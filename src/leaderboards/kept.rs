//! Boards in this process's memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::board::Board;
use domain::standing::Standing;
use projections::competitions::{self, CompetitionRow, Contenders, Moved, NAME};
use projections::{Live, ReadError, Reader, Snapshot};
use tokio::sync::{Mutex as Turns, Semaphore};

use super::{Found, Key, found};
use crate::cache::Lines;
use crate::config;

/// The boards. Cheap to clone.
#[derive(Clone)]
pub(super) struct Kept(Arc<Inner>);

struct Inner {
    settings: config::Leaderboards,
    reader: Reader,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    /// How often any of them was asked.
    asked: AtomicU64,
    /// One is read at a time: each holds a connection.
    loading: Semaphore,
}

struct Slot {
    state: Turns<State>,
    lines: AtomicUsize,
    /// When it was asked last, by [`Inner::asked`].
    used: AtomicU64,
}

enum State {
    Empty,
    Loading,
    Ready(Ready),
}

struct Ready {
    live: Live,
    board: Board,
}

impl Kept {
    pub(super) fn new(settings: config::Leaderboards, reader: Reader) -> Kept {
        Kept(Arc::new(Inner {
            settings,
            reader,
            slots: Mutex::default(),
            asked: AtomicU64::new(0),
            loading: Semaphore::new(1),
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
        let slot = self.slot(&key);
        let mut state = slot.state.lock().await;
        if let State::Ready(ready) = &mut *state {
            let live = snap.live(NAME)?;
            if ready.live.generation == live.generation {
                let rows_max = self.0.settings.rows_max;
                if ready.follow(snap, competition, &key, rows_max).await? {
                    slot.lines.store(ready.board.len(), Ordering::Relaxed);
                    return Ok(Some(ready.shown(lines)));
                }
            } else if ready.live > live {
                // Of a moment before the last rebuild: not ours to tell.
                return Ok(None);
            }
            *state = State::Empty;
        }
        if let State::Empty = *state {
            *state = State::Loading;
            let (kept, slot) = (self.clone(), slot.clone());
            tokio::spawn(async move { kept.fill(key, slot).await });
        }
        Ok(None)
    }

    fn slot(&self, key: &Key) -> Arc<Slot> {
        let used = self.0.asked.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots();
        let slot = slots.entry(key.clone()).or_insert_with(|| {
            Arc::new(Slot {
                state: Turns::new(State::Empty),
                lines: AtomicUsize::new(0),
                used: AtomicU64::new(used),
            })
        });
        slot.used.store(used, Ordering::Relaxed);
        slot.clone()
    }

    /// Reads a board, and makes room for it.
    async fn fill(&self, key: Key, slot: Arc<Slot>) {
        let read = match self.0.loading.acquire().await {
            Ok(_turn) => self.read(&key).await,
            Err(_) => return, // nobody closes it
        };
        let ready = match read {
            Ok(Some(ready)) => ready,
            Ok(None) => {
                self.slots().remove(&key);
                return;
            }
            Err(error) => {
                let Key { competition, .. } = &key;
                tracing::warn!(%error, "a board of {competition} is not kept: {error}");
                self.slots().remove(&key);
                return;
            }
        };
        slot.lines.store(ready.board.len(), Ordering::Relaxed);
        *slot.state.lock().await = State::Ready(ready);
        self.make_room();
    }

    async fn read(&self, key: &Key) -> Result<Option<Ready>, ReadError> {
        let mut snap = self.0.reader.snapshot(&key.tenant).await?;
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
                return Ok(Some(Ready { live, board }));
            }
            some.iter().for_each(|contender| board.set(contender));
        }
    }

    /// Takes out those that nobody has asked for the longest, until the others fit.
    fn make_room(&self) {
        let most = self.0.settings.lines_max as usize;
        let mut slots = self.slots();
        let lines = |slot: &Arc<Slot>| slot.lines.load(Ordering::Relaxed);
        let mut all: usize = slots.values().map(lines).sum();
        while all > most {
            let used = |slot: &Arc<Slot>| slot.used.load(Ordering::Relaxed);
            let oldest = slots.iter().min_by_key(|(_, slot)| used(slot));
            let Some((key, slot)) = oldest.map(|(key, slot)| (key.clone(), slot)) else {
                return;
            };
            all -= lines(slot);
            slots.remove(&key);
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ready {
    /// Moves it on to the snapshot; false if it is too far behind.
    async fn follow(
        &mut self,
        snap: &mut Snapshot,
        competition: &CompetitionRow,
        key: &Key,
        rows_max: u32,
    ) -> Result<bool, ReadError> {
        let (live, behind) = (snap.live(NAME)?, self.live.position);
        if live.position <= behind {
            return Ok(true);
        }
        let moved = competitions::moved(snap, competition, &key.period, behind, rows_max).await?;
        let Some(moved) = moved else {
            return Ok(false);
        };
        for moved in &moved {
            match moved {
                Moved::Here(contender) => self.board.set(contender),
                Moved::Gone(user) => self.board.remove(user),
            }
        }
        self.live = live;
        Ok(true)
    }

    fn shown(&self, lines: Lines<'_>) -> Found {
        let lines: Vec<Standing> = match lines {
            Lines::Page { before, limit } => self.board.page(before as usize, limit as usize),
            Lines::Around { user, each_side } => self.board.around(user, each_side as usize),
        };
        found(lines, self.board.len() as u64, self.live.position)
    }
}
