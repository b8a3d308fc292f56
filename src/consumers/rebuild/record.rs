//! Rebuilds as recorded: for whoever asks how far one is and what became of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::Position;
use projections::Difference;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgPool, Row};

use crate::consumers::ConsumerError;
use crate::store::Store;

/// The answer is of so many rebuilds at most.
const REBUILDS_MAX: u32 = 1_000;

/// A rebuild as recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct RebuildStatus {
    /// Of which read model.
    pub projection: String,
    /// The generation it builds.
    pub generation: i32,
    /// `replace`, `scratch` or `roll_back`.
    pub mode: String,
    /// `folding`, `catching_up`, `swapped`, `built`, `cancelled` or `failed`.
    pub phase: String,
    /// Nobody works at it until it is resumed.
    pub paused: bool,
    /// The head when it began, or the position it is as of.
    pub to_position: Position,
    /// Events folded, as far as that was told.
    pub done_events: i64,
    /// Events folded per second, as it was told last.
    pub events_per_second: Option<f64>,
    /// How many ranges are folded at once.
    pub workers: i32,
    /// Both generations are compared before the swap.
    pub compare: bool,
    /// Whoever goes back named this generation to go away from.
    pub away_from: Option<i32>,
    /// Who asked for it; nobody did where it is `None`.
    pub asked_by: Option<String>,
    /// Why they did.
    pub reason: Option<String>,
    /// When it was asked for.
    pub started_at: DateTime<Utc>,
    /// When it came to its end.
    pub finished_at: Option<DateTime<Utc>>,
    /// Digests of both generations, if they were compared.
    pub digests: Option<(String, String)>,
    /// The first difference between both, if they differ.
    pub difference: Option<Difference>,
    /// Why it failed.
    pub error: Option<String>,
}

impl RebuildStatus {
    /// Has it come to its end?
    pub fn is_over(&self) -> bool {
        !matches!(self.phase.as_str(), "folding" | "catching_up")
    }

    /// How long folding will still take at the rate that was told last.
    pub fn eta(&self) -> Option<Duration> {
        let rate = self.events_per_second.filter(|rate| *rate > 0.0)?;
        if self.paused || self.phase != "folding" {
            return None;
        }
        let left = (self.to_position.0 - self.done_events).max(0) as f64;
        Some(Duration::from_secs_f64((left / rate).min(1e9)))
    }
}

/// What is read of a rebuild. Ranges are marked as they are written, figures are told once a second: the
/// further of both is how far it is.
const SELECT: &str = "
    select r.projection, r.generation, r.mode, r.phase, r.paused, r.to_position,
           greatest(case when r.phase in ('swapped', 'built') then r.to_position
                         else r.done_events end,
                    (select coalesce(sum(d.to_position - d.from_position + 1), 0)
                     from rebuild_ranges d where d.done and (d.tenant, d.projection, d.generation)
                                                          = (r.tenant, r.projection, r.generation)
                    )::bigint),
           r.events_per_second, r.workers, r.compare, r.asked_by, r.reason, r.started_at,
           r.finished_at, r.digest_old, r.digest_new, r.difference, r.error, r.away_from
    from rebuilds r where r.tenant = $1";

/// The rebuilds of a tenant, of one read model or of all: the newest first, those begun before another.
pub async fn rebuilds(
    store: &Store,
    tenant: &str,
    projection: Option<&str>,
    before: Option<(DateTime<Utc>, String)>,
    first: u32,
) -> Result<Vec<RebuildStatus>, ConsumerError> {
    let (at, name) = before.unzip();
    let sql = format!(
        "{SELECT} and ($2::text is null or r.projection = $2)
           and ($3::timestamptz is null or (r.started_at, r.projection) < ($3, $4))
         order by r.started_at desc, r.projection desc limit $5"
    );
    let rows = sqlx::query(&sql)
        .bind(tenant)
        .bind(projection)
        .bind(at)
        .bind(name)
        .bind(i64::from(first.min(REBUILDS_MAX)))
        .fetch_all(store.pool())
        .await?;
    Ok(rows.iter().map(of_row).collect())
}

/// The newest rebuild of each read model, or of one.
pub(in crate::consumers) async fn newest(
    pool: &PgPool,
    tenant: &str,
    projection: Option<&str>,
) -> Result<Vec<RebuildStatus>, sqlx::Error> {
    let sql = format!(
        "{SELECT} and ($2::text is null or r.projection = $2)
           and r.generation = (select max(n.generation) from rebuilds n
                               where (n.tenant, n.projection) = (r.tenant, r.projection))
         order by r.projection"
    );
    let rows = sqlx::query(&sql).bind(tenant).bind(projection);
    Ok(rows.fetch_all(pool).await?.iter().map(of_row).collect())
}

/// One rebuild.
pub(super) async fn one(
    pool: &PgPool,
    tenant: &str,
    projection: &str,
    generation: i32,
) -> Result<RebuildStatus, sqlx::Error> {
    let sql = format!("{SELECT} and r.projection = $2 and r.generation = $3");
    let row = sqlx::query(&sql).bind(tenant).bind(projection);
    Ok(of_row(&row.bind(generation).fetch_one(pool).await?))
}

/// The rebuild that was asked for under a key.
pub(super) async fn of_command(
    pool: &PgPool,
    tenant: &str,
    command_id: &str,
) -> Result<Option<RebuildStatus>, sqlx::Error> {
    let sql = format!("{SELECT} and r.command_id = $2");
    let row = sqlx::query(&sql).bind(tenant).bind(command_id);
    Ok(row.fetch_optional(pool).await?.as_ref().map(of_row))
}

/// The rebuild that made the generation as of a position, if that is there.
pub(super) async fn of_scratch(
    pool: &PgPool,
    tenant: &str,
    (projection, version): (&str, i32),
    up_to: Position,
) -> Result<Option<RebuildStatus>, sqlx::Error> {
    let sql = format!(
        "{SELECT} and r.projection = $2 and r.to_position = $3 and r.phase = 'built'
           and exists (select from generations g where g.state = 'scratch' and g.version = $4
                         and (g.tenant, g.projection, g.generation)
                             = (r.tenant, r.projection, r.generation))
         order by r.generation desc limit 1"
    );
    let row = sqlx::query(&sql).bind(tenant).bind(projection);
    let row = row.bind(up_to.0).bind(version);
    Ok(row.fetch_optional(pool).await?.as_ref().map(of_row))
}

fn of_row(row: &PgRow) -> RebuildStatus {
    RebuildStatus {
        projection: row.get(0),
        generation: row.get(1),
        mode: row.get(2),
        phase: row.get(3),
        paused: row.get(4),
        to_position: Position(row.get(5)),
        done_events: row.get(6),
        events_per_second: row.get(7),
        workers: row.get(8),
        compare: row.get(9),
        asked_by: row.get(10),
        reason: row.get(11),
        started_at: row.get(12),
        finished_at: row.get(13),
        digests: row.get::<Option<String>, _>(14).zip(row.get(15)),
        difference: row
            .get::<Option<Json<Difference>>, _>(16)
            .map(|json| json.0),
        error: row.get(17),
        away_from: row.get(18),
    }
}
