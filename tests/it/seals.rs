//! Seals: a log that is as it was sealed verifies, and whatever is done to it is found where it was done.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use daybook::commands::{CommandContext, Door, DoorSettings};
use daybook::config::{WebUrl, value::Setting as _};
use daybook::seals::{
    Difference, Proof, Seals, Verified, Verify, What, prove_event, prove_growth, verify,
};
use daybook::store::{Store, StoreSettings};
use daybook::vault::hex;
use domain::fleet::{Fleet, FleetCommand};
use domain::tenant::INSTALLATION_LOG;
use domain::{Actor, ActorKind};
use futures::future::join_all;
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{Scratch, TestApp, TestDb, command, eventually, shared_vault, vault};

/// Events of the log that is tampered with.
const EVENTS: i64 = 120;

/// Events under a seal of it: the last one has fewer.
const SEAL_EVENTS: u32 = 37;

/// A log, and whoever seals it.
struct Sealed {
    db: TestDb,
    store: Store,
    seals: Seals,
    tenant: Arc<str>,
}

fn context(tenant: &Arc<str>) -> CommandContext {
    let actor = Actor {
        kind: ActorKind::System,
        id: "test".into(),
    };
    let now = DateTime::from_timestamp(1_767_571_200, 0).unwrap();
    CommandContext::new(tenant.clone(), actor, now)
}

impl Sealed {
    async fn open() -> Sealed {
        let db = TestDb::create().await;
        let settings = StoreSettings {
            pool_max: 8,
            pool_min: 1,
            ..StoreSettings::default()
        };
        let options = db.options().application_name("daybook-unsafe");
        let store = Store::connect(options, settings).await.unwrap();
        Sealed {
            seals: Seals::new(store.clone(), shared_vault(&db)),
            store,
            tenant: "default".into(),
            db,
        }
    }

    async fn append(&self, fleets: std::ops::Range<i64>) {
        let door = Door::new(self.store.clone(), DoorSettings::default());
        for n in fleets {
            let name = format!("Fleet {n}");
            let (ctx, id) = (context(&self.tenant), format!("f{n}"));
            let create = FleetCommand::Create { name };
            door.execute::<Fleet>(&ctx, &id, create).await.unwrap();
        }
    }

