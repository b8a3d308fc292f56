//! Rebuilds that meet with mishaps: what is not whole never answers, what failed is left nowhere, and what
//! is asked twice is done once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use daybook::consumers::{
    Mode, RebuildError, RebuildOptions, RebuildStatus, Rebuilt, ask_rebuild, generations, rebuild,
    rebuilds,
};
use daybook::store::{Store, StoreError, StoreSettings};
use domain::{Code, Position};
use projections::AnyProjection;
use sqlx::PgPool;
use tokio::sync::Semaphore;

use super::scene::{
    Fact, TENANT, append, append_many, caught_up, live, start, store, tenant, truth,
};
use super::tally::Tally;
use crate::support::{TestDb, eventually};

const REFUSED: Fact<'static> = ("fleet", "fleet.created", "1", r#"{"name":"refused"}"#);

fn options(mode: Mode) -> RebuildOptions {
    RebuildOptions {
        mode,
        ..RebuildOptions::default()
    }
}

fn scratch(up_to: i64) -> Mode {
    Mode::Scratch {
        up_to: Position(up_to),
    }
}

/// Carries one out, as soon as whoever was at it before is known to be gone.
async fn build(
    store: &Store,
    model: &Arc<dyn AnyProjection>,
    mode: Mode,
) -> Result<Rebuilt, RebuildError> {
    loop {
        match rebuild(store, model, &tenant(), options(mode), |_| {}).await {
            Err(RebuildError::Running) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => return other,
        }
    }
}

async fn recorded(store: &Store) -> Vec<RebuildStatus> {
    rebuilds(store, TENANT, None, None, 100).await.unwrap()
}

/// What there is: the number and the state of each generation.
async fn there(store: &Store) -> Vec<(i32, String)> {
    let all = generations(store, TENANT, Some("tally")).await.unwrap();
    all.into_iter().map(|g| (g.generation, g.state)).collect()
}

async fn tables(pool: &PgPool) -> Vec<String> {
    let sql = "select tablename::text from pg_tables where schemaname = 'read' order by 1";
    sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
}

