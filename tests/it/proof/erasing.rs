//! Thirty personal values, planted as people leave them, and looked for everywhere after they were erased.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use daybook::auth::{Grant, Role};
use daybook::consumers::{RebuildOptions, rebuild};
use daybook::seals::{Verify, verify};
use daybook::store::PageLimits;
use domain::Position;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::scene::{Node, ask, kept, register, sign_in_from, turned_away};
use super::traces::{Haystack, redis, tables};
use crate::support::{Served, TestApp, TestRedis, command, eventually, redis_settings};

/// Everything that is known of one person: address, name, client, where they are, why they had to go.
type Person = [&'static str; 5];

const PEOPLE: [Person; 6] = [
    [
        "Ada.Quillfeather@Example.ORG",
        "Ada Quillfeather",
        "Quillbrowser/7.1 (Adas-Laptop)",
        "203.0.113.77",
        "took the silver spoons",
    ],
    [
        "Zoë.Blumentopf@Bücher.example",
        "Zoë Blumentopf",
        "Blumenfox/99",
        "2001:db8:aaaa:bbbb::7071",
        "her contract ended in Mai",
    ],
    [
        "иван.ракетин@почта.example",
        "Иван Ракетин",
        "Raketa/1.0 (Sputnik 12)",
        "198.51.100.213",
        "уволен за опоздания",
    ],
    [
        "o'hara+spam@sub.domain.example",
        "Scarlett \"O'Hara\" <s>",
        "Tara/1939; 'quoted' \"agent\"",
        "192.0.2.199",
        "gone with the wind; tomorrow is another day",
    ],
    [
        "MIXED.case@UPPER.EXAMPLE",
        "Mix McCase",
        "mIxEd-AgEnT/3",
        "2001:db8:cccc::5150",
        "Wrote EVERYTHING in capitals",
    ],
    [
        "宮本@例え.example",
        "宮本 武蔵",
        "GoRinNoSho/1645 (Musashi)",
        "203.0.113.201",
        "二刀流は禁止",
    ],
];

/// The program as a process of its own whose log lines are kept.
struct Process {
    served: Served,
    address: SocketAddr,
    token: String,
    lines: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Process {
    fn start(beside: &TestApp, redis: &TestRedis) -> Process {
        let data = beside.app().log.data_dir();
        let (url, redis) = (beside.db().url(), redis.url());
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("REDIS_URL", redis.as_str()),
            ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
            ("DAYBOOK_DATA_DIR", data.to_str().unwrap()),
            ("DAYBOOK_LOG__LEVEL", "info"),
            ("DAYBOOK_LOG__FORMAT", "json"),
            ("DAYBOOK_HTTP__TRUSTED_PROXIES", "127.0.0.0/8"),
            ("DAYBOOK_LIMITS__ENABLED", "false"),
            ("DAYBOOK_LIMITS__SIGN_INS_PER_MINUTE", "1000"),
        ];
        let mut served = Served::of(command(data, &["serve", "--port", "0"], &environment));
        let lines = Arc::new(Mutex::new(served.lines.join("\n")));
        let (kept, stderr) = (lines.clone(), served.child.stderr.take().unwrap());
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let grant = Grant {
            subject: "tester".to_owned(),
            tenant: "default".to_owned(),
            roles: vec![Role::Admin],
            ..Grant::default()
        };
        Process {
            address: served.address.parse().unwrap(),
            token: beside.app().auth.mint(&grant).unwrap(),
            served,
            lines,
            reading: Some(reading),
        }
    }

    /// Stops it; all it ever said.
    fn said(mut self) -> String {
        self.served.signal(Signal::TERM);
        self.reading.take().unwrap().join().unwrap();
        let lines = self.lines.lock().unwrap();
        lines.clone()
    }
}

impl Node for Process {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn token(&self) -> &str {
        &self.token
    }
}

/// Makes a person known, has them sign in from where they are, and lets them go.
async fn plant(node: &impl Node, [email, name, agent, address, reason]: Person) -> String {
    let id = register(node, email, name, &["VIEWER"]).await;
    let headers = [("user-agent", agent), ("x-forwarded-for", address)];
    let given = sign_in_from(node, &headers, email).await;
    let known = "{ me { user { email name } } sessions { nodes { address userAgent } } }";
    let expected = json!({
        "me": { "user": { "email": email, "name": name } },
        "sessions": { "nodes": [{ "address": address, "userAgent": agent }] },
    });
    eventually("their account and session are shown to them", async || {
        ask(node, Some(&given.access), known, json!({})).await["data"] == expected
    })
    .await;
    // What is wrong is refused, and said of it what was wrong; that may be written down too.
    let wrong = "mutation($input: RegisterUserInput!) { registerUser(input: $input) {
        userErrors { code message } } }";
    let input = json!({ "email": email, "name": name, "password": "long enough, and good" });
    let told = ask(node, None, wrong, json!({ "input": input })).await;
    let errors = &told["data"]["registerUser"]["userErrors"];
    assert_eq!(errors[0]["code"], "EMAIL_TAKEN");
    let deactivate = "mutation($input: DeactivateUserInput!) { deactivateUser(input: $input) {
        user { deactivatedReason } userErrors { code path } } }";
    let input = json!({ "userId": id, "reason": reason, "commandId": format!("let go {id}") });
    let told = kept(node, deactivate, input).await;
    assert_eq!(told["user"]["deactivatedReason"], reason);
    id
}

