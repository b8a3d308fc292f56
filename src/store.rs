//! The log: the only place that appends events and the only place that reads them.

mod append;
mod archive;
mod bulk;
pub mod cqrs;
mod executor;
mod group;
mod held;
mod lane;
mod lanes;
pub mod local;
mod partitions;
mod past;
mod pick;
mod plain;
mod filter;
mod read;
mod rejected;
mod room;
mod scan;
mod snapshots;
mod statement;
mod stream;
mod sweep;
mod tallies;
mod wake;

pub use append::{
    Append, AppendError, Appended, Basis, Claim, NewEvent, Rejected, StreamWrite, digest,
};
pub use archive::{ArchiveTurn, Archived, Behind, MOVED_MAX, OldPartition, Return};
pub use bulk::{Decided, KnownIds, RecordIds};
pub use filter::EventFilter;
pub use held::check_held;
pub use lanes::Pending;
pub use read::{FilteredPage, PageLimits, StoredEvent, log_page_statement, read_log};
pub use rejected::{RejectedFilter, RejectedRow};
pub use room::Room;
pub use scan::{
    EPOCH_US, HOLD_LOG, Rows, Scanned, StoredRow, copy_out, quoted, read_fields, read_stored, scan,
    scan_filtered, write_stored,
};
pub use snapshots::StoredState;
pub use stream::STREAM_LOOKED_THROUGH_MAX;
pub use tallies::{Tallies, Tally};

use std::sync::Arc;
use std::time::Duration;

use domain::{Position, StreamKey};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor as _, PgConnection, PgPool};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

/// A connection that was of use within this time is not asked whether it still is: under load the question
/// is one of the few round trips a query makes. Should the server have gone in between, the query fails as
/// one does that it goes under.
const TRUSTED_FOR: Duration = Duration::from_millis(100);

/// Facts and bookkeeping, as files in `migrations/`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Bounds of the store; all have working defaults.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Most connections of the pool for reads and bookkeeping; appends have their own.
    pub pool_max: u32,
    /// Connections kept open when idle.
    pub pool_min: u32,
    /// How long a caller waits for a free connection.
    pub acquire_timeout_ms: u64,
    /// A connection of the pool is replaced after this time.
    pub connection_lifetime_s: u64,
    /// How long one read may take.
    pub statement_timeout_ms: u64,
    /// How long a statement of the pool waits for a lock.
    pub lock_timeout_ms: u64,
    /// A transaction of the pool that is idle for this long is ended by the server.
    pub idle_in_transaction_timeout_ms: u64,
    /// Prepared statements kept per connection; 0 behind a pooler in transaction mode.
    pub statement_cache_max: usize,
    /// Use a server that may lose acknowledged events in a crash.
    pub unsafe_allowed: bool,
    /// How long one append may take, waiting for its turn in the database included.
    pub write_timeout_ms: u64,
    /// Commands waiting for their group, per tenant; more are refused as overloaded.
    pub queue_max: usize,
    /// Payload bytes of all commands of a tenant that wait or are under way; more are refused as
    /// overloaded, but one command alone is always taken.
    pub queue_bytes_max: usize,
    /// Commands of one group.
    pub group_commands_max: usize,
    /// Payload bytes of one group of small appends.
    pub group_bytes_max: usize,
    /// From this many payload bytes on an append is a bulk batch and goes in groups of its own.
    pub bulk_bytes_min: usize,
    /// Payload bytes of one group of bulk batches: the longest that others wait for the head's lock.
    pub bulk_group_bytes_max: usize,
    /// Batches of log records under way at once, of all tenants, each on its own connection; others wait.
    pub bulk_connections_max: usize,
    /// Groups of one tenant in flight, each on its own connection.
    pub groups_in_flight_max: usize,
    /// Another group departs beside those in flight only when this many commands wait; fewer are better off
    /// together. Twice as many and more are shared out among the free connections.
    pub second_group_commands_min: usize,
    /// How often a lane lets callers join before a group departs.
    pub gather_yields: usize,
    /// Lanes (tenants with appends) open at once.
    pub lanes_max: usize,
    /// A lane without work ends after this long.
    pub lane_idle_s: u64,
    /// How often an append that lost a race to another process is run again.
    pub races_max: u32,
    /// First pause before connecting again.
    pub reconnect_min_ms: u64,
    /// Longest pause before connecting again.
    pub reconnect_max_ms: u64,
    /// Positions of one partition of the events table.
    pub partition_positions: i64,
    /// Least time between two notifications to other processes.
    pub notify_every_ms: u64,
    /// How often heads are polled, whatever notifications say.
    pub poll_every_ms: u64,
    /// How long a command id is remembered.
    pub command_retention_h: u32,
    /// How long rejected records are kept.
    pub rejected_retention_d: u32,
    /// Rejected records kept per tenant; the oldest go first.
    pub rejected_records_max: i64,
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings {
            pool_max: 25,
            pool_min: 5,
            acquire_timeout_ms: 2_000,
            connection_lifetime_s: 300,
            statement_timeout_ms: 5_000,
            lock_timeout_ms: 2_000,
            idle_in_transaction_timeout_ms: 10_000,
            statement_cache_max: 100,
            unsafe_allowed: false,
            write_timeout_ms: 15_000,
            queue_max: 4_096,
            queue_bytes_max: 64 << 20,
            group_commands_max: 512,
            group_bytes_max: 1 << 20,
            bulk_bytes_min: 16 << 10,
            bulk_group_bytes_max: 512 << 10,
            bulk_connections_max: 2,
            groups_in_flight_max: 2,
            second_group_commands_min: 64,
            gather_yields: 16,
            lanes_max: 32,
            lane_idle_s: 60,
            races_max: 16,
            reconnect_min_ms: 20,
            reconnect_max_ms: 500,
            partition_positions: 16 << 20,
            notify_every_ms: 2,
            poll_every_ms: 1_000,
            command_retention_h: 24,
            rejected_retention_d: 30,
            rejected_records_max: 100_000,
        }
    }
}

