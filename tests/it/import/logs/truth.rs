//! The sets of real logs, imported by the command itself: what the read model says of them equals answers
//! that were computed without Daybook (`scripts/truth/logs.py`).
//!
//! `DAYBOOK_TRUTH_LOGS` names a directory that holds all four sets, each in a directory of its own, and
//! their answers in `truth/`; without it two of them are imported, those that lie in `tests/data`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use daybook::cli::import::summary::thousands;
use daybook::config;
use daybook::vault::{Place, Vault};
use projections::logs::{
    LogBucket, LogCursor, LogFilter, LogOrder, LogPlace, LogQuery, LogRow, LogSort, VolumeBy,
    VolumeQuery, distinct, error_share, logs, top_names, volume,
};
use projections::{Reader, Snapshot};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::World;

/// More than any figure has rows, and a page of records.
const ALL: u32 = 50_000;

/// A set after its import.
struct Set {
    world: World,
    snap: Snapshot,
    records: Vec<LogRow>,
    truth: Value,
}

/// The directory of a set and its answers; `None` where it is not at hand.
fn set(slice: &str, whole: &str) -> Option<(PathBuf, PathBuf)> {
    if let Some(dir) = std::env::var_os("DAYBOOK_TRUTH_LOGS").map(PathBuf::from) {
        let truth = dir.join("truth").join(whole).with_extension("json");
        return Some((dir.join(whole), truth));
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let dir = (!slice.is_empty()).then(|| dir.join(slice))?;
    Some((dir.clone(), dir.join("truth.json")))
}

/// All files of a set, in the order of their names.
fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let packed = entries.filter(|path| path.extension().is_some_and(|e| e == "gz"));
    let mut files: Vec<String> = packed.map(|p| p.to_str().unwrap().to_owned()).collect();
    files.sort();
    files
}

fn hour(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H").to_string()
}

fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Ranks by count, then key; equal counts share one.
fn ranked(counts: &BTreeMap<String, i64>, most: usize) -> Value {
    let mut order: Vec<(&String, &i64)> = counts.iter().collect();
    order.sort_by_key(|(key, n)| (-**n, *key));
    let rank = |n: i64| 1 + order.iter().filter(|(_, other)| **other > n).count();
    let rows = order.iter().take(most);
    rows.map(|(key, n)| json!([rank(**n), key, n])).collect()
}

/// The same without keys: who is meant is a pseudonym here.
fn without_keys(ranks: &Value) -> Value {
    let rows = ranks.as_array().unwrap().iter();
    rows.map(|row| json!([row[0], row[2]])).collect()
}

impl Set {
    /// Imports it and reads all of it back, earliest first.
    async fn import(preset: &str, files: &[String], truth: &Path, count: u64) -> Set {
        let world = World::new().await;
        let mut args = vec!["--preset", preset];
        args.extend(files.iter().map(String::as_str));
        let told = world.logs(&args).await;
        let count = thousands(count);
        let accepted = format!("Accepted   {count:>12}\n");
        told.check(
            0,
            &[&accepted, "Rejected              0\n", "Every read model"],
        );
        let again = world.logs(&args).await;
        let same = format!("{count} of these records came in with an earlier run");
        again.check(0, &[&same]);
        let reader = Reader::new(world.db.pool().clone());
        let mut snap = reader.snapshot("default").await.unwrap();
        let mut records = Vec::new();
        let mut place = LogPlace::Skip(0);
        loop {
            let page = logs(&mut snap, &earliest_first(preset), place, ALL)
                .await
                .unwrap();
            records.extend(page.records);
            if !page.has_more {
                break;
            }
            place = LogPlace::After(LogCursor::from(records.last().unwrap()));
        }
        let truth = std::fs::read_to_string(truth).unwrap();
        Set {
            world,
            snap,
            records,
            truth: serde_json::from_str(&truth).unwrap(),
        }
    }