/// What `events` tells, an event a line.
async fn export(node: &impl Node) -> Vec<Value> {
    let document = "query($after: Position) { events(afterPosition: $after, first: 200) { nodes {
        position type aggregateType aggregateId payload redacted { field reason }
        metadata { actor commandId correlationId } } } }";
    let (mut all, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let page = ask(node, None, document, json!({ "after": after })).await;
        let page = page["data"]["events"]["nodes"].as_array().unwrap().clone();
        let Some(last) = page.last() else { return all };
        after = last["position"].as_str().unwrap().to_owned();
        all.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_thirty_erased_values_nothing_is_left_anywhere() {
    let redis_server = TestRedis::start().await;
    let app = TestApp::with(|settings| {
        settings.redis = redis_settings(&redis_server.url());
        // Another process forgets a key when it is told to ask again.
        settings.vault.key_ttl = std::time::Duration::ZERO;
    })
    .await;
    let node = Process::start(&app, &redis_server);
    let mut ids = Vec::new();
    for person in PEOPLE {
        ids.push(plant(&node, person).await);
    }
    // Somebody beside them who stays.
    register(&app, "mallory@kept.example", "Mallory Remains", &["VIEWER"]).await;
    // Whoever asks for lists, and for what is cached, before.
    let fleet = "mutation($input: CreateFleetInput!) { createFleet(input: $input) {
        userErrors { code path } } }";
    kept(&app, fleet, json!({ "id": "f", "name": "Fleet" })).await;
    for _ in 0..3 {
        let list = "{ users(first: 50) { nodes { id email name deactivatedReason } } }";
        app.settled(list, json!({})).await;
        app.settled("{ fleets { nodes { id name } } }", json!({}))
            .await;
        ask(&node, None, list, json!({})).await;
    }
    let shown = export(&app).await;
    let of_first = |shown: &[Value]| -> Vec<Value> {
        let of = |event: &&Value| event["aggregateId"] == ids[0].as_str();
        shown.iter().filter(of).cloned().collect()
    };
    let reasons = |event: &Value| event["redacted"].clone();
    let registered = &of_first(&shown)[0];
    assert_eq!(registered["payload"]["email"], Value::Null);
    assert_eq!(
        reasons(registered),
        json!([{ "field": "email", "reason": "PERSONAL" },
               { "field": "name", "reason": "PERSONAL" }])
    );

    let erase = "mutation($input: UserInput!) { erasePersonalData(input: $input) {
        user { email name deactivatedReason status } userErrors { code path } } }";
    for (nth, id) in ids.iter().enumerate() {
        let input = json!({ "userId": id, "commandId": format!("forget {nth}") });
        let told = match nth % 2 {
            0 => kept(&node, erase, input).await,
            _ => kept(&app, erase, input).await,
        };
        let nothing = json!({ "email": null, "name": null, "deactivatedReason": null,
                              "status": "ERASED" });
        assert_eq!(told["user"], nothing);
    }
    app.settled("{ users { nodes { id } } }", json!({})).await;

    let exported = export(&app).await;
    assert_eq!(exported.len(), shown.len() + PEOPLE.len());
    let of_one = of_first(&exported);
    let types: Vec<&str> = of_one.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "user.registered",
            "user.deactivated",
            "user.personal_data_erased"
        ]
    );
    assert_eq!(
        reasons(&of_one[0]),
        json!([{ "field": "email", "reason": "ERASED" }, { "field": "name", "reason": "ERASED" }])
    );
    assert_eq!(
        reasons(&of_one[1]),
        json!([{ "field": "reason", "reason": "ERASED" }])
    );
    let started = exported.iter().find(|event| {
        event["type"] == "session.started" && event["payload"]["userId"] == ids[0].as_str()
    });
    let started = started.unwrap();
    assert_eq!(started["redacted"].as_array().unwrap().len(), 2);
    assert_eq!(started["redacted"][0]["reason"], "ERASED");

    // Again, nothing happens, and nobody finds what is gone by asking for it.
    let again = ask(&app, None, erase, json!({ "input": { "userId": ids[0] } })).await;
    let errors = &again["data"]["erasePersonalData"]["userErrors"];
    assert_eq!(errors[0]["code"], "USER_ERASED");
    for [email, ..] in PEOPLE {
        let by_email = "query($e: String) { users(filter: { email: $e }) { nodes { id } } }";
        let told = ask(&app, None, by_email, json!({ "e": email })).await;
        assert_eq!(told["data"]["users"]["nodes"], json!([]), "{email}");
    }

    // The log is as it was sealed, before and after.
    let all = Verify {
        tenant: "default".into(),
        positions: 1..=i64::MAX,
        workers: 1,
        trusted: None,
        noted: Vec::new(),
    };
    eventually("all of it is sealed", async || {
        let verified = verify(app.store(), &all, |_| ()).await.unwrap();
        assert_eq!(verified.difference, None);
        verified.sealed == verified.head && verified.events as usize == exported.len()
    })
    .await;

    let log = exported
        .iter()
        .map(Value::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    let said = node.said();
    assert!(said.contains("\"level\":\"info\""), "{said}");
    let mut hay = Haystack::default();
    hay.add("the export", log);
    hay.add("the process's log lines", said);
    let counts = tables(app.db(), &mut hay).await;
    assert!(counts["public.events"] > 20 && counts["public.erasures"] == 0);
    let readable: Vec<String> =
        sqlx::query_scalar("select subject from subject_keys where subject = any($1)")
            .bind(&ids)
            .fetch_all(app.db().pool())
            .await
            .unwrap();
    assert!(readable.is_empty(), "{readable:?}");
    let kinds = redis(&redis_server, &mut hay).await;
    assert!(
        kinds["string"] > 0,
        "there are answers kept in Redis: {kinds:?}"
    );
    let values: Vec<&str> = PEOPLE.into_iter().flatten().collect();
    assert_eq!(values.len(), 30);
    for value in values {
        hay.assert_without(value);
    }
    // An address has two parts, and each says something by itself.
    for [email, ..] in PEOPLE {
        hay.assert_without(email.split('@').next().unwrap());
    }
    check_log(&app).await;
    // The address is free for somebody else, however they spell it.
    let next = register(&app, "ada.quillfeather@example.org", "Another Ada", &[]).await;
    assert!(!ids.contains(&next));
    assert_eq!(turned_away(&app, app.own_token()).await, None);
}

/// The log is read from its first event, and every read model is folded anew to what it is.
async fn check_log(app: &TestApp) {
    let (store, tenant) = (app.store(), "default".into());
    let (mut after, mut read) = (Position::START, 0);
    loop {
        let page = store
            .read_log(&tenant, after, PageLimits::default())
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = last.position;
        read += page.len();
        for event in &page {
            event.decode().unwrap();
        }
    }
    assert_eq!(read as i64, app.head().await);
    for model in projections::all() {
        let name = model.name();
        eventually("the read model is where the log is", async || {
            let status = app.app().consumers.status(&tenant).await.unwrap();
            let of = status.iter().find(|row| row.name == name).unwrap();
            of.position.0 == read as i64
        })
        .await;
        let options = RebuildOptions {
            range_events: 5,
            compare: true,
            ..RebuildOptions::default()
        };
        let rebuilt = rebuild(store, &model, &tenant, options, |_| {}).await;
        assert!(rebuilt.unwrap().digest.is_some(), "{name} was compared");
    }
}
