//! A fault before and after every write of a batch and of a rebuild, and at their commits: readers see a
//! fold of the log at every moment, and the work comes to its end once.

use std::collections::BTreeSet;
use std::sync::Arc;

use daybook::consumers::{RebuildError, RebuildOptions, rebuild};
use daybook::store::Store;
use projections::AnyProjection;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::scene::{append_many, start, store, tenant, truth};
use super::tally::{self, Tally};
use crate::support::{Action, Child, Fault, Proxy, Step, TestDb, Trap, eventually, url_of};

const LOG: &str = "DAYBOOK_TEST_WORK_LOG";
const WORK: &str = "DAYBOOK_TEST_WORK";

/// The words of a batch's transaction, and of a swap's.
const BATCH: &str = "advance_generation";
const SWAP: &str = "set phase = 'swapped'";

/// What is on the way when a fault befalls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Taking over a read model and folding what is new into it.
    Following,
    /// Building its next generation.
    Rebuilding,
}

impl Work {
    fn steps(self) -> Vec<Step> {
        let (following, rebuilding) = (
            "new.resource like 'projection/%'",
            "new.resource like 'rebuild/%'",
        );
        let moves = "new.position <> old.position and new.state = 'live'";
        let around: Vec<[Step; 2]> = match self {
            Work::Following => vec![
                Step::around("update", "leases", following),
                Step::around(
                    "update",
                    "generations",
                    "new.fence <> old.fence and new.position = old.position",
                ),
                Step::around("update", "generations", moves),
                Step::around("insert", "read", ""),
                Step::around("update", "read", ""),
            ],
            Work::Rebuilding => vec![
                Step::around("update", "leases", rebuilding),
                Step::around("insert", "generations", ""),
                Step::around("insert", "rebuilds", ""),
                Step::around("insert", "rebuild_ranges", ""),
                Step::around("update", "rebuild_ranges", ""),
                Step::around("insert", "read", ""),
                Step::around(
                    "update",
                    "generations",
                    "new.fence <> old.fence and new.state = 'building'",
                ),
                Step::around(
                    "update",
                    "generations",
                    "new.position <> old.position and new.state = 'building'",
                ),
                Step::around("update", "rebuilds", "new.phase = 'catching_up'"),
                Step::around("update", "generations", "new.state = 'kept'"),
                Step::around(
                    "update",
                    "generations",
                    "new.state = 'live' and old.state <> 'live'",
                ),
                Step::around("update", "rebuilds", "new.phase = 'swapped'"),
            ],
        };
        let at_commit = match self {
            Work::Following => vec![Step::at_commit("update", "generations", moves)],
            Work::Rebuilding => vec![
                Step::new_table(),
                Step::at_commit("insert", "rebuilds", ""),
                Step::at_commit("update", "rebuild_ranges", ""),
                Step::at_commit("update", "rebuilds", "new.phase = 'swapped'"),
            ],
        };
        around.into_iter().flatten().chain(at_commit).collect()
    }
}

/// A log, a read model that follows it, and traps.
struct Scene {
    db: TestDb,
    trap: Trap,
    fleets: i64,
}

impl Scene {
    async fn new(work: Work) -> Scene {
        let db = TestDb::create().await;
        let trap = Trap::plant(&db, &work.steps()).await;
        drop(store(db.options()).await);
        append_many(db.pool(), 40, 5).await;
        let mut scene = Scene {
            db,
            trap,
            fleets: 5,
        };
        scene.follow().await;
        if work == Work::Rebuilding {
            // Steps that only a second rebuild comes to, such as taking over a lease that is there.
            scene.rebuild_until_done().await;
        }
        scene
    }

    /// Events of fleets that are known and of one that is new.
    async fn append(&mut self) {
        self.fleets += 1;
        append_many(self.db.pool(), 2 * self.fleets, self.fleets).await;
    }

    /// A process starts, brings the read model to the head, and stops.
    async fn follow(&mut self) {
        let store = store(self.db.options()).await;
        self.follow_in(&store, &Tally::named("tally")).await;
    }

    async fn follow_in(&mut self, store: &Store, tally: &Arc<dyn AnyProjection>) {
        let consumers = start(store, std::slice::from_ref(tally)).await;
        caught_up_or_wrong(self.db.pool()).await;
        consumers.stop().await;
    }

    /// Whoever held a lease is dead: nobody need wait until it expires.
    async fn bury(&self) {
        sqlx::query("update leases set expires_at = '-infinity'")
            .execute(self.db.pool())
            .await
            .unwrap();
    }

    async fn rebuild_until_done(&mut self) {
        let store = store(self.db.options()).await;
        self.rebuild_in(&store).await;
    }

