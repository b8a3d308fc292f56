//! Bulk: a batch in a transaction of its own, together with the ids that its records declare; one without
//! any is one statement.
//!
//! Lock order: ids of records (sorted), then that of the append: command ids, claims, the head. Nobody who
//! holds one of those ever waits for an id of a record. The head is locked when the ids are in place, so
//! that others wait for it no longer than for any append.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::log_batch::LogBatch;
use domain::{Aggregate, Position};
use sqlx::{Executor as _, PgConnection, Row};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use super::append::{Append, AppendError, Appended};
use super::executor::{Remedy, Source, remedy};
use super::statement::{Outcome, Way, append_group};
use super::tallies::{self, Tallies};
use super::{Store, StoreError, StoreSettings};

/// The ids a batch's records declare.
#[derive(Debug)]
pub struct RecordIds {
    /// The batch: the stream of its event has this key.
    pub batch: Uuid,
    /// Digests of the ids, sorted, each once.
    pub hashes: Vec<[u8; 16]>,
    /// How many days they are remembered; `None`: for ever.
    pub days: Option<u32>,
}

/// Where a record is whose id the log has, by the id's digest; `None` if its batch cannot be found any more.
pub type KnownIds = HashMap<[u8; 16], Option<Position>>;

/// What deciding about a batch came to.
pub struct Decided {
    /// The append.
    pub append: Append,
    /// What is counted of its records, together with it.
    pub tallies: Tallies,
}

/// The connections that batches go over; there are no more than there are slots.
pub(super) struct Bulk {
    source: Source,
    slots: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
}

impl Bulk {
    pub fn new(source: Source) -> Bulk {
        let slots = Semaphore::new(source.settings().bulk_connections_max);
        Bulk {
            source,
            slots,
            idle: Mutex::default(),
        }
    }

    pub fn settings(&self) -> &StoreSettings {
        self.source.settings()
    }

    fn idle(&self) -> Option<PgConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop()
    }

    fn put_back(&self, conn: PgConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(conn);
    }
}

impl Store {
    /// Appends a batch and takes the ids its records declare, all in one transaction. `decide` is told
    /// which of them others have, and may be asked again after a lost race or a lost connection; then it may
    /// be told of ids that its own first attempt took. So what became of the records is what the receipt
    /// says that comes back.
    ///
    /// Batches wait here for their turn, no longer than an append may take; how much waits is for the
    /// caller to bound.
    pub async fn append_batch(
        &self,
        tenant: &Arc<str>,
        ids: &RecordIds,
        mut decide: impl FnMut(&KnownIds) -> Decided,
    ) -> Result<Appended, AppendError> {
        let bulk = &self.inner.bulk;
        let settings = bulk.source.settings();
        let deadline = Instant::now() + Duration::from_millis(settings.write_timeout_ms);
        let slot = tokio::time::timeout_at(deadline, bulk.slots.acquire()).await;
        let slot = slot.map_err(|_| AppendError::Overloaded)?;
        let _slot = slot.expect("slots are never closed");
        let (mut races, mut pause) = (0, Duration::from_millis(settings.reconnect_min_ms));
        loop {
            let mut append = None;
            let error = match bulk.once(tenant, ids, &mut decide, &mut append).await {
                Ok(outcome) => {
                    let kept = outcome?;
                    self.inner.wakes.advance(tenant, kept.position, true);
                    return Ok(kept);
                }
                Err(error) => error,
            };
            match remedy(&error) {
                Remedy::Again if races < settings.races_max => races += 1,
                Remedy::AddPartition if races < settings.races_max => {
                    races += 1;
                    let group: Vec<&Append> = append.iter().collect();
                    bulk.source.add_partitions(&group).await?;
                }
                // The command's id tells the next attempt whether this one was kept.
                Remedy::Reconnect if Instant::now() < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(settings.reconnect_max_ms));
                }
                Remedy::Reconnect => return Err(StoreError::Unavailable(error).into()),
                _ => return Err(bulk.source.fault(tenant, error).into()),
            }
        }
    }
}

