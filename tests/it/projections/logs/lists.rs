//! Lists of records: every filter, both orders, pages both ways, and what is searched for.

use chrono::TimeDelta;
use domain::Event;
use domain::log_batch::{LogBatchEvent, LogPriority, LogRecord};
use domain::log_source::LogType;
use projections::logs::{
    FEW_ROWS_MAX, LogCursor, LogFilter, LogOrder, LogPage, LogPlace, LogQuery, LogRow, LogSort,
    PropertyEquals, SEARCH_ROWS_MAX, logs,
};
use projections::{Reader, Snapshot};
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;

use super::super::scene::{TENANT, after, at, snapshot};
use super::{a_day, batch, hour, object, record};
use crate::support::{TestDb, eventually};

const ALL: u32 = 1_000;

/// The number each record of a day says it has.
fn numbers(rows: &[LogRow]) -> Vec<i64> {
    let number = |row: &LogRow| row.properties["n"].as_i64().unwrap();
    rows.iter().map(number).collect()
}

async fn list(snap: &mut Snapshot, filter: LogFilter) -> LogPage {
    let query = LogQuery {
        filter,
        ..LogQuery::default()
    };
    logs(snap, &query, LogPlace::Skip(0), ALL).await.unwrap()
}

/// What the filter itself says of each record, the newest first.
fn told_apart(filter: &LogFilter) -> Vec<i64> {
    let mut found = Vec::new();
    for (source, event) in a_day() {
        let Event::LogBatch(LogBatchEvent::LogBatchAccepted(batch)) = event else {
            continue;
        };
        let records = batch
            .records
            .iter()
            .filter(|record| filter.matches(&source, record));
        found.extend(records.map(|record| record.properties["n"].as_i64().unwrap()));
    }
    found.reverse();
    found
}

/// The newest first, by hand.
fn expected(matches: impl Fn(i64) -> bool) -> Vec<i64> {
    (0..120).rev().filter(|n| matches(*n)).collect()
}

/// Nobody has told the planner of records that have just come.
#[tokio::test]
async fn a_page_of_new_records_reads_little_more_than_it_shows() {
    let start = at("2016-01-05T00:00:00Z");
    let record = |n: i64| {
        let time = start + TimeDelta::milliseconds(n);
        record(&time.to_rfc3339(), LogType::Error, "failed")
    };
    let records: Vec<LogRecord> = (0..5_000).map(record).collect();
    let batches = records.chunks(1_000);
    let db = after(batches.map(|some| batch("web", some.to_vec())).collect(), 5).await;

    let filter = LogFilter {
        from: Some(start),
        ..LogFilter::default()
    };
    let order = |ascending| LogOrder {
        by: LogSort::Time,
        ascending,
    };
    let query = |ascending| LogQuery {
        filter: filter.clone(),
        order: order(ascending),
        ..LogQuery::default()
    };
    let one = PgPoolOptions::new().max_connections(1);
    let pool = one.connect_with(db.options()).await.unwrap();
    for ascending in [false, true] {
        let mut snap = Reader::new(pool.clone()).snapshot(TENANT).await.unwrap();
        let page = logs(&mut snap, &query(ascending), LogPlace::Skip(0), 10).await;
        assert_eq!(page.unwrap().records.len(), 10);
    }
    // A connection that ends says what it has read.
    pool.close().await;
    let read = async || {
        let sql = "select coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint
                   from pg_stat_user_tables where relname like 'log_records%'";
        let read: i64 = sqlx::query_scalar(sql).fetch_one(db.pool()).await.unwrap();
        read
    };
    eventually("the server has counted", async || read().await > 0).await;
    let read = read().await;
    assert!(read < 100, "{read} records were read for twenty");
}

