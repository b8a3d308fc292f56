//! Which fixes are new: the state of a track, and the rule of duplicates.

use chrono::NaiveDate;
use serde::Serialize;

use super::seen::Seen;
use super::{Fix, PositionsReported, TrackEvent, day_of, digest};
use crate::aggregate::{Aggregate, ClaimChange};
use crate::refusal::{Code, Refusal};

/// Position fixes, judged, of one vehicle and one UTC day.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct TrackCommand(pub PositionsReported);

/// The fixes accepted so far.
///
/// A fix with a `fixId` is a duplicate of the accepted one with the same `fixId`; a fix without one
/// is a duplicate of the first accepted at the same `fixTime`, whether that had an id or not: a
/// vehicle is in one place at a time, and a file without ids must not double what a device with ids
/// has said. Two different ids at one instant are two fixes: the reporter says so. The first
/// accepted stays; a duplicate differs if anything but its `fixId` does.
///
/// The track sees one UTC day. That a `fixId` is not used again on another day of the vehicle is
/// guarded by its claim ([`fix_id_claim`]).
#[derive(Clone, Debug, Default)]
pub struct Track {
    day: Option<NaiveDate>,
    by_time: Seen<i64>,
    by_fix_id: Seen<[u64; 2]>,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    /// The accepted fixes, in the batch's order; `None` if all were duplicates.
    pub event: Option<PositionsReported>,
    /// One per fix of the batch, in its order.
    pub outcomes: Vec<Admission>,
}

/// What became of one fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is new.
    Accepted {
        /// Its index within the event.
        index: u32,
    },
    /// One like it was accepted before, or earlier in this batch.
    Duplicate {
        /// It does not say the same as that one.
        differs: bool,
    },
}

/// Scope of the claims on declared fix ids.
pub const FIX_ID_SCOPE: &str = "track.fix_id";

/// The claim of a track on a fix id its vehicle declared. Held by another track, the fix is a
/// duplicate that differs (it has another day).
pub fn fix_id_claim(vehicle_id: &str, fix_id: &str) -> ClaimChange {
    ClaimChange {
        scope: FIX_ID_SCOPE,
        value: format!("{vehicle_id}/{fix_id}"),
        release: false,
        personal: false,
    }
}

impl Track {
    /// Tells the new fixes from the known ones. Pure; the caller has made sure that all are of this
    /// track's vehicle and day ([`day_of`]).
    pub fn admit(&self, vehicle_id: &str, fixes: Vec<Fix>) -> Admitted {
        let mut batch = Track::default();
        let mut accepted = Vec::with_capacity(fixes.len());
        let mut outcomes = Vec::with_capacity(fixes.len());
        for fix in fixes {
            let content = digest::content(&fix);
            let first = self.first_like(&fix).or_else(|| batch.first_like(&fix));
            outcomes.push(match first {
                Some(first) => Admission::Duplicate {
                    differs: first != content,
                },
                None => {
                    batch.remember(&fix, content);
                    let index = u32::try_from(accepted.len()).expect("a batch is far below 2^32");
                    accepted.push(fix);
                    Admission::Accepted { index }
                }
            });
        }
        let event = (!accepted.is_empty()).then(|| PositionsReported {
            vehicle_id: vehicle_id.to_owned(),
            fixes: accepted,
        });
        Admitted { event, outcomes }
    }

    /// How many fixes were accepted at different times.
    pub fn instants(&self) -> usize {
        self.by_time.len()
    }

    fn first_like(&self, fix: &Fix) -> Option<u64> {
        match &fix.fix_id {
            Some(fix_id) => self.by_fix_id.get(digest::declared_id(fix_id)),
            None => self.by_time.get(fix.fix_time.timestamp_micros()),
        }
    }

    fn remember(&mut self, fix: &Fix, content: u64) {
        self.by_time
            .insert(fix.fix_time.timestamp_micros(), content);
        if let Some(fix_id) = &fix.fix_id {
            self.by_fix_id.insert(digest::declared_id(fix_id), content);
        }
    }
}

impl Aggregate for Track {
    const TYPE: &'static str = "track";
    type Command = TrackCommand;
    type Event = TrackEvent;

    fn decide(&self, TrackCommand(batch): &TrackCommand) -> Result<Vec<TrackEvent>, Refusal> {
        let day = self.day.or_else(|| batch.fixes.first().map(day_of));
        if let Some(stray) = batch.fixes.iter().position(|fix| Some(day_of(fix)) != day) {
            return Err(
                Refusal::new(Code::Validation, "the fix is of another UTC day").at([
                    "fixes",
                    &stray.to_string(),
                    "fixTime",
                ]),
            );
        }
        let admitted = self.admit(&batch.vehicle_id, batch.fixes.clone());
        Ok(admitted
            .event
            .map(TrackEvent::PositionsReported)
            .into_iter()
            .collect())
    }

