//! Events that read models could not take in, and what was decided about them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::{PgConnection, PgExecutor, Row};

use super::ConsumerError;
use super::batch::Bookmark;
use crate::store::Store;

/// What is said about a poison event is kept up to this many characters.
pub(super) const ERROR_CHARS_MAX: usize = 2_000;

/// An event that a read model could not take in.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedEvent {
    /// Which read model.
    pub projection: String,
    /// Which generation of it.
    pub generation: i32,
    /// Which event.
    pub position: Position,
    /// How often it was tried.
    pub attempts: i32,
    /// What was said.
    pub error: String,
    /// When it failed first.
    pub failed_at: DateTime<Utc>,
    /// The generation that answers is stopped there, until somebody decides.
    pub blocks: bool,
    /// The generation that answers has parked this stream there (its kind and its key), until somebody decides.
    pub parked: Option<(String, String)>,
    /// Who decided to go on without it, why and when.
    pub skipped: Option<(String, String, DateTime<Utc>)>,
}

/// Where a list of them goes on: behind this event of this read model and generation.
pub type Place = (i64, String, i32);

/// Events behind a position that somebody decided to go on without.
pub(super) async fn skipped(
    conn: impl PgExecutor<'_>,
    (tenant, projection, generation): (&str, &str, i32),
    after: Position,
) -> Result<BTreeSet<i64>, sqlx::Error> {
    let skipped: Vec<i64> = sqlx::query_scalar(
        "select position from failed_events where tenant = $1 and projection = $2
         and generation = $3 and position > $4 and skipped_by is not null",
    )
    .bind(tenant)
    .bind(projection)
    .bind(generation)
    .bind(after.0)
    .fetch_all(conn)
    .await?;
    Ok(skipped.into_iter().collect())
}

/// Notes that a generation cannot take in an event.
pub(super) async fn record(
    conn: &mut PgConnection,
    bookmark: &Bookmark,
    position: Position,
    (attempts, reason): (u32, &str),
) -> Result<(), sqlx::Error> {
    let reason: String = reason.chars().take(ERROR_CHARS_MAX).collect();
    sqlx::query(
        "insert into failed_events as f
            (tenant, projection, generation, position, attempts, error)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (tenant, projection, generation, position) do update
         set attempts = f.attempts + excluded.attempts, error = excluded.error",
    )
    .bind(&*bookmark.tenant)
    .bind(bookmark.projection.name())
    .bind(bookmark.generation)
    .bind(position.0)
    .bind(attempts as i32)
    .bind(reason)
    .execute(conn)
    .await?;
    Ok(())
}

/// Events that read models could not take in: the last first.
pub async fn failed_events(
    store: &Store,
    tenant: &str,
    projection: Option<&str>,
    after: Option<Place>,
    first: u32,
) -> Result<Vec<FailedEvent>, ConsumerError> {
    let (position, name, generation) = match after {
        Some((position, name, generation)) => (Some(position), Some(name), Some(generation)),
        None => (None, None, None),
    };
    let rows = sqlx::query(
        "select f.projection, f.generation, f.position, f.attempts, f.error, f.failed_at,
                coalesce(g.state = 'live' and g.status = 'stopped' and g.position = f.position - 1
                         and f.skipped_by is null, false),
                f.skipped_by, f.skip_reason, f.skipped_at, p.aggregate_type, p.aggregate_id
         from failed_events f left join generations g using (tenant, projection, generation)
              left join parked_streams p
                on g.state = 'live' and (p.tenant, p.projection, p.generation, p.position)
                                      = (f.tenant, f.projection, f.generation, f.position)
         where f.tenant = $1 and ($2::text is null or f.projection = $2)
           and ($3::bigint is null or (f.position, f.projection, f.generation) < ($3, $4, $5))
         order by f.position desc, f.projection desc, f.generation desc limit $6",
    )
    .bind(tenant)
    .bind(projection)
    .bind(position)
    .bind(name)
    .bind(generation)
    .bind(i64::from(first))
    .fetch_all(store.pool())
    .await?;
    let of = |row: &sqlx::postgres::PgRow| {
        let (by, why): (Option<String>, Option<String>) = (row.get(7), row.get(8));
        let skipped = by.zip(row.get::<Option<DateTime<Utc>>, _>(9));
        FailedEvent {
            projection: row.get(0),
            generation: row.get(1),
            position: Position(row.get(2)),
            attempts: row.get(3),
            error: row.get(4),
            failed_at: row.get(5),
            blocks: row.get(6),
            parked: row.get::<Option<String>, _>(10).zip(row.get(11)),
            skipped: skipped.map(|(by, at)| (by, why.unwrap_or_default(), at)),
        }
    };
    Ok(rows.iter().map(of).collect())
}
