//! Which of the waiting appends may go together, and beside what is in flight. Pure.

use std::collections::{HashMap, HashSet};

use domain::StreamKey;
use uuid::Uuid;

use super::StoreSettings;
use super::append::{Append, StreamWrite};

/// Streams that some appends write or rely on.
#[derive(Default)]
struct Streams {
    written: HashSet<StreamKey>,
    /// With how many appends rely on each.
    relied: HashMap<StreamKey, usize>,
}

impl Streams {
    /// Must this wait for them? Any number may rely on a stream at once; whoever writes it is alone.
    fn bar(&self, write: &StreamWrite) -> bool {
        self.written.contains(&write.stream)
            || !write.events.is_empty() && self.relied.contains_key(&write.stream)
    }

    fn add(&mut self, append: &Append) {
        for write in &append.writes {
            if write.events.is_empty() {
                *self.relied.entry(write.stream.clone()).or_default() += 1;
            } else {
                self.written.insert(write.stream.clone());
            }
        }
    }

    fn remove(&mut self, append: &Append) {
        for write in &append.writes {
            if !write.events.is_empty() {
                self.written.remove(&write.stream);
            } else if let Some(count) = self.relied.get_mut(&write.stream) {
                *count -= 1;
                if *count == 0 {
                    self.relied.remove(&write.stream);
                }
            }
        }
    }
}

type ClaimKey = (String, [u8; 16]);

fn claims(append: &Append) -> impl Iterator<Item = ClaimKey> {
    let key = |c: &super::append::Claim| (c.scope.clone(), c.value_hash);
    append.claims.iter().map(key)
}

/// What the groups in flight touch.
#[derive(Default)]
pub(super) struct Busy {
    streams: Streams,
    claims: HashSet<ClaimKey>,
    commands: HashSet<Uuid>,
    bulk: usize,
}

impl Busy {
    /// Is a group of bulk batches in flight?
    pub fn has_bulk(&self) -> bool {
        self.bulk > 0
    }

    /// A group departs.
    pub fn add<'a>(&mut self, group: impl Iterator<Item = &'a Append>, bulk: bool) {
        self.bulk += usize::from(bulk);
        for append in group {
            self.commands.insert(append.command_id);
            self.streams.add(append);
            self.claims.extend(claims(append));
        }
    }

    /// It has come back.
    pub fn remove<'a>(&mut self, group: impl Iterator<Item = &'a Append>, bulk: bool) {
        self.bulk -= usize::from(bulk);
        for append in group {
            self.commands.remove(&append.command_id);
            self.streams.remove(append);
            for claim in claims(append) {
                self.claims.remove(&claim);
            }
        }
    }
}

/// Where a group leaves a stream.
#[derive(Clone, Copy, Default)]
struct Left {
    version: i64,
    written: bool,
}

/// A group in the making.
pub(super) struct Pick<'a> {
    busy: &'a Busy,
    settings: &'a StoreSettings,
    /// From so many commands on only those are taken that could not leave beside this group.
    share: usize,
    commands: HashSet<Uuid>,
    bytes: usize,
    bulk: Option<bool>,
    claims: HashSet<ClaimKey>,
    /// Where those picked leave their streams.
    left: HashMap<StreamKey, Left>,
    /// Streams of those left behind: nobody overtakes them.
    behind: Streams,
}

impl<'a> Pick<'a> {
    /// A group of that many commands, and of those that could not leave beside it.
    pub fn new(busy: &'a Busy, settings: &'a StoreSettings, share: usize) -> Pick<'a> {
        Pick {
            busy,
            settings,
            share,
            commands: HashSet::new(),
            bytes: 0,
            bulk: None,
            claims: HashSet::new(),
            left: HashMap::new(),
            behind: Streams::default(),
        }
    }

    /// Is it a group of bulk batches?
    pub fn is_bulk(&self) -> bool {
        self.bulk == Some(true)
    }

    /// Takes it in, or leaves it behind. To be asked in the order in which they came.
    pub fn takes(&mut self, append: &Append) -> bool {
        let bytes = append.bytes();
        let bulk = bytes >= self.settings.bulk_bytes_min;
        let takes = self.has_room(append, bytes, bulk) && self.is_free(append);
        if !takes {
            self.behind.add(append);
            return false;
        }
        self.bytes += bytes;
        self.bulk = Some(bulk);
        self.commands.insert(append.command_id);
        for write in &append.writes {
            let left = self.left.entry(write.stream.clone()).or_default();
            left.version = write.expected.saturating_add(write.events.len() as i64);
            left.written |= !write.events.is_empty();
        }
        self.claims.extend(claims(append));
        true
    }

    fn has_room(&self, append: &Append, bytes: usize, bulk: bool) -> bool {
        let bytes_max = if bulk {
            self.settings.bulk_group_bytes_max
        } else {
            self.settings.group_bytes_max
        };
        let count = self.commands.len();
        self.bulk.is_none_or(|b| b == bulk)
            && !(bulk && self.busy.has_bulk())
            && count < self.settings.group_commands_max
            && (count == 0 || self.bytes + bytes <= bytes_max)
            && (count < self.share || append.writes.iter().any(|w| self.must_have(w)))
    }

    /// Could it not be under way in another group beside this one?
    fn must_have(&self, write: &StreamWrite) -> bool {
        let left = self.left.get(&write.stream);
        left.is_some_and(|left| left.written || !write.events.is_empty())
    }

    fn is_free(&self, append: &Append) -> bool {
        !self.busy.commands.contains(&append.command_id)
            && !self.commands.contains(&append.command_id)
            && append.writes.iter().all(|write| {
                !self.busy.streams.bar(write) && !self.behind.bar(write) && self.continues(write)
            })
            && claims(append).all(|c| !self.busy.claims.contains(&c) && !self.claims.contains(&c))
    }

    /// In a group only the first write of a stream meets the stream's version; the others must follow
    /// on it. One that does not was decided on another state: it meets the version in a later group.
    fn continues(&self, write: &StreamWrite) -> bool {
        let left = self.left.get(&write.stream);
        left.is_none_or(|left| left.version == write.expected)
    }
}

