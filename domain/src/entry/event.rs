//! What can have happened to somebody's entry in a competition.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::competition::GuardRule;
use crate::personal::Personal;
use crate::score::{Score, Tally};
use crate::words::words;

words! {
    /// How a dispute ended.
    DisputeOutcome {
        Upheld "upheld" "What was disputed stays.";
        Overturned "overturned" "It was wrong: who was excluded is not any more.";
    }
}

/// What happened to an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EntryEvent {
    /// Somebody takes part.
    #[serde(rename = "entry.joined")]
    EntryJoined(EntryJoined),
    /// They do not any more.
    #[serde(rename = "entry.left")]
    EntryLeft(EntryLeft),
    /// A score counts.
    #[serde(rename = "entry.score_accepted")]
    ScoreAccepted(ScoreAccepted),
    /// A score waits for a moderator.
    #[serde(rename = "entry.score_held")]
    ScoreHeld(ScoreHeld),
    /// A score that waited counts.
    #[serde(rename = "entry.score_released")]
    ScoreReleased(ScoreReleased),
    /// A score that waited will not count.
    #[serde(rename = "entry.score_dismissed")]
    ScoreDismissed(ScoreDismissed),
    /// The entry is on no board.
    #[serde(rename = "entry.excluded")]
    EntryExcluded(EntryExcluded),
    /// It is again.
    #[serde(rename = "entry.reinstated")]
    EntryReinstated(EntryReinstated),
    /// Its user does not agree with what was decided.
    #[serde(rename = "entry.dispute_opened")]
    DisputeOpened(DisputeOpened),
    /// That was looked into.
    #[serde(rename = "entry.dispute_resolved")]
    DisputeResolved(DisputeResolved),
}

/// Takes part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntryJoined {
    /// In which competition, by id.
    pub competition: String,
    /// Who, by id.
    pub user: String,
    /// Did they agree to taking part?
    pub consent: bool,
    /// The groups whose boards they are on, by key.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Their place, from 1, where places are numbered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u32>,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// Takes no part: no board shows what they achieved, unless they join again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntryLeft {
    /// Since when.
    pub at: DateTime<Utc>,
}

/// A score as it was handed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Submission {
    /// What whoever hands it in calls it; unique per entry. Left out: it is known by its moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The score.
    pub score: Score,
    /// Tells equal scores apart.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sub_score: Score,
    /// When it was achieved.
    pub achieved_at: DateTime<Utc>,
    /// What it comes from, such as a device or an app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Was it entered by hand?
    #[serde(default)]
    pub manual: bool,
}

fn is_zero(score: &Score) -> bool {
    *score == Score::ZERO
}

/// Counts. The last event of a period with a tally tells what its user has come to in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoreAccepted {
    /// The score.
    pub submission: Submission,
    /// In which period, by key: in this one alone.
    pub period: String,
    /// Its number among the user's of the period, from 1.
    pub attempt: u32,
    /// What the scores of the period that count come to with it.
    pub tally: Tally,
}

/// Waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoreHeld {
    /// The score.
    pub submission: Submission,
    /// In which period it would count, by key.
    pub period: String,
    /// Its number among the user's of the period, from 1.
    pub attempt: u32,
    /// Which rule holds it.
    pub rule: GuardRule,
    /// What the rule found, in a sentence with its numbers.
    pub reason: String,
}

/// Counts after all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoreReleased {
    /// In which period, by key.
    pub period: String,
    /// Which score: its number.
    pub attempt: u32,
    /// What the scores of the period that count come to with it.
    pub tally: Tally,
    /// Who decided, by id.
    pub by: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Personal>,
}

/// Does not count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoreDismissed {
    /// In which period, by key.
    pub period: String,
    /// Which score: its number.
    pub attempt: u32,
    /// Who decided, by id.
    pub by: String,
    /// Why, in their words.
    pub reason: Personal,
}

/// On no board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntryExcluded {
    /// Who decided, by id.
    pub by: String,
    /// Why, in their words.
    pub reason: Personal,
}

/// On its boards again, with all it achieved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntryReinstated {
    /// Who decided, by id.
    pub by: String,
    /// Why, in their words.
    pub reason: Personal,
}

/// Disputed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DisputeOpened {
    /// What its user says.
    pub statement: Personal,
}

/// Looked into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DisputeResolved {
    /// How it ended.
    pub outcome: DisputeOutcome,
    /// Who decided, by id.
    pub by: String,
    /// Why, in their words.
    pub reason: Personal,
}
