//! Bulk: a batch in a transaction of its own, together with the ids that its records declare.
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
use super::statement::append_group;
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

/// What the log has of a batch.
#[derive(Debug, Default)]
pub struct KnownIds {
    /// The position of the record that has the id, by the id's digest.
    pub ids: HashMap<[u8; 16], Position>,
    /// The batch itself was accepted before, at this position, and its receipt is forgotten.
    pub batch: Option<Position>,
}

/// What deciding about a batch came to.
pub struct Decided<T> {
    /// The append.
    pub append: Append,
    /// What is counted of its records, together with it.
    pub tallies: Tallies,
    /// For the caller.
    pub told: T,
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
    /// which of them others have, and may be asked again after a lost race or a lost connection.
    ///
    /// Batches wait here for their turn; how much waits is for the caller to bound.
    pub async fn append_batch<T>(
        &self,
        tenant: &Arc<str>,
        ids: &RecordIds,
        mut decide: impl FnMut(&KnownIds) -> Decided<T>,
    ) -> Result<(Appended, T), AppendError> {
        let bulk = &self.inner.bulk;
        let slot = bulk.slots.acquire().await;
        let _slot = slot.expect("slots are never closed");
        let settings = bulk.source.settings();
        let deadline = Instant::now() + Duration::from_millis(settings.write_timeout_ms);
        let (mut races, mut pause) = (0, Duration::from_millis(settings.reconnect_min_ms));
        loop {
            let mut append = None;
            let error = match bulk.once(tenant, ids, &mut decide, &mut append).await {
                Ok((outcome, told)) => {
                    let kept = outcome?;
                    self.inner.wakes.advance(tenant, kept.position, true);
                    return Ok((kept, told));
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
    async fn once<T>(
        &self,
        tenant: &str,
        ids: &RecordIds,
        decide: &mut impl FnMut(&KnownIds) -> Decided<T>,
        decided: &mut Option<Append>,
    ) -> Result<(Result<Appended, AppendError>, T), sqlx::Error> {
        let attempt = async {
            let mut conn = match self.idle() {
                Some(conn) => conn,
                None => self.source.connect().await?,
            };
            conn.execute("begin").await?;
            let known = take_ids(&mut conn, tenant, ids).await?;
            let Decided {
                append,
                tallies,
                told,
            } = decide(&known);
            // Before the head is locked: others wait for nothing of it.
            tallies::note(&mut conn, tenant, ids.batch, &tallies).await?;
            let append = decided.insert(append);
            let mut outcomes = append_group(&mut conn, tenant, &[append], false).await?;
            let outcome = outcomes.pop().expect("one outcome per append");
            let end = match &outcome {
                Ok(kept) if !kept.replayed => "commit",
                _ => "rollback",
            };
            conn.execute(end).await?;
            Ok((conn, outcome, told))
        };
        let (conn, outcome, told) = self.source.answered(attempt).await?;
        self.put_back(conn);
        Ok((outcome, told))
    }
}

/// Takes the ids nobody has, and says who has the others. Waits for batches that are taking one of them.
async fn take_ids(
    conn: &mut PgConnection,
    tenant: &str,
    ids: &RecordIds,
) -> Result<KnownIds, sqlx::Error> {
    let hashes: Vec<&[u8]> = ids.hashes.iter().map(|hash| &hash[..]).collect();
    let taken = sqlx::query(TAKE)
        .bind(tenant)
        .bind(&hashes)
        .bind(ids.batch)
        .bind(ids.days.map(|days| i32::try_from(days).unwrap_or(i32::MAX)))
        .execute(&mut *conn)
        .await?;
    let mut known = KnownIds::default();
    let all_new = taken.rows_affected() == hashes.len() as u64;
    let asked: &[&[u8]] = if all_new { &[] } else { &hashes };
    let rows = sqlx::query(KNOWN)
        .bind(tenant)
        .bind(LogBatch::TYPE)
        .bind(ids.batch)
        .bind(asked)
        .fetch_all(conn)
        .await?;
    for row in rows {
        let position = Position(row.try_get("position")?);
        match row.try_get::<Option<&[u8]>, _>("id_hash")? {
            Some(hash) => {
                let hash = hash.try_into().expect("a digest has 16 bytes");
                known.ids.insert(hash, position);
            }
            None => known.batch = Some(position),
        }
    }
    Ok(known)
}

/// In the order of the digests, as they were handed in.
const TAKE: &str = "
    insert into record_ids (tenant, id_hash, batch, forget_on)
    select $1, id_hash, $3, current_date + $4::int4 + 1 from unnest($2::bytea[]) u(id_hash)
    on conflict (tenant, id_hash) do nothing";

/// Ids taken a moment ago in this transaction have no position yet, and are not among these.
const KNOWN: &str = "
    select null::bytea as id_hash, s.first_position as position from streams s
    where s.tenant = $1 and s.aggregate_type = $2 and s.aggregate_id = $3::uuid::text
    union all
    select u.id_hash, s.first_position from unnest($4::bytea[]) u(id_hash)
    cross join lateral (select r.batch from record_ids r
                        where r.tenant = $1 and r.id_hash = u.id_hash limit 1) r
    cross join lateral (select s.first_position from streams s
                        where s.tenant = $1 and s.aggregate_type = $2
                          and s.aggregate_id = r.batch::text limit 1) s";
