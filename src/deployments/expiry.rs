//! Approvals that have run out are given up by themselves, so that boards do not show what cannot start.
//!
//! Nothing rests on it: a deployment whose approval has run out does not start, whether that was said or
//! not. So each look takes up what is due first and leaves the rest to the next, and several processes that
//! look at once say the same thing once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::deployment::DeploymentCommand;
use domain::{Actor, ActorKind, Code};
use projections::ReadError;
use projections::deployments;

use super::{Deployments, DeploymentsError, Inner};
use crate::commands::{CommandContext, CommandError};
use crate::ops::Clock;

/// Does what is due, now and then, as long as anybody needs it.
pub(super) async fn tend(inner: Weak<Inner>, clock: Clock, every: Duration) {
    let mut turns = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
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
            match deployments.expire_due(&tenant, clock.now()).await {
                Ok(()) => {}
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
    /// Gives up what has run out, a batch of it.
    async fn expire_due(
        &self,
        tenant: &Arc<str>,
        now: DateTime<Utc>,
    ) -> Result<(), DeploymentsError> {
        let due = {
            let mut snapshot = self.0.reader.snapshot(tenant).await?;
            deployments::run_out(&mut snapshot, now, self.0.batch).await?
        };
        for id in due {
            let actor = Actor {
                kind: ActorKind::System,
                id: "daybook".into(),
            };
            let ctx = CommandContext::new(tenant.clone(), actor, now);
            let expire = DeploymentCommand::Expire { now };
            match self.on_deployment(&ctx, &id, expire).await {
                // It has moved on since.
                Err(DeploymentsError::Command(CommandError::Refused(refusal)))
                    if refusal.code == Code::IllegalTransition => {}
                told => {
                    told?;
                }
            }
        }
        Ok(())
    }
}
