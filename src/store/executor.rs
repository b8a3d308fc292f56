//! One connection that appends groups: retries lost races, survives restarts, resolves unknown outcomes.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor as _, PgConnection};
use tokio::time::Instant;

use super::append::{Append, AppendError};
use super::statement::{Outcome, append_group};
use super::{StoreError, StoreSettings};

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

    /// The planner must use the indexes even while tables are young and statistics say "empty", and the
    /// plan must be the same for every group size; a test reads it.
    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut conn = self.options.connect().await?;
        let timeout_ms = self.settings.write_timeout_ms;
        let mut setup = format!(
            "set plan_cache_mode = force_generic_plan; set enable_sort = off;
             set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off;
             set enable_bitmapscan = off; set jit = off;
             set statement_timeout = {timeout_ms}; set lock_timeout = {timeout_ms};"
        );
        if self.role {
            setup.push_str("set role daybook_app;");
        }
        conn.execute(sqlx::raw_sql(&setup)).await?;
        Ok(conn)
    }
}

/// Appends one group at a time.
pub(super) struct Executor {
    source: Source,
    tenant: Arc<str>,
    conn: Option<PgConnection>,
}

/// What an error of the append statement calls for.
enum Remedy {
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
    /// After a lost connection the same statement is sent again: command ids tell whether the first
    /// attempt was kept. A group that the database refuses for what it holds is cut down to the culprit.
    pub async fn execute(&mut self, group: &[&Append]) -> Vec<Outcome> {
        match self.attempt(group).await {
            Ok(outcomes) => outcomes,
            Err(StoreError::Database(e)) if group.len() > 1 => {
                tracing::warn!(error = %e, commands = group.len(), "a group is cut down: {e}");
                let mut outcomes = Vec::with_capacity(group.len());
                for append in group {
                    outcomes.extend(self.attempt(&[append]).await.unwrap_or_else(fail(1)));
                }
                outcomes
            }
            Err(e) => fail(group.len())(e),
        }
    }

    async fn attempt(&mut self, group: &[&Append]) -> Result<Vec<Outcome>, StoreError> {
        let settings = self.source.settings.clone();
        let deadline = Instant::now() + Duration::from_millis(settings.write_timeout_ms);
        let mut races = 0;
        let mut pause = Duration::from_millis(settings.reconnect_min_ms);
        let mut unknown = false;
        loop {
            let error = match self.once(group).await {
                Ok(mut outcomes) => {
                    if unknown {
                        outcomes
                            .iter_mut()
                            .flatten()
                            .for_each(|kept| kept.replayed = false);
                    }
                    return Ok(outcomes);
                }
                Err(error) => error,
            };
            match remedy(&error) {
                Remedy::Again if races < settings.races_max => races += 1,
                Remedy::AddPartition if races < settings.races_max => {
                    races += 1;
                    self.add_partition().await?;
                }
                Remedy::Reconnect if Instant::now() < deadline => {
                    unknown = true;
                    self.conn = None;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(settings.reconnect_max_ms));
                }
                Remedy::Reconnect => return Err(StoreError::Unavailable(error)),
                _ => {
                    self.conn = None;
                    return Err(self.fault(error));
                }
            }
        }
    }

    async fn once(&mut self, group: &[&Append]) -> Result<Vec<Outcome>, sqlx::Error> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            none => none.insert(self.source.connect().await?),
        };
        append_group(conn, &self.tenant, group).await
    }

    async fn add_partition(&mut self) -> Result<(), StoreError> {
        let mut conn = self
            .source
            .options
            .connect()
            .await
            .map_err(StoreError::Unavailable)?;
        super::partitions::ensure(&mut conn, &self.source.settings).await?;
        let _ = conn.close().await;
        Ok(())
    }

    /// A null position means that there was no head row to count from.
    fn fault(&self, error: sqlx::Error) -> StoreError {
        match sqlstate(&error).as_deref() {
            Some("23502") => StoreError::UnknownTenant(self.tenant.to_string()),
            _ => StoreError::Database(error),
        }
    }
}

fn fail(n: usize) -> impl Fn(StoreError) -> Vec<Outcome> {
    move |e| {
        let e = Arc::new(e);
        (0..n)
            .map(|_| Err(AppendError::Store(StoreError::Shared(e.clone()))))
            .collect()
    }
}

fn remedy(error: &sqlx::Error) -> Remedy {
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
