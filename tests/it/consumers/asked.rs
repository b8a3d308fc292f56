//! Rebuilds that are asked for: any process carries them out, and what people decide about them holds
//! wherever they run and is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daybook::consumers::{
    Action, Consumers, Decider, Mode, RebuildError, RebuildOptions, RebuildStatus, ask_rebuild,
    cancel_rebuild, decisions, drop_generation, generations, pause_rebuild, rebuild, rebuilds,
    resume_rebuild,
};
use daybook::store::Store;
use domain::{Code, Position};
use projections::AnyProjection;
use sqlx::PgPool;

use super::rebuilding::{read_on, slow_to_fold, write_on};
use super::scene::{Process, TENANT, append_many, caught_up, live, start, store, tenant, truth};
use super::tally::{self, Counts, Tally};
use crate::support::{TestDb, eventually};

fn ann() -> Decider {
    Decider::of("user:ann").because(Some("a test's own".to_owned()))
}

fn options(mode: Mode) -> RebuildOptions {
    RebuildOptions {
        mode,
        range_events: 1_000,
        decider: Some(ann()),
        ..RebuildOptions::default()
    }
}

async fn ask(
    store: &Store,
    projection: &Arc<dyn AnyProjection>,
    mode: Mode,
) -> Result<RebuildStatus, RebuildError> {
    ask_rebuild(store, projection, TENANT, &options(mode), None).await
}

async fn newest(store: &Store) -> RebuildStatus {
    let all = rebuilds(store, TENANT, None, None, 1).await.unwrap();
    all.into_iter().next().unwrap()
}

async fn comes_to(store: &Store, phase: &str) -> RebuildStatus {
    eventually(phase, async || newest(store).await.phase == phase).await;
    newest(store).await
}

/// So slow that whoever decides about its rebuild is never too late.
fn slow() -> Arc<dyn AnyProjection> {
    Arc::new(Tally {
        fold_pause: Duration::from_micros(500),
        ..Tally::default()
    })
}

