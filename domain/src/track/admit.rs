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
#[derive(Clone, Debug, Default, PartialEq)]
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
}
