//! What can have happened to a competition.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::rules::CompetitionRules;
use crate::log::Position;
use crate::prize::{Award, PrizePlan};
use crate::standing::Standing;

/// What happened to a competition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CompetitionEvent {
    /// It was written down.
    #[serde(rename = "competition.created")]
    CompetitionCreated(CompetitionCreated),
    /// It got other rules.
    #[serde(rename = "competition.revised")]
    CompetitionRevised(CompetitionRevised),
    /// Its prizes were said.
    #[serde(rename = "competition.prizes_defined")]
    PrizesDefined(PrizesDefined),
    /// Somebody was invited.
    #[serde(rename = "competition.invited")]
    CompetitionInvited(CompetitionInvited),
    /// It can be joined, and its rules stay.
    #[serde(rename = "competition.opened")]
    CompetitionOpened(CompetitionOpened),
    /// It ends earlier than was said.
    #[serde(rename = "competition.cut_short")]
    CompetitionCutShort(CompetitionCutShort),
    /// It was called off.
    #[serde(rename = "competition.cancelled")]
    CompetitionCancelled(CompetitionCancelled),
    /// A period takes no more scores.
    #[serde(rename = "competition.period_sealed")]
    PeriodSealed(PeriodSealed),
    /// The standings of a period are final.
    #[serde(rename = "competition.period_closed")]
    PeriodClosed(PeriodClosed),
    /// What a period's prizes come to.
    #[serde(rename = "competition.prizes_calculated")]
    PrizesCalculated(PrizesCalculated),
    /// Who gets what for a period.
    #[serde(rename = "competition.prizes_awarded")]
    PrizesAwarded(PrizesAwarded),
    /// Its last period is closed.
    #[serde(rename = "competition.ended")]
    CompetitionEnded(CompetitionEnded),
}

/// Written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompetitionCreated {
    /// Its rules.
    pub rules: Box<CompetitionRules>,
}

/// Revised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompetitionRevised {
    /// All its rules.
    pub rules: Box<CompetitionRules>,
}

/// Worth something, or nothing any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrizesDefined {
    /// All of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prizes: Option<PrizePlan>,
}

/// Invited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompetitionInvited {
    /// Users who were not before, by id.
    pub users: BTreeSet<String>,
    /// Groups that were not before, by key.
    pub groups: BTreeSet<String>,
}

/// Opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompetitionOpened {
    /// When.
    pub at: DateTime<Utc>,
}

/// Ended early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompetitionCutShort {
    /// The first moment after it.
    pub at: DateTime<Utc>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Called off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompetitionCancelled {
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Sealed: a score accepted before this event in the log belongs to its period, none is after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeriodSealed {
    /// Which, by key.
    pub period: String,
    /// Its first moment.
    pub start: DateTime<Utc>,
    /// The first moment after it.
    pub end: DateTime<Utc>,
}

/// Closed. The whole board can be made again from the log up to `as_of`, and the hash shows that it is
/// the one that was frozen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeriodClosed {
    /// Which, by key.
    pub period: String,
    /// How far the log was read.
    pub as_of: Position,
    /// How many are on the board.
    pub entries: u64,
    /// SHA-256 of [`crate::standing::canonical_text`] of the whole board, lower-case hexadecimal.
    pub standings_hash: String,
    /// The first of the board, at most [`super::FROZEN_STANDINGS_MAX`].
    pub top: Vec<Standing>,
}

/// What prizes come to, in the smallest unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrizesCalculated {
    /// Of which period, by key.
    pub period: String,
    /// What is given.
    pub currency: String,
    /// How many decimal places an amount has.
    pub decimals: u8,
    /// What there was to give.
    pub pool: i64,
    /// What is given in all. More than the pool only where prizes are duplicated.
    pub total: i64,
    /// To how many.
    pub winners: u64,
}

/// Awarded: some of the winners, best first; the others are in the events beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrizesAwarded {
    /// For which period, by key.
    pub period: String,
    /// At most [`super::AWARDS_PER_EVENT`].
    pub awards: Vec<Award>,
}

/// Over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompetitionEnded {}
