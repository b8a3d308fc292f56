//! Reading the log: pages by position.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::tenant::INSTALLATION_LOG;
use domain::{DecodeError, Event, Metadata, Position, Recorded};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::filter::EventFilter;
use super::{Store, StoreError, StoredRow, held, stream};

/// The bounds of one page of the log.
#[derive(Clone, Copy, Debug)]
pub struct PageLimits {
    /// At most this many events.
    pub events_max: i64,
    /// At most this many stored (compressed) bytes, but always at least one event.
    pub bytes_max: i64,
    /// Do not read past this position.
    pub up_to: Position,
}

impl Default for PageLimits {
    fn default() -> PageLimits {
        PageLimits {
            events_max: 1_000,
            bytes_max: 4 << 20,
            up_to: Position(i64::MAX),
        }
    }
}

/// The statement that reads a page of the log, for whoever looks at its plan. Its parameters are the tenant,
/// the position the page comes after, the last that may be on it, and the most events and bytes.
pub fn log_page_statement() -> &'static str {
    LOG_PAGE
}

/// What a filtered page found, and how far it looked.
#[derive(Clone, Debug)]
pub struct FilteredPage {
    /// The events that pass, in position order.
    pub events: Vec<StoredEvent>,
    /// Everything up to here was looked through. Before `up_to` of the limits only if the page was full, by
    /// its number of events or by their bytes, or if it is of one stream and enough of that was looked
    /// through: reading goes on behind it, else events are left out.
    pub up_to: Position,
}

/// An event with its stored bytes.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Whose log.
    pub tenant: Arc<str>,
    /// Where in it.
    pub position: Position,
    /// The aggregate's type.
    pub aggregate_type: Arc<str>,
    /// The aggregate's key.
    pub aggregate_id: Arc<str>,
    /// Number in its stream.
    pub sequence: i64,
    /// What happened.
    pub event_type: Arc<str>,
    /// Version of the payload's shape.
    pub event_version: Arc<str>,
    /// The event's own id.
    pub event_id: Uuid,
    /// When it was committed.
    pub recorded_at: DateTime<Utc>,
    /// The payload as stored.
    pub payload: String,
    /// The metadata as stored.
    pub metadata: String,
}

impl StoredEvent {
    /// An event by its row; `None` if it was recorded at a time that no calendar has.
    pub fn of_row(tenant: &Arc<str>, row: &StoredRow<'_>) -> Option<StoredEvent> {
        Some(StoredEvent {
            tenant: tenant.clone(),
            position: Position(row.position),
            aggregate_type: row.aggregate_type.into(),
            aggregate_id: row.aggregate_id.into(),
            sequence: row.sequence,
            event_type: row.event_type.into(),
            event_version: row.event_version.into(),
            event_id: Uuid::from_slice(row.event_id).unwrap_or_default(),
            recorded_at: DateTime::from_timestamp_micros(row.recorded_us)?,
            payload: row.payload.to_owned(),
            metadata: row.metadata.to_owned(),
        })
    }

    /// Turns stored bytes into today's event, through the upcasters.
    pub fn decode(&self) -> Result<Recorded<Event>, DecodeError> {
        let event = Event::decode(&self.event_type, &self.event_version, &self.payload)?;
        let metadata: Metadata =
            serde_json::from_str(&self.metadata).map_err(|e| DecodeError::Payload {
                event_type: self.event_type.to_string(),
                reason: format!("metadata: {e}"),
            })?;
        Ok(Recorded {
            tenant: self.tenant.clone(),
            position: self.position,
            aggregate_type: self.aggregate_type.clone(),
            aggregate_id: self.aggregate_id.clone(),
            sequence: self.sequence,
            event_id: self.event_id,
            recorded_at: self.recorded_at,
            metadata,
            event,
        })
    }
}

macro_rules! event_columns {
    () => {
        "position, aggregate_type, aggregate_id, sequence, event_type, event_version, event_id,
         recorded_at, payload, metadata"
    };
}
pub(super) use event_columns;

/// The window keeps a page of large events from filling the memory; sizes are read without decompressing.
/// Positions have no gaps, so as many as there may be events say where a page ends. Without that bound a planner
/// that takes what was appended since it last counted for nothing puts all of it in order for each page: as soon
/// as a log has a second, empty partition.
const LOG_PAGE: &str = concat!(
    "select ",
    event_columns!(),
    " from (
        select *, sum(pg_column_size(payload)) over (order by position) as bytes,
               row_number() over (order by position) as nth
        from (select * from events
              where tenant = $1 and position > $2 and position <= least($3, $2 + $4)
              order by position limit $4) page) sized
      where bytes <= $5 or nth = 1 order by position"
);

