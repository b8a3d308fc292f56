//! What the server has left of its connections.

use super::{Store, StoreError};

/// What a server has for roles like ours, and what all its databases have taken: public figures, whoever asks.
/// The reserve for `pg_use_reserved_connections` is of PostgreSQL 16 and later.
const LOOK: &str = "
    select current_setting('max_connections')::bigint
               - current_setting('superuser_reserved_connections')::bigint
               - coalesce(current_setting('reserved_connections', true)::bigint, 0),
           (select coalesce(sum(numbackends), 0)::bigint from pg_stat_database)";

/// Connections of the server, at one moment: other processes take theirs when they need them.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// What the server has for all, without its reserves.
    pub all: i64,
    /// What the pool of the one who asks can have of them: those that nobody has, and its own.
    pub left: i64,
}

impl Store {
    /// What room there is now.
    pub async fn room(&self) -> Result<Room, StoreError> {
        let look = sqlx::query_as(LOOK).fetch_one(self.pool());
        let (all, taken): (i64, i64) = look.await?;
        let left = (all - taken).max(0) + i64::from(self.pool().size());
        Ok(Room { all, left })
    }
}
