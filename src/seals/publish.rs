//! The last seal of each log, told to the world now and then: whoever keeps what was told can show later that
//! history was written anew, were it by the owner of the database and of the keys.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::proof::Signed;
use super::{SealError, Seals};
use crate::config;
use crate::fetch::{Fetch, FetchError};
use crate::vault::hex;

/// Bytes of an answer to a published seal that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Tells the last seals.
pub(super) struct Publisher {
    settings: config::Seals,
    fetch: Fetch,
    /// What was told of a log last, and when.
    told: HashMap<Arc<str>, (u64, Instant)>,
}

/// Why a seal was not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    #[error("it cannot be read: {0}")]
    Seal(#[from] SealError),
    #[error("seals.publish_file, {path}, cannot be written: {error}", path = .path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("seals.publish_url: {0}")]
    Url(#[from] FetchError),
}

impl Publisher {
    pub(super) fn new(settings: &config::Seals, fetch: Fetch) -> Publisher {
        Publisher {
            settings: settings.clone(),
            fetch,
            told: HashMap::new(),
        }
    }

    /// Tells the last seal of a log, unless that was told, or one was within `seals.publish_interval`.
    pub(super) async fn publish(
        &mut self,
        seals: &Seals,
        tenant: &Arc<str>,
    ) -> Result<(), PublishError> {
        let told = self.told.get(tenant);
        if told.is_some_and(|(_, at)| at.elapsed() < self.settings.publish_interval) {
            return Ok(());
        }
        let Some(last) = seals.last(tenant).await? else {
            return Ok(());
        };
        if told.is_some_and(|(size, _)| *size == last.size()) {
            return Ok(());
        }
        // Whoever fails is tried again after the interval, with the seal that is the last one then.
        self.told
            .insert(tenant.clone(), (last.size(), Instant::now()));
        self.tell(tenant, last).await.inspect_err(|_| {
            self.told
                .entry(tenant.clone())
                .and_modify(|told| told.0 = 0);
        })
    }

    async fn tell(&self, tenant: &Arc<str>, last: Signed) -> Result<(), PublishError> {
        let (size, root, key) = (last.size(), hex(&last.root()), last.public_key());
        tracing::info!(
            log = &**tenant,
            size,
            root,
            key,
            "sealed: the first {size} events of {tenant} have root {root}, signed by {key}"
        );
        let line = serde_json::to_string(&last).expect("a seal is plain data");
        if let Some(path) = &self.settings.publish_file {
            let (path, line) = (path.clone(), line.clone());
            let written = spawn_blocking(move || {
                append(&path, &line).map_err(|error| PublishError::File { path, error })
            });
            written.await.unwrap_or(Ok(()))?;
        }
        if let Some(url) = &self.settings.publish_url {
            self.fetch.post(url, line, ANSWER_BYTES_MAX).await?;
        }
        Ok(())
    }
}

/// Adds a line to a file, for good.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}
