//! Raw COPY BINARY of position fixes into tables of one row a fix: what bulk ingest is held against.

use std::collections::HashMap;

use domain::Metadata;
use domain::track::{Fix, day_of, track_id};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection};
use uuid::Uuid;

use super::measure::Round;
use super::stand::Stand;
use super::traffic::{Batch, count, now, report_of};

/// The signature of the format, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Microseconds from 1970 to 2000, PostgreSQL's epoch.
pub const EPOCH_US: i64 = 946_684_800_000_000;

/// Sent in pieces of this many bytes.
const PIECE_BYTES: usize = 256 << 10;

/// How a store of one row a fix keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As an event of its own: the columns and the two keys of our log.
    Event,
    /// The same, and a key that refuses a vehicle's second fix of one instant, as we do.
    EventOnce,
    /// As a row of measurements that knows nothing of events: no stream, no type, no metadata, no
    /// order, and that one key alone.
    Narrow,
}

impl Shape {
    fn table(self) -> &'static str {
        match self {
            Shape::Event => {
                "create table fixes (
                     tenant text not null, position bigint not null,
                     aggregate_type text not null, aggregate_id text not null,
                     sequence bigint not null, event_type text not null,
                     event_version text not null, event_id uuid not null,
                     recorded_at timestamptz not null,
                     payload json compression lz4 not null,
                     metadata json compression lz4 not null,
                     primary key (tenant, position),
                     unique (tenant, aggregate_type, aggregate_id, sequence))"
            }
            Shape::EventOnce => {
                "create table fixes (
                     tenant text not null, position bigint not null,
                     aggregate_type text not null, aggregate_id text not null,
                     sequence bigint not null, event_type text not null,
                     event_version text not null, event_id uuid not null,
                     recorded_at timestamptz not null,
                     payload json compression lz4 not null,
                     metadata json compression lz4 not null,
                     vehicle_id text not null, fix_time timestamptz not null,
                     primary key (tenant, position),
                     unique (tenant, aggregate_type, aggregate_id, sequence),
                     unique (tenant, vehicle_id, fix_time))"
            }
            Shape::Narrow => {
                "create table fixes (
                     tenant text not null, vehicle_id text not null, fix_time timestamptz not null,
                     position bigint not null, recorded_at timestamptz not null,
                     lat double precision not null, lon double precision not null,
                     speed_mps double precision, course_deg double precision,
                     attributes json not null,
                     primary key (tenant, vehicle_id, fix_time))"
            }
        }
    }

    fn columns(self) -> i16 {
        match self {
            Shape::Event => 11,
            Shape::EventOnce => 13,
            Shape::Narrow => 10,
        }
    }
}

/// A table in a database of its own, and the one connection that copies into it.
pub struct Table {
    shape: Shape,
    database: PgConnectOptions,
    conn: PgConnection,
    position: i64,
    sequences: HashMap<String, i64>,
}

impl Table {
    /// Makes it.
    pub async fn open(stand: &Stand, shape: Shape) -> anyhow::Result<Table> {
        let database = stand.database().await?;
        let mut conn = database.connect().await?;
        conn.execute(shape.table()).await?;
        Ok(Table {
            shape,
            database,
            conn,
            position: 0,
            sequences: HashMap::new(),
        })
    }

    /// Copies the fixes of these batches in one COPY, durable when it returns. The bytes are made before
    /// the watch starts.
    pub async fn copy(&mut self, stand: &Stand, batches: &[Batch]) -> anyhow::Result<Round> {
        let rows = self.rows(batches);
        stand.settle().await?;
        let watch = stand.watch();
        rows.copy(&mut self.conn, "fixes").await?;
        Ok(watch.stop(count(batches), Vec::new()))
    }

    /// Removes it.
    pub async fn close(self, stand: &Stand) -> anyhow::Result<()> {
        stand.drop_database(&self.database).await
    }

    fn rows(&mut self, batches: &[Batch]) -> Rows {
        let mut rows = Rows::default();
        for batch in batches {
            let metadata = Metadata {
                actor: "user:dev".to_owned(),
                command_id: Uuid::now_v7().to_string(),
                ..Metadata::default()
            };
            let metadata = serde_json::to_vec(&metadata).expect("plain data");
            for (vehicle_id, fixes) in batch {
                for fix in fixes {
                    self.position += 1;
                    rows.begin(self.shape.columns());
                    match self.shape {
                        Shape::Narrow => rows.narrow(vehicle_id, fix, self.position),
                        _ => self.event(&mut rows, vehicle_id, fix, &metadata),
                    }
                }
            }
        }
        rows
    }

    /// The fix as an event of its own: what was reported, on the stream it would lie on here.
    fn event(&mut self, rows: &mut Rows, vehicle_id: &str, fix: &Fix, metadata: &[u8]) {
        let stream = track_id(vehicle_id, day_of(fix));
        let sequence = self.sequences.entry(stream.clone()).or_default();
        *sequence += 1;
        let payload = serde_json::to_vec(&report_of(vehicle_id, fix)).expect("plain data");
        rows.field(b"default");
        rows.field(&self.position.to_be_bytes());
        rows.field(b"track");
        rows.field(stream.as_bytes());
        rows.field(&sequence.to_be_bytes());
        rows.field(b"track.position_reported");
        rows.field(b"1");
        rows.field(Uuid::now_v7().as_bytes());
        rows.field(&(now().timestamp_micros() - EPOCH_US).to_be_bytes());
        rows.field(&payload);
        rows.field(metadata);
        if self.shape == Shape::EventOnce {
            rows.field(vehicle_id.as_bytes());
            rows.field(&(fix.fix_time.timestamp_micros() - EPOCH_US).to_be_bytes());
        }
    }
}

/// Rows in the binary format of COPY.
#[derive(Default)]
pub struct Rows(Vec<u8>);

impl Rows {
    /// Begins a row of so many fields.
    pub fn begin(&mut self, columns: i16) {
        self.0.extend(columns.to_be_bytes());
    }

    /// The row's next field.
    pub fn field(&mut self, bytes: &[u8]) {
        let length = i32::try_from(bytes.len()).expect("a field is small");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// The same without a value.
    pub fn null(&mut self) {
        self.0.extend_from_slice(&(-1i32).to_be_bytes());
    }

    /// Copies all of them in one COPY, durable when it returns.
    pub async fn copy(&self, conn: &mut PgConnection, table: &str) -> anyhow::Result<()> {
        let statement = format!("copy {table} from stdin (format binary)");
        let mut copy = conn.copy_in_raw(&statement).await?;
        copy.send(HEADER).await?;
        for piece in self.0.chunks(PIECE_BYTES) {
            copy.send(piece).await?;
        }
        copy.send((-1i16).to_be_bytes().as_slice()).await?;
        copy.finish().await?;
        Ok(())
    }

    fn narrow(&mut self, vehicle_id: &str, fix: &Fix, position: i64) {
        let time = fix.fix_time.timestamp_micros() - EPOCH_US;
        let attributes = serde_json::to_vec(&fix.attributes).expect("an object");
        self.field(b"default");
        self.field(vehicle_id.as_bytes());
        self.field(&time.to_be_bytes());
        self.field(&position.to_be_bytes());
        self.field(&time.to_be_bytes());
        for number in [Some(fix.lat), Some(fix.lon), fix.speed_mps, fix.course_deg] {
            match number {
                Some(number) => self.field(&number.to_be_bytes()),
                None => self.null(),
            }
        }
        self.field(&attributes);
    }
}