#[cfg(test)]
mod tests {
    use super::super::append::Claim;
    use super::super::append::drafts::{append, write};
    use super::*;

    fn one(id: &str, expected: i64) -> Append {
        append(vec![write(id, expected, 1)])
    }

    /// Writes a stream of its own and relies on another.
    fn relying(id: &str, on: &str, version: i64) -> Append {
        append(vec![write(id, 0, 1), write(on, version, 0)])
    }

    /// Which of the waiting go in one group beside those in flight, by their places.
    fn picked(flying: &[Append], waiting: &[Append], share: usize) -> Vec<usize> {
        let (mut busy, settings) = (Busy::default(), StoreSettings::default());
        busy.add(flying.iter(), false);
        let mut pick = Pick::new(&busy, &settings, share);
        let taken = waiting.iter().enumerate();
        taken
            .filter(|(_, append)| pick.takes(append))
            .map(|(place, _)| place)
            .collect()
    }

    #[test]
    fn whoever_writes_a_stream_is_alone_and_any_number_relies_on_it() {
        let flying = [relying("a", "rules", 4), one("b", 1)];
        let waiting = [
            relying("c", "rules", 4),
            one("rules", 4),
            // Decided on what is still waiting.
            relying("d", "rules", 5),
            one("b", 2),
            relying("e", "b", 2),
            one("f", 0),
        ];
        assert_eq!(picked(&flying, &waiting, 9), [0, 5]);
        assert_eq!(picked(&[], &waiting, 9), [0, 1, 2, 3, 5]);
    }

    #[test]
    fn nobody_overtakes_what_waits_for_the_same_stream() {
        let flying = [one("a", 1)];
        let held_up = || append(vec![write("a", 2, 1), write("rules", 4, 0)]);
        let waiting = [held_up(), one("rules", 4), relying("b", "rules", 4)];
        assert_eq!(picked(&flying, &waiting, 9), [0; 0]);
        let waiting = [held_up(), relying("b", "rules", 4)];
        assert_eq!(picked(&flying, &waiting, 9), [1]);
    }

    #[test]
    fn those_of_one_stream_are_not_torn_apart() {
        let waiting: Vec<Append> = (0..8)
            .map(|n| one(["a", "b"][n % 2], n as i64 / 2))
            .collect();
        assert_eq!(picked(&[], &waiting, 4).len(), 8);
        let relying: Vec<Append> = (0..8).map(|n| relying(&n.to_string(), "r", 1)).collect();
        assert_eq!(picked(&[], &relying, 4), [0, 1, 2, 3]);
    }

    #[test]
    fn when_a_group_is_back_nothing_of_it_is_in_the_way() {
        let mut holding = relying("a", "rules", 4);
        holding.claims.push(Claim {
            scope: "plate".into(),
            value_hash: [1; 16],
            aggregate_id: "a".into(),
            release: false,
        });
        let flying = [holding, relying("b", "rules", 4)];
        let (mut busy, settings) = (Busy::default(), StoreSettings::default());
        let takes = |busy: &Busy, append: &Append| Pick::new(busy, &settings, 1).takes(append);
        let mut wanting = one("c", 0);
        wanting.claims = vec![Claim {
            scope: "plate".into(),
            value_hash: [1; 16],
            aggregate_id: "c".into(),
            release: false,
        }];
        busy.add(flying.iter(), true);
        assert!(busy.has_bulk() && !takes(&busy, &wanting) && !takes(&busy, &flying[0]));
        assert!(!takes(&busy, &one("rules", 4)));
        busy.remove(flying[..1].iter(), true);
        assert!(!busy.has_bulk() && takes(&busy, &wanting) && takes(&busy, &flying[0]));
        assert!(!takes(&busy, &one("rules", 4)), "one still relies on it");
        busy.add([].iter(), true);
        busy.remove(flying[1..].iter(), true);
        assert!(takes(&busy, &one("rules", 4)));
    }
}
