//! A board kept in memory: who is where, while scores change, without ranking everybody anew.
//!
//! It says what [`crate::standing::rank`] says of the same contenders, at any moment.
//!
//! Entries lie in a table, in any order; their numbers lie in chunks, best first. A chunk knows how many
//! it holds and how many groups of equals begin in it, so that a rank is a sum over chunks and a search
//! within one. Whoever leaves keeps a place in the table, without one in the order.

use std::hash::{BuildHasher, RandomState};

use chrono::DateTime;
use hashbrown::HashTable;

use crate::score::{Score, Sort};
use crate::standing::{Contender, Standing, TiePolicy};

/// Most entries of a chunk.
const CHUNK_MAX: usize = 512;

/// The board of one period.
pub struct Board {
    sort: Sort,
    ties: TiePolicy,
    /// Everybody who ever was on it.
    entries: Vec<Entry>,
    /// Their ids, one behind the other.
    ids: String,
    /// Numbers of entries, by a hash of the id.
    index: HashTable<u32>,
    hasher: RandomState,
    /// None is empty, unless it is the only one.
    chunks: Vec<Chunk>,
    len: usize,
}

/// Where an entry stands among others: the lesser is the better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// Score and sub-score.
    level: (i64, i64),
    /// When that was reached, in microseconds since 1970: times in the log are no finer.
    achieved_at: i64,
}

struct Entry {
    key: Key,
    id_at: u32,
    id_len: u16,
    /// It is in the order.
    ranked: bool,
}

#[derive(Default)]
struct Chunk {
    /// Numbers of entries.
    entries: Vec<u32>,
    /// How many of them are no equals of the one before.
    groups: u32,
}

/// The chunk an entry is in, and where in it.
type Place = (usize, usize);

impl Board {
    /// With nobody on it.
    pub fn new(sort: Sort, ties: TiePolicy) -> Board {
        Board {
            sort,
            ties,
            entries: Vec::new(),
            ids: String::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            chunks: vec![Chunk::default()],
            len: 0,
        }
    }

    /// How many are on it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is nobody on it?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes of memory it takes, roughly.
    pub fn bytes(&self) -> usize {
        let chunk =
            |chunk: &Chunk| size_of::<Chunk>() + size_of::<u32>() * chunk.entries.capacity();
        size_of::<Board>()
            + self.chunks.iter().map(chunk).sum::<usize>()
            + self.ids.capacity()
            + size_of::<Entry>() * self.entries.capacity()
            + self.index.allocation_size()
    }

    /// Puts somebody where their score belongs, wherever they were before.
    ///
    /// # Panics
    ///
    /// With more than 2^32 users, or ids of more than 4 GiB.
    pub fn set(&mut self, contender: &Contender) {
        let key = self.key_of(contender);
        let number = self.number_of(&contender.user);
        let entry = self.entry(number);
        if entry.ranked {
            if entry.key == key {
                return;
            }
            self.take_out(number);
        }
        let entry = &mut self.entries[number as usize];
        (entry.key, entry.ranked) = (key, true);
        self.put_in(number);
    }

    /// Takes somebody off it.
    pub fn remove(&mut self, user: &str) {
        if let Some(number) = self.ranked(user) {
            self.take_out(number);
            self.entries[number as usize].ranked = false;
        }
    }

    /// Where somebody stands, if they are on it.
    pub fn standing(&self, user: &str) -> Option<Standing> {
        let place = self.locate(self.ranked(user)?);
        Some(self.shown(self.at(place), self.rank(place)))
    }

    /// So many standings, from the one that has so many before it.
    pub fn page(&self, before: usize, limit: usize) -> Vec<Standing> {
        let limit = limit.min(self.len.saturating_sub(before));
        let mut shown: Vec<Standing> = Vec::with_capacity(limit);
        let Some((chunk, at)) = self.place(before).filter(|_| limit > 0) else {
            return shown;
        };
        let mut rank = self.rank((chunk, at));
        let mut last = self.at((chunk, at));
        let numbers = self.chunks[chunk..].iter().flat_map(|chunk| &chunk.entries);
        for (place, &number) in (before as u64 + 1..).zip(numbers.skip(at).take(limit)) {
            if !shown.is_empty() && !self.is_equal(last, number) {
                rank = match self.ties {
                    TiePolicy::Dense => rank + 1,
                    _ => place,
                };
            }
            last = number;
            shown.push(self.shown(number, rank));
        }
        shown
    }

