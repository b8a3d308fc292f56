//! Events that read models could not take in, and what was decided about them.

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::Row;

use super::ConsumerError;
use crate::store::Store;

/// An event at which a read model stopped.
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
    /// Who decided to go on without it, why and when.
    pub skipped: Option<(String, String, DateTime<Utc>)>,
}

/// Where a list of them goes on: behind this event of this read model and generation.
pub type Place = (i64, String, i32);

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
                f.skipped_by, f.skip_reason, f.skipped_at
         from failed_events f left join generations g using (tenant, projection, generation)
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
            skipped: skipped.map(|(by, at)| (by, why.unwrap_or_default(), at)),
        }
    };
    Ok(rows.iter().map(of).collect())
}
