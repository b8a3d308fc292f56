//! Appenders and readers that are broken on purpose, under load: the checker must catch each of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{Executor as _, PgConnection, PgPool};
use uuid::Uuid;

use super::journal::{Entry, Journal, Line, Read, Wish, check};
use crate::support::Dice;
use crate::support::{Scratch, TestDb};

/// How an appender may go wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Appender {
    /// Under the head's lock to the commit, on the version it saw, once per operation.
    Sound,
    /// Positions from a sequence, which knows no commits.
    Sequence,
    /// Positions taken under the head's lock, which is given back before the commit.
    LockedTooShort,
    /// Positions from a block reserved beforehand.
    Blocks,
    /// Writes whatever the version is by now.
    Unguarded,
    /// Answers, and then commits, or not.
    Early,
    /// Sends again what it does not know, as something new.
    Forgetful,
    /// One operation in two transactions.
    Torn,
}

/// How a reader may go wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reader {
    /// Asks for what comes after the last position it was given.
    Sound,
    /// Takes the next position for read.
    SkipsAtPages,
    /// Goes on from where the head was.
    JumpsToHead,
    /// In the order in which transactions began to write, fenced against open ones.
    ByTransaction,
    /// Reads a page again now and then, as after a crash without a bookmark.
    Again,
}

/// What the checker must say of it, at least.
const BROKEN: &[(Appender, Reader, &str)] = &[
    (Appender::Sequence, Reader::Sound, "reader 0 missed"),
    (Appender::LockedTooShort, Reader::Sound, "reader 0 missed"),
    (
        Appender::Blocks,
        Reader::Sound,
        "stands before what was kept before it was sent",
    ),
    (Appender::Unguarded, Reader::Sound, "was due"),
    (
        Appender::Early,
        Reader::Sound,
        "was acknowledged and is lost",
    ),
    (Appender::Forgetful, Reader::Sound, "facts"),
    (Appender::Torn, Reader::Sound, "is torn"),
    (Appender::Sound, Reader::SkipsAtPages, "reader 0 missed"),
    (Appender::Sound, Reader::JumpsToHead, "reader 0 missed"),
    (Appender::Sound, Reader::ByTransaction, "out of order"),
    (Appender::Sound, Reader::Again, "twice"),
];

const LOG: &str = "
    create schema broken;
    create table broken.head (position bigint not null);
    insert into broken.head values (0);
    create sequence broken.positions;
    create table broken.log (
        position bigint not null, stream text not null, sequence bigint not null, op uuid not null,
        event uuid not null default gen_random_uuid(), xid xid8 not null default pg_current_xact_id());
    create index on broken.log (stream, sequence);
    create index on broken.log (position)";

const WRITERS: u64 = 6;
const OPERATIONS: u64 = 40;
const STREAMS: u64 = 4;
const PAGE: i64 = 3;
const BLOCK: i64 = 10;

/// What a race would show need not happen in one round, least of all on a busy machine.
const ROUNDS_MAX: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_broken_on_purpose_is_caught() {
    assert_eq!(
        run(Appender::Sound, Reader::Sound).await,
        [""; 0],
        "the control is sound"
    );
    let mut caught = 0;
    for (appender, reader, words) in BROKEN {
        let mut found = Vec::new();
        let mut rounds = 0;
        while !found.iter().any(|what: &String| what.contains(words)) {
            assert!(
                rounds < ROUNDS_MAX,
                "{appender:?} with {reader:?} goes unnoticed: {found:?}"
            );
            found = run(*appender, *reader).await;
            rounds += 1;
        }
        caught += 1;
    }
    eprintln!(
        "torture: mutants caught {caught}/{} under load",
        BROKEN.len()
    );
}

/// Some writers and a reader at once, and what the checker says.
async fn run(appender: Appender, reader: Reader) -> Vec<String> {
    let db = TestDb::create().await;
    let pool = db.pool();
    pool.execute(LOG).await.unwrap();
    let dir = Scratch::new();
    let path = dir.join("journal");
    let journal = Arc::new(Journal::open(&path));
    let done = Arc::new(AtomicBool::new(false));
    let following = tokio::spawn(follow(pool.clone(), reader, done.clone()));
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let writer = Writer {
                pool: pool.clone(),
                journal: journal.clone(),
                appender,
                dice: Dice::from_seed(n),
                block: 0..0,
            };
            tokio::spawn(writer.run())
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Release);
    let read = following.await.unwrap();

    let rows: Vec<(i64, String, i64, Uuid, Uuid)> = sqlx::query_as(
        "select position, stream, sequence, event, op from broken.log order by position, xid",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let entry = |(position, stream, sequence, event, op)| Entry {
        position,
        stream,
        sequence,
        event,
        op: Some(op),
        facts: 1,
    };
    let log: Vec<Entry> = rows.into_iter().map(entry).collect();
    check(&Journal::read(&path), &log, &[read])
}

struct Writer {
    pool: PgPool,
    journal: Arc<Journal>,
    appender: Appender,
    dice: Dice,
    block: std::ops::Range<i64>,
}

