//! What deciding a report needs: its fixes judged, its vehicles found, its tracks loaded.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::NaiveDate;
use domain::track::{FIX_ID_SCOPE, Fix, Track, day_of, fix_id_claim, judge, track_id};
use domain::vehicle::{Vehicle, external_id_claim};
use domain::{Refusal, StreamKey, values};

use super::{ReportPositions, at};
use crate::commands::states::Cell;
use crate::commands::{CommandContext, CommandError, Door};
use crate::store::digest;

/// A report's fixes, judged.
#[derive(Default)]
pub(super) struct Judged {
    /// Good ones by the report's name for the vehicle and by UTC day, each with its index in the report.
    pub good: BTreeMap<String, BTreeMap<NaiveDate, Vec<(usize, Fix)>>>,
    /// Bad ones.
    pub bad: Vec<(usize, Refusal)>,
}

impl Judged {
    /// Puts fixes of one vehicle where they belong. A vehicle of bad fixes alone is not touched.
    fn sort(
        &mut self,
        vehicle: String,
        verdicts: impl Iterator<Item = (usize, Result<Fix, Refusal>)>,
    ) {
        let mut days: BTreeMap<NaiveDate, Vec<(usize, Fix)>> = BTreeMap::new();
        for (i, verdict) in verdicts {
            match verdict {
                Ok(fix) => days.entry(day_of(&fix)).or_default().push((i, fix)),
                Err(refusal) => self.bad.push((i, refusal.under(at(i)))),
            }
        }
        if days.is_empty() {
            return;
        }
        let of_vehicle = self.good.entry(vehicle).or_default();
        for (day, mut fixes) in days {
            of_vehicle.entry(day).or_default().append(&mut fixes);
        }
    }
}

/// The aggregates a report touches, in the order their locks are taken.
pub(super) struct Cells<'j> {
    /// By vehicle id.
    pub vehicles: BTreeMap<String, VehiclePart<'j>>,
    /// By stream.
    pub tracks: BTreeMap<StreamKey, TrackPart<'j>>,
}

/// A vehicle and what the report calls it: its id, its external id, or both.
pub(super) struct VehiclePart<'j> {
    pub cell: Arc<Cell<Vehicle>>,
    pub names: Vec<&'j String>,
}

/// A track and what the report says of it.
pub(super) struct TrackPart<'j> {
    pub cell: Arc<Cell<Track>>,
    pub vehicle_id: String,
    pub fixes: Vec<&'j (usize, Fix)>,
}

impl Cells<'_> {
    /// Fixes whose declared id an earlier fix of the report uses on another day of the same vehicle: the
    /// tracks of two days do not see each other, and one claim cannot be both's.
    pub(super) fn ids_on_two_days(&self) -> HashSet<usize> {
        let mut first: HashMap<(&str, &str), (usize, &StreamKey)> = HashMap::new();
        let mut declared = Vec::new();
        for (key, part) in &self.tracks {
            for (i, fix) in &part.fixes {
                if let Some(fix_id) = &fix.fix_id {
                    let id = (part.vehicle_id.as_str(), fix_id.as_str());
                    let earliest = first.entry(id).or_insert((*i, key));
                    if *i < earliest.0 {
                        *earliest = (*i, key);
                    }
                    declared.push((*i, key, id));
                }
            }
        }
        declared
            .into_iter()
            .filter(|(_, key, id)| first[id].1 != *key)
            .map(|(i, ..)| i)
            .collect()
    }
}

impl Door {
    /// Judges every fix alone.
    pub(super) fn judge_all(&self, ctx: &CommandContext, report: &ReportPositions) -> Judged {
        let rules = match ctx.backfill {
            true => self.settings.fixes.backfill(),
            false => self.settings.fixes,
        };
        let mut judged = Judged::default();
        let mut next = 0;
        // Reports mostly tell of one vehicle after the other: its name is looked at once for a run of it.
        for run in report.fixes.chunk_by(|a, b| a.vehicle == b.vehicle) {
            let fixes = (next..).zip(run);
            next += run.len();
            match values::vehicle_id(&run[0].vehicle, "vehicle") {
                Ok(vehicle) => {
                    let verdicts = fixes.map(|(i, fix)| (i, judge(fix, &rules, ctx.now)));
                    judged.sort(vehicle, verdicts);
                }
                Err(refusal) => {
                    let refused = fixes.map(|(i, _)| (i, refusal.clone().under(at(i))));
                    judged.bad.extend(refused);
                }
            }
        }
        judged
    }