async fn is_true(pool: &PgPool) {
    let (counts, _, position) = live(pool, "tally").await;
    assert_eq!(counts, truth(pool, position).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_is_no_worker_that_is_done() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 2_000, 9).await;
    let tally = Arc::new(Tally::default());
    tally.crashes.store(true, Ordering::SeqCst);
    let model: Arc<dyn AnyProjection> = tally.clone();
    let crashed = tokio::spawn({
        let (store, model) = (store.clone(), model.clone());
        async move { build(&store, &model, Mode::Replace).await }
    });
    let crashed = crashed.await;
    assert!(
        matches!(&crashed, Err(ended) if ended.is_panic()),
        "{crashed:?}"
    );
    assert_eq!(recorded(&store).await[0].phase, "folding");
    assert_eq!(live(db.pool(), "tally").await.1, 1);

    tally.crashes.store(false, Ordering::SeqCst);
    let rebuilt = build(&store, &model, Mode::Replace).await.unwrap();
    assert_eq!(
        (rebuilt.generation, rebuilt.position),
        (2, Position(2_000)),
        "gone on with"
    );
    is_true(db.pool()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_folded_to_its_end_does_not_answer() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 900, 9).await;
    let tally = Arc::new(Tally::default());
    tally.gated.store(true, Ordering::SeqCst);
    let model: Arc<dyn AnyProjection> = tally.clone();
    let building = tokio::spawn({
        let (store, model) = (store.clone(), model.clone());
        async move { build(&store, &model, Mode::Replace).await }
    });
    eventually("it is written", async || {
        tally.at_gate.load(Ordering::SeqCst) > 0
    })
    .await;
    // a range that nobody was told of
    let more = "insert into rebuild_ranges values ('default', 'tally', 2, 901, 950, false)";
    sqlx::raw_sql(more).execute(db.pool()).await.unwrap();
    tally.gated.store(false, Ordering::SeqCst);
    tally.gate.add_permits(100);
    let ended = building.await.unwrap();
    assert!(matches!(ended, Err(RebuildError::Unfolded)), "{ended:?}");
    assert_eq!(recorded(&store).await[0].phase, "folding");
    assert_eq!(live(db.pool(), "tally").await.1, 1);

    let rebuilt = build(&store, &model, Mode::Replace).await.unwrap();
    assert_eq!(rebuilt.generation, 2, "gone on with");
    is_true(db.pool()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_and_was_never_to_answer_leaves_no_table() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 500, 9).await;
    let tally = Tally::named("tally");
    let consumers = start(&store, std::slice::from_ref(&tally)).await;
    caught_up(db.pool(), "tally").await;
    consumers.stop().await;
    let more = "update read.tally_g1 set n = n + 1 where fleet = 'f3'";
    sqlx::raw_sql(more).execute(db.pool()).await.unwrap();
    let differs = build(&store, &tally, Mode::Check).await;
    assert!(
        matches!(differs, Err(RebuildError::DigestsDiffer { .. })),
        "{differs:?}"
    );
    let at = append(db.pool(), "f0", &[REFUSED]).await;
    let poisoned = build(&store, &tally, scratch(at.0)).await;
    assert!(
        matches!(poisoned, Err(RebuildError::Poison { .. })),
        "{poisoned:?}"
    );
    let phases = recorded(&store).await.into_iter().map(|r| r.phase);
    assert_eq!(phases.collect::<Vec<_>>(), ["failed", "failed"]);
    assert_eq!(there(&store).await, [(1, "live".to_owned())]);
    assert_eq!(tables(db.pool()).await, ["tally_g1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_rebuild_drops_what_was_never_to_answer_and_none_what_can_be_gone_back_to() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 500, 9).await;
    let tally = Tally::named("tally");
    build(&store, &tally, Mode::Replace).await.unwrap();
    build(&store, &tally, scratch(100)).await.unwrap();
    // as if whoever was to drop it had been killed
    let left = "update generations set state = 'kept' where generation = 3";
    sqlx::raw_sql(left).execute(db.pool()).await.unwrap();
    build(&store, &tally, scratch(200)).await.unwrap();
    let expect = [(1, "kept"), (2, "live"), (4, "scratch")];
    assert_eq!(
        there(&store).await,
        expect.map(|(n, state)| (n, state.into()))
    );
    assert_eq!(
        tables(db.pool()).await,
        ["tally_g1", "tally_g2", "tally_g4"]
    );
    let back = build(&store, &tally, Mode::RollBack).await.unwrap();
    assert_eq!(back.generation, 5);
    is_true(db.pool()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_asked_for_again_does_not_go_forward() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 100, 9).await;
    let tally = Tally::named("tally");
    build(&store, &tally, Mode::Replace).await.unwrap();
    let back = async |away_from, key| {
        let options = RebuildOptions {
            away_from,
            ..options(Mode::RollBack)
        };
        ask_rebuild(&store, &tally, TENANT, &options, key).await
    };
    let asked = back(Some(2), Some("k1")).await.unwrap();
    assert_eq!((asked.generation, asked.phase.as_str()), (3, "catching_up"));
    build(&store, &tally, Mode::RollBack).await.unwrap();
    let again = back(Some(2), Some("k1")).await.unwrap();
    assert_eq!((again.generation, again.phase.as_str()), (3, "swapped"));
    for other in [Some(1), None] {
        let reused = back(other, Some("k1")).await.unwrap_err();
        assert!(matches!(reused, RebuildError::KeyReused), "{reused:?}");
    }
    let late = back(Some(2), None).await.unwrap_err();
    assert!(
        matches!(late, RebuildError::NotLive { asked: 2, live: 3 }),
        "{late:?}"
    );
    assert_eq!(late.refusal().unwrap().code, Code::GenerationNotLive);
    assert_eq!(recorded(&store).await.len(), 2, "nothing was begun");
    assert_eq!(back(Some(3), None).await.unwrap().generation, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_version_built_is_not_checked_by_another() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 100, 9).await;
    build(&store, &Tally::named("tally"), Mode::Replace)
        .await
        .unwrap();
    let next: Arc<dyn AnyProjection> = Arc::new(Tally {
        version: 2,
        ..Tally::default()
    });
    let refused = build(&store, &next, Mode::Check).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the one that answers is of version 1, this program's is 2: rebuild it first"
    );
    assert_eq!(refused.refusal().unwrap().code, Code::ReadModelOutdated);
    assert_eq!(recorded(&store).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_ask_at_once_under_one_key_get_the_one_rebuild() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 100, 9).await;
    let tally = Tally::named("tally");
    build(&store, &tally, Mode::Replace).await.unwrap();
    let mut held = projections::begin(db.pool(), "begin").await.unwrap();
    let hold = "select pg_advisory_xact_lock(hashtext('daybook.generations'))";
    sqlx::query(hold).execute(&mut *held).await.unwrap();
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let (store, tally) = (store.clone(), tally.clone());
            let options = options(Mode::Replace);
            tokio::spawn(
                async move { ask_rebuild(&store, &tally, TENANT, &options, Some("k1")).await },
            )
        })
        .collect();
    // all have found that nobody has asked yet
    eventually("they wait for each other", async || {
        let waiting = "select count(*) = 4 from pg_locks where locktype = 'advisory' and not granted
                       and database = (select oid from pg_database where datname = current_database())";
        sqlx::query_scalar(waiting)
            .fetch_one(db.pool())
            .await
            .unwrap()
    })
    .await;
    held.rollback().await.unwrap();
    for one in asking {
        assert_eq!(one.await.unwrap().unwrap().generation, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sets_out_to_go_back_over_events_that_are_not_there() {
    let db = TestDb::create().await;
    let settings = StoreSettings {
        partition_positions: 64,
        ..StoreSettings::default()
    };
    let database = db.options().application_name("daybook-unsafe");
    let store = Store::connect(database, settings).await.unwrap();
    let more = "select ensure_event_partitions(200, 64)";
    sqlx::raw_sql(more).execute(db.pool()).await.unwrap();
    append_many(db.pool(), 100, 9).await;
    let tally = Tally::named("tally");
    build(&store, &tally, Mode::Replace).await.unwrap();
    let detach = "alter table events detach partition events_p0";
    sqlx::raw_sql(detach).execute(db.pool()).await.unwrap();
    let refused = build(&store, &tally, Mode::RollBack).await;
    assert!(
        matches!(
            refused,
            Err(RebuildError::Store(StoreError::Archived {
                missing: Position(1),
                ..
            }))
        ),
        "{refused:?}"
    );
    assert_eq!(recorded(&store).await.len(), 1, "nothing was begun");

    let attach = "alter table events attach partition events_p0 for values from (0) to (64)";
    sqlx::raw_sql(attach).execute(db.pool()).await.unwrap();
    let back = build(&store, &tally, Mode::RollBack).await.unwrap();
    assert_eq!((back.generation, back.position), (3, Position(100)));
    is_true(db.pool()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_all_rebuilds_share_the_places_of_their_process() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 20_000, 90).await;
    let tally = Arc::new(Tally::default());
    let model: Arc<dyn AnyProjection> = tally.clone();
    let places = Arc::new(Semaphore::new(1));
    let taken = places.clone().acquire_owned().await.unwrap();
    let building = tokio::spawn({
        let (store, places) = (store.clone(), places.clone());
        let options = RebuildOptions {
            workers: 4,
            places,
            ..RebuildOptions::default()
        };
        async move { rebuild(&store, &model, &tenant(), options, |_| {}).await }
    });
    eventually("it is recorded", async || {
        !recorded(&store).await.is_empty()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(tally.folded.load(Ordering::SeqCst), 0, "without a place");
    drop(taken);
    // four of which one at a time may work come to an end nevertheless
    let rebuilt = building.await.unwrap().unwrap();
    assert_eq!((rebuilt.generation, rebuilt.events), (2, 20_000));
    is_true(db.pool()).await;
    assert_eq!(places.available_permits(), 1);
}
