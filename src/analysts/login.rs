//! Connections on which analysts' SQL runs: of a login of its own, which has no right but to read what it was
//! granted, in transactions that read only and are always rolled back.

use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, TryStreamExt as _};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::{
    Column as _, ConnectOptions as _, Executor as _, PgConnection, PgPool, Row as _,
    Statement as _, TypeInfo as _,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::sql::Purpose;
use super::{AnalystError, AnalystSettings};
use crate::store::Store;

/// The role that analysts' SQL runs as.
pub(super) const ROLE: &str = "daybook_analyst";

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The server gives up on a client that is silent within a transaction for so many milliseconds.
const SILENCE_MS_MAX: u32 = 10_000;

/// What sorting and hashing of one statement may hold in memory before they go to files.
const WORK_MEM: &str = "16MB";

/// How long a statement runs on at most once nobody waits for it any more, in milliseconds.
const GONE_MS_MAX: u32 = 500;

/// PostgreSQL's word for a server, or a role, that has no connection left.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// Beyond the server's own limit a statement is given up after so long.
const GRACE: Duration = Duration::from_secs(2);

/// Analysts' connections of one process. Cheap to clone.
#[derive(Clone)]
pub(super) struct Login {
    options: Arc<PgConnectOptions>,
    /// Where it is said whose rows a connection is shown.
    pool: PgPool,
    /// For questions, and for folding: neither waits for the other.
    asking: Arc<Semaphore>,
    folding: Arc<Semaphore>,
    /// Connections of either purpose that are open, and of use to nobody at the moment.
    idle: Arc<[Mutex<Vec<PgConnection>>; 2]>,
    /// How long a question waits for a connection, and a fold.
    asking_waits: Duration,
    folding_waits: Duration,
}

/// What a transaction of an analyst's is bounded by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Whose connections it takes one of.
    pub purpose: Purpose,
    /// How long its statement may run.
    pub time: Duration,
    /// Rows it may answer.
    pub rows: usize,
    /// Bytes it may answer.
    pub bytes: usize,
}

/// The rows of an answer as JSON texts.
pub(super) struct Rows {
    /// Row by row.
    pub rows: Vec<String>,
    /// There were more than the bounds allow.
    pub cut: bool,
}

impl Login {
    /// The login that the settings name, else the role of the same server: on a private server, whose socket
    /// only its owner reaches, it has no password.
    pub(super) fn new(store: &Store, settings: &AnalystSettings) -> Result<Login, sqlx::Error> {
        let options = match &settings.url {
            Some(url) => PgConnectOptions::from_str(url)?,
            None => store
                .pool()
                .connect_options()
                .as_ref()
                .clone()
                .username(ROLE),
        };
        Ok(Login {
            options: Arc::new(
                options
                    .application_name("daybook-analyst")
                    .statement_cache_capacity(0),
            ),
            pool: store.pool().clone(),
            asking: Arc::new(Semaphore::new(settings.connections_max)),
            folding: Arc::new(Semaphore::new(settings.fold_connections_max)),
            idle: Arc::default(),
            asking_waits: settings.query_timeout,
            folding_waits: settings.fold_timeout,
        })
    }

