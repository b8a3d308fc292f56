//! kill -9 of processes that hand records in: what was acknowledged is there, and nothing is there twice.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daybook::commands::{
    CommandContext, CommandError, Door, DoorSettings, IngestLogs, RecordOutcome,
};
use daybook::store::{PageLimits, Store, StoreSettings};
use daybook::vault::Vault;
use domain::log_batch::{LogBatchEvent, LogReport};
use domain::{Actor, ActorKind, Event, Position};
use sqlx::postgres::PgConnectOptions;

use super::{now, text};
use crate::support::{Child, Scratch, TestDb, eventually};

const URL: &str = "DAYBOOK_TEST_LOGS_URL";
const DIR: &str = "DAYBOOK_TEST_LOGS_DIR";
const FROM: &str = "DAYBOOK_TEST_LOGS_FROM";
const KIND: &str = "DAYBOOK_TEST_LOGS_KIND";

/// Records of one batch; those of the next one begin half a batch later, so that most ids are declared twice.
const BATCH: u64 = 40;

/// What was told of a record: `id position index`, a line each, once the batch is acknowledged.
const TOLD: &str = "told";

async fn door(url: &str, keys: &Path) -> (Store, Door) {
    let options: PgConnectOptions = url.parse().unwrap();
    let settings = StoreSettings {
        pool_max: 6,
        unsafe_allowed: true,
        ..StoreSettings::default()
    };
    let store = Store::connect(options, settings).await.unwrap();
    let settings = daybook::config::Settings::default().vault;
    let vault = Vault::open(&settings, keys, store.pool().clone()).unwrap();
    let door = Door::new(store.clone(), DoorSettings::default()).sealing(vault);
    (store, door)
}

/// By what records are told from each other.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// By ids of their own; most are declared twice.
    Ids,
    /// By the batch they come in, which is sent by two and often more than once.
    Batches,
}

impl Kind {
    fn named(name: &str) -> Kind {
        match name {
            "ids" => Kind::Ids,
            _ => Kind::Batches,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Ids => "ids",
            Kind::Batches => "batches",
        }
    }

    /// How far the next batch is from one.
    fn step(self) -> u64 {
        match self {
            Kind::Ids => BATCH / 2,
            Kind::Batches => BATCH,
        }
    }
}

fn batch(kind: Kind, from: u64) -> (String, IngestLogs) {
    let report = |n: u64| LogReport {
        event_id: (kind == Kind::Ids).then(|| format!("e-{n}")),
        timestamp: text(now()),
        event_type: "behavioral".to_owned(),
        event_name: format!("checkout {n}"),
        ..LogReport::default()
    };
    let batch = IngestLogs {
        source: "shop".to_owned(),
        records: (from..from + BATCH).map(|n| Ok(report(n))).collect(),
        may_register: true,
    };
    (format!("batch {from}"), batch)
}

