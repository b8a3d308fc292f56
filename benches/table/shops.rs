//! A shop's log records through the write door in process, and the read model that finds them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use daybook::commands::{Door, IngestLogs, RecordOutcome};
use daybook::consumers::{ConsumerSettings, Consumers};
use daybook::store::Store;
use domain::Position;
use projections::logs::NAME;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;

use super::fleets::context;
use super::imports::{TENANT, sealing};
use super::records::{Batch, SOURCE};
use super::stand::Stand;

/// Who hands batches in at once.
pub const CALLERS: usize = 4;

/// How long the read model may take to follow.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// A log of its own with a door to it.
pub struct Desk {
    /// The log.
    pub store: Store,
    /// Into it.
    pub door: Door,
    /// Whose log.
    pub tenant: Arc<str>,
    database: PgConnectOptions,
}

impl Desk {
    /// Makes it.
    pub async fn open(stand: &Stand) -> anyhow::Result<Desk> {
        let (store, database) = stand.store().await?;
        Ok(Desk {
            door: sealing(stand, &store)?,
            store,
            tenant: Arc::from(TENANT),
            database,
        })
    }

    /// Hands one batch in; where the log is then.
    pub async fn hand_in(&self, batch: Batch) -> anyhow::Result<Position> {
        let records = batch.len();
        let told = IngestLogs {
            source: SOURCE.to_owned(),
            records: batch.into_iter().map(Ok).collect(),
            may_register: true,
        };
        let kept = self.door.ingest_logs(&context(&self.tenant), told).await?;
        let accepted = kept.outcomes.iter();
        let accepted = accepted.filter(|o| matches!(o, RecordOutcome::Accepted { .. }));
        ensure!(accepted.count() == records, "not all was accepted");
        Ok(kept.receipt.position)
    }

    /// Hands all of them in, several at once.
    pub async fn hand_in_all(self: &Arc<Self>, batches: Vec<Batch>) -> anyhow::Result<()> {
        let mut of_caller: Vec<Vec<Batch>> = vec![Vec::new(); CALLERS];
        for (n, batch) in batches.into_iter().enumerate() {
            of_caller[n % CALLERS].push(batch);
        }
        let mut callers = JoinSet::new();
        for batches in of_caller {
            let desk = self.clone();
            callers.spawn(async move {
                for batch in batches {
                    desk.hand_in(batch).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Has the read model of log records follow from now on.
    pub async fn follow(&self) -> anyhow::Result<Consumers> {
        let models = projections::all().into_iter();
        let model = models.filter(|model| model.name() == NAME).collect();
        let settings = ConsumerSettings::default();
        Ok(Consumers::start(self.store.clone(), model, settings).await?)
    }

    /// Waits until the read model holds what is at this position.
    pub async fn reach(&self, consumers: &Consumers, position: Position) -> anyhow::Result<()> {
        let reached = consumers.wait_for(&self.tenant, &[NAME], position, PATIENCE);
        let reached = reached.await.ok();
        reached.context("the read model has not come so far")
    }

    /// Waits until it holds all of the log.
    pub async fn reach_head(&self, consumers: &Consumers) -> anyhow::Result<()> {
        let head = self.store.head(&self.tenant).await?;
        self.reach(consumers, head).await
    }

    /// Removes it.
    pub async fn close(&self, stand: &Stand) -> anyhow::Result<()> {
        self.store.pool().close().await;
        stand.drop_database(&self.database).await
    }
}
