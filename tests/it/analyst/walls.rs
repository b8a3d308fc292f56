//! The second wall: what the analysts' login can do by itself, if what reads its SQL before let anything through.

use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::scene::{Scene, TALLY, append_many};

/// A connection as the projections have it, without anything that reads the SQL before.
async fn logged_in(scene: &Scene) -> PgConnection {
    let options = scene.db.options().username("daybook_analyst");
    PgConnection::connect_with(&options).await.unwrap()
}

const BEGIN: &str = "begin transaction isolation level repeatable read read only; \
    set local search_path = pg_catalog; set local statement_timeout = 1000";

#[tokio::test]
async fn the_login_can_do_nothing_but_read_what_it_was_granted() {
    let scene = Scene::new().await;
    append_many(scene.db.pool(), 100, 3).await;
    scene.install(TALLY).await.unwrap();
    let consumers = scene.start(&[]).await;
    scene.reaches("fleet_tally", domain::Position(100)).await;
    consumers.stop().await;
    let own: String =
        sqlx::query_scalar("select 'read.' || tablename from pg_tables where schemaname = 'read'")
            .fetch_one(scene.db.pool())
            .await
            .unwrap();
    let before = scene.db.dump().await;
    let mut conn = logged_in(&scene).await;
    let denied = "permission denied";
    let hostile = [
        ("select * from public.events", denied),
        ("select * from public.logs", denied),
        ("select * from public.analyst_sessions", denied),
        ("select * from public.sql_projections", denied),
        ("delete from public.events", "read-only"),
        (
            "insert into public.analyst_sessions values ('default', pg_backend_pid())",
            "read-only",
        ),
        ("create temp table t (i int)", "read-only"),
        ("create table public.t (i int)", "read-only"),
        ("select pg_catalog.pg_read_file('/etc/passwd')", denied),
        ("select pg_catalog.pg_ls_dir('/')", denied),
        ("select pg_catalog.lo_import('/etc/passwd')", denied),
        ("copy (select 1) to program 'true'", "must be superuser"),
        ("copy (select 1) to '/tmp/x'", "must be superuser"),
        (
            "select pg_catalog.set_config('role', 'daybook_app', false)",
            denied,
        ),
        ("set role daybook", denied),
        ("set session authorization daybook", denied),
        (
            "select pg_catalog.set_config('transaction_read_only', 'off', false)",
            "before any query",
        ),
        (
            "select * from pg_catalog.query_to_xml('select * from public.events', true, true, '')",
            denied,
        ),
        ("select * from pg_catalog.pg_authid", denied),
        (
            "select public.advance_generation('default', 'x', 1, 'live', 0, 1, 1)",
            "does not exist",
        ),
        ("select pg_catalog.pg_sleep(5)", "statement timeout"),
        ("select pg_catalog.pg_reload_conf()", denied),
    ];
    for (sql, expected) in hostile {
        conn.execute(BEGIN).await.unwrap();
        // something was read before, as it is when a SELECT goes wrong in its middle
        conn.execute("select 1").await.unwrap();
        let said = conn.execute(sql).await.expect_err(sql).to_string();
        assert!(
            said.contains(expected) || said.contains(denied),
            "{sql}: {said}"
        );
        conn.execute("rollback").await.unwrap();
    }
    // Unbound it sees no row; and `read write` gives it no right.
    let seen: i64 = sqlx::query_scalar(&format!("select count(*) from {own}"))
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(seen, 0);
    for sql in [
        format!("delete from {own}"),
        format!("update {own} set tenant = 'x'"),
        format!("alter table {own} disable row level security"),
        "create table public.t (i int)".to_owned(),
        "create table read.t (i int)".to_owned(),
        "create function public.f() returns int language sql as 'select 1'".to_owned(),
        "alter role daybook_analyst superuser".to_owned(),
        "insert into public.analyst_sessions values ('default', 1)".to_owned(),
    ] {
        let said = conn
            .execute(sql.as_str())
            .await
            .expect_err(&sql)
            .to_string();
        assert!(
            said.contains("must be") || said.contains(denied),
            "{sql}: {said}"
        );
    }
    assert_eq!(scene.db.dump().await, before);
}

