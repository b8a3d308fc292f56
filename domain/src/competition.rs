//! A competition: its rules, its periods, and what their boards were when they were closed.
//!
//! Who takes part, and with which scores, is in a stream of each one's own ([`crate::entry`]), so
//! that a thousand who join at once do not wait for each other. Both meet in the version of the
//! competition's stream: a score is accepted only while its period is not sealed.

mod rules;
mod command;
mod event;
mod closing;

pub use command::CompetitionCommand;
pub use event::{
    CompetitionCancelled, CompetitionCreated, CompetitionCutShort, CompetitionEnded,
    CompetitionEvent, CompetitionInvited, CompetitionOpened, CompetitionRevised, PeriodClosed,
    PeriodSealed, PrizesAwarded, PrizesCalculated, PrizesDefined,
};
pub use rules::{
    ATTEMPTS_MAX, CLOSE_DELAY_SECONDS_MAX, CompetitionRules, CountsFrom, GuardRule, Guards,
    JoinRule, Metric, SIZE_MAX, SOURCES_MAX,
};

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Shape};
use crate::prize::PrizePlan;
use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, id, key_part, optional_text, too_large};
use crate::words::words;

/// How many standings stand in the event that closes a period; the others are behind its hash.
pub const FROZEN_STANDINGS_MAX: usize = 100;
/// How many awards stand in one event.
pub const AWARDS_PER_EVENT: usize = 500;
/// How many users and groups may be invited.
pub const INVITED_MAX: usize = 10_000;

words! {
    /// Where a competition stands.
    CompetitionStatus {
        Draft "draft" "Its rules can change.";
        Open "open" "It can be joined.";
        Ended "ended" "Its last period is closed.";
        Cancelled "cancelled" "It was called off.";
    }
}

/// The state a competition's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Competition {
    /// Where it stands; `None` before it is known.
    pub status: Option<CompetitionStatus>,
    /// Its rules.
    pub rules: Option<Box<CompetitionRules>>,
    /// What its places are worth.
    pub prizes: Option<PrizePlan>,
    /// Users who are invited, by id.
    pub users: BTreeSet<String>,
    /// Groups that are invited, by key.
    pub groups: BTreeSet<String>,
    /// The first moment after it, where it was cut short.
    pub cut_at: Option<DateTime<Utc>>,
    /// The end of the last period that takes no more scores.
    pub sealed_until: Option<DateTime<Utc>>,
    /// The key of the period that is sealed and not closed.
    pub closing: Option<String>,
}

/// What an entry has to know of its competition to decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Where it stands; `None`: there is no such competition.
    pub status: Option<CompetitionStatus>,
    /// Its rules.
    pub rules: Option<Box<CompetitionRules>>,
    /// The first moment after it, as things stand.
    pub ends_at: Option<DateTime<Utc>>,
    /// The end of the last period that takes no more scores.
    pub sealed_until: Option<DateTime<Utc>>,
    /// Is the user of the entry invited, or one of the groups?
    pub invited: bool,
}

impl Competition {
    /// What the entry of a user, who is in these groups, has to know.
    pub fn terms(&self, user: &str, groups: &BTreeSet<String>) -> Terms {
        Terms {
            status: self.status,
            rules: self.rules.clone(),
            ends_at: self.ends_at(),
            sealed_until: self.sealed_until,
            invited: self.users.contains(user) || !self.groups.is_disjoint(groups),
        }
    }

    /// The first moment after it, as things stand.
    pub fn ends_at(&self) -> Option<DateTime<Utc>> {
        let said = self.rules.as_ref().and_then(|rules| rules.ends_at);
        said.into_iter().chain(self.cut_at).min()
    }

    fn must_exist(&self) -> Result<(CompetitionStatus, &CompetitionRules), Refusal> {
        let known = self.status.zip(self.rules.as_deref());
        known.ok_or_else(|| Refusal::new(Code::NotFound, "no such competition"))
    }

    fn must_be_draft(&self) -> Result<&CompetitionRules, Refusal> {
        match self.must_exist()? {
            (CompetitionStatus::Draft, rules) => Ok(rules),
            (status, _) => {
                let message = "the competition was opened, and its rules stay";
                Err(Refusal::new(Code::RulesFrozen, message).with("status", status.as_str()))
            }
        }
    }

