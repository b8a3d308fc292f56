//! Several processes: shared work, failover, and fencing of owners that have been replaced.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use daybook::consumers::Consumers;
use projections::AnyProjection;

use super::scene::{Process, TENANT, append_many, caught_up, jitter, live, start_with, store};
use super::tally::Tally;
use crate::support::{TestDb, eventually};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn four() -> Vec<Arc<dyn AnyProjection>> {
    NAMES.map(Tally::named).to_vec()
}

async fn owned(consumers: &Consumers) -> usize {
    consumers
        .status(TENANT)
        .await
        .unwrap()
        .iter()
        .filter(|s| s.owned_here)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_the_work_and_survive_each_other() {
    let db = TestDb::create().await;
    let first = Process::start(db.options(), four());
    let pool = db.pool().clone();
    let writing = tokio::spawn(async move {
        for n in 0..400 {
            append_many(&pool, 3, 5).await;
            tokio::time::sleep(jitter(n, 12)).await;
        }
    });
    eventually("one has all", async || owned(&first.consumers).await == 4).await;
    let second = Process::start(db.options(), four());
    eventually("both have two", async || {
        owned(&first.consumers).await == 2 && owned(&second.consumers).await == 2
    })
    .await;
    let third = Process::start(db.options(), four());
    eventually("nobody is without, nobody has more than two", async || {
        let of = [&first, &second, &third].map(|p| &p.consumers);
        let counts = [owned(of[0]).await, owned(of[1]).await, owned(of[2]).await];
        counts.iter().sum::<usize>() == 4 && counts.iter().all(|c| *c <= 2)
    })
    .await;
    drop(first);
    drop(second);
    eventually("the last has all", async || {
        owned(&third.consumers).await == 4
    })
    .await;
    writing.await.unwrap();
    for name in NAMES {
        caught_up(db.pool(), name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_owner_cannot_write_after_it_lost_the_lease() {
    let db = TestDb::create().await;
    let paused = Arc::new(Tally::default());
    paused.gated.store(true, Ordering::SeqCst);
    let first = Process::start(db.options(), vec![paused.clone()]);
    append_many(db.pool(), 100, 3).await;
    eventually("it is about to commit", async || {
        paused.at_gate.load(Ordering::SeqCst) == 1
    })
    .await;

    // the database believes that the owner is gone; the owner does not know. Its process may be the one
    // that takes the free lease: then that is taken away as well
    let second = Process::start(db.options(), vec![Tally::named("tally")]);
    let mut looks = 0;
    eventually("the work has a new owner", async || {
        if looks % 200 == 0 {
            sqlx::query("update leases set expires_at = '-infinity', owner = gen_random_uuid()")
                .execute(db.pool())
                .await
                .unwrap();
        }
        looks += 1;
        owned(&second.consumers).await == 1
    })
    .await;
    paused.gate.add_permits(100);
    paused.gated.store(false, Ordering::SeqCst);
    append_many(db.pool(), 100, 3).await;
    caught_up(db.pool(), "tally").await;
    drop((first, second));
}

#[tokio::test]
async fn an_older_token_never_moves_a_newer_ones_checkpoint() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = super::scene::start(&store, &[Tally::named("tally")]).await;
    append_many(db.pool(), 10, 3).await;
    caught_up(db.pool(), "tally").await;
    // (old position, token, accepted): position 10 is where it stands, the token is the owner's
    let token: i64 = sqlx::query_scalar("select fence from generations")
        .fetch_one(db.pool())
        .await
        .unwrap();
    consumers.stop().await;
    let cases = [
        (9, token, false),
        (11, token, false),
        (10, token - 1, false),
        (10, token, true),
        (11, token + 1, true),
        (12, token, false),
    ];
    for (old, token, accepted) in cases {
        let moved =
            sqlx::query("select advance_generation('default', 'tally', 1, 'live', $1, $1 + 1, $2)")
                .bind(old)
                .bind(token)
                .execute(db.pool())
                .await;
        let code = moved
            .err()
            .and_then(|e| Some(e.as_database_error()?.code()?.into_owned()));
        let expected = (!accepted).then(|| "DB001".to_owned());
        assert_eq!(code, expected, "from {old} with token {token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_side_by_side_fold_every_event_once() {
    let db = TestDb::create().await;
    let first = Process::start(db.options(), four());
    let pool = db.pool().clone();
    let writing = tokio::spawn(async move {
        for n in 0..300 {
            append_many(&pool, 1 + n % 5, 5).await;
            tokio::time::sleep(jitter(n as u64, 10)).await;
        }
    });
    let mut processes = vec![first];
    for kill in 0..8 {
        processes.push(Process::start(db.options(), four()));
        tokio::time::sleep(Duration::from_millis(150) + jitter(kill, 300)).await;
        processes.remove(0);
    }
    writing.await.unwrap();
    for name in NAMES {
        caught_up(db.pool(), name).await;
        assert_eq!(live(db.pool(), name).await.1, 1);
    }
}

/// A renewal that is under way when its lease is given back, and comes to the row after that.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_stays_given_back() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let pool = db.pool();
    // Before the statement looks for rows, and so before it waits for any.
    let slow = "
        create function dawdle() returns trigger language plpgsql as $$
        begin
            if current_query() like '%unnest%' then perform pg_sleep(0.3); end if;
            return null;
        end $$;
        create trigger dawdle before update on leases for each statement execute function dawdle();";
    sqlx::raw_sql(slow).execute(pool).await.unwrap();
    let dawdling = async || {
        let count: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event = 'PgSleep'",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        count > 0
    };
    let consumers = start_with(&store, &four(), 2_000).await;
    eventually("all is at work", async || owned(&consumers).await == 4).await;
    eventually("leases are being renewed", dawdling).await;
    consumers.stop().await;
    eventually("nobody renews any more", async || !dawdling().await).await;
    let held: Vec<String> =
        sqlx::query_scalar("select resource from leases where expires_at > clock_timestamp()")
            .fetch_all(pool)
            .await
            .unwrap();
    assert_eq!(held, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_is_one_process_s_until_that_is_gone() {
    let db = TestDb::create().await;
    let first = Process::start(db.options(), vec![]);
    let second = Process::start(db.options(), vec![]);
    let [mut ours, mut theirs] = [&first, &second].map(|process| process.consumers.duty("test"));
    let mut other = second.consumers.duty("another");
    let tenant: Arc<str> = TENANT.into();
    for _ in 0..3 {
        assert!(ours.is_ours(&tenant).await.unwrap());
        assert!(!theirs.is_ours(&tenant).await.unwrap());
        assert!(other.is_ours(&tenant).await.unwrap());
    }
    drop(ours);
    eventually("the other has taken over", async || {
        theirs.is_ours(&tenant).await.unwrap()
    })
    .await;
    let mut late = first.consumers.duty("test");
    assert!(!late.is_ours(&tenant).await.unwrap());
}
