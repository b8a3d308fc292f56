//! Competitions, who takes part, their scores, and what boards were when they were closed.
//!
//! What can be said again is kept with the position that said it last, and all that moves a board (what
//! somebody's scores come to, joining and leaving, exclusions) stands a second time as a fact of its own,
//! keyed by position. So a board *as of a position* is a filter, and ranges of the log may arrive in any
//! order.
//!
//! Scores that are handed in stand here. A board of activities is made when it is asked for, of
//! [`crate::activities`] and of who takes part.
//!
//! What people say of somebody stands here as it stands in the log, sealed with a key of that user.

mod fold;
mod tables;
mod write;
mod read;
#[cfg(test)]
mod tests;

pub use read::{
    Among, AwardCursor, AwardRow, Board, ClosedRow, CompetitionRow, Contenders, DecisionRow,
    DisputeRow, EntryRow, HeldRow, Moved, PeriodRow, PlayedRow, around, awards, awards_of_user,
    before_rank, competition, competitions, entries, entries_of_user, entry, everybody, evidence,
    held_scores, known, moved, open_disputes, page, period, periods, periods_of, played, size,
    standing,
};

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::competition::{CompetitionRules, CompetitionStatus, PeriodClosed, PrizesCalculated};
use domain::entry::{DisputeOutcome, ScoreHeld};
use domain::prize::PrizePlan;
use domain::score::Tally;
use domain::{Event, Recorded};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::latest::{Latest, keep_last, keep_last_of};
use crate::{Poison, Projection, Target};

/// The read model's name.
pub const NAME: &str = "competitions";

/// See the file's first lines.
pub(crate) struct Competitions;

/// What changed about what.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delta {
    competitions: HashMap<String, CompetitionChange>,
    entries: HashMap<EntryKey, EntryChange>,
    /// By entry and position.
    memberships: HashMap<(EntryKey, i64), Membership>,
    scores: HashMap<ScoreKey, Latest<Tally>>,
    /// By score and position, with the recorded time.
    tallies: HashMap<(ScoreKey, i64), (DateTime<Utc>, Tally)>,
    /// By score and attempt.
    held: HashMap<(ScoreKey, i64), HeldChange>,
    /// By (competition, period).
    periods: HashMap<(String, String), PeriodChange>,
    awards: HashMap<ScoreKey, Latest<Awarded>>,
}

/// (competition, user).
type EntryKey = (String, String);

/// (competition, period, user).
type ScoreKey = (String, String, String);

#[derive(Debug, Default, PartialEq)]
struct CompetitionChange {
    rules: Option<Latest<Box<CompetitionRules>>>,
    prizes: Option<Latest<Option<PrizePlan>>>,
    status: Option<Latest<CompetitionStatus>>,
    created_at: Option<Latest<DateTime<Utc>>>,
    opened_at: Option<Latest<DateTime<Utc>>>,
    cut_at: Option<Latest<DateTime<Utc>>>,
    /// When it was over, or called off.
    ended_at: Option<Latest<DateTime<Utc>>>,
    /// Why it was cut short or called off.
    reason: Option<Latest<Option<String>>>,
    /// Who takes part, who is excluded, who is invited: sums.
    entries: i64,
    excluded: i64,
    invited: i64,
    seen: Seen,
}

/// How far a stream was seen.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    version: i64,
    position: i64,
}

#[derive(Debug, Default, PartialEq)]
struct EntryChange {
    member: Option<Latest<Member>>,
    excluded: Option<Latest<Decision>>,
    reinstated: Option<Latest<Decision>>,
    disputed: Option<Latest<Dispute>>,
    resolved: Option<Latest<Resolution>>,
    seen: Seen,
}

/// Takes part, or not any more.
#[derive(Debug, PartialEq)]
enum Member {
    Joined {
        at: DateTime<Utc>,
        groups: BTreeSet<String>,
        place: Option<u32>,
        consent: bool,
    },
    Left {
        at: DateTime<Utc>,
    },
}

/// What somebody decided about an entry.
#[derive(Debug, PartialEq)]
struct Decision {
    at: DateTime<Utc>,
    by: String,
    reason: Option<Words>,
}

/// Words about somebody, sealed, and the event that holds them.
#[derive(Debug, PartialEq)]
struct Words {
    sealed: String,
    event: Uuid,
}

#[derive(Debug, PartialEq)]
struct Dispute {
    at: DateTime<Utc>,
    statement: Words,
}

#[derive(Debug, PartialEq)]
struct Resolution {
    outcome: DisputeOutcome,
    decision: Decision,
}

/// Whether an entry is on its boards from a position on; what an event does not say is `None`.
#[derive(Debug, Default, PartialEq)]
struct Membership {
    member: Option<bool>,
    joined_at: Option<DateTime<Utc>>,
    excluded: Option<bool>,
    groups: BTreeSet<String>,
}

#[derive(Debug, Default, PartialEq)]
struct HeldChange {
    held: Option<Latest<(DateTime<Utc>, ScoreHeld)>>,
    /// Does it count?
    decided: Option<Latest<(bool, Decision)>>,
}