/// A fault of the store: never the caller's mistake.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL could not be reached or did not answer in time. The same call may succeed later.
    #[error("the database is unavailable: {}", unavailable(.0))]
    Unavailable(#[source] sqlx::Error),
    /// PostgreSQL answered with an error that a retry does not mend.
    #[error("the database refused: {0}")]
    Database(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the schema could not be migrated: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The tenant has no log.
    #[error("no log for tenant {0:?}")]
    UnknownTenant(String),
    /// Events before a position were asked for, and their partition is not attached any more.
    #[error(
        "the log does not hold position {missing} any more (archived?): \
         the first it holds from there on is {}", first.map_or("none".to_owned(), |p| p.to_string())
    )]
    Archived {
        /// The first position that was asked for and is not there.
        missing: Position,
        /// The first position after it that is.
        first: Option<Position>,
    },
    /// The server would lose acknowledged events in a crash.
    #[error("refusing to start: the server has {0}; acknowledged events would not survive a crash")]
    Unsafe(String),
    /// A fault that befell a whole group.
    #[error(transparent)]
    Shared(Arc<StoreError>),
}

impl StoreError {
    /// Is it only that the database cannot be reached or is out of capacity?
    pub fn is_unavailable(&self) -> bool {
        match self {
            StoreError::Unavailable(_) => true,
            StoreError::Shared(e) => e.is_unavailable(),
            _ => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(e: sqlx::Error) -> StoreError {
        if is_unavailable(&e) {
            StoreError::Unavailable(e)
        } else {
            StoreError::Database(e)
        }
    }
}

/// The driver says the same of a pool in use and of a server that refuses it connections, so both are named.
fn unavailable(e: &sqlx::Error) -> String {
    match e {
        sqlx::Error::PoolTimedOut => "no connection within database.acquire_timeout: all of \
            database.pool_max are in use, or the server takes no more (its max_connections)"
            .to_owned(),
        e => e.to_string(),
    }
}

/// May the same call succeed later, when the server or its capacity is back?
fn is_unavailable(e: &sqlx::Error) -> bool {
    match e {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Connection exceptions, insufficient resources (disk, memory, connections), operator
        // intervention (shutdown, crash, statement time-out), lock time-out, read-only server.
        sqlx::Error::Database(e) => e.code().is_some_and(|c| {
            ["08", "53", "57"].iter().any(|class| c.starts_with(class))
                || ["55P03", "25006"].contains(&&*c)
        }),
        _ => false,
    }
}

/// The log in PostgreSQL. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    lanes: lanes::Lanes,
    bulk: bulk::Bulk,
    wakes: Arc<wake::Wakes>,
    append_only_role: bool,
    _tasks: JoinSet<()>,
}

impl Store {
    /// Connects, brings the schema up to date, and refuses a server that would lose what it acknowledged.
    pub async fn connect(
        options: PgConnectOptions,
        settings: StoreSettings,
    ) -> Result<Store, StoreError> {
        let settings = Arc::new(settings);
        let options = options.statement_cache_capacity(settings.statement_cache_max);
        let mut conn = PgConnection::connect_with(&options).await?;
        if !settings.unsafe_allowed {
            refuse_unsafe_server(&mut conn).await?;
        }
        MIGRATIONS.run(&mut conn).await?;
        partitions::ensure(&mut conn, &settings, 0).await?;
        let append_only_role: bool = sqlx::query_scalar(
            "select coalesce((select pg_has_role(current_user, oid, 'member')
                              from pg_roles where rolname = 'daybook_app'), false)",
        )
        .fetch_one(&mut conn)
        .await?;
        let _ = conn.close().await;
        let pool = pool(options.clone(), &settings, append_only_role).await?;
        let wakes = Arc::new(wake::Wakes::default());
        let mut tasks = wake::start(&wakes, &pool, &settings);
        tasks.spawn(sweep::run(pool.clone(), options.clone(), settings.clone()));
        let executors = executor::Source::new(options, settings, append_only_role);
        let inner = Inner {
            pool,
            bulk: bulk::Bulk::new(executors.clone()),
            lanes: lanes::Lanes::new(executors, wakes.clone()),
            wakes,
            append_only_role,
            _tasks: tasks,
        };
        Ok(Store {
            inner: Arc::new(inner),
        })
    }

    /// The pool for bookkeeping transactions of consumers.
    pub fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// Takes away what bookkeeping has been kept for as long as the settings say: ids of commands and of log
    /// records, rejected records. It is done every minute anyway.
    pub async fn apply_retention(&self) -> Result<(), StoreError> {
        sweep::sweep(&self.inner.pool, self.inner.bulk.settings()).await
    }

    /// Does this process work under a role that may not rewrite the log? If not, triggers are the only wall.
    pub fn has_append_only_role(&self) -> bool {
        self.inner.append_only_role
    }

    /// Changes whenever the tenant's head is seen to move, by whatever process: own appends at once,
    /// others' by notification, polling as the floor. Never goes back. A hint: read to know.
    pub fn watch_head(&self, tenant: &Arc<str>) -> watch::Receiver<Position> {
        self.inner.wakes.watch(tenant)
    }

    /// Hears of own heads as other processes are told of them, at most as often: for telling them in
    /// other ways as well.
    pub fn watch_said(&self) -> broadcast::Receiver<(Arc<str>, Position)> {
        self.inner.wakes.said()
    }

    /// Somebody says that a tenant's head is here. Nothing is believed: at most the heads are read.
    pub fn hint_head(&self, tenant: &str, claimed: Position) {
        self.inner.wakes.hint(tenant, claimed);
    }

    /// What tells this log apart from others: another server, another database, an earlier state of this
    /// one that was restored. As far as the server tells.
    pub async fn identity(&self) -> Result<String, StoreError> {
        let identity = sqlx::query_scalar(
            "select concat_ws('/', d.oid, l.created_at,
                case when has_function_privilege('pg_control_system()', 'execute')
                     then (select system_identifier from pg_control_system()) end,
                case when has_function_privilege('pg_control_checkpoint()', 'execute')
                     then (select timeline_id from pg_control_checkpoint()) end)
             from pg_database d, (select min(created_at) as created_at from logs) l
             where d.datname = current_database()",
        );
        Ok(identity.fetch_one(&self.inner.pool).await?)
    }

    /// Appends, all or nothing, and waits until it is durable.
    pub async fn append(&self, tenant: &Arc<str>, append: Append) -> Result<Appended, AppendError> {
        self.submit(tenant, append)?.outcome().await
    }

    /// Puts an append in its tenant's lane without waiting: appends submitted one after the other under a
    /// lock keep that order.
    pub fn submit(&self, tenant: &Arc<str>, append: Append) -> Result<Pending, AppendError> {
        self.inner.lanes.submit(tenant, append)
    }

    /// The append statements, the short one last, and the settings of the connections they run on: for a
    /// look at their plans.
    pub fn append_statements(&self) -> ([&'static str; 2], String) {
        let statements = [statement::APPEND, plain::APPEND_PLAIN];
        (statements, self.inner.lanes.connection_setup())
    }

    /// What the log knows of a command: nothing, its first receipt, or that its id was used for another.
    pub async fn seen(
        &self,
        tenant: &str,
        command_id: Uuid,
        fingerprint: &[u8; 16],
    ) -> Result<Option<Result<Appended, AppendError>>, StoreError> {
        let mut conn = self.inner.pool.acquire().await?;
        Ok(statement::seen(&mut conn, tenant, command_id, fingerprint).await?)
    }

    /// The receipt of a command, whoever sent it and whatever it said; `None` if it is not remembered.
    pub async fn receipt_of(
        &self,
        tenant: &str,
        command_id: Uuid,
    ) -> Result<Option<Appended>, StoreError> {
        let mut conn = self.inner.pool.acquire().await?;
        Ok(statement::receipt_of(&mut conn, tenant, command_id).await?)
    }

    /// The version a stream is at; 0 if it does not exist.
    pub async fn stream_version(
        &self,
        tenant: &str,
        stream: &StreamKey,
    ) -> Result<i64, StoreError> {
        let versions = self.stream_versions(tenant, &[stream]).await?;
        Ok(versions[0])
    }

    /// The versions these streams are at in one and the same moment, in their order.
    pub async fn stream_versions(
        &self,
        tenant: &str,
        streams: &[&StreamKey],
    ) -> Result<Vec<i64>, StoreError> {
        let mut conn = self.inner.pool.acquire().await?;
        Ok(statement::stream_versions(&mut conn, tenant, streams).await?)
    }
}