    fn must_be_open(&self, to: &str) -> Result<&CompetitionRules, Refusal> {
        match self.must_exist()? {
            (CompetitionStatus::Open, rules) => Ok(rules),
            (status, _) => Err(illegal(status, to)),
        }
    }

    fn create(&self, rules: &CompetitionRules) -> Result<Vec<CompetitionEvent>, Refusal> {
        if self.status.is_some() {
            let message = "the competition exists already";
            return Err(Refusal::new(Code::AlreadyExists, message));
        }
        let rules = Box::new(rules.checked()?);
        let created = CompetitionCreated { rules };
        Ok(vec![CompetitionEvent::CompetitionCreated(created)])
    }

    fn revise(&self, rules: &CompetitionRules) -> Result<Vec<CompetitionEvent>, Refusal> {
        let present = self.must_be_draft()?;
        let rules = Box::new(rules.checked()?);
        if *rules == *present {
            return Ok(vec![]);
        }
        let revised = CompetitionRevised { rules };
        Ok(vec![CompetitionEvent::CompetitionRevised(revised)])
    }

    fn define_prizes(&self, prizes: Option<&PrizePlan>) -> Result<Vec<CompetitionEvent>, Refusal> {
        self.must_be_draft()?;
        let prizes = prizes.map(PrizePlan::checked).transpose()?;
        if prizes == self.prizes {
            return Ok(vec![]);
        }
        let defined = PrizesDefined { prizes };
        Ok(vec![CompetitionEvent::PrizesDefined(defined)])
    }

    fn invite(
        &self,
        users: &BTreeSet<String>,
        groups: &BTreeSet<String>,
    ) -> Result<Vec<CompetitionEvent>, Refusal> {
        let (status, _) = self.must_exist()?;
        if !matches!(status, CompetitionStatus::Draft | CompetitionStatus::Open) {
            return Err(illegal(status, CompetitionStatus::Open.as_str()));
        }
        for user in users {
            key_part(user, "users")?;
        }
        for group in groups {
            id(group, "groups")?;
        }
        let users: BTreeSet<_> = users.difference(&self.users).cloned().collect();
        let groups: BTreeSet<_> = groups.difference(&self.groups).cloned().collect();
        if users.is_empty() && groups.is_empty() {
            return Ok(vec![]);
        }
        let invited = self.users.len() + self.groups.len() + users.len() + groups.len();
        if invited > INVITED_MAX {
            return Err(too_large(invited, INVITED_MAX, "invitations", "users"));
        }
        let invited = CompetitionInvited { users, groups };
        Ok(vec![CompetitionEvent::CompetitionInvited(invited)])
    }

    fn open(&self, now: DateTime<Utc>) -> Result<Vec<CompetitionEvent>, Refusal> {
        let (status, rules) = self.must_exist()?;
        if status != CompetitionStatus::Draft {
            return Err(illegal(status, CompetitionStatus::Open.as_str()));
        }
        if rules.ends_at.is_some_and(|end| end <= now) {
            let message = "the end of the competition has passed";
            return Err(Refusal::new(Code::OutsideWindow, message).at(["endsAt"]));
        }
        let opened = CompetitionOpened { at: now };
        Ok(vec![CompetitionEvent::CompetitionOpened(opened)])
    }