async fn done_ranges(pool: &PgPool) -> i64 {
    let sql = "select count(*) from rebuild_ranges where done";
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

/// Nobody works at a rebuild, in whatever process.
async fn nobody_at_it(pool: &PgPool) {
    eventually("nobody works at it", async || {
        let sql = "select not exists (select from leases where resource = 'rebuild/tally'
                   and expires_at > clock_timestamp())";
        sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_survives_whoever_works_at_it() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 20_000, 90).await;
    let follower = Process::start(db.options(), vec![slow_to_fold()]);
    caught_up(db.pool(), "tally").await;
    drop(follower);
    let asked = ask(&store, &slow_to_fold(), Mode::Replace).await.unwrap();
    assert_eq!((asked.phase.as_str(), asked.done_events), ("folding", 0));
    let done = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn(read_on(db.pool().clone(), done.clone()));
    let writing = tokio::spawn(write_on(db.pool().clone(), done.clone()));

    for _ in 0..3 {
        let process = Process::start(db.options(), vec![slow_to_fold()]);
        let before = done_ranges(db.pool()).await;
        eventually("it has gone on", async || {
            done_ranges(db.pool()).await > before || newest(&store).await.is_over()
        })
        .await;
        drop(process);
    }
    let _last = Process::start(db.options(), vec![slow_to_fold()]);
    let swapped = comes_to(&store, "swapped").await;
    caught_up(db.pool(), "tally").await;
    done.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    let (_, generation) = reading.await.unwrap();
    assert_eq!(generation, asked.generation);
    assert_eq!(swapped.done_events, swapped.to_position.0);
    assert_eq!(swapped.asked_by.as_deref(), Some("user:ann"));
    let all = rebuilds(&store, TENANT, None, None, 9).await.unwrap();
    assert_eq!(all.len(), 1, "gone on with, not begun again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_rebuild_rests_until_it_is_resumed_and_goes_on_where_it_was() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 20_000, 90).await;
    let tally = slow();
    let consumers = start(&store, std::slice::from_ref(&tally)).await;
    let asked = ask(&store, &tally, Mode::Replace).await.unwrap();
    eventually("some of it is done", async || {
        done_ranges(db.pool()).await > 0
    })
    .await;
    let paused = pause_rebuild(&store, TENANT, "tally", &ann())
        .await
        .unwrap();
    assert!(paused.paused && !paused.is_over());
    nobody_at_it(db.pool()).await;
    let twice = pause_rebuild(&store, TENANT, "tally", &ann()).await;
    assert_eq!(code(twice), Code::NoRebuild);
    let other = ask(&store, &tally, Mode::Replace).await;
    assert!(matches!(other, Err(RebuildError::Running)), "{other:?}");
    let by_hand = rebuild(&store, &tally, &tenant(), options(Mode::Replace), |_| {}).await;
    assert!(matches!(by_hand, Err(RebuildError::Paused)), "{by_hand:?}");
    let resting = newest(&store).await;
    assert!(resting.paused && resting.phase == "folding", "{resting:?}");

    resume_rebuild(&store, TENANT, "tally", &ann())
        .await
        .unwrap();
    let swapped = comes_to(&store, "swapped").await;
    assert_eq!(swapped.generation, asked.generation);
    caught_up(db.pool(), "tally").await;
    let decided = decided(&store).await;
    let expect = [Action::Rebuild, Action::PauseRebuild, Action::ResumeRebuild];
    assert_eq!(decided, expect.map(Action::as_str));
    consumers.stop().await;
}

fn code<T: std::fmt::Debug>(refused: Result<T, daybook::consumers::ConsumerError>) -> Code {
    refused.unwrap_err().refusal().unwrap().code
}

/// What was decided, the first first; each by whom and why.
async fn decided(store: &Store) -> Vec<String> {
    let all = decisions(store, TENANT, Some("tally"), None, 100)
        .await
        .unwrap();
    let all = all.into_iter().rev().map(|decision| {
        assert_eq!(decision.by, "user:ann");
        assert_eq!(decision.reason.as_deref(), Some("a test's own"));
        decision.action
    });
    all.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_in_another_process_is_cancelled_and_the_next_can_begin() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 20_000, 90).await;
    let tally = slow();
    let process = Process::start(db.options(), vec![tally.clone()]);
    ask(&store, &tally, Mode::Replace).await.unwrap();
    eventually("it is under way", async || done_ranges(db.pool()).await > 0).await;
    let cancelled = cancel_rebuild(&store, TENANT, "tally", &ann())
        .await
        .unwrap();
    assert_eq!(cancelled.phase, "cancelled");
    nobody_at_it(db.pool()).await;
    assert_eq!(live(db.pool(), "tally").await.1, 1);
    let again = cancel_rebuild(&store, TENANT, "tally", &ann()).await;
    assert_eq!(code(again), Code::NoRebuild);
    let next = ask(&store, &tally, Mode::Replace).await.unwrap();
    let swapped = comes_to(&store, "swapped").await;
    assert_eq!(swapped.generation, next.generation);
    caught_up(db.pool(), "tally").await;
    drop(process);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_its_code() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 100, 9).await;
    let tally = Tally::named("tally");
    let consumers = Consumers::start(store.clone(), vec![tally.clone()], reads_only())
        .await
        .unwrap();
    let refusal = async |mode| {
        let refused = consumers
            .ask_rebuild(TENANT, "tally", options(mode), None)
            .await;
        refused.unwrap_err().refusal().unwrap()
    };
    let unknown = consumers.ask_rebuild(TENANT, "nonsense", options(Mode::Replace), None);
    let unknown = unknown.await.unwrap_err().refusal().unwrap();
    assert_eq!(unknown.code, Code::ReadModelUnknown);
    let nothing = refusal(Mode::RollBack).await;
    assert_eq!(nothing.code, Code::NothingKept);
    let up_to = Position(101);
    let beyond = refusal(Mode::Scratch { up_to }).await;
    assert_eq!(
        (beyond.code, &beyond.details["max"]),
        (Code::OutOfRange, &"100".into())
    );
    let in_use = drop_generation(&store, TENANT, "tally", 1, &ann()).await;
    assert_eq!(code(in_use), Code::GenerationInUse);
    let nowhere = drop_generation(&store, TENANT, "tally", 7, &ann()).await;
    assert_eq!(code(nowhere), Code::NotFound);

    let keyed = async |mode| {
        let key = Some("k1");
        consumers
            .ask_rebuild(TENANT, "tally", options(mode), key)
            .await
    };
    let first = keyed(Mode::Replace).await.unwrap();
    let again = keyed(Mode::Replace).await.unwrap();
    assert_eq!(first.generation, again.generation);
    let other = keyed(Mode::RollBack).await.unwrap_err().refusal().unwrap();
    assert_eq!(other.code, Code::IdempotencyKeyReused);
    let running = refusal(Mode::Replace).await;
    assert_eq!(running.code, Code::RebuildRunning);
    assert_eq!(
        decided(&store).await,
        ["rebuild"],
        "refusals are no decisions"
    );
}

