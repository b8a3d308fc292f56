//! Streams that a read model goes on without, because it cannot take in an event of theirs.
//!
//! Where all rows are of one stream each ([`projections::Projection::BY_STREAM`]), such an event holds up
//! its own stream and no other. Parked with the checkpoint in one transaction, nothing of the stream is
//! folded from there on until somebody decides; then its events up to the checkpoint are taken in page by
//! page, beside what follows the log, and with the last page the stream is one like any other.
//!
//! Rows change then without the checkpoint moving: what is read while `generations.parked` is not 0 is no
//! function of the generation and its position, and nobody keeps it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::Position;
use projections::{AnyDelta, AnyProjection};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::timeout;

use super::batch::{self, Bookmark, WriteError};
use super::retry::{self, Fault};
use super::tail::{self, LogEvent};
use super::{ConsumerSettings, failed};
use crate::store::{EventFilter, PageLimits, Store, StoreError};

/// The parked streams of one generation: by what kind of stream, which of them.
#[derive(Debug, Default)]
pub(super) struct ParkedStreams(HashMap<String, HashSet<String>>);

impl ParkedStreams {
    /// Is nothing of this event's stream to be folded?
    pub(super) fn hold(&self, event: &LogEvent) -> bool {
        let of_kind = self.0.get(&*event.aggregate_type);
        of_kind.is_some_and(|ids| ids.contains(&*event.stored.aggregate_id))
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(HashSet::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, String)> for ParkedStreams {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(streams: I) -> ParkedStreams {
        let mut parked = ParkedStreams::default();
        for (kind, id) in streams {
            parked.0.entry(kind).or_default().insert(id);
        }
        parked
    }
}

/// What is parked in a generation.
pub(super) async fn parked(
    pool: &PgPool,
    (tenant, projection, generation): (&str, &str, i32),
) -> Result<ParkedStreams, sqlx::Error> {
    let streams: Vec<(String, String)> = sqlx::query_as(
        "select aggregate_type, aggregate_id from parked_streams
         where tenant = $1 and projection = $2 and generation = $3",
    )
    .bind(tenant)
    .bind(projection)
    .bind(generation)
    .fetch_all(pool)
    .await?;
    Ok(streams.into_iter().collect())
}

/// Parks the stream of the event after the bookmark, and passes that event. False if the checkpoint is not
/// ours any more.
pub(super) async fn park(
    pool: &PgPool,
    bookmark: &Bookmark,
    event: &LogEvent,
    (attempts, reason): (u32, &str),
) -> Result<bool, sqlx::Error> {
    let mut tx = projections::begin(pool, "begin").await?;
    match batch::advance_to(&mut tx, bookmark, event.position).await {
        Ok(()) => {}
        Err(WriteError::Fenced) => return Ok(false),
        Err(WriteError::Database(error)) => return Err(error),
    }
    failed::record(&mut tx, bookmark, event.position, (attempts, reason)).await?;
    sqlx::query(
        "insert into parked_streams
            (tenant, projection, generation, aggregate_type, aggregate_id, position, folded_to)
         values ($1, $2, $3, $4, $5, $6, $6 - 1)",
    )
    .bind(&*bookmark.tenant)
    .bind(bookmark.projection.name())
    .bind(bookmark.generation)
    .bind(&*event.aggregate_type)
    .bind(&*event.stored.aggregate_id)
    .bind(event.position.0)
    .execute(&mut *tx)
    .await?;
    count(&mut tx, bookmark).await?;
    tx.commit().await?;
    Ok(true)
}

/// Notes with the generation how many of its streams are parked.
async fn count(conn: &mut PgConnection, bookmark: &Bookmark) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update generations g
         set parked = (select count(*) from parked_streams p
                       where (p.tenant, p.projection, p.generation)
                           = (g.tenant, g.projection, g.generation))
         where tenant = $1 and projection = $2 and generation = $3",
    )
    .bind(&*bookmark.tenant)
    .bind(bookmark.projection.name())
    .bind(bookmark.generation)
    .execute(conn)
    .await?;
    Ok(())
}

