//! `daybook replay`: the history of a log, all of it or what passes a filter, from where one left off.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use daybook::commands::{
    CommandContext, Door, DoorSettings, History, HistoryPage, PageBounds, StateAfter, StateBounds,
};
use daybook::store::{
    EventFilter, PageLimits, STREAM_LOOKED_THROUGH_MAX, Store, StoreSettings, StoredEvent,
};
use domain::fleet::{Fleet, FleetCommand};
use domain::{Actor, ActorKind, Position, StreamKey};
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::support::{Scratch, TestDb, command};

const TENANT: &str = "default";

/// A log of sixty events of thirty fleets, one a second: made by `ann` or `ben` and archived by `cli`.
async fn log() -> TestDb {
    let db = TestDb::create().await;
    let store = store(&db).await;
    let door = Door::new(store, DoorSettings::default());
    let tenant: Arc<str> = TENANT.into();
    let now = DateTime::from_timestamp(1_767_571_200, 0).unwrap();
    for n in 0..30 {
        let actor = |id: &str| Actor {
            kind: ActorKind::User,
            id: id.into(),
        };
        let id = format!("f{n}");
        let maker = actor(if n % 2 == 0 { "ann" } else { "ben" });
        let mut ctx = CommandContext::new(tenant.clone(), maker, now);
        ctx.correlation_id = Some(format!("request-{}", n / 10));
        let name = format!("Fleet {n}");
        let create = FleetCommand::Create { name };
        door.execute::<Fleet>(&ctx, &id, create).await.unwrap();
        let ctx = CommandContext::new(tenant.clone(), actor("cli"), now);
        door.execute::<Fleet>(&ctx, &id, FleetCommand::Archive)
            .await
            .unwrap();
    }
    // One a second, as the database's own clock would not have it.
    let apart = "set session_replication_role = replica;
         update events set recorded_at = timestamptz '2026-01-05T00:00:00Z' + position * interval '1 second'";
    db.pool().execute(apart).await.unwrap();
    db
}

async fn store(db: &TestDb) -> Store {
    let settings = StoreSettings {
        pool_max: 4,
        pool_min: 1,
        ..StoreSettings::default()
    };
    let options = db.options().application_name("daybook-unsafe");
    Store::connect(options, settings).await.unwrap()
}

struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    /// The positions that were told, as JSON.
    fn positions(&self) -> Vec<i64> {
        let told = self.events().into_iter();
        told.map(|event| event["position"].as_i64().unwrap())
            .collect()
    }

    /// What was told, as JSON.
    fn events(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .collect()
    }
}

