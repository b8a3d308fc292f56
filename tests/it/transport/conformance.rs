//! Other projects' clients and audits against this transport. They need Node: `make conformance` installs
//! them and names the folder; without it the test holds that what would be run is all there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::server::Server;
use crate::support::TestApp;

/// Scripts and what they are given: the address for HTTP, the one for sockets.
const SUITES: [(&str, &[Address]); 5] = [
    ("http.mjs", &[Address::Product, Address::Token]),
    ("http.mjs", &[Address::Http]),
    ("sockets.mjs", &[Address::Socket]),
    ("streams.mjs", &[Address::Http]),
    ("clients.mjs", &[Address::Http, Address::Socket]),
];

#[derive(Clone, Copy)]
enum Address {
    Product,
    Token,
    Http,
    Socket,
}

/// Every package the scripts import is pinned, and every script that is run is there.
#[test]
fn what_is_run_is_there_and_pinned() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let json = |name: &str| -> Value {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let (package, lock) = (json("package.json"), json("package-lock.json"));
    assert_eq!(
        lock["packages"][""]["dependencies"],
        package["dependencies"]
    );
    for (name, pinned) in lock["packages"].as_object().unwrap() {
        assert!(name.is_empty() || pinned["integrity"].is_string(), "{name}");
        assert!(pinned["resolved"].is_null(), "{name} names a registry");
    }
    for (script, _) in SUITES {
        let text = std::fs::read_to_string(folder.join(script)).unwrap();
        for line in text.lines().filter(|line| line.starts_with("import ")) {
            let from = line.split('\'').nth(1).unwrap();
            let depth = if from.starts_with('@') { 2 } else { 1 };
            let name: Vec<&str> = from.split('/').take(depth).collect();
            let ours = from.starts_with("./") && folder.join(from).exists();
            let known = package["dependencies"][name.join("/")].is_string();
            assert!(
                ours || known || from.starts_with("node:"),
                "{script}: {from}"
            );
        }
    }
}

/// Runs a suite and gives whether all of it passed; it prints its score.
async fn suite(folder: &Path, script: &str, arguments: &[String]) -> bool {
    let mut node = Command::new("node");
    node.arg(folder.join(script)).args(arguments);
    node.current_dir(folder).stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || node.status());
    run.await.unwrap().expect("node runs").success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_suites() {
    let server = Server::with(|s| {
        s.sockets.init_timeout = Duration::from_secs(3);
        // One suite opens fifty subscriptions on one socket.
        s.sockets.operations_max = 64;
        s.sockets.per_caller_max = 64;
        s.sockets.messages_burst = 200;
    })
    .await;
    assert_eq!(
        server.ask("{ hello }").await.json()["data"]["hello"],
        "world"
    );
    let Some(folder) = std::env::var_os("DAYBOOK_TEST_CONFORMANCE").map(PathBuf::from) else {
        return;
    };
    let app = TestApp::start().await;
    let given = |address: &Address| match address {
        Address::Product => format!("http://{}/graphql", app.address()),
        Address::Token => app.own_token().to_owned(),
        Address::Http => format!("http://{}/graphql", server.address),
        Address::Socket => format!("ws://{}/graphql/ws", server.address),
    };
    let mut failed = Vec::new();
    for (script, addresses) in SUITES {
        let arguments: Vec<String> = addresses.iter().map(given).collect();
        if !suite(&folder, script, &arguments).await {
            failed.push(script);
        }
    }
    assert!(failed.is_empty(), "not all passed: {failed:?}");
}
