//! Installing, raising and removing an analyst's projection.

use daybook::analysts::Addition;
use daybook::consumers::{
    Decider, RebuildOptions, ask_rebuild, decisions, generations, rebuilds, remove,
};

use super::scene::{Scene, TALLY, TENANT, append_many};
use crate::consumers::scene::truth;
use crate::support::eventually;

async fn refused(scene: &Scene, source: &str) -> String {
    scene.install(source).await.expect_err(source).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_version_is_built_beside_the_old_one() {
    let scene = Scene::new().await;
    append_many(scene.db.pool(), 3_000, 20).await;
    assert_eq!(scene.install(TALLY).await.unwrap(), Addition::New);
    assert_eq!(scene.install(TALLY).await.unwrap(), Addition::Same);
    let consumers = scene.start(&[]).await;
    let head = append_many(scene.db.pool(), 10, 20).await;
    scene.reaches("fleet_tally", head).await;

    let other = TALLY.replace("sum(position)", "sum(position) * 2");
    let said = refused(&scene, &other).await;
    assert!(
        said.contains("version 1 of fleet_tally is installed"),
        "{said}"
    );
    let raised = other.replace("version: 1", "version: 2");
    assert_eq!(scene.install(&raised).await.unwrap(), Addition::Raised);
    let said = refused(&scene, TALLY).await;
    assert!(
        said.contains("version 2 of fleet_tally is installed"),
        "{said}"
    );
    eventually("the new version answers", async || {
        scene.live("fleet_tally").await.1 == 2
    })
    .await;
    let head = append_many(scene.db.pool(), 10, 20).await;
    scene.reaches("fleet_tally", head).await;
    let mut doubled = truth(scene.db.pool(), head).await;
    doubled.values_mut().for_each(|(_, sum)| *sum *= 2);
    assert_eq!(scene.tally().await, doubled);
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_leaves_no_table_and_its_versions_are_spent() {
    let scene = Scene::new().await;
    scene.install(TALLY).await.unwrap();
    let consumers = scene.start(&[]).await;
    let head = append_many(scene.db.pool(), 500, 20).await;
    scene.reaches("fleet_tally", head).await;
    remove(&scene.store, TENANT, "fleet_tally", &Decider::of("test"))
        .await
        .unwrap();
    assert!(
        remove(&scene.store, TENANT, "fleet_tally", &Decider::of("test"))
            .await
            .is_err()
    );
    let tables: i64 =
        sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'read'")
            .fetch_one(scene.db.pool())
            .await
            .unwrap();
    assert_eq!(tables, 0);
    let said = scene.said("select * from fleet_tally").await;
    assert!(said.contains("no relation fleet_tally"), "{said}");
    eventually("it is not listed", async || {
        consumers.status(TENANT).await.unwrap().is_empty()
    })
    .await;

    let said = refused(&scene, &TALLY.replace("count(*)", "count(*) + 0")).await;
    assert!(said.contains("take a higher one"), "{said}");
    let higher = TALLY.replace("version: 1", "version: 2");
    assert_eq!(scene.install(&higher).await.unwrap(), Addition::New);
    scene.reaches("fleet_tally", head).await;
    assert_eq!(scene.tally().await, truth(scene.db.pool(), head).await);
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_takes_its_rebuild_along_and_waits_for_no_reader() {
    let scene = Scene::new().await;
    scene.install(TALLY).await.unwrap();
    append_many(scene.db.pool(), 50, 5).await;
    let (model, by) = (scene.model("fleet_tally").await, Decider::of("test"));
    let options = RebuildOptions::default();
    ask_rebuild(&scene.store, &model, TENANT, &options, None)
        .await
        .unwrap();
    let mut reading = projections::begin(scene.db.pool(), "begin").await.unwrap();
    let read = format!("select from read.{}_g1", model.tables()[0]);
    sqlx::query(&read).execute(&mut *reading).await.unwrap();

    remove(&scene.store, TENANT, "fleet_tally", &by)
        .await
        .unwrap();
    let ended = rebuilds(&scene.store, TENANT, None, None, 9).await.unwrap();
    let phases: Vec<_> = ended.iter().map(|rebuild| &*rebuild.phase).collect();
    assert_eq!(phases, ["cancelled"]);
    let decided = decisions(&scene.store, TENANT, None, None, 9)
        .await
        .unwrap();
    let decided: Vec<_> = decided.iter().map(|one| (&*one.action, &*one.by)).collect();
    assert_eq!(decided, [("cancel_rebuild", "test")]);
    let left = generations(&scene.store, TENANT, None).await.unwrap();
    let left: Vec<_> = left.iter().map(|g| (g.generation, &*g.state)).collect();
    assert_eq!(left, [(1, "kept")], "the one that is read");
}

#[tokio::test]
async fn a_file_that_does_not_fit_is_refused_before_anything_is_made() {
    let scene = Scene::with(|settings| settings.projections_max = 1).await;
    for (instead_of, put, expected) in [
        (
            "-- key: fleet text",
            "-- key: fleet int",
            "line 5: there is no type \"int\" here",
        ),
        (
            "as events",
            "as evnts",
            "names a column events that the SQL does not yield",
        ),
        (
            "as events",
            "as events, 1 as more",
            "yields a column more that the header does not name",
        ),
        ("bigint sum", "bigint last", "must yield a column position"),
        ("events bigint sum", "events date max", "cannot cast"),
        ("from events", "from event", "no relation event here"),
        (
            "aggregate_id as",
            "agregate_id as",
            "column \"agregate_id\" does not exist",
        ),
        (
            "count(*)",
            "count(*) + (random() * 0)",
            "random() is not allowed",
        ),
        (
            "count(*)",
            "count(*) + extract(year from now())",
            "now() is not allowed",
        ),
        (
            "count(*)",
            "count(nextval('x'))",
            "nextval() is not allowed",
        ),
        (
            "count(*)",
            "count(pg_sleep(1))",
            "pg_sleep() is not allowed",
        ),
        ("count(*)", "count(nosuch(1))", "no function nosuch"),
        (
            "count(*)",
            "count(repeat('x', 1000000000))",
            "repeat() is not allowed",
        ),
        ("fleet_tally", "heatmap", "a read model of Daybook's own"),
    ] {
        let said = refused(&scene, &TALLY.replacen(instead_of, put, 1)).await;
        assert!(said.contains(expected), "{put}: {said}");
    }
    let rows: i64 = sqlx::query_scalar(
        "select (select count(*) from sql_projections) + (select count(*) from generations)",
    )
    .fetch_one(scene.db.pool())
    .await
    .unwrap();
    assert_eq!(rows, 0);
    scene.install(TALLY).await.unwrap();
    let said = refused(&scene, &TALLY.replace("fleet_tally", "another")).await;
    assert!(said.contains("1 projections are installed"), "{said}");
}

#[tokio::test]
async fn a_fold_whose_parts_do_not_merge_is_found_out_where_the_log_shows_it() {
    let scene = Scene::new().await;
    let distinct = "-- projection: fleets_an_hour\n-- version: 1\n-- events: fleet.*\n\
        -- key: hour timestamptz\n-- value: fleets bigint sum\n\
        select date_trunc('hour', recorded_at) as hour, count(distinct aggregate_id) as fleets \
        from events group by 1";
    let before = scene.analysts.examine(TENANT, distinct).await;
    assert!(before.is_ok(), "nothing shows it yet");
    append_many(scene.db.pool(), 500, 7).await;
    let said = refused(&scene, distinct).await;
    assert!(said.contains("folded in two parts, 400 events"), "{said}");
    let mean = distinct.replace("count(distinct aggregate_id)", "avg(position)::bigint");
    assert!(refused(&scene, &mean).await.contains("cannot be merged"));
    scene.install(TALLY).await.unwrap();
    let failing = TALLY
        .replace("fleet_tally", "failing")
        .replace("sum(position)", "sum(position / (position - 8))");
    assert!(refused(&scene, &failing).await.contains("division by zero"));
}
