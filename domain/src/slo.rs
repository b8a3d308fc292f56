//! A service level objective: how much of something is to be good, and what was said when it was not.

mod objective;

pub use objective::{
    Method, Objective, PARTS_PER_MILLION, ROLLING_DAYS_MAX, SLICE_MINUTES_MAX, Sli, SloScope,
    THRESHOLD_SECONDS_MAX, Window,
};

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Shape};
use crate::log::Position;
use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, between, known, lasting, optional_text, text, too_large};

/// How many spans of time may be left out of one objective.
pub const EXCLUSIONS_MAX: usize = 1_000;
/// How many alerts one objective may have up at once.
pub const ALERTS_MAX: usize = 16;
/// How many minutes a burn rate may look back: 90 days.
const BURN_MINUTES_MAX: u32 = ROLLING_DAYS_MAX * 1_440;

/// Which alert: two spans of time over which the budget burns too fast, and how fast that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BurnRule {
    /// The long span, in minutes.
    pub long_minutes: u32,
    /// The short one, in minutes; it lets the alert end soon after its cause.
    pub short_minutes: u32,
    /// The burn rate that is too fast, in thousandths: 14400 burns a budget 14.4 times as fast as its
    /// window would bear.
    pub factor_milli: u32,
}

/// What was measured when an alert went up or down, in thousandths of what the window would bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BurnRates {
    /// Over the long span.
    pub long_milli: u64,
    /// Over the short one.
    pub short_milli: u64,
    /// The position of the log up to which was counted.
    pub position: Position,
}

/// What an objective can be told. Its id comes with the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum SloCommand {
    /// Bring it into being. Defined already: `ALREADY_EXISTS`.
    Define {
        /// What it says.
        objective: Objective,
    },
    /// Say something else from now on. The same: already so.
    Revise {
        /// What it says from now on, whole.
        objective: Objective,
    },
    /// Be measured no more. Retired already: `SLO_RETIRED`.
    Retire {
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// Leave a span of time out, of what was good and of all there was. Left out already: already so.
    ExcludePeriod {
        /// From then on.
        from: DateTime<Utc>,
        /// Up to then.
        to: DateTime<Utc>,
        /// Why, in the operator's words.
        reason: String,
    },
    /// The budget burns too fast. Said already: already so.
    RaiseAlert {
        /// By which rule.
        rule: BurnRule,
        /// How fast; measured, so no part of the command's fingerprint.
        #[serde(skip_serializing)]
        rates: BurnRates,
    },
    /// It does not any more. No such alert is up: already so.
    ClearAlert {
        /// By which rule.
        rule: BurnRule,
        /// How fast it burns now.
        #[serde(skip_serializing)]
        rates: BurnRates,
    },
}

/// What happened to an objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SloEvent {
    /// It is.
    #[serde(rename = "slo.defined")]
    SloDefined(SloDefined),
    /// It says something else.
    #[serde(rename = "slo.revised")]
    SloRevised(SloRevised),
    /// It is measured no more.
    #[serde(rename = "slo.retired")]
    SloRetired(SloRetired),
    /// A span of time does not count.
    #[serde(rename = "slo.period_excluded")]
    PeriodExcluded(PeriodExcluded),
    /// Its budget burns too fast.
    #[serde(rename = "slo.burn_alert_raised")]
    BurnAlertRaised(BurnAlertRaised),
    /// Its budget does not burn too fast any more.
    #[serde(rename = "slo.burn_alert_cleared")]
    BurnAlertCleared(BurnAlertCleared),
}

/// Is, as revision 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SloDefined {
    /// What it says.
    pub objective: Objective,
}

/// Says something else. Alerts that are up are of what it said before, and count no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SloRevised {
    /// Its number from now on.
    pub revision: u32,
    /// What it says, whole.
    pub objective: Objective,
}

/// Measured no more; no alert is up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SloRetired {
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Does not count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeriodExcluded {
    /// From then on.
    pub from: DateTime<Utc>,
    /// Up to then.
    pub to: DateTime<Utc>,
    /// Why, in the operator's words.
    pub reason: String,
}

/// Too fast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BurnAlertRaised {
    /// Of which revision.
    pub revision: u32,
    /// By which rule.
    pub rule: BurnRule,
    /// How fast.
    pub rates: BurnRates,
}

/// Not too fast any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BurnAlertCleared {
    /// Of which revision.
    pub revision: u32,
    /// By which rule.
    pub rule: BurnRule,
    /// How fast.
    pub rates: BurnRates,
}

/// The state an objective's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slo {
    /// What it says; `None` before it is defined.
    pub objective: Option<Objective>,
    /// Its number: 1 for what it said first.
    pub revision: u32,
    /// Measured no more?
    pub retired: bool,
    /// Spans of time that do not count: from, up to.
    pub excluded: BTreeSet<(DateTime<Utc>, DateTime<Utc>)>,
    /// Alerts that are up.
    pub alerts: BTreeSet<BurnRule>,
}

