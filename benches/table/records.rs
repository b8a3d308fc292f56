//! Made-up log records of a shop, and tables of one row a record that they are copied into.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use domain::Metadata;
use domain::log_batch::LogReport;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection};
use uuid::Uuid;

use super::copy::{EPOCH_US, Rows};
use super::measure::Round;
use super::stand::Stand;
use super::traffic::{Chance, now};

/// Whose records they are.
pub const SOURCE: &str = "shop";

/// Records of a batch: as many as one may have.
pub const BATCH_RECORDS: usize = 1_000;

/// Users, unless another number is named; some of them come often.
pub const USERS: usize = 20_000;

/// What records are called.
const NAMES: u64 = 40;

const TYPES: [&str; 5] = [
    "behavioral",
    "behavioral",
    "telemetry",
    "observability",
    "performance",
];

/// Records that go on from batch to batch; the same each time.
pub struct Shop {
    chance: Chance,
    at: DateTime<Utc>,
    /// How far apart two records are, in microseconds.
    apart_us: i64,
    declared: bool,
    users: f64,
}

/// Records sent together.
pub type Batch = Vec<LogReport>;

impl Shop {
    /// The last of so many records happens now, the first a day before. With ids of their own, or without.
    pub fn new(records: usize, declared: bool) -> Shop {
        let day = TimeDelta::hours(24);
        let count = i64::try_from(records.max(1)).expect("a count of records");
        Shop {
            chance: Chance::new(7),
            at: now() - day,
            apart_us: day.num_microseconds().expect("a day") / count,
            declared,
            users: USERS as f64,
        }
    }

    /// With so many users instead.
    pub fn visited_by(self, users: usize) -> Shop {
        let users = users.max(1) as f64;
        Shop { users, ..self }
    }

    /// The next so many batches.
    pub fn batches(&mut self, count: usize) -> Vec<Batch> {
        let batch = |_| (0..BATCH_RECORDS).map(|_| self.record()).collect();
        (0..count).map(batch).collect()
    }

    fn record(&mut self) -> LogReport {
        let chance = &mut self.chance;
        self.at += TimeDelta::microseconds(self.apart_us);
        let user = chance.within(0.0, 1.0).powi(2) * self.users;
        let user = user as u64;
        // What is called so is of one type, as in any program.
        let name = chance.bits() % NAMES;
        let kind = name % TYPES.len() as u64;
        let declared = self.declared.then(|| {
            let (a, b) = (chance.bits(), chance.bits());
            Uuid::from_u64_pair(a, b).to_string()
        });
        let properties = json!({
            "path": format!("/products/{}", chance.bits() % 5_000),
            "status": 200 + chance.bits() % 5,
            "durationMs": chance.within(0.0, 900.0) as u64,
            "provider_name": format!("provider-{}", chance.bits() % 12),
            "message": format!("order {:016x} was looked at", chance.bits()),
        });
        let device = json!({ "os": "linux", "model": format!("m-{}", user % 30) });
        let object = |value: Value| value.as_object().cloned().unwrap_or_default().into();
        LogReport {
            event_id: declared,
            timestamp: self.at.to_rfc3339_opts(SecondsFormat::Micros, true),
            event_type: TYPES[kind as usize].to_owned(),
            event_name: format!("cart.step_{name}"),
            user_id: Some(format!("user-{user}")),
            session_id: Some(format!("session-{user}-{}", user % 3)),
            app_version: Some(format!("4.{}.0", user % 6)),
            sequence_number: Some((chance.bits() % 10_000).cast_signed()),
            device_info: object(device),
            properties: object(properties),
            ..LogReport::default()
        }
    }
}

/// How many records these are.
pub fn count(batches: &[Batch]) -> f64 {
    batches.iter().map(Vec::len).sum::<usize>() as f64
}

/// Bytes of a record as JSON, on average.
pub fn mean_bytes(batches: &[Batch]) -> f64 {
    let of_one = |record: &LogReport| serde_json::to_vec(record).expect("plain data").len();
    let bytes: usize = batches.iter().flatten().map(of_one).sum();
    bytes as f64 / count(batches)
}

/// How a store of one row a record keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As an event of its own: the columns and the two keys of our log.
    Event,
    /// The same, and a key that refuses an id declared twice.
    EventOnce,
    /// As a row of what it says, with its place in the order, and nothing of events.
    Plain,
    /// The same, and a key that refuses an id declared twice.
    PlainOnce,
}

impl Shape {
    fn is_event(self) -> bool {
        matches!(self, Shape::Event | Shape::EventOnce)
    }

    fn is_once(self) -> bool {
        matches!(self, Shape::EventOnce | Shape::PlainOnce)
    }

