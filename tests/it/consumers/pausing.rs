//! Three processes over one log, of which one after the other is stopped in the middle of its work and
//! wakes up after it was replaced: what it had in hand is never written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::Position;
use projections::AnyProjection;
use sqlx::{Executor as _, PgPool};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::scene::{append_many, caught_up, jitter, live, start_with, store, truth};
use super::tally::Tally;
use crate::support::{Child, TestDb, eventually};

const LOG: &str = "DAYBOOK_TEST_SHARED_LOG";

/// As many read models as processes, so that each has one.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// How long a silent owner keeps its work: short, for there are many pauses, but longer than a busy machine
/// keeps a process from its turn that nobody has paused.
const LEASE_MS: u64 = 1_200;

const PAUSES: u64 = 20;

/// Every checkpoint that was ever committed, and how often one was refused, which no rollback undoes.
const WATCH: &str = "
    create table watched (
        id bigint generated always as identity, projection text, before bigint, after bigint,
        fence bigint, had_fence bigint);
    create function watch() returns trigger language plpgsql security definer as $$
    begin
        insert into public.watched (projection, before, after, fence, had_fence)
        values (new.projection, old.position, new.position, new.fence, old.fence);
        return null;
    end $$;
    create trigger watch after update of position on generations for each row
        when (new.position <> old.position) execute function watch();
    create sequence refused;
    alter function advance_generation rename to advance_in_truth;
    create function advance_generation(text, text, integer, text, bigint, bigint, bigint) returns void
        language plpgsql as $$
    begin
        perform advance_in_truth($1, $2, $3, $4, $5, $6, $7);
    exception when sqlstate 'DB001' then
        perform nextval('public.refused');
        raise;
    end $$;
    grant usage on sequence refused to daybook_app;";

/// As if whoever holds a lease had been silent for too long.
const STEAL: &str = "
    update leases set expires_at = '-infinity', owner = gen_random_uuid()
    where resource like 'projection/%'";

fn three() -> Vec<Arc<dyn AnyProjection>> {
    NAMES.map(Tally::named).to_vec()
}

