//! Stored states: a long stream is loaded from one, and whatever is wrong with it, the state is the same.

use std::time::{Duration, Instant};

use daybook::commands::{CommandError, Door, DoorSettings};
use daybook::store::{Store, StoredState};
use domain::fleet::Fleet;
use domain::vehicle::{Vehicle, VehicleCommand};
use domain::{Aggregate, StreamKey};
use sqlx::PgPool;

use super::scene::{count, ctx, flaws, register, rename, retire, store, tenant, vehicle};
use crate::support::Dice;
use crate::support::{TestDb, eventually};

/// A door that remembers nothing yet and stores states after so many events.
fn door(store: &Store, snapshot_events: i64) -> Door {
    let settings = DoorSettings {
        snapshot_events,
        load_events_max: 7,
        ..DoorSettings::default()
    };
    Door::new(store.clone(), settings)
}

async fn load(door: &Door, id: &str) -> (Vehicle, i64) {
    door.load::<Vehicle>(&tenant(), id).await.unwrap()
}

/// The version of the state that a load would begin with.
async fn stored(store: &Store, stream: &StreamKey) -> Option<i64> {
    let shape = Vehicle::SHAPE.unwrap().version;
    let read = store.read_from_snapshot(&tenant(), stream, shape, 1).await;
    read.unwrap().0.map(|stored| stored.version)
}

fn any_command(dice: &mut Dice) -> VehicleCommand {
    let fleet_id = format!("fleet {}", dice.below(4));
    match dice.below(8) {
        0 => retire(),
        1 | 2 => VehicleCommand::Reinstate,
        3 | 4 => VehicleCommand::LeaveFleet { fleet_id },
        5 => VehicleCommand::JoinFleet {
            fleet_id,
            fleet: domain::fleet::FleetStanding::Active,
        },
        n => rename(&format!("name {}", dice.next()), (n == 7).then_some("W 1")),
    }
}

#[tokio::test]
async fn a_state_is_the_same_with_and_without_stored_ones() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let mut dice = Dice::from_env("snapshots");
    let writing = door(&store, 10);
    let (bus, mut version) = (vehicle("bus"), 0);
    writing
        .execute::<Vehicle>(&ctx(), "bus", register(None))
        .await
        .unwrap();
    while version < 150 {
        match writing
            .execute::<Vehicle>(&ctx(), "bus", any_command(&mut dice))
            .await
        {
            Ok(receipt) => version = receipt.version,
            Err(CommandError::Refused(_)) => continue,
            Err(error) => panic!("{error}"),
        }
        let never = load(&door(&store, 0), "bus").await;
        assert_eq!(load(&door(&store, 10), "bus").await, never);
        assert_eq!(load(&writing, "bus").await, never);
    }
    eventually("its state is stored again and again", async || {
        // One that was due while another was stored is due again later.
        load(&door(&store, 10), "bus").await;
        stored(&store, &bus).await >= Some(140)
    })
    .await;
    let rows = count(db.pool(), "select count(*) from snapshots").await;
    assert_eq!(rows, 1, "one a stream");
    // A track's stream ends with its day: its states are not stored.
    assert!(domain::track::Track::SHAPE.is_none());
    assert_eq!(flaws(db.pool()).await, [""; 0]);

    // They are used: a lie is believed, which is why nothing but a fold is ever stored.
    let lie = StoredState {
        shape: Vehicle::SHAPE.unwrap().version,
        version,
        state: (Vehicle::SHAPE.unwrap().write)(&Vehicle::default()),
    };
    store.keep_snapshot("default", &bus, &lie).await.unwrap();
    let (told, at) = load(&door(&store, 10), "bus").await;
    assert_eq!((told, at), (Vehicle::default(), version));
}