impl Slo {
    fn must_be_in_force(&self) -> Result<&Objective, Refusal> {
        let Some(objective) = &self.objective else {
            return Err(Refusal::new(Code::NotFound, "no such objective"));
        };
        if self.retired {
            return Err(Refusal::new(Code::SloRetired, "the objective is retired"));
        }
        Ok(objective)
    }

    fn exclude(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        reason: &str,
    ) -> Result<Vec<SloEvent>, Refusal> {
        self.must_be_in_force()?;
        let (from, to) = (known(from, "from")?, known(to, "to")?);
        lasting(from, to, "to")?;
        let reason = text(TextRule::Reason, reason, "reason")?.to_owned();
        if self.excluded.contains(&(from, to)) {
            return Ok(vec![]);
        }
        let actual = self.excluded.len() + 1;
        if actual > EXCLUSIONS_MAX {
            return Err(too_large(actual, EXCLUSIONS_MAX, "periods", "from"));
        }
        Ok(vec![SloEvent::PeriodExcluded(PeriodExcluded {
            from,
            to,
            reason,
        })])
    }

    fn raise(&self, rule: BurnRule, rates: BurnRates) -> Result<Vec<SloEvent>, Refusal> {
        self.must_be_in_force()?;
        rule.check()?;
        if self.alerts.contains(&rule) {
            return Ok(vec![]);
        }
        let actual = self.alerts.len() + 1;
        if actual > ALERTS_MAX {
            return Err(too_large(actual, ALERTS_MAX, "alerts", "rule"));
        }
        Ok(vec![SloEvent::BurnAlertRaised(BurnAlertRaised {
            revision: self.revision,
            rule,
            rates,
        })])
    }

    fn clear(&self, rule: BurnRule, rates: BurnRates) -> Result<Vec<SloEvent>, Refusal> {
        self.must_be_in_force()?;
        if !self.alerts.contains(&rule) {
            return Ok(vec![]);
        }
        Ok(vec![SloEvent::BurnAlertCleared(BurnAlertCleared {
            revision: self.revision,
            rule,
            rates,
        })])
    }
}

impl BurnRule {
    fn check(&self) -> Result<(), Refusal> {
        let under = |refusal: Refusal| refusal.under(["rule"]);
        between(self.long_minutes, 1..=BURN_MINUTES_MAX, "longMinutes").map_err(under)?;
        between(self.short_minutes, 1..=self.long_minutes, "shortMinutes").map_err(under)?;
        between(self.factor_milli, 1..=u32::MAX, "factorMilli").map_err(under)
    }
}

impl Aggregate for Slo {
    const TYPE: &'static str = "slo";
    type Command = SloCommand;
    type Event = SloEvent;
    const SHAPE: Option<Shape<Slo>> = Some(Shape::json(1));

    fn decide(&self, command: &SloCommand) -> Result<Vec<SloEvent>, Refusal> {
        match command {
            SloCommand::Define { objective } => {
                if self.objective.is_some() {
                    let message = "the objective exists already";
                    return Err(Refusal::new(Code::AlreadyExists, message));
                }
                let objective = objective.clone().checked()?;
                Ok(vec![SloEvent::SloDefined(SloDefined { objective })])
            }
            SloCommand::Revise { objective } => {
                let before = self.must_be_in_force()?;
                let objective = objective.clone().checked()?;
                if objective == *before {
                    return Ok(vec![]);
                }
                Ok(vec![SloEvent::SloRevised(SloRevised {
                    revision: self.revision + 1,
                    objective,
                })])
            }
            SloCommand::Retire { reason } => {
                self.must_be_in_force()?;
                let reason = optional_text(TextRule::Reason, reason.as_deref(), "reason")?;
                Ok(vec![SloEvent::SloRetired(SloRetired { reason })])
            }
            SloCommand::ExcludePeriod { from, to, reason } => self.exclude(*from, *to, reason),
            SloCommand::RaiseAlert { rule, rates } => self.raise(*rule, *rates),
            SloCommand::ClearAlert { rule, rates } => self.clear(*rule, *rates),
        }
    }

    fn apply(&mut self, event: &SloEvent) {
        match event {
            SloEvent::SloDefined(e) => {
                self.objective = Some(e.objective.clone());
                self.revision = 1;
            }
            SloEvent::SloRevised(e) => {
                self.objective = Some(e.objective.clone());
                self.revision = e.revision;
                self.alerts.clear();
            }
            SloEvent::SloRetired(_) => {
                self.retired = true;
                self.alerts.clear();
            }
            SloEvent::PeriodExcluded(e) => {
                self.excluded.insert((e.from, e.to));
            }
            SloEvent::BurnAlertRaised(e) => {
                self.alerts.insert(e.rule);
            }
            SloEvent::BurnAlertCleared(e) => {
                self.alerts.remove(&e.rule);
            }
        }
    }

    fn weight_bytes(&self) -> usize {
        let excluded = size_of_val(&(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MIN_UTC));
        size_of::<Self>()
            + self.excluded.len() * excluded
            + self.alerts.len() * size_of::<BurnRule>()
    }
}

#[cfg(test)]
mod tests;