    /// Rebuilds, again if it failed, and looks each time that nothing is half.
    async fn rebuild_in(&mut self, store: &Store) {
        let before = live_generation(self.db.pool()).await;
        for _ in 0..5 {
            let rebuilt =
                rebuild(store, &Tally::named("tally"), &tenant(), options(), |_| {}).await;
            assert_eq!(flaws(self.db.pool()).await, [""; 0], "{rebuilt:?}");
            if matches!(rebuilt, Err(RebuildError::Running)) {
                // The one that failed could not give its lease back.
                self.bury().await;
            }
            if let Ok(rebuilt) = rebuilt {
                let live = live_generation(self.db.pool()).await;
                assert!(live > before && rebuilt.generation == live);
                return;
            }
        }
        panic!("five faults where one was planted");
    }

    /// The work begins, as it would in production, in this process.
    async fn work(&mut self, work: Work, store: &Store) {
        match work {
            Work::Following => {
                self.append().await;
                self.follow_in(store, &Tally::named("tally")).await;
            }
            Work::Rebuilding => self.rebuild_in(store).await,
        }
    }
}

fn options() -> RebuildOptions {
    RebuildOptions {
        workers: 1,
        slowdown_max: 1.0,
        ..RebuildOptions::default()
    }
}

/// Waits until the read model is at the head or wrong.
async fn caught_up_or_wrong(pool: &PgPool) {
    eventually("the read model is at the head", async || {
        !flaws(pool).await.is_empty() || is_at_head(pool).await
    })
    .await;
}

async fn is_at_head(pool: &PgPool) -> bool {
    let sql = "select exists (select from generations g join logs l using (tenant)
               where g.state = 'live' and g.position = l.position)";
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