    fn cut_short(
        &self,
        reason: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Vec<CompetitionEvent>, Refusal> {
        let rules = self.must_be_open(CompetitionStatus::Ended.as_str())?;
        let reason = optional_text(TextRule::Reason, reason, "reason")?;
        if now <= rules.starts_at || self.ends_at().is_some_and(|end| end <= now) {
            let message = "the competition has not begun, or is over already";
            return Err(Refusal::new(Code::OutsideWindow, message));
        }
        let cut = CompetitionCutShort { at: now, reason };
        let mut events = vec![CompetitionEvent::CompetitionCutShort(cut)];
        let shorter = Competition {
            cut_at: Some(now),
            ..self.clone()
        };
        // Between two periods of a list: none is left to be closed.
        if shorter.closing.is_none() && shorter.next_to_seal().is_none() {
            events.push(CompetitionEvent::CompetitionEnded(CompetitionEnded {}));
        }
        Ok(events)
    }

    fn cancel(&self, reason: Option<&str>) -> Result<Vec<CompetitionEvent>, Refusal> {
        let (status, _) = self.must_exist()?;
        if !matches!(status, CompetitionStatus::Draft | CompetitionStatus::Open) {
            return Err(illegal(status, CompetitionStatus::Cancelled.as_str()));
        }
        let reason = optional_text(TextRule::Reason, reason, "reason")?;
        let cancelled = CompetitionCancelled { reason };
        Ok(vec![CompetitionEvent::CompetitionCancelled(cancelled)])
    }
}

/// `ILLEGAL_TRANSITION` with both ends.
fn illegal(from: CompetitionStatus, to: &str) -> Refusal {
    let from = from.as_str();
    let message = format!("a competition that is {from} does not become {to}");
    Refusal::new(Code::IllegalTransition, message)
        .with("from", from)
        .with("to", to)
}

impl Aggregate for Competition {
    const TYPE: &'static str = "competition";
    type Command = CompetitionCommand;
    type Event = CompetitionEvent;
    const SHAPE: Option<Shape<Competition>> = Some(Shape::json(1));

    fn decide(&self, command: &CompetitionCommand) -> Result<Vec<CompetitionEvent>, Refusal> {
        match command {
            CompetitionCommand::Create { rules } => self.create(rules),
            CompetitionCommand::Revise { rules } => self.revise(rules),
            CompetitionCommand::DefinePrizes { prizes } => self.define_prizes(prizes.as_ref()),
            CompetitionCommand::Invite { users, groups } => self.invite(users, groups),
            CompetitionCommand::Open { now } => self.open(*now),
            CompetitionCommand::CutShort { reason, now } => self.cut_short(reason.as_deref(), *now),
            CompetitionCommand::Cancel { reason } => self.cancel(reason.as_deref()),
            CompetitionCommand::SealPeriod { period, now } => self.seal_period(period, *now),
            CompetitionCommand::ClosePeriod {
                period,
                sealed_at,
                as_of,
                standings,
                standings_hash,
            } => self.close_period(period, (*sealed_at, *as_of), standings, standings_hash),
        }
    }

    fn apply(&mut self, event: &CompetitionEvent) {
        match event {
            CompetitionEvent::CompetitionCreated(e) => {
                self.status = Some(CompetitionStatus::Draft);
                self.rules = Some(e.rules.clone());
            }
            CompetitionEvent::CompetitionRevised(e) => self.rules = Some(e.rules.clone()),
            CompetitionEvent::PrizesDefined(e) => self.prizes.clone_from(&e.prizes),
            CompetitionEvent::CompetitionInvited(e) => {
                self.users.extend(e.users.iter().cloned());
                self.groups.extend(e.groups.iter().cloned());
            }
            CompetitionEvent::CompetitionOpened(_) => self.status = Some(CompetitionStatus::Open),
            CompetitionEvent::CompetitionCutShort(e) => self.cut_at = Some(e.at),
            CompetitionEvent::CompetitionCancelled(_) => {
                self.status = Some(CompetitionStatus::Cancelled);
            }
            CompetitionEvent::PeriodSealed(e) => {
                self.sealed_until = Some(e.end);
                self.closing = Some(e.period.clone());
            }
            CompetitionEvent::PeriodClosed(_) => self.closing = None,
            CompetitionEvent::PrizesCalculated(_) | CompetitionEvent::PrizesAwarded(_) => {}
            CompetitionEvent::CompetitionEnded(_) => self.status = Some(CompetitionStatus::Ended),
        }
    }

    fn weight_bytes(&self) -> usize {
        let rules = self.rules.as_ref().map_or(0, |rules| rules.weight_bytes());
        let named = self.users.iter().chain(&self.groups);
        let named: usize = named.map(|name| size_of_val(name) + name.capacity()).sum();
        let prizes = self
            .prizes
            .as_ref()
            .map_or(0, |plan| size_of_val(&*plan.rules));
        size_of::<Self>() + rules + named + prizes
    }
}

#[cfg(test)]
mod tests;