fn reads_only() -> daybook::consumers::ConsumerSettings {
    daybook::consumers::ConsumerSettings {
        project: false,
        ..super::scene::settings()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_ask_at_once_get_one_rebuild() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 100, 9).await;
    let tally = Tally::named("tally");
    let asking = (0..8).map(|_| {
        let (store, tally) = (store.clone(), tally.clone());
        tokio::spawn(async move { ask(&store, &tally, Mode::Replace).await })
    });
    let mut asked = Vec::new();
    for one in asking.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Ok(rebuild) => asked.push(rebuild.generation),
            Err(error) => assert!(matches!(error, RebuildError::Running), "{error:?}"),
        }
    }
    assert_eq!(asked, [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generation_that_is_kept_takes_its_place_again_and_nobody_sees_the_past() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 2_000, 9).await;
    let tally = Tally::named("tally");
    let consumers = start(&store, std::slice::from_ref(&tally)).await;
    caught_up(db.pool(), "tally").await;
    let done = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn(read_on(db.pool().clone(), done.clone()));
    let writing = tokio::spawn(write_on(db.pool().clone(), done.clone()));
    ask(&store, &tally, Mode::Replace).await.unwrap();
    comes_to(&store, "swapped").await;

    for (number, storage) in [(3, 1), (4, 2)] {
        let asked = ask(&store, &tally, Mode::RollBack).await.unwrap();
        assert_eq!(asked.generation, number);
        eventually("it answers again", async || {
            live(db.pool(), "tally").await.1 == number
        })
        .await;
        let stored: i32 =
            sqlx::query_scalar("select storage from generations where state = 'live'")
                .fetch_one(db.pool())
                .await
                .unwrap();
        assert_eq!(stored, storage, "the tables it had");
    }
    // what is built next has tables of its own, and the kept ones go
    ask(&store, &tally, Mode::Replace).await.unwrap();
    eventually("it answers", async || live(db.pool(), "tally").await.1 == 5).await;
    done.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    let (_, generation) = reading.await.unwrap();
    assert_eq!(generation, 5);
    caught_up(db.pool(), "tally").await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select tablename::text from pg_tables where schemaname = 'read' order by 1",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert_eq!(tables, ["tally_g2", "tally_g5"]);
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_row_that_differs_is_told_with_both_its_values() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 2_000, 9).await;
    let tally = Tally::named("tally");
    let consumers = start(&store, std::slice::from_ref(&tally)).await;
    caught_up(db.pool(), "tally").await;
    let (truth, ..) = live(db.pool(), "tally").await;
    let f3 = truth["f3"].0;
    let differs = async |tampering: &str| {
        sqlx::raw_sql(tampering).execute(db.pool()).await.unwrap();
        let compared = RebuildOptions {
            compare: true,
            ..options(Mode::Replace)
        };
        let outcome = rebuild(&store, &tally, &tenant(), compared, |_| {}).await;
        let Err(RebuildError::DigestsDiffer { difference, .. }) = outcome else {
            panic!("{outcome:?}");
        };
        let recorded = newest(&store).await;
        assert_eq!(recorded.phase, "failed");
        assert!(recorded.digests.is_some_and(|(old, new)| old != new));
        assert_eq!(recorded.difference.as_ref(), difference.as_deref());
        difference.unwrap().to_string()
    };
    let more = "update read.tally_g1 set n = n + 1 where fleet in ('f3', 'f5')";
    let expect = format!("tally fleet=f3: n was {}, is {f3}", f3 + 1);
    assert_eq!(differs(more).await, expect);
    let lost = "delete from read.tally_g1 where fleet = 'f1'";
    let (n, positions) = truth["f1"];
    let expect =
        format!("tally fleet=f1: n was nothing, is {n}, positions was nothing, is {positions}");
    assert_eq!(differs(lost).await, expect);
    assert_eq!(
        live(db.pool(), "tally").await.1,
        1,
        "the old one still answers"
    );
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_as_of_a_position_is_a_fold_of_the_log_up_to_it_and_stays_so() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 3_000, 9).await;
    let tally = Tally::named("tally");
    let consumers = start(&store, std::slice::from_ref(&tally)).await;
    caught_up(db.pool(), "tally").await;
    let bounded = |up_to| RebuildOptions {
        scratches_max: 3,
        ..options(Mode::Scratch {
            up_to: Position(up_to),
        })
    };
    let built = async |up_to| {
        let asked = ask_rebuild(&store, &tally, TENANT, &bounded(up_to), None).await?;
        eventually("it is built", async || {
            newest(&store).await.phase == "built"
        })
        .await;
        Ok::<_, RebuildError>(asked.generation)
    };
    let mut made = Vec::new();
    for up_to in [0, 1_234, 3_000] {
        made.push((built(up_to).await.unwrap(), up_to));
    }
    append_many(db.pool(), 500, 9).await;
    caught_up(db.pool(), "tally").await;
    for (generation, up_to) in &made {
        let counts = counts(db.pool(), *generation).await;
        assert_eq!(
            counts,
            truth(db.pool(), Position(*up_to)).await,
            "as of {up_to}"
        );
    }
    assert_eq!(
        live(db.pool(), "tally").await.1,
        1,
        "the live one is another"
    );
    assert_eq!(
        built(1_234).await.unwrap(),
        made[1].0,
        "it is there already"
    );
    let full = built(7).await.unwrap_err().refusal().unwrap();
    assert_eq!(
        (full.code, &full.details["limit"]),
        (Code::ScratchLimit, &3.into())
    );

    drop_generation(&store, TENANT, "tally", made[0].0, &ann())
        .await
        .unwrap();
    let other = built(7).await.unwrap();
    let there = generations(&store, TENANT, Some("tally")).await.unwrap();
    let scratches: Vec<_> = there.iter().filter(|g| g.state == "scratch").collect();
    assert_eq!(scratches.len(), 3);
    assert_eq!(
        counts(db.pool(), other).await,
        truth(db.pool(), Position(7)).await
    );
    // a rebuild drops what is kept, and none of these
    ask(&store, &tally, Mode::Replace).await.unwrap();
    comes_to(&store, "swapped").await;
    assert_eq!(
        counts(db.pool(), other).await,
        truth(db.pool(), Position(7)).await
    );
    consumers.stop().await;
}

async fn counts(pool: &PgPool, generation: i32) -> Counts {
    let mut conn = pool.acquire().await.unwrap();
    tally::counts(&mut conn, "tally", generation).await
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_told_while_a_rebuild_goes_on() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    append_many(db.pool(), 20_000, 90).await;
    let tally: Arc<dyn AnyProjection> = Arc::new(Tally {
        fold_pause: Duration::from_millis(2),
        ..Tally::default()
    });
    let process = Process::start(db.options(), vec![tally.clone()]);
    let asked = ask(&store, &tally, Mode::Replace).await.unwrap();
    assert_eq!((asked.events_per_second, asked.eta()), (None, None));
    eventually("it is told how fast it is", async || {
        let told = newest(&store).await;
        let under_way = told.eta().is_some() && told.done_events > 0;
        assert!(under_way || !told.is_over(), "never told");
        under_way
    })
    .await;
    cancel_rebuild(&store, TENANT, "tally", &ann())
        .await
        .unwrap();
    assert_eq!(newest(&store).await.eta(), None);
    drop(process);
}
