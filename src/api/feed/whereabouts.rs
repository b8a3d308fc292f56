//! Which vehicles a subscription shows: pure bookkeeping over a snapshot and the events after it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::vehicle::VehicleEvent;
use domain::{Event, Position};
use projections::positions::{FixKey, FixRow};
use projections::{BoundingBox, H3Cell};

use crate::consumers::LogEvent;

/// Which vehicles are asked for; conditions add up.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// These.
    pub ids: Option<Vec<Arc<str>>>,
    /// Present members of this fleet.
    pub fleet: Option<Arc<str>>,
    /// Those in this rectangle.
    pub area: Option<BoundingBox>,
    /// Those in one of these cells.
    pub cells: Option<Vec<H3Cell>>,
}

/// What an event changes.
#[derive(Debug, PartialEq)]
pub enum Change {
    /// A vehicle is seen here now.
    Moved(Box<FixRow>),
    /// A vehicle is seen here now, and so is no more among those asked for.
    Left(Box<FixRow>),
    /// A vehicle is no more among those asked for; where it was seen last has to be looked up.
    Gone(Arc<str>),
    /// A vehicle whose latest fix has to be looked up: it may be newer than what was just reported.
    Ask(Arc<str>),
}

/// The vehicles a subscription knows of.
pub struct Whereabouts {
    wanted: Wanted,
    ids: Option<HashSet<Arc<str>>>,
    members: HashSet<Arc<str>>,
    members_as_of: Position,
    known: HashMap<Arc<str>, Known>,
}

struct Known {
    key: FixKey,
    shown: bool,
}

impl Wanted {
    /// Is the place among those asked for?
    fn holds(&self, fix: &FixRow) -> bool {
        let in_area = self.area.is_none_or(|area| area.contains(fix.lat, fix.lon));
        let within = |cell: &H3Cell| fix.cell.parent(cell.resolution()) == Some(*cell);
        in_area
            && self
                .cells
                .as_ref()
                .is_none_or(|cells| cells.iter().any(within))
    }

    /// Does it depend on where a vehicle is?
    fn is_about_places(&self) -> bool {
        self.area.is_some() || self.cells.is_some()
    }
}

impl Whereabouts {
    /// Knows nothing yet.
    pub fn new(wanted: Wanted) -> Whereabouts {
        Whereabouts {
            ids: wanted.ids.as_ref().map(|ids| ids.iter().cloned().collect()),
            wanted,
            members: HashSet::new(),
            members_as_of: Position::START,
            known: HashMap::new(),
        }
    }

    /// Begins (again) with a snapshot: the latest fix of each vehicle asked for, the members of the
    /// fleet, and the position those are as of. Tells what that changes.
    pub fn begin(
        &mut self,
        rows: Vec<FixRow>,
        members: HashSet<Arc<str>>,
        members_as_of: Position,
    ) -> Vec<Change> {
        (self.members, self.members_as_of) = (members, members_as_of);
        let before = std::mem::take(&mut self.known);
        let mut changes = Vec::new();
        for row in rows {
            let (vehicle, key) = (Arc::<str>::from(row.vehicle_id.as_str()), row.key());
            let same = before
                .get(&vehicle)
                .is_some_and(|was| was.shown && was.key == key);
            self.known.insert(vehicle, Known { key, shown: true });
            if !same {
                changes.push(Change::Moved(Box::new(row)));
            }
        }
        let missing = before
            .into_iter()
            .filter(|(vehicle, was)| was.shown && !self.known.contains_key(vehicle));
        changes.extend(missing.map(|(vehicle, _)| Change::Gone(vehicle)));
        changes
    }

    /// Takes an event in.
    pub fn fold(&mut self, event: &LogEvent) -> Option<Change> {
        let recorded = event.body.as_ref().ok()?;
        match &recorded.event {
            Event::Track(_) => {
                let fix = FixRow::newest_of(recorded)?;
                let vehicle = fix.vehicle_id.as_str();
                // Of a place, only those seen in it are known: another one's latest fix may be
                // newer than this one and elsewhere.
                let unknown = self.wanted.is_about_places() && !self.known.contains_key(vehicle);
                if unknown && self.concerns(vehicle) && self.wanted.holds(&fix) {
                    return Some(Change::Ask(vehicle.into()));
                }
                if unknown {
                    return None;
                }
                self.settle(fix)
            }
            Event::Vehicle(change) => {
                self.membership(&event.stored.aggregate_id, event.position, change)
            }
            // The others move no vehicle and change no membership.
            _ => None,
        }
    }

    /// Takes a vehicle's latest fix in, if it is newer than what is known.
    pub fn settle(&mut self, fix: FixRow) -> Option<Change> {
        if !self.concerns(&fix.vehicle_id) {
            return None;
        }
        let key = fix.key();
        let known = self.known.get_mut(fix.vehicle_id.as_str());
        if known.as_ref().is_some_and(|known| known.key >= key) {
            return None;
        }
        let shown = self.wanted.holds(&fix);
        let was_shown = known.is_some_and(|known| known.shown);
        let vehicle = fix.vehicle_id.as_str().into();
        self.known.insert(vehicle, Known { key, shown });
        match (shown, was_shown) {
            (true, _) => Some(Change::Moved(Box::new(fix))),
            (false, true) => Some(Change::Left(Box::new(fix))),
            (false, false) => None,
        }
    }

    /// The vehicles whose events it has to hear of.
    pub fn followed(&self) -> Vec<Arc<str>> {
        self.members
            .iter()
            .chain(self.known.keys())
            .cloned()
            .collect()
    }

    /// How many vehicles it remembers.
    pub fn remembered(&self) -> usize {
        self.known.len()
    }

    fn concerns(&self, vehicle: &str) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(vehicle))
            && (self.wanted.fleet.is_none() || self.members.contains(vehicle))
    }

    fn membership(
        &mut self,
        vehicle: &Arc<str>,
        at: Position,
        change: &VehicleEvent,
    ) -> Option<Change> {
        let fleet = self.wanted.fleet.as_deref()?;
        if at <= self.members_as_of {
            return None;
        }
        match change {
            VehicleEvent::VehicleJoinedFleet(joined) if joined.fleet_id == fleet => {
                self.members.insert(vehicle.clone());
                self.concerns(vehicle).then(|| Change::Ask(vehicle.clone()))
            }
            VehicleEvent::VehicleLeftFleet(left) if left.fleet_id == fleet => {
                self.members.remove(vehicle);
                let known = self.known.remove(vehicle)?;
                known.shown.then(|| Change::Gone(vehicle.clone()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