#[tokio::test]
async fn every_filter_finds_its_records_and_no_others() {
    let db = after(a_day(), 3).await;
    let mut snap = snapshot(&db).await;
    let none = LogFilter::default();
    let text = |text: &str| Some(text.to_owned());
    let property = |path: &[&str], value: Value| LogFilter {
        properties: vec![PropertyEquals {
            path: path.iter().map(|p| (*p).to_owned()).collect(),
            value,
        }],
        ..LogFilter::default()
    };
    type Matches = fn(i64) -> bool;
    let cases: Vec<(LogFilter, Matches)> = vec![
        (none.clone(), |_| true),
        (
            LogFilter {
                source_id: text("app"),
                ..none.clone()
            },
            |n| n / 25 % 2 == 1,
        ),
        (
            LogFilter {
                event_types: vec![LogType::Error, LogType::Telemetry],
                ..none.clone()
            },
            |n| n % 5 == 3 || n % 5 == 1,
        ),
        (
            LogFilter {
                event_name: text("Page_4"),
                ..none.clone()
            },
            |n| n % 7 == 4,
        ),
        (
            LogFilter {
                user_id: text("user1"),
                ..none.clone()
            },
            |n| n % 2 == 0 && n % 3 == 1,
        ),
        (
            LogFilter {
                session_id: text("session2"),
                ..none.clone()
            },
            |n| n % 5 != 0 && n % 4 == 2,
        ),
        (
            LogFilter {
                app_version: text("1.2"),
                ..none.clone()
            },
            |n| n % 3 == 2,
        ),
        (
            LogFilter {
                priority: Some(LogPriority::High),
                ..none.clone()
            },
            |n| n % 10 == 0,
        ),
        (
            LogFilter {
                from: Some(hour(7)),
                to: Some(hour(14)),
                ..none.clone()
            },
            |n| (60..120).contains(&n),
        ),
        (
            LogFilter {
                user_id: text("user0"),
                event_types: vec![LogType::Behavioral],
                from: Some(hour(7)),
                ..none.clone()
            },
            |n| n % 6 == 0 && n % 5 == 0 && n >= 60,
        ),
        (
            LogFilter {
                text: text("pAGE_3"),
                ..none.clone()
            },
            |n| n % 7 == 3,
        ),
        (
            LogFilter {
                text: text("tea_CUP 100%"),
                ..none.clone()
            },
            |_| true,
        ),
        (
            LogFilter {
                text: text("tea%cup"),
                ..none.clone()
            },
            |_| false,
        ),
        (property(&["provider_name"], json!("p4")), |n| n % 6 == 4),
        (property(&["cart", "items", "0"], json!(2.0)), |n| {
            n % 4 == 2
        }),
        (property(&["cart"], json!("p4")), |_| false),
        (
            property(&["cart"], json!({ "items": [1.0, "Tea_cup 100%"] })),
            |n| n % 4 == 1,
        ),
        (
            property(&["cart", "items", "-1"], json!("Tea_cup 100%")),
            |_| true,
        ),
        (
            LogFilter {
                app_version: text(""),
                ..none.clone()
            },
            |n| n % 3 == 0,
        ),
        // As it is kept: names in the order of their bytes, no blanks.
        (
            LogFilter {
                text: text("{\"CART\":{\"items\":[3,\"tea_cup 100%\"]},\"n\":7,"),
                ..none.clone()
            },
            |n| n == 7,
        ),
    ];
    for (filter, matches) in cases {
        let page = list(&mut snap, filter.clone()).await;
        assert_eq!(numbers(&page.records), expected(matches), "{filter:?}");
        assert_eq!(
            told_apart(&filter),
            expected(matches),
            "without a database: {filter:?}"
        );
        assert!(!page.has_more && page.stopped_at.is_none(), "{filter:?}");
    }
}

#[tokio::test]
async fn pages_both_ways_are_the_list() {
    let db = after(a_day(), 2).await;
    let mut snap = snapshot(&db).await;
    let filters = [
        LogFilter::default(),
        LogFilter {
            text: Some("page".to_owned()),
            ..LogFilter::default()
        },
        LogFilter {
            user_id: Some("user0".to_owned()),
            ..LogFilter::default()
        },
        LogFilter {
            source_id: Some("web".to_owned()),
            from: Some(hour(1)),
            ..LogFilter::default()
        },
    ];
    for filter in filters {
        for by in [LogSort::Time, LogSort::Priority] {
            for ascending in [false, true] {
                let order = LogOrder { by, ascending };
                let query = LogQuery {
                    filter: filter.clone(),
                    order,
                    ..LogQuery::default()
                };
                let whole = logs(&mut snap, &query, LogPlace::Skip(0), ALL)
                    .await
                    .unwrap();
                let whole = whole.records;
                assert!(!whole.is_empty());
                let mut sorted = whole.clone();
                sorted.sort_by_key(|row| {
                    let urgent = by == LogSort::Priority && row.priority == LogPriority::High;
                    (urgent, row.timestamp, row.position, row.index)
                });
                if !ascending {
                    sorted.reverse();
                }
                assert_eq!(numbers(&whole), numbers(&sorted), "{query:?}");
                check_pages(&mut snap, &query, &whole).await;
            }
        }
    }
}

