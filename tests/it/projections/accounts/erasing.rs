//! What is left of an erased user: that they were there, however the rows came to be.

use daybook::consumers::{RebuildOptions, rebuild};
use domain::session::SessionEvent;
use domain::{Event, Recorded};
use projections::Target;
use projections::accounts::{self, UserStatus, session, user};

use super::super::order::digest_of;
use super::super::scene::{TENANT, create_tables, read_model, write};
use super::recorded;
use super::scene::World;
use crate::support::eventually;

/// All rows of a generation's tables, as text.
async fn rows(world: &World, generation: i32) -> String {
    let model = read_model(accounts::NAME);
    let target = Target {
        tenant: TENANT,
        generation,
    };
    let mut rows = Vec::new();
    for base in model.tables() {
        let sql = format!("select t::text from {} t", target.table(base));
        let of_table: Vec<String> = sqlx::query_scalar(&sql)
            .fetch_all(world.db.pool())
            .await
            .unwrap();
        assert!(!of_table.is_empty(), "{base} has rows");
        rows.extend(of_table);
    }
    rows.join("\n")
}

/// The sealed texts of all events about a user.
fn sealed_texts(log: &[Recorded<Event>], user: &str) -> Vec<String> {
    let about = |event: &&Recorded<Event>| match &event.event {
        Event::User(_) => event.aggregate_id.as_ref() == user,
        Event::Session(SessionEvent::SessionStarted(e)) => e.user_id == user,
        _ => false,
    };
    let payloads = log.iter().filter(about).map(|e| e.event.payload().unwrap());
    let texts = payloads.flat_map(|payload| {
        let parts = payload.split("{\"sealed\":\"").skip(1);
        let texts = parts.map(|part| part.split('"').next().unwrap().to_owned());
        texts.collect::<Vec<_>>()
    });
    texts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_erased_user_no_row_says_anything_whatever_came_first() {
    let world = World::new().await;
    let model = read_model(accounts::NAME);
    let mut snap = world.snapshot().await;
    let eve = user(&mut snap, "eve").await.unwrap().unwrap();
    assert_eq!(eve.status(), UserStatus::Erased);
    assert!(eve.erased_at.is_some() && eve.deactivated_at.is_some());
    let personal = [eve.email, eve.name, eve.deactivated_reason];
    assert_eq!(personal, [None, None, None]);
    let evil = session(&mut snap, "evil").await.unwrap().unwrap();
    assert_eq!(
        (evil.user_agent, evil.ip, evil.outdated),
        (None, None, true)
    );
    drop(snap);

    let log = world.log().await;
    let (eves, adas) = (sealed_texts(&log, "eve"), sealed_texts(&log, "ada"));
    // E-mail, name, reason and address and client of one session; e-mail, name and five sessions.
    assert_eq!((eves.len(), adas.len()), (5, 12));
    let expected = digest_of(&world.db, &*model, 1).await;
    // As it was folded live; then one by one, and backwards, and backwards in batches.
    for (generation, batch, backwards) in
        [(1, 0, false), (11, 1, false), (12, 1, true), (13, 7, true)]
    {
        if batch > 0 {
            create_tables(&world.db, &*model, generation).await;
            let mut batches: Vec<_> = log.chunks(batch).collect();
            if backwards {
                batches.reverse();
            }
            for batch in batches {
                write(&world.db, &*model, generation, batch).await;
            }
        }
        assert_eq!(digest_of(&world.db, &*model, generation).await, expected);
        let rows = rows(&world, generation).await;
        assert!(adas.iter().all(|text| rows.contains(text)));
        for gone in &eves {
            assert!(!rows.contains(gone), "generation {generation}");
        }
        for hash in ["a".repeat(64), "b".repeat(64)] {
            assert!(!rows.contains(&hash), "a key's hash stays in the log");
        }
    }

    // And as a rebuild does it, by two workers in many ranges.
    let options = RebuildOptions {
        range_events: 3,
        compare: true,
        ..RebuildOptions::default()
    };
    let rebuilt = rebuild(&world.store, &model, &TENANT.into(), options, |_| {}).await;
    assert!(rebuilt.unwrap().digest.is_some(), "it was compared");
    world.consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_and_a_session_written_at_once_leave_nothing() {
    let world = World::new().await;
    let model = read_model(accounts::NAME);
    create_tables(&world.db, &*model, 9).await;
    let log = world.log().await;
    let started = recorded(&log, "evil", "session.started").clone();
    let erased = recorded(&log, "eve", "user.personal_data_erased").clone();
    for (first, second) in [(&started, &erased), (&erased, &started)] {
        sqlx::query("truncate read.accounts_users_g9, read.accounts_sessions_g9")
            .execute(world.db.pool())
            .await
            .unwrap();
        let target = Target {
            tenant: TENANT,
            generation: 9,
        };
        let mut tx = projections::begin(world.db.pool(), "begin").await.unwrap();
        let mut delta = model.delta();
        model.fold(&mut delta, first).unwrap();
        model.write(&mut tx, &target, delta).await.unwrap();
        // The other begins while the first is not committed: it is through, or waits, before it is.
        let beside = {
            let (options, model, event) = (world.db.options(), model.clone(), second.clone());
            tokio::spawn(async move {
                let pool = sqlx::PgPool::connect_with(options).await.unwrap();
                let mut tx = projections::begin(&pool, "begin").await.unwrap();
                let mut delta = model.delta();
                model.fold(&mut delta, &event).unwrap();
                model.write(&mut tx, &target, delta).await.unwrap();
                tx.commit().await.unwrap();
                pool.close().await;
            })
        };
        eventually("the other writer waits or is through", async || {
            beside.is_finished() || waits(&world).await
        })
        .await;
        tx.commit().await.unwrap();
        beside.await.unwrap();
        let rows: Vec<String> = sqlx::query_scalar(
            "select s::text from read.accounts_sessions_g9 s
             where user_id = 'eve' and user_agent_sealed is null and ip_sealed is null",
        )
        .fetch_all(world.db.pool())
        .await
        .unwrap();
        assert_eq!(rows.len(), 1, "the session is there, and says nothing");
    }
    world.consumers.stop().await;
}

async fn waits(world: &World) -> bool {
    let waiting: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'",
    )
    .fetch_one(world.db.pool())
    .await
    .unwrap();
    waiting > 0
}