#[derive(Debug, Default, PartialEq)]
struct PeriodChange {
    sealed: Option<Latest<SealedPeriod>>,
    closed: Option<Latest<(DateTime<Utc>, PeriodClosed)>>,
    prizes: Option<Latest<PrizesCalculated>>,
}

#[derive(Debug, PartialEq)]
struct SealedPeriod {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    at: DateTime<Utc>,
}

#[derive(Debug, PartialEq)]
struct Awarded {
    rank: u64,
    amount: i64,
}

impl Projection for Competitions {
    const NAME: &'static str = NAME;
    const VERSION: i32 = 1;
    const AGGREGATES: &'static [&'static str] = &["competition", "entry"];
    const TABLES: &'static [&'static str] = &[
        "competitions",
        "competition_entries",
        "competition_memberships",
        "competition_scores",
        "competition_tallies",
        "competition_held",
        "competition_periods",
        "competition_awards",
    ];
    type Delta = Delta;

    fn ddl(target: &Target<'_>) -> Vec<String> {
        tables::ddl(target)
    }

    fn fold(delta: &mut Delta, event: &Recorded<Event>) -> Result<(), Poison> {
        match &event.event {
            Event::Competition(what) => {
                fold::competition(delta, event, what);
                Ok(())
            }
            Event::Entry(what) => fold::entry(delta, event, what),
            // Of other aggregates: not asked for.
            _ => Ok(()),
        }
    }

    fn merge(into: &mut Delta, from: Delta) {
        for (id, change) in from.competitions {
            into.competitions.entry(id).or_default().merge(change);
        }
        for (key, change) in from.entries {
            into.entries.entry(key).or_default().merge(change);
        }
        into.memberships.extend(from.memberships);
        for (key, tally) in from.scores {
            keep_last_of(&mut into.scores, key, tally);
        }
        into.tallies.extend(from.tallies);
        for (key, change) in from.held {
            let kept = into.held.entry(key).or_default();
            keep_last(&mut kept.held, change.held);
            keep_last(&mut kept.decided, change.decided);
        }
        for (key, change) in from.periods {
            let kept = into.periods.entry(key).or_default();
            keep_last(&mut kept.sealed, change.sealed);
            keep_last(&mut kept.closed, change.closed);
            keep_last(&mut kept.prizes, change.prizes);
        }
        for (key, award) in from.awards {
            keep_last_of(&mut into.awards, key, award);
        }
    }

    fn rows(delta: &Delta) -> usize {
        delta.competitions.len()
            + delta.entries.len()
            + delta.memberships.len()
            + delta.scores.len()
            + delta.tallies.len()
            + delta.held.len()
            + delta.periods.len()
            + delta.awards.len()
    }

    async fn write<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Delta,
    ) -> Result<(), sqlx::Error> {
        write::delta(conn, target, delta).await
    }
}

impl CompetitionChange {
    fn merge(&mut self, from: CompetitionChange) {
        keep_last(&mut self.rules, from.rules);
        keep_last(&mut self.prizes, from.prizes);
        keep_last(&mut self.status, from.status);
        keep_last(&mut self.created_at, from.created_at);
        keep_last(&mut self.opened_at, from.opened_at);
        keep_last(&mut self.cut_at, from.cut_at);
        keep_last(&mut self.ended_at, from.ended_at);
        keep_last(&mut self.reason, from.reason);
        self.entries += from.entries;
        self.excluded += from.excluded;
        self.invited += from.invited;
        self.seen.merge(from.seen);
    }
}

impl EntryChange {
    fn merge(&mut self, from: EntryChange) {
        keep_last(&mut self.member, from.member);
        keep_last(&mut self.excluded, from.excluded);
        keep_last(&mut self.reinstated, from.reinstated);
        keep_last(&mut self.disputed, from.disputed);
        keep_last(&mut self.resolved, from.resolved);
        self.seen.merge(from.seen);
    }
}

impl Member {
    fn joined_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Member::Joined { at, .. } => Some(*at),
            Member::Left { .. } => None,
        }
    }

    fn left_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Member::Joined { .. } => None,
            Member::Left { at } => Some(*at),
        }
    }

    fn groups(&self) -> Option<&BTreeSet<String>> {
        match self {
            Member::Joined { groups, .. } => Some(groups),
            Member::Left { .. } => None,
        }
    }

    fn place(&self) -> Option<i64> {
        match self {
            Member::Joined { place, .. } => place.map(i64::from),
            Member::Left { .. } => None,
        }
    }

    fn consent(&self) -> Option<bool> {
        match self {
            Member::Joined { consent, .. } => Some(*consent),
            Member::Left { .. } => None,
        }
    }
}

impl Seen {
    fn see(&mut self, event: &Recorded<Event>) {
        self.merge(Seen {
            version: event.sequence,
            position: event.position.0,
        });
    }

    fn merge(&mut self, other: Seen) {
        self.version = self.version.max(other.version);
        self.position = self.position.max(other.position);
    }
}
