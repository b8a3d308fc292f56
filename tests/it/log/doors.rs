//! Commands through the write doors of two processes: told the truth, kept once, never on a stale state.

use daybook::commands::{CommandContext, CommandError, Door, DoorSettings, Receipt};
use daybook::store::{Store, StoreSettings};
use domain::fleet::{Fleet, FleetCommand};
use domain::vehicle::{Vehicle, VehicleCommand};
use domain::{Code, Refusal};
use sqlx::PgPool;

use super::load::size;
use super::scene::{
    Hold, claim, count, ctx, declared, door, flaws, one, register, rename, retire, settings, store,
    store_with, tenant, told,
};
use crate::support::{TestDb, eventually};

/// What the caller was told, in a word or two.
fn said(outcome: Result<Receipt, CommandError>) -> String {
    match outcome {
        Ok(Receipt {
            version, replayed, ..
        }) => {
            format!("{} v{version}", if replayed { "replayed" } else { "kept" })
        }
        Err(CommandError::Refused(refusal)) => refusal.code.as_str().to_owned(),
        Err(e) => format!("fault: {e}"),
    }
}

async fn bus(door: &Door, ctx: &CommandContext, command: VehicleCommand) -> String {
    said(door.execute::<Vehicle>(ctx, "bus", command).await)
}

async fn north(door: &Door, command: FleetCommand) -> String {
    said(door.execute::<Fleet>(&ctx(), "north", command).await)
}

fn create() -> FleetCommand {
    FleetCommand::Create {
        name: "North".to_owned(),
    }
}

async fn two_doors(db: &TestDb) -> (Door, Door) {
    (door(db.options()).await, door(db.options()).await)
}

async fn events(pool: &PgPool) -> i64 {
    count(pool, "select count(*) from events").await
}

#[tokio::test]
async fn a_repeated_command_is_told_what_the_first_was_told() {
    let db = TestDb::create().await;
    let (ours, theirs) = two_doors(&db).await;
    assert_eq!(bus(&ours, &declared("c1"), register(None)).await, "kept v1");
    assert_eq!(bus(&ours, &declared("c2"), retire()).await, "kept v2");
    let restarted = door(db.options()).await;
    for door in [&ours, &theirs, &restarted] {
        assert_eq!(
            bus(door, &declared("c1"), register(None)).await,
            "replayed v1"
        );
        assert_eq!(bus(door, &declared("c2"), retire()).await, "replayed v2");
        // The same id for anything else: other content, aggregate, kind or condition.
        let reused = "IDEMPOTENCY_KEY_REUSED";
        assert_eq!(
            bus(door, &declared("c1"), register(Some("W-1"))).await,
            reused
        );
        assert_eq!(
            bus(door, &declared("c2"), VehicleCommand::Reinstate).await,
            reused
        );
        let first = declared("c1");
        let other = door.execute::<Vehicle>(&first, "tram", register(None));
        assert_eq!(said(other.await), reused);
        let conditional = CommandContext {
            expected_version: Some(0),
            ..declared("c1")
        };
        assert_eq!(bus(door, &conditional, register(None)).await, reused);
        // Without an id, or under another, or from somebody else, it is another command.
        for other in [ctx(), declared("c3"), {
            let mut by_bob = declared("c1");
            by_bob.actor.id = "bob".into();
            by_bob
        }] {
            assert_eq!(bus(door, &other, register(None)).await, "ALREADY_EXISTS");
        }
    }
    assert_eq!(events(db.pool()).await, 2);
}

#[tokio::test]
async fn command_ids_and_expected_versions_are_checked() {
    let db = TestDb::create().await;
    let (ours, theirs) = two_doors(&db).await;
    for (id, code) in [
        (String::new(), "VALIDATION"),
        ("x".repeat(256), "VALIDATION"),
        ("a\0b".to_owned(), "BAD_TEXT"),
        ("a\u{7f}".to_owned(), "BAD_TEXT"),
    ] {
        assert_eq!(bus(&ours, &declared(&id), register(None)).await, code);
    }
    assert_eq!(
        bus(&ours, &declared(&"é".repeat(255)), register(None)).await,
        "kept v1"
    );
    let expecting = |version| CommandContext {
        expected_version: Some(version),
        ..ctx()
    };
    for door in [&ours, &theirs] {
        for version in [-1, 0, 2, 6, i64::MAX, i64::MIN] {
            let ctx = expecting(version);
            let outcome = door.execute::<Vehicle>(&ctx, "bus", retire());
            let Err(CommandError::Refused(Refusal { code, details, .. })) = outcome.await else {
                panic!("version {version} is not there");
            };
            assert_eq!(code, Code::VersionConflict);
            assert_eq!(details["actualVersion"], 1);
        }
    }
    assert_eq!(bus(&theirs, &expecting(1), retire()).await, "kept v2");
    // The first door still believes in version 1.
    let reinstate = VehicleCommand::Reinstate;
    assert_eq!(
        bus(&ours, &expecting(1), reinstate.clone()).await,
        "VERSION_CONFLICT"
    );
    assert_eq!(bus(&ours, &expecting(2), reinstate).await, "kept v3");
    assert_eq!(events(db.pool()).await, 3);
}

