//! What is counted of operations, the cache, sockets and feeds: exactly what was done, as `/metrics` tells
//! it. The processes are the test's own, so that nobody else is counted.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};

use super::client::Socket;
use crate::support::{Scratch, Served, TestDb, TestRedis, command, eventually, exchange};

/// A process, and what asks it.
struct Process {
    served: Served,
    address: SocketAddr,
    token: String,
}

impl Process {
    fn start(dir: &Scratch, environment: &[(&str, &str)]) -> Process {
        let served = Served::start(dir.path(), environment);
        Process {
            address: served.address.parse().unwrap(),
            token: Process::token(dir, environment, "admin"),
            served,
        }
    }

    fn token(dir: &Scratch, environment: &[(&str, &str)], role: &str) -> String {
        let made = command(dir.path(), &["token", "--role", role], environment)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    async fn ask(&self, query: &str) -> Value {
        self.ask_as(&self.token, &json!({ "query": query })).await
    }

    async fn ask_as(&self, token: &str, body: &Value) -> Value {
        let body = body.to_string();
        let request = format!(
            "POST /graphql HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(self.address, request.as_bytes()).await.json()
    }

    async fn report(&self, vehicle: &str, minute: u32) {
        let told = self
            .ask(&format!(
                "mutation {{ reportPositions(input: {{ fixes: [{{ vehicle: \"{vehicle}\", lat: 30, lon: -97, \
                 fixTime: \"2016-01-04T00:{minute:02}:00Z\" }}] }}) {{ accepted }} }}"
            ))
            .await;
        assert_eq!(told["data"]["reportPositions"]["accepted"], 1, "{told}");
    }

    async fn socket(&self) -> Socket {
        let mut socket = Socket::open(self.address, &[]).await;
        let init = json!({ "type": "connection_init", "payload": { "token": self.token } });
        socket.send(&init).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        socket
    }

    /// A figure by its name and labels; 0 while there is none.
    fn figure(&self, name: &str, labels: &str) -> f64 {
        let page = self.served.get("/metrics").1;
        let mut labels: Vec<&str> = labels.split(',').filter(|l| !l.is_empty()).collect();
        labels.sort_unstable();
        let found = page.lines().find_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            let (own, rest) = key.split_once('{').unwrap_or((key, "}"));
            let mut given: Vec<&str> = rest.trim_end_matches('}').split(',').collect();
            given.retain(|label| !label.is_empty());
            given.sort_unstable();
            (own == name && given == labels).then(|| value.parse().unwrap())
        });
        found.unwrap_or(0.0)
    }

    /// These figures have grown by exactly so much since `before`.
    async fn grown(&self, before: &[f64], expect: &[(&str, &str, f64)]) {
        let now = || self.figures(expect);
        let wanted: Vec<f64> = expect.iter().zip(before).map(|(e, b)| e.2 + b).collect();
        // Some are counted just after the answer has left.
        let mut last = now();
        for _ in 0..200 {
            if last == wanted {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            last = now();
        }
        panic!("{expect:?}: before {before:?}, now {last:?}");
    }

    fn figures(&self, expect: &[(&str, &str, f64)]) -> Vec<f64> {
        expect
            .iter()
            .map(|(name, labels, _)| self.figure(name, labels))
            .collect()
    }
}

struct Scene {
    dir: Scratch,
    db: TestDb,
    redis: Option<TestRedis>,
}

impl Scene {
    async fn new(redis: bool) -> Scene {
        let redis = match redis {
            true => Some(TestRedis::start().await),
            false => None,
        };
        Scene {
            dir: Scratch::new(),
            db: TestDb::create().await,
            redis,
        }
    }

    fn environment<'e>(&self, url: &'e [String; 2]) -> Vec<(&'e str, &'e str)> {
        let mut environment = vec![
            ("DATABASE_URL", url[0].as_str()),
            ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
            ("DAYBOOK_DATABASE__POOL_MAX", "8"),
            ("DAYBOOK_DATABASE__POOL_MIN", "0"),
            ("DAYBOOK_FEEDS__KEYS_MAX", "2"),
        ];
        if !url[1].is_empty() {
            environment.push(("DAYBOOK_REDIS__URL", url[1].as_str()));
        }
        environment
    }

