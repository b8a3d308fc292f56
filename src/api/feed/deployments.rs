//! What a journal tells: events as they are, or what deployments of a project have come to.

use std::sync::Arc;

use super::rendering::{Item, Plan};
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::deployments::history::{History, Until};
use crate::store::{EventFilter, StoredEvent};

/// Deployments of a project, or to an environment; conditions add up.
#[derive(Clone, Debug, Default)]
pub struct DeploymentPlan {
    /// The project; any if not said.
    pub project: Option<String>,
    /// The environment's name; any if not said.
    pub environment: Option<String>,
}

/// Which events of those that pass a journal's filter are its items, and what is told of each.
pub enum Sieve {
    /// All, as they are.
    Events,
    /// Those of the deployments of a plan, with what each has come to.
    Deployments(DeploymentPlan),
}

impl Plan {
    /// What is read of the log, and what is told of it; `None` if the plan is that of no journal.
    pub fn journal(self) -> Option<(EventFilter, Sieve)> {
        match self {
            Plan::Events(filter) => Some((filter, Sieve::Events)),
            Plan::Deployments(plan) => {
                let filter = EventFilter {
                    aggregate_type: Some("deployment".to_owned()),
                    ..EventFilter::default()
                };
                Some((filter, Sieve::Deployments(plan)))
            }
            Plan::Vehicles(_) | Plan::Heatmap(_) => None,
        }
    }
}

impl Sieve {
    /// The item an event becomes, if it is one. Where a deployment goes is told by its first event
    /// alone, so its stream is read up to this one: what is told does not depend on when it is.
    pub async fn item(
        &self,
        operation: &Operation,
        event: StoredEvent,
    ) -> Result<Option<Item>, Fault> {
        let plan = match self {
            Sieve::Events => return Ok(Some(Item::Event(Arc::new(event)))),
            Sieve::Deployments(plan) => plan,
        };
        let deployments = &operation.parts.deployments;
        let until = Until::Position(event.position);
        let history = deployments.history(operation.tenant(), &event.aggregate_id, until);
        let history = history.await.map_err(|error| {
            tracing::warn!(%error, "a deployment's past cannot be read: {error}");
            Fault::of(FaultCode::Resume)
        })?;
        Ok(history
            .filter(|history| plan.wants(history))
            .map(|history| Item::Deployment {
                event: Box::new(event),
                history: Box::new(history),
            }))
    }
}

impl DeploymentPlan {
    fn wants(&self, history: &History) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == name)
        };
        is(&self.project, &history.row.project) && is(&self.environment, &history.row.environment)
    }
}
