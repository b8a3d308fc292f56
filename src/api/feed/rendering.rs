//! Making items into bytes: one execution of a subscription, fed one item at a time.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_graphql::{Context, Response};
use futures::channel::mpsc;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use projections::positions::FixRow;
use tokio::sync::oneshot;

use super::FeedItem;
use super::asked::Asked;
use super::boards::BoardPlan;
use super::heatmaps::HeatmapPlan;
use super::mark::Mark;
use super::rebuilds::ProgressPlan;
use super::sieve::{BurnAlertPlan, DeploymentPlan};
use super::tail::{TailPart, TailPlan};
use super::vehicles::VehiclePlan;
use crate::api::SchemaOf;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::types::competition::LeaderboardChange;
use crate::api::types::heatmap::Heatmap;
use crate::api::types::rebuild::Rebuild;
use crate::api::types::slo::SloBurnAlert;
use crate::deployments::history::History;
use crate::store::{EventFilter, StoredEvent};

/// What a subscription asks for, once its arguments are read.
pub enum Plan {
    /// Events that pass.
    Events(EventFilter),
    /// What deployments come to.
    Deployments(DeploymentPlan),
    /// Alerts of objectives.
    BurnAlerts(BurnAlertPlan),
    /// Log records.
    Tail(TailPlan),
    /// Vehicles that move.
    Vehicles(VehiclePlan),
    /// A heat map that changes.
    Heatmap(HeatmapPlan),
    /// A board that changes.
    Board(BoardPlan),
    /// Rebuilds that go on.
    Progress(ProgressPlan),
}

/// What a subscription's field is resolved from.
pub enum Item {
    /// Of `events`.
    Event(Arc<StoredEvent>),
    /// Of `deploymentChanged`.
    Deployment {
        /// What happened.
        event: Box<StoredEvent>,
        /// The deployment up to it.
        history: Box<History>,
    },
    /// Of `sloBurnAlert`.
    BurnAlert(Box<SloBurnAlert>),
    /// Of `logTail`.
    Tail(TailPart),
    /// Of `vehicleMoved`.
    Move {
        /// The vehicle's latest fix.
        fix: Box<FixRow>,
        /// It is no more among those asked for.
        left: bool,
    },
    /// Of `heatmapChanged`.
    Heatmap(Box<Heatmap>),
    /// Of `leaderboardChanged`.
    Board(Box<LeaderboardChange>),
    /// Of `projectionProgress`.
    Rebuild(Box<Rebuild>),
}

/// Where a resolver leaves its plan and takes its items from.
pub struct Wiring(Mutex<Option<(oneshot::Sender<Plan>, mpsc::Receiver<Item>)>>);

impl Wiring {
    /// Leaves the plan of the request's only root field; gives what is to be resolved.
    pub fn connect(ctx: &Context<'_>, plan: Plan) -> Result<mpsc::Receiver<Item>, Fault> {
        let wiring = ctx.data_opt::<Wiring>();
        let ends = wiring
            .and_then(|Wiring(ends)| ends.lock().unwrap_or_else(PoisonError::into_inner).take());
        let no_feed = || Fault::new(FaultCode::ValidationFailed, "not on this transport");
        let (plans, items) = ends.ok_or_else(no_feed)?;
        // whoever waits for the plan is gone with the whole execution
        let _ = plans.send(plan);
        Ok(items)
    }
}

/// An execution of a subscription.
pub struct Rendering {
    items: mpsc::Sender<Item>,
    responses: BoxStream<'static, Response>,
    operation: Arc<Operation>,
    made: Arc<AtomicU64>,
    item_max: Duration,
}

impl Rendering {
    /// Checks the document and reads the arguments.
    pub async fn open(
        schema: &SchemaOf,
        asked: &Asked,
        operation: Arc<Operation>,
        made: Arc<AtomicU64>,
    ) -> Result<(Rendering, Plan), Fault> {
        let (plans, plan) = oneshot::channel();
        let (items, from) = mpsc::channel(0);
        let wiring = Wiring(Mutex::new(Some((plans, from))));
        let request = asked.request().data(operation.clone()).data(wiring);
        let item_ms_max = operation.parts.consumers.feed().settings().item_ms_max;
        let mut rendering = Rendering {
            items,
            responses: schema.execute_stream(request),
            operation,
            made,
            item_max: Duration::from_millis(item_ms_max),
        };
        tokio::select! {
            biased;
            Ok(plan) = plan => Ok((rendering, plan)),
            response = rendering.responses.next() => {
                let errors = response.map(|response| response.errors).unwrap_or_default();
                let nothing = || Fault::new(FaultCode::ValidationFailed, "nothing is asked for");
                Err(errors.first().map_or_else(nothing, Fault::of_error))
            }
        }
    }

    /// The operation all items are resolved for.
    pub fn operation(&self) -> &Arc<Operation> {
        &self.operation
    }

    /// Resolves one item, which tells up to there, and writes it. A panic in a resolver is a fault; the process lives.
    pub async fn render(&mut self, item: Item, at: impl Into<Mark>) -> Result<FeedItem, Fault> {
        let at = at.into();
        // There is always room: an item is taken before its response comes.
        if self.items.try_send(item).is_err() {
            return Err(Fault::of(FaultCode::Internal));
        }
        let response = AssertUnwindSafe(self.responses.next()).catch_unwind();
        let made = tokio::time::timeout(self.item_max, response).await;
        self.made.fetch_add(1, Ordering::Relaxed);
        let response = match made {
            Ok(Ok(Some(response))) => response,
            Ok(Ok(None)) => {
                tracing::error!("a subscription's execution has ended");
                return Err(Fault::of(FaultCode::Internal));
            }
            Ok(Err(_)) => {
                tracing::error!("a subscription's item panicked");
                return Err(Fault::of(FaultCode::Internal));
            }
            Err(_) => return Err(Fault::of(FaultCode::Timeout)),
        };
        // The next item is of another moment.
        self.operation.renew().await;
        let telling = &self.operation.parts.telling;
        Ok(FeedItem {
            payload: telling.result(&response, Some(at)).into(),
            position: Some(at),
        })
    }
}