    /// How many records there are of each key.
    fn count(&self, key: impl Fn(&LogRow) -> String) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        for record in &self.records {
            *counts.entry(key(record)).or_default() += 1;
        }
        counts
    }

    /// The same by two keys, as the answers list them.
    fn by_pair(&self, key: impl Fn(&LogRow) -> [String; 2]) -> Value {
        let mut counts: BTreeMap<[String; 2], i64> = BTreeMap::new();
        for record in &self.records {
            *counts.entry(key(record)).or_default() += 1;
        }
        counts
            .into_iter()
            .map(|(pair, n)| json!([pair, n]))
            .collect()
    }

    /// The read model's own figures by bucket, and by name if asked.
    async fn volume(&mut self, bucket: LogBucket, name: bool) -> Vec<(DateTime<Utc>, String, i64)> {
        let by = VolumeBy {
            name,
            ..VolumeBy::default()
        };
        let query = VolumeQuery {
            by,
            ..whole(bucket)
        };
        let rows = volume(&mut self.snap, &query, ALL).await.unwrap();
        assert!(!rows.has_next);
        // Hours without records are among them.
        let rows = rows.items.into_iter().filter(|row| row.records > 0);
        rows.map(|row| (row.bucket, row.event_name.unwrap_or_default(), row.records))
            .collect()
    }

    async fn per_hour(&mut self, written: fn(DateTime<Utc>) -> String) -> Value {
        let hours = self.volume(LogBucket::Hour, false).await;
        hours
            .into_iter()
            .map(|(at, _, n)| json!([written(at), n]))
            .collect()
    }

    async fn per_name(&mut self) -> Value {
        let names = self.volume(LogBucket::Whole, true).await;
        Value::Object(
            names
                .into_iter()
                .map(|(_, name, n)| (name, json!(n)))
                .collect(),
        )
    }

    async fn users(&mut self) -> i64 {
        let all = LogFilter::default();
        let rows = distinct(&mut self.snap, &all, LogBucket::Whole, "UTC", 10);
        rows.await.unwrap().items.iter().map(|row| row.users).sum()
    }

    /// What is compared, answer by answer.
    fn same(&self, answers: &[(&str, Value)]) {
        for (name, answer) in answers {
            assert_eq!(*answer, self.truth[name], "{name}");
        }
    }

    /// A record's sealed properties, opened with the key of whom they are about.
    async fn opened(&self, property: &str) -> BTreeMap<String, i64> {
        let vault = config::Settings::default().vault;
        let (dir, pool) = (self.world.dir.join("data"), self.world.db.pool());
        let vault = Vault::open(&vault, &dir, pool.clone()).unwrap();
        let events = "select position, aggregate_id, event_id from events
                      where event_type = 'log_batch.accepted'";
        let events: Vec<(i64, String, Uuid)> =
            sqlx::query_as(events).fetch_all(pool).await.unwrap();
        let events: HashMap<i64, (String, Uuid)> = events
            .into_iter()
            .map(|(at, batch, id)| (at, (batch, id)))
            .collect();
        let mut counts = BTreeMap::new();
        for record in &self.records {
            let (batch, event_id) = &events[&record.position.0];
            let subject = match &record.user_id {
                Some(user) => format!("log_user:{user}"),
                None => format!("log_batch:{batch}"),
            };
            let key = vault
                .existing_key("default", &subject)
                .await
                .unwrap()
                .unwrap();
            let place = Place {
                tenant: "default",
                subject: &subject,
                field: "record",
                event_id: *event_id,
            };
            let sealed = record.personal.as_ref().unwrap();
            let opened: Value = serde_json::from_str(&key.open(&place, sealed).unwrap()).unwrap();
            *counts
                .entry(text(&opened["properties"][property]))
                .or_default() += 1;
        }
        counts
    }
}

fn earliest_first(source: &str) -> LogQuery {
    LogQuery {
        filter: LogFilter {
            source_id: Some(source.to_owned()),
            ..LogFilter::default()
        },
        order: LogOrder {
            by: LogSort::Time,
            ascending: true,
        },
        ..LogQuery::default()
    }
}

