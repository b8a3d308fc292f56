//! A board kept in memory: who is where, while scores change, without ranking everybody anew.
//!
//! It says what [`crate::standing::rank`] says of the same contenders, at any moment, and costs a few
//! hundred comparisons a question where that one sorts them all.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::score::{Score, Sort};
use crate::standing::{Contender, Standing, TiePolicy};

/// How many items of a sorted list stand together.
const CHUNK_MAX: usize = 512;

/// The board of one period.
#[derive(Clone, Debug)]
pub struct Board {
    sort: Sort,
    ties: TiePolicy,
    /// Everybody, best first.
    places: Sorted<Place>,
    /// Each pair of scores once, best first, with how many have it; for [`TiePolicy::Dense`] alone.
    levels: Sorted<(Level, usize)>,
    /// Where each user stands.
    users: HashMap<Arc<str>, Place>,
}

/// Scores in the order of the board: the lesser is the better.
type Level = (i64, i64);

/// A line of the board. The lesser stands before the greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    level: Level,
    achieved_at: DateTime<Utc>,
    user: Arc<str>,
}

impl Board {
    /// With nobody on it.
    pub fn new(sort: Sort, ties: TiePolicy) -> Board {
        Board {
            sort,
            ties,
            places: Sorted::default(),
            levels: Sorted::default(),
            users: HashMap::new(),
        }
    }

    /// How many are on it.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Is nobody on it?
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Puts somebody where their score belongs, wherever they were before.
    pub fn set(&mut self, contender: &Contender) {
        self.remove(&contender.user);
        let place = Place {
            level: self.level(contender.score, contender.sub_score),
            achieved_at: contender.achieved_at,
            user: Arc::from(contender.user.as_str()),
        };
        if self.ties == TiePolicy::Dense {
            let level = place.level;
            match self.levels.find(|(other, _)| *other < level) {
                Some((other, users)) if *other == level => *users += 1,
                _ => self.levels.insert((level, 1), |(other, _)| *other < level),
            }
        }
        self.places.insert(place.clone(), |other| *other < place);
        self.users.insert(place.user.clone(), place);
    }

    /// Takes somebody off it.
    pub fn remove(&mut self, user: &str) {
        let Some(place) = self.users.remove(user) else {
            return;
        };
        self.places.remove(|other| *other < place);
        if self.ties != TiePolicy::Dense {
            return;
        }
        let level = place.level;
        match self.levels.find(|(other, _)| *other < level) {
            Some((_, users)) if *users > 1 => *users -= 1,
            _ => self.levels.remove(|(other, _)| *other < level),
        }
    }

    /// Where somebody stands, if they are on it.
    pub fn standing(&self, user: &str) -> Option<Standing> {
        Some(self.shown(self.users.get(user)?))
    }

    /// So many standings, from the one that has so many before it.
    pub fn page(&self, before: usize, limit: usize) -> Vec<Standing> {
        let places = self.places.from(before).take(limit);
        places.map(|place| self.shown(place)).collect()
    }

    /// The standing of somebody, with so many before it and so many behind it, as far as there are;
    /// empty if they are not on the board.
    pub fn around(&self, user: &str, each_side: usize) -> Vec<Standing> {
        let Some(place) = self.users.get(user) else {
            return Vec::new();
        };
        let before = self.places.count(|other| other < place);
        let first = before.saturating_sub(each_side);
        let limit = (before - first).saturating_add(1).saturating_add(each_side);
        self.page(first, limit)
    }

    fn shown(&self, place: &Place) -> Standing {
        let units = |key: i64| match self.sort {
            Sort::Descending => -key,
            Sort::Ascending => key,
        };
        let score = |key| Score::of_units(units(key), "score").unwrap_or_default();
        Standing {
            rank: self.rank(place),
            user: place.user.as_ref().to_owned(),
            score: score(place.level.0),
            sub_score: score(place.level.1),
            achieved_at: place.achieved_at,
        }
    }

    fn rank(&self, place: &Place) -> u64 {
        let level = place.level;
        let reached = (level, place.achieved_at);
        let better = match self.ties {
            TiePolicy::Competition => self.places.count(|other| other.level < level),
            TiePolicy::Dense => self.levels.count(|(other, _)| *other < level),
            TiePolicy::Ordinal => self.places.count(|other| other < place),
            TiePolicy::Earliest => {
                let earlier = |other: &Place| (other.level, other.achieved_at) < reached;
                self.places.count(earlier)
            }
        };
        better as u64 + 1
    }

    /// Scores are at least zero, so that none is too small to be turned round.
    fn level(&self, score: Score, sub_score: Score) -> Level {
        match self.sort {
            Sort::Descending => (-score.units(), -sub_score.units()),
            Sort::Ascending => (score.units(), sub_score.units()),
        }
    }
}

/// A sorted list that tells how many items stand before a place. Items are in chunks: to count is to
/// add up the lengths of those before, to insert is to move half a chunk.
///
/// A place is told by a question that the items before it answer with yes, and all others with no.
#[derive(Clone, Debug)]
struct Sorted<T> {
    /// None is empty.
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Sorted { chunks: Vec::new() }
    }
}

impl<T> Sorted<T> {
    /// The chunk a place is in, and where in it: behind the last chunk if no item is behind it.
    fn locate(&self, is_before: impl Fn(&T) -> bool) -> (usize, usize) {
        let whole = |chunk: &Vec<T>| chunk.last().is_some_and(&is_before);
        let chunk = self.chunks.partition_point(whole);
        let within = self.chunks.get(chunk);
        (
            chunk,
            within.map_or(0, |items| items.partition_point(&is_before)),
        )
    }

    fn count(&self, is_before: impl Fn(&T) -> bool) -> usize {
        let (chunk, within) = self.locate(is_before);
        let whole = self.chunks.iter().take(chunk);
        whole.map(Vec::len).sum::<usize>() + within
    }

    /// The first item that is not before the place.
    fn find(&mut self, is_before: impl Fn(&T) -> bool) -> Option<&mut T> {
        let (chunk, within) = self.locate(is_before);
        self.chunks.get_mut(chunk)?.get_mut(within)
    }

    fn insert(&mut self, item: T, is_before: impl Fn(&T) -> bool) {
        let (chunk, within) = self.locate(is_before);
        let Some(items) = self.chunks.get_mut(chunk) else {
            match self.chunks.last_mut() {
                Some(last) if last.len() < CHUNK_MAX => last.push(item),
                _ => self.chunks.push(vec![item]),
            }
            return;
        };
        items.insert(within, item);
        if items.len() > CHUNK_MAX {
            let rest = items.split_off(CHUNK_MAX / 2);
            self.chunks.insert(chunk + 1, rest);
        }
    }

    /// Takes out the first item that is not before the place.
    fn remove(&mut self, is_before: impl Fn(&T) -> bool) {
        let (chunk, within) = self.locate(is_before);
        let Some(items) = self.chunks.get_mut(chunk) else {
            return;
        };
        items.remove(within);
        if items.is_empty() {
            self.chunks.remove(chunk);
        }
    }

    /// All items but so many of the first.
    fn from(&self, before: usize) -> impl Iterator<Item = &T> {
        let mut left = before;
        let skipped = self.chunks.iter().take_while(|chunk| {
            let skips = left >= chunk.len();
            left -= if skips { chunk.len() } else { 0 };
            skips
        });
        let skipped = skipped.count();
        self.chunks[skipped..].iter().flatten().skip(left)
    }
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
