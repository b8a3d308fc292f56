//! Whoever follows a log learns that its head has moved, by whatever process, whatever happened between.

use daybook::store::{Store, StoreSettings};
use domain::Position;
use sqlx::Executor as _;

use super::scene::{append, one, settings, store_with, tenant, told, write};
use crate::support::{OwnCluster, PATIENCE, StopMode, TestDb};

/// Polls once at its start, and then in an hour.
fn never_polls() -> StoreSettings {
    StoreSettings {
        poll_every_ms: 3_600_000,
        ..settings()
    }
}

async fn sees(store: &Store, position: i64) {
    let mut head = store.watch_head(&tenant());
    let seen = head.wait_for(|head| *head >= Position(position));
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    assert!(seen.is_ok(), "nobody said that the head is at {position}");
}

#[tokio::test]
async fn other_processes_are_told() {
    let db = TestDb::create().await;
    let eager = StoreSettings {
        poll_every_ms: 1,
        ..settings()
    };
    let ours = store_with(db.options(), eager).await;
    let theirs = store_with(db.options(), never_polls()).await;
    for version in 0..60 {
        let at = version + 1;
        // Our own poll may see the head before the append has answered: it must be said all the same.
        let outcome = told(ours.append(&tenant(), one("a", version)).await);
        assert_eq!(outcome, format!("kept p{at} v{at}"));
        assert!(
            *ours.watch_head(&tenant()).borrow() >= Position(at),
            "own appends at once"
        );
        sees(&theirs, at).await;
    }
}

#[tokio::test]
async fn polling_is_the_floor() {
    let db = TestDb::create().await;
    let store = store_with(db.options(), settings()).await;
    // An appender that says nothing.
    let silent = "update logs set position = 7 where tenant = 'default'";
    db.pool().execute(silent).await.unwrap();
    sees(&store, 7).await;
    // A head is never seen to go back.
    let mut head = store.watch_head(&tenant());
    db.pool()
        .execute("select pg_notify('daybook_head', '3 default')")
        .await
        .unwrap();
    for nonsense in ["", "x", "9", "nine default", "9 nobody"] {
        sqlx::query("select pg_notify('daybook_head', $1)")
            .bind(nonsense)
            .execute(db.pool())
            .await
            .unwrap();
    }
    db.pool()
        .execute("select pg_notify('daybook_head', '8 default')")
        .await
        .unwrap();
    let next = head.wait_for(|head| *head != Position(7));
    assert_eq!(
        *tokio::time::timeout(PATIENCE, next).await.unwrap().unwrap(),
        Position(8)
    );
}

#[tokio::test]
async fn listening_survives_a_restart_of_the_server() {
    let mut cluster = OwnCluster::start().await;
    let ours = Store::connect(cluster.options(), never_polls())
        .await
        .unwrap();
    let theirs = Store::connect(cluster.options(), never_polls())
        .await
        .unwrap();
    let mut version = 0;
    for _ in 0..2 {
        // Until somebody listens again, what is said is said to nobody.
        for _ in 0..1_000 {
            let kept = ours
                .append(&tenant(), append(vec![write("a", version, 1)]))
                .await;
            version = kept.unwrap().version;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            if *theirs.watch_head(&tenant()).borrow() == Position(version) {
                break;
            }
        }
        sees(&theirs, version).await;
        cluster.stop(StopMode::Immediate).await;
        cluster.restart().await;
    }
}

#[tokio::test]
async fn a_claim_is_looked_into_and_not_believed() {
    let db = TestDb::create().await;
    let store = store_with(db.options(), never_polls()).await;
    let mut head = store.watch_head(&tenant());
    let silent = "update logs set position = 7 where tenant = 'default'";
    db.pool().execute(silent).await.unwrap();
    // Whatever is claimed, what is there is seen.
    store.hint_head("default", Position(1_000_000));
    sees(&store, 7).await;
    head.mark_unchanged();
    for claim in [7, 6, 0, -1] {
        store.hint_head("default", Position(claim));
    }
    for claim in [8, i64::MAX] {
        store.hint_head("default", Position(claim));
        store.hint_head("nobody", Position(claim));
    }
    // One more true step, to know that the claims were looked into before.
    let silent = "update logs set position = 8 where tenant = 'default'";
    db.pool().execute(silent).await.unwrap();
    store.hint_head("default", Position(9));
    sees(&store, 8).await;
    assert_eq!(*store.watch_head(&tenant()).borrow(), Position(8));
    assert_eq!(*store.watch_head(&"nobody".into()).borrow(), Position(0));
}
