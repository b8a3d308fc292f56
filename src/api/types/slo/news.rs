//! Alerts of objectives, as they are told while they go up and down.

use async_graphql::{Enum, ID, SimpleObject};
use domain::slo::SloEvent;
use domain::{Event, Recorded};

use super::{SloBurnRates, SloBurnRule, SloObjective};
use crate::api::scalars::{DateTime, Position};
use crate::api::types::int;

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum SloAlertChange {
    /// It went up: the budget burns too fast.
    Raised,
    /// It went down: it does not any more.
    Cleared,
}

/// An alert that went up or down, and the objective it is of.
#[derive(SimpleObject)]
pub struct SloBurnAlert {
    /// The event's place in the log: what `after` takes.
    position: Position,
    /// When it was committed.
    recorded_at: DateTime,
    /// What happened to it.
    change: SloAlertChange,
    /// Of which objective.
    slo_id: ID,
    /// What that said then.
    objective: SloObjective,
    /// The number of that.
    revision: i32,
    /// By which rule.
    rule: SloBurnRule,
    /// How fast the budget burnt.
    rates: SloBurnRates,
}

impl SloBurnAlert {
    /// Of an event, and of the objective up to it; `None` if the event is of no alert.
    pub fn new(
        event: &Recorded<Event>,
        objective: &domain::slo::Objective,
    ) -> Option<SloBurnAlert> {
        let (change, revision, rule, rates) = match &event.event {
            Event::Slo(SloEvent::BurnAlertRaised(e)) => {
                (SloAlertChange::Raised, e.revision, e.rule, e.rates)
            }
            Event::Slo(SloEvent::BurnAlertCleared(e)) => {
                (SloAlertChange::Cleared, e.revision, e.rule, e.rates)
            }
            _ => return None,
        };
        Some(SloBurnAlert {
            position: Position(event.position),
            recorded_at: DateTime(event.recorded_at),
            change,
            slo_id: ID(event.aggregate_id.to_string()),
            objective: objective.clone().into(),
            revision: int(revision.into()),
            rule: rule.into(),
            rates: rates.into(),
        })
    }
}