#[tokio::test]
async fn what_is_wrong_with_a_stored_state_is_passed_over_and_mended() {
    let db = TestDb::create().await;
    let (store, pool) = (store(db.options()).await, db.pool());
    // It stores nothing: nothing of it comes late.
    let (first, bus) = (door(&store, 0), vehicle("bus"));
    first
        .execute::<Vehicle>(&ctx(), "bus", register(None))
        .await
        .unwrap();
    for n in 1..25 {
        let command = rename(&format!("name {n}"), None);
        first
            .execute::<Vehicle>(&ctx(), "bus", command)
            .await
            .unwrap();
    }
    let truth = load(&door(&store, 0), "bus").await;
    let shape = Vehicle::SHAPE.unwrap().version;
    let plant = async |shape, version, state: &str| {
        let state = state.to_owned();
        let snapshot = StoredState {
            shape,
            version,
            state,
        };
        store
            .keep_snapshot("default", &bus, &snapshot)
            .await
            .unwrap();
    };
    let wrong = [
        "delete from snapshots",
        "update snapshots set shape = 99",
        "update snapshots set version = version - 1",
        "update snapshots set version = 1000000",
        "update snapshots set state = replace(state, 'name', 'mane')",
        "update snapshots set state = 'nonsense'",
        "update snapshots set digest = ''",
        "update snapshots set aggregate_id = 'other'",
    ];
    for sql in wrong {
        plant(shape, truth.1, &(Vehicle::SHAPE.unwrap().write)(&truth.0)).await;
        assert_eq!(stored(&store, &bus).await, Some(truth.1));
        sqlx::raw_sql(sql).execute(pool).await.unwrap();
        assert_eq!(stored(&store, &bus).await, None, "{sql}");
        passed_over(&store, &truth, sql).await;
    }
    // Properly stored, and of no use: another shape, a future version, what no state looks like.
    for (shape, version, state) in [
        (shape + 1, 20, "{}"),
        (shape, 26, "{}"),
        (shape, 20, "{}"),
        (shape, 20, ""),
        (shape, 20, "\"registered\""),
    ] {
        plant(shape, version, state).await;
        passed_over(&store, &truth, state).await;
    }
}

/// A load comes to the truth, and puts a stored state in place that later ones begin with.
async fn passed_over(store: &Store, truth: &(Vehicle, i64), what: &str) {
    assert_eq!(load(&door(store, 10), "bus").await, *truth, "{what}");
    let bus = vehicle("bus");
    eventually("it is replaced", async || {
        stored(store, &bus).await == Some(truth.1)
    })
    .await;
    assert_eq!(
        load(&door(store, 10), "bus").await,
        *truth,
        "{what}: mended"
    );
}

const EVENTS: i64 = 1_000_000;

/// Events that are in the way of whoever reads them: only the last ones can be decoded.
async fn fill(pool: &PgPool, readable: i64) {
    let fill = format!(
        "insert into events
         select 'default', n, 'fleet', 'old', n, 'fleet.renamed', '1', gen_random_uuid(), now(),
                case when n <= {EVENTS} - {readable} then '0'
                     else '{{\"name\":\"N ' || n || '\"}}' end::json,
                '{{\"actor\":\"user:ann\",\"command_id\":\"c\"}}'
         from generate_series(1, {EVENTS}) n;
         insert into streams values ('default', 'fleet', 'old', {EVENTS}, 1, {EVENTS});
         update logs set position = {EVENTS}"
    );
    sqlx::raw_sql(&fill).execute(pool).await.unwrap();
}

/// A million events, of which a load reads the last few hundred: it could not decode the others.
#[tokio::test]
async fn a_stream_of_a_million_events_is_loaded_from_its_tail() {
    let (db, tail) = (TestDb::create().await, 600);
    let store = store(db.options()).await;
    fill(db.pool(), tail).await;
    let (stream, shape) = (StreamKey::of::<Fleet>("old"), Fleet::SHAPE.unwrap());
    let before = Fleet {
        created: true,
        archived: false,
        name: format!("N {}", EVENTS - tail),
    };
    let snapshot = StoredState {
        shape: shape.version,
        version: EVENTS - tail,
        state: (shape.write)(&before),
    };
    store
        .keep_snapshot("default", &stream, &snapshot)
        .await
        .unwrap();

    let door = Door::new(store.clone(), DoorSettings::default());
    let began = Instant::now();
    let (fleet, version) = door.load::<Fleet>(&tenant(), "old").await.unwrap();
    let took: Duration = began.elapsed();
    assert_eq!((fleet.name, version), (format!("N {EVENTS}"), EVENTS));
    eprintln!("{EVENTS} events: loaded from the last {tail} in {took:?}");
    // So long a tail is stored anew; the next load reads none of it.
    let begins_at = async || {
        let tenant = tenant();
        let read = store.read_from_snapshot(&tenant, &stream, shape.version, 1);
        read.await.unwrap().0.map(|stored| stored.version)
    };
    eventually("it is stored anew", async || {
        begins_at().await == Some(EVENTS)
    })
    .await;

    // Without one it is read from its first event, and the first cannot be decoded.
    sqlx::raw_sql("delete from snapshots")
        .execute(db.pool())
        .await
        .unwrap();
    let door = Door::new(store.clone(), DoorSettings::default());
    let unread = door.load::<Fleet>(&tenant(), "old").await;
    assert!(matches!(unread, Err(CommandError::Unreadable { .. })));
}