/// What the committed checkpoints say against the fence: each goes on where the one before it ended, and
/// none comes from an owner that had been replaced.
async fn flaws(pool: &PgPool) -> Vec<String> {
    let steps: Vec<(String, i64, i64, i64, i64)> = sqlx::query_as(
        "select projection, before, after, fence, had_fence from watched order by id",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let (mut at, mut found) = (BTreeMap::new(), Vec::new());
    for (projection, before, after, fence, had_fence) in steps {
        let (reached, token) = at
            .insert(projection.clone(), (after, fence))
            .unwrap_or((0, 0));
        let in_turn = before == reached && after > before;
        if !in_turn || fence < token || fence < had_fence {
            found.push(format!(
                "{projection} from {before} to {after} by {fence}, after {reached} by {token}"
            ));
        }
    }
    for name in NAMES {
        let (counts, _, position) = live(pool, name).await;
        if counts != truth(pool, position).await {
            found.push(format!("{name} at {position} is no fold"));
        }
    }
    found
}

/// Who holds which read model's lease, if it has not expired: its owner and token by resource.
async fn held(pool: &PgPool) -> BTreeMap<String, (Uuid, i64)> {
    let held: Vec<(String, Uuid, i64)> = sqlx::query_as(
        "select resource, owner, token from leases
         where resource like 'projection/%' and expires_at > clock_timestamp()",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let by_resource = held
        .into_iter()
        .map(|(at, owner, token)| (at, (owner, token)));
    by_resource.collect()
}

/// Waits until each of the processes has its one read model.
async fn shared_out(pool: &PgPool) -> BTreeMap<String, (Uuid, i64)> {
    let mut last = BTreeMap::new();
    eventually("each process has one read model", async || {
        last = held(pool).await;
        let owners: BTreeSet<Uuid> = last.values().map(|(owner, _)| *owner).collect();
        owners.len() == NAMES.len()
    })
    .await;
    last
}

fn keep_writing(pool: PgPool) -> JoinHandle<()> {
    tokio::spawn(async move {
        for n in 0.. {
            append_many(&pool, 1 + n % 4, 5).await;
            tokio::time::sleep(jitter(n.cast_unsigned(), 6)).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_owner_is_replaced_and_never_commits_what_it_had_in_hand() {
    let db = TestDb::create().await;
    drop(store(db.options()).await);
    let pool = db.pool();
    pool.execute(WATCH).await.unwrap();
    let told = db.url();
    let told = [(LOG, told.as_ref())];
    let children = [(); 3].map(|()| Child::start("consumers::pausing::shares_the_work", &told));
    let writing = keep_writing(pool.clone());
    for pause in 0..PAUSES {
        let before = shared_out(pool).await;
        tokio::time::sleep(jitter(pause, 20)).await;
        let child = &children[(pause % 3) as usize];
        child.pause();
        // Every other time nobody waits until the lease has expired, and all owners lose theirs: they
        // find out by being refused.
        let stolen = pause % 2 == 1;
        if stolen {
            pool.execute(STEAL).await.unwrap();
        }
        eventually("somebody has taken over", async || {
            let now = held(pool).await;
            let grown = |at: &String| now[at].1 > before[at].1;
            let taken = now.keys().filter(|at| grown(at)).count();
            now.len() == 3 && taken >= if stolen { 3 } else { 1 }
        })
        .await;
        // Those who are awake bring all of it up to here.
        let head: i64 = sqlx::query_scalar("select position from logs")
            .fetch_one(pool)
            .await
            .unwrap();
        for name in NAMES {
            eventually("the others have done its work", async || {
                live(pool, name).await.2 >= Position(head)
            })
            .await;
        }
        child.go_on();
    }
    shared_out(pool).await;
    writing.abort();
    assert!(writing.await.unwrap_err().is_cancelled());
    for name in NAMES {
        caught_up(pool, name).await;
    }
    assert_eq!(flaws(pool).await, [""; 0]);
    let refused: i64 = sqlx::query_scalar("select last_value - 1 + is_called::int from refused")
        .fetch_one(pool)
        .await
        .unwrap();
    let batches: i64 = sqlx::query_scalar("select count(*) from watched")
        .fetch_one(pool)
        .await
        .unwrap();
    eprintln!(
        "three processes: {PAUSES} pauses, {PAUSES} taken over, {batches} batches committed, \
         {refused} refused to owners that had been replaced: 0 violations"
    );
}

/// No test by itself: what a child runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_the_work() {
    let Ok(url) = std::env::var(LOG) else { return };
    let store = store(url.parse().unwrap()).await;
    let _consumers = start_with(&store, &three(), LEASE_MS).await;
    Child::abandoned().await;
}

/// The negative control: walls with a hole, and the check that sees what comes through.
#[tokio::test]
async fn a_fence_with_a_hole_is_noticed() {
    let real = "position = old and fence <= token";
    // (the wall, who comes with which bookmark and token, what stands there afterwards)
    let holes = [
        (real, "position = old", (10, 1)),
        (real, "fence <= token", (7, 9)),
    ];
    let mut caught = 0;
    for (whole, hole, (from, token)) in holes {
        let db = TestDb::create().await;
        let store = store(db.options()).await;
        let pool = db.pool();
        append_many(pool, 10, 3).await;
        let consumers = start_with(&store, &three(), LEASE_MS).await;
        for name in NAMES {
            caught_up(pool, name).await;
        }
        consumers.stop().await;
        // From here on what is watched; the truth of what came before is in the rows.
        let body: String =
            sqlx::query_scalar("select pg_get_functiondef('advance_generation'::regproc)")
                .fetch_one(pool)
                .await
                .unwrap();
        assert!(body.contains(whole), "{body}");
        for (wall, seen) in [(whole, false), (hole, true)] {
            pool.execute(&*body.replace(whole, wall)).await.unwrap();
            let come = format!(
                "update generations set fence = 5;
                 select advance_generation('default', 'a', 1, 'live', {from}, 11, {token})"
            );
            let passed = sqlx::raw_sql(&come).execute(pool).await.is_ok();
            assert_eq!(passed, seen, "{wall}");
        }
        sqlx::raw_sql(WATCH).execute(pool).await.unwrap();
        sqlx::query(
            "insert into watched (projection, before, after, fence, had_fence)
             values ('a', 0, 10, 5, 5), ('a', $1, 11, $2, 5)",
        )
        .bind(from)
        .bind(token)
        .execute(pool)
        .await
        .unwrap();
        caught += usize::from(!flaws(pool).await.is_empty());
    }
    eprintln!("fence: mutants caught {caught}/{}", holes.len());
    assert_eq!(caught, holes.len());
}
