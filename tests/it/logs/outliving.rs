//! Tails outlive the process that serves them: their readers go on at another one.

use std::sync::atomic::{AtomicUsize, Ordering};

use daybook::ops::Clock;
use futures::future::join_all;
use serde_json::{Value, json};

use super::tail::{all, ids, socket_at};
use super::{counts, send, text};
use crate::support::{Served, TestApp};
use crate::transport::client::Socket;

/// How many tails there are at once.
const TAILS: usize = 8;

/// So many of them are told before their process is killed.
const TOLD: usize = 60;

/// What a reader has seen, and where it goes on.
struct Reader {
    seen: Vec<String>,
    at: String,
}

impl Reader {
    async fn begin(&self, address: &str, token: &str) -> Socket {
        let mut socket = socket_at(address.parse().unwrap(), token).await;
        let query = format!(
            "subscription {{ logTail(after: \"{}\") {{ id records {{ id }} }} }}",
            self.at
        );
        socket.subscribe("1", &query).await;
        socket
    }

    /// Takes what comes; false once nothing comes any more.
    async fn take(&mut self, socket: &mut Socket) -> bool {
        let said = socket.next().await;
        let item = &said["payload"]["data"]["logTail"];
        if said["closed"] != Value::Null {
            return false;
        }
        assert_eq!(said["type"], "next", "{said}");
        self.seen.extend(ids(item));
        self.at = item["id"].as_str().unwrap().to_owned();
        true
    }
}

async fn more(app: &TestApp, records: usize) {
    let now = text(Clock::system().now());
    let record = json!({ "timestamp": now, "event_type": "telemetry", "event_name": "tick" });
    let (_, told) = send(app, &vec![record; records], &[]).await;
    assert_eq!(counts(&told)[0], records as i64, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_costs_its_tails_no_record_and_none_is_told_twice() {
    let app = TestApp::start().await;
    more(&app, 10).await;
    let (url, dir) = (app.db().url(), &app.app().settings.process.data_dir);
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("DAYBOOK_DATA_DIR", dir.to_str().unwrap()),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
        ("DAYBOOK_LIMITS__ENABLED", "false"),
        ("DAYBOOK_FEEDS__TAIL_RECORDS_MAX", "3"),
    ];
    let reader = |_| Reader {
        seen: Vec::new(),
        at: "0".to_owned(),
    };
    let mut readers: Vec<Reader> = (0..TAILS).map(reader).collect();
    for _ in 0..3 {
        let mut served = Served::start(dir, &environment);
        let (address, told) = (served.address.clone(), AtomicUsize::new(0));
        let mut sockets = Vec::new();
        for reader in &readers {
            sockets.push(reader.begin(&address, app.own_token()).await);
        }
        let reading = join_all(readers.iter_mut().zip(sockets).map(
            async |(reader, mut socket)| {
                while reader.take(&mut socket).await {
                    told.fetch_add(1, Ordering::Relaxed);
                }
            },
        ));
        let killing = async {
            for n in 0.. {
                more(&app, 1 + n % 7).await;
                if told.load(Ordering::Relaxed) >= TOLD {
                    break;
                }
            }
            // As it is: with tails in the middle of batches.
            served.child.kill().unwrap();
            served.child.wait().unwrap();
            more(&app, 5).await;
        };
        tokio::join!(reading, killing);
    }
    let all = all(&app).await;
    let address = app.address().to_string();
    for reader in &mut readers {
        let mut socket = reader.begin(&address, app.own_token()).await;
        while reader.seen.len() < all.len() {
            assert!(reader.take(&mut socket).await);
        }
        assert_eq!(reader.seen, all);
    }
}
