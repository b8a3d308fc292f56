//! States of recently used aggregates, bounded by memory, checked by every append's own condition.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Aggregate, StreamKey};

use crate::store::Basis;

/// One aggregate's place in the cache. Deciding happens under its lock, so decisions on one stream are
/// submitted in the order they were made.
pub(super) struct Cell<A> {
    slot: Mutex<Option<Slot<A>>>,
    /// Held while the state is loaded: one load at a time.
    pub loading: tokio::sync::Mutex<()>,
}

/// A state with everything decided on it so far, kept or still on its way.
pub(super) struct Slot<A> {
    pub state: A,
    /// Version with everything decided so far.
    pub version: i64,
    /// The log is known to hold the state up to this version; what is beyond may still be lost.
    pub kept: i64,
    /// Withdrawn when something of this state was not kept.
    pub basis: Basis,
    /// The version at which the state was last stored, or was to be.
    pub snapshot_at: i64,
}

impl<A: Aggregate> Cell<A> {
    /// Locks the cell. Hold several only in the order of their streams, but a vehicle's before those of
    /// its tracks.
    pub fn lock(&self) -> MutexGuard<'_, Option<Slot<A>>> {
        let mut slot = self.slot.lock().unwrap_or_else(|poisoned| {
            // A decision broke off in the middle: what it left is no state.
            self.slot.clear_poison();
            let slot = poisoned.into_inner();
            slot.iter().for_each(|s| s.basis.withdraw());
            slot
        });
        if slot.as_ref().is_some_and(|s| s.basis.is_withdrawn()) {
            *slot = None;
        }
        slot
    }

    /// The state now, if it is loaded.
    pub fn peek(&self) -> Option<(A, i64)> {
        self.lock().as_ref().map(|s| (s.state.clone(), s.version))
    }

    /// The state now, if it is loaded and the log is known to hold all of it.
    pub fn peek_kept(&self) -> Option<(A, i64)> {
        let slot = self.lock();
        let kept = slot.as_ref().filter(|s| s.kept >= s.version);
        kept.map(|s| (s.state.clone(), s.version))
    }

    /// What was decided on this basis is kept up to this version.
    pub fn keep(&self, basis: &Basis, version: i64) {
        if let Some(slot) = self.lock().as_mut().filter(|s| s.basis.is(basis)) {
            slot.kept = slot.kept.max(version);
        }
    }

    /// Puts a freshly loaded state in place.
    pub fn fill(&self, state: A, version: i64, snapshot_at: i64) {
        *self.lock() = Some(Slot {
            state,
            version,
            kept: version,
            basis: Basis::default(),
            snapshot_at,
        });
    }
}

type Key = (Arc<str>, StreamKey);
type AnyCell = Arc<dyn Any + Send + Sync>;

/// The cells in use. Two halves: what is asked for moves to the young half; when that is full, the old
/// half is forgotten. Forgetting a cell that is in use is safe: whoever loads it anew is checked by the
/// append.
pub(super) struct States {
    half_bytes_max: usize,
    halves: Mutex<Halves>,
}

#[derive(Default)]
struct Halves {
    young: HashMap<Key, AnyCell>,
    young_bytes: usize,
    old: HashMap<Key, AnyCell>,
}

/// What a cell costs beside its state: keys, maps, locks.
const CELL_BYTES: usize = 256;

impl States {
    pub fn new(bytes_max: usize) -> States {
        States {
            half_bytes_max: bytes_max / 2,
            halves: Mutex::default(),
        }
    }

    /// The cell of a stream, made if it is not there. Hold no cell locked: if it was in the old half it is
    /// locked to be weighed.
    pub fn cell<A: Aggregate>(&self, tenant: &Arc<str>, stream: &StreamKey) -> Arc<Cell<A>> {
        let (cell, is_new_here) = self.found::<A>(tenant, stream);
        if is_new_here {
            let weight = cell.lock().as_ref().map_or(0, |s| s.state.weight_bytes());
            self.grew(CELL_BYTES + weight);
        }
        cell
    }

    /// The cell of a stream, in the young half, and whether it has just come there. Locks no cell: whoever
    /// decides holds one and tells at the same time how much it grew.
    fn found<A: Aggregate>(&self, tenant: &Arc<str>, stream: &StreamKey) -> (Arc<Cell<A>>, bool) {
        let key = (tenant.clone(), stream.clone());
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = halves.young.get(&key) {
            return (typed(cell.clone()), false);
        }
        let cell: AnyCell = halves.old.remove(&key).unwrap_or_else(|| {
            Arc::new(Cell::<A> {
                slot: Mutex::new(None),
                loading: tokio::sync::Mutex::new(()),
            })
        });
        halves.young.insert(key, cell.clone());
        (typed(cell), true)
    }

