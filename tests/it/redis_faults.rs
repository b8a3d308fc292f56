//! Redis lost, slow, full or lying costs speed only: whatever befalls it, answers are those that PostgreSQL
//! gives.

use std::time::{Duration, Instant};

use redis::{Cmd, cmd};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Line, TestApp, TestRedis, Trouble, eventually, redis_settings, redis_url};

/// What befalls Redis.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is killed, and is not there.
    Kill,
    /// It is killed, and is back, empty.
    Restart,
    /// It stands still in the middle of whatever it does, for [`STANDSTILL`].
    Stop,
    /// A command of somebody else's.
    Told(&'static [&'static str]),
    /// Every entry, whatever its key, is made of what it was.
    Planted(Plant),
    /// Its line is disturbed.
    Line(Trouble),
    /// It asks new connections for a password, and there are only new ones.
    Locked,
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug)]
enum Plant {
    /// Somebody's idea of an answer.
    Forged,
    /// The honest entry of another key.
    OfAnother,
    /// Nothing.
    Empty,
    /// All but the last byte.
    Cut,
    /// One bit is another.
    Bent,
    /// Far more than any answer.
    Huge,
    /// No text but a list.
    OtherType,
}

/// Twenty, and what they are undone by.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::Kill, &[]),
    (Fault::Restart, &[]),
    (Fault::Stop, &[]),
    (Fault::Told(&["FLUSHALL"]), &[]),
    (Fault::Told(&["CLIENT", "PAUSE", "500"]), &[]),
    (Fault::Told(&["CLIENT", "KILL", "TYPE", "normal"]), &[]),
    (
        Fault::Told(&["CONFIG", "SET", "maxmemory", "1"]),
        &["CONFIG", "SET", "maxmemory", "0"],
    ),
    (
        Fault::Told(&["REPLICAOF", "127.0.0.1", "1"]),
        &["REPLICAOF", "NO", "ONE"],
    ),
    (Fault::Locked, &[]),
    (Fault::Planted(Plant::Forged), &[]),
    (Fault::Planted(Plant::OfAnother), &[]),
    (Fault::Planted(Plant::Empty), &[]),
    (Fault::Planted(Plant::Cut), &[]),
    (Fault::Planted(Plant::Bent), &[]),
    (Fault::Planted(Plant::Huge), &[]),
    (Fault::Planted(Plant::OtherType), &[]),
    (Fault::Line(Trouble::Reset), &[]),
    (Fault::Line(Trouble::Silence), &[]),
    (Fault::Line(Trouble::Drip), &[]),
    (Fault::Line(Trouble::Half), &[]),
    (Fault::Line(Trouble::Garbage), &[]),
    (Fault::Line(Trouble::Twice), &[]),
];

/// How long Redis stands still: far longer than a look-up may take.
const STANDSTILL: Duration = Duration::from_secs(5);

/// Questions of every kind that is kept: lists, figures, evidence, aliases.
const QUESTIONS: &[&str] = &[
    "{ vehicles { nodes { id name version latestPosition { lat lon } } asOfPosition } }",
    "{ latestPositions { nodes { id vehicleId fixTime lat event { type } } asOfPosition } }",
    "{ heatmap(from: \"2016-01-04T00:00:00Z\", to: \"2016-01-05T00:00:00Z\", resolution: 8) {
       cells { cell fixes vehicles evidence(first: 3) { nodes { id } } } asOfPosition } }",
    "{ trend(metric: FIXES, from: \"2016-01-04T00:00:00Z\", to: \"2016-01-05T00:00:00Z\", bucket: HOUR) {
       points { start value } asOfPosition } }",
];
const ALIASES: &[&str] = &[
    "/api/vehicles/latest",
    "/api/vehicles/history?vehicleId=v1&from=2016-01-04T00:00:00Z&to=2016-01-05T00:00:00Z",
];

struct Scene {
    redis: TestRedis,
    line: Line,
    /// Asks Redis through the line, and keeps nothing for long in its own memory.
    app: TestApp,
    /// The truth: it keeps nothing at all.
    truth: TestApp,
    written: i64,
}

impl Scene {
    async fn new() -> Scene {
        let redis = TestRedis::start().await;
        let line = Line::to(redis.socket());
        let truth = TestApp::with(|settings| settings.cache.answers = false).await;
        let app = truth
            .beside(|settings| {
                settings.redis = redis_settings(&redis_url(&line.socket()));
                settings.redis.budget = Duration::from_millis(30);
                settings.cache.bytes_max = daybook::config::Bytes(0);
            })
            .await;
        Scene {
            redis,
            line,
            app,
            truth,
            written: 0,
        }
    }

    /// Another fix, so that no answer is one that was given before.
    async fn write(&mut self) {
        let (n, lat) = (self.written, 30.0 + self.written as f64 * 0.001);
        self.written += 1;
        let fix = json!({ "vehicle": format!("v{}", n % 3), "lat": lat, "lon": -97.0,
                          "fixTime": format!("2016-01-04T{:02}:{:02}:00Z", n / 60, n % 60) });
        let query = "mutation($f: [PositionFixInput!]!) { reportPositions(input: { fixes: $f }) { accepted } }";
        let told = self.app.data(query, json!({ "f": [fix] })).await;
        assert_eq!(told["reportPositions"]["accepted"], 1);
    }