fn replay(db: &TestDb, dir: &Scratch, args: &[&str]) -> Run {
    let url = db.url();
    let named = [
        ("DATABASE_URL", url.as_str()),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
    ];
    let args = [&["replay"], args].concat();
    let done = command(dir.path(), &args, &named).output().unwrap();
    Run {
        code: done.status.code(),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

#[tokio::test]
async fn what_is_asked_for_is_told_and_nothing_else() {
    let (db, dir) = (log().await, Scratch::new());
    let all = replay(&db, &dir, &[]);
    assert_eq!(all.code, Some(0), "{}", all.err);
    assert_eq!(all.positions(), (1..=60).collect::<Vec<_>>());
    assert!(
        all.err.contains("60 events; go on with --after 60"),
        "{}",
        all.err
    );
    let first: Value = serde_json::from_str(all.out.lines().next().unwrap()).unwrap();
    assert_eq!(first["type"], "fleet.created");
    assert_eq!(first["payload"]["name"], "Fleet 0");
    assert_eq!(first["metadata"]["actor"], "user:ann");
    let since = DateTime::from_timestamp(1_767_571_200 + 11, 0).unwrap();
    let since = since.to_rfc3339();
    let until =
        (DateTime::from_timestamp(1_767_571_200, 0).unwrap() + TimeDelta::seconds(14)).to_rfc3339();
    let odd: Vec<i64> = (1..=60).filter(|n| n % 2 == 1).collect();
    let of_ann: Vec<i64> = (1..=60).filter(|n| n % 4 == 1).collect();
    for (args, expected) in [
        (&["--type", "fleet.created"][..], odd.clone()),
        (
            &[
                "--type",
                "fleet.created",
                "--type",
                "fleet.archived",
                "--up-to",
                "3",
            ],
            vec![1, 2, 3],
        ),
        (&["--aggregate", "fleet/f3"], vec![7, 8]),
        (&["--aggregate", "fleet", "--after", "58"], vec![59, 60]),
        (&["--aggregate", "vehicle"], vec![]),
        (&["--actor", "user:ann"], of_ann),
        (
            &["--correlation", "request-2"],
            odd.into_iter().filter(|n| *n > 40).collect(),
        ),
        (&["--since", &since, "--until", &until], vec![11, 12, 13]),
        (&["--since", &since, "--up-to", "12"], vec![11, 12]),
        (&["--after", "60"], vec![]),
    ] {
        let told = replay(&db, &dir, args);
        assert_eq!(told.code, Some(0), "{args:?}: {}", told.err);
        assert_eq!(told.positions(), expected, "{args:?}");
    }
    let table = replay(&db, &dir, &["--format", "table", "--aggregate", "fleet/f3"]);
    assert_eq!(table.out.lines().count(), 3, "{}", table.out);
    assert!(
        table.out.contains("fleet/f3") && table.out.contains("user:ben"),
        "{}",
        table.out
    );
}

#[tokio::test]
async fn a_replay_goes_on_where_it_left_off() {
    let (db, dir) = (log().await, Scratch::new());
    let mark = ["--format", "csv", "--bookmark", "audit.mark"];
    let until = |to: &'static str| replay(&db, &dir, &[&mark[..], &["--up-to", to]].concat());
    let parts = [
        until("17"),
        until("17"),
        until("42"),
        replay(&db, &dir, &mark),
    ];
    let whole: String = parts.iter().map(|part| part.out.as_str()).collect();
    let mut read = csv::Reader::from_reader(whole.as_bytes());
    let positions: Vec<i64> = read
        .records()
        .map(|r| r.unwrap()[0].parse().unwrap())
        .collect();
    assert_eq!(positions, (1..=60).collect::<Vec<_>>());
    let other = replay(&db, &dir, &[&mark[..], &["--actor", "user:ann"]].concat());
    assert_eq!(other.code, Some(1));
    assert!(other.err.contains("other conditions"), "{}", other.err);
}

#[tokio::test]
async fn what_makes_no_sense_is_said() {
    let (db, dir) = (log().await, Scratch::new());
    for (args, why) in [
        (&["--tenant", "nobody"][..], "no log of"),
        (&["--since", "yesterday"], "--since is not an RFC 3339 time"),
        (&["--after", "5", "--up-to", "5"], "is not before"),
        (&["--bookmark", "no/such/place"], "cannot be written"),
    ] {
        let told = replay(&db, &dir, args);
        assert_eq!(told.code, Some(1), "{args:?}");
        assert!(told.err.contains(why), "{args:?}: {}", told.err);
    }
    assert_eq!(replay(&db, &dir, &["--format", "xml"]).code, Some(2));
}

#[tokio::test]
async fn what_each_event_made_of_its_stream_is_told_whatever_passes() {
    let (db, dir) = (log().await, Scratch::new());
    let all = replay(&db, &dir, &["--states"]);
    assert_eq!(all.code, Some(0), "{}", all.err);
    let events = all.events();
    assert_eq!(events.len(), 60);
    for pair in events.chunks(2) {
        let [created, archived] = pair else {
            panic!("two events a fleet")
        };
        let name = &created["payload"]["name"];
        assert_eq!(&created["state"]["name"], name);
        assert_eq!(created["state"]["archived"], json!(false));
        assert_eq!(
            created["changes"][1],
            json!({"path": "/name", "before": "", "after": name})
        );
        assert_eq!(&archived["state"]["name"], name);
        let changes = json!([{"path": "/archived", "before": false, "after": true}]);
        assert_eq!(archived["changes"], changes);
    }
    // What a filter leaves out, and what lies before the first position, is in the state all the same.
    let archived = replay(
        &db,
        &dir,
        &["--states", "--type", "fleet.archived", "--after", "7"],
    );
    let expected: Vec<&Value> = events[7..].iter().step_by(2).collect();
    assert_eq!(archived.events().iter().collect::<Vec<_>>(), expected);
    let of_one = ["--states", "--aggregate", "fleet/f3", "--format"];
    let csv = replay(&db, &dir, &[&of_one[..], &["csv"]].concat());
    let mut read = csv::Reader::from_reader(csv.out.as_bytes());
    let names: Vec<String> = read.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(names[14..], ["state", "changes"]);
    let last = read.records().last().unwrap().unwrap();
    let cell = |n: usize| serde_json::from_str::<Value>(&last[n]).unwrap();
    assert_eq!(
        (&cell(14), &cell(15)),
        (&events[7]["state"], &events[7]["changes"])
    );
    let table = replay(&db, &dir, &[&of_one[..], &["table"]].concat());
    assert!(
        table.out.contains("/archived: false -> true") && table.out.contains("state: {"),
        "{}",
        table.out
    );
    let refused = replay(&db, &dir, &["--states", "--archive", "."]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("archive restore"), "{}", refused.err);
}

#[tokio::test]
async fn states_that_made_room_for_others_are_folded_again() {
    let db = log().await;
    let store = store(&db).await;
    let tenant: Arc<str> = TENANT.into();
    let page = store.read_log(&tenant, Position::START, PageLimits::default());
    let page = page.await.unwrap();
    // All are begun before the first one goes on.
    let (begun, gone): (Vec<&StoredEvent>, _) = page.iter().partition(|event| event.sequence == 1);
    let mut told = Vec::new();
    for streams_max in [1, 7, 10_000] {
        let bounds = StateBounds {
            streams_max,
            ..StateBounds::default()
        };
        let mut history = History::new(store.clone(), tenant.clone(), bounds);
        let mut states = Vec::new();
        for event in begun.iter().chain(&gone) {
            states.push(history.after(event).await.unwrap());
        }
        told.push(states);
    }
    assert_eq!((told[0].len(), &told[0]), (60, &told[2]));
    assert_eq!(told[1], told[2]);
}

#[tokio::test]
async fn a_state_that_is_not_known_ends_the_replay_before_its_event() {
    let (db, dir) = (log().await, Scratch::new());
    let spoil = |name: &str| {
        format!(
            "set session_replication_role = replica;
             update events set event_type = '{name}' where position = 20;
             reset session_replication_role"
        )
    };
    db.pool().execute(&*spoil("fleet.sunk")).await.unwrap();
    let mark = ["--states", "--bookmark", "states.mark"];
    let stopped = replay(&db, &dir, &mark);
    assert_eq!(stopped.code, Some(1));
    assert_eq!(stopped.positions(), (1..=19).collect::<Vec<_>>());
    assert!(
        stopped.err.contains("at 20 is not known"),
        "{}",
        stopped.err
    );
    let without = replay(&db, &dir, &["--after", "19", "--up-to", "20"]);
    assert_eq!(without.positions(), [20]);
    db.pool().execute(&*spoil("fleet.archived")).await.unwrap();
    let gone_on = replay(&db, &dir, &mark);
    assert_eq!(gone_on.code, Some(0), "{}", gone_on.err);
    assert_eq!(gone_on.positions(), (20..=60).collect::<Vec<_>>());
    let other = replay(&db, &dir, &mark[1..]);
    assert!(other.err.contains("other conditions"), "{}", other.err);
}

/// A fleet that was renamed over and over, by `ann` but for the last time.
async fn renamed(store: &Store, times: i64) -> StreamKey {
    let door = Door::new(store.clone(), DoorSettings::default());
    let tenant: Arc<str> = TENANT.into();
    let now = DateTime::from_timestamp(1_767_571_200, 0).unwrap();
    let actor = Actor {
        kind: ActorKind::User,
        id: "ann".into(),
    };
    for n in 0..=times {
        let ctx = CommandContext::new(tenant.clone(), actor.clone(), now);
        let name = format!("Fleet {n}");
        let command = match n {
            0 => FleetCommand::Create { name },
            _ => FleetCommand::Rename { name },
        };
        door.execute::<Fleet>(&ctx, "long", command).await.unwrap();
    }
    StreamKey::of::<Fleet>("long")
}

#[tokio::test]
async fn a_long_history_is_told_in_bounded_steps_that_go_on_from_each_other() {
    let db = TestDb::create().await;
    let store = store(&db).await;
    let stream = renamed(&store, 40).await;
    let tenant: Arc<str> = TENANT.into();
    let page = async |door: &Door, after, folded_max| -> HistoryPage {
        let bounds = PageBounds {
            versions_max: 8,
            bytes_max: 1 << 20,
            folded_max,
        };
        let up_to = Position(i64::MAX);
        let page = door.history(&tenant, &stream, (after, up_to), bounds);
        page.await.unwrap()
    };
    let told = |page: &HistoryPage| -> Vec<(i64, StateAfter)> {
        let versions = page.versions.iter();
        versions
            .map(|(event, made)| (event.sequence, made.clone()))
            .collect()
    };
    let door = || Door::new(store.clone(), DoorSettings::default());
    let mut whole = Vec::new();
    while whole.len() < 41 {
        // Each by a door that holds nothing.
        let next = page(&door(), whole.len() as i64, i64::MAX).await;
        assert_eq!(next.has_next, whole.len() + 8 < 41);
        whole.extend(told(&next));
    }
    assert_eq!(whole.len(), 41);
    assert_eq!(whole[40].1.state["name"], "Fleet 40");
    assert_eq!(whole[40].1.changes.len(), 1);
    // One that may fold ten events at a time comes as far: the same question goes on where it was.
    let patient = door();
    for through in [10, 20] {
        let step = page(&patient, 25, 10).await;
        assert_eq!((step.versions.len(), step.folded_through), (0, through));
        assert!(step.has_next);
    }
    let step = page(&patient, 25, 10).await;
    assert_eq!(
        (told(&step), step.folded_through),
        (whole[25..30].to_vec(), 30)
    );
    let mut after = 30;
    while after < 41 {
        let step = page(&patient, after, 10).await;
        assert_eq!(
            told(&step)[..],
            whole[after as usize..step.folded_through as usize]
        );
        after = step.folded_through;
    }
    // What is held of a stream that has another end by now is not gone on from.
    assert_eq!(page(&patient, 4, 10).await.folded_through, 10);
    let other = "set session_replication_role = replica;
         update events set event_id = gen_random_uuid() where sequence = 10;
         reset session_replication_role";
    db.pool().execute(other).await.unwrap();
    let again = page(&patient, 12, 5).await;
    assert_eq!((again.folded_through, again.has_next), (5, true));
}

#[tokio::test]
async fn a_filter_on_one_stream_looks_through_a_bounded_part_and_goes_on_behind_it() {
    let db = TestDb::create().await;
    let store = store(&db).await;
    // Every other event is of another stream; the last one of ours is by somebody else.
    let count = 2 * STREAM_LOOKED_THROUGH_MAX + 500;
    let fill = format!(
        "insert into events
         select 'default', p, 'fleet', case p % 2 when 0 then 'long' else 'other' end, (p + 1) / 2,
                'fleet.renamed', '1', gen_random_uuid(), clock_timestamp(), '{{\"name\":\"N\"}}',
                (case p when {last} then '{{\"actor\":\"user:ben\",\"command_id\":\"c\"}}'
                        else '{{\"actor\":\"user:ann\",\"command_id\":\"c\"}}' end)::json
         from generate_series(1, {last}) p;
         insert into streams (tenant, aggregate_type, aggregate_id, version, first_position, last_position)
         values ('default', 'fleet', 'long', {count}, 2, {last}),
                ('default', 'fleet', 'other', {count}, 1, {last} - 1);
         update logs set position = {last} where tenant = 'default'",
        last = 2 * count,
    );
    db.pool().execute(&*fill).await.unwrap();
    let tenant: Arc<str> = TENANT.into();
    let of = |actor: &str| EventFilter {
        aggregate_type: Some("fleet".to_owned()),
        aggregate_id: Some("long".to_owned()),
        actor: Some(actor.to_owned()),
        ..EventFilter::default()
    };
    let limits = PageLimits {
        events_max: 3,
        up_to: Position(2 * count),
        ..PageLimits::default()
    };
    let (ann, ben) = (of("user:ann"), of("user:ben"));
    let (mut at, mut pages, mut found) = (Position::START, Vec::new(), Vec::new());
    while at < limits.up_to {
        let page = store.read_filtered(&tenant, &ben, at, limits);
        let page = page.await.unwrap();
        at = page.up_to;
        pages.push(at.0);
        found.extend(page.events.iter().map(|event| event.sequence));
    }
    let looked = 2 * STREAM_LOOKED_THROUGH_MAX;
    assert_eq!(pages, [looked, 2 * looked, 2 * count]);
    assert_eq!(found, [count]);
    // From between two of its events, and for somebody who is found at once.
    for (after, expected) in [
        (0, [1, 2, 3]),
        (7, [4, 5, 6]),
        (8, [5, 6, 7]),
        (50_001, [25_001, 25_002, 25_003]),
    ] {
        let page = store.read_filtered(&tenant, &ann, Position(after), limits);
        let page = page.await.unwrap();
        let sequences: Vec<i64> = page.events.iter().map(|event| event.sequence).collect();
        assert_eq!(sequences, expected, "after {after}");
        assert_eq!(page.up_to, Position(2 * expected[2]));
    }
    let behind = store.read_filtered(&tenant, &ann, limits.up_to, limits);
    assert!(behind.await.unwrap().events.is_empty());
}
