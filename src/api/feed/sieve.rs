//! What a journal tells: events as they are, what deployments have come to, alerts of objectives, or log
//! records.
//!
//! What a deployment or an objective is about is told by earlier events of its stream, so that is read up
//! to the event: an item is the same whenever and by whomever it is made.

use std::sync::Arc;

use domain::Aggregate as _;
use domain::log_batch::LogBatch;

use super::mark::Mark;
use super::rendering::{Item, Plan};
use super::tail::TailPlan;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::types::slo::SloBurnAlert;
use crate::consumers::{LogEvent, by_weight, weight_bytes};
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

/// Alerts of one objective, or of those of a project or a service alone; conditions add up.
#[derive(Clone, Debug, Default)]
pub struct BurnAlertPlan {
    /// The objective; any if not said.
    pub slo: Option<String>,
    /// The project; any if not said.
    pub project: Option<String>,
    /// The service; any if not said.
    pub service: Option<String>,
}

/// Which events of those that pass a journal's filter are its items, and what is told of each.
pub enum Sieve {
    /// All, as they are.
    Events,
    /// Those of the deployments of a plan, with what each has come to.
    Deployments(DeploymentPlan),
    /// Those of the objectives of a plan, with what each said.
    BurnAlerts(BurnAlertPlan),
    /// The records in them that pass a filter.
    Tail(Arc<TailPlan>),
}

/// An event as it came to a journal.
pub enum Told {
    /// From the feed, decoded for all.
    Heard(Arc<LogEvent>),
    /// From the log.
    Read(Box<StoredEvent>),
}

/// One item of an event.
pub struct Part {
    /// What is told.
    pub item: Item,
    /// Up to where.
    pub mark: Mark,
    /// The first record of the event that may be told of in it.
    pub first: i32,
}

impl Told {
    /// The event as it is stored.
    pub fn stored(&self) -> &StoredEvent {
        match self {
            Told::Heard(event) => &event.stored,
            Told::Read(event) => event,
        }
    }

    fn into_stored(self) -> StoredEvent {
        match self {
            Told::Heard(event) => event.stored.clone(),
            Told::Read(event) => *event,
        }
    }
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
            Plan::BurnAlerts(plan) => {
                let alerts = ["slo.burn_alert_raised", "slo.burn_alert_cleared"];
                let filter = EventFilter {
                    aggregate_type: Some("slo".to_owned()),
                    aggregate_id: plan.slo.clone(),
                    event_types: Some(alerts.map(str::to_owned).to_vec()),
                    ..EventFilter::default()
                };
                Some((filter, Sieve::BurnAlerts(plan)))
            }
            Plan::Tail(plan) => {
                let filter = EventFilter {
                    aggregate_type: Some(LogBatch::TYPE.to_owned()),
                    ..EventFilter::default()
                };
                Some((filter, Sieve::Tail(plan.into())))
            }
            Plan::Vehicles(_) | Plan::Heatmap(_) | Plan::Board(_) | Plan::Progress(_) => None,
        }
    }
}

impl Sieve {
    /// The items an event becomes: one at most, but for what may be cut. What its reader has seen by
    /// `after` is not told again.
    pub async fn items(
        &self,
        operation: &Operation,
        event: Told,
        after: Mark,
    ) -> Result<Vec<Part>, Fault> {
        let mark = Mark::from(event.stored().position);
        let item = match self {
            Sieve::Events => Ok(Some(Item::Event(Arc::new(event.into_stored())))),
            Sieve::Deployments(plan) => plan.item(operation, event.into_stored()).await,
            Sieve::BurnAlerts(plan) => plan.item(operation, event.into_stored()).await,
            Sieve::Tail(plan) => return tail(plan.clone(), event, after).await,
        };
        let part = |item| Part {
            item,
            mark,
            first: 0,
        };
        Ok(item.map_err(unreadable)?.map(part).into_iter().collect())
    }
}

/// Parts of a large batch are looked for beside the others' work. Of many small ones without any part nobody
/// would wait for anything: others have their turn all the same.
async fn tail(plan: Arc<TailPlan>, event: Told, after: Mark) -> Result<Vec<Part>, Fault> {
    let bytes = weight_bytes(event.stored());
    let parts = by_weight(bytes, move || plan.parts(event, after)).await;
    let parts = parts.unwrap_or_else(|| Err("the process stops".to_owned()));
    let parts = parts.map_err(unreadable)?;
    if parts.is_empty() {
        tokio::task::yield_now().await;
    }
    Ok(parts)
}

fn unreadable(error: String) -> Fault {
    tracing::warn!(error, "what a journal tells cannot be read: {error}");
    Fault::of(FaultCode::Resume)
}

impl DeploymentPlan {
    async fn item(
        &self,
        operation: &Operation,
        event: StoredEvent,
    ) -> Result<Option<Item>, String> {
        let deployments = &operation.parts.deployments;
        let until = Until::Position(event.position);
        let history = deployments.history(operation.tenant(), &event.aggregate_id, until);
        let history = history.await.map_err(|error| error.to_string())?;
        Ok(history
            .filter(|history| self.wants(history))
            .map(|history| Item::Deployment {
                event: Box::new(event),
                history: Box::new(history),
            }))
    }

    fn wants(&self, history: &History) -> bool {
        is(&self.project, Some(&history.row.project))
            && is(&self.environment, Some(&history.row.environment))
    }
}

impl BurnAlertPlan {
    async fn item(
        &self,
        operation: &Operation,
        event: StoredEvent,
    ) -> Result<Option<Item>, String> {
        let slos = &operation.parts.slos;
        let slo = slos.up_to(operation.tenant(), &event.aggregate_id, event.position);
        let slo = slo.await.map_err(|error| error.to_string())?;
        let Some(objective) = slo.objective.filter(|objective| {
            is(&self.project, objective.scope.project.as_ref())
                && is(&self.service, objective.scope.service.as_ref())
        }) else {
            return Ok(None);
        };
        let event = event.decode().map_err(|error| error.to_string())?;
        let alert = SloBurnAlert::new(&event, &objective);
        Ok(alert.map(|alert| Item::BurnAlert(Box::new(alert))))
    }
}

/// Is it what is wanted, if anything in particular is?
fn is(wanted: &Option<String>, name: Option<&String>) -> bool {
    wanted.is_none() || wanted.as_ref() == name
}