    fn urls(&self) -> [String; 2] {
        let redis = self.redis.as_ref().map(TestRedis::url);
        [self.db.url(), redis.unwrap_or_default()]
    }
}

const OPERATIONS: &str = "daybook_graphql_operations_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_by_kind_and_outcome() {
    let scene = Scene::new(false).await;
    let urls = scene.urls();
    let mut environment = scene.environment(&urls);
    environment.push(("DAYBOOK_CONSUMERS__WAIT_MAX", "0s"));
    let process = Process::start(&scene.dir, &environment);
    let viewer = Process::token(&scene.dir, &environment, "viewer");
    let kinds = [
        (OPERATIONS, "kind=\"query\",outcome=\"ok\"", 2.0),
        (OPERATIONS, "kind=\"query\",outcome=\"errors\"", 1.0),
        (OPERATIONS, "kind=\"query\",outcome=\"refused\"", 1.0),
        (OPERATIONS, "kind=\"mutation\",outcome=\"ok\"", 2.0),
        (OPERATIONS, "kind=\"mutation\",outcome=\"refused\"", 1.0),
        (OPERATIONS, "kind=\"subscription\",outcome=\"ok\"", 1.0),
        (OPERATIONS, "kind=\"subscription\",outcome=\"refused\"", 1.0),
        (OPERATIONS, "kind=\"unknown\",outcome=\"refused\"", 3.0),
        ("daybook_stale_reads_total", "", 1.0),
    ];
    let before = process.figures(&kinds);
    let register = "mutation { registerVehicle(input: { id: \"v\" }) { userErrors { code } } }";
    for query in [
        "{ __typename }",
        "{ a: __typename }",
        "{ nope }",
        register,
        register,
        "mutation { nope }",
        "{",
        "query A { __typename } query B { __typename }",
    ] {
        process.ask(query).await;
    }
    process.ask_as(&viewer, &json!({ "query": register })).await;
    let late =
        json!({ "query": "{ vehicles { nodes { id } } }", "extensions": { "atLeast": "99" } });
    let late = process.ask_as(&viewer, &late).await;
    assert_eq!(
        late["errors"][0]["extensions"]["code"], "STALE_READ",
        "{late}"
    );
    let mut socket = process.socket().await;
    socket
        .subscribe("1", "subscription { events { position } }")
        .await;
    socket
        .subscribe("2", "subscription { events(after: \"99\") { position } }")
        .await;
    assert_eq!(socket.next().await["type"], "error");
    process.grown(&before, &kinds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_by_layer() {
    let scene = Scene::new(true).await;
    let urls = scene.urls();
    let environment = scene.environment(&urls);
    let processes = [0, 1].map(|_| Process::start(&scene.dir, &environment));
    let [first, second] = &processes;
    let register = "mutation { registerVehicle(input: { id: \"v\" }) { userErrors { code } } }";
    first.ask(register).await;
    for process in &processes {
        eventually(
            "it shows the vehicle, and knows how far it is",
            async || {
                let told = process.ask("{ vehicles { nodes { id } } }").await;
                let there = told["data"]["vehicles"]["nodes"] == json!([{ "id": "v" }]);
                there && process.figure("daybook_answers_total", "source=\"memory\"") > 0.0
            },
        )
        .await;
    }
    let (answers, layers) = ("daybook_answers_total", "daybook_cache_requests_total");
    let query = "{ vehicles { nodes { id name } } }";
    let memory = |outcome| match outcome {
        "hit" => "layer=\"memory\",outcome=\"hit\"",
        _ => "layer=\"memory\",outcome=\"miss\"",
    };
    let redis = |outcome| match outcome {
        "hit" => "layer=\"redis\",outcome=\"hit\"",
        _ => "layer=\"redis\",outcome=\"miss\"",
    };
    let figures = |source: [f64; 3], [mh, mm, rh, rm]: [f64; 4]| {
        [
            (answers, "source=\"miss\"", source[0]),
            (answers, "source=\"memory\"", source[1]),
            (answers, "source=\"redis\"", source[2]),
            (layers, memory("hit"), mh),
            (layers, memory("miss"), mm),
            (layers, redis("hit"), rh),
            (layers, redis("miss"), rm),
        ]
    };
    for (process, expect) in [
        // Made, and kept in both layers.
        (first, figures([1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0])),
        (first, figures([0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0])),
        // Found where the other process left it, and then here.
        (second, figures([0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0])),
        (second, figures([0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0])),
    ] {
        let before = process.figures(&expect);
        process.ask(query).await;
        process.grown(&before, &expect).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_and_feeds() {
    let scene = Scene::new(false).await;
    let urls = scene.urls();
    let process = Process::start(&scene.dir, &scene.environment(&urls));
    let (events, moves) = ("feed=\"events\"", "feed=\"vehicleMoved\"");
    let (deliveries, lag) = (
        "daybook_feed_deliveries_total",
        "daybook_feed_delivery_seconds_count",
    );
    let open = |sockets, members: [f64; 2]| {
        [
            ("daybook_sockets", "", sockets),
            ("daybook_subscriptions", events, members[0]),
            ("daybook_subscriptions", moves, members[1]),
            ("daybook_feed_groups", events, members[0]),
            ("daybook_feed_groups", moves, members[1]),
        ]
    };
    let none = [0.0; 8];
    process.report("a", 1).await;
    process.report("b", 1).await;
    let head = 2 * 2; // each registers its vehicle

    // A journal, from the start: what is past is scanned, what comes is told of as it comes.
    let mut journal = process.socket().await;
    let query = "subscription { events(after: \"0\") { position } }";
    journal.subscribe("1", query).await;
    for _ in 0..head {
        assert_eq!(journal.next().await["type"], "next");
    }
    let scanned = [
        (deliveries, events, head as f64),
        (lag, events, 0.0),
        ("daybook_feed_scans_total", events, 1.0),
    ];
    process.grown(&none, &scanned).await;
    process.grown(&none, &open(1.0, [1.0, 0.0])).await;
    process.report("a", 2).await;
    process.report("a", 3).await;
    for _ in 0..2 {
        assert_eq!(journal.next().await["type"], "next");
    }
    let live = [(deliveries, events, head as f64 + 2.0), (lag, events, 2.0)];
    process.grown(&none, &live).await;

    // Latest wins, one update in a long while: the first goes at once, of the others the last is held.
    let mut moving = process.socket().await;
    let query = "subscription { vehicleMoved(maxHz: 0.001, vehicleIds: [\"a\", \"b\", \"c\"]) { vehicleId } }";
    moving.subscribe("1", query).await;
    for _ in 0..2 {
        assert_eq!(moving.next().await["type"], "next");
    }
    process.grown(&none, &open(2.0, [1.0, 1.0])).await;
    for minute in 4..=7 {
        process.report("a", minute).await;
    }
    let conflations = "daybook_feed_conflations_total";
    process
        .grown(
            &none,
            &[
                (conflations, moves, 3.0),
                (deliveries, moves, 2.0),
                (lag, moves, 0.0),
            ],
        )
        .await;

    // More vehicles than a subscription may have here: it is ended, and so is nothing else.
    process.report("c", 1).await;
    let ended = moving.next().await;
    assert_eq!(
        ended["payload"][0]["extensions"]["code"], "COST_LIMIT",
        "{ended}"
    );
    let reason = "feed=\"vehicleMoved\",reason=\"COST_LIMIT\"";
    process
        .grown(&none, &[("daybook_feed_terminations_total", reason, 1.0)])
        .await;
    process.grown(&none, &open(2.0, [1.0, 0.0])).await;

    // One leaves, one is thrown out.
    let closes = "daybook_socket_closes_total";
    drop(journal);
    process
        .grown(&none, &[(closes, "code=\"gone\"", 1.0)])
        .await;
    moving.text("no message of the protocol").await;
    assert_eq!(moving.closed().await, 4400);
    process
        .grown(&none, &[(closes, "code=\"4400\"", 1.0)])
        .await;
    process.grown(&none, &open(0.0, [0.0, 0.0])).await;
}
