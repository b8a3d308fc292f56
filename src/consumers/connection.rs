//! Connections of long-running work, outside the pool.

use sqlx::{ConnectOptions, Executor, PgConnection};

use crate::store::Store;

/// A statement of a consumer takes at most this many milliseconds: batches are bounded, and a
/// rebuild's scan reads one range.
const STATEMENT_MS_MAX: u32 = 600_000;

/// A consumer waits at most this many milliseconds for a row or a table that others hold.
const LOCK_MS_MAX: u32 = 10_000;

/// A transaction whose client has fallen silent (a paused process) is rolled back by the server
/// after so many milliseconds, so that a new owner need not wait for its locks any longer.
const SILENCE_MS_MAX: u64 = 5_000;

/// Opens a connection for the caller alone. It is closed when dropped, transaction and all: work
/// that is cancelled in the middle leaves nothing behind.
pub async fn open(store: &Store) -> Result<PgConnection, sqlx::Error> {
    open_for(store, SILENCE_MS_MAX).await
}

/// For one who works under a lease of `lease_ms`: who is silent for longer has lost it, and holds up
/// whoever takes over.
pub(super) async fn open_for(store: &Store, lease_ms: u64) -> Result<PgConnection, sqlx::Error> {
    let silence_ms = lease_ms.min(SILENCE_MS_MAX);
    let mut conn = store.pool().connect_options().connect().await?;
    let role = if store.has_append_only_role() {
        "set role daybook_app;"
    } else {
        ""
    };
    let setup = format!(
        "set statement_timeout = {STATEMENT_MS_MAX}; set lock_timeout = {LOCK_MS_MAX};
         set idle_in_transaction_session_timeout = {silence_ms}; set jit = off; {role}"
    );
    conn.execute(setup.as_str()).await?;
    Ok(conn)
}
