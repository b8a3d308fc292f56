//! Questions in SQL: what is answered, what is cut off, what is refused.

use std::time::{Duration, Instant};

use daybook::analysts::{AnalystError, Question};
use serde_json::json;

use super::scene::{SOON, Scene, TALLY, TENANT, append_many};
use crate::support::TestApp;

/// Three fleets in the tally, and nobody at work.
async fn three_fleets(change: impl FnOnce(&mut daybook::analysts::AnalystSettings)) -> Scene {
    let scene = Scene::with(change).await;
    append_many(scene.db.pool(), 100, 3).await;
    scene.install(TALLY).await.unwrap();
    let consumers = scene.start(&[]).await;
    scene.reaches("fleet_tally", domain::Position(100)).await;
    consumers.stop().await;
    scene
}

#[tokio::test]
async fn a_question_is_answered_with_columns_rows_and_how_far() {
    let scene = three_fleets(|_| {}).await;
    let question = Question {
        sql: "with big as (select * from fleet_tally where events > $1::bigint)
              select fleet, events, now() > $2::timestamptz as late, null::date, fleet from big order by 1"
            .to_owned(),
        parameters: vec![Some("0".to_owned()), Some("2020-01-01".to_owned())],
        first: Some(2),
        as_of: None,
    };
    let answered = scene.analysts.ask(TENANT, &question).await.unwrap();
    let columns: Vec<_> = answered.columns.iter().map(|(n, t)| (&**n, &**t)).collect();
    let expected = [
        ("fleet", "text"),
        ("events", "int8"),
        ("late", "bool"),
        ("date", "date"),
        ("fleet", "text"),
    ];
    assert_eq!(columns, expected);
    let rows: Vec<_> = answered.rows.iter().map(|r| r.get()).collect();
    assert_eq!(rows.len(), 2);
    assert!(
        rows[0].starts_with("[\"f0\", 2") && rows[0].ends_with(", true, null, \"f0\"]"),
        "{}",
        rows[0]
    );
    assert!(answered.cut, "there are three");
    assert_eq!(
        answered.read,
        [("fleet_tally".to_owned(), domain::Position(100))]
    );
}

#[tokio::test]
async fn what_a_question_may_not_is_told_in_words_and_changes_nothing() {
    let scene = three_fleets(|settings| settings.query_timeout = SOON).await;
    let before = scene.db.dump().await;
    for (sql, expected) in [
        ("delete from fleet_tally", "exactly one statement"),
        ("select 1; select 2", "exactly one statement"),
        (
            "with d as (delete from fleet_tally returning 1) select * from d",
            "only SELECT",
        ),
        (
            "select * from events",
            "there is no relation events here; there are: fleet_tally",
        ),
        (
            "select * from read.heatmap_g1",
            "no relation read.heatmap_g1",
        ),
        ("select * from pg_authid", "no relation pg_authid"),
        ("select pg_sleep(10)", "pg_sleep() is not allowed"),
        (
            "select set_config('role', 'daybook', false)",
            "set_config() is not allowed",
        ),
        (
            "select current_setting('data_directory')",
            "current_setting() is not allowed",
        ),
        (
            "select pg_read_file('/etc/passwd')",
            "pg_read_file() is not allowed",
        ),
        (
            "select lo_import('/etc/passwd')",
            "lo_import() is not allowed",
        ),
        (
            "select dblink('dbname=x', 'select 1')",
            "no function dblink",
        ),
        (
            "select query_to_xml('select 1', true, true, '')",
            "query_to_xml() is not allowed",
        ),
        ("select nextval('x')", "nextval() is not allowed"),
        (
            "select n.pg_sleep from unnest(array[5.0::float8]) as n",
            "no relation pg_sleep",
        ),
        (
            "select n.lo_get from unnest(array[5]) as n",
            "lo_get() is not allowed",
        ),
        (
            "select 1::bpchar('5), pg_backend_pid(), (2')",
            "there is no type bpchar",
        ),
        ("select xpath('/a', '<a/>')", "it cannot be ended"),
        (
            "select pg_advisory_lock(1)",
            "pg_advisory_lock() is not allowed",
        ),
        ("select pg_notify('a', 'b')", "pg_notify() is not allowed"),
        ("copy fleet_tally to program 'sh'", "cannot be read"),
        ("set role daybook", "exactly one statement"),
        ("create temp table t (i int)", "exactly one statement"),
        (
            "select nosuch from fleet_tally",
            "column \"nosuch\" does not exist",
        ),
        ("select 1 / 0", "division by zero"),
        ("select $1", "names 1 parameters, and 0 are given"),
    ] {
        let said = scene.said(sql).await;
        assert!(
            said.contains(expected) || said.contains("exactly one statement"),
            "{sql}: {said}"
        );
    }
    assert_eq!(scene.db.dump().await, before);
}