    fn table(self) -> String {
        let columns = match self.is_event() {
            true => {
                "tenant text not null, position bigint not null,
                 aggregate_type text not null, aggregate_id text not null,
                 sequence bigint not null, event_type text not null,
                 event_version text not null, event_id uuid not null,
                 recorded_at timestamptz not null,
                 payload json compression lz4 not null,
                 metadata json compression lz4 not null,
                 primary key (tenant, position),
                 unique (tenant, aggregate_type, aggregate_id, sequence)"
            }
            false => {
                "tenant text not null, position bigint not null, recorded_at timestamptz not null,
                 happened_at timestamptz not null, event_type text not null,
                 event_name text not null, user_id text, session_id text, app_version text,
                 sequence_number bigint, device_info jsonb compression lz4,
                 properties jsonb compression lz4,
                 primary key (tenant, position)"
            }
        };
        let once = match self.is_once() {
            true => {
                ", source_id text not null, declared_id text not null,
                 unique (tenant, source_id, declared_id)"
            }
            false => "",
        };
        format!("create table records ({columns}{once})")
    }

    fn columns(self) -> i16 {
        let own = if self.is_event() { 11 } else { 12 };
        own + if self.is_once() { 2 } else { 0 }
    }
}

/// A table in a database of its own, and the one connection that copies into it.
pub struct Table {
    shape: Shape,
    database: PgConnectOptions,
    conn: PgConnection,
    position: i64,
}

impl Table {
    /// Makes it.
    pub async fn open(stand: &Stand, shape: Shape) -> anyhow::Result<Table> {
        let database = stand.database().await?;
        let mut conn = database.connect().await?;
        conn.execute(shape.table().as_str()).await?;
        Ok(Table {
            shape,
            database,
            conn,
            position: 0,
        })
    }

    /// Copies the records of these batches in one COPY, durable when it returns. The bytes are made before
    /// the watch starts.
    pub async fn copy(&mut self, stand: &Stand, batches: &[Batch]) -> anyhow::Result<Round> {
        let mut rows = Rows::default();
        for batch in batches {
            let metadata = Metadata {
                actor: "user:dev".to_owned(),
                command_id: Uuid::now_v7().to_string(),
                ..Metadata::default()
            };
            let metadata = serde_json::to_vec(&metadata).expect("plain data");
            for record in batch {
                self.position += 1;
                rows.begin(self.shape.columns());
                match self.shape.is_event() {
                    true => event(&mut rows, record, self.position, &metadata),
                    false => plain(&mut rows, record, self.position),
                }
                if self.shape.is_once() {
                    rows.field(SOURCE.as_bytes());
                    text(&mut rows, record.event_id.as_deref());
                }
            }
        }
        stand.settle().await?;
        let watch = stand.watch();
        rows.copy(&mut self.conn, "records").await?;
        Ok(watch.stop(count(batches), Vec::new()))
    }

    /// What it takes on disk with its indexes, in bytes.
    pub async fn bytes(&mut self) -> anyhow::Result<f64> {
        let bytes = "select pg_total_relation_size('records')::float8";
        Ok(sqlx::query_scalar(bytes).fetch_one(&mut self.conn).await?)
    }

    /// Removes it.
    pub async fn close(self, stand: &Stand) -> anyhow::Result<()> {
        stand.drop_database(&self.database).await
    }
}

/// The record as an event of its own, one after the other on the stream of its source.
fn event(rows: &mut Rows, record: &LogReport, position: i64, metadata: &[u8]) {
    let payload = serde_json::to_vec(record).expect("plain data");
    rows.field(b"default");
    rows.field(&position.to_be_bytes());
    rows.field(b"log");
    rows.field(SOURCE.as_bytes());
    rows.field(&position.to_be_bytes());
    rows.field(b"log.record_accepted");
    rows.field(b"1");
    rows.field(Uuid::now_v7().as_bytes());
    rows.field(&micros(now()));
    rows.field(&payload);
    rows.field(metadata);
}

fn plain(rows: &mut Rows, record: &LogReport, position: i64) {
    let at: DateTime<Utc> = record.timestamp.parse().expect("it was made here");
    rows.field(b"default");
    rows.field(&position.to_be_bytes());
    rows.field(&micros(now()));
    rows.field(&micros(at));
    rows.field(record.event_type.as_bytes());
    rows.field(record.event_name.as_bytes());
    text(rows, record.user_id.as_deref());
    text(rows, record.session_id.as_deref());
    text(rows, record.app_version.as_deref());
    let sequence = record.sequence_number.unwrap_or_default();
    rows.field(&sequence.to_be_bytes());
    for object in [&record.device_info, &record.properties] {
        // The format's version, then the text.
        let mut json = vec![1];
        json.extend(serde_json::to_vec(object).expect("an object"));
        rows.field(&json);
    }
}

fn text(rows: &mut Rows, text: Option<&str>) {
    match text {
        Some(text) => rows.field(text.as_bytes()),
        None => rows.null(),
    }
}

fn micros(at: DateTime<Utc>) -> [u8; 8] {
    (at.timestamp_micros() - EPOCH_US).to_be_bytes()
}
