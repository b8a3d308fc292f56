//! Whether the server has room for all the connections that this process may ask it for.

use sqlx::PgConnection;

/// What a server has for roles like ours, and what all its databases have taken: public figures, whoever asks.
/// The reserve for `pg_use_reserved_connections` is of PostgreSQL 16 and later.
const LOOK: &str = "
    select current_setting('max_connections')::bigint
               - current_setting('superuser_reserved_connections')::bigint
               - coalesce(current_setting('reserved_connections', true)::bigint, 0),
           (select coalesce(sum(numbackends), 0)::bigint from pg_stat_database)";

/// Warns if the pool could not be filled now. A later moment may be worse or better: other processes take their
/// connections when they need them.
pub(super) async fn look(conn: &mut PgConnection, pool_max: u32) -> Result<(), sqlx::Error> {
    let (room, taken): (i64, i64) = sqlx::query_as(LOOK).fetch_one(conn).await?;
    // The one that asks is given back.
    let left = (room - taken + 1).max(0);
    if left < i64::from(pool_max) {
        tracing::warn!(
            room,
            taken,
            pool_max,
            "the database server has room for {room} connections and {left} of them are left, fewer than the \
             {pool_max} of database.pool_max: raise its max_connections, or lower database.pool_max of the \
             processes that share it (docs/operations.md, \"Connections to the database\")"
        );
    }
    Ok(())
}
