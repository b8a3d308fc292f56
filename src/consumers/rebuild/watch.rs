//! What a rebuild tells others while it works, and hears from them: figures for whoever asks, and whether
//! it is to stop, in whatever process that was decided.

use std::time::Duration;

use tokio::time::{Instant, interval};

use super::plan::{self, Plan};
use super::{Job, Phase, RebuildError};

/// How often it is looked whether the rebuild is to stop, in milliseconds.
const LOOK_MS: u64 = 200;

/// Figures are told once in so many milliseconds.
const TELL_MS: u64 = 1_000;

/// Returns when someone has ended the rebuild, or lets it rest. Faults are passed over: whoever works meets
/// them too.
pub(super) async fn watch(job: &Job, plan: &Plan) -> RebuildError {
    let mut looks = interval(Duration::from_millis(LOOK_MS));
    let mut told: Option<Instant> = None;
    loop {
        looks.tick().await;
        if told.is_none_or(|at| at.elapsed() >= Duration::from_millis(TELL_MS)) {
            told = Some(Instant::now());
            if let Err(error) = tell(job, plan).await {
                tracing::debug!(%error, "a rebuild's figures were not told: {error}");
            }
        }
        if let Ok(true) = is_to_stop(job, plan).await
            && let Ok(why) = plan::stopped(job, plan).await
        {
            return why;
        }
    }
}

async fn tell(job: &Job, plan: &Plan) -> Result<(), sqlx::Error> {
    let at = job.meter.progress();
    let folding = at.phase == Phase::Folding;
    sqlx::query(
        "update rebuilds set done_events = $4, told_at = now(),
                events_per_second = case when $5 then $6 else events_per_second end
         where tenant = $1 and projection = $2 and generation = $3
           and phase in ('folding', 'catching_up')",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .bind(i64::try_from(at.done_events).unwrap_or(i64::MAX))
    .bind(folding)
    .bind(at.events_per_second)
    .execute(job.store.pool())
    .await?;
    Ok(())
}

/// A rebuild that came to its end by our own hand is none that is to stop.
async fn is_to_stop(job: &Job, plan: &Plan) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select paused or phase in ('cancelled', 'failed') from rebuilds
         where tenant = $1 and projection = $2 and generation = $3",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .fetch_one(job.store.pool())
    .await
}
