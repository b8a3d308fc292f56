//! Periods are closed by themselves once they are over, by one process for each tenant.
//!
//! Nothing is kept between two looks but where the next one begins: what is due the log tells, and a period
//! that was sealed and not closed is due until it is.

use std::collections::HashMap;
use std::sync::Arc;

use domain::competition::{Competition, CompetitionStatus};
use domain::{Actor, ActorKind, Code};
use metrics::{counter, histogram};
use projections::competitions;
use projections::{ReadError, Reader};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Closer, CompetitionsError};
use crate::auth::{Auth, AuthError};
use crate::commands::{CommandContext, CommandError, Door};
use crate::config;
use crate::consumers::{ConsumerError, Consumers, Duty};
use crate::ops::{Clock, metrics as names};
use crate::store::{Store, StoreError};

/// What it takes to find what is due and to close it.
pub struct Foundation {
    /// What the log says of a competition.
    pub door: Door,
    /// Which tenants there are.
    pub store: Store,
    /// Which of them are suspended.
    pub auth: Auth,
    /// Which competitions are open.
    pub reader: Reader,
    /// Which process closes.
    pub consumers: Consumers,
    /// Closes.
    pub closer: Closer,
    /// What time it is.
    pub clock: Clock,
}

/// Why periods were not closed.
#[derive(Debug, thiserror::Error)]
enum DueError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Duty(#[from] ConsumerError),
    #[error(transparent)]
    Tenant(#[from] AuthError),
}

/// Whoever looks, and where the next look at each tenant goes on.
struct Watch {
    on: Foundation,
    settings: config::Competitions,
    duty: Duty,
    places: HashMap<Arc<str>, String>,
}

/// Starts closing periods that are over, again and again; ends with the returned set.
pub fn start(settings: &config::Competitions, on: Foundation) -> JoinSet<()> {
    let watch = Watch {
        duty: on.consumers.duty("competition periods"),
        on,
        settings: settings.clone(),
        places: HashMap::new(),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(watch.run());
    tasks
}

impl Watch {
    async fn run(mut self) {
        let every = self.settings.close_interval;
        let mut turns = tokio::time::interval_at(Instant::now() + every, every);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let tenants = match self.on.store.tenants().await {
                Ok(tenants) => tenants,
                Err(error) => {
                    tracing::warn!(%error, "periods were not closed: {error}");
                    continue;
                }
            };
            for tenant in tenants {
                match self.look(&tenant).await {
                    Ok(()) | Err(DueError::Read(ReadError::NotBuilt(_))) => {}
                    Err(error) => {
                        let tenant = &*tenant;
                        tracing::warn!(%error, tenant, "periods were not closed: {error}");
                    }
                }
            }
        }
    }

    /// Looks through the open competitions of a tenant, from where the last look ended, for as long as one
    /// may take.
    async fn look(&mut self, tenant: &Arc<str>) -> Result<(), DueError> {
        if !self.duty.is_ours(tenant).await? || self.on.auth.tenant(tenant).await?.suspended {
            self.places.remove(tenant);
            return Ok(());
        }
        let begun = Instant::now();
        let place = self.places.remove(tenant);
        let next = self.close_from(tenant, place, begun + self.settings.close_time_max);
        let next = next.await?;
        self.places.extend(next.map(|next| (tenant.clone(), next)));
        histogram!(names::COMPETITION_LOOK_SECONDS).record(begun.elapsed());
        Ok(())
    }

    /// Closes page by page; tells where to go on if there was not time enough for all.
    async fn close_from(
        &self,
        tenant: &Arc<str>,
        mut after: Option<String>,
        until: Instant,
    ) -> Result<Option<String>, DueError> {
        loop {
            let page = {
                let mut snapshot = self.on.reader.snapshot(tenant).await?;
                let (status, first) = (Some(CompetitionStatus::Open), self.settings.close_batch);
                competitions::competitions(&mut snapshot, status, after.as_deref(), first).await?
            };
            for row in page.items {
                if Instant::now() >= until {
                    return Ok(after);
                }
                // One that cannot be closed does not keep the others from it.
                if let Err(error) = self.close_due(tenant, &row.id, until).await {
                    counter!(names::COMPETITION_PERIODS_TOTAL, "outcome" => "failed").increment(1);
                    let (tenant, competition) = (&**tenant, &*row.id);
                    let what = "a period was not closed";
                    tracing::warn!(%error, tenant, competition, "{what}: {error}");
                }
                after = Some(row.id);
            }
            if !page.has_next {
                return Ok(None);
            }
        }
    }

    /// Closes what is due of one competition, up to so many periods of it: the others have their turn first.
    async fn close_due(
        &self,
        tenant: &Arc<str>,
        id: &str,
        until: Instant,
    ) -> Result<(), CompetitionsError> {
        for _ in 0..self.settings.close_periods_max {
            let now = self.on.clock.now();
            let (known, _): (Competition, _) = self.on.door.load(tenant, id).await?;
            let Some(due) = known.due(now).filter(|_| Instant::now() < until) else {
                return Ok(());
            };
            let actor = Actor {
                kind: ActorKind::System,
                id: "daybook".into(),
            };
            let ctx = CommandContext::new(tenant.clone(), actor, now);
            match self.on.closer.close(&ctx, id, &due).await {
                Ok(_) => {
                    counter!(names::COMPETITION_PERIODS_TOTAL, "outcome" => "closed").increment(1);
                }
                Err(error) if was_faster(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Has somebody else closed the period meanwhile, or called the competition off?
fn was_faster(error: &CompetitionsError) -> bool {
    match error {
        CompetitionsError::Command(CommandError::Refused(refusal)) => {
            matches!(refusal.code, Code::PeriodClosed | Code::IllegalTransition)
        }
        _ => false,
    }
}
