//! A database whose read models hold what a test says happened.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use domain::track::{Fix, PositionsReported, TrackEvent};
use domain::{Attributes, Event, Metadata, Position, Recorded};
use projections::{AnyProjection, Filling, Reader, Snapshot, Target};
use uuid::Uuid;

use crate::support::TestDb;

/// The tenant all scenes are of.
pub const TENANT: &str = "default";

/// A fix at a time and place.
pub fn fix(time: &str, lat: f64, lon: f64) -> Fix {
    Fix {
        fix_time: at(time),
        lat,
        lon,
        fix_id: None,
        device_time: None,
        altitude_m: None,
        speed_mps: None,
        course_deg: None,
        accuracy_m: None,
        satellites: None,
        hdop: None,
        attributes: Attributes::default(),
    }
}

/// The same with a reported speed, m/s.
pub fn moving(time: &str, lat: f64, lon: f64, speed_mps: f64) -> Fix {
    Fix {
        speed_mps: Some(speed_mps),
        ..fix(time, lat, lon)
    }
}

/// A time in RFC 3339.
pub fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

/// The fixes of one vehicle, as one event.
pub fn reported(vehicle: &str, fixes: Vec<Fix>) -> (String, Event) {
    let vehicle_id = vehicle.to_owned();
    let report = PositionsReported { vehicle_id, fixes };
    (
        vehicle.to_owned(),
        TrackEvent::PositionsReported(report).into(),
    )
}

/// Gives the events positions 1..n and stream versions as if each were of its own kind of stream.
pub fn log(events: Vec<(String, Event)>) -> Vec<Recorded<Event>> {
    let recorded = |(position, (id, event)): (i64, (String, Event))| Recorded {
        tenant: TENANT.into(),
        position: Position(position),
        aggregate_type: "any".into(),
        aggregate_id: id.into(),
        sequence: position,
        event_id: Uuid::nil(),
        recorded_at: at("2016-01-01T00:00:00Z") + TimeDelta::seconds(position),
        metadata: Metadata::default(),
        event,
    };
    (1..).zip(events).map(recorded).collect()
}

/// The read model of this name.
pub fn read_model(name: &str) -> Arc<dyn AnyProjection> {
    projections::all()
        .into_iter()
        .find(|p| p.name() == name)
        .unwrap()
}

/// Makes the tables of a generation.
pub async fn create_tables(db: &TestDb, projection: &dyn AnyProjection, generation: i32) {
    for statement in projection.ddl(&Target {
        tenant: TENANT,
        generation,
    }) {
        sqlx::query(&statement).execute(db.pool()).await.unwrap();
    }
}

/// Folds and writes one batch, as the runner does.
pub async fn write(
    db: &TestDb,
    projection: &dyn AnyProjection,
    generation: i32,
    batch: &[Recorded<Event>],
) {
    write_as(db, projection, generation, batch, None).await;
}

/// Folds and writes one batch, as a rebuild does if it knows what it has written.
pub async fn write_as(
    db: &TestDb,
    projection: &dyn AnyProjection,
    generation: i32,
    batch: &[Recorded<Event>],
    filling: Option<&Filling>,
) {
    let tenant = batch
        .first()
        .map_or(TENANT.into(), |event| event.tenant.clone());
    let mut delta = projection.delta();
    for event in batch {
        projection.fold(&mut delta, event).unwrap();
    }
    let target = Target {
        tenant: &tenant,
        generation,
    };
    let mut tx = projections::begin(db.pool(), "begin").await.unwrap();
    match filling {
        Some(filling) => projection.fill(&mut tx, &target, delta, filling).await,
        None => projection.write(&mut tx, &target, delta).await,
    }
    .unwrap();
    tx.commit().await.unwrap();
}

/// Says that a generation answers and how far it has come.
pub async fn go_live(db: &TestDb, projection: &dyn AnyProjection, position: i64) {
    sqlx::query(
        "insert into generations (tenant, projection, generation, version, tables, state, position)
         values ($1, $2, 1, $3, $4, 'live', $5)",
    )
    .bind(TENANT)
    .bind(projection.name())
    .bind(projection.version())
    .bind(projection.tables())
    .bind(position)
    .execute(db.pool())
    .await
    .unwrap();
}

/// A database in which all read models have folded the events, `batch` at a time.
pub async fn after(events: Vec<(String, Event)>, batch: usize) -> TestDb {
    let db = TestDb::create().await;
    let log = log(events);
    for projection in projections::all() {
        create_tables(&db, &*projection, 1).await;
        for batch in log.chunks(batch) {
            write(&db, &*projection, 1, batch).await;
        }
        go_live(&db, &*projection, i64::try_from(log.len()).unwrap()).await;
    }
    db
}

/// A moment of the read models.
pub async fn snapshot(db: &TestDb) -> Snapshot {
    Reader::new(db.pool().clone())
        .snapshot(TENANT)
        .await
        .unwrap()
}