async fn pool(
    options: PgConnectOptions,
    settings: &StoreSettings,
    role: bool,
) -> Result<PgPool, StoreError> {
    let timeout_ms = settings.statement_timeout_ms;
    let mut setup = format!(
        "set statement_timeout = {timeout_ms}; set lock_timeout = {};
         set idle_in_transaction_session_timeout = {}; set jit = off;",
        settings.lock_timeout_ms, settings.idle_in_transaction_timeout_ms,
    );
    if role {
        setup.push_str("set role daybook_app;");
    }
    let setup: Arc<str> = setup.into();
    Ok(PgPoolOptions::new()
        .max_connections(settings.pool_max)
        .min_connections(settings.pool_min)
        .max_lifetime(Duration::from_secs(settings.connection_lifetime_s))
        .acquire_timeout(Duration::from_millis(settings.acquire_timeout_ms))
        .test_before_acquire(false)
        .before_acquire(|conn, known| {
            Box::pin(async move {
                if known.idle_for < TRUSTED_FOR {
                    return Ok(true);
                }
                conn.ping().await.map(|()| true)
            })
        })
        .after_connect(move |conn, _| {
            let setup = setup.clone();
            Box::pin(async move { conn.execute(sqlx::raw_sql(&setup)).await.map(drop) })
        })
        .connect_with(options)
        .await?)
}

/// `fsync`, `full_page_writes` and `synchronous_commit` off lose acknowledged commits in a crash.
/// Tests that need speed and no durability say so in the connection's `application_name`.
async fn refuse_unsafe_server(conn: &mut PgConnection) -> Result<(), StoreError> {
    let off: Option<String> = sqlx::query_scalar(
        "select string_agg(name || ' = off', ', ') from pg_settings
         where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off'
           and current_setting('application_name') <> 'daybook-unsafe'",
    )
    .fetch_one(conn)
    .await?;
    off.map_or(Ok(()), |off| Err(StoreError::Unsafe(off)))
}