/// A parked stream that somebody wants taken in.
pub(super) struct Asked {
    aggregate_type: String,
    aggregate_id: String,
    /// The event it was parked at.
    position: Position,
    /// Its events up to here are in the tables.
    folded_to: Position,
    /// Its events to go on without.
    skipped: BTreeSet<i64>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {} {}", self.aggregate_type, self.aggregate_id)
    }
}

/// The parked stream of a generation that is to be taken in first.
pub(super) async fn asked(
    pool: &PgPool,
    (tenant, projection, generation): (&str, &str, i32),
) -> Result<Option<Asked>, sqlx::Error> {
    let found: Option<(String, String, i64, i64)> = sqlx::query_as(
        "select aggregate_type, aggregate_id, position, folded_to from parked_streams
         where tenant = $1 and projection = $2 and generation = $3 and asked
         order by position limit 1",
    )
    .bind(tenant)
    .bind(projection)
    .bind(generation)
    .fetch_optional(pool)
    .await?;
    let Some((aggregate_type, aggregate_id, position, folded_to)) = found else {
        return Ok(None);
    };
    let skipped =
        failed::skipped(pool, (tenant, projection, generation), Position(folded_to)).await?;
    Ok(Some(Asked {
        aggregate_type,
        aggregate_id,
        position: Position(position),
        folded_to: Position(folded_to),
        skipped,
    }))
}

/// What came of a page of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is in; more of the stream is to come.
    Part,
    /// The stream is in up to the checkpoint, and not parked any more.
    Whole,
    /// The stream is parked again, at this event.
    Not(Position),
}

/// Why nothing came of it.
pub(super) enum Hindered {
    /// The checkpoint is not ours any more, or a smaller page is worth trying: look again.
    LookAgain,
    /// Look again after a pause.
    Fault(String),
}

/// How much of a parked stream is taken in at once: less while an event that the database refuses is hunted.
pub(super) struct Taking {
    events_max: usize,
    usual_max: usize,
    /// How often a page of one event has been refused in a row.
    attempts: u32,
    attempts_max: u32,
    step_max: Duration,
}

/// A page of a stream, folded.
#[derive(Default)]
struct Page {
    delta: Option<AnyDelta>,
    /// How many of its events were folded, and where the last of them is.
    folded: usize,
    last: Position,
    /// All events of the stream up to here are in it.
    up_to: Position,
    /// The event that it ends before.
    stuck: Option<Stuck>,
}

/// An event that a stream is parked at.
struct Stuck {
    at: Position,
    attempts: u32,
    reason: String,
}

impl Page {
    /// Nothing but that the stream is parked again.
    fn stuck(at: Position, attempts: u32, reason: String) -> Page {
        let stuck = Some(Stuck {
            at,
            attempts,
            reason,
        });
        Page {
            stuck,
            ..Page::default()
        }
    }
}

impl Taking {
    pub(super) fn new(settings: &ConsumerSettings) -> Taking {
        Taking {
            events_max: settings.batch_events_max,
            usual_max: settings.batch_events_max,
            attempts: 0,
            attempts_max: settings.poison_attempts_max,
            step_max: Duration::from_millis(settings.step_ms_max),
        }
    }

    /// Takes in the next page of a stream, up to the bookmark's position at most.
    pub(super) async fn take_in(
        &mut self,
        store: &Store,
        conn: &mut PgConnection,
        bookmark: &Bookmark,
        asked: &mut Asked,
    ) -> Result<Taken, Hindered> {
        let page = match read(store, bookmark, asked, self.events_max).await {
            Ok(Some((events, up_to))) => fold(bookmark, asked, events, up_to).await,
            Ok(None) => None,
            // It cannot go on before they are restored.
            Err(error @ StoreError::Archived { .. }) => {
                Some(Page::stuck(asked.position, 1, error.to_string()))
            }
            Err(error) => return Err(Hindered::Fault(error.to_string())),
        };
        let Some(page) = page else {
            return Err(Hindered::Fault("the runtime shuts down".to_owned()));
        };
        let (folded, last) = (page.folded, page.last);
        let written = timeout(self.step_max, write(conn, bookmark, asked, page)).await;
        let (fault, error) = match written {
            Ok(Ok(taken)) => {
                self.attempts = 0;
                self.events_max = (self.events_max * 2).min(self.usual_max);
                return Ok(taken);
            }
            Ok(Err(WriteError::Fenced)) => return Err(Hindered::LookAgain),
            Ok(Err(WriteError::Database(error))) => (Fault::of(&error), error.to_string()),
            Err(_) => {
                let ms = self.step_max.as_millis();
                let error = format!("a page of a stream took longer than {ms} ms");
                (Fault::TooLong, error)
            }
        };
        let attempts = self.refused(folded, fault, &error)?;
        match write(conn, bookmark, asked, Page::stuck(last, attempts, error)).await {
            Ok(taken) => Ok(taken),
            Err(WriteError::Fenced) => Err(Hindered::LookAgain),
            Err(WriteError::Database(error)) => Err(Hindered::Fault(error.to_string())),
        }
    }

