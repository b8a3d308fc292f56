//! The only way the API sees read models: a snapshot, in which every answer is of one moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::Position;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
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
    /// The read model has no generation as of the position that is asked for.
    #[error("read model {model} has no generation as of position {position}")]
    NotBuiltAsOf {
        /// Which read model.
        model: &'static str,
        /// As of when.
        position: Position,
    },
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
        !matches!(
            self,
            ReadError::NotBuilt(_) | ReadError::NotBuiltAsOf { .. } | ReadError::Database(_)
        )
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
/// function of the two, unless streams of it are [parked](Snapshot::is_parked); the greater of two states is the later one, since a new generation takes its
/// place at or beyond the old one's position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Live {
    /// Which generation's tables.
    pub generation: i32,
    /// The last position folded in.
    pub position: Position,
}

/// A generation that answers.
#[derive(Clone, Copy, Debug)]
struct Answering {
    live: Live,
    /// The number in its tables' names.
    storage: i32,
    /// It goes on without some streams.
    parked: bool,
}

/// One moment of all read models of one tenant: a repeatable-read, read-only transaction.
pub struct Snapshot {
    tx: Transaction<'static, Postgres>,
    tenant: Arc<str>,
    live: HashMap<String, Answering>,
    /// The position that generations are asked of, where it is not those that are live.
    as_of: Option<Position>,
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
        let of_live = "select projection, generation, position, coalesce(storage, generation), pg_backend_pid(),
                    parked > 0
             from generations where tenant = $1 and state = 'live'";
        self.open(tenant, sqlx::query(of_live).bind(tenant), None)
            .await
    }

    /// Opens a snapshot of the generations that were built as of a position by the read models as they are in
    /// this program; of those that were not, nothing can be asked.
    pub async fn snapshot_as_of(
        &self,
        tenant: &str,
        position: Position,
    ) -> Result<Snapshot, ReadError> {
        let models = crate::all();
        let (names, versions): (Vec<&str>, Vec<i32>) = models
            .iter()
            .map(|model| (model.name(), model.version()))
            .unzip();
        let of_scratches = "
            select distinct on (projection) projection, generation, position,
                   coalesce(storage, generation), pg_backend_pid(), parked > 0
            from generations
            where tenant = $1 and state = 'scratch' and position = $2
              and (projection, version) in (select * from unnest($3::text[], $4::integer[]))
            order by projection, generation desc";
        let query = sqlx::query(of_scratches)
            .bind(tenant)
            .bind(position.0)
            .bind(names)
            .bind(versions);
        self.open(tenant, query, Some(position)).await
    }

    async fn open(
        &self,
        tenant: &str,
        generations: Query<'_, Postgres, PgArguments>,
        as_of: Option<Position>,
    ) -> Result<Snapshot, ReadError> {
        let mut tx = begin(
            &self.pool,
            "begin isolation level repeatable read read only",
        )
        .await?;
        let mut backend = 0;
        let live = generations
            .fetch_all(&mut *tx)
            .await?
            .into_iter()
            .map(|row| {
                backend = row.get(4);
                let live = Live {
                    generation: row.get(1),
                    position: Position(row.get(2)),
                };
                let answering = Answering {
                    live,
                    storage: row.get(3),
                    parked: row.get(5),
                };
                (row.get::<String, _>(0), answering)
            })
            .collect();
        Ok(Snapshot {
            tx,
            tenant: tenant.into(),
            live,
            as_of,
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

    /// The generation of a read model that answers.
    pub fn live(&self, projection: &'static str) -> Result<Live, ReadError> {
        self.answering(projection).map(|answering| answering.live)
    }

    /// Does the read model go on without some streams? What it says of those is as of before, and changes
    /// once they are taken in, whatever the position.
    pub fn is_parked(&self, projection: &str) -> bool {
        self.live
            .get(projection)
            .is_some_and(|answering| answering.parked)
    }

    fn answering(&self, projection: &'static str) -> Result<Answering, ReadError> {
        let found = self.live.get(projection).copied();
        found.ok_or(match self.as_of {
            None => ReadError::NotBuilt(projection),
            Some(position) => ReadError::NotBuiltAsOf {
                model: projection,
                position,
            },
        })
    }

    /// Every read model that answers, and its state.
    pub fn states(&self) -> impl Iterator<Item = (&str, Live)> {
        let answering = self.live.iter();
        answering.map(|(name, answering)| (name.as_str(), answering.live))
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
        let generation = self.answering(projection)?.storage;
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
        let generation = self.answering(projection)?.storage;
        let name = Target {
            tenant: &self.tenant,
            generation,
        }
        .table(base);
        Ok((&mut *self.tx, self.tenant.clone(), name))
    }
}