async fn live_generation(pool: &PgPool) -> i32 {
    let sql = "select max(generation) from generations where state = 'live'";
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

/// What readers could see at this moment and must not: nothing, if all is well.
async fn flaws(pool: &PgPool) -> Vec<String> {
    let mut found = Vec::new();
    let snapshot = "begin isolation level repeatable read";
    let mut tx = projections::begin(pool, snapshot).await.unwrap();
    let live: Vec<(i32, i64)> =
        sqlx::query_as("select generation, position from generations where state = 'live'")
            .fetch_all(&mut *tx)
            .await
            .unwrap();
    for (generation, position) in &live {
        let counts = tally::counts(&mut tx, "tally", *generation).await;
        // Immutable: what is true up to a position may be looked up outside of the snapshot.
        let truth = truth(pool, domain::Position(*position)).await;
        if counts != truth {
            found.push(format!(
                "generation {generation} at {position} is no fold: {counts:?}"
            ));
        }
    }
    let started = "select count(*) from generations";
    let started: i64 = sqlx::query_scalar(started)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    if started > 0 && live.len() != 1 {
        found.push(format!("{} generations are live", live.len()));
    }
    let tables: BTreeSet<String> = strings(
        &mut tx,
        "select tablename::text from pg_tables where schemaname = 'read'",
    )
    .await;
    let recorded = strings(
        &mut tx,
        "select 'tally_g' || generation from generations where state <> 'dropped'",
    )
    .await;
    if tables != recorded {
        found.push(format!("tables {tables:?} of generations {recorded:?}"));
    }
    let torn = strings(
        &mut tx,
        "select r.generation || ' is ' || r.phase || ' and ' || g.state
         from rebuilds r left join generations g using (tenant, projection, generation)
         where (r.phase = 'swapped') <> (g.state in ('live', 'kept', 'dropped')) and r.phase not in ('cancelled', 'failed')
            or g.state is null
            or not exists (select from rebuild_ranges d where d.generation = r.generation)",
    )
    .await;
    found.extend(torn);
    found
}

async fn strings(conn: &mut sqlx::PgConnection, sql: &str) -> BTreeSet<String> {
    let found: Vec<String> = sqlx::query_scalar(sql).fetch_all(conn).await.unwrap();
    found.into_iter().collect()
}

async fn refused_or_disconnected(work: Work, commit: &'static str) {
    let mut scene = Scene::new(work).await;
    let store = store(scene.db.options()).await;
    let mut faults = 0;
    for step in work.steps() {
        for action in [Action::Refuse, Action::Disconnect] {
            scene.trap.arm(&step, action).await;
            scene.work(work, &store).await;
            let what = format!("{work:?}: {action:?} {}", step.name);
            assert!(scene.trap.is_sprung().await, "{what}: nobody came by");
            assert_eq!(flaws(scene.db.pool()).await, [""; 0], "{what}");
            faults += 1;
        }
    }
    scene.trap.disarm().await;
    let proxy = Proxy::start(&scene.db.options());
    let disturbed = super::scene::store(proxy.options()).await;
    for fault in [Fault::CutBefore, Fault::CutDuring, Fault::SwallowReply] {
        proxy.arm_commit(commit, fault);
        scene.work(work, &disturbed).await;
        assert!(proxy.is_spent(), "{fault:?} befell nobody");
        assert_eq!(flaws(scene.db.pool()).await, [""; 0], "{work:?}: {fault:?}");
        faults += 1;
    }
    eprintln!("{work:?}, refused or disconnected: faults {faults}/{faults}, 0 halves");
}

async fn process_killed(work: Work, commit: &'static str) {
    let mut scene = Scene::new(work).await;
    let store = store(scene.db.options()).await;
    let mut faults = 0;
    for step in work.steps() {
        scene.trap.arm(&step, Action::Hold).await;
        if work == Work::Following {
            scene.append().await;
        }
        let child = work.elsewhere(&scene.db.url());
        let backend = scene.trap.holds().await;
        let what = format!("{work:?}: killed {}", step.name);
        assert_eq!(flaws(scene.db.pool()).await, [""; 0], "{what}: held");
        child.kill9();
        scene.trap.let_go(backend).await;
        assert_eq!(flaws(scene.db.pool()).await, [""; 0], "{what}: dead");
        scene.bury().await;
        scene.work(work, &store).await;
        assert_eq!(flaws(scene.db.pool()).await, [""; 0], "{what}: gone on");
        faults += 1;
    }
    // Committed, and killed before it heard of it.
    let proxy = Proxy::start(&scene.db.options());
    proxy.arm_commit(commit, Fault::Silence);
    let before = live_generation(scene.db.pool()).await;
    scene.append().await;
    if work == Work::Rebuilding {
        scene.follow().await;
    }
    let child = work.elsewhere(&url_of(&proxy.options()));
    let pool = scene.db.pool().clone();
    eventually("it is committed", async || match work {
        Work::Following => is_at_head(&pool).await,
        Work::Rebuilding => live_generation(&pool).await > before,
    })
    .await;
    child.kill9();
    scene.bury().await;
    scene.work(work, &store).await;
    faults += 1;
    eprintln!("{work:?}, process killed: faults {faults}/{faults}, 0 halves");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_meets_a_fault_is_written_once_with_its_checkpoint() {
    refused_or_disconnected(Work::Following, BATCH).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_process_is_killed_is_written_once_with_its_checkpoint() {
    process_killed(Work::Following, BATCH).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_meets_a_fault_swaps_as_a_whole_or_not_at_all() {
    refused_or_disconnected(Work::Rebuilding, SWAP).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_whose_process_is_killed_swaps_as_a_whole_or_not_at_all() {
    process_killed(Work::Rebuilding, SWAP).await;
}

impl Work {
    /// Has a process of its own do it.
    fn elsewhere(self, url: &str) -> Child {
        let work = format!("{self:?}");
        let told = [(LOG, url.as_ref()), (WORK, work.as_ref())];
        Child::start("consumers::faults::works_until_it_is_killed", &told)
    }
}

/// No test by itself: what a child runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn works_until_it_is_killed() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let url = std::env::var(LOG).unwrap();
    // The proxy knows nothing of encryption.
    let options: PgConnectOptions = url.parse().unwrap();
    let store = store(options.ssl_mode(PgSslMode::Disable)).await;
    let tally = Tally::named("tally");
    let _consumers = match &*work {
        "Following" => Some(start(&store, std::slice::from_ref(&tally)).await),
        _ => {
            let _ = rebuild(&store, &tally, &tenant(), self::options(), |_| {}).await;
            None
        }
    };
    Child::abandoned().await;
}

/// The negative control: rows that go their own way, and swaps made in pieces. The same check sees each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_in_pieces_is_caught() {
    let (mut caught, mut mutants) = (0, 0);
    let mut judge = async |what: &str, pool: &PgPool| {
        mutants += 1;
        let found = flaws(pool).await;
        assert!(!found.is_empty(), "nobody notices: {what}");
        caught += 1;
    };
    let moves = "new.position <> old.position and new.state = 'live'";
    for action in [Action::Refuse, Action::Disconnect] {
        let mut scene = Scene::new(Work::Following).await;
        let store = store(scene.db.options()).await;
        let outside: Arc<dyn AnyProjection> = Arc::new(Tally {
            outside: Some(scene.db.pool().clone()),
            ..Tally::default()
        });
        let step = Step::at_commit("update", "generations", moves);
        scene.trap.arm(&step, action).await;
        scene.append().await;
        scene.follow_in(&store, &outside).await;
        judge("rows beside their checkpoint", scene.db.pool()).await;
    }
    let pieces = [
        (
            "the old one is put away",
            "update generations set state = 'kept' where state = 'live'",
        ),
        (
            "the new one is in place",
            "update rebuilds set phase = 'catching_up'",
        ),
        (
            "a range is marked and not written",
            "delete from read.tally_g2 where fleet = 'f1'",
        ),
        (
            "a range is written twice",
            "update read.tally_g2 set n = 2 * n",
        ),
        (
            "tables without a generation",
            "create table read.tally_g9 ()",
        ),
        ("a generation without tables", "drop table read.tally_g1"),
        ("a rebuild without its ranges", "delete from rebuild_ranges"),
    ];
    for (what, piece) in pieces {
        let scene = Scene::new(Work::Rebuilding).await;
        assert_eq!(flaws(scene.db.pool()).await, [""; 0]);
        sqlx::raw_sql(piece).execute(scene.db.pool()).await.unwrap();
        judge(what, scene.db.pool()).await;
    }
    eprintln!("batches and swaps: mutants caught {caught}/{mutants}");
}
