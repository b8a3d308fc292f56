//! An analyst's projection as the runner sees it: a read model like any other, whose fold is done by PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use domain::{Event, Recorded};
use projections::{AnyDelta, AnyProjection, BoxFuture, Poison, Target};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, Executor as _, PgConnection};

use super::header::Header;
use super::login::{Bounds, Login};
use super::names::interned;
use super::sql::Purpose;
use super::{AnalystError, merge};

/// A batch is given to the SQL in pieces of at most so many events.
const PIECE_EVENTS_MAX: usize = 5_000;

/// A piece holds about so many bytes of payloads at most.
const PIECE_BYTES_MAX: usize = 4 << 20;

/// A piece may be folded into so many rows.
const PIECE_ROWS_MAX: usize = 50_000;

/// The rows of a piece may have so many bytes, as JSON.
const PIECE_ANSWER_BYTES_MAX: usize = 32 << 20;

/// One row may have so many bytes, as JSON.
const ROW_BYTES_MAX: usize = 256 << 10;

/// So many bytes of an event count as one row of a batch, when it is asked whether the batch is full.
const BYTES_PER_ROW: usize = 512;

/// While the SQL runs, the batch's own transaction says something this often: one that is silent is rolled back
/// by the server.
const WORD_EVERY: Duration = Duration::from_millis(500);