    async fn seal(&self) -> u64 {
        let mut sealed = 0;
        let now = DateTime::from_timestamp(1_767_571_300, 123_456_789).unwrap();
        loop {
            match self.seals.seal_next(&self.tenant, now, SEAL_EVENTS).await {
                Ok(0) => return sealed,
                Ok(events) => sealed += events,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn verified(&self, what: Verify) -> Verified {
        verify(&self.store, &what, |_| ()).await.unwrap()
    }

    fn all(&self) -> Verify {
        Verify {
            tenant: self.tenant.clone(),
            positions: 1..=i64::MAX,
            workers: 2,
            trusted: None,
            noted: Vec::new(),
        }
    }

    async fn difference(&self) -> Option<Difference> {
        self.verified(self.all()).await.difference
    }

    async fn public_keys(&self) -> Vec<[u8; 32]> {
        let keys: Vec<Vec<u8>> = sqlx::query_scalar("select public_key from seal_keys")
            .fetch_all(self.db.pool())
            .await
            .unwrap();
        keys.into_iter()
            .map(|key| key.try_into().unwrap())
            .collect()
    }

    /// A connection that nothing guards the log from.
    async fn owner(&self) -> PgConnection {
        let mut conn = PgConnection::connect_with(&self.db.options())
            .await
            .unwrap();
        let all_off = "set session_replication_role = replica";
        conn.execute(all_off).await.unwrap();
        conn
    }
}

#[tokio::test]
async fn what_was_sealed_verifies_however_often_it_was_gone_on() {
    let log = Sealed::open().await;
    let empty = log.verified(log.all()).await;
    assert_eq!((empty.events, empty.seals, empty.head), (0, 0, 0));
    assert_eq!((empty.difference, empty.last), (None, None));
    let (mut at, mut seals) = (0, 0);
    for more in [1, 2, 37, 40] {
        log.append(at..at + more).await;
        assert_eq!(log.seal().await, more.unsigned_abs());
        at += more;
        seals += more.unsigned_abs().div_ceil(u64::from(SEAL_EVENTS));
        let verified = log.verified(log.all()).await;
        assert_eq!(verified.difference, None);
        assert_eq!(
            (verified.events, verified.seals),
            (at.unsigned_abs(), seals)
        );
        assert_eq!((verified.sealed, verified.head), (at, at));
        assert_eq!(verified.last.unwrap().0.size, at.unsigned_abs());
    }
    log.append(at..at + 3).await;
    let verified = log.verified(log.all()).await;
    assert_eq!((verified.sealed, verified.head), (at, at + 3));
    let some = Verify {
        positions: 5..=41,
        ..log.all()
    };
    assert_eq!(log.verified(some).await.events, 37);
}

#[tokio::test]
async fn a_tree_of_many_events_keeps_the_nodes_that_proofs_are_made_from() {
    let log = long(2_100).await;
    let verified = log.verified(log.all()).await;
    assert_eq!((verified.events, verified.difference), (2_100, None));
    let nodes: Vec<(i16, i64)> =
        sqlx::query_as("select level, index from seal_nodes order by level, index")
            .fetch_all(log.db.pool())
            .await
            .unwrap();
    assert_eq!(nodes, [(10, 0), (10, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_seal_at_once_one_makes_each_seal() {
    let log = Sealed::open().await;
    log.append(0..100).await;
    let sealing = (0..8).map(|_| log.seal());
    let sealed: u64 = join_all(sealing).await.into_iter().sum();
    assert_eq!(sealed, 100);
    let verified = log.verified(log.all()).await;
    assert_eq!((verified.events, verified.difference), (100, None));
}

#[tokio::test]
async fn seals_are_read_over_one_connection_and_over_another_once_that_is_lost() {
    let log = Sealed::open().await;
    // A scan of the log ends its transaction by itself; the driver writes the word in capitals.
    let readers = async || -> Vec<i32> {
        let readers = sqlx::query_scalar(
            "select pid from pg_stat_activity
             where datname = current_database() and state = 'idle' and query = 'commit'",
        );
        readers.fetch_all(log.db.pool()).await.unwrap()
    };
    log.append(0..3).await;
    assert_eq!(log.seal().await, 3);
    let first = readers().await;
    assert_eq!(first.len(), 1, "it rests");
    log.append(3..8).await;
    assert_eq!(log.seal().await, 5);
    assert_eq!(readers().await, first, "read over again");

    let cut = sqlx::query("select pg_terminate_backend($1, 10000)").bind(first[0]);
    cut.execute(log.db.pool()).await.unwrap();
    log.append(8..10).await;
    let now = DateTime::from_timestamp(1_767_571_300, 0).unwrap();
    // It fails, unless the machine is so slow that the connection has rested too long by now.
    let lost = log.seals.seal_next(&log.tenant, now, SEAL_EVENTS).await;
    let sealed = lost.unwrap_or(0) + log.seal().await;
    assert_eq!(sealed, 2);
    let second = readers().await;
    assert_eq!(second.len(), 1);
    assert_ne!(second, first);
    assert_eq!(log.difference().await, None);
}

#[tokio::test]
async fn nobody_rewrites_seals() {
    let log = long(1_100).await;
    for role in ["daybook_app", "none"] {
        for statement in [
            "update seals set size = 4",
            "delete from seals",
            "truncate seals",
            "update seal_nodes set level = 20",
            "delete from seal_nodes",
            "truncate seal_nodes",
        ] {
            let mut conn = PgConnection::connect_with(&log.db.options()).await.unwrap();
            conn.execute(&*format!("set role {role}")).await.unwrap();
            let refused = conn.execute(statement).await.unwrap_err();
            let code = refused
                .as_database_error()
                .and_then(|e| e.code().map(String::from));
            assert_eq!(code.as_deref(), Some("42501"), "as {role}: {statement}");
        }
    }
}

#[tokio::test]
async fn what_is_gone_before_it_was_sealed_is_found_and_not_sealed() {
    let log = Sealed::open().await;
    log.append(0..2).await;
    log.seal().await;
    // More than is read ahead behind the gap.
    let more = "insert into events select tenant, n, aggregate_type, aggregate_id, n, event_type, event_version,
             gen_random_uuid(), recorded_at, json_build_object('name', repeat('x', 3000)), metadata
         from events, generate_series(4, 3000) n where position = 1;
         insert into events select tenant, 0, aggregate_type, aggregate_id, 0, event_type, event_version,
             gen_random_uuid(), recorded_at, payload, metadata from events where position = 1;
         update logs set position = 3000 where tenant = 'default'";
    log.owner().await.execute(more).await.unwrap();
    let now = DateTime::from_timestamp(1_767_571_300, 0).unwrap();
    let refused = log.seals.seal_next(&log.tenant, now, 4_096).await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("no event at position 3")
    );
    assert_eq!(log.difference().await, Some(What::Extra.at(0)));
    let before = "delete from events where position = 0";
    log.owner().await.execute(before).await.unwrap();
    assert_eq!(log.difference().await, Some(What::Gone.at(3)));
}

/// Whoever noted a root is told when the log is another one, whoever signed it.
#[tokio::test]
async fn a_noted_root_tells_a_history_that_was_sealed_anew() {
    let log = Sealed::open().await;
    log.append(0..EVENTS).await;
    log.seal().await;
    let last = log.verified(log.all()).await.last.unwrap().0;
    let noted = |size, root| Verify {
        noted: vec![(size, root)],
        ..log.all()
    };
    let said = noted(last.size, last.root);
    assert_eq!(log.verified(said.clone()).await.difference, None);
    let more = log.verified(noted(last.size + 1, last.root)).await;
    assert_eq!(more.difference, Some(What::Unlike.at(EVENTS + 1)));
    log.owner()
        .await
        .execute(
            "update events set payload = replace(payload::text, 'Fleet', 'Fleeu')::json
             where position = 80;
             delete from seals",
        )
        .await
        .unwrap();
    log.seal().await;
    assert_eq!(log.difference().await, None);
    let found = log.verified(said).await.difference;
    assert_eq!(found, Some(What::Unlike.at(EVENTS)));
}

/// Proofs are made from hashes of many leaves that are kept beside the seals.
#[tokio::test]
async fn a_kept_hash_that_does_not_follow_from_the_leaves_is_found() {
    let log = Sealed::open().await;
    log.append(0..1).await;
    let more = "insert into events select tenant, n, aggregate_type, 'f' || n, 1, event_type, event_version,
             gen_random_uuid(), recorded_at, payload, metadata
         from events, generate_series(2, 2500) n where position = 1;
         update logs set position = 2500 where tenant = 'default'";
    log.owner().await.execute(more).await.unwrap();
    // Somebody else was there first with a hash of their own.
    let planted = "insert into seal_nodes values ('default', 10, 1, sha256('x'))";
    log.owner().await.execute(planted).await.unwrap();
    let now = DateTime::from_timestamp(1_767_571_300, 0).unwrap();
    let sealed = log.seals.seal_next(&log.tenant, now, 4_096).await;
    assert_eq!(sealed.unwrap(), 2_500, "sealing waits for nobody");
    assert_eq!(log.difference().await, Some(What::Misplaced.at(1_025)));
    let taken_away = "delete from seal_nodes where index = 1";
    log.owner().await.execute(taken_away).await.unwrap();
    assert_eq!(log.difference().await, Some(What::Misplaced.at(1_025)));
    let right = log.verified(log.all()).await;
    assert_eq!(right.events, 2_500, "the events are as they were");
    let changed = "update events set event_version = '2' where position = 2000";
    log.owner().await.execute(changed).await.unwrap();
    assert_eq!(
        log.difference().await,
        Some(What::Changed.at(2_000)),
        "events first"
    );
}

#[tokio::test]
async fn a_hash_of_events_that_are_not_there_is_found() {
    let log = Sealed::open().await;
    log.append(0..3).await;
    log.seal().await;
    assert_eq!(log.difference().await, None);
    for (level, index) in [(10, 0), (10, 7), (20, 0), (3, 0)] {
        let planted =
            format!("insert into seal_nodes values ('default', {level}, {index}, sha256('x'))");
        log.owner().await.execute(&*planted).await.unwrap();
        assert_eq!(
            log.difference().await,
            Some(What::Misplaced.at(4)),
            "{planted}"
        );
        log.owner()
            .await
            .execute("delete from seal_nodes")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_last_seal_is_told_to_the_world_and_shows_later_that_history_was_written_anew() {
    let dir = Scratch::new();
    let file = dir.join("seals.ndjson");
    let received = Received::listen().await;
    let url = received.url.clone();
    let app = TestApp::with(|settings| {
        settings.seals.interval = Duration::from_millis(20);
        settings.seals.publish_interval = Duration::from_millis(100);
        settings.seals.publish_file = Some(file.clone());
        settings.seals.publish_url = Some(url);
    })
    .await;
    let create =
        r#"mutation { createFleet(input: { id: "f", name: "F" }) { receipt { position } } }"#;
    let done = app.data(create, Value::Null).await;
    let position = done["createFleet"]["receipt"]["position"].as_str().unwrap();
    let position: i64 = position.parse().unwrap();
    let told = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut of_ours = lines.filter(|seal| seal["tenant"] == "default");
        of_ours
            .next_back()
            .filter(|seal| seal["size"].as_i64() >= Some(position))
    };
    eventually("it is written", async || told().is_some()).await;
    let seal = told().unwrap();
    eventually("it is sent", async || received.bodies().contains(&seal)).await;
    let url = app.db().url();
    let named = [
        ("DATABASE_URL", url.as_str()),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
    ];
    let verify = |key: &str| {
        let args = ["verify", "--published", "seals.ndjson", "--public-key", key];
        command(dir.path(), &args, &named).output().unwrap()
    };
    let key = seal["publicKey"].as_str().unwrap().to_owned();
    let right = verify(&key);
    assert!(
        right.status.success(),
        "{}",
        String::from_utf8_lossy(&right.stderr)
    );
    let other = verify(&"0a".repeat(32));
    assert!(!other.status.success());
    assert!(String::from_utf8_lossy(&other.stderr).contains("not signed by a trusted key"));
    // What was told is not to be had again by whoever changes a word of it.
    let forged = seal.to_string().replace("\"default\"", "\"other\"");
    std::fs::write(&file, format!("{seal}\n{forged}\n{{}}\n")).unwrap();
    let told = verify(&key);
    assert!(
        String::from_utf8_lossy(&told.stderr).contains("line 3"),
        "{told:?}"
    );
}

/// Whoever takes what is sent by POST.
struct Received {
    url: WebUrl,
    bodies: Arc<std::sync::Mutex<Vec<Value>>>,
}

impl Received {
    async fn listen() -> Received {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let bodies: Arc<std::sync::Mutex<Vec<Value>>> = Arc::default();
        let kept = bodies.clone();
        let take = axum::routing::post(move |axum::Json(body): axum::Json<Value>| async move {
            kept.lock().unwrap().push(body);
            axum::http::StatusCode::NO_CONTENT
        });
        let routes = axum::Router::new().route("/seals", take);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Received {
            url: WebUrl::parse(&format!("http://{at}/seals")).unwrap(),
            bodies,
        }
    }

    fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }
}

/// Numbers that follow from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.unsigned_abs()).cast_signed()
    }
}

/// What an owner of the database may do at a position, and what is found of it.
fn tampering(kind: i64, at: i64, other: i64) -> (String, Difference) {
    let set = |what: &str| format!("update events set {what} where position = {at}");
    let seal = |what: &str| format!("update seals set {what} where {at} between first and size");
    let every = i64::from(SEAL_EVENTS);
    let first = (at - 1) / every * every + 1;
    let columns = "aggregate_type, aggregate_id, sequence, event_type, event_version";
    match kind {
        0 => (
            set("payload = replace(payload::text, 'Fleet', 'Fleeu')::json"),
            What::Changed.at(at),
        ),
        1 => (
            set("payload = (payload::text || ' ')::json"),
            What::Changed.at(at),
        ),
        2 => (
            set("metadata = replace(metadata::text, 'test', 'tesu')::json"),
            What::Changed.at(at),
        ),
        3 => (
            set("recorded_at = recorded_at + interval '1 microsecond'"),
            What::Changed.at(at),
        ),
        4 => (set("event_id = gen_random_uuid()"), What::Changed.at(at)),
        5 => (set("event_version = '2'"), What::Changed.at(at)),
        6 => (set("event_type = 'fleet.renamed'"), What::Changed.at(at)),
        7 => (
            set("aggregate_id = aggregate_id || 'x'"),
            What::Changed.at(at),
        ),
        8 => (set("sequence = sequence + 1"), What::Changed.at(at)),
        9 => (
            format!("delete from events where position = {at}"),
            What::Gone.at(at),
        ),
        10 => (
            format!(
                "update events set position = 9999 where position = {at};
                 update events set position = {at} where position = {other};
                 update events set position = {other} where position = 9999"
            ),
            What::Changed.at(at.min(other)),
        ),
        11 => (
            format!(
                "update events set position = position + 10000 where position >= {at};
                 update events set position = position - 9999 where position > 10000;
                 insert into events select tenant, {at}, {columns}, gen_random_uuid(), recorded_at,
                     payload, metadata from events where position = {EVENTS} + 1;
                 update logs set position = position + 1 where tenant = 'default'"
            ),
            What::Changed.at(at),
        ),
        12 => (
            format!(
                "delete from events where position >= {at};
                 update logs set position = {at} - 1 where tenant = 'default'"
            ),
            What::Gone.at(at),
        ),
        13 => (
            format!("update logs set position = {at} - 1 where tenant = 'default'"),
            What::Extra.at(at),
        ),
        14 => (
            format!(
                "insert into events select tenant, {EVENTS} + 1, {columns}, gen_random_uuid(),
                     recorded_at, payload, metadata from events where position = {at}"
            ),
            What::Extra.at(EVENTS + 1),
        ),
        15 => (
            seal(&format!(
                "leaves = set_byte(leaves, 32 * ({at} - first)::int, \
                 255 - get_byte(leaves, 32 * ({at} - first)::int))"
            )),
            What::Unrooted.at(first),
        ),
        16 => (
            seal("peaks = set_byte(peaks, 0, 255 - get_byte(peaks, 0))"),
            What::Unrooted.at(first),
        ),
        17 => (
            seal("signature = set_byte(signature, 5, 255 - get_byte(signature, 5))"),
            What::Unsigned.at(first),
        ),
        18 => (
            seal("sealed_at = sealed_at - interval '1 day'"),
            What::Unsigned.at(first),
        ),
        _ => (
            seal("previous = set_byte(previous, 0, 255 - get_byte(previous, 0))"),
            What::Unlinked.at(first),
        ),
    }
}

/// Promise I17.
#[tokio::test]
async fn two_hundred_tamperings_are_found_where_they_are() {
    let log = Sealed::open().await;
    log.append(0..EVENTS).await;
    log.seal().await;
    let mut owner = log.owner().await;
    owner
        .execute(
            "create table kept_events as select * from events;
             create table kept_seals as select * from seals;
             create table kept_logs as select * from logs",
        )
        .await
        .unwrap();
    let mut chance = Chance(0x5eed_0000_0000_0017);
    for n in 0..200 {
        let at = 1 + chance.below(EVENTS);
        let other = 1 + (at + chance.below(EVENTS - 1)) % EVENTS;
        let (statements, expected) = tampering(n % 20, at, other);
        owner.execute(&*statements).await.unwrap();
        let found = log.difference().await;
        assert_eq!(found, Some(expected), "{n}: {statements}");
        owner
            .execute(
                "delete from events; insert into events select * from kept_events;
                 delete from seals; insert into seals select * from kept_seals;
                 delete from logs; insert into logs select * from kept_logs",
            )
            .await
            .unwrap();
    }
    assert_eq!(log.difference().await, None);
}

/// Whoever owns the database can make seals of their own: not with the key that others noted.
#[tokio::test]
async fn a_history_that_is_sealed_anew_is_not_signed_by_the_known_key() {
    let log = Sealed::open().await;
    log.append(0..EVENTS).await;
    log.seal().await;
    let noted = log.public_keys().await;
    let mut owner = log.owner().await;
    let at = 80;
    owner
        .execute(&*format!(
            "update events set payload = replace(payload::text, 'Fleet', 'Fleeu')::json
             where position = {at};
             delete from seals where size >= {at}; delete from seal_keys"
        ))
        .await
        .unwrap();
    let theirs = Scratch::new();
    let forged = Sealed {
        seals: Seals::new(log.store.clone(), vault(&log.db, theirs.path())),
        store: log.store.clone(),
        tenant: log.tenant.clone(),
        db: log.db,
    };
    forged.seal().await;
    let known = Verify {
        trusted: Some(noted.clone()),
        ..forged.all()
    };
    let first = What::Unsigned.at(75);
    assert_eq!(forged.verified(known.clone()).await.difference, Some(first));
    // Both keys trusted, the seals are whole: that is what the key is noted elsewhere for.
    let both = [noted, forged.public_keys().await].concat();
    let both = Verify {
        trusted: Some(both),
        ..known
    };
    assert_eq!(forged.verified(both).await.difference, None);
}

/// A log of so many events, most of them copies of the first.
async fn long(events: i64) -> Sealed {
    let log = Sealed::open().await;
    log.append(0..1).await;
    let copies = format!(
        "insert into events select tenant, n, aggregate_type, aggregate_id, n, event_type, event_version,
             gen_random_uuid(), recorded_at, payload, metadata
         from events, generate_series(2, {events}) n;
         update logs set position = {events} where tenant = 'default'"
    );
    log.owner().await.execute(&*copies).await.unwrap();
    log.seal().await;
    log
}

/// A proof that went through a file, with something replaced in it.
fn written(proof: &Proof, change: impl FnOnce(&mut Value)) -> Result<Proof, serde_json::Error> {
    let mut file = serde_json::to_value(proof).unwrap();
    change(&mut file);
    serde_json::from_str(&file.to_string())
}

#[tokio::test]
async fn an_event_is_proved_by_its_file_and_the_public_key_alone() {
    let log = long(2_100).await;
    let trusted = log.public_keys().await;
    let nothing = log.db.pool().close();
    let proofs = join_all(
        [1, 37, 38, 1_024, 1_025, 2_048, 2_049, 2_100].map(async |position| {
            prove_event(&log.store, &log.tenant, position)
                .await
                .unwrap()
        }),
    );
    let proofs = proofs.await;
    nothing.await;
    for proof in &proofs {
        let same = written(proof, |_| ()).unwrap();
        assert_eq!(&same, proof);
        let held = same.check(Some(&trusted)).unwrap();
        assert!(
            held.shows.contains("among its first 2100"),
            "{}",
            held.shows
        );
        let refused = |change: fn(&mut Value)| match written(proof, change) {
            Ok(changed) => changed.check(Some(&trusted)).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        for (change, why) in [
            (
                (|file| file["event"]["payload"] = "{}".into()) as fn(&mut Value),
                "does not lead to the root",
            ),
            (
                |file| file["event"]["position"] = 5.into(),
                "does not lead to the root",
            ),
            (
                |file| file["event"]["position"] = 0.into(),
                "does not lead to the root",
            ),
            (
                |file| file["path"].as_array_mut().unwrap().truncate(1),
                "does not lead to the root",
            ),
            (
                |file| {
                    let first = file["path"][0].clone();
                    file["path"].as_array_mut().unwrap().push(first);
                },
                "does not lead to the root",
            ),
            (|file| file["seal"]["size"] = 2_099.into(), "not signed"),
            (|file| file["seal"]["tenant"] = "other".into(), "not signed"),
            (
                |file| file["seal"]["root"] = file["path"][0].clone(),
                "not signed",
            ),
            (|file| file["seal"]["signature"] = "00".into(), "not signed"),
            (
                |file| file["seal"]["publicKey"] = "0a".repeat(32).into(),
                "not signed",
            ),
            (|file| file["seal"]["root"] = "0a".into(), "is not 64"),
            (|file| file["path"] = Value::Null, "invalid type"),
        ] {
            let told = refused(change);
            assert!(told.contains(why), "{told}");
        }
        let stranger = proof.check(Some(&[[7; 32]])).unwrap_err();
        assert!(stranger.to_string().contains("not signed"), "{stranger}");
    }
}

#[tokio::test]
async fn a_log_is_proved_to_have_only_grown() {
    let log = long(1_200).await;
    let trusted = log.public_keys().await;
    let every = i64::from(SEAL_EVENTS);
    for size in [every, 2 * every, 28 * every, 1_200] {
        let proof = prove_growth(&log.store, &log.tenant, size).await.unwrap();
        let same = written(&proof, |_| ()).unwrap();
        let held = same.check(Some(&trusted)).unwrap();
        assert!(held.shows.contains("with 1200 events"), "{}", held.shows);
        let turned = written(&proof, |file| {
            let from = file["from"].clone();
            file["from"] = file["to"].take();
            file["to"] = from;
        });
        // One seal and itself are the same either way.
        let told = turned.unwrap().check(Some(&trusted));
        assert_eq!(told.is_err(), size != 1_200, "{told:?}");
        let other = written(&proof, |file| file["to"]["tenant"] = "other".into());
        let told = other.unwrap().check(Some(&trusted)).unwrap_err();
        assert!(told.to_string().contains("two logs"), "{told}");
    }
    for (position, size, why) in [(1_201, 36, "no seal"), (i64::MAX, i64::MAX, "no seal")] {
        let event = prove_event(&log.store, &log.tenant, position).await;
        let growth = prove_growth(&log.store, &log.tenant, size).await;
        for told in [event.unwrap_err(), growth.unwrap_err()] {
            assert!(told.to_string().contains(why), "{told}");
        }
    }
}

/// From a shell: a log is verified, an event proved, and the proof checked where there is no database.
#[tokio::test]
async fn from_the_command_line() {
    let log = Sealed::open().await;
    log.append(0..40).await;
    log.seal().await;
    let (dir, url) = (Scratch::new(), log.db.url());
    let run = |args: &[&str], database: Option<&str>| {
        let named = database.map(|url| {
            let volatile = ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true");
            vec![("DATABASE_URL", url), volatile]
        });
        let named = named.unwrap_or_default();
        let done = command(dir.path(), args, &named).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        (done.status.code(), said)
    };
    let (code, said) = run(&["verify"], Some(&url));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with("40 events are as they were sealed, under 2 seals"),
        "{said}"
    );
    let (code, proof) = run(&["proof", "event", "7"], Some(&url));
    assert_eq!(code, Some(0), "{proof}");
    let file = dir.path().join("proof.json");
    std::fs::write(&file, &proof).unwrap();
    let (file, key) = (file.display().to_string(), hex(&log.public_keys().await[0]));
    let check = ["verify", "--proof", &file, "--public-key", &key];
    let (code, said) = run(&check, None);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with("event 7 of the log of default is among its first 40"),
        "{said}"
    );
    std::fs::write(&file, proof.replace("Fleet 6", "Fleet 9")).unwrap();
    let (code, said) = run(&check, None);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("proves nothing"), "{said}");
    let mut owner = log.owner().await;
    owner
        .execute("delete from events where position = 33")
        .await
        .unwrap();
    let (code, said) = run(&["verify", "--workers", "4"], Some(&url));
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(
        said.trim(),
        "position 33: the event that was sealed is gone"
    );
    let (code, said) = run(&["verify", "--to", "32"], Some(&url));
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn a_serving_process_seals_every_log_by_itself() {
    let app = TestApp::with(|settings| settings.seals.interval = Duration::from_millis(20)).await;
    let what = Verify {
        tenant: INSTALLATION_LOG.into(),
        positions: 1..=i64::MAX,
        workers: 1,
        trusted: None,
        noted: Vec::new(),
    };
    eventually("the log of the installation is sealed", async || {
        let verified = verify(app.store(), &what, |_| ()).await.unwrap();
        assert_eq!(verified.difference, None);
        verified.sealed == verified.head && verified.events > 0
    })
    .await;
}

/// A read model that somebody changed by hand is found by folding it anew; what answers stays.
#[tokio::test]
async fn read_models_are_compared_with_what_their_events_fold_to() {
    let app = TestApp::start().await;
    for n in 0..3 {
        let create = format!(
            r#"mutation {{ createFleet(input: {{ id: "f{n}", name: "F{n}" }}) {{ receipt {{ position }} }} }}"#
        );
        app.settled(&create, Value::Null).await;
    }
    app.settled("{ fleets { nodes { id } } }", Value::Null)
        .await;
    let dir = Scratch::new();
    let url = app.db().url();
    let named = [
        ("DATABASE_URL", url.as_str()),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
    ];
    let verify = |args: &[&str]| {
        let args = [&["verify"], args].concat();
        let done = command(dir.path(), &args, &named).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = verify(&["--read-model", "vehicles"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("vehicles is what its events fold to"),
        "{said}"
    );
    let (code, said) = verify(&["--read-model", "ships"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no read model is called"), "{said}");
    let touched = "update read.fleets_g1 set name = 'other' where fleet_id = 'f1'";
    app.db().pool().execute(touched).await.unwrap();
    let (code, said) = verify(&["--read-model", "vehicles"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("other") && said.contains("F1"), "{said}");
    let left = "select count(*) from generations where projection = 'vehicles' and state = 'live' and generation = 1";
    let live: i64 = sqlx::query_scalar(left)
        .fetch_one(app.db().pool())
        .await
        .unwrap();
    assert_eq!(live, 1);
}
