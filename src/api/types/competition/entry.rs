//! Entries: somebody's part in a competition.

use async_graphql::{ComplexObject, ID, SimpleObject};
use domain::entry::{Entry, Played};

use crate::api::scalars::{DateTime, Score};
use crate::api::types::int;

/// Somebody's part in a competition.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct CompetitionEntry {
    /// The competition.
    competition_id: ID,
    /// Who: the id of a user, or what another system calls somebody without an account.
    user_id: ID,
    /// Since when they take part; null: they do not.
    joined_at: Option<DateTime>,
    /// Their groups.
    groups: Vec<String>,
    /// Their place, where the competition has a size.
    place: Option<i32>,
    /// Are they on no board?
    excluded: bool,
    /// Do they disagree with what was decided, and nobody has looked into it yet?
    disputed: bool,
    /// Number of events in its stream: what `expectedVersion` is compared with.
    stream_version: i32,
    #[graphql(skip)]
    state: Entry,
    #[graphql(skip)]
    decimals: u8,
}

/// What somebody has come to in one period.
#[derive(SimpleObject)]
pub struct EntryPeriod {
    /// The period, by key.
    key: String,
    /// What their scores that count make together; null: none counts. For DECREMENT: all that was taken
    /// away.
    score: Option<Score>,
    /// Tells equal scores apart.
    sub_score: Option<Score>,
    /// When that was first reached.
    achieved_at: Option<DateTime>,
    /// How many scores were handed in.
    attempts: i32,
    /// Scores that wait for a moderator; at most 100.
    waiting: Vec<WaitingScore>,
}

/// A score that counts only after a moderator has let it.
#[derive(SimpleObject)]
pub struct WaitingScore {
    /// Its number among the user's of the period, from 1.
    attempt: i32,
    /// The score.
    score: Score,
    /// When it was achieved.
    achieved_at: DateTime,
}

impl CompetitionEntry {
    /// As its stream tells it at a version, its scores with so many places.
    pub fn of(state: Entry, version: i64, decimals: u8) -> CompetitionEntry {
        CompetitionEntry {
            competition_id: ID(state.competition.clone()),
            user_id: ID(state.user.clone()),
            joined_at: state.joined_at.map(DateTime),
            groups: state.groups.iter().cloned().collect(),
            place: state.place.map(|place| int(place.into())),
            excluded: state.excluded,
            disputed: state.disputed,
            stream_version: int(version),
            state,
            decimals,
        }
    }

    /// What its user has come to in a period, if they handed anything in.
    pub fn in_period(&self, key: &str) -> Option<EntryPeriod> {
        let played = self.state.periods.get(key)?;
        Some(EntryPeriod::of(key, played, self.decimals))
    }
}

#[ComplexObject]
impl CompetitionEntry {
    /// What they have come to in a period; null if they handed in nothing.
    async fn period(&self, #[graphql(desc = "Which, by key.")] key: String) -> Option<EntryPeriod> {
        self.in_period(&key)
    }
}

impl EntryPeriod {
    fn of(key: &str, played: &Played, decimals: u8) -> EntryPeriod {
        let text = |score: domain::score::Score| Score::of_units(score.units(), decimals);
        let waiting = played.held.values().map(|held| WaitingScore {
            attempt: int(held.number.into()),
            score: text(held.score),
            achieved_at: DateTime(held.achieved_at),
        });
        let tally = played.tally;
        let attempts = i64::try_from(played.submissions.len()).unwrap_or(i64::MAX);
        EntryPeriod {
            key: key.to_owned(),
            score: tally.map(|tally| text(tally.score)),
            sub_score: tally.map(|tally| text(tally.sub_score)),
            achieved_at: tally.map(|tally| DateTime(tally.achieved_at)),
            attempts: int(attempts),
            waiting: waiting.collect(),
        }
    }
}
