//! The only way the API sees read models: a snapshot, in which every answer is of one moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::Position;
use sqlx::{PgConnection, PgPool, Postgres, Row, Transaction};

use crate::{Target, begin};

/// Opens snapshots of the read models.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: PgPool,
}

/// Why a read model could not answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The read model has no live generation for this tenant yet.
    #[error("read model {0} is being built")]
    NotBuilt(&'static str),
    /// The caller asked for cells finer than are kept.
    #[error("resolution {asked} is finer than {finest}, the finest kept")]
    ResolutionTooFine {
        /// What was asked.
        asked: u8,
        /// The finest resolution kept.
        finest: u8,
    },
    /// The caller asked for a span that ends before or where it starts.
    #[error("the span ends before or where it starts")]
    EmptySpan,
    /// The caller asked for more points than one answer holds.
    #[error(
        "the span has {asked} buckets, more than {most}; ask for a shorter span or longer buckets"
    )]
    TooManyBuckets {
        /// How many buckets the span has.
        asked: u64,
        /// How many one answer holds.
        most: u64,
    },
    /// The caller asked for a moving average over no point or too many.
    #[error("a moving average spans 1 to {most} points, not {asked}")]
    WindowOutOfRange {
        /// What was asked.
        asked: u32,
        /// The widest.
        most: u32,
    },
    /// The caller named a time zone the database does not know.
    #[error("unknown time zone")]
    UnknownZone,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl ReadError {
    /// Is it the question that is wrong, rather than the answering?
    pub fn is_callers(&self) -> bool {
        !matches!(self, ReadError::NotBuilt(_) | ReadError::Database(_))
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// In list order.
    pub items: Vec<T>,
    /// Are there more after the last?
    pub has_next: bool,
    /// The log position the page is as of.
    pub as_of: Position,
}

impl<T> Page<T> {
    /// Cuts a list that was asked for one more than `first`.
    pub(crate) fn cut(mut items: Vec<T>, first: u32, as_of: Position) -> Page<T> {
        let first = usize::try_from(first).expect("a u32 fits a usize on every supported platform");
        let has_next = items.len() > first;
        items.truncate(first);
        Page {
            items,
            has_next,
            as_of,
        }
    }
}

/// The generation of a read model that answers, and how far it has come. What the read model says is a
/// function of the two; the greater of two states is the later one, since a new generation takes its
/// place at or beyond the old one's position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Live {
    /// Which generation's tables.
    pub generation: i32,
    /// The last position folded in.
    pub position: Position,
}

/// One moment of all read models of one tenant: a repeatable-read, read-only transaction.
pub struct Snapshot {
    tx: Transaction<'static, Postgres>,
    tenant: Arc<str>,
    live: HashMap<String, Live>,
    /// The server's process that answers it.
    backend: i32,
    pool: PgPool,
}

impl Reader {
    /// Reads through `pool`, which may be a replica.
    pub fn new(pool: PgPool) -> Reader {
        Reader { pool }
    }

    /// Opens a snapshot. It is closed (rolled back) when dropped.
    pub async fn snapshot(&self, tenant: &str) -> Result<Snapshot, ReadError> {
        let mut tx = begin(
            &self.pool,
            "begin isolation level repeatable read read only",
        )
        .await?;
        let mut backend = 0;
        let live = sqlx::query(
            "select projection, generation, position, pg_backend_pid() from generations
             where tenant = $1 and state = 'live'",
        )
        .bind(tenant)
        .fetch_all(&mut *tx)
        .await?
        .into_iter()
        .map(|row| {
            backend = row.get(3);
            let live = Live {
                generation: row.get(1),
                position: Position(row.get(2)),
            };
            (row.get::<String, _>(0), live)
        })
        .collect();
        Ok(Snapshot {
            tx,
            tenant: tenant.into(),
            live,
            backend,
            pool: self.pool.clone(),
        })
    }
}

impl Snapshot {
    /// Closes it although a question of its may still be answered: the server is told to stop, which it
    /// would not notice by itself. The connection is ours until then, so that nobody else is stopped.
    pub async fn cancel(self) -> Result<(), ReadError> {
        // As whoever connected, not as the role that questions are asked in.
        let mut tx = begin(&self.pool, "begin; set local role none").await?;
        sqlx::query("select pg_cancel_backend($1)")
            .bind(self.backend)
            .execute(&mut *tx)
            .await?;
        Ok(())
    }

    /// Lets each statement of this moment take so long: for what nobody waits for.
    pub async fn allow(&mut self, statement: Duration) -> Result<(), ReadError> {
        let ms = statement.as_millis();
        let statement = format!("set local statement_timeout = {ms}");
        sqlx::query(&statement).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Whose data this is.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The live generation of a read model.
    pub fn live(&self, projection: &'static str) -> Result<Live, ReadError> {
        self.live
            .get(projection)
            .copied()
            .ok_or(ReadError::NotBuilt(projection))
    }

    /// Every read model that answers, and its state.
    pub fn states(&self) -> impl Iterator<Item = (&str, Live)> {
        self.live.iter().map(|(name, live)| (name.as_str(), *live))
    }

    /// The lowest position among these read models: what an answer made of them is as of.
    pub fn position(&self, projections: &[&'static str]) -> Result<Position, ReadError> {
        let mut lowest = None;
        for name in projections {
            let at = self.live(name)?.position;
            lowest = Some(lowest.map_or(at, |l: Position| l.min(at)));
        }
        Ok(lowest.unwrap_or(Position::START))
    }

    /// The qualified name of a table of the read model's live generation.
    pub(crate) fn name(&self, projection: &'static str, base: &str) -> Result<String, ReadError> {
        let generation = self.live(projection)?.generation;
        Ok(Target {
            tenant: &self.tenant,
            generation,
        }
        .table(base))
    }

    /// The connection.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// The connection, and the qualified name of a table of the read model's live generation.
    pub(crate) fn table(
        &mut self,
        projection: &'static str,
        base: &str,
    ) -> Result<(&mut PgConnection, Arc<str>, String), ReadError> {
        let generation = self.live(projection)?.generation;
        let name = Target {
            tenant: &self.tenant,
            generation,
        }
        .table(base);
        Ok((&mut *self.tx, self.tenant.clone(), name))
    }
}
