//! The log through cqrs-es: read by a stock repository, written by a stock framework.

use std::collections::HashMap;

use cqrs_es::persist::{PersistedEventRepository as _, PersistedEventStore};
use cqrs_es::{AggregateContext as _, AggregateError, CqrsFramework, EventStore};
use daybook::commands::{Door, DoorSettings, ReportPositions};
use daybook::store::Store;
use daybook::store::cqrs::{Adapted, CqrsEvent, LogEventStore};
use domain::fleet::{Fleet, FleetCommand};
use domain::track::{FixReport, Track};
use domain::vehicle::{Vehicle, VehicleCommand};
use domain::{Aggregate, Code, StreamKey};
use postgres_es::PostgresEventRepository;
use serde_json::{Value, json};

use super::scene::{ann, ctx, flaws, register, rename, retire, store, tenant};
use crate::support::TestDb;

fn stock(db: &TestDb) -> PostgresEventRepository {
    PostgresEventRepository::new(db.pool().clone()).with_tables("events_default", "no_snapshots")
}

/// A stock repository reads what we read, and folds it to the state that we fold it to.
async fn check<A>(db: &TestDb, door: &Door, store: &Store, id: &str, events: usize) -> (A, A)
where
    A: Aggregate<Event: CqrsEvent, Command: Send + Sync>,
{
    let stream = StreamKey::of::<A>(id);
    let ours = store
        .read_stream(&tenant(), &stream, 0, 1_000)
        .await
        .unwrap();
    let theirs = stock(db).get_events::<Adapted<A>>(id).await.unwrap();
    assert_eq!((ours.len(), theirs.len()), (events, events), "{stream}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(theirs.sequence as i64, ours.sequence);
        assert_eq!(theirs.aggregate_id, *ours.aggregate_id);
        assert_eq!(theirs.aggregate_type, *ours.aggregate_type);
        assert_eq!(theirs.event_type, *ours.event_type);
        assert_eq!(theirs.event_version, *ours.event_version);
        let payload: Value = serde_json::from_str(&ours.payload).unwrap();
        assert_eq!(theirs.payload, json!({ &*ours.event_type: payload }));
        let metadata: Value = serde_json::from_str(&ours.metadata).unwrap();
        assert_eq!(theirs.metadata, metadata);
    }
    let repository = PersistedEventStore::<_, Adapted<A>>::new_event_store(stock(db));
    let mut folded = repository.load_aggregate(id).await.unwrap();
    let (state, version) = door.load::<A>(&tenant(), id).await.unwrap();
    assert_eq!(version, events as i64);
    (folded.aggregate().0.clone(), state)
}

#[tokio::test]
async fn a_stock_repository_reads_our_streams() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let door = Door::new(store.clone(), DoorSettings::default());
    let create = FleetCommand::Create {
        name: "North".to_owned(),
    };
    door.execute::<Fleet>(&ctx(), "north", create)
        .await
        .unwrap();
    for command in [register(Some("W-1")), rename("Line 7", None)] {
        door.execute::<Vehicle>(&ctx(), "bus", command)
            .await
            .unwrap();
    }
    door.join_fleet(&ctx(), "bus", "north").await.unwrap();
    for minute in 0..3 {
        let fix = |second| FixReport {
            vehicle: "bus".to_owned(),
            fix_time: format!("2026-01-04T10:{minute:02}:{second:02}Z"),
            lat: 30.25 + f64::from(second) / 1_000.0,
            lon: -97.75,
            speed_mps: Some(7.5),
            ..FixReport::default()
        };
        let report = ReportPositions {
            fixes: (0..20).map(fix).collect(),
            may_register: false,
        };
        door.report_positions(&ctx(), report).await.unwrap();
    }
    door.execute::<Vehicle>(&ctx(), "bus", retire())
        .await
        .unwrap();

    let (theirs, ours) = check::<Vehicle>(&db, &door, &store, "bus", 4).await;
    assert_eq!(theirs, ours);
    assert!(ours.retired && ours.fleets.contains("north"));
    let (theirs, ours) = check::<Fleet>(&db, &door, &store, "north", 1).await;
    assert_eq!(theirs, ours);
    let (theirs, ours) = check::<Track>(&db, &door, &store, "bus/2026-01-04", 3).await;
    assert_eq!((theirs.instants(), ours.instants()), (60, 60));
    let (theirs, ours) = check::<Vehicle>(&db, &door, &store, "nobody", 0).await;
    assert_eq!(theirs, ours);
}

#[tokio::test]
async fn a_stock_framework_writes_our_log() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let log = || LogEventStore::<Vehicle>::new(store.clone(), tenant(), ann());
    let framework = CqrsFramework::new(log(), vec![], ());
    let plate = |plate| register(Some(plate));
    let said = async |id: &str, command: VehicleCommand| match framework.execute(id, command).await
    {
        Ok(()) => "done".to_owned(),
        Err(AggregateError::UserError(refusal)) => refusal.code.as_str().to_owned(),
        Err(other) => format!("{other:?}"),
    };
    assert_eq!(said("bus", plate("W-1")).await, "done");
    assert_eq!(said("bus", plate("W-1")).await, "ALREADY_EXISTS");
    assert_eq!(
        said("tram", plate("w-1")).await,
        Code::ExternalIdTaken.as_str()
    );
    assert_eq!(said("tram", plate("X-1")).await, "done");
    assert_eq!(said("bus", rename("a", None)).await, "done");
    assert_eq!(
        said("ferry", plate("W-1")).await,
        "done",
        "the plate was given back"
    );

    // Both load the same version; the second to commit has lost.
    let (first, second) = (log(), log());
    let loaded = [
        first.load_aggregate("bus").await.unwrap(),
        second.load_aggregate("bus").await.unwrap(),
    ];
    let decided = || {
        let retired = domain::vehicle::VehicleRetired { reason: None };
        vec![daybook::store::cqrs::AdaptedEvent(
            domain::vehicle::VehicleEvent::VehicleRetired(retired),
        )]
    };
    let correlated = HashMap::from([("correlation_id".to_owned(), "c-7".to_owned())]);
    // At the same time, so that both may end up in one group.
    let [one, other] = loaded;
    let (one, other) = tokio::join!(
        first.commit(decided(), one, correlated.clone()),
        second.commit(decided(), other, correlated)
    );
    assert_eq!(one.unwrap().len(), 1);
    assert!(matches!(other, Err(AggregateError::AggregateConflict)));

    let door = Door::new(store.clone(), DoorSettings::default());
    let (state, version) = door.load::<Vehicle>(&tenant(), "bus").await.unwrap();
    assert_eq!((state.retired, version), (true, 3));
    let stream = StreamKey::of::<Vehicle>("bus");
    let stored = store.read_stream(&tenant(), &stream, 2, 10).await.unwrap();
    let metadata = stored[0].decode().unwrap().metadata;
    assert_eq!(metadata.actor, "user:ann");
    assert_eq!(metadata.correlation_id.as_deref(), Some("c-7"));
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}
