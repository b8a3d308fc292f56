//! The only way to begin a transaction on a pool: one that may be abandoned at any moment.

use std::pin::Pin;
use std::task::{Context, Poll};

use sqlx::{PgPool, Postgres, Transaction};

use crate::BoxFuture;

type Begun = Result<Transaction<'static, Postgres>, sqlx::Error>;

/// Begins a transaction by `statement`; it is rolled back when dropped.
///
/// The driver takes note of a transaction when the server's answer is there. Dropped before, it would give
/// back a connection on which the transaction is open, and whatever came next on that would be part of it:
/// writes that are never committed, reads of the past (`sqlx` issue 4393, 0.8.6 and 0.9.0). Here the answer
/// is waited for even if nobody else does any more.
pub async fn begin(pool: &PgPool, statement: &'static str) -> Begun {
    let connection = pool.acquire().await?;
    let begun = Transaction::begin(connection, Some(statement.into()));
    Beginning(Some(begun)).await
}

/// Polled to its end, by someone else if it is dropped before.
struct Beginning(Option<BoxFuture<'static, Begun>>);

impl Future for Beginning {
    type Output = Begun;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Begun> {
        let begun = self.0.as_mut().expect("it is not polled after its end");
        let done = begun.as_mut().poll(task);
        if done.is_ready() {
            self.0 = None;
        }
        done
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        // Without a runtime there is no pool to spoil either.
        if let (Some(begun), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(begun);
        }
    }
}
