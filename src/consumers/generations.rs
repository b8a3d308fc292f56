//! Generations of read models: how their tables are made, numbered and dropped.
//!
//! A generation's tables hold the rows of every tenant whose generation has that number, so two
//! tenants may share a number only if both were built by the same version of the read model.
//!
//! A generation that was rolled back to has a new number and its old tables: `storage` is the number in
//! their names, where it is another.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::Position;
use projections::{AnyProjection, Target};
use sqlx::{Connection, Executor, PgConnection, PgPool, Row};

use super::decisions::{self, Action, Decider, Subject};
use super::{ConsumerError, connection};
use crate::store::Store;

/// How long dropping old tables waits for their last readers before it is left for another time, in
/// milliseconds. Waiting longer would hold up new readers behind the drop.
const DROP_WAIT_MS: u32 = 2_000;

/// The live generation of a read model, as recorded.
#[derive(Clone, Debug)]
pub(super) struct LiveRow {
    pub(super) projection: String,
    pub(super) generation: i32,
    pub(super) version: i32,
    pub(super) position: Position,
    pub(super) status: String,
    /// A stream that is parked in it is to be taken in.
    pub(super) asked: bool,
}

/// The live generations of one tenant.
pub(super) async fn live(pool: &PgPool, tenant: &str) -> Result<Vec<LiveRow>, sqlx::Error> {
    let rows = sqlx::query(
        "select projection, generation, version, position, status,
                parked > 0 and exists (
                    select from parked_streams p where p.asked
                      and (p.tenant, p.projection, p.generation)
                          = (g.tenant, g.projection, g.generation))
         from generations g where tenant = $1 and state = 'live' order by projection",
    )
    .bind(tenant)
    .fetch_all(pool)
    .await?;
    Ok(rows
        .iter()
        .map(|r| LiveRow {
            projection: r.get(0),
            generation: r.get(1),
            version: r.get(2),
            position: Position(r.get(3)),
            status: r.get(4),
            asked: r.get(5),
        })
        .collect())
}