impl Writer {
    async fn run(mut self) {
        for _ in 0..OPERATIONS {
            let op = Uuid::now_v7();
            let stream = format!("s{}", self.dice.below(STREAMS));
            let torn = self.appender == Appender::Torn;
            let events = if torn {
                2
            } else {
                1 + self.dice.below(2) as i64
            };
            let expected = version(&self.pool, &stream).await;
            let wish = Wish::Append {
                stream: stream.clone(),
                expected,
                events,
            };
            self.journal.write(&Line::Invoke(op, wish));
            let mut told = if torn {
                let first = self.append(op, &stream, expected, 1).await;
                match first {
                    Some(_) => {
                        tokio::time::sleep(self.dice.pause(4)).await;
                        let second = version(&self.pool, &stream).await;
                        self.append(op, &stream, second, 1).await
                    }
                    None => None,
                }
            } else {
                self.append(op, &stream, expected, events).await
            };
            if self.appender == Appender::Forgetful && told.is_some() && self.dice.below(5) == 0 {
                let expected = version(&self.pool, &stream).await;
                told = self.append(op, &stream, expected, events).await.or(told);
            }
            match told {
                Some((position, version)) => self.journal.write(&Line::Ok {
                    op,
                    position,
                    version,
                    facts: events,
                }),
                None if self.appender == Appender::Early => {}
                None => self.journal.write(&Line::Fail(op)),
            }
        }
    }

    /// One transaction; the last position and the version after it, unless the version had moved.
    async fn append(
        &mut self,
        op: Uuid,
        stream: &str,
        expected: i64,
        events: i64,
    ) -> Option<(i64, i64)> {
        let mut tx = projections::begin(&self.pool, "begin").await.unwrap();
        // Most writers have a transaction id, and pause, before they come to the lock.
        tx.execute("select pg_current_xact_id()").await.unwrap();
        tokio::time::sleep(self.dice.pause(3)).await;
        if self.appender != Appender::Unguarded {
            sqlx::query("select pg_advisory_xact_lock(hashtext($1))")
                .bind(stream)
                .execute(&mut *tx)
                .await
                .unwrap();
            if version(&mut *tx, stream).await != expected {
                return None;
            }
        }
        let base = self.take_positions(&mut tx, events).await;
        for n in 1..=events {
            sqlx::query(
                "insert into broken.log (position, stream, sequence, op) values ($1, $2, $3, $4)",
            )
            .bind(base + n)
            .bind(stream)
            .bind(expected + n)
            .bind(op)
            .execute(&mut *tx)
            .await
            .unwrap();
        }
        let (position, version) = (base + events, expected + events);
        if self.appender == Appender::Early {
            let line = Line::Ok {
                op,
                position,
                version,
                facts: events,
            };
            self.journal.write(&line);
            if self.dice.below(5) == 0 {
                tx.rollback().await.unwrap();
                return None;
            }
        }
        tokio::time::sleep(self.dice.pause(6)).await;
        tx.commit().await.unwrap();
        (self.appender != Appender::Early).then_some((position, version))
    }

    /// The position before the first of `events`.
    async fn take_positions(&mut self, tx: &mut PgConnection, events: i64) -> i64 {
        match self.appender {
            Appender::Sequence => {
                let mut last = 0;
                for _ in 0..events {
                    last = sqlx::query_scalar("select nextval('broken.positions')")
                        .fetch_one(&mut *tx)
                        .await
                        .unwrap();
                }
                last - events
            }
            Appender::LockedTooShort => move_head(&self.pool, events).await,
            Appender::Blocks => {
                if self.block.end - self.block.start < events {
                    let base = move_head(&self.pool, BLOCK).await;
                    self.block = base..base + BLOCK;
                }
                self.block.start += events;
                self.block.start - events
            }
            _ => move_head(tx, events).await,
        }
    }
}

/// Takes positions; returns the one before the first of them.
async fn move_head(db: impl sqlx::PgExecutor<'_>, events: i64) -> i64 {
    sqlx::query_scalar("update broken.head set position = position + $1 returning position - $1")
        .bind(events)
        .fetch_one(db)
        .await
        .unwrap()
}

async fn version(db: impl sqlx::PgExecutor<'_>, stream: &str) -> i64 {
    sqlx::query_scalar("select coalesce(max(sequence), 0) from broken.log where stream = $1")
        .bind(stream)
        .fetch_one(db)
        .await
        .unwrap()
}

async fn follow(pool: PgPool, reader: Reader, done: Arc<AtomicBool>) -> Read {
    let mut read = Read::new();
    let (mut after, mut before, mut polls) = ((0_i64, "0".to_owned()), 0, 0);
    let by_position = "select position, event, xid::text from broken.log
                       where position > $1 and $2 <> '' order by position limit $3";
    let by_transaction = "select position, event, xid::text from broken.log
                          where xid < pg_snapshot_xmin(pg_current_snapshot())
                            and (xid, position) > ($2::xid8, $1) order by xid, position limit $3";
    loop {
        let last = done.load(Ordering::Acquire);
        let head: i64 = sqlx::query_scalar("select coalesce(max(position), 0) from broken.log")
            .fetch_one(&pool)
            .await
            .unwrap();
        let sql = match reader {
            Reader::ByTransaction => by_transaction,
            _ => by_position,
        };
        let page: Vec<(i64, Uuid, String)> = sqlx::query_as(sql)
            .bind(after.0)
            .bind(&after.1)
            .bind(PAGE)
            .fetch_all(&pool)
            .await
            .unwrap();
        read.extend(page.iter().map(|(position, event, _)| (*position, *event)));
        polls += 1;
        let Some((position, _, xid)) = page.last() else {
            if last {
                return read;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let next = match reader {
            Reader::SkipsAtPages => position + 1,
            Reader::JumpsToHead => head.max(*position),
            Reader::Again if polls % 10 == 0 => before,
            _ => *position,
        };
        before = after.0;
        after = (next, xid.clone());
    }
}
