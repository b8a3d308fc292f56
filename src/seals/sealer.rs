//! Sealing: by one process for each tenant, a little behind the head of its log.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use metrics::{counter, histogram};
use sqlx::PgConnection;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::leaf::leaf;
use super::nodes::is_kept;
use super::publish::Publisher;
use super::statement::Statement;
use super::stored::{self, StoredSeal};
use super::tree::{Edge, Hash, Node};
use super::{SealError, Seals};
use crate::config;
use crate::consumers::{ConsumerError, Consumers, Duty, open_connection};
use crate::fetch::Fetch;
use crate::ops::{Clock, metrics as names};
use crate::store::{read_stored, scan};

/// Seals of one log that are made before others have their turn.
const SEALS_A_TURN_MAX: u32 = 16;

/// A connection that events were read over is read over again if it rested no longer than this: opening one costs
/// more than what is read over it in a second of few events.
const REST_MAX: Duration = Duration::from_secs(5);

/// Chunks of rows read ahead of those that are being hashed.
const CHUNKS_AHEAD_MAX: usize = 2;

/// Whoever seals.
struct Sealer {
    seals: Seals,
    settings: config::Seals,
    duty: Duty,
    clock: Clock,
    /// Logs that could not be sealed when that was tried last.
    failing: HashSet<Arc<str>>,
}

