//! A process of its own that writes until it is killed: this binary once more, running one test.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daybook::consumers::{ConsumerSettings, Consumers};
use daybook::store::Store;
use daybook::store::local::{self, LocalSettings};
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;

use super::journal::Journal;
use super::load::{Client, Process};
use super::scene::{settings, store};
use crate::support::{Child, Dice};

/// Where a child writes to.
#[derive(Clone, Debug)]
pub enum Log {
    /// A server that others use too.
    Shared(String),
    /// A private server of its own, which ends with it.
    Private(PathBuf),
}

/// A running child; killed with the value.
pub struct Writing(Child);

const LOG: &str = "DAYBOOK_TEST_CHILD_LOG";
const DATA_DIR: &str = "DAYBOOK_TEST_CHILD_DATA_DIR";
const JOURNAL: &str = "DAYBOOK_TEST_CHILD_JOURNAL";
const SEED: &str = "DAYBOOK_TEST_CHILD_SEED";

const CLIENTS: usize = 6;

/// How long a process keeps its work without a word.
pub const LEASE: Duration = Duration::from_millis(600);

impl Writing {
    pub fn start(log: &Log, journal: &Path, dice: &mut Dice) -> Writing {
        let (name, value) = match log {
            Log::Shared(url) => (LOG, url.as_ref()),
            Log::Private(dir) => (DATA_DIR, dir.as_os_str()),
        };
        let seed = dice.next().to_string();
        let told = [
            (name, value),
            (JOURNAL, journal.as_os_str()),
            (SEED, seed.as_ref()),
        ];
        Writing(Child::start("log::child::writes_until_it_is_killed", &told))
    }

    /// As a machine that is moved would stop it.
    pub fn pause(&self) {
        self.0.pause();
    }

    /// And wake it, as if nothing had been.
    pub fn go_on(&self) {
        self.0.go_on();
    }

    /// As a crash would.
    pub fn kill9(self) {
        self.0.kill9();
    }
}

/// No test by itself: what a child runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_until_it_is_killed() {
    let var = |name| std::env::var(name).ok();
    let Some(journal) = var(JOURNAL) else { return };
    let journal = Arc::new(Journal::open(Path::new(&journal)));
    let mut dice = Dice::from_seed(var(SEED).unwrap().parse().unwrap());
    let mut private = None;
    let store = match var(LOG) {
        Some(url) => store(url.parse::<PgConnectOptions>().unwrap()).await,
        None => {
            let here = private_server(Path::new(&var(DATA_DIR).unwrap()));
            let server = local::start(&here).await.unwrap();
            let options = server.options();
            private = Some(server);
            Store::connect(options, settings()).await.unwrap()
        }
    };
    let _consumers = consumers(&store).await;
    let process = Process::new(store);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = Client::new(&process, &journal, &mut dice);
        clients.spawn(async move { client.run(usize::MAX).await });
    }
    // Whoever started us may be killed as well.
    tokio::select! {
        () = Child::abandoned() => {}
        ended = clients.join_next() => ended.unwrap().unwrap(),
    }
    if let Some(server) = private {
        server.stop().await;
    }
}

/// Durable, as by default.
pub fn private_server(data_dir: &Path) -> LocalSettings {
    LocalSettings {
        pg_bin: std::env::var_os("DAYBOOK_PG_BIN").map(Into::into),
        ..LocalSettings::new(data_dir)
    }
}

/// All read models, quick to take over from a process that was killed.
pub async fn consumers(store: &Store) -> Consumers {
    let settings = ConsumerSettings {
        lease_ms: LEASE.as_millis() as u64,
        poll_ms: 50,
        retry_ms_min: 5,
        ..ConsumerSettings::default()
    };
    Consumers::start(store.clone(), projections::all(), settings)
        .await
        .unwrap()
}
