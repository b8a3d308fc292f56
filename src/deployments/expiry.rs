//! Approvals that have run out are given up by themselves, so that boards do not show what cannot start.
//!
//! Nothing rests on it: a deployment whose approval has run out does not start, whether that was said or
//! not. So each look is one page of what is open, the next one goes on behind it, and several processes
//! that look at once say the same thing once.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::deployment::{DeploymentCommand, Status};
use domain::{Actor, ActorKind, Code};
use projections::ReadError;
use projections::deployments::{self, DeploymentFilter, DeploymentRow, ListCursor};

use super::{Deployments, DeploymentsError, Inner};
use crate::commands::{CommandContext, CommandError};
use crate::ops::Clock;

/// Where the next look at each tenant goes on.
type Places = HashMap<Arc<str>, ListCursor>;

/// Does what is due, now and then, as long as anybody needs it.
pub(super) async fn tend(inner: Weak<Inner>, clock: Clock, every: Duration) {
    let mut turns = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut places = Places::new();
    loop {
        turns.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let deployments = Deployments(inner);
        let tenants = match deployments.0.store.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::warn!(%error, "approvals that have run out were not looked for: {error}");
                continue;
            }
        };
        for tenant in tenants {
            let after = places.remove(&tenant);
            match deployments.expire_page(&tenant, after, clock.now()).await {
                Ok(next) => places.extend(next.map(|place| (tenant, place))),
                Err(DeploymentsError::Read(ReadError::NotBuilt(_))) => {}
                Err(error) => {
                    let what = "approvals that have run out were not given up";
                    tracing::warn!(%error, tenant = &*tenant, "{what}: {error}");
                }
            }
        }
    }
}

impl Deployments {
    /// Gives up what has run out of the page behind this place; tells where the next one begins, if there
    /// is one.
    async fn expire_page(
        &self,
        tenant: &Arc<str>,
        after: Option<ListCursor>,
        now: DateTime<Utc>,
    ) -> Result<Option<ListCursor>, DeploymentsError> {
        let filter = DeploymentFilter {
            status: Some(vec![Status::AwaitingApproval, Status::Approved]),
            ..DeploymentFilter::default()
        };
        let page = {
            let mut snapshot = self.0.reader.snapshot(tenant).await?;
            let (after, first) = (after.as_ref(), self.0.batch);
            deployments::deployments(&mut snapshot, &filter, after, first).await?
        };
        let has_run_out = |row: &&DeploymentRow| row.expires_at.is_some_and(|until| until <= now);
        for row in page.items.iter().filter(has_run_out) {
            let actor = Actor {
                kind: ActorKind::System,
                id: "daybook".into(),
            };
            let ctx = CommandContext::new(tenant.clone(), actor, now);
            let expire = DeploymentCommand::Expire { now };
            match self.on_deployment(&ctx, &row.id, expire).await {
                // It has moved on since.
                Err(DeploymentsError::Command(CommandError::Refused(refusal)))
                    if refusal.code == Code::IllegalTransition => {}
                told => {
                    told?;
                }
            }
        }
        let last = page.items.last().filter(|_| page.has_next);
        Ok(last.map(|row| ListCursor {
            at: row.known_at,
            id: row.id.clone(),
        }))
    }
}
