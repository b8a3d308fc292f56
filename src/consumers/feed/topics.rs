//! Whom an event concerns: looked up by what the event is about, so that nobody else is asked.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::Event;
use domain::vehicle::VehicleEvent;
use projections::{H3Cell, positions};

use super::interest::{Interest, Keys, Tile, tile};
use crate::consumers::LogEvent;

/// Names a subscriber of one tenant's feed.
pub(super) type Id = u64;

/// The subscribers of one tenant, by what they want to hear of.
#[derive(Default)]
pub(super) struct Topics {
    entries: HashMap<Id, Entry>,
    every: Vec<Id>,
    kinds: HashMap<Arc<str>, Vec<Id>>,
    streams: HashMap<Arc<str>, Vec<Id>>,
    types: HashMap<Arc<str>, Vec<Id>>,
    vehicles: HashMap<Arc<str>, Vec<Id>>,
    fleets: HashMap<Arc<str>, Vec<Id>>,
    tiles: HashMap<Tile, Vec<Id>>,
    /// By resolution, so that a place is looked up only where somebody asks.
    cells: HashMap<u8, HashMap<i64, Vec<Id>>>,
    /// Of the centres of cells, by their resolution.
    centres: HashMap<u8, HashMap<Tile, Vec<Id>>>,
    /// Every report of positions.
    reports: Vec<Id>,
    found: Vec<Id>,
}

struct Entry {
    interest: Interest,
    keys: Keys,
    /// Hears of every report until it knows which vehicles concern it.
    wide: bool,
    /// The vehicles it hears of beside its keys: members of its fleet, those seen in its area.
    followed: HashSet<Arc<str>>,
    followed_max: usize,
}

impl Topics {
    /// Adds a subscriber that follows at most so many vehicles.
    pub fn add(&mut self, id: Id, interest: Interest, followed_max: usize) {
        let keys = interest.keys();
        self.index(&keys, |ids| ids.push(id));
        let wide = interest.follows();
        self.entries.insert(
            id,
            Entry {
                interest,
                keys,
                wide: false,
                followed: HashSet::new(),
                followed_max,
            },
        );
        if wide {
            self.widen(id);
        }
    }

    /// Removes a subscriber. True if it was the last.
    pub fn remove(&mut self, id: Id) -> bool {
        if let Some(entry) = self.entries.remove(&id) {
            let gone = |ids: &mut Vec<Id>| ids.retain(|other| *other != id);
            self.index(&entry.keys, gone);
            gone(&mut self.reports);
            for vehicle in &entry.followed {
                forget(&mut self.vehicles, vehicle, id);
            }
        }
        self.entries.is_empty()
    }