    /// Begins a transaction that reads only, on a connection for the caller alone.
    pub(super) async fn begin(&self, bounds: Bounds) -> Result<Session, AnalystError> {
        let (permits, wait_max) = match bounds.purpose {
            Purpose::Question => (&self.asking, self.asking_waits),
            Purpose::Fold => (&self.folding, self.folding_waits),
        };
        let waiting = timeout(wait_max, permits.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = waiting else {
            return Err(AnalystError::Busy);
        };
        let idle = self.idle(bounds.purpose).pop();
        // The server may have been started again since: then it is a new one.
        let kept = match idle {
            Some(mut conn) => backend_of(&mut conn).await.ok().map(|pid| (conn, pid)),
            None => None,
        };
        let (mut conn, backend) = match kept {
            Some(kept) => kept,
            None => {
                let mut conn = self.connect().await?;
                let backend = backend_of(&mut conn).await?;
                // what a dropped question left behind was another process of the server's
                sqlx::query("delete from analyst_sessions where backend = $1")
                    .bind(backend)
                    .execute(&self.pool)
                    .await?;
                (conn, backend)
            }
        };
        conn.execute(beginning(bounds).as_str()).await?;
        Ok(Session {
            conn,
            login: self.clone(),
            bounds,
            unread: false,
            backend,
            _permit: permit,
        })
    }

    fn idle(&self, purpose: Purpose) -> MutexGuard<'_, Vec<PgConnection>> {
        let [asking, folding] = &*self.idle;
        let idle = match purpose {
            Purpose::Question => asking,
            Purpose::Fold => folding,
        };
        idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<PgConnection, AnalystError> {
        let connecting = timeout(CONNECT_MAX, self.options.connect()).await;
        let mut conn = match connecting {
            Err(_) => return Err(AnalystError::NoLogin("it does not answer".to_owned())),
            Ok(Err(error)) if is_full(&error) => return Err(AnalystError::Busy),
            Ok(Err(error)) => return Err(AnalystError::NoLogin(error.to_string())),
            Ok(Ok(conn)) => conn,
        };
        match unfit(&mut conn).await? {
            None => Ok(conn),
            Some(why) => Err(AnalystError::NoLogin(why)),
        }
    }
}

/// Has the role, or the server, as many connections as it may?
fn is_full(error: &sqlx::Error) -> bool {
    let said = error.as_database_error().and_then(|said| said.code());
    said.is_some_and(|code| code == TOO_MANY_CONNECTIONS)
}

async fn backend_of(conn: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let asked = sqlx::query_scalar("select pg_backend_pid()");
    asked.persistent(false).fetch_one(conn).await
}

/// Why this login is none for strangers' SQL, if it is so.
async fn unfit(conn: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let row: (String, bool, bool, bool, bool) = sqlx::query_as(
        "select session_user::text,
                rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls,
                exists (select from pg_auth_members where member = r.oid),
                exists (select from pg_namespace n where has_schema_privilege(r.oid, n.oid, 'create')
                        and nspname !~ '^pg_')
                or has_database_privilege(r.oid, current_database(), 'create'),
                has_schema_privilege(r.oid, 'read', 'usage')
                and has_function_privilege(r.oid, 'public.analyst_tenant()', 'execute')
         from pg_roles r where rolname = session_user",
    )
    .fetch_one(conn)
    .await?;
    Ok(match row {
        (name, ..) if name != ROLE => Some(format!("it is {name}, not {ROLE}")),
        (_, true, ..) => Some("it may do what only administrators may".to_owned()),
        (_, _, true, ..) => Some("it is a member of other roles".to_owned()),
        (_, _, _, true, _) => Some("it may make tables of its own".to_owned()),
        (.., false) => Some(
            "it lacks `grant usage on schema read` and `grant execute on function analyst_tenant()`"
                .to_owned(),
        ),
        _ => None,
    })
}

/// A transaction of an analyst's. Dropped, it takes its connection along, and what runs on it; one that went well
/// is given back.
pub(super) struct Session {
    conn: PgConnection,
    login: Login,
    bounds: Bounds,
    /// There are rows left to read: not worth keeping.
    unread: bool,
    /// The server's process of this connection.
    pub(super) backend: i32,
    _permit: OwnedSemaphorePermit,
}

impl Session {
    /// Names and types of what a SELECT with so many parameters answers, without running it.
    pub(super) async fn columns(
        &mut self,
        sql: &str,
        parameters: usize,
    ) -> Result<Vec<(String, String)>, AnalystError> {
        let types = vec![<String as sqlx::Type<sqlx::Postgres>>::type_info(); parameters];
        let prepared = self.conn.prepare_with(sql, &types).await;
        let prepared = prepared.map_err(|e| AnalystError::of_statement(e, self.bounds.time))?;
        let columns = prepared.columns().iter();
        Ok(columns
            .map(|c| (c.name().to_owned(), c.type_info().name().to_lowercase()))
            .collect())
    }

    /// Runs one statement that answers one JSON text a row.
    pub(super) async fn rows(
        &mut self,
        sql: &str,
        arguments: PgArguments,
    ) -> Result<Rows, AnalystError> {
        let bounds = self.bounds;
        let query = sqlx::query_with(sql, arguments).persistent(false);
        let fetching = fetch(query.fetch(&mut self.conn), bounds);
        match timeout(bounds.time + GRACE, fetching).await {
            Err(_) => Err(AnalystError::TooLong(bounds.time)),
            Ok(Err(error)) => Err(AnalystError::of_statement(error, bounds.time)),
            Ok(Ok(rows)) => {
                self.unread = rows.cut;
                Ok(rows)
            }
        }
    }

    /// Takes back whatever was done, settings, locks and all, and keeps the connection for others.
    pub(super) async fn close(mut self) {
        let clean = !self.unread
            && self.conn.execute("rollback").await.is_ok()
            && self.conn.execute("discard all").await.is_ok();
        if clean {
            let mut idle = self.login.idle(self.bounds.purpose);
            idle.push(self.conn);
        }
    }
}

/// The beginning of a transaction that reads only: settings that are the same for all, and its limits. A
/// SELECT can change settings, but not what its transaction was begun with nor when the server gives up on it.
/// A question whose caller has gone has given its permit back: the server looks whether anybody is there.
fn beginning(bounds: Bounds) -> String {
    format!(
        "begin transaction isolation level repeatable read read only; \
         set local search_path = pg_catalog; set local statement_timeout = {}; \
         set local client_connection_check_interval = {GONE_MS_MAX}; \
         set local lock_timeout = 1000; set local idle_in_transaction_session_timeout = {SILENCE_MS_MAX}; \
         set local work_mem = '{WORK_MEM}'; set local jit = off; \
         set local max_parallel_workers_per_gather = 0; set local timezone = 'UTC'; \
         set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres'; \
         set local extra_float_digits = 1; set local bytea_output = 'hex'; \
         set local row_security = on; set local standard_conforming_strings = on",
        bounds.time.as_millis()
    )
}

async fn fetch(
    mut stream: impl Stream<Item = Result<PgRow, sqlx::Error>> + Unpin,
    bounds: Bounds,
) -> Result<Rows, sqlx::Error> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await? {
        let text: String = row.try_get(0)?;
        bytes += text.len();
        if rows.len() == bounds.rows || bytes > bounds.bytes {
            return Ok(Rows { rows, cut: true });
        }
        rows.push(text);
    }
    Ok(Rows { rows, cut: false })
}
