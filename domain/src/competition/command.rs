//! What a competition can be told.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::rules::CompetitionRules;
use crate::log::Position;
use crate::prize::PrizePlan;
use crate::standing::Standing;

/// What a competition can be told. Its id comes with the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum CompetitionCommand {
    /// Write it down, for nobody to join yet. Exists already: `ALREADY_EXISTS`.
    Create {
        /// Its rules.
        rules: Box<CompetitionRules>,
    },
    /// Other rules, all of them. Opened: `RULES_FROZEN`.
    Revise {
        /// Its rules.
        rules: Box<CompetitionRules>,
    },
    /// What the places of every period's board are worth. Opened: `RULES_FROZEN`.
    DefinePrizes {
        /// All of it; left out: nothing.
        prizes: Option<PrizePlan>,
    },
    /// Invite users and groups; whoever is invited stays so.
    Invite {
        /// Users, by id.
        users: BTreeSet<String>,
        /// Groups, by key.
        groups: BTreeSet<String>,
    },
    /// Let users join. Not with an end that has passed: `OUTSIDE_WINDOW`.
    Open {
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// End it now, before its time: the period it is in ends now.
    CutShort {
        /// Why, in the operator's words.
        reason: Option<String>,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Call it off: no board is closed, and nothing is awarded, from now on.
    Cancel {
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// Take no more scores of a period that has ended, late ones included. Its standings are made of
    /// what the log holds by then. Sealed already: already so. Too early, or an earlier period is
    /// not closed: `PERIOD_OPEN`.
    SealPeriod {
        /// Which, by key.
        period: String,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Freeze the standings of a sealed period and award its prizes. Closed already: `PERIOD_CLOSED`. Read
    /// before the seal, or not ranked by the rules: `STANDINGS_DIFFER`.
    ClosePeriod {
        /// Which, by key.
        period: String,
        /// Where in the log the event stands that sealed it. Found by us, like all that follows.
        #[serde(skip_serializing)]
        sealed_at: Position,
        /// How far the log was read for it: to the seal, or beyond.
        #[serde(skip_serializing)]
        as_of: Position,
        /// The whole board as [`crate::standing::rank`] makes it. Not said by the caller, so no part of the
        /// command's fingerprint.
        #[serde(skip_serializing)]
        standings: Arc<[Standing]>,
        /// SHA-256 of [`crate::standing::canonical_text`] of it, lower-case hexadecimal.
        #[serde(skip_serializing)]
        standings_hash: String,
    },
}