    /// The standing of somebody, with so many before it and so many behind it, as far as there are;
    /// empty if they are not on the board.
    pub fn around(&self, user: &str, each_side: usize) -> Vec<Standing> {
        let Some(number) = self.ranked(user) else {
            return Vec::new();
        };
        let (chunk, at) = self.locate(number);
        let before = self.before(chunk) + at;
        let first = before.saturating_sub(each_side);
        let limit = (before - first).saturating_add(1).saturating_add(each_side);
        self.page(first, limit)
    }

    fn shown(&self, number: u32, rank: u64) -> Standing {
        let entry = self.entry(number);
        let units = |key: i64| match self.sort {
            Sort::Descending => -key,
            Sort::Ascending => key,
        };
        let score = |key| Score::of_units(units(key), "score").unwrap_or_default();
        Standing {
            rank,
            user: self.id(entry).to_owned(),
            score: score(entry.key.level.0),
            sub_score: score(entry.key.level.1),
            achieved_at: DateTime::from_timestamp_micros(entry.key.achieved_at).unwrap_or_default(),
        }
    }

    fn rank(&self, place: Place) -> u64 {
        let (chunk, at) = place;
        let key = self.entry(self.at(place)).key;
        let first = match self.ties {
            TiePolicy::Dense => return self.groups_to(place),
            TiePolicy::Ordinal => return (self.before(chunk) + at) as u64 + 1,
            TiePolicy::Earliest => key,
            TiePolicy::Competition => Key {
                achieved_at: i64::MIN,
                ..key
            },
        };
        let (chunk, at) = self.search(|number| self.entry(number).key < first);
        (self.before(chunk) + at) as u64 + 1
    }

    /// How many groups begin up to an entry, its own included.
    fn groups_to(&self, (chunk, at): Place) -> u64 {
        let before = self.chunks[..chunk]
            .iter()
            .map(|chunk| u64::from(chunk.groups));
        let within = (0..=at).filter(|at| self.begins((chunk, *at))).count();
        before.sum::<u64>() + within as u64
    }

    /// Is this entry no equal of the one before it?
    fn begins(&self, (chunk, at): Place) -> bool {
        let before = match at.checked_sub(1) {
            Some(at) => Some(self.at((chunk, at))),
            None => self.chunks[..chunk]
                .iter()
                .rev()
                .find_map(|chunk| chunk.entries.last().copied()),
        };
        before.is_none_or(|before| !self.is_equal(before, self.at((chunk, at))))
    }

    fn is_equal(&self, a: u32, b: u32) -> bool {
        let (a, b) = (self.entry(a).key, self.entry(b).key);
        match self.ties {
            TiePolicy::Competition | TiePolicy::Dense => a.level == b.level,
            TiePolicy::Earliest => a == b,
            TiePolicy::Ordinal => false,
        }
    }

    fn put_in(&mut self, number: u32) {
        let (chunk, at) = self.locate(number);
        // The one behind gets another neighbour, and may begin a group or not any more.
        self.uncount(self.existing((chunk, at)));
        self.chunks[chunk].entries.insert(at, number);
        self.len += 1;
        self.count(Some((chunk, at)));
        self.count(self.existing((chunk, at + 1)));
        if self.chunks[chunk].entries.len() > CHUNK_MAX {
            self.cut(chunk);
        }
    }

    fn take_out(&mut self, number: u32) {
        let (chunk, at) = self.locate(number);
        self.uncount(Some((chunk, at)));
        self.uncount(self.existing((chunk, at + 1)));
        self.chunks[chunk].entries.remove(at);
        self.len -= 1;
        self.count(self.existing((chunk, at)));
        if self.chunks[chunk].entries.is_empty() && self.chunks.len() > 1 {
            self.chunks.remove(chunk);
        }
    }

    fn count(&mut self, place: Option<Place>) {
        if let Some(place) = place.filter(|place| self.begins(*place)) {
            self.chunks[place.0].groups += 1;
        }
    }

