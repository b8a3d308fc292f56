//! The last seal of each log, told to the world now and then: whoever keeps what was told can show later that
//! history was written anew, were it by the owner of the database and of the keys.
//!
//! A task of its own: sealing waits neither for a disk nor for a service that does not answer.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::proof::Signed;
use super::{SealError, Seals};
use crate::config::{self, WebUrl};
use crate::consumers::{ConsumerError, Duty};
use crate::fetch::{Fetch, FetchError};
use crate::vault::hex;

/// Bytes of an answer to a published seal that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A file is waited for so long; what is being written then is not written again beside.
const FILE_WAIT: Duration = Duration::from_secs(10);

/// What was not told is tried again after so long, or with the next turn if that comes sooner.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Tells the last seals.
pub(super) struct Publisher {
    pub(super) seals: Seals,
    pub(super) settings: config::Seals,
    pub(super) fetch: Fetch,
    /// Whose logs are ours to tell of.
    pub(super) duty: Duty,
    /// Of how many events the seal was that was told of a log last.
    pub(super) told: HashMap<Arc<str>, u64>,
    /// Held by whoever writes to the file.
    pub(super) file: Arc<Mutex<()>>,
}

/// Why a seal was not told.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Lease(#[from] ConsumerError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("it cannot be read: {0}")]
    Seal(#[from] SealError),
    #[error("seals.publish_file, {path}, cannot be written: {error}", path = .path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("seals.publish_url: {0}")]
    Url(#[from] FetchError),
    #[error("seals.publish_url was not asked: it has just failed for another log")]
    NotAsked,
}

impl Publisher {
    pub(super) async fn run(mut self) {
        let every = self.settings.publish_interval;
        let mut failing = HashSet::new();
        // What has just been begun has sealed nothing yet.
        sleep(self.settings.interval.min(every)).await;
        loop {
            let failed = self.turn(&mut failing).await;
            sleep(if failed {
                AGAIN_AFTER.min(every)
            } else {
                every
            })
            .await;
        }
    }

    /// Tells of every log of ours whose last seal was not told yet. Has any of them failed?
    async fn turn(&mut self, failing: &mut HashSet<Arc<str>>) -> bool {
        let logs = match self.seals.logs().await {
            Ok(logs) => logs,
            Err(error) => {
                tracing::warn!(%error, "no seal was told: {error}");
                return true;
            }
        };
        let (mut failed, mut url_fails) = (false, false);
        for log in logs {
            match self.publish(&log, url_fails).await {
                Ok(()) => {
                    failing.remove(&log);
                }
                Err(error) => {
                    failed = true;
                    url_fails |= matches!(error, PublishError::Url(_));
                    // Said when it begins, not each time it is tried.
                    if failing.insert(log.clone()) {
                        tracing::warn!(%error, log = &*log, "the last seal was not told: {error}");
                    }
                }
            }
        }
        failed
    }

    async fn publish(&mut self, log: &Arc<str>, url_fails: bool) -> Result<(), PublishError> {
        if !self.duty.is_ours(log).await? {
            return Ok(());
        }
        let Some(last) = self.seals.last(log).await? else {
            return Ok(());
        };
        if self.told.get(log) == Some(&last.size()) {
            return Ok(());
        }
        self.tell(log, &last, url_fails).await?;
        self.told.insert(log.clone(), last.size());
        Ok(())
    }

    /// Tells everybody, though one of them fails.
    async fn tell(
        &self,
        log: &Arc<str>,
        last: &Signed,
        url_fails: bool,
    ) -> Result<(), PublishError> {
        let (size, root, key) = (last.size(), hex(&last.root()), last.public_key());
        tracing::info!(
            log = &**log,
            size,
            root,
            key,
            "sealed: the first {size} events of {log} have root {root}, signed by {key}"
        );
        let line = serde_json::to_string(last).expect("a seal is plain data");
        let written = match &self.settings.publish_file {
            Some(path) => self.write(path, &line).await,
            None => Ok(()),
        };
        let sent = match &self.settings.publish_url {
            Some(_) if url_fails => Err(PublishError::NotAsked),
            Some(url) => self.send(url, line).await,
            None => Ok(()),
        };
        written.and(sent)
    }

    async fn write(&self, path: &Path, line: &str) -> Result<(), PublishError> {
        let failed = |error| PublishError::File {
            path: path.to_owned(),
            error,
        };
        let Ok(alone) = self.file.clone().try_lock_owned() else {
            return Err(failed(io::ErrorKind::ResourceBusy.into()));
        };
        let (path, line) = (path.to_owned(), line.to_owned());
        let writing = spawn_blocking(move || {
            let written = append(&path, &line);
            drop(alone);
            written
        });
        let written = match timeout(FILE_WAIT, writing).await {
            Ok(Ok(written)) => written,
            Ok(Err(panic)) => Err(io::Error::other(panic)),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        written.map_err(failed)
    }

    async fn send(&self, url: &WebUrl, line: String) -> Result<(), PublishError> {
        self.fetch.post(url, line, ANSWER_BYTES_MAX).await?;
        Ok(())
    }
}

/// Adds a line to a file, for good. A line that was torn off before is ended first.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .open(path)?;
    let mut text = format!("{line}\n");
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            text.insert(0, '\n');
        }
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::append;

    #[test]
    fn a_line_that_was_torn_off_spoils_no_other() {
        let path = std::env::temp_dir().join(format!("daybook-seals-{}", std::process::id()));
        std::fs::write(&path, "{\"whole\":1}\n{\"to").expect("a file");
        for line in ["{\"a\":1}", "{\"b\":2}"] {
            append(&path, line).expect("a line");
        }
        let text = std::fs::read_to_string(&path).expect("a file");
        std::fs::remove_file(&path).expect("a file");
        assert_eq!(text, "{\"whole\":1}\n{\"to\n{\"a\":1}\n{\"b\":2}\n");
    }
}
