//! An entry: somebody's part in a competition, with every score they handed in.
//!
//! Each entry is a stream of its own, so that none waits for another. What they share is in the
//! competition's stream, which each decision relies on at a version, and in numbered places, of which
//! the log gives each to one entry at a time.

mod command;
mod event;
mod membership;
mod moderation;
mod scoring;

pub use command::{EntryCommand, Join};
pub use event::{
    DisputeOpened, DisputeOutcome, DisputeResolved, EntryEvent, EntryExcluded, EntryJoined,
    EntryLeft, EntryReinstated, ScoreAccepted, ScoreDismissed, ScoreHeld, ScoreReleased,
    Submission,
};
pub use membership::{GROUPS_MAX, PLACE_SCOPE, entry_id, entry_parts, place_claim};
pub use scoring::{AHEAD_SCORE_SECONDS_MAX, HELD_MAX};

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, ClaimChange, Shape};
use crate::personal::PersonalField;
use crate::refusal::Refusal;
use crate::score::{Attempt, Tally};

/// How many periods an entry remembers: more than can take scores at once, and more than a list has.
const PERIODS_KEPT: usize = 400;

/// The state an entry's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// The competition, by id; empty before anybody joined.
    pub competition: String,
    /// Who, by id; empty before anybody joined.
    pub user: String,
    /// Since when they take part; `None`: they do not.
    pub joined_at: Option<DateTime<Utc>>,
    /// Their groups, by key.
    pub groups: BTreeSet<String>,
    /// Their place, where places are numbered.
    pub place: Option<u32>,
    /// Are they excluded?
    pub excluded: bool,
    /// Is a dispute open?
    pub disputed: bool,
    /// What they did in the latest periods, by key.
    pub periods: BTreeMap<String, Played>,
}

/// What somebody did in one period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Played {
    /// What the scores that count come to; `None`: none counts.
    pub tally: Option<Tally>,
    /// Every score handed in, by its id or moment.
    pub submissions: BTreeMap<String, Submission>,
    /// Scores that wait for a moderator, by number.
    pub held: BTreeMap<u32, Attempt>,
}

impl Entry {
    /// Is it on the boards?
    pub fn ranks(&self) -> bool {
        self.joined_at.is_some() && !self.excluded
    }

    fn played(&mut self, period: &str) -> &mut Played {
        if !self.periods.contains_key(period) && self.periods.len() >= PERIODS_KEPT {
            self.periods.pop_first();
        }
        self.periods.entry(period.to_owned()).or_default()
    }
}

impl Aggregate for Entry {
    const TYPE: &'static str = "entry";
    type Command = EntryCommand;
    type Event = EntryEvent;
    const SHAPE: Option<Shape<Entry>> = Some(Shape::json(1));

    fn decide(&self, command: &EntryCommand) -> Result<Vec<EntryEvent>, Refusal> {
        match command {
            EntryCommand::Join(join) => self.join(join),
            EntryCommand::Leave { now } => Ok(self.leave(*now)),
            EntryCommand::SubmitScore {
                submission,
                terms,
                now,
            } => self.submit(submission, terms, *now),
            EntryCommand::ReleaseScore {
                period,
                attempt,
                by,
                reason,
                terms,
            } => self.release((period, *attempt), by, reason.as_deref(), terms),
            EntryCommand::DismissScore {
                period,
                attempt,
                by,
                reason,
            } => self.dismiss((period, *attempt), by, reason),
            EntryCommand::Exclude { by, reason } => self.exclude(by, reason),
            EntryCommand::Reinstate { by, reason } => self.reinstate(by, reason),
            EntryCommand::OpenDispute { statement } => self.dispute(statement),
            EntryCommand::ResolveDispute {
                outcome,
                by,
                reason,
            } => self.resolve(*outcome, by, reason),
        }
    }

    fn apply(&mut self, event: &EntryEvent) {
        match event {
            EntryEvent::EntryJoined(e) => {
                self.competition.clone_from(&e.competition);
                self.user.clone_from(&e.user);
                self.groups.clone_from(&e.groups);
                self.place = e.place;
                self.joined_at = Some(e.at);
            }
            EntryEvent::EntryLeft(_) => {
                self.joined_at = None;
                self.place = None;
            }
            EntryEvent::ScoreAccepted(e) => {
                let played = self.played(&e.period);
                played.remember(&e.submission);
                played.tally = Some(e.tally);
            }
            EntryEvent::ScoreHeld(e) => {
                let attempt = e.submission.attempt(e.attempt);
                let played = self.played(&e.period);
                played.remember(&e.submission);
                played.held.insert(e.attempt, attempt);
            }
            EntryEvent::ScoreReleased(e) => {
                let played = self.played(&e.period);
                played.held.remove(&e.attempt);
                played.tally = Some(e.tally);
            }
            EntryEvent::ScoreDismissed(e) => {
                self.played(&e.period).held.remove(&e.attempt);
            }
            EntryEvent::EntryExcluded(_) => self.excluded = true,
            EntryEvent::EntryReinstated(_) => self.excluded = false,
            EntryEvent::DisputeOpened(_) => self.disputed = true,
            EntryEvent::DisputeResolved(_) => self.disputed = false,
        }
    }

    fn claims(&self, event: &EntryEvent) -> Vec<ClaimChange> {
        match event {
            EntryEvent::EntryJoined(e) => {
                let place = e.place.map(|place| place_claim(&e.competition, place));
                place.into_iter().collect()
            }
            EntryEvent::EntryLeft(_) => {
                let place = self
                    .place
                    .map(|place| place_claim(&self.competition, place));
                let freed = place.map(|claim| ClaimChange {
                    release: true,
                    ..claim
                });
                freed.into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn personal<'e>(id: &str, event: &'e mut EntryEvent) -> Vec<PersonalField<'e>> {
        moderation::personal(id, event)
    }

    fn weight_bytes(&self) -> usize {
        let played = self.periods.iter().map(|(key, played)| {
            let handed_in = played.submissions.iter();
            let handed_in: usize = handed_in
                .map(|(key, submission)| size_of_val(submission) + 3 * key.capacity())
                .sum();
            let held = played.held.len() * size_of::<(u32, Attempt)>();
            size_of_val(played) + key.capacity() + handed_in + held
        });
        let groups: usize = self
            .groups
            .iter()
            .map(|g| size_of_val(g) + g.capacity())
            .sum();
        let names = self.competition.capacity() + self.user.capacity();
        size_of::<Self>() + names + groups + played.sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
