//! A transaction that nobody waits for any more while it is begun: wherever it was abandoned, its connection
//! goes back to the pool without it.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use projections::Reader;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor as _, Row as _};

use super::scene::TENANT;
use crate::support::TestDb;

/// Waits for the future to be polled so many times: `None` if it is not done by then.
async fn polled<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    std::future::poll_fn(move |task| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(task) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            // Abandoned as soon as it waits, not when what it waits for is there.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn a_transaction_abandoned_while_it_begins_is_not_left_open() {
    let db = TestDb::create().await;
    let only = PgPoolOptions::new().max_connections(1);
    let pool = only.connect_with(db.options()).await.unwrap();
    let reader = Reader::new(pool.clone());
    let mut times = 0;
    loop {
        let opened = polled(times, reader.snapshot(TENANT)).await.is_some();
        let begun = polled(times, projections::begin(&pool, "begin")).await;
        let done = opened && begun.is_some();
        drop(begun);
        // Within a transaction, now() is when that began. (The simple protocol has one time for a statement.)
        let outside = sqlx::raw_sql("select now() = statement_timestamp()");
        let outside = pool.fetch_one(outside).await.unwrap();
        let outside: bool = outside.get(0);
        assert!(outside, "abandoned when it waited for the {times}th time");
        if done {
            break;
        }
        times += 1;
    }
    assert!(times > 0, "it never waited");
}