#[derive(Debug, thiserror::Error)]
enum DutyError {
    #[error(transparent)]
    Lease(#[from] ConsumerError),
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Starts to seal all logs, again and again; ends with the returned set.
pub fn start(
    settings: &config::Seals,
    seals: Seals,
    (consumers, fetch): (&Consumers, Fetch),
    clock: Clock,
) -> JoinSet<()> {
    let publisher = Publisher {
        seals: seals.clone(),
        settings: settings.clone(),
        fetch,
        duty: consumers.duty("seals/told"),
        told: HashMap::new(),
        file: Arc::default(),
    };
    let sealer = Sealer {
        seals,
        settings: settings.clone(),
        duty: consumers.duty("seals"),
        clock,
        failing: HashSet::new(),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(sealer.run());
    tasks.spawn(publisher.run());
    tasks
}

impl Sealer {
    async fn run(mut self) {
        let every = self.settings.interval;
        let mut turns = interval_at(Instant::now() + every, every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let behind = self.seals.behind().await;
            self.tell(&"all".into(), behind.as_ref().map(drop));
            for tenant in behind.unwrap_or_default() {
                let sealed = self.seal(&tenant).await;
                self.tell(&tenant, sealed.as_ref().map(drop));
            }
        }
    }

    /// Says that a log cannot be sealed when that begins, not each time it is tried.
    fn tell<E: Display>(&mut self, log: &Arc<str>, outcome: Result<(), &E>) {
        match outcome {
            Ok(()) => {
                self.failing.remove(log);
            }
            Err(error) if self.failing.insert(log.clone()) => {
                tracing::warn!(%error, log = &**log, "not sealed: {error}");
            }
            Err(_) => {}
        }
    }

    /// Seals what there is of a log, while that is ours to do; of a log that has much, some, so that others
    /// have their turn.
    async fn seal(&mut self, tenant: &Arc<str>) -> Result<(), DutyError> {
        for _ in 0..SEALS_A_TURN_MAX {
            if !self.duty.is_ours(tenant).await? {
                break;
            }
            let begun = Instant::now();
            let (now, most) = (self.clock.now(), self.settings.events_max);
            let events = self.seals.seal_next(tenant, now, most).await?;
            if events == 0 {
                break;
            }
            counter!(names::SEALED_EVENTS_TOTAL).increment(events);
            histogram!(names::SEAL_SECONDS).record(begun.elapsed());
            if events < u64::from(most) {
                break;
            }
        }
        Ok(())
    }
}

impl Seals {
    /// All logs, that of the installation among them.
    pub(super) async fn logs(&self) -> Result<Vec<Arc<str>>, sqlx::Error> {
        let names: Vec<String> = sqlx::query_scalar("select tenant from logs order by tenant")
            .fetch_all(self.store.pool())
            .await?;
        Ok(names.into_iter().map(Arc::from).collect())
    }

    /// The logs that have events behind their last seal; that of the installation is among them.
    async fn behind(&self) -> Result<Vec<Arc<str>>, sqlx::Error> {
        let names: Vec<String> = sqlx::query_scalar(
            "select l.tenant from logs l
             where l.position > coalesce((select s.size from seals s where s.tenant = l.tenant
                                          order by s.size desc limit 1), 0)
             order by l.tenant",
        )
        .fetch_all(self.store.pool())
        .await?;
        Ok(names.into_iter().map(Arc::from).collect())
    }

    /// Puts the next events of a log under a seal, at most `events_max`; tells how many. None if all are
    /// sealed, or if somebody else was faster.
    pub async fn seal_next(
        &self,
        tenant: &Arc<str>,
        now: DateTime<Utc>,
        events_max: u32,
    ) -> Result<u64, SealError> {
        let last = stored::last(self.store.pool(), tenant).await?;
        let sealed = last.as_ref().map_or(0, |last| last.size);
        let head = self.store.head(tenant).await?.0;
        let to = head.min(sealed.saturating_add(i64::from(events_max)));
        if to <= sealed {
            return Ok(0);
        }
        let (mut edge, previous) = continued(tenant, last.as_ref())?;
        let leaves = self.leaves(tenant, sealed, to).await?;
        let mut nodes = Vec::new();
        for leaf in &leaves {
            edge.push(*leaf, |node, hash| {
                if is_kept(node) {
                    nodes.push((node, *hash));
                }
            });
        }
        let statement = Statement {
            tenant: tenant.to_string(),
            size: edge.size(),
            root: edge.root(),
            previous,
            // As the database keeps it.
            sealed_at: now.trunc_subsecs(6),
        };
        let key = self.key().await?;
        let signature = key.sign(&statement);
        let mut tx = projections::begin(self.store.pool(), "begin").await?;
        let signed = (key.id(), &signature[..]);
        if !stored::insert(&mut tx, &statement, (&leaves, &edge), signed).await? {
            return Ok(0);
        }
        insert_nodes(&mut tx, tenant, &nodes).await?;
        tx.commit().await?;
        Ok(leaves.len() as u64)
    }

    /// The leaves of the events behind `sealed` up to `to`.
    async fn leaves(
        &self,
        tenant: &Arc<str>,
        sealed: i64,
        to: i64,
    ) -> Result<Vec<Hash>, SealError> {
        let mut conn = match self.rested() {
            Some(rested) => rested,
            None => open_connection(&self.store).await?,
        };
        let (send, mut chunks) = mpsc::channel(CHUNKS_AHEAD_MAX);
        let reading = async {
            let send = send;
            scan(&mut conn, tenant, None, sealed + 1..=to, &send, |chunk| {
                chunk
            })
            .await
        };
        // It takes the chunks with it: once it has ended, whoever reads is not waited for.
        let hashing = async move {
            let mut leaves = Vec::with_capacity((to - sealed) as usize);
            while let Some(chunk) = chunks.recv().await {
                read_stored(&chunk, |row| {
                    let position = sealed + 1 + leaves.len() as i64;
                    if row.position != position {
                        return Err(position);
                    }
                    leaves.push(leaf(tenant, &row));
                    Ok(())
                })?;
            }
            let next = sealed + 1 + leaves.len() as i64;
            if next > to { Ok(leaves) } else { Err(next) }
        };
        let (read, hashed) = tokio::join!(reading, hashing);
        read?;
        let leaves = hashed.map_err(|position| gap(tenant, position))?;
        // Read to its end: one that was left in the middle would tell the next what is still under way.
        *self.rest() = Some((conn, Instant::now()));
        Ok(leaves)
    }

    /// The connection of the time before, unless that is long ago.
    fn rested(&self) -> Option<PgConnection> {
        let (conn, since) = self.rest().take()?;
        (since.elapsed() <= REST_MAX).then_some(conn)
    }

    fn rest(&self) -> MutexGuard<'_, Option<(PgConnection, Instant)>> {
        self.rested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gap(tenant: &Arc<str>, position: i64) -> SealError {
    SealError::Gap {
        tenant: tenant.clone(),
        position,
    }
}

/// What the next seal goes on from: the edge of the tree, and the digest of what was stated last.
fn continued(tenant: &Arc<str>, last: Option<&StoredSeal>) -> Result<(Edge, Hash), SealError> {
    let Some(last) = last else {
        return Ok((Edge::default(), [0; 32]));
    };
    let broken = || SealError::Broken {
        tenant: tenant.clone(),
        size: last.size,
    };
    let edge = last.edge().ok_or_else(broken)?;
    let statement = last.statement(tenant, &edge).ok_or_else(broken)?;
    Ok((edge, statement.digest()))
}

/// One that somebody else has put there stays: verifying tells of it, and no seal waits for that.
async fn insert_nodes(
    conn: &mut PgConnection,
    tenant: &str,
    nodes: &[(Node, Hash)],
) -> Result<(), sqlx::Error> {
    if nodes.is_empty() {
        return Ok(());
    }
    let levels: Vec<i16> = nodes.iter().map(|(node, _)| node.level as i16).collect();
    let indexes: Vec<i64> = nodes.iter().map(|(node, _)| node.index as i64).collect();
    let hashes: Vec<&[u8]> = nodes.iter().map(|(_, hash)| &hash[..]).collect();
    sqlx::query(
        "insert into seal_nodes (tenant, level, index, hash)
         select $1, n.* from unnest($2::smallint[], $3::bigint[], $4::bytea[]) n
         on conflict do nothing",
    )
    .bind(tenant)
    .bind(levels)
    .bind(indexes)
    .bind(hashes)
    .execute(conn)
    .await?;
    Ok(())
}