    /// The database did not take the page: wait, close in on the event that it is about, or give that up
    /// after so many attempts.
    fn refused(&mut self, folded: usize, fault: Fault, error: &str) -> Result<u32, Hindered> {
        if fault == Fault::Passing || folded == 0 {
            return Err(Hindered::Fault(error.to_owned()));
        }
        if folded > 1 {
            self.events_max = folded / 2;
            return Err(Hindered::LookAgain);
        }
        self.attempts += 1;
        // Only a row is one event's fault: no stream is parked for a statement's.
        if fault != Fault::OfRow || self.attempts < self.attempts_max {
            return Err(Hindered::Fault(error.to_owned()));
        }
        Ok(std::mem::take(&mut self.attempts))
    }
}

/// The next events of a stream, and up to where they are all there are. `None` only while the runtime shuts
/// down.
async fn read(
    store: &Store,
    bookmark: &Bookmark,
    asked: &Asked,
    events_max: usize,
) -> Result<Option<(Vec<Arc<LogEvent>>, Position)>, StoreError> {
    let filter = EventFilter {
        aggregate_type: Some(asked.aggregate_type.clone()),
        aggregate_id: Some(asked.aggregate_id.clone()),
        ..EventFilter::default()
    };
    let limits = PageLimits {
        up_to: bookmark.position,
        ..tail::limits(events_max)
    };
    let page = store.read_filtered(&bookmark.tenant, &filter, asked.folded_to, limits);
    let page = page.await?;
    let (count, up_to) = (page.events.len(), page.up_to);
    let events = tail::decode_all(page.events).await;
    Ok((events.len() == count).then_some((events, up_to)))
}

/// Folds the events of a page up to the first that cannot be. `None` only while the runtime shuts down.
async fn fold(
    bookmark: &Bookmark,
    asked: &Asked,
    events: Vec<Arc<LogEvent>>,
    up_to: Position,
) -> Option<Page> {
    let (projection, skipped) = (bookmark.projection.clone(), asked.skipped.clone());
    let bytes = events.iter().map(|event| event.weight_bytes).sum();
    let wanted = move |event: &&Arc<LogEvent>| !skipped.contains(&event.position.0);
    retry::by_weight(bytes, move || {
        let events: Vec<_> = events.iter().filter(wanted).collect();
        fold_now(projection.as_ref(), &events, up_to)
    })
    .await
}

fn fold_now(projection: &dyn AnyProjection, events: &[&Arc<LogEvent>], up_to: Position) -> Page {
    let mut delta = projection.delta();
    for (n, event) in events.iter().enumerate() {
        if let Err(reason) = batch::fold_one(projection, &mut delta, event) {
            // A fold that refuses may have begun to change the delta: start over without it.
            let at = event.position;
            let clean = fold_now(projection, &events[..n], Position(at.0 - 1));
            let stuck = Page::stuck(at, 1, reason).stuck;
            return Page { stuck, ..clean };
        }
    }
    Page {
        delta: (!events.is_empty()).then_some(delta),
        folded: events.len(),
        last: events.last().map_or(up_to, |event| event.position),
        up_to,
        stuck: None,
    }
}

