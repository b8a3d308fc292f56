//! Where lines are measured: a private PostgreSQL, durable, with a database for each side.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use daybook::store::local::{self, LocalPostgres, LocalSettings};
use daybook::store::{Store, StoreSettings};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection as _, Executor, PgConnection, PgPool};

use super::measure::Watch;
use super::report::target_dir;

/// A private PostgreSQL server with fsync on.
pub struct Stand {
    postgres: LocalPostgres,
    dir: PathBuf,
    quick: bool,
    records: Option<usize>,
    databases: AtomicU32,
}

impl Stand {
    /// Sets a server up in a new directory below `target/bench`.
    /// Lines that ask have so many records stored.
    pub async fn start(quick: bool, records: Option<usize>) -> anyhow::Result<Stand> {
        let dir = target_dir()
            .join("bench")
            .join(format!("data-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let settings = LocalSettings::new(dir.join("stand"));
        let postgres = local::start(&settings).await?;
        Ok(Stand {
            postgres,
            dir,
            quick,
            records,
            databases: AtomicU32::new(0),
        })
    }

    /// Stops the server and removes what it kept.
    pub async fn stop(self) {
        let server = self.postgres.server_dir().to_owned();
        self.postgres.stop().await;
        for dir in [&self.dir, &server] {
            // A leftover costs disk, not correctness.
            let _ = std::fs::remove_dir_all(dir);
        }
    }

    /// A directory of this run.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Only to see that it works?
    pub fn is_quick(&self) -> bool {
        self.quick
    }

    /// How many records are to be stored, if it was said.
    pub fn records(&self) -> Option<usize> {
        self.records
    }

    /// How many rounds each side gets.
    pub fn rounds(&self) -> usize {
        if self.quick { 1 } else { 5 }
    }

    /// How long a round of a rate takes.
    pub fn round(&self) -> Duration {
        Duration::from_millis(if self.quick { 200 } else { 1_500 })
    }

    /// `n` in earnest, a fiftieth of it in a quick run.
    pub fn size(&self, n: usize) -> usize {
        if self.quick { (n / 50).max(1) } else { n }
    }

    /// A stopwatch over this process and the server.
    pub fn watch(&self) -> Watch {
        Watch::start(std::process::id(), self.postgres.server_pid())
    }

    /// The server's main process.
    pub fn postmaster(&self) -> Option<u32> {
        self.postgres.server_pid()
    }

    /// Writes out what is dirty, so that no line pays for the one before it.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let mut conn = self.postgres.options().connect().await?;
        conn.execute("checkpoint").await?;
        Ok(())
    }

    /// A new empty database.
    pub async fn database(&self) -> anyhow::Result<PgConnectOptions> {
        let n = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench_{n}");
        let mut conn = self.postgres.options().connect().await?;
        conn.execute(format!("create database {name}").as_str())
            .await
            .context("a database for a line")?;
        Ok(self.postgres.options().database(&name))
    }

    /// Removes a database, whoever is connected to it.
    pub async fn drop_database(&self, options: &PgConnectOptions) -> anyhow::Result<()> {
        let name = options.get_database().context("it was made here")?;
        let mut conn = self.postgres.options().connect().await?;
        conn.execute(format!("drop database {name} with (force)").as_str())
            .await?;
        Ok(())
    }

    /// A log in a new database, with the settings of production.
    pub async fn store(&self) -> anyhow::Result<(Store, PgConnectOptions)> {
        let options = self.database().await?;
        let store = Store::connect(options.clone(), StoreSettings::default()).await?;
        Ok((store, options))
    }

    /// A pool for a reference.
    pub async fn pool(
        &self,
        options: PgConnectOptions,
        connections: u32,
    ) -> anyhow::Result<PgPool> {
        let pool = PgPoolOptions::new()
            .min_connections(connections)
            .max_connections(connections)
            .connect_with(options)
            .await?;
        Ok(pool)
    }
}

/// Lets a statement work on millions of rows: the pool's connections give up far earlier.
pub async fn upkeep(pool: &PgPool, statement: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
    connection.execute("set statement_timeout = 0").await?;
    connection.execute(statement).await?;
    connection.close().await?;
    Ok(())
}
