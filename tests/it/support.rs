//! What tests stand on: private databases, servers of their own, directories, waiting.

mod app;
mod base64;
mod child;
mod cluster;
mod dice;
mod database;
mod heard;
mod line;
mod own_cluster;
mod proxy;
mod redis;
mod scratch;
mod sealing;
mod served;
mod trap;
mod web;

pub use app::{Reply, TestApp, exchange};
pub use base64::{base64url, pem};
pub use child::Child;
pub use database::TestDb;
pub use dice::Dice;
pub use heard::Heard;
pub use line::{Line, Trouble};
pub use own_cluster::{OwnCluster, StopMode};
pub use proxy::{Fault, Proxy};
pub use redis::{TestRedis, redis_settings, url_of as redis_url};
pub use scratch::Scratch;
pub use sealing::{auth, shared_vault, vault};
pub use served::{Served, command};
pub use trap::{Action, Step, Trap};
pub use web::{Answer, Web};

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;

/// How long anything may take to come about; far beyond what a slow machine needs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `came_about` says so.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub async fn eventually(what: &str, mut came_about: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !came_about().await {
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A connection string for these options, which must name a socket directory.
pub fn url_of(options: &PgConnectOptions) -> String {
    let socket = options
        .get_socket()
        .expect("test servers have sockets only");
    let database = options.get_database().expect("tests name their database");
    let (user, port) = (options.get_username(), options.get_port());
    format!(
        "postgres://{user}@localhost:{port}/{database}?host={}",
        socket.display()
    )
}

/// Does nobody hold a lock on this file?
pub fn is_unlocked(path: &Path) -> bool {
    std::fs::File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// The program under test.
pub fn daybook() -> std::process::Command {
    std::process::Command::new(env!("CARGO_BIN_EXE_daybook"))
}
