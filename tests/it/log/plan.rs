//! The append statement reaches every table by an index, on fresh tables and on full ones; a page of the log
//! reads what it holds.

use daybook::store::{Store, StoreSettings, log_page_statement};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::scene::{append, claim, count, settings, store, store_with, tenant, write};
use crate::support::TestDb;

/// What the statement looks up, and the last column of the key that must lead there: a look-up by the
/// tenant alone, repeated or kept in memory, reads the whole log's bookkeeping.
const BY_KEY: &[(&str, &str)] = &[
    ("commands", "command_id"),
    ("streams", "aggregate_id"),
    ("claims", "value_hash"),
    ("logs", "tenant"),
];

/// The short statement claims nothing and looks no command up: the key's own uniqueness answers.
const BY_KEY_PLAIN: &[(&str, &str)] = &[("streams", "aggregate_id"), ("logs", "tenant")];

#[tokio::test]
async fn the_append_statements_never_scan_a_table() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    check_both("fresh", &store, &db).await;

    for i in 0..100 {
        let stream = format!("v{i}");
        let mut full = append(vec![write(&stream, 0, 100)]);
        full.claims = (0..10)
            .map(|c| claim(&format!("{i}-{c}"), &stream, false))
            .collect();
        store.append(&tenant(), full).await.unwrap();
    }
    check_both("10,000 events, not analysed", &store, &db).await;
    sqlx::raw_sql("vacuum analyze")
        .execute(db.pool())
        .await
        .unwrap();
    check_both("10,000 events", &store, &db).await;
}

#[tokio::test]
async fn a_page_of_the_log_touches_no_more_than_it_holds_whatever_the_planner_knows() {
    let db = TestDb::create().await;
    let tiny = StoreSettings {
        partition_positions: 1_000,
        ..settings()
    };
    let store = store_with(db.options(), tiny.clone()).await;
    let fill = async |stream: &str, events: usize| {
        let events = append(vec![write(stream, 0, events)]);
        store.append(&tenant(), events).await.unwrap();
    };
    fill("a", 400).await;
    fill("b", 400).await;
    // A process that starts makes the next partition, which is known to be empty then: reading it whole costs
    // nothing. What comes after is not known to the planner: putting all of it in order costs nothing either.
    store_with(db.options(), tiny.clone()).await;
    let partitions = count(db.pool(), "select count(*) from event_partitions").await;
    assert_eq!(partitions, 2);
    sqlx::raw_sql("vacuum analyze")
        .execute(db.pool())
        .await
        .unwrap();
    let analyzed = 800;
    fill("c", 150).await;

    let mut conn = PgConnection::connect_with(&db.options()).await.unwrap();
    conn.execute(&*format!("prepare page as {}", log_page_statement()))
        .await
        .unwrap();
    let explain = format!(
        "explain (analyze, timing off) execute page('{}', {analyzed}, {}, 10, 4194304)",
        tenant(),
        i64::MAX
    );
    let plan: Vec<String> = sqlx::query_scalar(&explain)
        .fetch_all(&mut conn)
        .await
        .unwrap();
    let text = plan.join("\n");
    let scans = plan.iter().filter(|line| line.contains(" on events"));
    let read: Vec<u64> = scans.filter_map(|line| rows_read(line)).collect();
    assert!(!read.is_empty(), "nothing was read\n{text}");
    assert!(read.iter().sum::<u64>() <= 10, "{read:?}\n{text}");
}

/// How many rows a step of a plan came to; nothing where it never ran.
fn rows_read(step: &str) -> Option<u64> {
    let (_, actual) = step.split_once("(actual rows=")?;
    actual.split_once(' ')?.0.parse().ok()
}

async fn check_both(when: &str, store: &Store, db: &TestDb) {
    let (statements, setup) = store.append_statements();
    for (statement, by_key) in statements.into_iter().zip([BY_KEY, BY_KEY_PLAIN]) {
        check(when, &plan(statement, &setup, db).await, by_key);
    }
}

/// As an executor's connection would plan it, whatever the parameters.
async fn plan(statement: &str, setup: &str, db: &TestDb) -> Vec<String> {
    let mut conn = PgConnection::connect_with(&db.options()).await.unwrap();
    conn.execute(setup).await.unwrap();
    conn.execute(&*format!("prepare append as {statement}"))
        .await
        .unwrap();
    let parameters = (1..).take_while(|n| statement.contains(&format!("${n}")));
    let nulls = vec!["null"; parameters.count()].join(", ");
    let explain = format!("explain execute append({nulls})");
    sqlx::query_scalar(&explain)
        .fetch_all(&mut conn)
        .await
        .unwrap()
}

fn check(when: &str, plan: &[String], by_key: &[(&str, &str)]) {
    let text = plan.join("\n");
    let tables = [
        "commands",
        "streams",
        "claims",
        "logs",
        "events",
        "rejected_records",
    ];
    for line in plan {
        let scans = |table: &&str| {
            ["Seq Scan on ", "Bitmap Heap Scan on "].iter().any(|scan| {
                let rest = line.split_once(scan).map(|(_, rest)| rest);
                rest.is_some_and(|rest| rest.starts_with(*table))
            })
        };
        assert!(!tables.iter().any(scans), "{when}: {line}\n{text}");
    }
    for (table, last) in by_key {
        let scan = format!("using {table}_pkey on {table}");
        let conditions: Vec<_> = (plan.iter().zip(&plan[1..]))
            .filter(|(line, _)| line.contains(&scan))
            .map(|(_, condition)| condition)
            .collect();
        assert!(
            !conditions.is_empty(),
            "{when}: {table} is not looked up\n{text}"
        );
        for condition in conditions {
            let whole = condition.contains("Index Cond") && condition.contains(last);
            assert!(whole, "{when}: {table} by {condition}\n{text}");
        }
    }
}