    /// What the process with Redis says and what the truth is.
    async fn compare(&self, when: &str) {
        let head = self.app.head().await.to_string();
        let insist = [("daybook-at-least", head.as_str())];
        for query in QUESTIONS {
            let body = json!({ "query": query }).to_string();
            let ours = self.app.post(body.as_bytes(), &insist).await.json();
            let truth = self.truth.post(body.as_bytes(), &insist).await.json();
            assert_eq!(ours, truth, "{when}: {query}");
            assert_eq!(ours["errors"], Value::Null, "{when}: {query}");
            assert_eq!(ours["extensions"]["position"], head, "{when}: {query}");
        }
        for path in ALIASES {
            let line = format!("GET {path}");
            let ours = self.app.send(&line, &insist, b"").await;
            let truth = self.truth.send(&line, &insist, b"").await;
            assert_eq!(ours.status, 200, "{when}: {path}");
            assert_eq!(ours.json(), truth.json(), "{when}: {path}");
        }
    }

    /// Asks until Redis holds entries and answers by them: the fault strikes what is in use.
    async fn in_use(&self) {
        eventually("Redis is in use", async || {
            self.compare("in good times").await;
            let mut connection = self.redis.connect().await;
            let keys: Result<usize, _> = cmd("DBSIZE").query_async(&mut connection).await;
            keys.is_ok_and(|keys| keys >= QUESTIONS.len())
        })
        .await;
    }

    async fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::Kill => self.redis.kill().await,
            Fault::Restart => self.redis.restart().await,
            Fault::Stop => self.redis.signal(Signal::STOP),
            Fault::Told(words) => {
                // It may end our own connection as well.
                let mut connection = self.redis.connect().await;
                let _: Result<redis::Value, _> = command(words).query_async(&mut connection).await;
            }
            Fault::Planted(plant) => self.plant(plant).await,
            Fault::Line(trouble) => self.line.disturb(trouble),
            Fault::Locked => {
                let mut connection = self.redis.connect().await;
                for words in [
                    &["CONFIG", "SET", "requirepass", "secret"][..],
                    &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
                ] {
                    let told = command(words).query_async(&mut connection).await;
                    let _: redis::Value = told.unwrap();
                }
            }
        }
    }

    async fn plant(&self, plant: Plant) {
        let keys: Vec<String> = self.redis.tell(cmd("KEYS").arg("*")).await;
        let mut entries = Vec::new();
        for key in &keys {
            entries.push(self.redis.tell::<Vec<u8>>(cmd("GET").arg(key)).await);
        }
        assert!(entries.len() >= QUESTIONS.len());
        for (n, key) in keys.iter().enumerate() {
            let entry = match plant {
                Plant::Forged => br#"DBC1{"data":{"vehicles":{"nodes":[]}}}"#.to_vec(),
                Plant::OfAnother => entries[(n + 1) % entries.len()].clone(),
                Plant::Empty => Vec::new(),
                Plant::Cut => entries[n][..entries[n].len() - 1].to_vec(),
                Plant::Bent => {
                    let mut bent = entries[n].clone();
                    let middle = bent.len() / 2;
                    bent[middle] ^= 1;
                    bent
                }
                Plant::Huge => vec![b'x'; 3 << 20],
                Plant::OtherType => {
                    self.redis.tell::<()>(cmd("DEL").arg(key)).await;
                    self.redis.tell::<()>(cmd("LPUSH").arg(key).arg("x")).await;
                    continue;
                }
            };
            self.redis.tell::<()>(cmd("SET").arg(key).arg(entry)).await;
        }
    }

    async fn mend(&mut self, fault: Fault, undo: &[&str]) {
        match fault {
            Fault::Kill | Fault::Locked => self.redis.restart().await,
            Fault::Stop => self.redis.signal(Signal::CONT),
            Fault::Line(_) => self.line.disturb(Trouble::None),
            // What was planted is away, so that the next fault strikes honest entries.
            Fault::Planted(_) => self.redis.tell(&cmd("FLUSHALL")).await,
            _ => {}
        }
        if !undo.is_empty() {
            self.redis.tell::<redis::Value>(&command(undo)).await;
        }
    }
}

fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    words.iter().for_each(|word| {
        command.arg(word);
    });
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_befalls_redis_answers_are_those_of_postgres() {
    assert!(FAULTS.len() >= 20);
    let mut scene = Scene::new().await;
    for (n, (fault, undo)) in FAULTS.iter().enumerate() {
        let when = format!("{n}: {fault:?}");
        scene.write().await;
        scene.in_use().await;
        let struck = Instant::now();
        scene.strike(*fault).await;
        // What may be found there, and what is made while it lasts.
        scene.compare(&when).await;
        scene.write().await;
        scene.compare(&when).await;
        if let Fault::Stop = fault {
            let mut rounds = 0;
            while struck.elapsed() < STANDSTILL {
                scene.compare(&when).await;
                rounds += 1;
            }
            assert!(rounds > 1, "answers keep coming: {rounds} rounds");
        }
        scene.mend(*fault, undo).await;
        scene.compare(&format!("{when}, mended")).await;
    }
}