/// An analyst's projection of one tenant.
pub(super) struct SqlProjection {
    name: &'static str,
    header: Header,
    streams: Vec<&'static str>,
    tables: [&'static str; 1],
    reduce: String,
    time_max: Duration,
    login: Login,
}

/// Events of a batch.
#[derive(Default)]
struct Events {
    all: Vec<Arc<Said>>,
    bytes: usize,
}

/// One event as the SQL is given it.
pub(super) struct Said {
    position: i64,
    event_id: uuid::Uuid,
    aggregate_type: Arc<str>,
    aggregate_id: Arc<str>,
    sequence: i64,
    event_type: &'static str,
    event_version: &'static str,
    recorded_at: chrono::DateTime<chrono::Utc>,
    payload: String,
    metadata: String,
}

impl SqlProjection {
    pub(super) fn new(
        tenant: &str,
        header: Header,
        select: &str,
        login: Login,
        time_max: Duration,
    ) -> SqlProjection {
        SqlProjection {
            name: interned(&header.name),
            streams: header.streams(),
            tables: [interned(&table(tenant, &header.name))],
            reduce: merge::reduce(&header, select, ROW_BYTES_MAX),
            header,
            time_max,
            login,
        }
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn time_max(&self) -> Duration {
        self.time_max
    }

    /// Has the SQL fold events; answers rows as JSON.
    pub(super) async fn reduce(&self, events: &[Arc<Said>]) -> Result<Vec<String>, AnalystError> {
        let bounds = bounds(self.time_max);
        let mut session = self.login.begin(bounds).await?;
        let found = session.rows(&self.reduce, arguments(events)?).await?;
        session.close().await;
        if found.cut || found.rows.iter().any(|row| row.len() > ROW_BYTES_MAX) {
            return Err(AnalystError::Failed(format!(
                "the SQL answers more than {PIECE_ROWS_MAX} rows or {PIECE_ANSWER_BYTES_MAX} bytes, or a row \
                 of more than {ROW_BYTES_MAX} bytes"
            )));
        }
        Ok(found.rows)
    }

    async fn merge_all(
        &self,
        conn: &mut PgConnection,
        target: &Target<'_>,
        events: Events,
    ) -> Result<(), sqlx::Error> {
        let upsert = merge::upsert(&self.header, &target.table(self.tables[0]));
        for piece in pieces(&events.all) {
            let reducing = self.reduce(piece);
            tokio::pin!(reducing);
            let rows = loop {
                tokio::select! {
                    rows = &mut reducing => break rows.map_err(AnalystError::into_database)?,
                    () = tokio::time::sleep(WORD_EVERY) => {
                        conn.execute("select 1").await?;
                    }
                }
            };
            if rows.is_empty() {
                continue;
            }
            sqlx::query(&upsert)
                .bind(target.tenant)
                .bind(format!("[{}]", rows.join(",")))
                .execute(&mut *conn)
                .await?;
        }
        Ok(())
    }
}

/// The bounds of one piece.
pub(super) fn bounds(time: Duration) -> Bounds {
    Bounds {
        purpose: Purpose::Fold,
        time,
        rows: PIECE_ROWS_MAX,
        bytes: PIECE_ANSWER_BYTES_MAX,
    }
}

/// The table of a tenant's projection: nobody else's, whatever it is called.
fn table(tenant: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("{tenant}\0{name}"));
    let hex: String = digest[..6].iter().map(|b| format!("{b:02x}")).collect();
    format!("sql_{name}_{hex}")
}

/// Cuts a batch so that each piece is within its bounds.
fn pieces(events: &[Arc<Said>]) -> impl Iterator<Item = &[Arc<Said>]> {
    let mut left = events;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = left.iter().take(PIECE_EVENTS_MAX).take_while(|event| {
            let first = bytes == 0;
            bytes += event.bytes();
            first || bytes <= PIECE_BYTES_MAX
        });
        let (piece, rest) = left.split_at(fitting.count());
        left = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn arguments(events: &[Arc<Said>]) -> Result<PgArguments, AnalystError> {
    fn column<'e, T>(events: &'e [Arc<Said>], of: impl Fn(&'e Said) -> T) -> Vec<T> {
        events.iter().map(|event| of(event)).collect()
    }
    let mut arguments = PgArguments::default();
    let added = arguments
        .add(column(events, |e| e.position))
        .and_then(|()| arguments.add(column(events, |e| e.event_id)))
        .and_then(|()| arguments.add(column(events, |e| e.aggregate_type.to_string())))
        .and_then(|()| arguments.add(column(events, |e| e.aggregate_id.to_string())))
        .and_then(|()| arguments.add(column(events, |e| e.sequence)))
        .and_then(|()| arguments.add(column(events, |e| e.event_type)))
        .and_then(|()| arguments.add(column(events, |e| e.event_version)))
        .and_then(|()| arguments.add(column(events, |e| e.recorded_at)))
        .and_then(|()| arguments.add(column(events, |e| e.payload.as_str())))
        .and_then(|()| arguments.add(column(events, |e| e.metadata.as_str())));
    added.map_err(|error| AnalystError::Database(sqlx::Error::Encode(error)))?;
    Ok(arguments)
}

impl Said {
    fn bytes(&self) -> usize {
        self.payload.len() + self.metadata.len() + 256
    }

    pub(super) fn position(&self) -> i64 {
        self.position
    }

    pub(super) fn of(recorded: &Recorded<Event>) -> Result<Said, serde_json::Error> {
        Ok(Said {
            position: recorded.position.0,
            event_id: recorded.event_id,
            aggregate_type: recorded.aggregate_type.clone(),
            aggregate_id: recorded.aggregate_id.clone(),
            sequence: recorded.sequence,
            event_type: recorded.event.event_type(),
            event_version: recorded.event.event_version(),
            recorded_at: recorded.recorded_at,
            payload: without_sealed(recorded.event.payload()?)?,
            metadata: serde_json::to_string(&recorded.metadata)?,
        })
    }
}

/// The payload with null in the place of personal values, whose sealed form is nobody's to read.
fn without_sealed(payload: String) -> Result<String, serde_json::Error> {
    if !payload.contains("\"sealed\"") {
        return Ok(payload);
    }
    let mut value: Value = serde_json::from_str(&payload)?;
    blank(&mut value);
    serde_json::to_string(&value)
}

fn blank(value: &mut Value) {
    match value {
        Value::Object(map) if map.len() == 1 && map.contains_key("sealed") => *value = Value::Null,
        Value::Object(map) => map.values_mut().for_each(blank),
        Value::Array(items) => items.iter_mut().for_each(blank),
        _ => {}
    }
}

const FOREIGN_DELTA: &str = "a delta is only given back to the projection that made it";

impl AnyProjection for SqlProjection {
    fn name(&self) -> &'static str {
        self.name
    }
    fn version(&self) -> i32 {
        self.header.version
    }
    fn aggregates(&self) -> &[&'static str] {
        &self.streams
    }
    fn tables(&self) -> &[&'static str] {
        &self.tables
    }
    fn ddl(&self, target: &Target<'_>) -> Vec<String> {
        merge::ddl(&self.header, &target.table(self.tables[0]))
    }
    fn delta(&self) -> AnyDelta {
        Box::<Events>::default()
    }
    fn fold(&self, delta: &mut AnyDelta, event: &Recorded<Event>) -> Result<(), Poison> {
        let events: &mut Events = delta.downcast_mut().expect(FOREIGN_DELTA);
        if self.header.events.contains(&event.event.event_type()) {
            let said = Said::of(event).map_err(|e| Poison(e.to_string()))?;
            events.bytes += said.bytes();
            events.all.push(Arc::new(said));
        }
        Ok(())
    }
    fn merge(&self, into: &mut AnyDelta, from: AnyDelta) {
        let into: &mut Events = into.downcast_mut().expect(FOREIGN_DELTA);
        let from: Box<Events> = from.downcast().expect(FOREIGN_DELTA);
        into.all.extend(from.all);
        into.bytes += from.bytes;
    }
    fn rows(&self, delta: &AnyDelta) -> usize {
        let events: &Events = delta.downcast_ref().expect(FOREIGN_DELTA);
        events.all.len().max(events.bytes / BYTES_PER_ROW)
    }
    fn write<'a>(
        &'a self,
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: AnyDelta,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        let events: Box<Events> = delta.downcast().expect(FOREIGN_DELTA);
        Box::pin(self.merge_all(conn, target, *events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_is_null_wherever_it_stands() {
        let payload = r#"{"a":{"sealed":"xx"},"b":[{"c":{"sealed":"yy"}},{"sealed":1,"d":2}]}"#;
        let seen = without_sealed(payload.to_owned()).expect("json");
        assert_eq!(seen, r#"{"a":null,"b":[{"c":null},{"d":2,"sealed":1}]}"#);
    }

    #[test]
    fn two_tenants_never_share_a_table() {
        assert_ne!(table("a", "days"), table("b", "days"));
        assert!(table("a", &"n".repeat(40)).len() + "_g9999".len() <= 63);
    }
}
