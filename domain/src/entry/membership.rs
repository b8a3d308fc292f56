//! Who takes part, and where places are numbered, on which.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::command::Join;
use super::event::{EntryEvent, EntryJoined, EntryLeft};
use super::{Entry, scoring};
use crate::aggregate::ClaimChange;
use crate::competition::{CompetitionRules, CompetitionStatus, JoinRule};
use crate::external::joined;
use crate::refusal::{Code, Refusal};
use crate::values::{id, key_part, too_large};

/// How many groups an entry may be in.
pub const GROUPS_MAX: usize = 20;

/// Scope of the claims on numbered places.
pub const PLACE_SCOPE: &str = "competition.place";

/// The key of a user's entry in a competition. Neither id holds a slash.
pub fn entry_id(competition: &str, user: &str) -> String {
    format!("{competition}/{user}")
}

/// The competition and the user of an entry, by its id; `None` if it is none.
pub fn entry_parts(id: &str) -> Option<(&str, &str)> {
    id.split_once('/')
}

/// The claim on a place of a competition, from 1. Each is held by one entry at a time, so that there
/// are never more entries than places, and two that take different places do not meet.
pub fn place_claim(competition: &str, place: u32) -> ClaimChange {
    ClaimChange {
        scope: PLACE_SCOPE,
        value: joined(&[competition, &place.to_string()]),
        release: false,
        personal: false,
    }
}

impl Entry {
    pub(super) fn join(&self, join: &Join) -> Result<Vec<EntryEvent>, Refusal> {
        let competition = key_part(&join.competition, "competition")?;
        let user = key_part(&join.user, "user")?;
        let groups = checked_groups(&join.groups)?;
        let rules = scoring::rules(&join.terms)?;
        self.must_not_be_excluded()?;
        if self.joined_at.is_some() {
            return Ok(vec![]);
        }
        let open = join.terms.status == Some(CompetitionStatus::Open);
        if !open || join.terms.ends_at.is_some_and(|end| end <= join.now) {
            let message = "the competition cannot be joined now";
            return Err(Refusal::new(Code::OutsideWindow, message));
        }
        if rules.join == JoinRule::Invited && !join.terms.invited {
            let message = "neither the user nor one of their groups is invited";
            return Err(Refusal::new(Code::NotInvited, message).at(["user"]));
        }
        if rules.consent_required && !join.consent {
            let message = "who takes part agrees to it first";
            return Err(Refusal::new(Code::ConsentRequired, message).at(["consent"]));
        }
        Ok(vec![EntryEvent::EntryJoined(EntryJoined {
            place: place(rules, join.place)?,
            competition,
            user,
            consent: join.consent,
            groups,
            at: join.now,
        })])
    }

    pub(super) fn leave(&self, now: DateTime<Utc>) -> Vec<EntryEvent> {
        if self.joined_at.is_none() {
            return vec![];
        }
        vec![EntryEvent::EntryLeft(EntryLeft { at: now })]
    }

    pub(super) fn must_not_be_excluded(&self) -> Result<(), Refusal> {
        if self.excluded {
            let message = "the user is excluded from the competition, and can dispute it";
            return Err(Refusal::new(Code::Excluded, message));
        }
        Ok(())
    }
}

/// A place within the competition's size, or none where any number may take part.
fn place(rules: &CompetitionRules, free: Option<u32>) -> Result<Option<u32>, Refusal> {
    let Some(size) = rules.size_max else {
        return Ok(None);
    };
    match free.filter(|place| (1..=size).contains(place)) {
        Some(place) => Ok(Some(place)),
        None => {
            let message = "the competition has no place left";
            Err(Refusal::new(Code::MaxSizeReached, message).with("max", size))
        }
    }
}

fn checked_groups(groups: &BTreeSet<String>) -> Result<BTreeSet<String>, Refusal> {
    let field = "groups";
    if groups.len() > GROUPS_MAX {
        return Err(too_large(groups.len(), GROUPS_MAX, "groups", field));
    }
    groups.iter().map(|group| id(group, field)).collect()
}
