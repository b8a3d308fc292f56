//! `daybook replay`: the history of a log, all of it or what passes a filter, from where one left off.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use daybook::commands::{CommandContext, Door, DoorSettings};
use daybook::store::{Store, StoreSettings};
use domain::fleet::{Fleet, FleetCommand};
use domain::{Actor, ActorKind};
use serde_json::Value;
use sqlx::Executor as _;

use crate::support::{Scratch, TestDb, command};

const TENANT: &str = "default";

/// A log of sixty events of thirty fleets, one a second: made by `ann` or `ben` and archived by `cli`.
async fn log() -> TestDb {
    let db = TestDb::create().await;
    let settings = StoreSettings {
        pool_max: 4,
        pool_min: 1,
        ..StoreSettings::default()
    };
    let options = db.options().application_name("daybook-unsafe");
    let store = Store::connect(options, settings).await.unwrap();
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

struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    /// The positions that were told, as JSON.
    fn positions(&self) -> Vec<i64> {
        let lines = self.out.lines();
        let told = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        told.map(|event| event["position"].as_i64().unwrap())
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