/// Writes a page and what becomes of its stream, or does neither. The checkpoint stays where it is: taking
/// hold of it keeps every other owner out.
async fn write(
    conn: &mut PgConnection,
    bookmark: &Bookmark,
    asked: &mut Asked,
    page: Page,
) -> Result<Taken, WriteError> {
    let mut tx = conn.begin().await?;
    batch::advance_to(&mut tx, bookmark, bookmark.position).await?;
    // Decided while the page was folded: it is to be folded anew.
    let skipped = failed::skipped(&mut *tx, bookmark.of_generation(), asked.folded_to).await?;
    if !skipped
        .iter()
        .eq(asked.skipped.range(asked.folded_to.0 + 1..))
    {
        return Err(WriteError::Fenced);
    }
    if let Some(delta) = page.delta {
        batch::write_rows(&mut tx, bookmark, delta).await?;
    }
    let taken = match &page.stuck {
        Some(Stuck {
            at,
            attempts,
            reason,
        }) => {
            failed::record(&mut tx, bookmark, *at, (*attempts, reason)).await?;
            // What is in the tables stays there: it never goes back.
            let again = "position = $6, folded_to = greatest(folded_to, $6 - 1), asked = false";
            keep_place(&mut tx, bookmark, asked, (again, *at)).await?;
            Taken::Not(*at)
        }
        None if page.up_to < bookmark.position => {
            keep_place(&mut tx, bookmark, asked, ("folded_to = $6", page.up_to)).await?;
            Taken::Part
        }
        None => {
            free(&mut tx, bookmark, asked).await?;
            count(&mut tx, bookmark).await?;
            Taken::Whole
        }
    };
    tx.commit().await?;
    if taken == Taken::Part {
        asked.folded_to = page.up_to;
    }
    Ok(taken)
}

/// Notes how far a parked stream is.
async fn keep_place(
    conn: &mut PgConnection,
    bookmark: &Bookmark,
    asked: &Asked,
    (what, position): (&str, Position),
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "update parked_streams set {what} where tenant = $1 and projection = $2 and generation = $3
           and aggregate_type = $4 and aggregate_id = $5"
    );
    let query = sqlx::query(&sql)
        .bind(&*bookmark.tenant)
        .bind(bookmark.projection.name())
        .bind(bookmark.generation)
        .bind(&asked.aggregate_type)
        .bind(&asked.aggregate_id)
        .bind(position.0);
    query.execute(conn).await?;
    Ok(())
}

/// The stream is one like any other.
async fn free(
    conn: &mut PgConnection,
    bookmark: &Bookmark,
    asked: &Asked,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from parked_streams where tenant = $1 and projection = $2 and generation = $3
           and aggregate_type = $4 and aggregate_id = $5",
    )
    .bind(&*bookmark.tenant)
    .bind(bookmark.projection.name())
    .bind(bookmark.generation)
    .bind(&asked.aggregate_type)
    .bind(&asked.aggregate_id)
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives a generation with the tables of another one what is parked in that, and what was decided about it.
/// Answers the position that the streams have to be followed from, if there are any.
pub(super) async fn carry_over(
    conn: &mut PgConnection,
    (tenant, projection): (&str, &str),
    (from, to): (i32, i32),
) -> Result<Option<Position>, sqlx::Error> {
    for sql in [
        "insert into failed_events (tenant, projection, generation, position, attempts, error,
                                    failed_at, skipped_by, skip_reason, skipped_at)
         select tenant, projection, $4, position, attempts, error, failed_at, skipped_by, skip_reason,
                skipped_at
         from failed_events f where tenant = $1 and projection = $2 and generation = $3
           and position >= (select min(position) from parked_streams p
                            where (p.tenant, p.projection, p.generation) = ($1, $2, $3))",
        "update parked_streams set generation = $4
         where tenant = $1 and projection = $2 and generation = $3",
    ] {
        let query = sqlx::query(sql).bind(tenant).bind(projection);
        query.bind(from).bind(to).execute(&mut *conn).await?;
    }
    let folded_to: Option<i64> = sqlx::query_scalar(
        "with ours as (select folded_to from parked_streams
                       where tenant = $1 and projection = $2 and generation = $3),
              noted as (update generations set parked = (select count(*) from ours)
                        where tenant = $1 and projection = $2 and generation = $3)
         select min(folded_to) from ours",
    )
    .bind(tenant)
    .bind(projection)
    .bind(to)
    .fetch_one(conn)
    .await?;
    Ok(folded_to.map(Position))
}
