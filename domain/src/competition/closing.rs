//! A period ends twice: first it takes no more scores, then its board is frozen and its prizes given.
//!
//! Standings that were read before the seal might lack a score that was accepted just before it. So
//! the seal comes first: whatever precedes it in the log counts, and nothing comes after it.

use chrono::{DateTime, Utc};

use super::event::{
    CompetitionEnded, CompetitionEvent, PeriodClosed, PeriodSealed, PrizesAwarded, PrizesCalculated,
};
use super::{AWARDS_PER_EVENT, Competition, CompetitionStatus, FROZEN_STANDINGS_MAX};
use crate::log::Position;
use crate::period::Period;
use crate::prize::{Award, PrizePlan};
use crate::refusal::{Code, Refusal};
use crate::standing::{Contender, Standing, rank};
use crate::values::{after, instant, sha256};

impl Competition {
    /// The period to seal next, once its end and the delay have passed; `None`: there is none that
    /// ends, or one is sealed and waits to be closed.
    pub fn next_to_seal(&self) -> Option<Period> {
        if self.status != Some(CompetitionStatus::Open) || self.closing.is_some() {
            return None;
        }
        self.first_unsealed().filter(|period| period.end.is_some())
    }

    /// The key of the period to close next, once its end and the delay have passed: sealed, or to be sealed.
    pub fn due(&self, now: DateTime<Utc>) -> Option<String> {
        if self.status != Some(CompetitionStatus::Open) {
            return None;
        }
        if let Some(closing) = &self.closing {
            return Some(closing.clone());
        }
        let rules = self.rules.as_deref()?;
        let next = self.next_to_seal()?;
        let is_over = after(next.end?, rules.close_delay_seconds) <= now;
        is_over.then_some(next.key)
    }

    fn first_unsealed(&self) -> Option<Period> {
        let rules = self.rules.as_deref()?;
        let from = self.sealed_until.unwrap_or(rules.starts_at);
        rules.frame(self.ends_at()).first_ending_after(from)
    }

    pub(super) fn seal_period(
        &self,
        key: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<CompetitionEvent>, Refusal> {
        let (_, rules) = self.must_exist()?;
        let period = self.period(key)?;
        if self.is_sealed(&period) {
            return Ok(vec![]);
        }
        self.must_be_open(CompetitionStatus::Ended.as_str())?;
        if let Some(closing) = &self.closing {
            return Err(earlier(closing));
        }
        let next = self.first_unsealed().map(|next| next.key);
        if let Some(next) = next.filter(|next| *next != period.key) {
            return Err(earlier(&next));
        }
        let Some(end) = period.end else {
            let message = "the period does not end";
            return Err(Refusal::new(Code::PeriodOpen, message).with("period", key));
        };
        let until = after(end, rules.close_delay_seconds);
        if now < until {
            let message = "the period still takes scores";
            return Err(Refusal::new(Code::PeriodOpen, message)
                .with("period", key)
                .with("until", instant(until)));
        }
        let sealed = PeriodSealed {
            period: period.key,
            start: period.start,
            end,
        };
        Ok(vec![CompetitionEvent::PeriodSealed(sealed)])
    }

    pub(super) fn close_period(
        &self,
        key: &str,
        (sealed_at, as_of): (Position, Position),
        standings: &[Standing],
        hash: &str,
    ) -> Result<Vec<CompetitionEvent>, Refusal> {
        let (_, rules) = self.must_exist()?;
        let period = self.period(key)?;
        if self.closing.as_deref() != Some(key) {
            return Err(if self.is_sealed(&period) {
                let message = "the period is closed already";
                Refusal::new(Code::PeriodClosed, message).with("period", key)
            } else {
                let message = "the period still takes scores";
                Refusal::new(Code::PeriodOpen, message).with("period", key)
            });
        }
        self.must_be_open(CompetitionStatus::Ended.as_str())?;
        if as_of < sealed_at {
            let message = "the standings were read before the period was sealed";
            return Err(Refusal::new(Code::StandingsDiffer, message)
                .at(["asOf"])
                .with("sealedAt", sealed_at.to_string())
                .with("asOf", as_of.to_string()));
        }
        let standings_hash = sha256(hash, "standingsHash")?;
        let contenders = standings.iter().map(contender).collect();
        if rank(contenders, rules.sort, rules.ties) != standings {
            let message = "the standings are not those that the rules make of them";
            return Err(Refusal::new(Code::StandingsDiffer, message).at(["standings"]));
        }
        let mut events = vec![CompetitionEvent::PeriodClosed(PeriodClosed {
            period: key.to_owned(),
            as_of,
            entries: standings.len() as u64,
            standings_hash,
            top: standings
                .iter()
                .take(FROZEN_STANDINGS_MAX)
                .cloned()
                .collect(),
        })];
        if let Some(plan) = &self.prizes {
            events.extend(awarded(plan, key, plan.awards(standings)));
        }
        let frame = rules.frame(self.ends_at());
        if period
            .end
            .and_then(|end| frame.first_ending_after(end))
            .is_none()
        {
            events.push(CompetitionEvent::CompetitionEnded(CompetitionEnded {}));
        }
        Ok(events)
    }

    fn period(&self, key: &str) -> Result<Period, Refusal> {
        let (_, rules) = self.must_exist()?;
        let period = rules.frame(self.ends_at()).period_by_key(key);
        period.ok_or_else(|| {
            Refusal::new(Code::NotFound, "the competition has no such period").at(["period"])
        })
    }

    fn is_sealed(&self, period: &Period) -> bool {
        self.sealed_until.is_some_and(|until| period.start < until)
    }
}

fn earlier(key: &str) -> Refusal {
    let message = "another period is to be closed first";
    Refusal::new(Code::PeriodOpen, message).with("period", key)
}

fn contender(standing: &Standing) -> Contender {
    Contender {
        user: standing.user.clone(),
        score: standing.score,
        sub_score: standing.sub_score,
        achieved_at: standing.achieved_at,
    }
}

fn awarded(plan: &PrizePlan, key: &str, awards: Vec<Award>) -> Vec<CompetitionEvent> {
    let paid = awards.iter().map(|award| award.amount);
    let calculated = PrizesCalculated {
        period: key.to_owned(),
        currency: plan.currency.clone(),
        decimals: plan.decimals,
        pool: plan.pool,
        total: paid.fold(0, i64::saturating_add),
        winners: awards.len() as u64,
    };
    let packed = awards.chunks(AWARDS_PER_EVENT).map(|awards| {
        CompetitionEvent::PrizesAwarded(PrizesAwarded {
            period: key.to_owned(),
            awards: awards.to_vec(),
        })
    });
    let calculated = CompetitionEvent::PrizesCalculated(calculated);
    std::iter::once(calculated).chain(packed).collect()
}