/// Hands a batch in until it is acknowledged; gives what is accepted of it.
async fn acknowledged(door: &Door, kind: Kind, from: u64) -> Vec<(u64, i64, u32)> {
    let (command_id, batch) = batch(kind, from);
    let actor = Actor {
        kind: ActorKind::System,
        id: "sender".into(),
    };
    let ctx = CommandContext {
        command_id: Some(command_id),
        ..CommandContext::new("default".into(), actor, now())
    };
    loop {
        let kept = match door.ingest_logs(&ctx, batch.clone()).await {
            Ok(kept) => kept,
            Err(CommandError::Unavailable(_) | CommandError::Overloaded { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        let position = kept.receipt.position.0;
        let outcomes = (from..).zip(kept.outcomes);
        return outcomes
            .filter_map(|(n, outcome)| match outcome {
                RecordOutcome::Accepted { index, .. } => Some((n, position, index)),
                RecordOutcome::Known { position } => {
                    assert!(position.is_some(), "{n} is known, and nobody knows where");
                    None
                }
                other => panic!("{n}: {other:?}"),
            })
            .collect();
    }
}

/// No test by itself: what a child runs. Two senders hand in the same batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hands_records_in_until_it_is_killed() {
    let var = |name| std::env::var(name).ok();
    let Some(url) = var(URL) else { return };
    let (dir, from) = (var(DIR).unwrap(), var(FROM).unwrap());
    let kind = Kind::named(&var(KIND).unwrap());
    let dir = Path::new(&dir);
    let (_store, door) = door(&url, dir).await;
    let told = Arc::new(std::sync::Mutex::new(
        std::fs::File::options()
            .create(true)
            .append(true)
            .open(dir.join(TOLD))
            .unwrap(),
    ));
    let from: u64 = from.parse().unwrap();
    let sending = async || {
        for from in (from..).step_by(kind.step() as usize) {
            let accepted = acknowledged(&door, kind, from).await;
            let lines = accepted.iter().map(|(n, at, i)| format!("{n} {at} {i}\n"));
            // One write: a line is whole or not there.
            let lines = lines.collect::<String>() + &format!("done {from}\n");
            told.lock().unwrap().write_all(lines.as_bytes()).unwrap();
        }
    };
    tokio::select! {
        () = Child::abandoned() => {}
        _ = futures::future::join(sending(), sending()) => {}
    }
}

/// What was told, and up to where batches were acknowledged.
fn told(dir: &Path) -> (Vec<(u64, i64, u32)>, Vec<u64>) {
    let text = std::fs::read_to_string(dir.join(TOLD)).unwrap_or_default();
    let (mut accepted, mut done) = (Vec::new(), Vec::new());
    for line in text.lines() {
        if let Some(from) = line.strip_prefix("done ") {
            done.push(from.parse().unwrap());
            continue;
        }
        let mut parts = line.split(' ');
        let mut part = || parts.next().unwrap();
        accepted.push((
            part().parse().unwrap(),
            part().parse().unwrap(),
            part().parse().unwrap(),
        ));
    }
    (accepted, done)
}

/// Where each record stands in the log.
async fn stored(store: &Store) -> HashMap<u64, (i64, u32)> {
    let (tenant, mut after) = (Arc::from("default"), Position::START);
    let mut places = HashMap::new();
    loop {
        let page = store.read_log(&tenant, after, PageLimits::default()).await;
        let page = page.unwrap();
        let Some(last) = page.last() else {
            return places;
        };
        after = last.position;
        for stored in &page {
            let Event::LogBatch(LogBatchEvent::LogBatchAccepted(batch)) =
                stored.decode().unwrap().event
            else {
                continue;
            };
            for (index, record) in (0..).zip(&batch.records) {
                let n = record.event_name.rsplit(' ').next().unwrap();
                let n = n.parse().unwrap();
                let twice = places.insert(n, (stored.position.0, index));
                assert_eq!(twice, None, "{n} is in the log twice");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_once_by_its_id() {
    let (_db, store, records) = what_was_acknowledged_is_there_once(Kind::Ids).await;
    let ids: i64 = sqlx::query_scalar("select count(*) from record_ids")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(ids as u64, records, "and no id without its record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_once_by_its_batch() {
    what_was_acknowledged_is_there_once(Kind::Batches).await;
}

/// The log after many kills, and how many records it has.
async fn what_was_acknowledged_is_there_once(kind: Kind) -> (TestDb, Store, u64) {
    let db = TestDb::create().await;
    let dir = Scratch::new();
    let mut from = 0;
    for round in 0..4u64 {
        let number = from.to_string();
        let (url, path) = (db.url(), dir.path().to_owned());
        let environment = [
            (URL, url.as_ref()),
            (DIR, path.as_os_str()),
            (FROM, number.as_ref()),
            (KIND, kind.name().as_ref()),
        ];
        let test = "logs::kills::hands_records_in_until_it_is_killed";
        let child = Child::start(test, &environment);
        let before = told(dir.path()).1.len();
        eventually("batches are acknowledged", async || {
            told(dir.path()).1.len() > before + 10
        })
        .await;
        // Another moment of a batch each time.
        tokio::time::sleep(Duration::from_micros(700 * round)).await;
        child.kill9();
        // The next one begins among batches that were acknowledged, and goes on with the one that was not.
        let done = told(dir.path()).1;
        from = done.iter().max().unwrap().saturating_sub(2 * BATCH);
    }
    let (accepted, done) = told(dir.path());
    let (store, door) = door(&db.url(), dir.path()).await;
    let places = stored(&store).await;
    for (n, position, index) in &accepted {
        let place = Some(&(*position, *index));
        assert_eq!(places.get(n), place, "{n} was acknowledged");
    }
    for from in &done {
        for n in *from..from + BATCH {
            let is_there = places.contains_key(&n);
            assert!(is_there, "{n} of an acknowledged batch is lost");
        }
    }
    // What nobody was told of is found out by sending it again.
    let last = done.iter().max().unwrap() + kind.step();
    for from in [last, last + kind.step()] {
        acknowledged(&door, kind, from).await;
    }
    let whole = last + kind.step() + BATCH;
    let after = stored(&store).await;
    assert_eq!(after.len() as u64, whole, "every record once");
    (db, store, whole)
}
