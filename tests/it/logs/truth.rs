//! Real logs through the write door and GraphQL, compared with answers that were computed without Daybook
//! (`scripts/truth/logs.py`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use chrono::{FixedOffset, TimeDelta};
use daybook::commands::{CommandContext, IngestLogs};
use daybook::ops::Clock;
use domain::log_batch::{LogReport, RECORDS_MAX};
use domain::log_format::{LogFormat, LogReader};
use domain::{Actor, ActorKind};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::now;
use crate::support::TestApp;

/// A set of logs that was handed in, and what is true of it.
struct Truth {
    app: TestApp,
    truth: Value,
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false if path.extension().is_some_and(|e| e == "gz") => files.push(path),
            false => {}
        }
    }
    files.sort();
    files
}

fn reports(file: &Path, format: LogFormat) -> Vec<LogReport> {
    let mut text = Vec::new();
    let mut unpacked = GzDecoder::new(File::open(file).unwrap());
    unpacked.read_to_end(&mut text).unwrap();
    let zone = FixedOffset::east_opt(0).unwrap();
    let entries = LogReader::new(format, zone).read_all(&text).into_iter();
    entries.map(|entry| entry.read.unwrap()).collect()
}

impl Truth {
    async fn of(set: &str, format: LogFormat) -> Truth {
        let app = TestApp::at(Clock::mock(now()).0, |_| ()).await;
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data")
            .join(set);
        let reports: Vec<_> = files(&dir)
            .iter()
            .flat_map(|file| reports(file, format))
            .collect();
        let actor = Actor {
            kind: ActorKind::User,
            id: "ann".into(),
        };
        let ctx = CommandContext {
            backfill: true,
            ..CommandContext::new("default".into(), actor, now())
        };
        for records in reports.chunks(RECORDS_MAX) {
            let batch = IngestLogs {
                source: set.to_owned(),
                records: records.iter().cloned().map(Ok).collect(),
                may_register: true,
            };
            app.app().door.ingest_logs(&ctx, batch).await.unwrap();
        }
        let truth = std::fs::read_to_string(dir.join("truth.json")).unwrap();
        Truth {
            app,
            truth: serde_json::from_str(&truth).unwrap(),
        }
    }

    /// Figures of both years that the sets are of.
    async fn stats(&self, arguments: &str, fields: &str) -> Value {
        let span = r#"from: "2015-01-01T00:00:00Z", to: "2017-01-01T00:00:00Z""#;
        let query = format!("{{ logStats({span} {arguments}) {{ {fields} }} }}");
        self.app.settled(&query, json!({})).await["logStats"].take()
    }

    /// The hours in which there are records.
    async fn hours(&self) -> Vec<(String, i64)> {
        let volume = "volume(by: [TYPE]) { more rows { start records } }";
        let told = self.stats(", bucket: HOUR", volume).await;
        assert_eq!(told["volume"]["more"], false);
        let mut hours = BTreeMap::new();
        for row in told["volume"]["rows"].as_array().unwrap() {
            let hour = row["start"].as_str().unwrap().to_owned();
            *hours.entry(hour).or_insert(0) += row["records"].as_i64().unwrap();
        }
        Vec::from_iter(hours)
    }

    /// All records of a filter, page by page.
    async fn records(&self, filter: &str) -> Vec<Value> {
        let query = format!(
            "query($after: String) {{ logs(filter: {filter}, orderBy: OLDEST_FIRST, first: 200, after: $after) {{
               nodes {{ timestamp eventType eventName properties }} stopped
               pageInfo {{ hasNextPage endCursor }} }} }}"
        );
        let (mut records, mut after) = (Vec::new(), Value::Null);
        loop {
            let told = self.app.settled(&query, json!({ "after": after })).await;
            let page = &told["logs"];
            assert_eq!(page["stopped"], false);
            records.extend(page["nodes"].as_array().unwrap().iter().cloned());
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                return records;
            }
        }
    }
}

/// How many records there are of each kind.
fn tally(records: &[Value], kind: impl Fn(&Value) -> String) -> BTreeMap<String, i64> {
    let mut tally = BTreeMap::new();
    for record in records {
        *tally.entry(kind(record)).or_insert(0) += 1;
    }
    tally
}

