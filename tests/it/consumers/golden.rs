//! A log of every event that was ever released, in every version of its payload: each is still folded.

use std::collections::BTreeMap;
use std::path::Path;

use daybook::consumers::{RebuildOptions, Status, rebuild};
use domain::folded::Folded;
use domain::{Event, Position};
use sqlx::PgPool;

use super::scene::{start, store, tenant};
use crate::support::{PATIENCE, TestDb};

/// Type, version and payload of each golden file, by type.
fn golden() -> Vec<(String, String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("domain/tests-data/golden");
    let files = std::fs::read_dir(dir).unwrap();
    let read = files.map(|file| {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (event_type, version) = name.rsplit_once(".v").unwrap();
        let payload = std::fs::read_to_string(&path).unwrap();
        (
            event_type.to_owned(),
            version.to_owned(),
            payload.trim().to_owned(),
        )
    });
    let mut golden: Vec<_> = read.collect();
    golden.sort();
    golden
}

/// The kind of stream that events of a type are of.
fn kind(event_type: &str) -> &str {
    match event_type.split_once('.').unwrap().0 {
        "signing_key" => "keys",
        kind => kind,
    }
}

/// Writes them as they would lie in a log of an older program: one stream of each kind.
async fn write(pool: &PgPool, golden: &[(String, String, String)]) {
    let mut sequences: BTreeMap<&str, i64> = BTreeMap::new();
    for (position, (event_type, version, payload)) in (1_i64..).zip(golden) {
        let kind = kind(event_type);
        let sequence = sequences.entry(kind).or_default();
        *sequence += 1;
        sqlx::query(
            "insert into events (tenant, position, aggregate_type, aggregate_id, sequence, event_type,
                                 event_version, event_id, recorded_at, payload, metadata)
             values ('default', $1, $2, $3, $4, $5, $6, gen_random_uuid(), now(), $7::json,
                     '{\"actor\":\"user:ann\",\"command_id\":\"0\"}')",
        )
        .bind(position)
        .bind(kind)
        // Streams of some kinds are called by two parts.
        .bind(if kind == "vehicle" { "golden" } else { "golden/2026-11" })
        .bind(*sequence)
        .bind(event_type)
        .bind(version)
        .bind(payload)
        .execute(pool)
        .await
        .unwrap();
    }
    let head = golden.len() as i64;
    sqlx::query("update logs set position = $1 where tenant = 'default'")
        .bind(head)
        .execute(pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn whatever_was_released_is_followed_rebuilt_and_told() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let golden = golden();
    assert!(golden.len() >= domain::event::VOCABULARY.len());
    write(db.pool(), &golden).await;
    let models = projections::all();
    let consumers = start(&store, &models).await;
    let names: Vec<_> = models.iter().map(|model| model.name()).collect();
    let head = Position(golden.len() as i64);
    let waited = consumers.wait_for(&tenant(), &names, head, PATIENCE).await;
    let rows = consumers.status(&tenant()).await.unwrap();
    let stopped = rows.iter().filter(|row| row.status != Status::Running);
    let stopped: Vec<_> = stopped.map(|row| (row.name, &row.error)).collect();
    assert!(waited.is_ok() && stopped.is_empty(), "{stopped:?}");
    for model in &models {
        let options = RebuildOptions {
            compare: true,
            ..RebuildOptions::default()
        };
        let rebuilt = rebuild(&store, model, &tenant(), options, |_| {}).await;
        let rebuilt = rebuilt.unwrap_or_else(|error| panic!("{}: {error}", model.name()));
        assert!(rebuilt.digest.is_some());
    }
    consumers.stop().await;
    let mut streams: BTreeMap<&str, Folded> = BTreeMap::new();
    for (event_type, version, payload) in &golden {
        let kind = kind(event_type);
        let stream = streams
            .entry(kind)
            .or_insert_with(|| Folded::begin(kind).unwrap());
        let event = Event::decode(event_type, version, payload).unwrap();
        stream.apply(event).unwrap();
        assert!(stream.show().is_object(), "{event_type}");
    }
}
