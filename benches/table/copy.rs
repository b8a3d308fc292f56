//! Raw COPY BINARY of position fixes into a table of one row a fix: what bulk ingest is held against.

use domain::track::Fix;
use sqlx::{Executor, PgConnection};

/// The signature of the format, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Microseconds from 1970 to 2000, PostgreSQL's epoch.
const EPOCH_US: i64 = 946_684_800_000_000;

/// Sent in pieces of this many bytes.
const PIECE_BYTES: usize = 256 << 10;

/// Makes the table: the columns a fix has in our log, and the keys that tell a duplicate.
pub async fn table(conn: &mut PgConnection) -> anyhow::Result<()> {
    conn.execute(
        "create table fixes (
             tenant text not null, vehicle_id text not null, fix_time timestamptz not null,
             position bigint not null, recorded_at timestamptz not null,
             lat double precision not null, lon double precision not null,
             speed_mps double precision, course_deg double precision, attributes json not null,
             primary key (tenant, vehicle_id, fix_time))",
    )
    .await?;
    Ok(())
}

/// Rows, ready to be sent.
#[derive(Default)]
pub struct Rows {
    bytes: Vec<u8>,
    position: i64,
}

impl Rows {
    /// Adds a fix.
    pub fn push(&mut self, vehicle_id: &str, fix: &Fix) {
        self.position += 1;
        let time = fix.fix_time.timestamp_micros() - EPOCH_US;
        let attributes = serde_json::to_vec(&fix.attributes).expect("an object");
        self.bytes.extend_from_slice(&10i16.to_be_bytes());
        self.field(b"default");
        self.field(vehicle_id.as_bytes());
        self.field(&time.to_be_bytes());
        self.field(&self.position.to_be_bytes());
        self.field(&time.to_be_bytes());
        for number in [Some(fix.lat), Some(fix.lon), fix.speed_mps, fix.course_deg] {
            match number {
                Some(number) => self.field(&number.to_be_bytes()),
                None => self.bytes.extend_from_slice(&(-1i32).to_be_bytes()),
            }
        }
        self.field(&attributes);
    }

    fn field(&mut self, bytes: &[u8]) {
        let length = i32::try_from(bytes.len()).expect("a field is small");
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    /// Sends them in one COPY, durable when this returns.
    pub async fn send(&self, conn: &mut PgConnection) -> anyhow::Result<()> {
        let mut copy = conn
            .copy_in_raw("copy fixes from stdin (format binary)")
            .await?;
        copy.send(HEADER).await?;
        for piece in self.bytes.chunks(PIECE_BYTES) {
            copy.send(piece).await?;
        }
        copy.send((-1i16).to_be_bytes().as_slice()).await?;
        copy.finish().await?;
        Ok(())
    }
}
