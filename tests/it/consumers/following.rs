//! Following the log: every event once, read-your-writes, pausing, faults that pass.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use daybook::consumers::{ConsumerSettings, Consumers, Status, Tail};
use domain::Position;
use projections::AnyProjection;

use super::scene::{
    CREATED, Process, append, append_many, caught_up, jitter, live, settings, start, status_of,
    store, tenant, truth,
};
use super::tally::Tally;
use crate::support::{OwnCluster, StopMode, TestDb, eventually};

/// How long a wait that must succeed may take.
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_read_model_is_the_fold_of_the_log_however_it_is_cut() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 5_000, 7).await;
    let bounds = [
        ConsumerSettings {
            batch_events_max: 1_000,
            batch_rows_max: 3,
            ..settings()
        },
        ConsumerSettings {
            ring_events_max: 10,
            batch_bytes_max: 2_000,
            ..settings()
        },
        ConsumerSettings {
            ring_bytes_max: 1,
            ..settings()
        },
    ];
    for settings in bounds {
        let tally = vec![Tally::named("tally")];
        let consumers = Consumers::start(store.clone(), tally, settings)
            .await
            .unwrap();
        for n in 0..50 {
            append_many(db.pool(), n, 3).await;
        }
        caught_up(db.pool(), "tally").await;
        consumers.stop().await;
    }
}

/// Page after page of the log, up to the bounds of one batch.
#[tokio::test]
async fn what_waits_while_a_batch_is_written_becomes_the_next() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 200, 7).await;
    let tally = Arc::new(Tally::default());
    tally.gated.store(true, Ordering::SeqCst);
    let settings = ConsumerSettings {
        ring_events_max: 10,
        batch_events_max: 100,
        ..settings()
    };
    let consumers = Consumers::start(store, vec![tally.clone()], settings)
        .await
        .unwrap();
    // Four of five events are told to it: those of the first page, of a hundred after that, and of the rest.
    for (writes, folded) in [(1, 88), (2, 160), (3, 160)] {
        eventually("the next batch is folded", async || {
            let [at_gate, told] = [&tally.at_gate, &tally.folded].map(|n| n.load(Ordering::SeqCst));
            (at_gate, told) == (writes, folded)
        })
        .await;
        tally.gate.add_permits(1);
    }
    caught_up(db.pool(), "tally").await;
    assert_eq!(tally.at_gate.load(Ordering::SeqCst), 3);
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_every_event_is_folded_once() {
    let db = TestDb::create().await;
    drop(store(db.options()).await);
    let pool = db.pool().clone();
    let writing = tokio::spawn(async move {
        for n in 0..300 {
            append_many(&pool, 1 + n % 7, 5).await;
            tokio::time::sleep(jitter(n as u64, 8)).await;
        }
    });
    for kill in 0..25 {
        let tally = Tally {
            write_pause: jitter(kill, 12),
            ..Tally::default()
        };
        let process = Process::start(db.options(), vec![Arc::new(tally)]);
        tokio::time::sleep(jitter(kill, 90)).await;
        drop(process);
    }
    writing.await.unwrap();
    let last = Process::start(db.options(), vec![Tally::named("tally")]);
    caught_up(db.pool(), "tally").await;
    drop(last);
}

/// The same kill between the rows and the commit, with rows that go their own way: the check that
/// all these tests stand on must see the difference.
#[tokio::test(flavor = "multi_thread")]
async fn killed_between_write_and_commit_and_a_mutant_that_writes_outside_is_caught() {
    for outside in [false, true] {
        let db = TestDb::create().await;
        drop(store(db.options()).await);
        append_many(db.pool(), 100, 5).await;
        let outside = outside.then(|| db.pool().clone());
        let gated = Arc::new(Tally {
            outside: outside.clone(),
            ..Tally::default()
        });
        gated.gated.store(true, Ordering::SeqCst);
        let process = Process::start(db.options(), vec![gated.clone()]);
        eventually("the rows are written", async || {
            gated.at_gate.load(Ordering::SeqCst) == 1
        })
        .await;
        drop(process);
        let again = Tally {
            outside: outside.clone(),
            ..Tally::default()
        };
        let process = Process::start(db.options(), vec![Arc::new(again)]);
        eventually("it is at the head", async || {
            live(db.pool(), "tally").await.2.0 == 100
        })
        .await;
        let (counts, _, position) = live(db.pool(), "tally").await;
        let right = counts == truth(db.pool(), position).await;
        assert_eq!(right, outside.is_none(), "{counts:?}");
        drop(process);
    }
}

#[tokio::test]
async fn who_has_written_waits_until_it_can_be_read() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let here = start(&store, &[Tally::named("tally")]).await;
    let elsewhere = Consumers::start(
        store.clone(),
        vec![Tally::named("tally")],
        ConsumerSettings {
            project: false,
            ..settings()
        },
    )
    .await
    .unwrap();
    for n in 1..=100 {
        let position = append(db.pool(), "f1", &[CREATED]).await;
        let reader = if n % 2 == 0 { &here } else { &elsewhere };
        reader
            .wait_for(&tenant(), &["tally"], position, LONG)
            .await
            .unwrap();
        let (counts, _, at) = live(db.pool(), "tally").await;
        assert!(at >= position && counts["f1"].0 >= n, "{counts:?} at {at}");
    }

    here.pause(
        "default",
        "tally",
        &daybook::consumers::Decider::of("user:ann"),
    )
    .await
    .unwrap();
    let before = live(db.pool(), "tally").await.2;
    let position = append(db.pool(), "f1", &[CREATED]).await;
    for reader in [&here, &elsewhere] {
        let stale = reader
            .wait_for(&tenant(), &["tally"], position, Duration::from_millis(100))
            .await
            .unwrap_err();
        assert_eq!(stale.reached, [("tally", before)]);
    }
    let status = status_of(&here, "tally").await;
    assert_eq!((status.status, status.lag_events), (Status::Paused, 1));
    here.resume(
        "default",
        "tally",
        &daybook::consumers::Decider::of("user:ann"),
    )
    .await
    .unwrap();
    elsewhere
        .wait_for(&tenant(), &["tally"], position, LONG)
        .await
        .unwrap();
    here.stop().await;
    elsewhere.stop().await;
}

