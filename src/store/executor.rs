//! One connection that appends groups: retries lost races, survives restarts, resolves unknown outcomes.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor as _, PgConnection};
use tokio::time::Instant;

use super::append::{Append, AppendError};
use super::plain;
use super::statement::{Outcome, Way, append_group};
use super::{StoreError, StoreSettings};

/// How long after its own time-outs the server's answer may take.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Makes executors of one store.
#[derive(Clone)]
pub(super) struct Source {
    options: PgConnectOptions,
    settings: Arc<StoreSettings>,
    role: bool,
}

impl Source {
    pub fn new(options: PgConnectOptions, settings: Arc<StoreSettings>, role: bool) -> Source {
        Source {
            options,
            settings,
            role,
        }
    }

    pub fn settings(&self) -> &Arc<StoreSettings> {
        &self.settings
    }

    pub fn executor(&self, tenant: Arc<str>) -> Executor {
        Executor {
            source: self.clone(),
            tenant,
            conn: None,
        }
    }

    /// The server bounds its own work; a server or a network that is silent is bounded here, and taken
    /// for a lost connection.
    pub async fn answered<T>(
        &self,
        asked: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let patience = Duration::from_millis(self.settings.write_timeout_ms) + SILENCE_MAX;
        let silent = |_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
        tokio::time::timeout(patience, asked)
            .await
            .unwrap_or_else(silent)
    }

    /// The planner must use the indexes even while tables are young and statistics say "empty", and the
    /// plan must be the same for every group size; a test reads it.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut conn = self.options.connect().await?;
        conn.execute(sqlx::raw_sql(&self.setup())).await?;
        Ok(conn)
    }

    /// The statement's own snapshot and re-reading under lock are those of `read committed`.
    pub fn setup(&self) -> String {
        let timeout_ms = self.settings.write_timeout_ms;
        let mut setup = format!(
            "set plan_cache_mode = force_generic_plan; set enable_sort = off;
             set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off;
             set enable_bitmapscan = off; set enable_material = off; set enable_memoize = off;
             set jit = off;
             set default_transaction_isolation = 'read committed';
             set statement_timeout = {timeout_ms}; set lock_timeout = {timeout_ms};"
        );
        if self.role {
            setup.push_str("set role daybook_app;");
        }
        setup
    }

    /// Makes room for all events of a group.
    pub async fn add_partitions(&self, group: &[&Append]) -> Result<(), StoreError> {
        let writes = group.iter().flat_map(|append| &append.writes);
        let events = writes.map(|w| w.events.len() as i64).sum();
        let added = async {
            let mut conn = self.options.connect().await?;
            super::partitions::ensure(&mut conn, &self.settings, events).await?;
            let _ = conn.close().await;
            Ok(())
        };
        self.answered(added).await.map_err(StoreError::from)
    }

    /// A null tenant means that it has no log.
    pub fn fault(&self, tenant: &str, error: sqlx::Error) -> StoreError {
        match sqlstate(&error).as_deref() {
            Some("23502") => StoreError::UnknownTenant(tenant.to_owned()),
            _ => StoreError::Database(error),
        }
    }
}

/// Appends one group at a time.
pub(super) struct Executor {
    source: Source,
    tenant: Arc<str>,
    conn: Option<PgConnection>,
}

/// What an error of the append statement calls for.
pub(super) enum Remedy {
    /// Another process was faster: the same statement again sees what it did.
    Again,
    /// The head has outrun the partitions.
    AddPartition,
    /// The connection is gone, or the server is not there; whether the group was kept is not known.
    Reconnect,
    /// The statement itself cannot succeed.
    GiveUp,
}

impl Executor {
    /// Appends a group; every command gets its outcome.
    ///
    /// After a lost connection the group is sent again: command ids, or the events where no id is kept, tell
    /// whether the first attempt was. A group that the database refuses for what it holds is cut down to the culprit.
    pub async fn execute(&mut self, group: &[&Append]) -> Vec<Outcome> {
        let way = match plain::suits(group) {
            true => Way::Plain,
            false => Way::Apart,
        };
        match self.attempt(group, way).await {
            Ok(outcomes) => outcomes,
            Err(Failure {
                error: StoreError::Database(e),
                in_doubt,
            }) if group.len() > 1 || in_doubt => {
                tracing::warn!(error = %e, commands = group.len(), "a group is cut down: {e}");
                let mut outcomes = Vec::with_capacity(group.len());
                for append in group {
                    outcomes.push(self.execute_alone(append, in_doubt).await);
                }
                outcomes
            }
            Err(failure) => fail(group.len())(failure),
        }
    }

