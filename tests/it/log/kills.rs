//! kill -9, of the server and of our own processes, in the middle of everything: nothing acknowledged is
//! lost, nothing stands twice, and what nobody knew is found out by asking again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use daybook::consumers::{RebuildOptions, rebuild};
use daybook::store::{Store, local};
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

use super::child::{LEASE, Log, Writing, consumers, private_server};
use super::journal::{Journal, Line, check, committed};
use super::load::{Client, Process, prepare, resolve, size};
use super::scene::{flaws, settings, store, tenant};
use super::torture::follow;
use crate::support::{Dice, OwnCluster, PATIENCE, Scratch, TestDb, eventually};

/// How many operations the journal's clients know to be kept.
fn kept(journal: &Path) -> usize {
    if !journal.exists() {
        return 0;
    }
    let lines = Journal::read(journal);
    lines
        .iter()
        .filter(|line| matches!(line, Line::Ok { .. }))
        .count()
}

/// Waits until clients are at work again.
async fn until_kept_more(journal: &Path) {
    let before = kept(journal);
    eventually("clients are acknowledged", async || {
        kept(journal) > before + 20
    })
    .await;
}

/// What is unknown is resolved; then clients, tables, a reader and every read model agree.
async fn everything_holds(what: &str, store: &Store, journal: &Path) {
    let process = Process::new(store.clone());
    let resolved = resolve(&process, journal).await;
    let reader = follow(process, 1_000, Arc::new(AtomicBool::new(true))).await;
    let lines = Journal::read(journal);
    let log = committed(store.pool()).await;
    assert_eq!(flaws(store.pool()).await, [""; 0]);
    assert_eq!(check(&lines, &log, &[reader]), [""; 0]);

    let consumers = consumers(store).await;
    let names: Vec<_> = projections::all().iter().map(|p| p.name()).collect();
    let head = store.head("default").await.unwrap();
    consumers
        .wait_for(&tenant(), &names, head, PATIENCE)
        .await
        .unwrap();
    for projection in projections::all() {
        // Folded anew from the first event: the same, or else no swap.
        let options = RebuildOptions {
            compare: true,
            ..RebuildOptions::default()
        };
        let rebuilt = rebuild(store, &projection, &tenant(), options, |_| {}).await;
        let rebuilt = rebuilt.unwrap_or_else(|e| panic!("{}: {e}", projection.name()));
        assert!(
            rebuilt.digest.is_some(),
            "{} was compared",
            projection.name()
        );
    }
    consumers.stop().await;
    eprintln!(
        "{what}: {} operations acknowledged, 0 lost; {resolved} unknown ones resolved; {} events",
        kept(journal),
        log.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed() {
    let mut cluster = OwnCluster::start().await;
    let mut dice = Dice::from_env("kill -9 of postgres");
    let dir = Scratch::new();
    let path = dir.join("journal");
    let journal = Arc::new(Journal::open(&path));
    let mut clients = JoinSet::new();
    let mut stores = Vec::new();
    for _ in 0..2 {
        // No word of unsafety in these options: the server must be durable, and is.
        let store = Store::connect(cluster.options(), settings()).await.unwrap();
        stores.push((consumers(&store).await, Process::new(store)));
    }
    prepare(&stores[0].1).await;
    for n in 0..8 {
        let mut client = Client::new(&stores[n % 2].1, &journal, &mut dice);
        clients.spawn(async move { client.run(usize::MAX).await });
    }
    for _ in 0..5 * size() {
        until_kept_more(&path).await;
        tokio::time::sleep(dice.pause(200)).await;
        cluster.kill9().await;
        // Sometimes clients see it gone for a while.
        tokio::time::sleep(dice.pause(300)).await;
        cluster.restart().await;
    }
    until_kept_more(&path).await;
    clients.abort_all();
    while clients.join_next().await.is_some() {}
    let store = stores[0].1.store.clone();
    for (consumers, _) in &stores {
        consumers.stop().await;
    }
    everything_holds("kill -9 of postgres", &store, &path).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_processes_are_killed_and_paused() {
    let db = TestDb::create().await;
    let mut dice = Dice::from_env("kill -9 and pauses of three processes");
    let dir = Scratch::new();
    let path = dir.join("journal");
    let store = store(db.options()).await;
    prepare(&Process::new(store.clone())).await;
    let log = Log::Shared(db.url());
    let mut children = [(); 3].map(|()| Writing::start(&log, &path, &mut dice));
    for round in 0..6 * size() {
        until_kept_more(&path).await;
        tokio::time::sleep(dice.pause(150)).await;
        // One sleeps past its leases, in the middle of whatever it does, while another is killed.
        let paused = (round + 1) % 3;
        children[paused].pause();
        let next = Writing::start(&log, &path, &mut dice);
        std::mem::replace(&mut children[round % 3], next).kill9();
        tokio::time::sleep(LEASE + dice.pause(100)).await;
        children[paused].go_on();
    }
    until_kept_more(&path).await;
    children.into_iter().for_each(Writing::kill9);
    everything_holds("kill -9 and pauses of three processes", &store, &path).await;
}

/// The private server goes down with the program that started it, and comes up with the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_is_killed_together_with_its_private_server() {
    let mut dice = Dice::from_env("kill -9 of daybook with its postgres");
    let dir = Scratch::new();
    let (path, data_dir) = (dir.join("journal"), dir.join("data"));
    {
        let server = local::start(&private_server(&data_dir)).await.unwrap();
        let store = Store::connect(server.options(), settings()).await.unwrap();
        prepare(&Process::new(store.clone())).await;
        store.pool().close().await;
        drop(store);
        server.stop().await;
    }
    let log = Log::Private(data_dir.clone());
    for _ in 0..2 * size() {
        let child = Writing::start(&log, &path, &mut dice);
        until_kept_more(&path).await;
        tokio::time::sleep(Duration::from_millis(20) + dice.pause(100)).await;
        child.kill9();
    }
    let server = local::start(&private_server(&data_dir)).await.unwrap();
    let store = Store::connect(server.options(), settings()).await.unwrap();
    everything_holds("kill -9 of daybook with its postgres", &store, &path).await;
    store.pool().close().await;
    drop(store);
    server.stop().await;
}

/// The negative control: where a process acknowledges before the log does, the checker says so.
#[tokio::test]
async fn an_acknowledgement_that_the_log_does_not_know_is_noticed() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let process = Process::new(store);
    prepare(&process).await;
    let dir = Scratch::new();
    let path = dir.join("journal");
    let journal = Arc::new(Journal::open(&path));
    let mut client = Client::new(&process, &journal, &mut Dice::from_seed(1));
    client.run(20).await;
    let pool = PgPoolOptions::new()
        .connect_with(db.options())
        .await
        .unwrap();
    let log = committed(&pool).await;
    assert_eq!(check(&Journal::read(&path), &log, &[]), [""; 0]);

    let lost = log.iter().rev().find(|entry| entry.op.is_some()).unwrap();
    // As after a crash of a server that does not wait for its disk.
    let undo = "set session_replication_role = replica; delete from events where position >= ";
    sqlx::raw_sql(&format!("{undo}{}", lost.position))
        .execute(&pool)
        .await
        .unwrap();
    let found = check(&Journal::read(&path), &committed(&pool).await, &[]);
    assert!(
        found
            .iter()
            .any(|what| what.contains("was acknowledged and is lost")),
        "{found:?}"
    );
}