fn property(name: &'static str) -> impl Fn(&Value) -> String {
    move |record| match &record["properties"][name] {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_log_asked_for_adds_up_to_what_others_computed() {
    let told = Truth::of("logs_apache", LogFormat::Combined).await;
    let truth = &told.truth;
    assert_eq!(json!(told.hours().await), truth["per_hour"]);
    let errors = told
        .stats(", bucket: WHOLE", "errorShare { rows { records errors } }")
        .await;
    let expect = json!([{ "records": truth["parsed"], "errors": truth["status_5xx"] }]);
    assert_eq!(errors["errorShare"]["rows"], expect);
    let all = told.records("{}").await;
    assert_eq!(json!(all.len()), truth["parsed"]);
    assert_eq!(json!(tally(&all, property("status"))), truth["per_status"]);
    assert_eq!(json!(tally(&all, property("method"))), truth["per_method"]);
    assert_eq!(
        (&all[0]["timestamp"], &all[all.len() - 1]["timestamp"]),
        (&truth["time_min"], &truth["time_max"])
    );
    for (name, key) in [("client", "top20_clients"), ("path", "top20_paths")] {
        let counted = tally(&all, property(name));
        for row in truth[key].as_array().unwrap() {
            assert_eq!(json!(counted[row[1].as_str().unwrap()]), row[2], "{row}");
        }
    }
    // The same by a filter, and page 3 of it in another order.
    let missing = r#"{ properties: [{ path: ["status"], equals: 404 }] }"#;
    let listed = told.records(missing).await;
    assert_eq!(json!(listed.len()), truth["per_status"]["404"]);
    let mut expect: Vec<Value> = all
        .iter()
        .filter(|r| r["properties"]["status"] == 404)
        .cloned()
        .collect();
    assert_eq!(listed, expect);
    expect.reverse();
    let query = format!(
        "{{ logs(filter: {missing}, first: 20, offset: 40) {{ nodes {{ timestamp eventType eventName properties }} }} }}"
    );
    let page = told.app.settled(&query, json!({})).await;
    assert_eq!(page["logs"]["nodes"], json!(expect[40..60]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brokers_logs_asked_for_add_up_to_what_others_computed() {
    let told = Truth::of("logs_kafka", LogFormat::Log4j).await;
    let truth = &told.truth;
    let mut hours: BTreeMap<String, i64> = BTreeMap::new();
    let of_hour = |row: &Value| row[0][0].as_str().unwrap().replace(' ', "T") + ":00:00Z";
    let rows = truth["per_hour_and_level"].as_array().unwrap();
    for row in rows {
        *hours.entry(of_hour(row)).or_insert(0) += row[1].as_i64().unwrap();
    }
    assert_eq!(told.hours().await, Vec::from_iter(hours));
    for (level, expect) in truth["per_level"].as_object().unwrap() {
        let filter = format!(r#"{{ properties: [{{ path: ["level"], equals: "{level}" }}] }}"#);
        let records = told.records(&filter).await;
        assert_eq!(json!(records.len()), *expect, "{level}");
        let hour = |record: &Value| {
            let at: chrono::DateTime<chrono::Utc> =
                record["timestamp"].as_str().unwrap().parse().unwrap();
            let past = TimeDelta::seconds(at.timestamp() % 3_600);
            (at - past).format("%Y-%m-%dT%H:00:00Z").to_string()
        };
        let own = rows.iter().filter(|row| row[0][1] == level.as_str());
        let expect: BTreeMap<String, i64> = own
            .map(|row| (of_hour(row), row[1].as_i64().unwrap()))
            .collect();
        assert_eq!(tally(&records, hour), expect, "{level}");
    }
    // Of each type as many as of the levels that it is made of.
    let types = told
        .stats(
            ", bucket: WHOLE",
            "volume(by: [TYPE]) { rows { eventType records } }",
        )
        .await;
    let errors = json!({ "eventType": "ERROR", "records": truth["per_level"]["ERROR"] });
    let rows = types["volume"]["rows"].as_array().unwrap();
    assert!(rows.contains(&errors), "{types}");
    let sum: i64 = rows
        .iter()
        .map(|row| row["records"].as_i64().unwrap())
        .sum();
    assert_eq!(json!(sum), truth["entries"]);
    let names = told
        .stats("", "topNames(limit: 20) { rank eventName records }")
        .await;
    let names = names["topNames"].as_array().unwrap().iter();
    let names = names.map(|row| json!([row["rank"], row["eventName"], row["records"]]));
    assert_eq!(Value::from_iter(names), truth["top20_loggers"]);
}
