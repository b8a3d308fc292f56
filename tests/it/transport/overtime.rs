//! G27: an operation whose time is over is told so, and what it asked of PostgreSQL ends with it.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Row as _;

use crate::support::{TestApp, TestDb, eventually};

const QUERY: &str = "{ vehicles { nodes { id } } }";

/// How many questions of this database wait for a lock.
async fn waiting(db: &TestDb) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'",
    )
    .fetch_one(db.pool())
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_long_is_stopped_in_the_database_as_well() {
    let app = TestApp::with(|s| {
        s.limits.operation_timeout = Duration::from_secs(3);
        // Nothing but a cancellation ends a question here.
        s.database.statement_timeout = Duration::from_secs(3_600);
        s.database.lock_timeout = Duration::from_secs(3_600);
        s.consumers.project = false;
    })
    .await;
    let projecting = app.beside(|_| ()).await;
    let register = "mutation { registerVehicle(input: { id: \"v\" }) { userErrors { code } } }";
    projecting.data(register, json!({})).await;
    let expect = json!([{ "id": "v" }]);
    assert_eq!(
        projecting.settled(QUERY, json!({})).await["vehicles"]["nodes"],
        expect
    );
    drop(projecting);

    let tables = "select format('%I.%I', n.nspname, c.relname) from pg_class c
                  join pg_namespace n on n.oid = c.relnamespace
                  where c.relkind in ('r', 'p') and c.relname like 'vehicles%'";
    let tables = sqlx::query(tables)
        .fetch_all(app.db().pool())
        .await
        .unwrap();
    assert!(!tables.is_empty());
    let mut held = projections::begin(app.db().pool(), "begin").await.unwrap();
    for table in &tables {
        let table: String = table.get(0);
        let lock = format!("lock table {table} in access exclusive mode");
        sqlx::raw_sql(&lock).execute(&mut *held).await.unwrap();
    }

    let (answer, ()) = tokio::join!(
        app.ask(QUERY, json!({})),
        eventually("the question waits for the lock", async || waiting(
            app.db()
        )
        .await
            > 0)
    );
    assert_eq!(
        answer["errors"][0]["extensions"]["code"], "TIMEOUT",
        "{answer}"
    );
    assert_eq!(answer["data"], Value::Null);
    eventually("it is gone, though the lock is held", async || {
        waiting(app.db()).await == 0
    })
    .await;

    // A caller that leaves ends its question as well.
    let asking = tokio::time::timeout(Duration::from_millis(500), app.ask(QUERY, json!({})));
    assert!(asking.await.is_err(), "the lock is held");
    eventually("nobody waits for it", async || waiting(app.db()).await == 0).await;

    held.rollback().await.unwrap();
    assert_eq!(
        app.data(QUERY, json!({})).await["vehicles"]["nodes"],
        expect
    );
}
