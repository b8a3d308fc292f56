//! Real logs through the formats, the judge and the read model, compared with answers that were computed
//! without Daybook (`scripts/truth/logs.py`).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset, NaiveDateTime, Utc};
use domain::log_batch::{LogRecord, LogRules, RECORDS_MAX, judge};
use domain::log_format::{LogFormat, LogReader};
use domain::log_source::{LogLimits, PersonalFields};
use flate2::read::GzDecoder;
use projections::Snapshot;
use projections::logs::{
    LogBucket, LogFilter, LogOrder, LogPlace, LogQuery, LogSort, PropertyEquals, VolumeBy,
    VolumeQuery, error_share, logs, top_names, volume,
};
use serde_json::{Value, json};

use super::super::scene::{after, at, snapshot};
use super::batch;
use crate::support::TestDb;

/// More than any list here has.
const ALL: u32 = 50_000;

struct Truth {
    _db: TestDb,
    snap: Snapshot,
    truth: Value,
}

/// Every record of the set's files, in the order of their names.
fn records(files: &[PathBuf], format: LogFormat) -> Vec<LogRecord> {
    let rules = LogRules {
        limits: &LogLimits::default(),
        personal_fields: &PersonalFields::default(),
        now: at("2020-01-01T00:00:00Z"),
        backfill: true,
        pseudonym: &str::to_owned,
    };
    let mut all = Vec::new();
    for file in files {
        let mut text = Vec::new();
        let mut unpacked = GzDecoder::new(File::open(file).unwrap());
        unpacked.read_to_end(&mut text).unwrap();
        let zone = FixedOffset::east_opt(0).unwrap();
        let entries = LogReader::new(format, zone).read_all(&text).into_iter();
        all.extend(entries.map(|e| judge(&e.read.unwrap(), &rules).unwrap().record));
    }
    all
}

impl Truth {
    async fn of(set: &str, format: LogFormat) -> Truth {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data")
            .join(set);
        let entries = |dir: &Path| {
            let entries = std::fs::read_dir(dir).unwrap();
            entries
                .map(|entry| entry.unwrap().path())
                .collect::<Vec<_>>()
        };
        let mut files = entries(&dir);
        files.extend(
            files
                .clone()
                .iter()
                .filter(|p| p.is_dir())
                .flat_map(|p| entries(p)),
        );
        files.retain(|path| path.extension().is_some_and(|e| e == "gz"));
        files.sort();
        let records = records(&files, format);
        let batches = records.chunks(RECORDS_MAX).map(|b| batch(set, b.to_vec()));
        let db = after(batches.collect(), 5).await;
        let truth = std::fs::read_to_string(dir.join("truth.json")).unwrap();
        Truth {
            snap: snapshot(&db).await,
            truth: serde_json::from_str(&truth).unwrap(),
            _db: db,
        }
    }

    fn query(bucket: LogBucket) -> VolumeQuery {
        VolumeQuery {
            source_id: None,
            event_types: vec![],
            event_name: None,
            app_version: None,
            from: at("2015-01-01T00:00:00Z"),
            to: at("2017-01-01T00:00:00Z"),
            bucket,
            zone: "UTC".to_owned(),
            by: VolumeBy::default(),
        }
    }

    async fn hours(&mut self) -> Vec<(DateTime<Utc>, i64)> {
        let rows = volume(&mut self.snap, &Self::query(LogBucket::Hour), ALL)
            .await
            .unwrap();
        let some = rows.items.iter().filter(|row| row.records > 0);
        some.map(|row| (row.bucket, row.records)).collect()
    }

    async fn errors(&mut self, bucket: LogBucket) -> Vec<(DateTime<Utc>, i64)> {
        let rows = error_share(&mut self.snap, &Self::query(bucket), ALL)
            .await
            .unwrap();
        let some = rows.items.iter().filter(|row| row.errors > 0);
        some.map(|row| (row.bucket, row.errors)).collect()
    }

    /// How many records say this of a property.
    async fn count(&mut self, name: &str, value: Value) -> usize {
        let properties = vec![PropertyEquals {
            path: vec![name.to_owned()],
            value,
        }];
        let filter = LogFilter {
            properties,
            ..LogFilter::default()
        };
        let query = LogQuery {
            filter,
            ..LogQuery::default()
        };
        let page = logs(&mut self.snap, &query, LogPlace::Skip(0), ALL)
            .await
            .unwrap();
        page.records.len()
    }
}

#[tokio::test]
async fn a_web_log_adds_up_to_what_others_computed() {
    let mut told = Truth::of("logs_apache", LogFormat::Combined).await;
    let truth = told.truth.clone();
    let hours: Vec<Value> = told
        .hours()
        .await
        .into_iter()
        .map(|(hour, n)| json!([hour.to_rfc3339_opts(chrono::SecondsFormat::Secs, true), n]))
        .collect();
    assert_eq!(Value::from(hours), truth["per_hour"]);
    let errors = told.errors(LogBucket::Whole).await;
    assert_eq!(json!(errors[0].1), truth["status_5xx"]);
    for (status, expect) in truth["per_status"].as_object().unwrap() {
        let status: i64 = status.parse().unwrap();
        assert_eq!(
            json!(told.count("status", json!(status)).await),
            *expect,
            "{status}"
        );
    }
    for (method, expect) in truth["per_method"].as_object().unwrap() {
        assert_eq!(
            json!(told.count("method", json!(method)).await),
            *expect,
            "{method}"
        );
    }
    for row in truth["top20_clients"].as_array().unwrap() {
        assert_eq!(
            json!(told.count("client", row[1].clone()).await),
            row[2],
            "{row}"
        );
    }
    let ascending = true;
    let order = LogOrder {
        by: LogSort::Time,
        ascending,
    };
    let query = LogQuery {
        order,
        ..LogQuery::default()
    };
    for (place, key) in [(LogPlace::Skip(0), "time_min"), (LogPlace::End, "time_max")] {
        let page = logs(&mut told.snap, &query, place, 1).await.unwrap();
        assert_eq!(
            page.records[0].timestamp,
            at(truth[key].as_str().unwrap()),
            "{key}"
        );
    }
}

#[tokio::test]
async fn a_brokers_logs_add_up_to_what_others_computed() {
    let mut told = Truth::of("logs_kafka", LogFormat::Log4j).await;
    let truth = told.truth.clone();
    for (level, expect) in truth["per_level"].as_object().unwrap() {
        assert_eq!(
            json!(told.count("level", json!(level)).await),
            *expect,
            "{level}"
        );
    }
    let (mut hours, mut errors) = (std::collections::BTreeMap::new(), vec![]);
    for row in truth["per_hour_and_level"].as_array().unwrap() {
        let hour = format!("{}:00", row[0][0].as_str().unwrap());
        let hour = NaiveDateTime::parse_from_str(&hour, "%Y-%m-%d %H:%M")
            .unwrap()
            .and_utc();
        let records = row[1].as_i64().unwrap();
        *hours.entry(hour).or_insert(0) += records;
        if row[0][1] == "ERROR" {
            errors.push((hour, records));
        }
    }
    assert_eq!(told.hours().await, hours.into_iter().collect::<Vec<_>>());
    assert_eq!(told.errors(LogBucket::Hour).await, errors);
    let names = top_names(&mut told.snap, &Truth::query(LogBucket::Whole), 20)
        .await
        .unwrap();
    let names = names
        .items
        .iter()
        .map(|n| json!([n.rank, n.event_name, n.records]));
    assert_eq!(
        Value::from(names.collect::<Vec<_>>()),
        truth["top20_loggers"]
    );
}