#[tokio::test]
async fn events_of_no_concern_move_the_checkpoint_too() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start(&store, &[Tally::named("tally")]).await;
    let facts = [("vehicle", "vehicle.never_heard_of", "9", "{}"); 3];
    let position = append(db.pool(), "v1", &facts).await;
    consumers
        .wait_for(&tenant(), &["tally"], position, LONG)
        .await
        .unwrap();
    let status = status_of(&consumers, "tally").await;
    assert_eq!(
        (status.status, status.lag_events, status.lag_ms),
        (Status::Running, 0, 0)
    );
    assert!(status.owned_here);
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_database_is_waited_for() {
    let mut cluster = OwnCluster::start().await;
    let store = store(cluster.options()).await;
    let consumers = start(&store, &[Tally::named("tally")]).await;
    append_many(store.pool(), 500, 5).await;
    caught_up(store.pool(), "tally").await;
    for round in 0..3 {
        if round == 1 {
            cluster.stop(StopMode::Fast).await;
        } else {
            cluster.kill9().await;
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        cluster.restart().await;
        let pool = store.pool();
        eventually("the database answers", async || {
            sqlx::query("select 1").execute(pool).await.is_ok()
        })
        .await;
        append_many(store.pool(), 500, 5).await;
        caught_up(store.pool(), "tally").await;
    }
    consumers.stop().await;
}

/// The last batches of a read model do not wait for the disk, so a crash takes them away. Its projector has
/// nothing to do and waits for the next event, but there is none: it folds them anew all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_took_away_is_folded_anew_without_another_event() {
    let mut cluster = OwnCluster::start().await;
    let store = store(cluster.options()).await;
    let consumers = start(&store, &[Tally::named("tally")]).await;
    for fleet in ["north", "south", "east"] {
        let position = append(store.pool(), fleet, &[CREATED]).await;
        consumers
            .wait_for(&tenant(), &["tally"], position, LONG)
            .await
            .unwrap();
        cluster.kill9().await;
        cluster.restart().await;
        let pool = store.pool();
        eventually("the database answers", async || {
            sqlx::query("select 1").execute(pool).await.is_ok()
        })
        .await;
        eventually("it is there again", async || {
            live(pool, "tally").await.2 >= position
        })
        .await;
        consumers
            .wait_for(&tenant(), &["tally"], position, LONG)
            .await
            .unwrap();
        let (counts, _, shown) = live(pool, "tally").await;
        assert_eq!(counts, truth(pool, shown).await, "{fleet}");
    }
    consumers.stop().await;
}

#[tokio::test]
async fn the_tail_gives_every_event_once_and_in_order() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let head = append_many(db.pool(), 1_000, 3).await;
    let tail = Tail::new(store.clone(), tenant(), 64, 1 << 20);
    let mut seen = Vec::new();
    let mut slow = Position::START;
    loop {
        let last = Position(seen.last().copied().unwrap_or_default());
        let events = tail.after(last, 50).await.unwrap();
        assert!(events.len() <= 50);
        seen.extend(events.iter().map(|e| e.position.0));
        // one that falls ever further behind is served as well
        if let Some(event) = tail.after(slow, 1).await.unwrap().first() {
            assert_eq!(event.position.0, slow.0 + 1);
            slow = event.position;
        }
        if events.is_empty() {
            break;
        }
    }
    assert_eq!(seen, (1..=head.0).collect::<Vec<_>>());
    assert!(
        tail.after(Position(head.0 + 5), 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn stopping_finishes_the_batch_and_leaves_the_work_to_others_at_once() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let tally: Arc<dyn AnyProjection> = Arc::new(Tally {
        write_pause: Duration::from_millis(200),
        ..Tally::default()
    });
    let slow_to_expire = ConsumerSettings {
        lease_ms: 60_000,
        ..settings()
    };
    let first = Consumers::start(store.clone(), vec![tally.clone()], slow_to_expire.clone())
        .await
        .unwrap();
    append_many(db.pool(), 20, 3).await;
    eventually("a batch is in flight", async || {
        let sql = "select exists (select from pg_stat_activity
                   where datname = current_database() and state = 'idle in transaction')";
        sqlx::query_scalar(sql).fetch_one(db.pool()).await.unwrap()
    })
    .await;
    first.stop().await;
    assert_eq!(
        live(db.pool(), "tally").await.2,
        Position(20),
        "the batch was finished"
    );
    assert_eq!(
        live(db.pool(), "tally").await.0,
        truth(db.pool(), Position(20)).await
    );
    let second = Consumers::start(store.clone(), vec![tally], slow_to_expire)
        .await
        .unwrap();
    append_many(db.pool(), 20, 3).await;
    caught_up(db.pool(), "tally").await;
    second.stop().await;
}
