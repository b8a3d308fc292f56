//! How much a batch may take while an event that the database refuses is being hunted.

use domain::Position;

/// How many events the next batch may take: all there are, unless one among them is being hunted.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) events_max: usize,
    usual_max: usize,
    /// The event that the database refuses lies at or before this position.
    suspect_until: Position,
    /// How often a batch of one event has been refused in a row.
    pub(super) attempts: u32,
}

impl Pace {
    pub(super) fn new(usual_max: usize) -> Pace {
        Pace {
            events_max: usual_max,
            usual_max,
            suspect_until: Position::START,
            attempts: 0,
        }
    }

    /// A batch was refused: the next takes half of it.
    pub(super) fn halve(&mut self, from: Position, up_to: Position) {
        self.events_max = ((up_to.0 - from.0) / 2).max(1) as usize;
        self.suspect_until = self.suspect_until.max(up_to);
    }

    pub(super) fn wrote(&mut self, position: Position) {
        self.attempts = 0;
        if position >= self.suspect_until {
            self.events_max = self.usual_max;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_batch_is_halved_until_the_event_is_alone_and_then_all_is_taken_again() {
        let mut pace = Pace::new(4_096);
        let poison = 3_001;
        let (mut at, mut writes) = (0, 0);
        while at < poison - 1 || pace.events_max > 1 {
            writes += 1;
            let up_to = (at + pace.events_max as i64).min(4_096);
            if up_to >= poison {
                pace.halve(Position(at), Position(up_to));
            } else {
                at = up_to;
                pace.wrote(Position(at));
            }
        }
        assert_eq!((at, pace.events_max), (3_000, 1));
        assert!(
            writes <= 2 * 13,
            "{writes} writes to find one event among 4,096"
        );
        pace.wrote(Position(4_096));
        assert_eq!(pace.events_max, 4_096);
    }
}