/// The same of a filter; each row tells how many there are before bytes cut the page.
const FILTERED_PAGE: &str = concat!(
    "select ",
    event_columns!(),
    ", found from (
        select *, sum(pg_column_size(payload)) over (order by position) as bytes,
               row_number() over (order by position) as nth, count(*) over () as found
        from (select * from events
              where tenant = $1 and position > $2 and position <= $3
                and ($4::text is null or aggregate_type = $4) and ($5::text is null or aggregate_id = $5)
                and ($6::text[] is null or event_type = any($6))
                and ($7::text is null or strpos(metadata::text, $7) > 0)
                and ($8::text is null or strpos(metadata::text, $8) > 0)
              order by position limit $9) page) sized
      where bytes <= $10 or nth = 1 order by position"
);

/// Which streams exist. Each is looked up by the whole key: asked for all at once, a young table's streams
/// of the kind are all read, and each is compared with every id.
const EXISTING: &str = "select id from unnest($3::text[]) u(id)
     where (select true from streams s
            where s.tenant = $1 and s.aggregate_type = $2 and s.aggregate_id = u.id limit 1)";

/// The first events of streams, each looked up by the whole key as in [`EXISTING`].
const FIRST: &str = concat!(
    "select ",
    event_columns!(),
    " from unnest($3::text[]) u(id)
      join lateral (select e.* from streams s
                    join events e on e.tenant = s.tenant and e.position = s.first_position
                    where s.tenant = $1 and s.aggregate_type = $2 and s.aggregate_id = u.id
                    limit 1) f on true"
);

const AT_POSITIONS: &str = concat!(
    "select ",
    event_columns!(),
    " from events where tenant = $1 and position = any($2) order by position"
);

impl Store {
    /// The tenants that have a log, in name order; the log of the installation is nobody's.
    pub async fn tenants(&self) -> Result<Vec<Arc<str>>, StoreError> {
        let names: Vec<String> =
            sqlx::query_scalar("select tenant from logs where tenant <> $1 order by tenant")
                .bind(INSTALLATION_LOG)
                .fetch_all(self.pool())
                .await?;
        Ok(names.into_iter().map(Arc::from).collect())
    }

    /// The last position of a tenant's log.
    pub async fn head(&self, tenant: &str) -> Result<Position, StoreError> {
        sqlx::query_scalar("select position from logs where tenant = $1")
            .bind(tenant)
            .fetch_optional(self.pool())
            .await?
            .map(Position)
            .ok_or_else(|| StoreError::UnknownTenant(tenant.to_owned()))
    }

    /// Events after `after`, in position order, at most one page. An empty page means that the head (or
    /// `up_to`) is reached: positions have no gaps and commit in order, so nothing is ever passed over.
    /// What was taken out of the log is not passed over either: [`StoreError::Archived`].
    pub async fn read_log(
        &self,
        tenant: &Arc<str>,
        after: Position,
        limits: PageLimits,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut conn = self.pool().acquire().await?;
        read_log(&mut conn, tenant, after, limits).await
    }

    /// Like [`Store::read_log`], narrowed by a filter. Where part of what it looked through is not in the
    /// log any more, it says so instead of passing it over.
    pub async fn read_filtered(
        &self,
        tenant: &Arc<str>,
        filter: &EventFilter,
        after: Position,
        limits: PageLimits,
    ) -> Result<FilteredPage, StoreError> {
        let mut conn = self.pool().acquire().await?;
        if let (Some(kind), Some(id)) = (&filter.aggregate_type, &filter.aggregate_id) {
            let stream = (kind.as_str(), id.as_str());
            return stream::read_filtered(&mut conn, (tenant, stream), filter, after, limits).await;
        }
        let [actor, correlation_id] = filter.written_causes();
        let rows = sqlx::query(FILTERED_PAGE)
            .bind(&**tenant)
            .bind(after.0)
            .bind(limits.up_to.0)
            .bind(&filter.aggregate_type)
            .bind(&filter.aggregate_id)
            .bind(&filter.event_types)
            .bind(actor)
            .bind(correlation_id)
            .bind(limits.events_max)
            .bind(limits.bytes_max)
            .fetch_all(&mut *conn)
            .await?;
        let cut = cut(&rows, limits)?;
        held::check_held(
            &mut conn,
            tenant,
            after.0 + 1..=cut.unwrap_or(limits.up_to).0,
        )
        .await?;
        let mut events = decode_rows(tenant, rows)?;
        events.retain(|event| filter.has_cause(event));
        Ok(FilteredPage {
            events,
            up_to: cut.unwrap_or(limits.up_to),
        })
    }

    /// Which of these streams of one kind exist.
    pub async fn existing_streams(
        &self,
        tenant: &str,
        aggregate_type: &str,
        aggregate_ids: &[&str],
    ) -> Result<HashSet<String>, StoreError> {
        let found: Vec<String> = sqlx::query_scalar(EXISTING)
            .bind(tenant)
            .bind(aggregate_type)
            .bind(aggregate_ids)
            .fetch_all(self.pool())
            .await?;
        Ok(found.into_iter().collect())
    }

