//! What this process knows of the read models' states, and how old that knowledge is.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use projections::Live;
use tokio::sync::watch;
use tokio::time::Instant;

/// The latest state of each read model of one tenant that anybody in this process has seen: its own
/// projectors, whoever read a snapshot, whoever looked at the bookkeeping. Never goes back, so that
/// nobody who was shown a state is shown an earlier one later.
#[derive(Default)]
pub(super) struct Known {
    states: Mutex<BTreeMap<&'static str, Live>>,
    /// When the last look at all of the bookkeeping began.
    looked: watch::Sender<Option<Instant>>,
}

impl Known {
    /// Takes note of a state that was seen.
    pub(super) fn saw(&self, projection: &'static str, live: Live) {
        let mut states = self.states();
        let known = states.entry(projection).or_insert(live);
        *known = live.max(*known);
    }

    /// All of the bookkeeping was looked at, from `begun` on.
    pub(super) fn looked(&self, begun: Instant) {
        self.looked.send_replace(Some(begun));
    }

    /// When it was last looked at.
    pub(super) fn last_look(&self) -> Option<Instant> {
        *self.looked.borrow()
    }

    /// Returns once a look has begun at this time or later.
    pub(super) async fn look_since(&self, begin: Instant) {
        let mut looked = self.looked.subscribe();
        // The sender is ours: it lives as long as we do.
        let _ = looked.wait_for(|at| at.is_some_and(|at| at >= begin)).await;
    }

    /// The states of these read models, in their order; `None` if one of them was never seen.
    pub(super) fn states_of(&self, models: &[&'static str]) -> Option<Vec<(&'static str, Live)>> {
        let states = self.states();
        let of = |name: &&'static str| Some((*name, *states.get(name)?));
        models.iter().map(of).collect()
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<&'static str, Live>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use domain::Position;

    use super::*;

    #[test]
    fn what_was_seen_later_counts_whatever_is_told_last() {
        let known = Known::default();
        let live = |generation, position| Live {
            generation,
            position: Position(position),
        };
        assert_eq!(known.states_of(&["a"]), None);
        known.saw("a", live(1, 5));
        known.saw("b", live(1, 1));
        for late in [live(1, 4), live(1, 5), live(1, 0)] {
            known.saw("a", late);
            assert_eq!(known.states_of(&["a"]), Some(vec![("a", live(1, 5))]));
        }
        // A rebuilt one takes over; word of the old one is late.
        known.saw("a", live(2, 6));
        known.saw("a", live(1, 5));
        let both = vec![("b", live(1, 1)), ("a", live(2, 6))];
        assert_eq!(known.states_of(&["b", "a"]), Some(both));
        assert_eq!(known.states_of(&["b", "c"]), None);
    }
}