#[tokio::test]
async fn an_answer_without_end_is_bounded_in_time_rows_and_bytes() {
    let scene = three_fleets(|settings| {
        settings.query_timeout = SOON;
        settings.rows_max = 1_000;
        settings.answer_bytes_max = 20_000;
    })
    .await;
    let began = Instant::now();
    let slow = scene
        .ask("select count(*) from generate_series(1, 10000000000) a")
        .await;
    assert!(matches!(slow, Err(AnalystError::TooLong(_))), "{slow:?}");
    let endless =
        "with recursive r as (select 1 as n union all select n from r) select count(*) from r";
    let endless = scene.ask(endless).await;
    assert!(
        matches!(endless, Err(AnalystError::TooLong(_))),
        "{endless:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(10));

    let many = scene
        .ask("select n from generate_series(1, 2000) n")
        .await
        .unwrap();
    assert!(many.cut);
    assert_eq!(many.rows.len(), 1_000);
    let large = "select string_agg(n::text, ',') from generate_series(1, 100) n, generate_series(1, 200) g group by g";
    let large = scene.ask(large).await.unwrap();
    assert!(large.cut);
    assert!((30..80).contains(&large.rows.len()), "{}", large.rows.len());
    let one = scene
        .ask("select string_agg(n::text, ',') from generate_series(1, 30000) n")
        .await
        .unwrap();
    assert!(one.cut && one.rows.is_empty());
    let none = scene
        .ask("select * from fleet_tally where false")
        .await
        .unwrap();
    assert!(!none.cut && none.rows.is_empty());
}

#[tokio::test]
async fn the_api_answers_auditors_with_stable_codes() {
    let app = TestApp::start().await;
    let analysts = app.app().consumers.analysts().unwrap();
    let examined = analysts.examine("default", TALLY).await.unwrap();
    daybook::consumers::install(app.store(), analysts, "default", &examined, "ann")
        .await
        .unwrap();
    app.data(
        "mutation { createFleet(input: { id: \"f\", name: \"F\" }) { receipt { position } } }",
        json!({}),
    )
    .await;
    let ask = "query($sql: String!, $params: [String], $rows: Int) {
        analystQuery(sql: $sql, params: $params, rows: $rows) {
            columns { name type } rows cut projections { name position } } }";
    let mut data = json!(null);
    crate::support::eventually("the fleet is counted", async || {
        let variables =
            json!({ "sql": "select fleet, events + $1::int from fleet_tally", "params": ["1"] });
        data = app.data(ask, variables).await["analystQuery"].clone();
        data["rows"] == json!([["f", 2]])
    })
    .await;
    assert_eq!(data["cut"], false);
    assert_eq!(data["columns"][1]["type"], "int8");
    assert_eq!(data["projections"][0]["name"], "fleet_tally");
    for (sql, rows, code) in [
        ("select pg_sleep(1)", None, "SQL_REFUSED"),
        ("select 1/0", None, "SQL_FAILED"),
        ("select 1", Some(0), "SQL_REFUSED"),
        ("select 1", Some(10_001), "SQL_REFUSED"),
    ] {
        let answer = app.ask(ask, json!({ "sql": sql, "rows": rows })).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], code,
            "{sql}: {answer}"
        );
    }
    let listed = app
        .data("{ projections { name status version } }", json!({}))
        .await;
    let listed = listed["projections"].as_array().unwrap();
    assert!(
        listed
            .iter()
            .any(|p| p["name"] == "fleet_tally" && p["status"] == "running")
    );
}

#[tokio::test]
async fn a_connection_that_has_gone_meanwhile_is_made_anew() {
    let scene = three_fleets(|_| {}).await;
    let kept = scene.rows("select * from fleet_tally").await;
    let ended: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where usename = 'daybook_analyst' and datname = current_database()",
    )
    .fetch_one(scene.db.pool())
    .await
    .unwrap();
    assert!(ended > 0);
    assert_eq!(scene.rows("select * from fleet_tally").await, kept);
}

#[tokio::test]
async fn a_text_is_answered_as_it_was_written() {
    let scene = Scene::new().await;
    let told = scene
        .rows(r"select 'a''''b', '\', 'pg_sleep(1)--', substring('abc' from 2), -1, 3=-3")
        .await;
    assert_eq!(
        told,
        [r#"["a''b", "\\", "pg_sleep(1)--", "bc", -1, false]"#]
    );
}

#[tokio::test]
async fn until_a_new_version_is_built_the_old_columns_are_asked() {
    let scene = three_fleets(|_| {}).await;
    let renamed = TALLY
        .replace("version: 1", "version: 2")
        .replace("value: events", "value: count_of")
        .replace("as events", "as count_of");
    scene.install(&renamed).await.unwrap();
    assert_eq!(
        scene
            .rows("select fleet, events from fleet_tally")
            .await
            .len(),
        3
    );
    assert_eq!(
        scene
            .ask("select * from fleet_tally")
            .await
            .unwrap()
            .columns
            .len(),
        3
    );
}

#[tokio::test]
async fn a_new_connection_is_shown_nobodys_rows() {
    let scene = Scene::new().await;
    sqlx::query(
        "insert into analyst_sessions select 'other', n
         from generate_series(pg_backend_pid(), pg_backend_pid() + 20000) n",
    )
    .execute(scene.db.pool())
    .await
    .unwrap();
    scene.analysts.examine(TENANT, TALLY).await.unwrap();
    let left: (i64, i64) = sqlx::query_as(
        "select count(*), count(s.backend) from pg_stat_activity a
         left join analyst_sessions s on s.backend = a.pid
         where usename = 'daybook_analyst' and datname = current_database()",
    )
    .fetch_one(scene.db.pool())
    .await
    .unwrap();
    assert!(left.0 > 0);
    assert_eq!(left.1, 0);
}