    /// Lets a subscriber hear of every report again, and follow nobody.
    pub fn widen(&mut self, id: Id) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if !entry.interest.follows() {
            return;
        }
        for vehicle in entry.followed.drain() {
            forget(&mut self.vehicles, &vehicle, id);
        }
        if !std::mem::replace(&mut entry.wide, true) {
            self.reports.push(id);
        }
    }

    /// Lets a subscriber hear of these vehicles, and of those that come to concern it, alone.
    /// False if there are more than it may follow.
    pub fn narrow(&mut self, id: Id, vehicles: impl IntoIterator<Item = Arc<str>>) -> bool {
        if !self
            .entries
            .get(&id)
            .is_some_and(|entry| entry.interest.follows())
        {
            return true;
        }
        let fits = vehicles
            .into_iter()
            .all(|vehicle| self.follow(id, &vehicle));
        if let Some(entry) = self.entries.get_mut(&id)
            && fits
            && std::mem::replace(&mut entry.wide, false)
        {
            self.reports.retain(|other| *other != id);
        }
        fits
    }

    /// The subscribers an event concerns, each once; `Err` beside those that would have to follow
    /// more vehicles than they may.
    pub fn concerned(&mut self, event: &LogEvent) -> Vec<Result<Id, Id>> {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        let stored = &event.stored;
        found.extend(&self.every);
        for (index, key) in [
            (&self.kinds, &stored.aggregate_type),
            (&self.streams, &stored.aggregate_id),
            (&self.types, &stored.event_type),
        ] {
            found.extend(index.get(key).into_iter().flatten());
        }
        let mut overfull = Vec::new();
        match event.body.as_ref().map(|recorded| &recorded.event) {
            Ok(Event::Vehicle(change)) => {
                self.membership(&stored.aggregate_id, change, &mut found, &mut overfull);
            }
            Ok(Event::Track(_)) => self.report(event, &mut found, &mut overfull),
            // The others move no vehicle and change no membership.
            Ok(_) | Err(_) => {}
        }
        found.sort_unstable();
        found.dedup();
        let wants = |id: &Id| {
            self.entries
                .get(id)
                .is_some_and(|e| e.interest.wants(event))
        };
        let concerned = found.iter().copied().filter(wants);
        let concerned = concerned
            .map(|id| {
                if overfull.contains(&id) {
                    Err(id)
                } else {
                    Ok(id)
                }
            })
            .collect();
        self.found = found;
        concerned
    }

    /// Whoever follows the fleet hears of who joins and leaves, and from then on of who joined.
    fn membership(
        &mut self,
        vehicle: &Arc<str>,
        change: &VehicleEvent,
        found: &mut Vec<Id>,
        overfull: &mut Vec<Id>,
    ) {
        let (fleet, joins) = match change {
            VehicleEvent::VehicleJoinedFleet(joined) => (&joined.fleet_id, true),
            VehicleEvent::VehicleLeftFleet(left) => (&left.fleet_id, false),
            _ => return,
        };
        let followers = self.fleets.get(fleet.as_str()).cloned().unwrap_or_default();
        for id in followers {
            found.push(id);
            if joins && !self.follow(id, vehicle) {
                overfull.push(id);
            }
        }
    }

    fn report(&mut self, event: &LogEvent, found: &mut Vec<Id>, overfull: &mut Vec<Id>) {
        found.extend(&self.reports);
        self.counted(event, found);
        let newest = event.body.as_ref().ok().and_then(positions::newest);
        let Some((reported, index)) = newest else {
            return;
        };
        let vehicle = reported.vehicle_id.as_str();
        found.extend(self.vehicles.get(vehicle).into_iter().flatten());
        let Some(fix) = reported.fixes.get(index.unsigned_abs() as usize) else {
            return;
        };
        let mut entered = Vec::new();
        if !self.tiles.is_empty() {
            let ids = self.tiles.get(&tile(fix.lat, fix.lon));
            let inside = |id: &&Id| match self.entries.get(id).map(|e| &e.interest) {
                Some(Interest::Area(area)) => area.contains(fix.lat, fix.lon),
                _ => false,
            };
            entered.extend(ids.into_iter().flatten().filter(inside));
        }
        if !self.cells.is_empty()
            && let Some(base) = H3Cell::of(fix.lat, fix.lon)
        {
            for (resolution, cells) in &self.cells {
                let cell = base.parent(*resolution).map(H3Cell::stored);
                let ids = cell.and_then(|cell| cells.get(&cell));
                entered.extend(ids.into_iter().flatten());
            }
        }
        if entered.is_empty() {
            return;
        }
        let vehicle: Arc<str> = vehicle.into();
        for id in entered {
            found.push(id);
            // Whoever saw it come is told when it goes.
            if !self.follow(id, &vehicle) {
                overfull.push(id);
            }
        }
    }

    /// Whoever counts fixes in cells whose centres lie in an area.
    fn counted(&self, event: &LogEvent, found: &mut Vec<Id>) {
        let Ok(Event::Track(domain::track::TrackEvent::PositionsReported(reported))) =
            event.body.as_ref().map(|recorded| &recorded.event)
        else {
            return;
        };
        for (resolution, tiles) in &self.centres {
            let mut last = None;
            for fix in &reported.fixes {
                let cell = H3Cell::of(fix.lat, fix.lon);
                let cell = cell.and_then(|cell| cell.parent(*resolution));
                if cell == last {
                    continue;
                }
                last = cell;
                let centre = cell.map(|cell| cell.centre());
                let ids = centre.and_then(|(lat, lon)| tiles.get(&tile(lat, lon)));
                found.extend(ids.into_iter().flatten());
            }
        }
    }

    fn follow(&mut self, id: Id, vehicle: &Arc<str>) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return true;
        };
        if entry.followed.contains(vehicle) {
            return true;
        }
        if entry.followed.len() >= entry.followed_max {
            return false;
        }
        entry.followed.insert(vehicle.clone());
        self.vehicles.entry(vehicle.clone()).or_default().push(id);
        true
    }

    /// Changes the subscribers under each of these keys; keys without any are dropped.
    fn index(&mut self, keys: &Keys, change: impl Fn(&mut Vec<Id>)) {
        fn at<K: std::hash::Hash + Eq + Clone>(
            index: &mut HashMap<K, Vec<Id>>,
            keys: &[K],
            change: &impl Fn(&mut Vec<Id>),
        ) {
            for key in keys {
                let ids = index.entry(key.clone()).or_default();
                change(ids);
                if ids.is_empty() {
                    index.remove(key);
                }
            }
        }
        match keys {
            Keys::Every => change(&mut self.every),
            Keys::Reports => change(&mut self.reports),
            Keys::Kinds(kinds) => at(&mut self.kinds, kinds, &change),
            Keys::Stream(id) => at(&mut self.streams, std::slice::from_ref(id), &change),
            Keys::Types(types) => at(&mut self.types, types, &change),
            Keys::Vehicles(vehicles) => at(&mut self.vehicles, vehicles, &change),
            Keys::Fleet(fleet) => at(&mut self.fleets, std::slice::from_ref(fleet), &change),
            Keys::Tiles(tiles) => at(&mut self.tiles, tiles, &change),
            Keys::Cells(cells) => {
                for (resolution, cell) in cells {
                    let index = self.cells.entry(*resolution).or_default();
                    at(index, std::slice::from_ref(cell), &change);
                    if index.is_empty() {
                        self.cells.remove(resolution);
                    }
                }
            }
            Keys::Centres(resolution, tiles) => {
                let index = self.centres.entry(*resolution).or_default();
                at(index, tiles, &change);
                if index.is_empty() {
                    self.centres.remove(resolution);
                }
            }
        }
    }
}

fn forget(index: &mut HashMap<Arc<str>, Vec<Id>>, vehicle: &str, id: Id) {
    if let Some(ids) = index.get_mut(vehicle) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            index.remove(vehicle);
        }
    }
}

#[cfg(test)]
mod tests;