    fn uncount(&mut self, place: Option<Place>) {
        if let Some(place) = place.filter(|place| self.begins(*place)) {
            self.chunks[place.0].groups -= 1;
        }
    }

    /// The place of the entry that is there, or of the first behind it.
    fn existing(&self, (chunk, at): Place) -> Option<Place> {
        if at < self.chunks[chunk].entries.len() {
            return Some((chunk, at));
        }
        let later = self.chunks[chunk + 1..]
            .iter()
            .position(|chunk| !chunk.entries.is_empty());
        later.map(|later| (chunk + 1 + later, 0))
    }

    fn cut(&mut self, chunk: usize) {
        let entries = &mut self.chunks[chunk].entries;
        let behind = entries.split_off(entries.len() / 2);
        entries.shrink_to_fit();
        let behind = Chunk {
            entries: behind,
            groups: 0,
        };
        let len = behind.entries.len();
        self.chunks.insert(chunk + 1, behind);
        let groups = (0..len)
            .map(|at| u32::from(self.begins((chunk + 1, at))))
            .sum();
        self.chunks[chunk].groups -= groups;
        self.chunks[chunk + 1].groups = groups;
    }

    /// Where an entry lies, or belongs.
    fn locate(&self, number: u32) -> Place {
        let key = |number| {
            let entry = self.entry(number);
            (entry.key, self.id(entry))
        };
        let own = key(number);
        self.search(|other| key(other) < own)
    }

    /// The place behind all entries of which this is true, as it is of the first ones alone: behind the
    /// last of a chunk rather than before the first of the next.
    fn search(&self, is_before: impl Fn(u32) -> bool) -> Place {
        let whole = |chunk: &Chunk| chunk.entries.last().is_some_and(|last| is_before(*last));
        let chunk = self
            .chunks
            .partition_point(whole)
            .min(self.chunks.len() - 1);
        let entries = &self.chunks[chunk].entries;
        (chunk, entries.partition_point(|number| is_before(*number)))
    }

    /// Where the entry is that has so many before it.
    fn place(&self, before: usize) -> Option<Place> {
        let mut left = before;
        for (number, chunk) in self.chunks.iter().enumerate() {
            match left.checked_sub(chunk.entries.len()) {
                Some(rest) => left = rest,
                None => return Some((number, left)),
            }
        }
        None
    }

    /// How many entries lie in the chunks before this one.
    fn before(&self, chunk: usize) -> usize {
        let before = self.chunks[..chunk].iter().map(|chunk| chunk.entries.len());
        before.sum()
    }

    fn at(&self, (chunk, at): Place) -> u32 {
        self.chunks[chunk].entries[at]
    }

    fn entry(&self, number: u32) -> &Entry {
        &self.entries[number as usize]
    }

    fn id(&self, entry: &Entry) -> &str {
        id(&self.ids, entry)
    }

    fn ranked(&self, user: &str) -> Option<u32> {
        self.find(user).filter(|number| self.entry(*number).ranked)
    }

    fn find(&self, user: &str) -> Option<u32> {
        let is = |number: &u32| self.id(self.entry(*number)) == user;
        self.index.find(self.hasher.hash_one(user), is).copied()
    }

    fn number_of(&mut self, user: &str) -> u32 {
        if let Some(number) = self.find(user) {
            return number;
        }
        let number = u32::try_from(self.entries.len()).expect("fewer than 2^32 users");
        self.entries.push(Entry {
            key: Key::default(),
            id_at: u32::try_from(self.ids.len()).expect("ids take less than 4 GiB"),
            id_len: u16::try_from(user.len()).expect("an id is short"),
            ranked: false,
        });
        self.ids.push_str(user);
        let (ids, entries, hasher) = (&self.ids, &self.entries, &self.hasher);
        let hash = |number: &u32| hasher.hash_one(id(ids, &entries[*number as usize]));
        self.index
            .insert_unique(hasher.hash_one(user), number, hash);
        number
    }

    /// Scores are at least zero, so that none is too small to be turned round.
    fn key_of(&self, contender: &Contender) -> Key {
        let (score, sub_score) = (contender.score.units(), contender.sub_score.units());
        Key {
            level: match self.sort {
                Sort::Descending => (-score, -sub_score),
                Sort::Ascending => (score, sub_score),
            },
            achieved_at: contender.achieved_at.timestamp_micros(),
        }
    }
}