#[tokio::test]
async fn fifty_copies_through_two_doors_are_one_event() {
    let db = TestDb::create().await;
    let (ours, theirs) = two_doors(&db).await;
    let copies: Vec<_> = (0..50)
        .map(|i| {
            let door = if i % 2 == 0 { &ours } else { &theirs }.clone();
            tokio::spawn(async move { bus(&door, &declared("c1"), register(Some("W-1"))).await })
        })
        .collect();
    let mut told = Vec::new();
    for copy in copies {
        told.push(copy.await.unwrap());
    }
    told.sort();
    assert_eq!(told[0], "kept v1");
    assert_eq!(told[1..], vec!["replayed v1"; 49]);
    assert_eq!(events(db.pool()).await, 1);
}

/// Every command is sent four times at once, through both doors, while connections are cut.
#[tokio::test]
async fn many_commands_four_times_each() {
    let db = TestDb::create().await;
    let (ours, theirs) = two_doors(&db).await;
    let mut copies = Vec::new();
    for key in 0..100 * size() {
        for copy in 0..4 {
            let door = if copy % 2 == 0 { &ours } else { &theirs }.clone();
            let (id, ctx) = (format!("bus{key}"), declared(&format!("c{key}")));
            copies.push((key, async move {
                loop {
                    let told = door.execute::<Vehicle>(&ctx, &id, register(None)).await;
                    if !matches!(told, Err(CommandError::Unavailable(_))) {
                        return said(told);
                    }
                }
            }));
        }
    }
    let copies: Vec<_> = copies
        .into_iter()
        .map(|(key, copy)| (key, tokio::spawn(copy)))
        .collect();
    for _ in 0..5 {
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and application_name = 'daybook-unsafe'
                   order by random() limit 3";
        sqlx::raw_sql(cut).execute(db.pool()).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let mut told = std::collections::BTreeMap::<_, Vec<String>>::new();
    for (key, copy) in copies {
        told.entry(key).or_default().push(copy.await.unwrap());
    }
    for (key, mut told) in told {
        told.sort();
        // Where the first answer was lost for good, all are told that it was kept before.
        assert!(
            ["kept v1", "replayed v1"].contains(&&*told[0]),
            "c{key}: {told:?}"
        );
        assert_eq!(told[1..], vec!["replayed v1"; 3], "c{key}");
    }
    assert_eq!(events(db.pool()).await, 100 * size() as i64);
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

/// A door decides on states it remembers; where another process has moved on, a refusal is as wrong as
/// an event would be.
#[tokio::test]
async fn a_refusal_on_a_stale_state_is_decided_again() {
    let db = TestDb::create().await;
    let (ours, theirs) = two_doors(&db).await;
    assert_eq!(bus(&ours, &ctx(), retire()).await, "NOT_FOUND");
    assert_eq!(bus(&theirs, &ctx(), register(None)).await, "kept v1");
    assert_eq!(bus(&ours, &ctx(), retire()).await, "kept v2");
    assert_eq!(
        bus(&theirs, &ctx(), VehicleCommand::Reinstate).await,
        "kept v3"
    );
    assert_eq!(bus(&ours, &ctx(), rename("a", None)).await, "kept v4");

    let join = async |door: &Door| said(door.join_fleet(&ctx(), "bus", "north").await);
    assert_eq!(join(&ours).await, "FLEET_NOT_FOUND");
    assert_eq!(north(&theirs, create()).await, "kept v1");
    assert_eq!(join(&ours).await, "kept v5", "the fleet is there by now");
    assert_eq!(north(&theirs, FleetCommand::Archive).await, "kept v2");
    let leave = VehicleCommand::LeaveFleet {
        fleet_id: "north".to_owned(),
    };
    assert_eq!(bus(&ours, &ctx(), leave).await, "kept v6");
    assert_eq!(
        join(&ours).await,
        "FLEET_ARCHIVED",
        "although it was active when last seen"
    );
    assert_eq!(events(db.pool()).await, 8);
}

#[tokio::test]
async fn what_is_already_so_is_already_so_now() {
    let db = TestDb::create().await;
    let (ours, theirs) = two_doors(&db).await;
    assert_eq!(bus(&ours, &ctx(), register(None)).await, "kept v1");
    assert_eq!(bus(&ours, &ctx(), rename("a", None)).await, "kept v2");
    assert_eq!(bus(&theirs, &ctx(), rename("b", None)).await, "kept v3");
    assert_eq!(
        bus(&ours, &ctx(), rename("a", None)).await,
        "kept v4",
        "it was renamed"
    );
    assert_eq!(
        bus(&ours, &ctx(), rename("a", None)).await,
        "kept v4",
        "already so"
    );
    assert_eq!(events(db.pool()).await, 4);
}

#[tokio::test]
async fn a_refusal_waits_for_the_events_it_rests_on() {
    let db = TestDb::create().await;
    let (ours, _) = two_doors(&db).await;
    let mut hold = Hold::head(db.options()).await;
    let first = tokio::spawn({
        let door = ours.clone();
        async move { bus(&door, &ctx(), register(None)).await }
    });
    hold.until_waiting(1).await;
    let second = tokio::spawn({
        let door = ours.clone();
        async move { bus(&door, &ctx(), register(None)).await }
    });
    // Longer than any number of turns that a lost race would get.
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert!(
        !second.is_finished(),
        "nobody knows yet whether the vehicle exists"
    );
    hold.release().await;
    assert_eq!(first.await.unwrap(), "kept v1");
    assert_eq!(second.await.unwrap(), "ALREADY_EXISTS");
}

/// A join is decided on an active fleet or not at all, however close the archiving comes.
#[tokio::test]
async fn joining_races_archiving() {
    let db = TestDb::create().await;
    let (ours, theirs) = two_doors(&db).await;
    for round in 0..12 {
        let fleet = format!("f{round}");
        let created = ours.execute::<Fleet>(&ctx(), &fleet, create()).await;
        assert_eq!(said(created), "kept v1");
        let mut joins = Vec::new();
        for i in 0..8 {
            let (door, fleet) = (
                if i % 2 == 0 { &ours } else { &theirs }.clone(),
                fleet.clone(),
            );
            joins.push(tokio::spawn(async move {
                let bus = format!("{fleet}-bus{i}");
                let registered = door.execute::<Vehicle>(&ctx(), &bus, register(None)).await;
                assert_eq!(said(registered), "kept v1");
                said(door.join_fleet(&ctx(), &bus, &fleet).await)
            }));
        }
        tokio::time::sleep(std::time::Duration::from_millis(round * 2)).await;
        let archived = theirs
            .execute::<Fleet>(&ctx(), &fleet, FleetCommand::Archive)
            .await;
        assert_eq!(said(archived), "kept v2");
        for join in joins {
            let outcome = join.await.unwrap();
            assert!(
                ["kept v2", "FLEET_ARCHIVED"].contains(&&*outcome),
                "{outcome}"
            );
        }
    }
    let late = "select count(*) from events j join events a
                    on a.event_type = 'fleet.archived' and a.aggregate_id = j.payload->>'fleetId'
                where j.event_type = 'vehicle.joined_fleet' and j.position > a.position";
    assert_eq!(count(db.pool(), late).await, 0);
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

/// As in `chains`, through the door: the second command finds its wish fulfilled by the first, which is
/// then lost, while another process makes up the number of events.
#[tokio::test]
async fn already_so_does_not_outlive_what_made_it_so() {
    let db = TestDb::create().await;
    let (ours, theirs) = two_doors(&db).await;
    assert_eq!(bus(&ours, &ctx(), register(None)).await, "kept v1");
    let hash = claim("W-1", "", false).value_hash;
    let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    let taken = format!("insert into claims values ('default', 'vehicle.plate', '\\x{hex}', 'w')");
    let mut hold = Hold::with(db.options(), &taken).await;
    let wish = || {
        let door = ours.clone();
        tokio::spawn(async move { bus(&door, &ctx(), rename("a", Some("W-1"))).await })
    };
    let first = wish();
    hold.until_waiting(1).await;
    let second = wish();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(bus(&theirs, &ctx(), rename("b", None)).await, "kept v2");
    hold.release().await;
    assert_eq!(first.await.unwrap(), "EXTERNAL_ID_TAKEN");
    assert_eq!(second.await.unwrap(), "EXTERNAL_ID_TAKEN");
    let (state, version) = ours.load::<Vehicle>(&tenant(), "bus").await.unwrap();
    assert_eq!((state.profile.name.as_deref(), version), (Some("b"), 2));
}

/// What is refused for want of room was the last decision on its state: those before it stand.
#[tokio::test]
async fn an_overload_takes_nobody_along() {
    let db = TestDb::create().await;
    let settings = StoreSettings {
        queue_max: 4,
        ..settings()
    };
    let store = store_with(db.options(), settings).await;
    let ours = Door::new(store, DoorSettings::default());
    assert_eq!(bus(&ours, &ctx(), register(None)).await, "kept v1");
    let mut hold = Hold::head(db.options()).await;
    let wish = |i: i32| {
        let door = ours.clone();
        tokio::spawn(async move { bus(&door, &ctx(), rename(&format!("n{i}"), None)).await })
    };
    let mut wishes = vec![wish(0)];
    hold.until_waiting(1).await;
    for i in 1..20 {
        wishes.push(wish(i));
        tokio::task::yield_now().await;
    }
    eventually("some have been refused", async || {
        wishes.iter().filter(|wish| wish.is_finished()).count() >= 5
    })
    .await;
    hold.release().await;
    let (mut kept, mut refused) = (0, 0);
    for wish in wishes {
        match &*wish.await.unwrap() {
            "fault: overloaded; try again in 1000 ms" => refused += 1,
            outcome if outcome.starts_with("kept") => kept += 1,
            other => panic!("{other}"),
        }
    }
    assert!(kept >= 5 && refused >= 5, "{kept} kept, {refused} refused");
    assert_eq!(events(db.pool()).await, 1 + kept);
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn a_hundred_writers_of_one_vehicle() {
    let db = TestDb::create().await;
    let (ours, theirs) = two_doors(&db).await;
    assert_eq!(bus(&ours, &ctx(), register(None)).await, "kept v1");
    let writers: Vec<_> = (0..100)
        .map(|i| {
            let door = if i % 2 == 0 { &ours } else { &theirs }.clone();
            tokio::spawn(async move { bus(&door, &ctx(), rename(&format!("n{i}"), None)).await })
        })
        .collect();
    let mut kept = 0;
    for writer in writers {
        let outcome = writer.await.unwrap();
        assert!(
            outcome.starts_with("kept") || outcome == "VERSION_CONFLICT",
            "{outcome}"
        );
        kept += i64::from(outcome.starts_with("kept"));
    }
    assert!(kept >= 50, "only {kept} of 100 writers got through");
    assert_eq!(events(db.pool()).await, 1 + kept);
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

/// What this program cannot read stops the stream, and nothing else.
#[tokio::test]
async fn a_stream_of_the_future_is_unreadable_not_a_panic() {
    let db = TestDb::create().await;
    let ours = door(db.options()).await;
    let raw: Store = store(db.options()).await;
    let cases = [
        ("later", "vehicle.retired", "2", "{}"),
        ("unheard", "vehicle.abducted", "1", "{}"),
        ("misshapen", "vehicle.retired", "1", r#"{"reason":7}"#),
        ("foreign", "fleet.archived", "1", "{}"),
        ("scalar", "vehicle.retired", "1", "null"),
        ("escaped", "vehicle.retired", "1", r#"{"reason":"\ud800"}"#),
    ];
    for (id, event_type, event_version, payload) in cases {
        let mut append = one(id, 0);
        let event = &mut append.writes[0].events[0];
        (event.event_type, event.event_version) = (event_type, event_version);
        event.payload = payload.to_owned();
        assert!(
            told(raw.append(&tenant(), append).await).starts_with("kept"),
            "{id}"
        );
        let loaded = ours.load::<Vehicle>(&tenant(), id).await;
        assert!(
            matches!(loaded, Err(CommandError::Unreadable { .. })),
            "{id}"
        );
        let executed = ours.execute::<Vehicle>(&ctx(), id, register(None)).await;
        assert!(
            matches!(executed, Err(CommandError::Unreadable { .. })),
            "{id}"
        );
        let joined = ours.join_fleet(&ctx(), id, "north").await;
        assert!(
            matches!(joined, Err(CommandError::Unreadable { .. })),
            "{id}"
        );
    }
    assert_eq!(bus(&ours, &ctx(), register(None)).await, "kept v1");
    assert_eq!(events(db.pool()).await, cases.len() as i64 + 1);
}
