//! The whole process on a free port over a private database, and a plain HTTP client for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daybook::app::App;
use daybook::auth::{Grant, Role};
use daybook::config::{self, Settings, Sources};
use daybook::ops::{Clock, Shutdown, ShutdownTrigger};
use daybook::store::Store;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Scratch, TestDb};

/// A serving process of one test.
pub struct TestApp {
    address: SocketAddr,
    token: String,
    app: Arc<App>,
    db: Arc<TestDb>,
    _stop: ShutdownTrigger,
    data: Arc<Scratch>,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body as it came.
    pub body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Reply {
    /// A header by its lower-case name; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// All headers of this lower-case name as one list.
    pub fn list(&self, name: &str) -> String {
        let found = self.headers.iter().filter(|(n, _)| n == name);
        let values: Vec<&str> = found.map(|(_, value)| value.as_str()).collect();
        values.join(", ")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {} {text}", self.status))
    }
}

impl TestApp {
    /// Starts one with default settings.
    pub async fn start() -> TestApp {
        TestApp::with(|_| ()).await
    }

    /// Starts one whose settings were changed.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> TestApp {
        TestApp::at(Clock::system(), change).await
    }

    /// Starts one by this clock.
    pub async fn at(clock: Clock, change: impl FnOnce(&mut Settings)) -> TestApp {
        let (db, data) = (TestDb::create().await, Scratch::new());
        TestApp::over(Arc::new(db), Arc::new(data), clock, change).await
    }

    /// Another process over the same database, with the same key.
    pub async fn beside(&self, change: impl FnOnce(&mut Settings)) -> TestApp {
        let clock = self.app.clock.clone();
        TestApp::over(self.db.clone(), self.data.clone(), clock, change).await
    }

    /// A process over another database, with the same key.
    pub async fn elsewhere(&self, change: impl FnOnce(&mut Settings)) -> TestApp {
        let db = TestDb::create().await;
        let clock = self.app.clock.clone();
        TestApp::over(Arc::new(db), self.data.clone(), clock, change).await
    }

    async fn over(
        db: Arc<TestDb>,
        data: Arc<Scratch>,
        clock: Clock,
        change: impl FnOnce(&mut Settings),
    ) -> TestApp {
        let environment = [("DATABASE_URL".to_owned(), db.url())].into();
        let sources = Sources {
            environment,
            ..Sources::default()
        };
        let mut settings = config::load(&sources).unwrap();
        settings.process.data_dir = data.path().to_owned();
        settings.database.allow_unsafe_durability = true;
        settings.database.pool_max = 8;
        settings.database.pool_min = 0;
        // Tests send thousands of requests from one address; those that are about that say so.
        settings.limits.enabled = false;
        change(&mut settings);
        let app = Arc::new(App::start_at(&settings, clock).await.unwrap());
        let token = mint(&app, &[Role::Admin], "default");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, shutdown) = Shutdown::new();
        let served = app.clone();
        tokio::spawn(async move { served.serve(listener, shutdown).await });
        TestApp {
            address,
            token,
            app,
            db,
            _stop: trigger,
            data,
        }
    }

    /// The log beneath.
    pub fn store(&self) -> &Store {
        self.app.log.store()
    }

    /// Every part.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The database beneath.
    pub fn db(&self) -> &TestDb {
        &self.db
    }

    /// A token with these roles.
    pub fn token(&self, roles: &[Role], tenant: &str) -> String {
        mint(&self.app, roles, tenant)
    }

    /// The last position of the log.
    pub async fn head(&self) -> i64 {
        self.store().head("default").await.unwrap().0
    }

    /// Sends bytes as they are and reads whatever comes back.
    pub async fn raw(&self, request: &[u8]) -> Reply {
        exchange(self.address, request).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The usual token.
    pub fn own_token(&self) -> &str {
        &self.token
    }

    /// A request with these headers beside the usual ones.
    pub async fn send(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = format!("{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        let has = |name: &str| headers.iter().any(|(n, _)| *n == name);
        if !has("authorization") {
            request += &format!("authorization: Bearer {}\r\n", self.token);
        }
        if !has("content-length") && !body.is_empty() {
            request += &format!("content-length: {}\r\n", body.len());
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request += &format!("{name}: {value}\r\n");
        }
        let mut request = (request + "\r\n").into_bytes();
        request.extend_from_slice(body);
        self.raw(&request).await
    }

    /// A GET with the usual token.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path}"), &[], b"").await
    }

    /// Posts a body to `/graphql` as JSON.
    pub async fn post(&self, body: &[u8], headers: &[(&str, &str)]) -> Reply {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send("POST /graphql", &all, body).await
    }

    /// Asks a GraphQL question, whatever comes of it.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables }).to_string();
        self.post(body.as_bytes(), &[]).await.json()
    }

    /// Asks a GraphQL question that must be answered without errors; gives its data.
    pub async fn data(&self, query: &str, variables: Value) -> Value {
        let mut reply = self.ask(query, variables).await;
        assert_eq!(reply["errors"], Value::Null, "{query}");
        reply["data"].take()
    }

    /// Asks once the read models show all that has been written; gives the data.
    pub async fn settled(&self, query: &str, variables: Value) -> Value {
        let at_least = self.head().await.to_string();
        let body = json!({ "query": query, "variables": variables,
                           "extensions": { "atLeast": at_least } });
        let mut reply = self.post(body.to_string().as_bytes(), &[]).await.json();
        assert_eq!(reply["errors"], Value::Null, "{query}");
        reply["data"].take()
    }
}

fn mint(app: &App, roles: &[Role], tenant: &str) -> String {
    let grant = Grant {
        subject: "tester".to_owned(),
        tenant: tenant.to_owned(),
        roles: roles.to_vec(),
        scopes: Vec::new(),
        ttl: Some(Duration::from_secs(3_600)),
        session: None,
    };
    app.auth.mint(&grant).unwrap()
}

/// Sends bytes as they are and reads whatever comes back until the other side closes.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let _ = tokio::time::timeout(super::PATIENCE, read)
        .await
        .expect("an answer");
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Reply {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|l| l.split(' ').nth(1))
        .and_then(|s| s.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()));
    Reply {
        status: status.unwrap_or_else(|| panic!("no status in {head}")),
        headers: headers.collect(),
        body: bytes[end + 4..].to_vec(),
    }
}
