//! Partitions that go to files: which may go, taking one away, and putting events back.
//!
//! A partition is shared by all tenants. Whoever is behind it gives theirs to files; the rows of the others
//! stay, in a partition of the same bounds that takes its place, and whoever begins a log later finds it too.

use std::ops::RangeInclusive;
use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{Store, StoreError};

/// Rows of tenants that are still within a partition are moved while nobody may append; this many are moved
/// in a second or two.
pub const MOVED_MAX: i64 = 200_000;

/// How long the exchange of partitions waits for those who read: everybody else waits behind it.
const LOCK_MS: u32 = 500;

/// How long it waits before that for whoever maintains the partition, which nobody else waits behind. A vacuum
/// that is asked to gives way after a second.
const MAINTAINED_MS: u32 = 5_000;

/// How long one waits for the other archive or restore of this database to end: one that was killed has
/// ended once the server has noticed.
const TURN_MS: u32 = 2_000;

/// How often it is tried, and the pause between.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// A partition that lies before a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldPartition {
    /// Its first position.
    pub first: i64,
    /// The first behind it.
    pub end: i64,
    /// Logs whose events in it may go: they go on behind it, and none of these is gone.
    pub whole: Vec<String>,
    /// Events in it of logs that end within it.
    pub staying: i64,
}

/// What is recorded of events that are in files.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Archived {
    /// Whose.
    pub tenant: String,
    /// Position of the first.
    pub from_position: i64,
    /// Position of the last.
    pub to_position: i64,
    /// Name of the file that has them.
    pub file: String,
    /// SHA-256 of it.
    pub sha256: Vec<u8>,
    /// Name of the file that proves it.
    pub proof_file: String,
    /// SHA-256 of that one.
    pub proof_sha256: Vec<u8>,
    /// How many events the seal is of that it leads to.
    pub seal_size: i64,
}

/// A read model that has yet to fold events that are to go.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Behind {
    /// Whose.
    pub tenant: String,
    /// Its name.
    pub projection: String,
    /// Where it is.
    pub position: i64,
}

const OLD: &str = "
    select p.from_position, p.to_position,
           coalesce(array_agg(l.tenant order by l.tenant) filter (
               where l.position >= p.to_position - 1
                 and exists (select from events e where e.tenant = l.tenant
                             and e.position = greatest(p.from_position, 1))), '{}'),
           coalesce(sum(greatest(l.position - greatest(p.from_position, 1) + 1, 0))
                    filter (where l.position < p.to_position - 1), 0)::bigint
    from event_partitions p cross join logs l
    where p.to_position <= $1
    group by p.from_position, p.to_position order by 1";

const ARCHIVED: &str = "
    select tenant, from_position, to_position, file, sha256, proof_file, proof_sha256, seal_size
    from archives where tenant = $1 and restored_at is null order by from_position";

/// The only archive or restore that is at work on a database, as long as this is kept.
pub struct ArchiveTurn {
    _conn: PgConnection,
}

impl OldPartition {
    /// The positions in it.
    pub fn positions(&self) -> RangeInclusive<i64> {
        self.first.max(1)..=self.end - 1
    }
}

impl Store {
    /// Partitions that lie wholly before a position, the oldest first.
    pub async fn old_partitions(&self, before: i64) -> Result<Vec<OldPartition>, StoreError> {
        let rows: Vec<(i64, i64, Vec<String>, i64)> = sqlx::query_as(OLD)
            .bind(before)
            .fetch_all(self.pool())
            .await?;
        let old = |(first, end, whole, staying)| OldPartition {
            first,
            end,
            whole,
            staying,
        };
        Ok(rows.into_iter().map(old).collect())
    }

    /// What is recorded of a tenant's events that only files have, in order.
    pub async fn archived(&self, tenant: &str) -> Result<Vec<Archived>, StoreError> {
        let found = sqlx::query_as(ARCHIVED).bind(tenant);
        Ok(found.fetch_all(self.pool()).await?)
    }

    /// A read model of these tenants that has not come to a position, or has parked a stream before it.
    pub async fn read_model_behind(
        &self,
        tenants: &[String],
        position: i64,
    ) -> Result<Option<Behind>, StoreError> {
        let behind = sqlx::query_as(
            "select tenant, projection, least(position, p.folded_to) as position
             from generations g left join lateral (
                 select min(folded_to) as folded_to from parked_streams p
                 where (p.tenant, p.projection, p.generation)
                     = (g.tenant, g.projection, g.generation)) p on true
             where tenant = any($1) and state in ('live', 'building')
               and least(position, p.folded_to) < $2
             order by 3 limit 1",
        );
        Ok(behind
            .bind(tenants)
            .bind(position)
            .fetch_optional(self.pool())
            .await?)
    }