    /// A state has grown by this many bytes. May be told by whoever holds a cell locked.
    pub fn grew(&self, bytes: usize) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.grow(bytes, self.half_bytes_max);
    }
}

impl Halves {
    fn grow(&mut self, bytes: usize, half_bytes_max: usize) {
        self.young_bytes += bytes;
        if self.young_bytes > half_bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

fn typed<A: Aggregate>(cell: AnyCell) -> Arc<Cell<A>> {
    cell.downcast()
        .unwrap_or_else(|_| unreachable!("a stream key names its aggregate's type"))
}

#[cfg(test)]
mod tests {
    use domain::fleet::Fleet;

    use super::*;

    fn key(id: &str) -> StreamKey {
        StreamKey::of::<Fleet>(id)
    }

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        let states = States::new(20 * CELL_BYTES);
        let tenant: Arc<str> = "default".into();
        let hot = states.cell::<Fleet>(&tenant, &key("hot"));
        hot.fill(Fleet::default(), 7, 0);
        for i in 0..1_000 {
            states.cell::<Fleet>(&tenant, &key(&i.to_string()));
            assert!(
                states.cell::<Fleet>(&tenant, &key("hot")).peek().is_some(),
                "at {i}"
            );
        }
        let halves = states.halves.lock().unwrap();
        assert!(halves.young.len() + halves.old.len() <= 22);
    }

    /// Two threads stood still for ever: one decided and told how much the state grew, the other had just
    /// found that state in the old half and waited to weigh it.
    #[test]
    fn a_cell_that_is_being_decided_on_holds_up_nobody_elses() {
        let states = States::new(4 * CELL_BYTES);
        let tenant: Arc<str> = "default".into();
        let cell = states.cell::<Fleet>(&tenant, &key("hot"));
        // The hot one is in the old half now.
        states.grew(3 * CELL_BYTES);
        let deciding = cell.lock();
        std::thread::scope(|threads| {
            let asking = threads.spawn(|| states.cell::<Fleet>(&tenant, &key("hot")));
            let came = |key: &Key| {
                let halves = states.halves.try_lock();
                halves.is_ok_and(|halves| halves.young.contains_key(key))
            };
            let hot = (tenant.clone(), key("hot"));
            let begun = std::time::Instant::now();
            while !came(&hot) && begun.elapsed().as_secs() < 10 {
                std::thread::yield_now();
            }
            let free = came(&hot);
            drop(deciding);
            assert!(asking.join().is_ok_and(|asked| Arc::ptr_eq(&asked, &cell)));
            assert!(free, "whoever waits for a cell holds all of them up");
        });
    }

    #[test]
    fn a_withdrawn_state_is_not_there() {
        let states = States::new(1 << 20);
        let cell = states.cell::<Fleet>(&"default".into(), &key("a"));
        cell.fill(Fleet::default(), 1, 0);
        cell.lock().as_ref().unwrap().basis.withdraw();
        assert!(cell.peek().is_none());
    }

    #[test]
    fn what_is_on_its_way_is_not_kept_until_it_is_told_so_of_the_same_state() {
        let states = States::new(1 << 20);
        let cell = states.cell::<Fleet>(&"default".into(), &key("a"));
        cell.fill(Fleet::default(), 3, 0);
        assert_eq!(cell.peek_kept().unwrap().1, 3);
        let basis = cell.lock().as_ref().unwrap().basis.clone();
        cell.lock().as_mut().unwrap().version = 5;
        cell.keep(&basis, 4);
        assert!(cell.peek_kept().is_none() && cell.peek().is_some());
        cell.keep(&Basis::default(), 5);
        assert!(cell.peek_kept().is_none(), "that was another state");
        cell.keep(&basis, 5);
        assert_eq!(cell.peek_kept().unwrap().1, 5);
    }

    #[test]
    fn a_state_that_a_panic_left_behind_is_forgotten() {
        let states = States::new(1 << 20);
        let cell = states.cell::<Fleet>(&"default".into(), &key("a"));
        cell.fill(Fleet::default(), 1, 0);
        let basis = cell.lock().as_ref().unwrap().basis.clone();
        let other = cell.clone();
        let broken = std::thread::spawn(move || {
            let mut slot = other.lock();
            slot.as_mut().unwrap().version = 7;
            panic!("in the middle of a decision");
        });
        assert!(broken.join().is_err());
        assert!(cell.peek().is_none() && basis.is_withdrawn());
        cell.fill(Fleet::default(), 2, 0);
        assert_eq!(cell.peek().unwrap().1, 2);
    }
}