    /// Finds every vehicle by its id or, failing that, by its external id, and loads what deciding needs.
    pub(super) async fn report_cells<'j>(
        &self,
        ctx: &CommandContext,
        judged: &'j Judged,
    ) -> Result<Cells<'j>, CommandError> {
        let ids = self.resolve_names(ctx, judged).await?;
        let days = judged.good.values().zip(&ids);
        let tracks: Vec<_> = days
            .flat_map(|(days, id)| days.keys().map(|day| track_id(id, *day)))
            .collect();
        let keys: Vec<&str> = tracks.iter().map(String::as_str).collect();
        self.ready_new::<Track>(&ctx.tenant, &keys).await?;
        let mut cells = Cells {
            vehicles: BTreeMap::new(),
            tracks: BTreeMap::new(),
        };
        for ((name, days), id) in judged.good.iter().zip(ids) {
            let cell = self.loaded::<Vehicle>(&ctx.tenant, &id).await?;
            let part = VehiclePart {
                cell,
                names: Vec::new(),
            };
            cells
                .vehicles
                .entry(id.clone())
                .or_insert(part)
                .names
                .push(name);
            for (day, fixes) in days {
                let track = track_id(&id, *day);
                let cell = self.loaded::<Track>(&ctx.tenant, &track).await?;
                let part = TrackPart {
                    cell,
                    vehicle_id: id.clone(),
                    fixes: Vec::new(),
                };
                let key = StreamKey::of::<Track>(&track);
                cells.tracks.entry(key).or_insert(part).fixes.extend(fixes);
            }
        }
        Ok(cells)
    }

    /// The vehicle id of each name, in the names' order: an id stands for itself.
    async fn resolve_names(
        &self,
        ctx: &CommandContext,
        judged: &Judged,
    ) -> Result<Vec<String>, CommandError> {
        let mut ids: Vec<String> = judged.good.keys().cloned().collect();
        let names: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.ready_new::<Vehicle>(&ctx.tenant, &names).await?;
        let mut unknown = Vec::new();
        for (i, id) in ids.iter().enumerate() {
            let cell = self.loaded::<Vehicle>(&ctx.tenant, id).await?;
            if !cell.lock().as_ref().is_some_and(|s| s.state.registered) {
                unknown.push(i);
            }
        }
        if !unknown.is_empty() {
            let claims: Vec<_> = unknown
                .iter()
                .map(|&i| external_id_claim(&ids[i]))
                .map(|claim| (claim.scope, digest(&[claim.value.as_bytes()])))
                .collect();
            for (n, holder) in self.store.claim_holders(&ctx.tenant, &claims).await? {
                ids[unknown[n]] = holder;
            }
        }
        Ok(ids)
    }

    /// Which fixes declare an id that the track of another day of their vehicle holds.
    pub(super) async fn fix_ids_elsewhere(
        &self,
        ctx: &CommandContext,
        cells: &Cells<'_>,
    ) -> Result<HashSet<usize>, CommandError> {
        let mut declared = Vec::new();
        for (key, part) in &cells.tracks {
            for (i, fix) in &part.fixes {
                if let Some(fix_id) = &fix.fix_id {
                    let claim = fix_id_claim(&part.vehicle_id, fix_id);
                    declared.push((*i, key, (FIX_ID_SCOPE, digest(&[claim.value.as_bytes()]))));
                }
            }
        }
        let claims: Vec<_> = declared.iter().map(|(_, _, claim)| *claim).collect();
        let holders = self.store.claim_holders(&ctx.tenant, &claims).await?;
        Ok(holders
            .into_iter()
            .filter(|(n, holder)| *declared[*n].1.aggregate_id != **holder)
            .map(|(n, _)| declared[n].0)
            .collect())
    }
}
