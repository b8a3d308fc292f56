//! What an entry can be told.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::event::{DisputeOutcome, Submission};
use crate::competition::Terms;

/// What an entry can be told. Its competition and user come with the stream.
///
/// What the competition's stream says at that moment comes as [`Terms`]: seen by us, not said by the
/// caller, so no part of the command's fingerprint. It is decided again if that stream has moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum EntryCommand {
    /// Take part. Takes part already: already so.
    Join(Join),
    /// Take no part any more, and free the place.
    Leave {
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Hand in a score. The same one was handed in before: already so; another one of the same id or
    /// moment: `DUPLICATE_DIFFERS`.
    SubmitScore {
        /// The score.
        submission: Submission,
        /// What the competition says.
        #[serde(skip_serializing)]
        terms: Box<Terms>,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Let a score count that waits. None such waits: `NOT_FOUND`.
    ReleaseScore {
        /// In which period, by key.
        period: String,
        /// Which score: its number.
        attempt: u32,
        /// Who decides, by id.
        by: String,
        /// Why, in their words.
        reason: Option<String>,
        /// What the competition says.
        #[serde(skip_serializing)]
        terms: Box<Terms>,
    },
    /// Let a score that waits never count. None such waits: `NOT_FOUND`.
    DismissScore {
        /// In which period, by key.
        period: String,
        /// Which score: its number.
        attempt: u32,
        /// Who decides, by id.
        by: String,
        /// Why, in their words.
        reason: String,
    },
    /// Take it off every board, and let it hand in nothing. Excluded already: already so.
    Exclude {
        /// Who decides, by id.
        by: String,
        /// Why, in their words.
        reason: String,
    },
    /// Put it back. Not excluded: already so.
    Reinstate {
        /// Who decides, by id.
        by: String,
        /// Why, in their words.
        reason: String,
    },
    /// Disagree with what was decided. A dispute is open: `ILLEGAL_TRANSITION`.
    OpenDispute {
        /// What the user says.
        statement: String,
    },
    /// Decide on the dispute. None is open: `ILLEGAL_TRANSITION`.
    ResolveDispute {
        /// How it ends.
        outcome: DisputeOutcome,
        /// Who decides, by id.
        by: String,
        /// Why, in their words.
        reason: String,
    },
}

/// Somebody takes part.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    /// In which competition, by id.
    pub competition: String,
    /// Who, by id.
    pub user: String,
    /// Do they agree to taking part?
    pub consent: bool,
    /// Their groups, by key.
    pub groups: BTreeSet<String>,
    /// A place that seems to be free, where places are numbered; `None`: there is none.
    #[serde(skip_serializing)]
    pub place: Option<u32>,
    /// What the competition says.
    #[serde(skip_serializing)]
    pub terms: Box<Terms>,
    /// The time.
    #[serde(skip_serializing)]
    pub now: DateTime<Utc>,
}
