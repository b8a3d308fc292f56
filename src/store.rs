//! The log: the only place that appends events and the only place that reads them.

mod append;
mod read;

pub use append::{Append, AppendError, Appended, Claim, NewEvent, Rejected, StreamWrite};
pub use read::{PageLimits, StoredEvent};

use std::sync::Arc;

use domain::{Position, StreamKey};
use sqlx::PgPool;
use tokio::sync::watch;

/// The log in PostgreSQL. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
}

/// A fault of the store: never the caller's mistake.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL could not be reached or did not answer in time. The same call may succeed later.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// PostgreSQL answered with an error that a retry does not mend.
    #[error("the database refused: {0}")]
    Database(#[source] sqlx::Error),
    /// The tenant has no log.
    #[error("no log for tenant {0:?}")]
    UnknownTenant(String),
}

impl Store {
    /// The pool for bookkeeping transactions of consumers.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The tenants that have a log, in name order.
    pub async fn tenants(&self) -> Result<Vec<Arc<str>>, StoreError> {
        todo!()
    }

    /// The last position of a tenant's log.
    pub async fn head(&self, _tenant: &str) -> Result<Position, StoreError> {
        todo!()
    }

    /// Events after `after`, in position order, at most one page.
    pub async fn read_log(
        &self,
        _tenant: &Arc<str>,
        _after: Position,
        _limits: PageLimits,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        todo!()
    }

    /// Events of one stream with `sequence > after`, in order, whole.
    pub async fn read_stream(
        &self,
        _tenant: &Arc<str>,
        _stream: &StreamKey,
        _after: i64,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        todo!()
    }

    /// Changes whenever the tenant's head is seen to move, by whatever process: own appends at once,
    /// others' by notification, polling as the floor. Never goes back.
    pub fn watch_head(&self, _tenant: &Arc<str>) -> watch::Receiver<Position> {
        todo!()
    }
}
