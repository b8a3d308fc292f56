//! A report while it is decided, under all its locks. Pure but for the states it advances.

use std::collections::HashSet;

use domain::track::{Admission, FixReport, Track, TrackEvent};
use domain::vehicle::{Vehicle, VehicleCommand, VehicleProfile};
use domain::{Aggregate, Code, Refusal, StreamKey};

use super::cells::{Judged, TrackPart, VehiclePart};
use super::{FixOutcome, ReportPositions, SOURCE, at, receipt};
use crate::commands::decide::advance;
use crate::commands::envelope::Envelope;
use crate::commands::sealing::Keyring;
use crate::commands::states::Slot;
use crate::store::{Append, Claim, Rejected, StreamWrite};

/// Collects what a report comes to: vehicles first, then tracks, then [`Deciding::finish`].
pub(super) struct Deciding<'a> {
    report: &'a ReportPositions,
    judged: &'a Judged,
    /// Fixes whose declared id another day's track holds.
    elsewhere: &'a HashSet<usize>,
    outcomes: Vec<Option<FixOutcome>>,
    /// Vehicles that take fixes.
    admitting: HashSet<&'a str>,
    writes: Vec<StreamWrite>,
    claims: Vec<Claim>,
    /// How much the states have grown.
    pub grown_bytes: usize,
}

impl<'a> Deciding<'a> {
    pub fn new(
        report: &'a ReportPositions,
        judged: &'a Judged,
        elsewhere: &'a HashSet<usize>,
    ) -> Deciding<'a> {
        let mut outcomes = vec![None; report.fixes.len()];
        for (i, refusal) in &judged.bad {
            outcomes[*i] = Some(FixOutcome::Rejected(refusal.clone()));
        }
        Deciding {
            report,
            judged,
            elsewhere,
            outcomes,
            admitting: HashSet::new(),
            writes: Vec::new(),
            claims: Vec::new(),
            grown_bytes: 0,
        }
    }

    /// Registers a vehicle on its first report if the caller may, and relies on its standing.
    pub fn vehicle(&mut self, id: &'a str, part: &VehiclePart<'a>, slot: &mut Slot<Vehicle>) {
        let mut events = Vec::new();
        if !slot.state.registered && self.report.may_register {
            let external_id = part.names.first().map(|name| (*name).clone());
            let profile = VehicleProfile {
                external_id,
                ..VehicleProfile::default()
            };
            let register = VehicleCommand::Register {
                profile,
                on_first_report: true,
            };
            match slot.state.decide(&register) {
                Ok(registered) => events = registered,
                Err(refusal) => self.reject_all(part, &refusal),
            }
        }
        self.advance(slot, &StreamKey::of::<Vehicle>(id), events);
        match slot.state.must_accept_reports() {
            Ok(()) => {
                self.admitting.insert(id);
            }
            Err(refusal) => self.reject_all(part, &refusal),
        }
    }

    /// Tells a track's new fixes from its known ones.
    pub fn track(&mut self, key: &StreamKey, part: &TrackPart<'a>, slot: &mut Slot<Track>) {
        if !self.admitting.contains(&*part.vehicle_id) {
            return;
        }
        let (mut fixes, mut indexes) = (Vec::new(), Vec::new());
        for (i, fix) in &part.fixes {
            if self.elsewhere.contains(i) {
                self.outcomes[*i] = Some(FixOutcome::Duplicate { differs: true });
            } else {
                indexes.push(*i);
                fixes.push(fix.clone());
            }
        }
        let admitted = slot.state.admit(&part.vehicle_id, fixes);
        for (i, admission) in indexes.into_iter().zip(&admitted.outcomes) {
            self.outcomes[i] = Some(match admission {
                Admission::Accepted { .. } => FixOutcome::Accepted,
                Admission::Duplicate { differs } => FixOutcome::Duplicate { differs: *differs },
            });
        }
        // Written even if nothing is new: a duplicate of a fix that is still on its way relies on it.
        let events = admitted
            .event
            .map(TrackEvent::PositionsReported)
            .into_iter()
            .collect();
        self.advance(slot, key, events);
    }

    /// The append, and what became of each fix.
    pub fn finish(self, envelope: &Envelope, record_bytes_max: usize) -> (Append, Vec<FixOutcome>) {
        let outcomes: Vec<FixOutcome> = self
            .outcomes
            .into_iter()
            .map(|o| o.expect("every fix is bad, refused with its vehicle, or on a track"))
            .collect();
        let reported = self.report.fixes.iter().zip(&outcomes);
        let append = Append {
            command_id: envelope.command_id,
            fingerprint: envelope.fingerprint,
            remembered: true,
            writes: self.writes,
            claims: self.claims,
            rejected: reported
                .filter_map(|(f, o)| rejected(f, o, record_bytes_max))
                .collect(),
            receipt: receipt::write(&outcomes),
            metadata: envelope.metadata.clone(),
        };
        (append, outcomes)
    }

    fn advance<A: Aggregate>(
        &mut self,
        slot: &mut Slot<A>,
        stream: &StreamKey,
        events: Vec<A::Event>,
    ) {
        let (write, grown) = advance(slot, stream, events, &Keyring::none(), &mut self.claims);
        self.writes.push(write);
        self.grown_bytes += grown;
    }

    fn reject_all(&mut self, part: &VehiclePart<'_>, refusal: &Refusal) {
        let of_names = part
            .names
            .iter()
            .flat_map(|&name| self.judged.good[name].values());
        for (i, _) in of_names.flatten() {
            let refusal = refusal.clone().at(["vehicle"]).under(at(*i));
            self.outcomes[*i].get_or_insert(FixOutcome::Rejected(refusal));
        }
    }
}

fn rejected(fix: &FixReport, outcome: &FixOutcome, bytes_max: usize) -> Option<Rejected> {
    let refusal = match outcome {
        FixOutcome::Rejected(refusal) => refusal.clone(),
        FixOutcome::Duplicate { differs: true } => Refusal::new(
            Code::DuplicateDiffers,
            "an earlier fix with this id or time was accepted and says something else",
        ),
        _ => return None,
    };
    let whole = serde_json::to_string(fix).unwrap_or_default();
    let record = if whole.is_empty() || whole.len() > bytes_max {
        let start: String = fix.vehicle.chars().take(64).collect();
        serde_json::json!({ "vehicle": start, "cut": true, "bytes": whole.len() }).to_string()
    } else {
        whole
    };
    Some(Rejected {
        source: SOURCE,
        log_source: None,
        refusal,
        record,
    })
}