async fn check_pages(snap: &mut Snapshot, query: &LogQuery, whole: &[LogRow]) {
    const SIZE: usize = 11;
    let first = u32::try_from(SIZE).unwrap();
    let (mut forth, mut place) = (vec![], LogPlace::Skip(0));
    loop {
        let page = logs(snap, query, place, first).await.unwrap();
        place = LogPlace::After(LogCursor::from(page.records.last().unwrap()));
        forth.extend(page.records);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(forth, whole, "forwards: {query:?}");
    let (mut back, mut place) = (vec![], LogPlace::End);
    loop {
        let page = logs(snap, query, place, first).await.unwrap();
        place = LogPlace::Before(LogCursor::from(&page.records[0]));
        back = [page.records, back].concat();
        if !page.has_more {
            break;
        }
    }
    assert_eq!(back, whole, "backwards: {query:?}");
    for (number, expect) in whole.chunks(SIZE).enumerate() {
        let skip = LogPlace::Skip(u32::try_from(number * SIZE).unwrap());
        let page = logs(snap, query, skip, first).await.unwrap();
        assert_eq!(page.records, expect, "page {number}: {query:?}");
    }
}

#[tokio::test]
async fn a_record_is_read_as_it_was_accepted() {
    let said = LogRecord {
        event_id: Some("e-1".to_owned()),
        priority: LogPriority::High,
        user_id: Some("p1".to_owned()),
        session_id: Some("s1".to_owned()),
        app_version: Some("1.0".to_owned()),
        sequence_number: Some(i64::MAX),
        device_info: object(json!({ "os": "Linux" })),
        properties: object(json!({ "a": { "b": [1, 2.5, null, "\u{e9}\u{1f600}"] } })),
        personal: Some(domain::Personal::Sealed("5ea1ed".to_owned())),
        ..record(
            "9999-12-31T23:59:59.999999Z",
            LogType::Performance,
            "\u{e9}",
        )
    };
    let early = record("1970-01-01T00:00:00Z", LogType::Error, "old");
    let db = after(vec![batch("web", vec![said.clone(), early])], 1).await;
    let mut snap = snapshot(&db).await;
    let rows = list(&mut snap, LogFilter::default()).await.records;
    assert_eq!((rows.len(), rows[1].index), (2, 1));
    let row = rows[0].clone();
    assert_eq!((row.position.0, row.index), (1, 0));
    assert_eq!(row.source_id, "web");
    assert_eq!(row.personal.as_deref(), Some("5ea1ed"));
    let read = LogRecord {
        event_id: row.event_id,
        timestamp: row.timestamp,
        event_type: row.event_type,
        event_name: row.event_name,
        priority: row.priority,
        user_id: row.user_id,
        session_id: row.session_id,
        app_version: row.app_version,
        sequence_number: row.sequence_number,
        device_info: row.device_info.into(),
        properties: row.properties.into(),
        personal: said.personal.clone(),
    };
    assert_eq!(read, said);
}

#[tokio::test]
async fn a_search_says_where_it_stopped() {
    let mut records = vec![record("2016-01-05T00:00:00Z", LogType::Error, "needle")];
    let hay = record("2016-01-05T00:00:01Z", LogType::Error, "hay");
    records.extend(vec![hay; usize::try_from(SEARCH_ROWS_MAX).unwrap()]);
    let db = after(vec![batch("web", records)], 1).await;
    let mut snap = snapshot(&db).await;
    let filter = LogFilter {
        text: Some("needle".to_owned()),
        ..LogFilter::default()
    };
    let query = LogQuery {
        filter,
        ..LogQuery::default()
    };
    let page = logs(&mut snap, &query, LogPlace::Skip(0), 5).await.unwrap();
    assert_eq!((page.records, page.has_more), (vec![], true));
    let on = LogPlace::After(page.stopped_at.unwrap());
    let page = logs(&mut snap, &query, on, 5).await.unwrap();
    assert_eq!(page.records[0].event_name, "needle");
    assert_eq!(
        (page.records.len(), page.has_more, page.stopped_at),
        (1, false, None)
    );
}

#[tokio::test]
async fn a_search_that_stops_while_it_passes_over_records_goes_on_passing_over() {
    // Behind as many others as are looked at, twelve needles; five more lie before them.
    let at = |second: u32, name: &str| {
        let time = format!("2016-01-05T00:00:{second:02}Z");
        record(&time, LogType::Error, name)
    };
    let mut records = vec![at(0, "needle"); 12];
    records.extend(vec![
        at(1, "hay");
        usize::try_from(SEARCH_ROWS_MAX).unwrap()
    ]);
    records.extend(vec![at(2, "needle"); 5]);
    let db = after(vec![batch("web", records)], 1).await;
    let mut snap = snapshot(&db).await;
    let query = LogQuery {
        filter: LogFilter {
            event_name: Some("needle".to_owned()),
            ..LogFilter::default()
        },
        ..LogQuery::default()
    };
    let page = logs(&mut snap, &query, LogPlace::Skip(8), 4).await.unwrap();
    let stopped = page.stopped_at.unwrap();
    assert_eq!((page.records.len(), stopped.skip), (0, 3));
    let page = logs(&mut snap, &query, LogPlace::After(stopped), 4);
    let indexes: Vec<_> = page
        .await
        .unwrap()
        .records
        .iter()
        .map(|r| r.index)
        .collect();
    // The newest is the last that was handed in: three of the twelve were passed over.
    assert_eq!(indexes, [8, 7, 6, 5]);
}

/// A session of so many records, and one record of another session among them.
async fn of_sessions(many: u32) -> TestDb {
    let said = |session: &str| LogRecord {
        session_id: Some(session.to_owned()),
        ..record("2016-01-05T00:00:00Z", LogType::Error, session)
    };
    let mut records = vec![said("many"); usize::try_from(many).unwrap()];
    records.push(said("one"));
    after(vec![batch("web", records)], 1).await
}

#[tokio::test]
async fn whose_records_are_too_many_to_be_sorted_is_found_in_the_order_of_time() {
    let db = of_sessions(FEW_ROWS_MAX + 1).await;
    let mut snap = snapshot(&db).await;
    let query = |session: &str| LogQuery {
        filter: LogFilter {
            session_id: Some(session.to_owned()),
            ..LogFilter::default()
        },
        ..LogQuery::default()
    };
    for (session, records) in [("many", 3), ("one", 1)] {
        let page = logs(&mut snap, &query(session), LogPlace::Skip(0), 3).await;
        let page = page.unwrap();
        assert_eq!(page.records.len(), records);
        assert!(page.records.iter().all(|row| row.event_name == session));
        assert!(page.stopped_at.is_none());
    }
    // Both at once: the one that has few leads to them.
    let filter = LogFilter {
        user_id: Some("nobody".to_owned()),
        ..query("many").filter
    };
    let both = LogQuery {
        filter,
        ..LogQuery::default()
    };
    let page = logs(&mut snap, &both, LogPlace::Skip(0), 3).await.unwrap();
    assert_eq!((page.records, page.has_more), (vec![], false));
}

#[tokio::test]
async fn a_filter_says_of_odd_values_what_the_database_says() {
    let values = [
        json!(1e-7),
        json!(1e21),
        json!(-0.0),
        json!(0),
        json!(9_007_199_254_740_993_i64),
        json!(9_007_199_254_740_992.0),
        json!(u64::MAX),
        json!(1.5e300),
        json!(100),
        json!(1e2),
        json!("\u{1}\"\\/\n\u{7f}\u{e9}\u{1f600}"),
        json!([[], {}, [1, [2]]]),
        json!({ "bb": 1, "a": 2, "\u{e9}": 3, "": 4 }),
        json!(null),
    ];
    let records = values.iter().map(|value| LogRecord {
        properties: object(json!({ "v": value, "list": ["x", value] })),
        ..record("2016-01-05T00:00:00Z", LogType::Error, "e")
    });
    let records: Vec<LogRecord> = records.collect();
    let mut filters: Vec<LogFilter> = Vec::new();
    let path = |steps: &[&str]| steps.iter().map(|step| (*step).to_owned()).collect();
    for value in &values {
        for steps in [
            &["v"][..],
            &["list", "1"],
            &["list", " +1"],
            &["list", "-1"],
        ] {
            let equals = PropertyEquals {
                path: path(steps),
                value: value.clone(),
            };
            filters.push(LogFilter {
                properties: vec![equals],
                ..LogFilter::default()
            });
        }
    }
    // As each is written whole: the database is asked what that is.
    let db = after(vec![batch("web", records.clone())], 1).await;
    let written = "select properties::text from read.log_records_g1 order by idx";
    let written: Vec<String> = sqlx::query_scalar(written)
        .fetch_all(db.pool())
        .await
        .unwrap();
    filters.extend(written.into_iter().map(|text| LogFilter {
        text: Some(text),
        ..LogFilter::default()
    }));
    let mut snap = snapshot(&db).await;
    for filter in filters {
        let found = list(&mut snap, filter.clone()).await.records;
        let mut found: Vec<_> = found.iter().map(|row| row.index).collect();
        found.sort_unstable();
        let matching = (0..)
            .zip(&records)
            .filter(|(_, r)| filter.matches("web", r));
        let expect: Vec<i32> = matching.map(|(index, _)| index).collect();
        assert!(!expect.is_empty(), "{filter:?}");
        assert_eq!(found, expect, "{filter:?}");
    }
}
