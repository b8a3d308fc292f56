//! The log is append-only, for the program by its grants and for everybody else by triggers.

use daybook::store::{Store, StoreError, StoreSettings};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::scene::{append, flaws, one, settings, store, store_with, tenant, told, write};
use crate::support::TestDb;

const INSUFFICIENT_PRIVILEGE: &str = "42501";

async fn refused(conn: &mut PgConnection, statement: &str) -> Option<String> {
    let done = conn.execute(statement).await;
    let error = done.err()?;
    Some(error.as_database_error()?.code()?.into_owned())
}

#[tokio::test]
async fn nobody_rewrites_the_log() {
    let db = TestDb::create().await;
    let settings = StoreSettings {
        partition_positions: 4,
        ..settings()
    };
    let store = store_with(db.options(), settings).await;
    assert!(store.has_append_only_role());
    let kept = store
        .append(&tenant(), append(vec![write("a", 0, 10)]))
        .await;
    assert_eq!(told(kept), "kept p10 v10");

    let mut tables: Vec<String> = sqlx::query_scalar(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'events'::regclass",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert!(tables.len() >= 3, "{tables:?}");
    tables.push("events".to_owned());
    for table in &tables {
        for role in ["daybook_app", "none"] {
            for statement in [
                format!("update {table} set payload = '{{}}'"),
                format!("update {table} set position = position + 100"),
                format!("delete from {table}"),
                format!("truncate {table}"),
                format!("truncate {table} cascade"),
                format!("with gone as (delete from {table} returning 1) select 1 from gone"),
                format!(
                    "insert into {table} select * from {table} on conflict (tenant, position)
                     do update set payload = '{{}}'"
                ),
            ] {
                let mut conn = PgConnection::connect_with(&db.options()).await.unwrap();
                conn.execute(&*format!("set role {role}")).await.unwrap();
                let code = refused(&mut conn, &statement).await;
                let expected = Some(INSUFFICIENT_PRIVILEGE);
                assert_eq!(code.as_deref(), expected, "as {role}: {statement}");
            }
        }
    }
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn the_program_may_not_unmake_what_guards_the_log() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    assert_eq!(
        told(store.append(&tenant(), one("a", 0)).await),
        "kept p1 v1"
    );
    for statement in [
        "delete from logs",
        "delete from streams",
        "update commands set version = 7",
        "update claims set aggregate_id = 'x'",
        "truncate commands",
        "insert into event_partitions values (7, 8)",
        "drop table events",
        "alter table events disable trigger all",
        "alter table events detach partition events_p0",
        "drop trigger events_immutable on events",
        "create or replace function refuse_rewrite() returns trigger language sql as ''",
        "set session_replication_role = replica",
        "create table public.mine ()",
    ] {
        // The pool's connections work under the role.
        let done = sqlx::raw_sql(statement).execute(store.pool()).await;
        let error = done.expect_err(statement);
        let code = error.as_database_error().and_then(|e| e.code());
        assert_eq!(
            code.as_deref(),
            Some(INSUFFICIENT_PRIVILEGE),
            "{statement}: {error}"
        );
    }
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

/// Without durability, acknowledged is not kept: such a server is refused.
#[tokio::test]
async fn a_server_that_forgets_in_a_crash_is_refused() {
    let db = TestDb::create().await;
    let connect = async |options: PgConnectOptions, unsafe_allowed| {
        let settings = StoreSettings {
            unsafe_allowed,
            ..settings()
        };
        Store::connect(options, settings).await
    };
    let off = db.options().options([("synchronous_commit", "off")]);
    let Err(StoreError::Unsafe(what)) = connect(off.clone(), false).await else {
        panic!("synchronous_commit = off is unsafe");
    };
    assert!(what.contains("synchronous_commit = off"), "{what}");
    assert!(connect(off, true).await.is_ok(), "whoever insists may");
}