/// Gives every read model that has none yet a first generation: live, empty, at the log's
/// beginning.
pub(super) async fn ensure(
    pool: &PgPool,
    tenant: &str,
    projections: &[Arc<dyn AnyProjection>],
) -> Result<(), sqlx::Error> {
    let started: HashSet<String> =
        sqlx::query_scalar("select distinct projection from generations where tenant = $1")
            .bind(tenant)
            .fetch_all(pool)
            .await?
            .into_iter()
            .collect();
    for projection in projections.iter().filter(|p| !started.contains(p.name())) {
        let mut tx = projections::begin(pool, "begin").await?;
        lock_tables(&mut tx).await?;
        let twin: Option<i32> = sqlx::query_scalar(
            "select generation from generations where tenant = $1 and projection = $2 limit 1",
        )
        .bind(tenant)
        .bind(projection.name())
        .fetch_optional(&mut *tx)
        .await?;
        if twin.is_none() {
            create(&mut tx, tenant, projection.as_ref(), "live").await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Makes the next generation's tables and its row, at position 0. Answers its number.
/// The caller holds [`lock_tables`].
pub(super) async fn create(
    conn: &mut PgConnection,
    tenant: &str,
    projection: &dyn AnyProjection,
    state: &str,
) -> Result<i32, sqlx::Error> {
    let generation = next_number(conn, tenant, projection).await?;
    for statement in projection.ddl(&Target { tenant, generation }) {
        conn.execute(statement.as_str()).await?;
    }
    let tables: Vec<&str> = projection.tables().to_vec();
    sqlx::query(
        "insert into generations (tenant, projection, generation, version, tables, state)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(tenant)
    .bind(projection.name())
    .bind(generation)
    .bind(projection.version())
    .bind(tables)
    .bind(state)
    .execute(&mut *conn)
    .await?;
    Ok(generation)
}

/// Held to the end of the transaction by whoever makes or drops tables: `create table if not
/// exists` fails when two run it at once.
pub(super) async fn lock_tables(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock(hashtext('daybook.generations'))")
        .execute(conn)
        .await?;
    Ok(())
}

/// The lowest number above the tenant's own that no other tenant's tables of another version have.
pub(super) async fn next_number(
    conn: &mut PgConnection,
    tenant: &str,
    projection: &dyn AnyProjection,
) -> Result<i32, sqlx::Error> {
    let rows: Vec<(bool, i32, i32)> = sqlx::query_as(
        "select distinct tenant = $1, case tenant when $1 then generation else coalesce(storage, generation) end,
                version
         from generations where projection = $2",
    )
    .bind(tenant)
    .bind(projection.name())
    .fetch_all(conn)
    .await?;
    let own = rows.iter().filter(|r| r.0).map(|r| r.1).max().unwrap_or(0);
    let foreign: BTreeSet<i32> = rows
        .iter()
        .filter(|r| r.2 != projection.version())
        .map(|r| r.1)
        .collect();
    let mut number = own + 1;
    while foreign.contains(&number) {
        number += 1;
    }
    Ok(number)
}

/// Which of the generations that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// All of them.
    All,
    /// Those whose rebuild was none that is to answer, and is over.
    NeverToAnswer,
}

/// Drops generations of a read model that neither answer nor are being built. One whose tables cannot be
/// dropped at once, because they are read, is left.
pub(super) async fn drop_kept(
    store: &Store,
    tenant: &str,
    projection: &str,
    which: Kept,
) -> Result<(), sqlx::Error> {
    let kept: Vec<i32> = sqlx::query_scalar(
        "select generation from generations g
         where tenant = $1 and projection = $2 and state = 'kept' and ($3 or exists (
               select from rebuilds r where r.mode in ('check', 'scratch')
                 and r.phase not in ('folding', 'catching_up')
                 and (r.tenant, r.projection, r.generation) = (g.tenant, g.projection, g.generation)))
         order by generation",
    )
    .bind(tenant)
    .bind(projection)
    .bind(which == Kept::All)
    .fetch_all(store.pool())
    .await?;
    for generation in kept {
        if let Err(error) = drop_one(store, tenant, projection, generation).await {
            tracing::warn!(
                %error,
                projection,
                "tables of generation {generation} of {projection} are left: {error}"
            );
        }
    }
    Ok(())
}

/// Drops one generation that does not answer: its tables, or its tenant's rows while others share them.
/// False if there is none such.
pub(super) async fn drop_one(
    store: &Store,
    tenant: &str,
    projection: &str,
    generation: i32,
) -> Result<bool, sqlx::Error> {
    drop_decided(store, tenant, projection, generation, None).await
}

/// The same, as somebody has decided.
pub(super) async fn drop_decided(
    store: &Store,
    tenant: &str,
    projection: &str,
    generation: i32,
    decider: Option<&Decider>,
) -> Result<bool, sqlx::Error> {
    let mut conn = connection::open(store).await?;
    let mut tx = conn.begin().await?;
    lock_tables(&mut tx).await?;
    let patience = format!("set local lock_timeout = {DROP_WAIT_MS}");
    tx.execute(patience.as_str()).await?;
    let dropped: Option<(Vec<String>, i32)> = sqlx::query_as(
        "update generations set state = 'dropped'
         where tenant = $1 and projection = $2 and generation = $3
           and state in ('kept', 'scratch')
         returning tables, coalesce(storage, generation)",
    )
    .bind(tenant)
    .bind(projection)
    .bind(generation)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((tables, storage)) = dropped else {
        return Ok(false);
    };
    if let Some(decider) = decider {
        let subject = Subject {
            tenant,
            projection,
            generation: Some(generation),
            position: None,
        };
        decisions::note(&mut tx, subject, Action::Drop, decider).await?;
    }
    sqlx::query(
        "delete from parked_streams where tenant = $1 and projection = $2 and generation = $3",
    )
    .bind(tenant)
    .bind(projection)
    .bind(generation)
    .execute(&mut *tx)
    .await?;
    let shared: bool = sqlx::query_scalar(
        "select exists (select from generations
         where projection = $1 and coalesce(storage, generation) = $2 and state <> 'dropped'
           and tables && $3)",
    )
    .bind(projection)
    .bind(storage)
    .bind(&tables)
    .fetch_one(&mut *tx)
    .await?;
    for base in tables {
        let target = Target {
            tenant,
            generation: storage,
        };
        let table = target.table(&base);
        if shared {
            let sql = format!("delete from {table} where tenant = $1");
            sqlx::query(&sql).bind(tenant).execute(&mut *tx).await?;
        } else {
            let sql = format!("drop table if exists {table}");
            tx.execute(sql.as_str()).await?;
        }
    }
    tx.commit().await?;
    Ok(true)
}

/// A generation of a read model, as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Of which read model.
    pub projection: String,
    /// Its number.
    pub generation: i32,
    /// The version of the read model it was built by.
    pub version: i32,
    /// `building`, `live`, `kept` or `scratch`.
    pub state: String,
    /// The last position folded in.
    pub position: Position,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
}

/// The generations of a tenant that have not been dropped: of one read model, or of all.
pub async fn generations(
    store: &Store,
    tenant: &str,
    projection: Option<&str>,
) -> Result<Vec<Generation>, ConsumerError> {
    let rows = sqlx::query(
        "select projection, generation, version, state, position, created_at
         from generations
         where tenant = $1 and ($2::text is null or projection = $2) and state <> 'dropped'
         order by projection, generation",
    )
    .bind(tenant)
    .bind(projection)
    .fetch_all(store.pool())
    .await?;
    let of = |row: &sqlx::postgres::PgRow| Generation {
        projection: row.get(0),
        generation: row.get(1),
        version: row.get(2),
        state: row.get(3),
        position: Position(row.get(4)),
        created_at: row.get(5),
    };
    Ok(rows.iter().map(of).collect())
}