fn whole(bucket: LogBucket) -> VolumeQuery {
    VolumeQuery {
        source_id: None,
        event_types: vec![],
        event_name: None,
        app_version: None,
        from: "2015-01-01T00:00:00Z".parse().unwrap(),
        to: "2018-01-01T00:00:00Z".parse().unwrap(),
        bucket,
        zone: "UTC".to_owned(),
        by: VolumeBy::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_servers_log_adds_up() {
    let (dir, truth) = set("logs_apache", "logs_apache_elastic").unwrap();
    let mut set = Set::import("apache", &files(&dir), &truth, 10_000).await;
    let property = |name: &'static str| move |record: &LogRow| text(&record.properties[name]);
    let said = |name: &str, record: &LogRow| record.properties.get(name).map(text);
    let bytes: i64 = set
        .records
        .iter()
        .filter_map(|r| r.properties.get("bytes")?.as_i64())
        .sum();
    let agents = set.count(|r| said("userAgent", r).unwrap_or_else(|| "-".to_owned()));
    let clients = set.opened("client").await;
    let hours = set.per_hour(iso).await;
    let errors = error_share(&mut set.snap, &whole(LogBucket::Whole), 10)
        .await
        .unwrap();
    set.same(&[
        ("parsed", json!(set.records.len())),
        ("time_min", json!(iso(set.records[0].timestamp))),
        ("time_max", json!(iso(set.records[9_999].timestamp))),
        ("per_status", json!(set.count(property("status")))),
        ("per_method", json!(set.count(property("method")))),
        ("bytes_total", json!(bytes)),
        ("status_5xx", json!(errors.items[0].errors)),
        ("top20_paths", ranked(&set.count(property("path")), 20)),
        ("distinct_user_agents", json!(agents.len())),
        ("per_hour", hours),
        ("distinct_clients", json!(clients.len())),
        ("top20_clients", ranked(&clients, 20)),
    ]);
    let open = set
        .records
        .iter()
        .any(|r| r.properties.contains_key("client"));
    assert!(!open, "addresses of clients are sealed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brokers_logs_add_up() {
    let (dir, truth) = set("logs_kafka", "logs_kafka_elastic").unwrap();
    // The directory of the broker, as a person would name it.
    let broker = dir.join("kafka0").to_str().unwrap().to_owned();
    let mut set = Set::import("kafka", &[broker], &truth, 13_183).await;
    let level = |record: &LogRow| text(&record.properties["level"]);
    let names = top_names(&mut set.snap, &whole(LogBucket::Whole), 20)
        .await
        .unwrap();
    let names = names.items.iter();
    let names: Value = names
        .map(|n| json!([n.rank, n.event_name, n.records]))
        .collect();
    let hour = |record: &LogRow| record.timestamp.format("%Y-%m-%d %H").to_string();
    set.same(&[
        ("entries", json!(set.records.len())),
        ("per_level", json!(set.count(level))),
        ("per_hour_and_level", set.by_pair(|r| [hour(r), level(r)])),
        ("top20_loggers", names),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_of_public_events_add_up() {
    let Some((dir, truth)) = set("", "events_gharchive_20150222") else {
        return;
    };
    let mut set = Set::import("gharchive", &files(&dir), &truth, 75_412).await;
    let name = |record: &LogRow| record.event_name.clone();
    let user = |record: &LogRow| record.user_id.clone().unwrap();
    let action = |r: &LogRow| r.properties.get("action").map(text).unwrap_or_default();
    let minute = |r: &LogRow| r.timestamp.format("%Y-%m-%dT%H:%M").to_string();
    let mut minutes: Vec<_> = set.count(minute).into_iter().collect();
    minutes.sort_by_key(|(minute, n)| (-n, minute.clone()));
    let minutes: Value = minutes
        .iter()
        .take(5)
        .map(|(minute, n)| json!([minute, n]))
        .collect();
    let mut pushed: BTreeMap<String, i64> = BTreeMap::new();
    for push in set.records.iter().filter(|r| r.event_name == "push") {
        let commits = push.properties.get("commits").and_then(Value::as_i64);
        *pushed.entry(user(push)).or_default() += commits.unwrap_or_default();
    }
    let by_actor = set.count(user);
    let (names, hours) = (set.per_name().await, set.per_hour(hour).await);
    let users = set.users().await;
    set.same(&[
        ("rows", json!(set.records.len())),
        ("distinct_actors", json!(users)),
        ("time_min", json!(iso(set.records[0].timestamp))),
        ("per_type", names),
        ("per_hour", hours),
        (
            "per_hour_and_type",
            set.by_pair(|r| [hour(r.timestamp), name(r)]),
        ),
        ("per_minute_max", minutes),
        ("per_type_and_action", set.by_pair(|r| [name(r), action(r)])),
        (
            "top20_repos",
            ranked(&set.count(|r| text(&r.properties["repo"])), 20),
        ),
        ("push_commits_total", json!(pushed.values().sum::<i64>())),
    ]);
    for (counts, name) in [
        (&by_actor, "top50_actors_by_events"),
        (&pushed, "top50_actors_by_push_commits"),
    ] {
        assert_eq!(
            without_keys(&ranked(counts, 50)),
            without_keys(&set.truth[name]),
            "{name}"
        );
    }
    lists_of_public_events(&mut set, by_actor).await;
}

/// Page 3 of a filtered order, a span of time, and all of one user.
async fn lists_of_public_events(set: &mut Set, by_actor: BTreeMap<String, i64>) {
    let mut query = earliest_first("gharchive");
    query.filter.event_name = Some("release".to_owned());
    let page = logs(&mut set.snap, &query, LogPlace::Skip(100), 50)
        .await
        .unwrap();
    let ids: Value = page.records.iter().map(|r| json!(r.event_id)).collect();
    assert_eq!(
        ids,
        set.truth["filter_type_release_sorted_dt_id_page3_size50"]
    );
    let all = logs(&mut set.snap, &query, LogPlace::Skip(0), ALL)
        .await
        .unwrap();
    assert_eq!(
        json!(all.records.len()),
        set.truth["filter_type_release_total"]
    );

    let asked = &set.truth["filter_watch_time_range"];
    let time = |name: &str| Some(text(&asked[name]).parse().unwrap());
    query.filter.event_name = Some("watch".to_owned());
    (query.filter.from, query.filter.to) = (time("start_inclusive"), time("end_exclusive"));
    let watched = logs(&mut set.snap, &query, LogPlace::Skip(0), ALL)
        .await
        .unwrap();
    let first: Value = watched.records[..5]
        .iter()
        .map(|r| json!(r.event_id))
        .collect();
    assert_eq!(
        (json!(watched.records.len()), &first),
        (asked["count"].clone(), &asked["first5"])
    );

    let busiest = by_actor.into_iter().max_by_key(|(_, n)| *n).unwrap().0;
    let mut query = earliest_first("gharchive");
    query.filter.user_id = Some(busiest);
    let page = logs(&mut set.snap, &query, LogPlace::Skip(0), ALL)
        .await
        .unwrap();
    assert_eq!(
        json!(page.records.len()),
        set.truth["filter_actor"]["count"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_events_of_an_organisation_add_up() {
    let Some((dir, truth)) = set("", "events_github_k8s_20170724") else {
        return;
    };
    let mut set = Set::import("kubernetes", &files(&dir), &truth, 5_747).await;
    let name = |record: &LogRow| record.event_name.clone();
    let day = |record: &LogRow| record.timestamp.format("%Y-%m-%d").to_string();
    let action = |r: &LogRow| {
        r.properties["payload"]
            .get("action")
            .map(text)
            .unwrap_or_default()
    };
    let seconds = |at: &Value| {
        at.as_str()
            .unwrap()
            .parse::<DateTime<Utc>>()
            .unwrap()
            .timestamp()
    };
    let mut merged: BTreeMap<i64, i64> = BTreeMap::new();
    for record in set
        .records
        .iter()
        .filter(|r| r.event_name == "PullRequestEvent")
    {
        let pull = &record.properties["payload"]["pull_request"];
        if action(record) == "closed" && pull["merged"] == true {
            let took = seconds(&pull["merged_at"]) - seconds(&pull["created_at"]);
            merged.insert(pull["id"].as_i64().unwrap(), took);
        }
    }
    let (names, hours) = (set.per_name().await, set.per_hour(hour).await);
    let users = set.users().await;
    set.same(&[
        ("rows", json!(set.records.len())),
        ("distinct_actors", json!(users)),
        ("per_type", names),
        ("per_hour", hours),
        ("per_day_and_type", set.by_pair(|r| [day(r), name(r)])),
        ("per_type_and_action", set.by_pair(|r| [name(r), action(r)])),
        (
            "top20_repos",
            ranked(&set.count(|r| text(&r.properties["repo"]["name"])), 20),
        ),
        ("merged_pull_requests", json!(merged.len())),
    ]);
    let took = &set.truth["pull_request_open_to_merge_seconds"];
    let ends = [merged.values().min(), merged.values().max()];
    assert_eq!(json!(ends), json!([took["min"], took["max"]]));
    let by_actor = ranked(&set.count(|r| r.user_id.clone().unwrap()), 50);
    assert_eq!(
        without_keys(&by_actor),
        without_keys(&set.truth["top50_actors"])
    );
    let open = set
        .records
        .iter()
        .any(|r| r.properties.contains_key("actor"));
    assert!(!open, "what is said of actors is sealed");
}