    /// Those of a group that is cut down may have been decided on one another, and the whole group may have
    /// been kept.
    async fn execute_alone(&mut self, append: &Append, in_doubt: bool) -> Outcome {
        let way = match (append.is_withdrawn(), in_doubt) {
            (true, false) => return Err(AppendError::Stale),
            (true, true) => Way::Asked,
            (false, true) => Way::Again,
            (false, false) => Way::Apart,
        };
        let attempted = self.attempt(&[append], way).await;
        let mut outcomes = attempted.unwrap_or_else(fail(1));
        let outcome = outcomes.pop().expect("one outcome per append");
        append.withdraw_after(&outcome);
        outcome
    }

    async fn attempt(&mut self, group: &[&Append], mut way: Way) -> Result<Vec<Outcome>, Failure> {
        let mut in_doubt = matches!(way, Way::Again | Way::Asked);
        let settings = self.source.settings.clone();
        let deadline = Instant::now() + Duration::from_millis(settings.write_timeout_ms);
        let mut races = 0;
        let mut pause = Duration::from_millis(settings.reconnect_min_ms);
        loop {
            let error = match self.once(group, way).await {
                Ok(outcomes) => return Ok(outcomes),
                Err(error) => error,
            };
            let remedy = remedy(&error);
            // Any other is the statement's own word that it kept nothing.
            in_doubt |= matches!(remedy, Remedy::Reconnect);
            let was_plain = way == Way::Plain;
            // From here on each command's fate may differ.
            way = match way {
                Way::Asked => Way::Asked,
                _ if in_doubt => Way::Again,
                _ => Way::Apart,
            };
            let failed = |error| Failure { error, in_doubt };
            match remedy {
                Remedy::Again if was_plain => {}
                Remedy::Again if races < settings.races_max => races += 1,
                Remedy::AddPartition if races < settings.races_max => {
                    races += 1;
                    self.source.add_partitions(group).await.map_err(failed)?;
                }
                Remedy::Reconnect => {
                    self.conn = None;
                    if Instant::now() >= deadline {
                        return Err(failed(StoreError::Unavailable(error)));
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(settings.reconnect_max_ms));
                }
                _ => {
                    self.conn = None;
                    return Err(failed(self.source.fault(&self.tenant, error)));
                }
            }
        }
    }

    async fn once(&mut self, group: &[&Append], way: Way) -> Result<Vec<Outcome>, sqlx::Error> {
        let source = &self.source;
        let conn = &mut self.conn;
        source
            .answered(async {
                let conn = match conn {
                    Some(conn) => conn,
                    // Why there is no connection says nothing of the group.
                    none => none.insert(source.connect().await.map_err(lost)?),
                };
                append_group(conn, &self.tenant, group, way).await
            })
            .await
    }
}

/// Why a group has no outcomes.
struct Failure {
    error: StoreError,
    /// May it have been kept nevertheless?
    in_doubt: bool,
}

fn fail(n: usize) -> impl Fn(Failure) -> Vec<Outcome> {
    move |failure| {
        let e = Arc::new(match failure.error {
            StoreError::Database(e) if failure.in_doubt => StoreError::Unavailable(e),
            error => error,
        });
        (0..n)
            .map(|_| Err(AppendError::Store(StoreError::Shared(e.clone()))))
            .collect()
    }
}

/// An error that leaves it open whether anything was kept.
pub(super) fn lost(error: sqlx::Error) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other(error))
}

pub(super) fn remedy(error: &sqlx::Error) -> Remedy {
    match sqlstate(error).as_deref() {
        Some("23505" | "40001" | "40P01") => Remedy::Again,
        Some("23514") => Remedy::AddPartition,
        Some(_) if super::is_unavailable(error) => Remedy::Reconnect,
        Some(_) => Remedy::GiveUp,
        None if super::is_unavailable(error) => Remedy::Reconnect,
        None => Remedy::GiveUp,
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error()?.code()
}
