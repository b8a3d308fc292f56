//! PostgreSQL, named or private, and the log in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::bounds;
use crate::config::{PostgresUrl, Settings};
use crate::store::local::{self, LocalPostgres, LocalSettings};
use crate::store::{Store, StoreError};

/// The log, and the private PostgreSQL under it if there is one.
pub struct Log {
    store: Store,
    private: Option<LocalPostgres>,
    data_dir: PathBuf,
    place: String,
    notes: Vec<String>,
}

/// The data directory, absolute and there; only named if nothing is to be kept in it, so that a
/// process on somebody else's servers may have a file system that it cannot write.
pub fn data_dir(settings: &Settings) -> anyhow::Result<PathBuf> {
    let dir = &settings.process.data_dir;
    let unused = settings.database.url.is_some() && settings.vault.master_key_file.is_some();
    Ok(if unused {
        std::path::absolute(dir)?
    } else {
        local::prepare_data_dir(dir)?
    })
}

/// How often a named server that does not answer is tried, and the pause between.
const CONNECT_ATTEMPTS: u32 = 3;
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

impl Log {
    /// Connects to the server that the settings name, or starts a private one; brings the schema
    /// up to date.
    pub async fn open(settings: &Settings) -> anyhow::Result<Log> {
        let data_dir = data_dir(settings)?;
        match &settings.database.url {
            Some(url) => Log::named(settings, url, data_dir).await,
            None => Log::private(settings, data_dir).await,
        }
    }

    async fn named(
        settings: &Settings,
        url: &PostgresUrl,
        data_dir: PathBuf,
    ) -> anyhow::Result<Log> {
        let mut attempt = 1;
        let store = loop {
            let options = url
                .expose()
                .parse()
                .context("database.url cannot be read")?;
            match Store::connect(options, bounds::store(settings)).await {
                Ok(store) => break store,
                Err(StoreError::Unavailable(error)) if attempt < CONNECT_ATTEMPTS => {
                    tracing::warn!(attempt, %error, "{url} does not answer: {error}");
                    tokio::time::sleep(CONNECT_PAUSE).await;
                    attempt += 1;
                }
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!(
                            "{url} cannot be used. Check the server and the address (DATABASE_URL, \
                             --database-url), or leave it out for a private server"
                        )
                    });
                }
            }
        };
        Ok(Log {
            store,
            private: None,
            data_dir,
            place: url.to_string(),
            notes: Vec::new(),
        })
    }

    async fn private(settings: &Settings, data_dir: PathBuf) -> anyhow::Result<Log> {
        let pg_bin = settings.process.pg_bin.clone();
        let local = LocalSettings {
            pg_bin,
            ..LocalSettings::new(&data_dir)
        };
        let postgres = local::start(&local).await?;
        let place = format!("{} (private PostgreSQL)", postgres.server_dir().display());
        let notes = postgres.notes().to_vec();
        match Store::connect(postgres.options(), bounds::store(settings)).await {
            Ok(store) => Ok(Log {
                store,
                private: Some(postgres),
                data_dir,
                place,
                notes,
            }),
            Err(error) => {
                postgres.stop().await;
                Err(error).with_context(|| format!("the private PostgreSQL in {place} failed"))
            }
        }
    }

    /// The log.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The data directory, absolute.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where the data is, without secrets.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Is the server our own?
    pub fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// Whole sentences that a person should see.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Closes the connections, then stops the private server.
    pub async fn close(self) {
        self.store.pool().close().await;
        if let Some(postgres) = self.private {
            postgres.stop().await;
        }
    }
}