#[tokio::test]
async fn a_setting_that_is_changed_in_the_middle_is_taken_back() {
    let scene = Scene::with(|settings| settings.connections_max = 1).await;
    let mut conn = logged_in(&scene).await;
    conn.execute(BEGIN).await.unwrap();
    conn.execute("select set_config('statement_timeout', '0', false), set_config('search_path', 'read', false)")
        .await
        .unwrap();
    conn.execute("rollback").await.unwrap();
    let kept: (String, String) = sqlx::query_as(
        "select current_setting('statement_timeout'), current_setting('search_path')",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_ne!(kept.1, "read");
}

/// What the first wall should never have let through, as if it had: a function that says of itself that it depends
/// on its arguments alone, and leaves behind what outlives its transaction; and one that looks for it.
const LEFT_BEHIND: &str = "
    create function pg_catalog.stain_session() returns void language plpgsql volatile as $$
    begin
        perform pg_advisory_lock(4711);
        if not exists (select from pg_prepared_statements where name = 'stain') then
            execute 'prepare stain as select 1';
        end if;
    end $$;
    create function pg_catalog.stain() returns integer language plpgsql immutable as $$
    begin
        perform stain_session();
        return pg_backend_pid();
    end $$;
    create function pg_catalog.stains() returns text language sql immutable as $$
        select pg_backend_pid() || ':'
               || (select count(*) from pg_prepared_statements where name = 'stain')
               || (select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory')
    $$";

#[tokio::test]
async fn what_a_question_leaves_in_its_session_never_reaches_the_next() {
    let scene = Scene::with(|settings| settings.connections_max = 1).await;
    scene.db.pool().execute(LEFT_BEHIND).await.unwrap();
    // Within one question it is there: the test finds what it looks for.
    let both = scene.rows("select stain(), stains()").await;
    let (backend, seen): (i32, String) = serde_json::from_str(&both[0]).unwrap();
    assert_eq!(seen, format!("{backend}:11"));
    let next = scene.rows("select stains()").await;
    assert_eq!(
        next,
        [format!("[\"{backend}:00\"]")],
        "the same connection, and clean"
    );
    let held: i64 = sqlx::query_scalar(
        "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711
           and database = (select oid from pg_database where datname = current_database())",
    )
    .fetch_one(scene.db.pool())
    .await
    .unwrap();
    assert_eq!(held, 0);
}

#[tokio::test]
async fn rows_of_one_tenant_are_shown_to_its_own_questions_alone() {
    let scene = Scene::new().await;
    append_many(scene.db.pool(), 100, 3).await;
    scene.install(TALLY).await.unwrap();
    let consumers = scene.start(&[]).await;
    scene.reaches("fleet_tally", domain::Position(100)).await;
    sqlx::query("insert into logs (tenant) values ('other')")
        .execute(scene.db.pool())
        .await
        .unwrap();
    let said = scene.ask_of("other", "select * from fleet_tally").await;
    assert!(
        said.unwrap_err()
            .to_string()
            .contains("no relation fleet_tally")
    );
    let examined = scene.analysts.examine("other", TALLY).await.unwrap();
    let installed =
        daybook::consumers::install(&scene.store, &scene.analysts, "other", &examined, "eve").await;
    installed.unwrap();
    assert_eq!(
        scene
            .ask_of("other", "select * from fleet_tally")
            .await
            .unwrap()
            .rows
            .len(),
        0
    );
    assert_eq!(scene.rows("select * from fleet_tally").await.len(), 3);

    // The tables of both, by a connection that is bound to one: the other's rows are not there.
    let mut conn = logged_in(&scene).await;
    let backend: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    let tables: Vec<String> =
        sqlx::query_scalar("select 'read.' || tablename from pg_tables where schemaname = 'read'")
            .fetch_all(scene.db.pool())
            .await
            .unwrap();
    assert_eq!(tables.len(), 2);
    for (tenant, expected) in [("other", 0), ("default", 3)] {
        sqlx::query("insert into analyst_sessions values ($1, $2)")
            .bind(tenant)
            .bind(backend)
            .execute(scene.db.pool())
            .await
            .unwrap();
        let mut seen = 0;
        for table in &tables {
            let sql = format!("select count(*) from {table}");
            seen += sqlx::query_scalar::<_, i64>(&sql)
                .fetch_one(&mut conn)
                .await
                .unwrap();
        }
        assert_eq!(seen, expected, "{tenant}");
        sqlx::query("delete from analyst_sessions where backend = $1")
            .bind(backend)
            .execute(scene.db.pool())
            .await
            .unwrap();
    }
    consumers.stop().await;
}

#[tokio::test]
async fn a_login_that_may_do_more_is_not_used() {
    let scene = Scene::new().await;
    let mighty = crate::support::url_of(&scene.db.options());
    let settings = daybook::analysts::AnalystSettings {
        url: Some(mighty),
        query_timeout: Duration::from_secs(2),
        ..Default::default()
    };
    let analysts = daybook::analysts::Analysts::new(scene.store.clone(), settings).unwrap();
    let said = analysts
        .examine("default", TALLY)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(said.contains("not daybook_analyst"), "{said}");
    assert!(said.contains("create role daybook_analyst login"), "{said}");
    sqlx::query("grant create on schema public to public")
        .execute(scene.db.pool())
        .await
        .unwrap();
    let said = scene.said("select 1").await;
    assert!(said.contains("may make tables of its own"), "{said}");
}
