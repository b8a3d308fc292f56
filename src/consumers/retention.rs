//! Retention of log records: by one process for each tenant, those are taken out of the read model that
//! their sources keep no longer. The log keeps them.

use std::sync::Arc;

use metrics::{counter, histogram};
use projections::{Target, logs};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{ConsumerError, Consumers, Duty, connection};
use crate::config;
use crate::ops::{Clock, metrics as names};
use crate::store::Store;

/// How long taking away a day waits for those who read it before it is left for another time, in
/// milliseconds. Waiting longer would hold up new readers behind it.
const LOCK_WAIT_MS: u32 = 2_000;

/// Whoever looks.
struct Retention {
    settings: config::Logs,
    store: Store,
    duty: Duty,
    clock: Clock,
}

impl Consumers {
    /// Starts to look for log records that are kept no longer, again and again; ends with the returned set.
    pub fn keep_retention(&self, settings: &config::Logs, clock: Clock) -> JoinSet<()> {
        let retention = Retention {
            settings: settings.clone(),
            store: self.store().clone(),
            duty: self.duty("log retention"),
            clock,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(retention.run());
        tasks
    }
}

impl Retention {
    async fn run(mut self) {
        let every = self.settings.retention_interval;
        let mut turns = interval_at(Instant::now() + every, every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let tenants = match self.store.tenants().await {
                Ok(tenants) => tenants,
                Err(error) => {
                    tracing::warn!(%error, "no log records were taken away: {error}");
                    continue;
                }
            };
            for tenant in tenants {
                let begun = Instant::now();
                let looked = self.look(&tenant, begun + self.settings.retention_time_max);
                let outcome = match looked.await {
                    Ok(()) => "ok",
                    Err(error) => {
                        let what = "not all log records were taken away that are kept no longer";
                        tracing::warn!(%error, tenant = &*tenant, "{what}: {error}");
                        "failed"
                    }
                };
                let seconds = histogram!(names::LOG_RETENTION_SECONDS, "outcome" => outcome);
                seconds.record(begun.elapsed());
            }
        }
    }

    /// Takes away some days after the other, while the tenant's share of the work is ours, and for as long as
    /// one look may take. Then days that are empty lose their partitions.
    async fn look(&mut self, tenant: &Arc<str>, until: Instant) -> Result<(), ConsumerError> {
        while self.duty.is_ours(tenant).await? {
            let Some(generation) = self.generation(tenant).await? else {
                return Ok(());
            };
            let target = Target { tenant, generation };
            let mut conn = connection::open(&self.store).await?;
            let more = self.sweep(&mut conn, &target).await?;
            if !more || Instant::now() >= until {
                return Ok(logs::drop_empty_days(&mut conn, &target, LOCK_WAIT_MS).await?);
            }
        }
        Ok(())
    }

    /// The number in the tables' names of the generation that answers.
    async fn generation(&self, tenant: &Arc<str>) -> Result<Option<i32>, ConsumerError> {
        let live = sqlx::query_scalar(
            "select coalesce(storage, generation) from generations
             where tenant = $1 and projection = $2 and state = 'live'",
        )
        .bind(&**tenant)
        .bind(logs::NAME)
        .fetch_optional(self.store.pool());
        Ok(live.await?)
    }

    /// Takes away some days; tells whether there may be more.
    async fn sweep(
        &self,
        conn: &mut PgConnection,
        target: &Target<'_>,
    ) -> Result<bool, ConsumerError> {
        let mut tx = conn.begin().await?;
        let today = self.clock.now().date_naive();
        let swept = logs::sweep(&mut tx, target, today).await?;
        tx.commit().await?;
        counter!(names::LOG_RECORDS_SWEPT_TOTAL).increment(swept.records);
        Ok(swept.more)
    }
}