    /// Nobody else archives or restores until this is dropped; `None` if somebody does.
    pub async fn archive_turn(&self) -> Result<Option<ArchiveTurn>, StoreError> {
        let options = self.pool().connect_options();
        let mut conn = PgConnection::connect_with(&options).await?;
        let lock = format!(
            "set lock_timeout = {TURN_MS}; select pg_advisory_lock(hashtext('daybook.archive'))"
        );
        match conn.execute(lock.as_str()).await {
            Ok(_) => Ok(Some(ArchiveTurn { _conn: conn })),
            Err(error) if is_locked(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the events of these tenants out of a partition and records where they are, all in one
    /// transaction: whoever is cut off in the middle has taken nothing away. `false`: the partition does not
    /// hold exactly the events of the files any more, and all stays as it is.
    pub async fn take_away(
        &self,
        partition: &OldPartition,
        files: &[Archived],
        by: &str,
    ) -> Result<bool, StoreError> {
        let mut tries = 1;
        loop {
            // Partitions belong to the schema's owner: not through the pool, whose role may only append.
            let options = self.pool().connect_options();
            let mut owner = PgConnection::connect_with(&options).await?;
            match exchange(&mut owner, partition, files, by).await {
                Err(error) if is_locked(&error) && tries < TRIES => {
                    tries += 1;
                    drop(owner);
                    tokio::time::sleep(PAUSE).await;
                }
                done => return Ok(done?),
            }
        }
    }

    /// A transaction in which events are put back where they were, see [`Return`].
    pub async fn put_back(&self, what: &Archived) -> Result<Return, StoreError> {
        let options = self.pool().connect_options();
        let mut owner = PgConnection::connect_with(&options).await?;
        owner.execute("begin").await?;
        Ok(Return {
            owner,
            what: what.clone(),
        })
    }
}

/// Was a lock not to be had in time?
fn is_locked(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.code().as_deref() == Some("55P03"))
}

/// Does a partition hold exactly the events that files have, of the tenants of these files?
async fn has_exactly(
    owner: &mut PgConnection,
    part: &str,
    files: &[Archived],
) -> Result<bool, sqlx::Error> {
    let tenants: Vec<&str> = files.iter().map(|file| file.tenant.as_str()).collect();
    let count = format!(
        "select tenant, min(position), max(position), count(*) from {part}
         where tenant = any($1) group by tenant"
    );
    let held: Vec<(String, i64, i64, i64)> = sqlx::query_as(&count)
        .bind(&tenants)
        .fetch_all(owner)
        .await?;
    let is_held = |file: &Archived| {
        let (from, to) = (file.from_position, file.to_position);
        held.contains(&(file.tenant.clone(), from, to, to - from + 1))
    };
    Ok(files.iter().all(is_held))
}

async fn exchange(
    owner: &mut PgConnection,
    partition: &OldPartition,
    files: &[Archived],
    by: &str,
) -> Result<bool, sqlx::Error> {
    let OldPartition { first, end, .. } = partition;
    let part = format!("events_p{first}");
    let tenants: Vec<&str> = files.iter().map(|file| file.tenant.as_str()).collect();
    // Who waits for the whole log stalls everybody: so first for the one partition, in a way that stalls
    // nobody but its vacuum, and its rows are counted while appends go on. The others are left alone.
    let begin = format!(
        "begin; set local lock_timeout = {MAINTAINED_MS};
         lock table only {part} in share update exclusive mode;"
    );
    owner.execute(begin.as_str()).await?;
    if !has_exactly(owner, &part, files).await? {
        owner.execute("rollback").await?;
        return Ok(false);
    }
    let exclude = format!(
        "set local lock_timeout = {LOCK_MS};
         select pg_advisory_xact_lock(hashtext('daybook.event_partitions'));
         lock table only events in access exclusive mode;
         lock table only {part} in access exclusive mode;
         create table {part}_next (like events including defaults including compression);"
    );
    owner.execute(exclude.as_str()).await?;
    let stay = format!("insert into {part}_next select * from {part} where tenant <> all($1)");
    sqlx::query(&stay)
        .bind(&tenants)
        .execute(&mut *owner)
        .await?;
    let exchange = format!(
        "alter table {part}_next add primary key (tenant, position);
         create index on {part}_next (tenant, aggregate_type, aggregate_id, sequence);
         alter table {part}_next add constraint bounds check (position >= {first} and position < {end});
         create trigger events_no_truncate before truncate on {part}_next
             for each statement execute function refuse_rewrite();
         alter table events detach partition {part};
         drop table {part};
         alter table {part}_next rename to {part};
         alter table events attach partition {part} for values from ({first}) to ({end});
         alter table {part} drop constraint bounds;"
    );
    owner.execute(exchange.as_str()).await?;
    for file in files {
        sqlx::query(
            "insert into archives (tenant, from_position, to_position, archived_by, file, sha256,
                                   proof_file, proof_sha256, seal_size)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&file.tenant)
        .bind(file.from_position)
        .bind(file.to_position)
        .bind(by)
        .bind(&file.file)
        .bind(&file.sha256)
        .bind(&file.proof_file)
        .bind(&file.proof_sha256)
        .bind(file.seal_size)
        .execute(&mut *owner)
        .await?;
    }
    owner.execute("commit").await?;
    Ok(true)
}

/// Events on their way back into the log. Dropped, nothing came back.
pub struct Return {
    owner: PgConnection,
    what: Archived,
}

impl Return {
    /// Puts rows back, as [`super::copy_out`] and [`super::write_stored`] make them.
    pub async fn put(
        &mut self,
        mut rows: tokio::sync::mpsc::Receiver<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let into =
            "copy events (tenant, position, aggregate_type, aggregate_id, sequence, event_type,
                                 event_version, event_id, recorded_at, payload, metadata)
                    from stdin (format binary)";
        let mut copy = self.owner.copy_in_raw(into).await?;
        copy.send(super::scan::HEADER).await?;
        while let Some(chunk) = rows.recv().await {
            copy.send(chunk).await?;
        }
        copy.send((-1i16).to_be_bytes().as_slice()).await?;
        copy.finish().await?;
        Ok(())
    }

    /// They are what was sealed: they stay, and it is recorded that they do.
    pub async fn keep(mut self, by: &str) -> Result<(), StoreError> {
        sqlx::query(
            "update archives set restored_at = now(), restored_by = $3
             where tenant = $1 and from_position = $2 and restored_at is null",
        )
        .bind(&self.what.tenant)
        .bind(self.what.from_position)
        .bind(by)
        .execute(&mut self.owner)
        .await?;
        self.owner.execute("commit").await?;
        Ok(())
    }
}