impl Bulk {
    /// One attempt. A connection that saw an error is not used again: its transaction ends with it.
    async fn once(
        &self,
        tenant: &str,
        ids: &RecordIds,
        decide: &mut impl FnMut(&KnownIds) -> Decided,
        decided: &mut Option<Append>,
    ) -> Result<Outcome, sqlx::Error> {
        let attempt = async {
            let mut conn = match self.idle() {
                Some(conn) => conn,
                None => self.source.connect().await?,
            };
            let known = match ids.hashes.is_empty() {
                true => KnownIds::new(),
                false => {
                    conn.execute("begin").await?;
                    take_ids(&mut conn, tenant, ids).await?
                }
            };
            let Decided { append, tallies } = decide(&known);
            let append = &*decided.insert(append);
            // The append is one statement: where nothing goes with it, that is the transaction.
            if ids.hashes.is_empty() && tallies.records.is_empty() {
                let outcome = append_one(&mut conn, tenant, append).await?;
                return Ok((conn, outcome));
            }
            if ids.hashes.is_empty() {
                conn.execute("begin").await?;
            }
            // Before the head is locked: others wait for nothing of it.
            tallies::note(&mut conn, tenant, (ids.batch, append.command_id), &tallies).await?;
            let outcome = append_one(&mut conn, tenant, append).await?;
            let end = match &outcome {
                Ok(kept) if !kept.replayed => "commit",
                _ => "rollback",
            };
            conn.execute(end).await?;
            Ok((conn, outcome))
        };
        let (conn, outcome) = self.source.answered(attempt).await?;
        self.put_back(conn);
        Ok(outcome)
    }
}

async fn append_one(
    conn: &mut PgConnection,
    tenant: &str,
    append: &Append,
) -> Result<Outcome, sqlx::Error> {
    debug_assert!(
        append.is_remembered(),
        "a lost answer is found out by its id"
    );
    let mut outcomes = append_group(conn, tenant, &[append], Way::Apart).await?;
    Ok(outcomes.pop().expect("one outcome per append"))
}

/// Takes the ids nobody has, and says where the records of the others are. Waits for batches that are taking
/// one of them.
///
/// An id that somebody else took while this waited is not seen by the statement that waited, nor one that
/// was forgotten since: those are asked for again.
async fn take_ids(
    conn: &mut PgConnection,
    tenant: &str,
    ids: &RecordIds,
) -> Result<KnownIds, sqlx::Error> {
    let days = ids.days.map(|days| i32::try_from(days).unwrap_or(i32::MAX));
    let mut known = KnownIds::new();
    let mut left = ids.hashes.clone();
    while !left.is_empty() {
        let hashes: Vec<Uuid> = left.iter().copied().map(Uuid::from_bytes).collect();
        let others = sqlx::query(TAKE)
            .bind(tenant)
            .bind(&hashes)
            .bind(ids.batch)
            .bind(days)
            .bind(LogBatch::TYPE)
            .fetch_all(&mut *conn)
            .await?;
        left.clear();
        for row in others {
            let hash = row.try_get::<Uuid, _>("id_hash")?.into_bytes();
            match row.try_get("is_there")? {
                true => {
                    let position: Option<i64> = row.try_get("position")?;
                    known.insert(hash, position.map(Position));
                }
                false => left.push(hash),
            }
        }
        left.sort_unstable();
    }
    Ok(known)
}

/// Takes ids in the order of the digests, as they were handed in, and tells of those it could not take.
/// Where it could take all, nothing else is looked for.
const TAKE: &str = "
    with taken as (
        insert into record_ids (tenant, id_hash, batch, forget_on)
        select $1, id_hash, $3, current_date + $4::int4 + 1 from unnest($2::uuid[]) u(id_hash)
        on conflict (tenant, id_hash) do nothing
        returning id_hash)
    select u.id_hash, r.batch is not null as is_there, s.first_position as position
    from unnest($2::uuid[]) u(id_hash)
    left join lateral (select r.batch from record_ids r
                       where r.tenant = $1 and r.id_hash = u.id_hash limit 1) r on true
    left join lateral (select s.first_position from streams s
                       where s.tenant = $1 and s.aggregate_type = $5
                         and s.aggregate_id = r.batch::text limit 1) s on true
    where (select count(*) from taken) < cardinality($2::uuid[])
      and u.id_hash not in (select id_hash from taken)";
