//! Many writers of two processes among faults, and readers that must see what was committed, all of it,
//! once, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use daybook::store::PageLimits;
use domain::Position;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::task::JoinSet;

use super::journal::{Journal, Line, Read, check, committed};
use super::load::{Client, Process, prepare, size};
use super::mutants;
use super::scene::{flaws, settings, store, store_with, tenant};
use crate::support::{Dice, Scratch, TestDb};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_sees_what_was_committed_and_nothing_else() {
    let (db, elsewhere) = (TestDb::create().await, TestDb::create().await);
    let mut dice = Dice::from_env("torture");
    let small = daybook::store::StoreSettings {
        partition_positions: 512,
        ..settings()
    };
    let processes = [
        Process::new(store(db.options()).await),
        Process::new(store_with(db.options(), small).await),
    ];
    prepare(&processes[0]).await;
    let dir = Scratch::new();
    let path = dir.join("journal");
    let journal = Arc::new(Journal::open(&path));
    let done = Arc::new(AtomicBool::new(false));
    let kills = Arc::new(AtomicU64::new(0));
    let mut faults = start_faults(&db, &elsewhere, &mut dice, &kills);

    let mut readers = Vec::new();
    for (nth, events_max) in [(0, 1), (1, 7), (0, 100), (1, 1_000)] {
        let reader = follow(processes[nth].clone(), events_max, done.clone());
        readers.push(tokio::spawn(reader));
    }
    let mut writers = JoinSet::new();
    let wishes = 200 * size();
    for n in 0..16 {
        let mut client = Client::new(&processes[n % 2], &journal, &mut dice);
        writers.spawn(async move { client.run(wishes).await });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    faults.abort_all();
    while faults.join_next().await.is_some() {}
    done.store(true, Ordering::Release);
    let mut reads = Vec::new();
    for reader in readers {
        reads.push(reader.await.unwrap());
    }

    assert_eq!(flaws(db.pool()).await, [""; 0]);
    let (lines, log) = (Journal::read(&path), committed(db.pool()).await);
    assert_eq!(check(&lines, &log, &reads), [""; 0]);
    let count = |wanted: fn(&Line) -> bool| lines.iter().filter(|line| wanted(line)).count();
    let kept = count(|line| matches!(line, Line::Ok { .. }));
    let refused = count(|line| matches!(line, Line::Fail(_)));
    let unknown = count(|line| matches!(line, Line::Info(_)));
    eprintln!(
        "torture: {kept} operations kept, {refused} refused, {unknown} unknown at first; {} events, \
         {} readers, {} connections killed: 0 violations",
        log.len(),
        reads.len(),
        kills.load(Ordering::Relaxed)
    );
    assert!(kept > 16 * wishes / 4 && refused > 0, "hardly a torture");
    mutants::catch_in_histories(&lines, &log, &reads);
}

/// Reads from the beginning, page by page, until nothing more will come.
pub async fn follow(process: Process, events_max: i64, done: Arc<AtomicBool>) -> Read {
    let mut head = process.store.watch_head(&tenant());
    let limits = PageLimits {
        events_max,
        bytes_max: 4_000,
        ..PageLimits::default()
    };
    let (mut read, mut after) = (Read::new(), Position::START);
    loop {
        let last = done.load(Ordering::Acquire);
        let Ok(page) = process.store.read_log(&tenant(), after, limits).await else {
            continue; // its connection was killed
        };
        read.extend(page.iter().map(|e| (e.position.0, e.event_id)));
        match page.last() {
            Some(event) => after = event.position,
            None if last => return read,
            None => {
                let _ = tokio::time::timeout(Duration::from_millis(50), head.changed()).await;
            }
        }
    }
}

/// What goes wrong meanwhile, again and again.
fn start_faults(
    db: &TestDb,
    elsewhere: &TestDb,
    dice: &mut Dice,
    kills: &Arc<AtomicU64>,
) -> JoinSet<()> {
    let mut faults = JoinSet::new();
    faults.spawn(kill_backends(db.options(), dice.clone(), kills.clone()));
    dice.next();
    for _ in 0..2 {
        faults.spawn(roll_back(db.options(), dice.clone()));
        dice.next();
    }
    // Open transactions that wrote and never end, here and in another database of the same server.
    faults.spawn(idle(db.options()));
    faults.spawn(idle(elsewhere.options()));
    faults
}

/// Connections of the program end in the middle of whatever they do.
async fn kill_backends(options: PgConnectOptions, mut dice: Dice, kills: Arc<AtomicU64>) {
    let mut conn = PgConnection::connect_with(&options).await.unwrap();
    loop {
        tokio::time::sleep(Duration::from_millis(60) + dice.pause(120)).await;
        let killed = sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name = 'daybook-unsafe'
             order by (query ~ '^-- One group' and state = 'active') desc, random() limit 1",
        )
        .execute(&mut conn)
        .await
        .unwrap();
        kills.fetch_add(killed.rows_affected(), Ordering::Relaxed);
    }
}

/// Somebody else takes the head, writes, pauses, and thinks better of it.
async fn roll_back(options: PgConnectOptions, mut dice: Dice) {
    let mut conn = PgConnection::connect_with(&options).await.unwrap();
    loop {
        tokio::time::sleep(Duration::from_millis(20) + dice.pause(80)).await;
        let mut tx = conn.begin().await.unwrap();
        let undone = "
            with h as (update logs set position = position + 3 where tenant = 'default'
                       returning position)
            insert into streams select 'default', 'vehicle', 'ghost' || position, 1, 1, 1 from h";
        tx.execute(undone).await.unwrap();
        tokio::time::sleep(dice.pause(20)).await;
        tx.rollback().await.unwrap();
    }
}

async fn idle(options: PgConnectOptions) {
    let mut conn = PgConnection::connect_with(&options).await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    tx.execute("create table scribbles (n int); insert into scribbles values (1)")
        .await
        .unwrap();
    std::future::pending::<()>().await;
}
