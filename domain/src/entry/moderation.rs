//! What people decide about an entry, and what its user says against it.

use super::event::{
    DisputeOpened, DisputeOutcome, DisputeResolved, EntryEvent, EntryExcluded, EntryReinstated,
    ScoreDismissed, ScoreReleased,
};
use super::scoring::rules;
use super::{Entry, Played};
use crate::competition::{CompetitionStatus, Terms};
use crate::personal::{Personal, PersonalField};
use crate::refusal::{Code, Refusal};
use crate::score::Attempt;
use crate::values::{TextRule, id, optional_text, text};

/// A score by its period's key and its number.
type ScoreOf<'s> = (&'s str, u32);

impl Entry {
    pub(super) fn release(
        &self,
        score: ScoreOf<'_>,
        by: &str,
        reason: Option<&str>,
        terms: &Terms,
    ) -> Result<Vec<EntryEvent>, Refusal> {
        let rules = rules(terms)?;
        let by = id(by, "by")?;
        let reason = optional_text(TextRule::Reason, reason, "reason")?;
        let held = self.held(score)?;
        let (key, attempt) = score;
        let period = rules.frame(terms.ends_at).period_by_key(key);
        let sealed = period.zip(terms.sealed_until);
        let sealed = sealed.is_some_and(|(period, sealed)| period.start < sealed);
        if sealed || terms.status != Some(CompetitionStatus::Open) {
            let message = "the period takes no scores any more";
            return Err(Refusal::new(Code::PeriodClosed, message).with("period", key));
        }
        let nothing = Played::default();
        let played = self.periods.get(key).unwrap_or(&nothing);
        Ok(vec![EntryEvent::ScoreReleased(ScoreReleased {
            period: key.to_owned(),
            attempt,
            tally: played.with(held, rules)?,
            by,
            reason: reason.map(Personal::Plain),
        })])
    }

    pub(super) fn dismiss(
        &self,
        score: ScoreOf<'_>,
        by: &str,
        reason: &str,
    ) -> Result<Vec<EntryEvent>, Refusal> {
        let (by, reason) = decided(by, reason)?;
        self.held(score)?;
        let (period, attempt) = score;
        Ok(vec![EntryEvent::ScoreDismissed(ScoreDismissed {
            period: period.to_owned(),
            attempt,
            by,
            reason,
        })])
    }

    fn held(&self, (period, attempt): ScoreOf<'_>) -> Result<Attempt, Refusal> {
        let played = self.periods.get(period);
        let held = played.and_then(|played| played.held.get(&attempt));
        held.copied()
            .ok_or_else(|| Refusal::new(Code::NotFound, "no such score waits").at(["attempt"]))
    }

    pub(super) fn exclude(&self, by: &str, reason: &str) -> Result<Vec<EntryEvent>, Refusal> {
        let (by, reason) = decided(by, reason)?;
        self.must_be_known()?;
        if self.excluded {
            return Ok(vec![]);
        }
        let excluded = EntryExcluded { by, reason };
        Ok(vec![EntryEvent::EntryExcluded(excluded)])
    }

    pub(super) fn reinstate(&self, by: &str, reason: &str) -> Result<Vec<EntryEvent>, Refusal> {
        let (by, reason) = decided(by, reason)?;
        self.must_be_known()?;
        if !self.excluded {
            return Ok(vec![]);
        }
        let reinstated = EntryReinstated { by, reason };
        Ok(vec![EntryEvent::EntryReinstated(reinstated)])
    }

    pub(super) fn dispute(&self, statement: &str) -> Result<Vec<EntryEvent>, Refusal> {
        let statement = text(TextRule::Reason, statement, "statement")?;
        self.must_be_known()?;
        if self.disputed {
            return Err(illegal("disputed", "disputed"));
        }
        let opened = DisputeOpened {
            statement: Personal::Plain(statement.to_owned()),
        };
        Ok(vec![EntryEvent::DisputeOpened(opened)])
    }

    /// Who was right is not excluded any more; scores that wait are decided on one by one.
    pub(super) fn resolve(
        &self,
        outcome: DisputeOutcome,
        by: &str,
        reason: &str,
    ) -> Result<Vec<EntryEvent>, Refusal> {
        let (by, reason) = decided(by, reason)?;
        self.must_be_known()?;
        if !self.disputed {
            return Err(illegal("undisputed", outcome.as_str()));
        }
        let mut events = vec![EntryEvent::DisputeResolved(DisputeResolved {
            outcome,
            by: by.clone(),
            reason: reason.clone(),
        })];
        if outcome == DisputeOutcome::Overturned && self.excluded {
            let reinstated = EntryReinstated { by, reason };
            events.push(EntryEvent::EntryReinstated(reinstated));
        }
        Ok(events)
    }

    fn must_be_known(&self) -> Result<(), Refusal> {
        if self.user.is_empty() {
            return Err(Refusal::new(Code::NotFound, "no such entry"));
        }
        Ok(())
    }
}

/// What is said of somebody, or by them, under the key of the user: their id is the end of the entry's.
pub(super) fn personal<'e>(id: &str, event: &'e mut EntryEvent) -> Vec<PersonalField<'e>> {
    let (field, value) = match event {
        EntryEvent::ScoreReleased(e) => ("reason", e.reason.as_mut()),
        EntryEvent::ScoreDismissed(e) => ("reason", Some(&mut e.reason)),
        EntryEvent::EntryExcluded(e) => ("reason", Some(&mut e.reason)),
        EntryEvent::EntryReinstated(e) => ("reason", Some(&mut e.reason)),
        EntryEvent::DisputeOpened(e) => ("statement", Some(&mut e.statement)),
        EntryEvent::DisputeResolved(e) => ("reason", Some(&mut e.reason)),
        EntryEvent::EntryJoined(_)
        | EntryEvent::EntryLeft(_)
        | EntryEvent::ScoreAccepted(_)
        | EntryEvent::ScoreHeld(_) => return Vec::new(),
    };
    let user = id.rsplit_once('/').map_or(id, |(_, user)| user);
    let field = value.map(|value| PersonalField {
        subject: user.to_owned(),
        field,
        value,
    });
    field.into_iter().collect()
}

fn decided(by: &str, reason: &str) -> Result<(String, Personal), Refusal> {
    let reason = text(TextRule::Reason, reason, "reason")?;
    Ok((id(by, "by")?, Personal::Plain(reason.to_owned())))
}

fn illegal(from: &str, to: &str) -> Refusal {
    let message = format!("an entry that is {from} does not become {to}");
    Refusal::new(Code::IllegalTransition, message)
        .with("from", from)
        .with("to", to)
}
