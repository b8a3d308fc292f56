//! Rebuilds: old or new and never a mix, whatever is killed, cancelled or written meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daybook::consumers::{
    Consumers, Decider, Phase, RebuildError, RebuildOptions, rebuild, rebuilds,
};
use daybook::store::{Store, StoreError, StoreSettings};
use domain::Position;
use projections::AnyProjection;
use sqlx::PgPool;

use super::scene::{
    TENANT, append, append_many, caught_up, jitter, live, start, stopped, store, tenant, truth,
};
use super::tally::Tally;
use crate::support::{TestDb, eventually};

fn options() -> RebuildOptions {
    RebuildOptions {
        range_events: 1_000,
        rows_max: 40,
        compare: true,
        ..RebuildOptions::default()
    }
}

pub fn slow_to_fold() -> Arc<dyn AnyProjection> {
    Arc::new(Tally {
        fold_pause: Duration::from_micros(100),
        ..Tally::default()
    })
}

/// Reads for ever: every answer must be the log's truth at its position, and positions never go
/// back.
pub async fn read_on(pool: PgPool, done: Arc<AtomicBool>) -> (usize, i32) {
    let (mut last, mut generations, mut reads) = (Position::START, vec![], 0);
    let mut over = false;
    while !over {
        // Once more after the end: a slow machine's last read may have begun long before.
        over = done.load(Ordering::SeqCst);
        let (counts, generation, position) = live(&pool, "tally").await;
        assert_eq!(
            counts,
            truth(&pool, position).await,
            "generation {generation} at {position}"
        );
        assert!(position >= last, "{position} after {last}");
        generations.push(generation);
        (last, reads) = (position, reads + 1);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    assert!(generations.is_sorted());
    (reads, *generations.last().unwrap())
}

pub async fn write_on(pool: PgPool, done: Arc<AtomicBool>) {
    let mut n = 0;
    while !done.load(Ordering::SeqCst) {
        n += 1;
        append_many(&pool, 1 + n % 5, 90).await;
        tokio::time::sleep(jitter(n as u64, 8)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_old_or_new_while_writers_write_and_rebuilds_are_killed() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 20_000, 90).await;
    let consumers = start(&store, &[slow_to_fold()]).await;
    caught_up(db.pool(), "tally").await;
    let done = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn(read_on(db.pool().clone(), done.clone()));
    let writing = tokio::spawn(write_on(db.pool().clone(), done.clone()));

    for kill in 0..10 {
        let (tally, tenant) = (slow_to_fold(), tenant());
        let rebuilding = rebuild(&store, &tally, &tenant, options(), |_| {});
        let killed = tokio::time::timeout(jitter(kill, 250), rebuilding).await;
        if let Ok(Err(error)) = killed {
            assert!(matches!(error, RebuildError::Running), "{error:?}");
        }
    }
    let rebuilt = rebuild_once_free(&store, &slow_to_fold()).await;
    assert!(rebuilt.digest.is_some());
    caught_up(db.pool(), "tally").await;
    done.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    let (reads, generation) = reading.await.unwrap();
    assert!(
        reads > 20 && generation >= rebuilt.generation,
        "{reads} reads"
    );
    consumers.stop().await;
}

/// A rebuild that was dropped gives its lease back in the background.
async fn rebuild_once_free(
    store: &Store,
    projection: &Arc<dyn AnyProjection>,
) -> daybook::consumers::Rebuilt {
    loop {
        match rebuild(store, projection, &tenant(), options(), |_| {}).await {
            Err(RebuildError::Running) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => return other.unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rebuild_goes_on_where_it_was() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 10_000, 90).await;
    let tally = slow_to_fold();
    let one = RebuildOptions {
        workers: 1,
        ..options()
    };
    {
        let tenant = tenant();
        let rebuilding = rebuild(&store, &tally, &tenant, one.clone(), |_| {});
        let enough = eventually("some ranges are done", async || {
            done_ranges(db.pool()).await >= 3
        });
        tokio::select! {
            early = rebuilding => panic!("{early:?}"),
            () = enough => {}
        }
    }
    let state = rebuilds(&store, TENANT, None, None, 100)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (state.phase.as_str(), state.to_position),
        ("folding", Position(10_000))
    );
    let before = state.done_events;
    assert!(before > 0 && before < 10_000, "{before}");

    // nothing has followed the log so far: there is nothing to compare with
    let rest = RebuildOptions {
        compare: false,
        ..one
    };
    let rebuilt = loop {
        match rebuild(&store, &tally, &tenant(), rest.clone(), |_| {}).await {
            Err(RebuildError::Running) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => break other.unwrap(),
        }
    };
    assert_eq!(rebuilt.generation, state.generation);
    assert!(
        rebuilt.events as i64 <= 10_000 - before,
        "{} after {before}",
        rebuilt.events
    );
    let (counts, generation, position) = live(db.pool(), "tally").await;
    assert_eq!((generation, position), (2, Position(10_000)));
    assert_eq!(counts, truth(db.pool(), position).await);
}

async fn done_ranges(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from rebuild_ranges where done")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_rebuild_is_refused_and_a_cancelled_one_leaves_nothing() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 10_000, 90).await;
    let tally = slow_to_fold();
    let consumers = start(&store, std::slice::from_ref(&tally)).await;
    caught_up(db.pool(), "tally").await;
    for _ in 0..5 {
        let (ours, theirs, tenant) = (store.clone(), tally.clone(), tenant());
        let running =
            tokio::spawn(async move { rebuild(&ours, &theirs, &tenant, options(), |_| {}).await });
        eventually("it is under way", async || {
            let sql = "select exists (select from rebuilds where phase = 'folding')";
            sqlx::query_scalar(sql).fetch_one(db.pool()).await.unwrap()
        })
        .await;
        let second = consumers
            .rebuild(&self::tenant(), "tally", options(), |_| {})
            .await;
        assert!(matches!(second, Err(RebuildError::Running)), "{second:?}");
        let cancel = async || {
            let ann = Decider::of("user:ann");
            consumers.cancel_rebuild(TENANT, "tally", &ann).await
        };
        assert_eq!(cancel().await.unwrap().phase, "cancelled");
        let first = running.await.unwrap();
        assert!(matches!(first, Err(RebuildError::Cancelled)), "{first:?}");
        let refused = cancel().await.unwrap_err().refusal().unwrap();
        assert_eq!(refused.code, domain::Code::NoRebuild);
        append_many(db.pool(), 10, 3).await;
        caught_up(db.pool(), "tally").await;
        assert_eq!(live(db.pool(), "tally").await.1, 1);
    }
    let rebuilt = consumers
        .rebuild(&tenant(), "tally", options(), |_| {})
        .await
        .unwrap();
    assert_eq!(live(db.pool(), "tally").await.1, rebuilt.generation);
    assert_eq!(
        tables(db.pool()).await,
        [
            "tally_g1".to_owned(),
            format!("tally_g{}", rebuilt.generation)
        ]
    );
    consumers
        .rebuild(&tenant(), "tally", options(), |_| {})
        .await
        .unwrap();
    let kept = rebuilt.generation;
    assert_eq!(
        tables(db.pool()).await,
        [format!("tally_g{kept}"), format!("tally_g{}", kept + 1)]
    );
    consumers.stop().await;
}

async fn tables(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select tablename::text from pg_tables where schemaname = 'read'
         order by length(tablename), 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_version_is_rebuilt_beside_the_old_one_by_itself() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 3_000, 9).await;
    let old = start(&store, &[Tally::named("tally")]).await;
    caught_up(db.pool(), "tally").await;
    old.stop().await;
    append_many(db.pool(), 300, 9).await;
    let changed: Arc<dyn AnyProjection> = Arc::new(Tally {
        version: 2,
        ..Tally::default()
    });
    let new = start(&store, &[changed]).await;
    eventually("the new version answers", async || {
        live(db.pool(), "tally").await.1 == 2
    })
    .await;
    append_many(db.pool(), 300, 9).await;
    caught_up(db.pool(), "tally").await;
    // an older process still running keeps its hands off it
    let old = start(&store, &[Tally::named("tally")]).await;
    append_many(db.pool(), 300, 9).await;
    caught_up(db.pool(), "tally").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(live(db.pool(), "tally").await.1, 2);
    new.stop().await;
    old.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_tries_poison_again_and_forgives_only_what_was_forgiven() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let poison = ("fleet", "fleet.created", "1", r#"{"name":"refused"}"#);
    append_many(db.pool(), 2_000, 9).await;
    let at = append(db.pool(), "f1", &[poison]).await;
    append_many(db.pool(), 2_000, 9).await;
    let consumers = start(&store, &[Tally::named("tally")]).await;
    stopped(&consumers, "tally").await;

    let refused = consumers
        .rebuild(&tenant(), "tally", options(), |_| {})
        .await;
    assert!(
        matches!(&refused, Err(RebuildError::Poison { position, .. }) if *position == at),
        "{refused:?}"
    );
    consumers
        .skip(TENANT, "tally", at, "user:ann", "a test's own")
        .await
        .unwrap();
    let rebuilt = consumers
        .rebuild(&tenant(), "tally", options(), |_| {})
        .await
        .unwrap();
    let (counts, generation, _) = live(db.pool(), "tally").await;
    let truth = truth(db.pool(), rebuilt.position).await;
    assert_eq!(generation, rebuilt.generation);
    assert_eq!(counts["f1"], (truth["f1"].0 - 1, truth["f1"].1 - at.0));
    let carried: i64 = sqlx::query_scalar(
        "select count(*) from failed_events where generation = $1 and position = $2
         and skipped_by = 'user:ann'",
    )
    .bind(rebuilt.generation)
    .bind(at.0)
    .fetch_one(db.pool())
    .await
    .unwrap();
    assert_eq!(carried, 1);
    consumers.stop().await;

    // a release that can fold it gets it back by a rebuild: then the generations differ, for a
    // reason
    let fixed: Arc<dyn AnyProjection> = Arc::new(Tally {
        refuses: None,
        ..Tally::default()
    });
    let consumers = start(&store, &[fixed]).await;
    caught_up_at(&consumers, rebuilt.position).await;
    let differs = consumers
        .rebuild(&tenant(), "tally", options(), |_| {})
        .await;
    assert!(
        matches!(differs, Err(RebuildError::DigestsDiffer { .. })),
        "{differs:?}"
    );
    let without = RebuildOptions {
        compare: false,
        ..options()
    };
    consumers
        .rebuild(&tenant(), "tally", without, |_| {})
        .await
        .unwrap();
    caught_up(db.pool(), "tally").await;
    consumers.stop().await;
}

async fn caught_up_at(consumers: &Consumers, position: Position) {
    let long = Duration::from_secs(30);
    consumers
        .wait_for(&tenant(), &["tally"], position, long)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_comes_to_its_end() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 5_000, 9).await;
    let consumers = start(&store, &[Tally::named("tally")]).await;
    caught_up(db.pool(), "tally").await;
    let told = std::sync::Mutex::new(Vec::new());
    let rebuilt = consumers
        .rebuild(&tenant(), "tally", options(), |p| {
            told.lock().unwrap().push(p)
        })
        .await
        .unwrap();
    let told = told.into_inner().unwrap();
    let last = told.last().unwrap();
    assert_eq!(
        (last.phase, last.done_events, last.total_events),
        (Phase::Swapped, 5_000, 5_000)
    );
    assert!(told.is_sorted_by_key(|p| p.done_events));
    assert_eq!(rebuilt.events, 5_000);
    let state = rebuilds(&store, TENANT, None, None, 100)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (state.phase.as_str(), state.done_events),
        ("swapped", 5_000)
    );
    let (old, new) = state.digests.unwrap();
    assert_eq!(old, new);
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_all_there_is_not_rebuilt_from() {
    let db = TestDb::create().await;
    let settings = StoreSettings {
        partition_positions: 64,
        ..StoreSettings::default()
    };
    let database = db.options().application_name("daybook-unsafe");
    let store = Store::connect(database, settings).await.unwrap();
    let tally = Tally::named("tally");
    let more = "select ensure_event_partitions(200, 64)";
    sqlx::raw_sql(more).execute(db.pool()).await.unwrap();
    append_many(db.pool(), 100, 9).await;
    let detach = "alter table events detach partition events_p0";
    sqlx::raw_sql(detach).execute(db.pool()).await.unwrap();
    let rebuilt = rebuild(&store, &tally, &tenant(), options(), |_| {}).await;
    assert!(
        matches!(
            rebuilt,
            Err(RebuildError::Store(StoreError::Archived {
                missing: Position(1),
                first: Some(Position(64)),
            }))
        ),
        "{rebuilt:?}"
    );
    assert_eq!(
        rebuilds(&store, TENANT, None, None, 100)
            .await
            .unwrap()
            .len(),
        0
    );

    let attach = "alter table events attach partition events_p0 for values from (0) to (64)";
    sqlx::raw_sql(attach).execute(db.pool()).await.unwrap();
    let without = RebuildOptions {
        compare: false,
        ..options()
    };
    rebuild(&store, &tally, &tenant(), without, |_| {})
        .await
        .unwrap();
    let (counts, _, position) = live(db.pool(), "tally").await;
    assert_eq!(counts, truth(db.pool(), position).await);
}
