//! What a read model is: fold, merge, write.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use chrono::NaiveDate;
use domain::{Event, Recorded};
use sqlx::PgConnection;

use crate::Filling;

/// A read model: tables that are a fold of the log.
///
/// `fold` then `write` must give the same tables however the log is cut into batches, and `merge` must
/// be associative and commutative: a rebuild folds ranges of positions in parallel and writes their
/// deltas in any order.
pub trait Projection: Send + Sync + 'static {
    /// Name in bookkeeping tables, metrics and commands; never renamed.
    const NAME: &'static str;
    /// Raised when the fold or the tables change: the next start rebuilds beside the old generation.
    const VERSION: i32;
    /// Aggregate types whose events are folded. An event of these that cannot be decoded is poison.
    const AGGREGATES: &'static [&'static str];
    /// Base names of its tables.
    const TABLES: &'static [&'static str];
    /// Is every row of one stream, and a fold of that stream's events alone? Then an event that cannot be
    /// taken in parks its stream, and all others go on. Not so where a row is of several streams, or counts
    /// over them: it would be wrong for whoever asks about another one.
    const BY_STREAM: bool = false;
    /// What a batch of events adds up to.
    type Delta: Default + Send + 'static;

    /// Statements that make one generation's tables and indexes, each with `if not exists`.
    fn ddl(target: &Target<'_>) -> Vec<String>;

    /// Adds one event to the delta. Pure.
    fn fold(delta: &mut Self::Delta, event: &Recorded<Event>) -> Result<(), Poison>;

    /// Adds `from` to `into`. Associative and commutative.
    fn merge(into: &mut Self::Delta, from: Self::Delta);

    /// Roughly how many rows the delta holds; a batch is written when it passes the batch limit.
    fn rows(delta: &Self::Delta) -> usize;

    /// Writes the delta with set-based statements inside the caller's transaction.
    fn write<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Self::Delta,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send + 'a;

    /// Writes the delta like [`Projection::write`] into tables that a rebuild fills from nothing: the
    /// same rows, sooner where `filling` knows them to be new.
    fn fill<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Self::Delta,
        _filling: &'a Filling,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send + 'a {
        Self::write(conn, target, delta)
    }

    /// Takes rows out that are kept no longer on the day `today` (UTC), some at a time, inside the caller's
    /// transaction. Most read models keep all there is.
    fn sweep<'a>(
        _conn: &'a mut PgConnection,
        _target: &'a Target<'a>,
        _today: NaiveDate,
    ) -> impl Future<Output = Result<Swept, sqlx::Error>> + Send + 'a {
        std::future::ready(Ok(Swept::default()))
    }
}

/// What was taken out of a read model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many records.
    pub records: u64,
    /// There may be more to take out.
    pub more: bool,
}

/// Where a delta goes: one tenant's rows in one generation's tables.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Whose rows.
    pub tenant: &'a str,
    /// Which generation's tables.
    pub generation: i32,
}

impl Target<'_> {
    /// The qualified name of a base table in this generation: `read.heatmap_g3`.
    pub fn table(&self, base: &str) -> String {
        format!("read.{base}_g{}", self.generation)
    }
}

/// An event a read model cannot fold, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Poison(pub String);

/// A delta of some projection.
pub type AnyDelta = Box<dyn Any + Send>;

/// A future that borrows its connection.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A [`Projection`] behind a pointer, so that one runner drives them all.
/// Deltas must come from the same projection's [`AnyProjection::delta`].
pub trait AnyProjection: Send + Sync + 'static {
    /// See [`Projection::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Projection::VERSION`].
    fn version(&self) -> i32;
    /// See [`Projection::AGGREGATES`].
    fn aggregates(&self) -> &[&'static str];
    /// See [`Projection::TABLES`].
    fn tables(&self) -> &[&'static str];
    /// See [`Projection::BY_STREAM`].
    fn by_stream(&self) -> bool {
        false
    }
    /// See [`Projection::ddl`].
    fn ddl(&self, target: &Target<'_>) -> Vec<String>;
    /// An empty delta.
    fn delta(&self) -> AnyDelta;
    /// See [`Projection::fold`].
    fn fold(&self, delta: &mut AnyDelta, event: &Recorded<Event>) -> Result<(), Poison>;
    /// See [`Projection::merge`].
    fn merge(&self, into: &mut AnyDelta, from: AnyDelta);
    /// See [`Projection::rows`].
    fn rows(&self, delta: &AnyDelta) -> usize;
    /// See [`Projection::write`].
    fn write<'a>(
        &'a self,
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: AnyDelta,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>>;
    /// See [`Projection::fill`].
    fn fill<'a>(
        &'a self,
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: AnyDelta,
        _filling: &'a Filling,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        self.write(conn, target, delta)
    }
    /// See [`Projection::sweep`].
    fn sweep<'a>(
        &'a self,
        _conn: &'a mut PgConnection,
        _target: &'a Target<'a>,
        _today: NaiveDate,
    ) -> BoxFuture<'a, Result<Swept, sqlx::Error>> {
        Box::pin(std::future::ready(Ok(Swept::default())))
    }
}

/// Lifts a typed projection behind [`AnyProjection`].
pub(crate) struct Erased<P>(std::marker::PhantomData<fn() -> P>);

impl<P: Projection> Erased<P> {
    pub(crate) fn new() -> Self {
        Erased(std::marker::PhantomData)
    }
}

const FOREIGN_DELTA: &str = "a delta is only given back to the projection that made it";

impl<P: Projection> AnyProjection for Erased<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }
    fn version(&self) -> i32 {
        P::VERSION
    }
    fn aggregates(&self) -> &[&'static str] {
        P::AGGREGATES
    }
    fn tables(&self) -> &[&'static str] {
        P::TABLES
    }
    fn by_stream(&self) -> bool {
        P::BY_STREAM
    }
    fn ddl(&self, target: &Target<'_>) -> Vec<String> {
        P::ddl(target)
    }
    fn delta(&self) -> AnyDelta {
        Box::<P::Delta>::default()
    }
    fn fold(&self, delta: &mut AnyDelta, event: &Recorded<Event>) -> Result<(), Poison> {
        P::fold(delta.downcast_mut().expect(FOREIGN_DELTA), event)
    }
    fn merge(&self, into: &mut AnyDelta, from: AnyDelta) {
        P::merge(
            into.downcast_mut().expect(FOREIGN_DELTA),
            *from.downcast().expect(FOREIGN_DELTA),
        );
    }
    fn rows(&self, delta: &AnyDelta) -> usize {
        P::rows(delta.downcast_ref().expect(FOREIGN_DELTA))
    }
    fn write<'a>(
        &'a self,
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: AnyDelta,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(P::write(
            conn,
            target,
            *delta.downcast().expect(FOREIGN_DELTA),
        ))
    }
    fn fill<'a>(
        &'a self,
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: AnyDelta,
        filling: &'a Filling,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        let delta = *delta.downcast().expect(FOREIGN_DELTA);
        Box::pin(P::fill(conn, target, delta, filling))
    }
    fn sweep<'a>(
        &'a self,
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        today: NaiveDate,
    ) -> BoxFuture<'a, Result<Swept, sqlx::Error>> {
        Box::pin(P::sweep(conn, target, today))
    }
}