fn id<'i>(ids: &'i str, entry: &Entry) -> &'i str {
    let from = entry.id_at as usize;
    &ids[from..from + usize::from(entry.id_len)]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::given::at;
    use crate::standing::rank;

    fn contender(user: u32, score: i64, sub_score: i64, seconds: i64) -> Contender {
        let units = |units| Score::of_units(units, "score").expect("a score");
        Contender {
            user: format!("u{user:06}"),
            score: units(score),
            sub_score: units(sub_score),
            achieved_at: at(seconds),
        }
    }

    fn check(board: &Board, expect: &[Standing]) {
        assert_eq!(
            (board.len(), board.is_empty()),
            (expect.len(), expect.is_empty())
        );
        assert_eq!(board.page(0, usize::MAX), expect);
        for (index, standing) in expect.iter().enumerate() {
            assert_eq!(board.standing(&standing.user).as_ref(), Some(standing));
            let (first, end) = (index.saturating_sub(2), (index + 3).min(expect.len()));
            assert_eq!(board.around(&standing.user, 2), expect[first..end]);
            assert_eq!(board.page(index, 1), expect[index..=index]);
        }
        assert_eq!(board.standing("nobody"), None);
        assert_eq!(board.around("nobody", 5), []);
        assert_eq!(board.page(expect.len(), 5), []);
        assert_eq!(board.page(usize::MAX, 5), []);
    }

    proptest! {
        /// Whatever happened to it, the board is the one of those who are on it.
        #[test]
        fn a_board_that_changes_is_the_board_made_anew(
            told in prop::collection::vec((0u32..30, 0i64..4, 0i64..2, 0i64..3, 0u32..4), 0..120),
            ties in prop::sample::select(TiePolicy::ALL),
            sort in prop::sample::select(Sort::ALL),
        ) {
            let (mut board, mut present) = (Board::new(sort, ties), BTreeMap::new());
            for (user, score, sub_score, seconds, leaves) in told {
                let contender = contender(user, score, sub_score, seconds);
                if leaves == 0 {
                    board.remove(&contender.user);
                    present.remove(&contender.user);
                } else {
                    board.set(&contender);
                    present.insert(contender.user.clone(), contender);
                }
            }
            let present: Vec<Contender> = present.into_values().collect();
            check(&board, &rank(present, sort, ties));
        }
    }

    /// Chunks are split, and go again.
    #[test]
    fn a_board_of_thousands_stays_in_order() {
        for ties in TiePolicy::ALL.iter().copied() {
            let mut board = Board::new(Sort::Descending, ties);
            let told: Vec<_> = (0..5_000)
                .map(|n| contender(n, i64::from(n * 7_919 % 1_000), 0, i64::from(n % 10)))
                .collect();
            told.iter().for_each(|contender| board.set(contender));
            let expect = rank(told.clone(), Sort::Descending, ties);
            assert_eq!(board.page(0, 5_000), expect);
            assert_eq!(board.page(4_990, 20), expect[4_990..]);
            told[1..]
                .iter()
                .for_each(|contender| board.remove(&contender.user));
            assert_eq!(board.page(0, 5).len(), 1);
            assert_eq!(
                board.standing("u000000").map(|standing| standing.rank),
                Some(1)
            );
        }
    }

    /// D18
    #[test]
    fn a_hundred_thousand_of_one_score_are_each_found() {
        let mut board = Board::new(Sort::Descending, TiePolicy::Competition);
        (0..100_000).for_each(|n| board.set(&contender(n, 5, 0, 0)));
        board.set(&contender(100_000, 4, 0, 0));
        let rank = |user: &str| board.standing(user).map(|standing| standing.rank);
        assert_eq!((rank("u000000"), rank("u099999")), (Some(1), Some(1)));
        assert_eq!(rank("u100000"), Some(100_001));
        let page: Vec<String> = board.page(50_000, 3).into_iter().map(|s| s.user).collect();
        assert_eq!(page, ["u050000", "u050001", "u050002"]);
    }
}