    /// The first event of each of these streams of one kind, in no order. Those that do not exist are left
    /// out, and those whose first event is not in the log any more.
    pub async fn first_events(
        &self,
        tenant: &Arc<str>,
        aggregate_type: &str,
        aggregate_ids: &[&str],
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let rows = sqlx::query(FIRST)
            .bind(&**tenant)
            .bind(aggregate_type)
            .bind(aggregate_ids)
            .fetch_all(self.pool())
            .await?;
        decode_rows(tenant, rows)
    }

    /// The events at these positions, in position order; positions without an event are left out.
    pub async fn read_positions(
        &self,
        tenant: &Arc<str>,
        positions: &[Position],
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let positions: Vec<i64> = positions.iter().map(|p| p.0).collect();
        let rows = sqlx::query(AT_POSITIONS)
            .bind(&**tenant)
            .bind(positions)
            .fetch_all(self.pool())
            .await?;
        decode_rows(tenant, rows)
    }

    /// Which of these values are claimed, and by whom: (index into `claims`, holder).
    pub async fn claim_holders(
        &self,
        tenant: &str,
        claims: &[(&str, [u8; 16])],
    ) -> Result<Vec<(usize, String)>, StoreError> {
        let scopes: Vec<&str> = claims.iter().map(|c| c.0).collect();
        let hashes: Vec<&[u8]> = claims.iter().map(|c| c.1.as_slice()).collect();
        let rows: Vec<(i64, String)> = sqlx::query_as(
            // Lateral with a limit: looked up one by one, whatever the statistics say.
            "select u.ord - 1, t.aggregate_id
             from unnest($2::text[], $3::bytea[]) with ordinality u(scope, value_hash, ord)
             join lateral (select t.aggregate_id from claims t
                           where t.tenant = $1 and t.scope = u.scope and t.value_hash = u.value_hash
                           limit 1) t on true",
        )
        .bind(tenant)
        .bind(scopes)
        .bind(hashes)
        .fetch_all(self.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(i, holder)| (i as usize, holder))
            .collect())
    }
}

/// The last position of a page that is full, by its number of events or by their bytes; each row tells how many
/// there were.
pub(super) fn cut(rows: &[PgRow], limits: PageLimits) -> Result<Option<Position>, sqlx::Error> {
    let found: i64 = rows.first().map_or(Ok(0), |row| row.try_get("found"))?;
    let is_full = found >= limits.events_max || found > rows.len() as i64;
    match rows.last() {
        Some(row) if is_full => Ok(Some(Position(row.try_get(0)?))),
        _ => Ok(None),
    }
}

/// [`Store::read_log`] on a connection of the caller's: rebuilds keep one per worker.
pub async fn read_log(
    conn: &mut PgConnection,
    tenant: &Arc<str>,
    after: Position,
    limits: PageLimits,
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut rows = sqlx::query(LOG_PAGE)
        .bind(&**tenant)
        .bind(after.0)
        .bind(limits.up_to.0)
        .bind(limits.events_max)
        .bind(limits.bytes_max)
        .fetch_all(&mut *conn)
        .await?;
    let positions: Vec<i64> = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    let found = positions.first().copied().map(Position);
    held::check_page(conn, tenant, after, limits.up_to, found).await?;
    // Whoever reads on behind the gap is told what is missing.
    rows.truncate(held::consecutive(positions.into_iter()));
    decode_rows(tenant, rows)
}

pub(super) fn decode_rows(
    tenant: &Arc<str>,
    rows: Vec<PgRow>,
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut words = Words::default();
    rows.iter()
        .map(|row| words.event(tenant, row))
        .collect::<Result<_, _>>()
        .map_err(Into::into)
}

/// Types and versions repeat on every row: each is kept once per page.
#[derive(Default)]
pub(super) struct Words(HashMap<String, Arc<str>>);

impl Words {
    fn event(&mut self, tenant: &Arc<str>, row: &PgRow) -> Result<StoredEvent, sqlx::Error> {
        Ok(StoredEvent {
            tenant: tenant.clone(),
            position: Position(row.try_get(0)?),
            aggregate_type: self.word(row.try_get(1)?),
            aggregate_id: self.word(row.try_get(2)?),
            sequence: row.try_get(3)?,
            event_type: self.word(row.try_get(4)?),
            event_version: self.word(row.try_get(5)?),
            event_id: row.try_get(6)?,
            recorded_at: row.try_get(7)?,
            // `json` travels as its text: read as a string, its bytes stay as they were stored.
            payload: row.try_get_unchecked(8)?,
            metadata: row.try_get_unchecked(9)?,
        })
    }

    pub(super) fn word(&mut self, text: &str) -> Arc<str> {
        match self.0.get(text) {
            Some(word) => word.clone(),
            None => {
                let word: Arc<str> = text.into();
                self.0.insert(text.to_owned(), word.clone());
                word
            }
        }
    }
}