    fn apply(&mut self, TrackEvent::PositionsReported(event): &TrackEvent) {
        for fix in &event.fixes {
            self.remember(fix, digest::content(fix));
        }
        self.day = self.day.or_else(|| event.fixes.first().map(day_of));
    }

    fn claims(&self, TrackEvent::PositionsReported(event): &TrackEvent) -> Vec<ClaimChange> {
        let declared = event.fixes.iter().filter_map(|fix| fix.fix_id.as_deref());
        declared
            .map(|fix_id| fix_id_claim(&event.vehicle_id, fix_id))
            .collect()
    }

    fn weight_bytes(&self) -> usize {
        size_of::<Self>() + self.by_time.heap_bytes() + self.by_fix_id.heap_bytes()
    }

    fn show(&self) -> serde_json::Value {
        serde_json::json!({ "day": self.day, "instants": self.instants() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::super::tests::{any_fix, fix};
    use super::*;

    const NEW: fn(u32) -> Admission = |index| Admission::Accepted { index };
    const SAME: Admission = Admission::Duplicate { differs: false };
    const OTHER: Admission = Admission::Duplicate { differs: true };

    /// The n-th fix under an id.
    fn named(n: i64, fix_id: &str) -> Fix {
        Fix {
            fix_id: Some(fix_id.to_owned()),
            ..fix(n)
        }
    }

    /// The same fix, but somewhere else.
    fn moved(fix: Fix) -> Fix {
        Fix {
            lat: fix.lat + 0.5,
            ..fix
        }
    }

    fn given(fixes: Vec<Fix>) -> Track {
        let mut track = Track::default();
        let admitted = track.admit("2228", fixes);
        track.apply(&TrackEvent::PositionsReported(
            admitted.event.expect("something new"),
        ));
        track
    }

    fn check(given: &Track, when: Vec<Fix>, then: &[Admission]) {
        let admitted = given.admit("2228", when.clone());
        assert_eq!(admitted.outcomes, then, "{when:?}");
        let kept = |(fix, outcome): (Fix, &Admission)| {
            matches!(outcome, Admission::Accepted { .. }).then_some(fix)
        };
        let kept: Vec<Fix> = when.into_iter().zip(then).filter_map(kept).collect();
        let event = admitted.event.map(|event| event.fixes).unwrap_or_default();
        assert_eq!(
            event, kept,
            "the event holds the accepted fixes in the caller's order"
        );
    }

    #[test]
    fn without_ids_one_instant_is_one_fix() {
        let track = given(vec![fix(0), fix(5)]);
        check(&track, vec![fix(0)], &[SAME]);
        check(&track, vec![moved(fix(0))], &[OTHER]);
        // Late and out of order, and twice within the batch.
        check(
            &track,
            vec![fix(6), fix(2), fix(5), fix(2), moved(fix(2))],
            &[NEW(0), NEW(1), SAME, SAME, OTHER],
        );
    }

    #[test]
    fn with_ids_one_id_is_one_fix() {
        let track = given(vec![named(0, "a")]);
        check(&track, vec![named(0, "a")], &[SAME]);
        check(&track, vec![named(1, "a")], &[OTHER]);
        check(&track, vec![moved(named(0, "a"))], &[OTHER]);
        check(
            &track,
            vec![named(0, "b"), named(0, "b"), named(3, "b")],
            &[NEW(0), SAME, OTHER],
        );
    }

    #[test]
    fn a_file_without_ids_does_not_double_a_device_with_ids() {
        let track = given(vec![named(0, "a"), moved(named(0, "b")), fix(1)]);
        check(&track, vec![fix(0)], &[SAME]);
        check(&track, vec![moved(fix(0))], &[OTHER]);
        // The other way round the reporter insists on an identity of its own.
        check(&track, vec![named(1, "c")], &[NEW(0)]);
    }

    #[test]
    fn the_first_accepted_stays() {
        let mut track = given(vec![fix(0)]);
        let second = PositionsReported {
            vehicle_id: "2228".into(),
            fixes: vec![moved(fix(0))],
        };
        track.apply(&TrackEvent::PositionsReported(second));
        check(&track, vec![fix(0)], &[SAME]);
        check(&track, vec![moved(fix(0))], &[OTHER]);
    }

    #[test]
    fn a_command_keeps_to_one_day() {
        let batch = |fixes| {
            TrackCommand(PositionsReported {
                vehicle_id: "2228".into(),
                fixes,
            })
        };
        let tomorrow = Fix {
            fix_time: fix(0).fix_time + chrono::TimeDelta::days(1),
            ..fix(0)
        };
        let mixed = batch(vec![fix(0), tomorrow.clone()]);
        let refusal = Track::default().decide(&mixed).expect_err("two days");
        assert_eq!(refusal.code, Code::Validation);
        assert_eq!(refusal.path, ["fixes", "1", "fixTime"]);

        let track = given(vec![fix(0)]);
        assert!(track.decide(&batch(vec![tomorrow])).is_err());
        assert_eq!(
            track.decide(&batch(vec![fix(0)])),
            Ok(vec![]),
            "all known: already so"
        );
        assert_eq!(Track::default().decide(&batch(vec![])), Ok(vec![]));
        let events = track.decide(&batch(vec![fix(0), fix(1)])).expect("one new");
        let expected = PositionsReported {
            vehicle_id: "2228".into(),
            fixes: vec![fix(1)],
        };
        assert_eq!(events, [TrackEvent::PositionsReported(expected)]);
    }

    #[test]
    fn declared_ids_are_claimed_for_the_vehicle() {
        let fixes = vec![fix(0), named(1, "a"), named(2, "b/c")];
        let event = PositionsReported {
            vehicle_id: "2228".into(),
            fixes,
        };
        let claims = Track::default().claims(&TrackEvent::PositionsReported(event));
        assert_eq!(
            claims,
            [fix_id_claim("2228", "a"), fix_id_claim("2228", "b/c")]
        );
        assert_eq!(claims[1].value, "2228/b/c");
    }

    #[test]
    fn a_day_of_fixes_stays_small() {
        let track = given((0..17_280).map(fix).collect());
        assert_eq!(track.instants(), 17_280);
        assert!(
            track.weight_bytes() < 17_280 * 40,
            "{} bytes",
            track.weight_bytes()
        );
    }

    /// A few fixes that meet each other often.
    fn crowd() -> impl Strategy<Value = Vec<Fix>> {
        let one =
            (0i64..6, prop::option::of("[abc]"), any::<bool>()).prop_map(|(n, fix_id, away)| {
                let fix = Fix { fix_id, ..fix(n) };
                if away { moved(fix) } else { fix }
            });
        prop::collection::vec(one, 1..30)
    }

    proptest! {
        /// Whatever was sent, sending it again adds nothing and says so of each fix.
        #[test]
        fn again_is_all_duplicates(fixes in prop::collection::vec(any_fix(), 1..60)) {
            let track = given(fixes.clone());
            let again = track.admit("2228", fixes);
            prop_assert_eq!(again.event, None);
            let known = |o: &Admission| matches!(o, Admission::Duplicate { .. });
            prop_assert!(again.outcomes.iter().all(known));
        }

        /// However a report is cut into commands, the same fixes are accepted.
        #[test]
        fn batches_do_not_matter(fixes in crowd(), cut in 1usize..10) {
            let whole = Track::default().admit("2228", fixes.clone());
            let (mut track, mut kept, mut outcomes) = (Track::default(), vec![], vec![]);
            for batch in fixes.chunks(cut) {
                let admitted = track.admit("2228", batch.to_vec());
                outcomes.extend(admitted.outcomes.iter().map(|o| match o {
                    Admission::Accepted { index } => NEW(index + kept.len() as u32),
                    duplicate => *duplicate,
                }));
                if let Some(event) = admitted.event {
                    track.apply(&TrackEvent::PositionsReported(event.clone()));
                    kept.extend(event.fixes);
                }
            }
            prop_assert_eq!(whole.event.map(|event| event.fixes), Some(kept));
            prop_assert_eq!(whole.outcomes, outcomes);
        }

        /// Among fixes of one kind the order of arrival decides which is kept, not how many.
        #[test]
        fn order_does_not_change_how_many_are_kept(
            fixes in crowd(), named in any::<bool>(), seed in any::<u64>(),
        ) {
            let fixes: Vec<Fix> =
                fixes.into_iter().filter(|fix| fix.fix_id.is_some() == named).collect();
            let identity = |fix: &Fix| match &fix.fix_id {
                Some(fix_id) => fix_id.clone(),
                None => fix.fix_time.to_rfc3339(),
            };
            let identities: HashSet<String> = fixes.iter().map(identity).collect();
            let mut shuffled = fixes.clone();
            shuffled.sort_by_key(|fix| digest::content(fix) ^ seed);
            for order in [fixes, shuffled] {
                let event = Track::default().admit("2228", order).event;
                prop_assert_eq!(event.map_or(0, |event| event.fixes.len()), identities.len());
            }
        }

        /// What is stored and read back folds to a state that answers the same.
        #[test]
        fn a_replayed_track_answers_alike(
            fixes in prop::collection::vec(any_fix(), 1..40), probes in crowd(),
        ) {
            let fresh = given(fixes.clone());
            let event = Track::default().admit("2228", fixes).event.expect("something new");
            let stored = serde_json::to_string(&event).expect("JSON");
            let mut replayed = Track::default();
            let event = serde_json::from_str(&stored).expect("an event");
            replayed.apply(&TrackEvent::PositionsReported(event));
            prop_assert_eq!(fresh.admit("2228", probes.clone()), replayed.admit("2228", probes));
        }
    }
}
