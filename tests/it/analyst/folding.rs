//! Folding in SQL: the same as in Rust, however the log is cut, whoever is killed.

use daybook::analysts::Question;
use daybook::consumers::{Consumers, Decider, Mode, RebuildOptions, Status, rebuild};
use tokio::runtime::Runtime;

use super::scene::{
    RULES, SOON, Scene, TALLY, TENANT, append, append_many, in_parallel, start, status_of, stopped,
    tenant,
};
use crate::consumers::scene::{self, CREATED, truth};
use crate::consumers::tally::Tally;
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn the_fold_in_sql_is_the_fold_in_rust_and_what_the_log_says() {
    let scene = Scene::new().await;
    append_many(scene.db.pool(), 6_000, 40).await;
    scene.install(TALLY).await.unwrap();
    let consumers = scene.start(&[Tally::named("tally")]).await;
    for _ in 0..20 {
        append_many(scene.db.pool(), 30, 40).await;
    }
    let head = append_many(scene.db.pool(), 7, 40).await;
    scene.reaches("fleet_tally", head).await;
    scene::caught_up(scene.db.pool(), "tally").await;
    let (in_rust, ..) = scene::live(scene.db.pool(), "tally").await;
    assert_eq!(scene.tally().await, in_rust);
    assert_eq!(in_rust, truth(scene.db.pool(), head).await);
    let status = status_of(&consumers, "fleet_tally").await;
    assert_eq!((status.status, status.lag_events), (Status::Running, 0));
    assert!(status.owned_here);
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuilt_in_parallel_it_is_what_was_folded_live_whatever_the_rule() {
    let scene = Scene::new().await;
    scene.install(RULES).await.unwrap();
    scene.install(TALLY).await.unwrap();
    let consumers = scene.start(&[]).await;
    for n in 0..30 {
        append_many(scene.db.pool(), 1 + 17 * n, 12).await;
    }
    let head = append_many(scene.db.pool(), 1, 12).await;
    for name in ["rules", "fleet_tally"] {
        scene.reaches(name, head).await;
        let model = scene.model(name).await;
        let rebuilt = rebuild(&scene.store, &model, &tenant(), in_parallel(), |_| {}).await;
        let rebuilt = rebuilt.unwrap();
        assert!(rebuilt.digest.is_some_and(|d| !d.contains("=0:")), "{name}");
        assert_eq!(scene.live(name).await.0, rebuilt.generation);
    }
    let told = scene
        .rows("select kind, sum(mean_parts)::text, max(newest) is not null, min(least), max(highest) from rules group by 1 order by 1")
        .await;
    let expected: Vec<String> = sqlx::query_scalar(
        "select json_build_array(event_type, trim_scale(sum(position / 10.0))::text, true,
                min(aggregate_id collate \"C\"), max(sqrt(position)))::text
         from events where event_type in ('fleet.created', 'vehicle.reinstated') group by event_type order by 1",
    )
    .fetch_all(scene.db.pool())
    .await
    .unwrap();
    assert_eq!(told, expected);
    let by_position: (String, String) = sqlx::query_as(
        "select (array_agg(aggregate_id order by position))[1], max(position)::text
         from events where event_type = 'fleet.created'",
    )
    .fetch_one(scene.db.pool())
    .await
    .unwrap();
    let told = scene
        .rows("select first_stream, last_payload ->> 'at' from rules where kind = 'fleet.created' order by hour")
        .await;
    let (first, last) = (told.first().unwrap(), told.last().unwrap());
    assert!(first.contains(&by_position.0), "{first}");
    assert!(last.contains(&by_position.1), "{last}");
    consumers.stop().await;
}

/// Consumers on a runtime of their own, gone at once when it is.
fn elsewhere(scene: &Scene) -> (Runtime, Consumers) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let options = scene.db.options();
    let starting = std::thread::spawn(move || {
        let consumers = runtime.block_on(async {
            let store = scene::store(options).await;
            let analysts = daybook::analysts::Analysts::new(store.clone(), Default::default());
            start(&store, &analysts.unwrap(), &[]).await
        });
        (runtime, consumers)
    });
    starting.join().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_after_a_kill_goes_on_from_the_checkpoint() {
    let scene = Scene::new().await;
    scene.install(TALLY).await.unwrap();
    let mut before = domain::Position(0);
    for kill in 0..5 {
        let (runtime, _consumers) = elsewhere(&scene);
        append_many(scene.db.pool(), 20_000, 300).await;
        eventually("it has begun", async || {
            scene.live("fleet_tally").await.2 > before
        })
        .await;
        tokio::time::sleep(scene::jitter(kill, 60)).await;
        runtime.shutdown_background();
        let at = scene.live("fleet_tally").await.2;
        assert!(at > before);
        before = at;
    }
    let consumers = scene.start(&[]).await;
    let head = append_many(scene.db.pool(), 1, 300).await;
    scene.reaches("fleet_tally", head).await;
    assert_eq!(scene.tally().await, truth(scene.db.pool(), head).await);
    assert_eq!(scene.live("fleet_tally").await.0, 1, "nothing was rebuilt");
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_never_take_the_connections_that_fold() {
    let scene = Scene::with(|settings| {
        settings.connections_max = 1;
        settings.fold_connections_max = 1;
    })
    .await;
    scene.install(TALLY).await.unwrap();
    let analysts = scene.analysts.clone();
    let asking = tokio::spawn(async move {
        let question = Question {
            sql: "select count(*) from generate_series(1, 10000000000) a".to_owned(),
            parameters: Vec::new(),
            first: None,
            as_of: None,
        };
        analysts.ask(TENANT, &question).await
    });
    eventually("it is asked", async || {
        let asked: bool = sqlx::query_scalar(
            "select count(*) = 1 from pg_stat_activity where usename = 'daybook_analyst'
               and datname = current_database() and query like '%10000000000%' and state = 'active'",
        )
        .fetch_one(scene.db.pool())
        .await
        .unwrap();
        asked
    })
    .await;
    let consumers = scene.start(&[]).await;
    let head = append_many(scene.db.pool(), 1_000, 3).await;
    scene.reaches("fleet_tally", head).await;
    assert!(
        !asking.is_finished(),
        "the one connection for questions is taken all along"
    );
    asking.abort();
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_the_sql_cannot_take_stops_it_there_until_someone_decides() {
    let scene = Scene::with(|settings| settings.fold_timeout = SOON).await;
    let failing = TALLY.replace("sum(position)", "sum(position / (position - 777))");
    scene.install(&failing).await.unwrap();
    let slow = TALLY.replace("fleet_tally", "slow").replace(
        "sum(position)",
        "sum((select count(*) from generate_series(1, case position when 444 then 3000000000 else 1 end)))",
    );
    scene.install(&slow).await.unwrap();
    let consumers = scene.start(&[]).await;
    let head = append_many(scene.db.pool(), 2_001, 9).await;
    for (name, at, said) in [
        ("fleet_tally", 777, "division by zero"),
        ("slow", 444, "took longer than 300ms"),
    ] {
        let status = stopped(&consumers, name).await;
        assert_eq!(status.position.0, at - 1);
        let error = status.error.unwrap();
        assert!(error.contains(&format!("position {at}")), "{error}");
        assert!(error.contains(said), "{error}");
        let skipped = consumers
            .skip("default", name, domain::Position(at), "ann", "known")
            .await;
        skipped.unwrap();
        scene.reaches(name, head).await;
    }
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_one_rests_and_a_resumed_one_goes_on() {
    let scene = Scene::new().await;
    scene.install(TALLY).await.unwrap();
    let consumers = scene.start(&[]).await;
    let at = append_many(scene.db.pool(), 100, 3).await;
    scene.reaches("fleet_tally", at).await;
    consumers
        .pause("default", "fleet_tally", &Decider::of("test"))
        .await
        .unwrap();
    let head = append_many(scene.db.pool(), 100, 3).await;
    tokio::time::sleep(SOON).await;
    assert_eq!(scene.live("fleet_tally").await.2, at);
    consumers
        .resume("default", "fleet_tally", &Decider::of("test"))
        .await
        .unwrap();
    scene.reaches("fleet_tally", head).await;
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_personal_is_null_and_old_shapes_are_never_seen() {
    let scene = Scene::new().await;
    let users = "-- projection: users\n-- version: 1\n-- events: user.registered, fleet.created\n\
        -- key: id text\n-- value: payload jsonb last\n-- value: actor text last\n\
        -- value: version text last\n\
        select aggregate_id as id, payload, metadata ->> 'actor' as actor, event_version as version, position from events";
    scene.install(users).await.unwrap();
    let consumers = scene.start(&[]).await;
    let golden = include_str!("../../../domain/tests-data/golden/user.registered.v1.json");
    append(
        scene.db.pool(),
        "u1",
        &[("user", "user.registered", "1", golden.trim())],
    )
    .await;
    let head = append(scene.db.pool(), "f1", &[CREATED]).await;
    scene.reaches("users", head).await;
    let rows = scene
        .rows("select payload, actor, version from users order by id")
        .await;
    assert_eq!(rows[0], r#"[{"name": "Buses"}, "user:ann", "1"]"#);
    assert!(rows[1].contains(r#""email": null"#), "{}", rows[1]);
    assert!(!rows[1].contains("sealed"), "{}", rows[1]);
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_was_rolled_back_to_answers_from_the_tables_it_has() {
    let scene = Scene::new().await;
    scene.install(TALLY).await.unwrap();
    let consumers = scene.start(&[]).await;
    let head = append_many(scene.db.pool(), 500, 12).await;
    scene.reaches("fleet_tally", head).await;
    let model = scene.model("fleet_tally").await;
    for (mode, generation) in [(Mode::Replace, 2), (Mode::RollBack, 3)] {
        let options = RebuildOptions {
            mode,
            ..RebuildOptions::default()
        };
        let rebuilt = rebuild(&scene.store, &model, &tenant(), options, |_| {}).await;
        assert_eq!(rebuilt.unwrap().generation, generation);
        assert_eq!(scene.tally().await, truth(scene.db.pool(), head).await);
    }
    consumers.stop().await;
}

#[tokio::test]
async fn sums_and_values_do_not_depend_on_how_the_log_is_cut() {
    let scene = Scene::new().await;
    append_many(scene.db.pool(), 300, 5).await;
    // halves make wholes, which are written with as many digits either way
    let sums = "-- projection: sums\n-- version: 1\n-- events: fleet.*, vehicle.*\n-- key: kind text\n\
        -- value: total numeric sum\n\
        select event_type as kind, sum(case when position % 2 = 1 then 0.5 else 0.25 end) as total \
        from events group by 1";
    scene.install(sums).await.unwrap();
    // what was said nowhere is passed over, whoever is folded with it
    let nowhere = "-- projection: nowhere\n-- version: 1\n-- events: fleet.*, vehicle.*\n-- key: kind text\n\
        -- value: newest text last\n\
        select event_type as kind, event_id::text as newest, \
        case when position % 2 = 0 then position end as position from events";
    scene.install(nowhere).await.unwrap();
}
