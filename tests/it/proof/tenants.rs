//! `daybook tenant`, and what a suspended tenant is everywhere: read, not written.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use daybook::auth::Role;
use serde_json::{Value, json};

use super::scene::{ask, soon, told};
use crate::support::{Scratch, TestApp, TestDb, command, eventually};

/// Exit code, standard output, standard error.
struct Said(i32, String, String);

/// Runs the program over this database, with its data in `data`.
fn run(data: &Path, url: &str, args: &[&str]) -> Said {
    let environment = [
        ("DATABASE_URL", url),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
        ("DAYBOOK_DATA_DIR", data.to_str().unwrap()),
        ("USER", "olga"),
    ];
    let output = command(data, args, &environment)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said(
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

impl Said {
    /// Done, and this was said.
    fn done(&self, parts: &[&str]) -> &Said {
        assert_eq!((self.0, self.2.as_str()), (0, ""), "{}", self.1);
        for part in parts {
            assert!(self.1.contains(part), "{part} is not in: {}", self.1);
        }
        self
    }

    /// Failed, and this was said of it.
    fn failed(&self, parts: &[&str]) {
        assert_eq!((self.0, self.1.as_str()), (1, ""), "{}", self.2);
        for part in parts {
            assert!(self.2.contains(part), "{part} is not in: {}", self.2);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_made_named_and_listed_without_a_serving_process() {
    let (dir, db) = (Scratch::new(), TestDb::create().await);
    let url = db.url();
    let tenant = |args: &[&str]| run(dir.path(), &url, &[&["tenant"], args].concat());
    tenant(&["list"]).done(&["TENANT", "default  active", "As of position 0 "]);
    tenant(&["create", "north", "--name", "Nördliches Depot"]).done(&["north is created."]);
    tenant(&["create", "south"]).done(&[]);
    tenant(&["rename", "south", "Southern depot"]).done(&[]);
    tenant(&["suspend", "south", "--reason", "unpaid"]).done(&["daybook tenant resume south"]);
    let list = tenant(&["list"]);
    list.done(&["As of position 4 "]);
    let rows: Vec<Vec<&str>> = list
        .1
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[1..4],
        [
            vec!["default", "active", "4"],
            vec!["north", "active", "0", "Nördliches", "Depot"],
            vec!["south", "suspended", "0", "Southern", "depot"],
        ]
    );
    tenant(&["resume", "south"]).done(&["south can be written."]);
    // Said again, it is so already.
    tenant(&["resume", "south"]).done(&[]);
    let list = tenant(&["list"]);
    assert!(!list.done(&[]).1.contains("suspended"));
    let actors: Vec<String> = sqlx::query_scalar(
        "select distinct metadata ->> 'actor' from events where aggregate_type = 'tenant'",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert_eq!(actors, ["system:cli:olga"]);

    let cases: [(&[&str], &[&str]); 6] = [
        (
            &["create", "north"],
            &["exists already", "daybook tenant rename"],
        ),
        (&["create", "default"], &["always there"]),
        (&["create", "No/th"], &["a-z, 0-9 and -"]),
        (
            &["rename", "nort", "x"],
            &["no tenant nort", "daybook tenant list"],
        ),
        (&["suspend", "default"], &["always there"]),
        (
            &["create", "west", "--admin-email", "nobody"],
            &["--admin-email"],
        ),
    ];
    for (args, parts) in cases {
        tenant(args).failed(parts);
    }
    assert!(!tenant(&["list"]).1.contains("west"), "nothing was made");
    let usage = tenant(&["rename", "north"]);
    assert_eq!(usage.0, 2, "{}", usage.2);
}

/// Whoever created a tenant may have ended before its log was opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_was_half_made_is_finished_by_making_it_again() {
    let (dir, db) = (Scratch::new(), TestDb::create().await);
    let url = db.url();
    let create = || run(dir.path(), &url, &["tenant", "create", "north"]);
    create().done(&[]);
    let gone = sqlx::query("delete from logs where tenant = 'north'");
    gone.execute(db.pool()).await.unwrap();
    create().failed(&["exists already"]);
    let list = run(dir.path(), &url, &["tenant", "list"]);
    list.done(&["north    active"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administrator_of_a_new_tenant_signs_in_with_what_was_printed() {
    let app = TestApp::start().await;
    let (data, url) = (app.app().log.data_dir().to_owned(), app.db().url());
    let create = [
        "tenant",
        "create",
        "north",
        "--admin-email",
        "Ann@North.example",
    ];
    let created = run(&data, &url, &create);
    created.done(&["administrator is Ann@North.example"]);
    let password = created.1.split("password ").nth(1).unwrap();
    let password = password.split(' ').next().unwrap();
    let sign_in = "mutation($input: SignInInput!) { signIn(input: $input) {
        session { accessToken } userErrors { code } } }";
    let input = json!({ "email": "ann@north.example", "password": password, "tenant": "north" });
    let told = told(&app, Some(""), sign_in, input.clone()).await;
    let token = told["session"]["accessToken"].as_str().unwrap();
    let status = ask(
        &app,
        Some(token),
        "{ tokenStatus { tenant roles } }",
        json!({}),
    )
    .await;
    assert_eq!(
        status["data"]["tokenStatus"],
        json!({ "tenant": "north", "roles": ["ADMIN"] })
    );
    // Theirs is that tenant, and not the installation.
    let others = ask(&app, Some(token), "{ tenants { nodes { id } } }", json!({})).await;
    assert_eq!(others["errors"][0]["extensions"]["code"], "FORBIDDEN");
}

async fn creates_fleet(app: &TestApp, token: &str, id: &str) -> Value {
    let document = "mutation($input: CreateFleetInput!) { createFleet(input: $input) {
        userErrors { code retryable } } }";
    let input = json!({ "id": id, "name": id });
    told(app, Some(token), document, input).await["userErrors"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenant_is_read_and_not_written_on_a_second_node() {
    let first = TestApp::start().await;
    let second = first.beside(|_| ()).await;
    let (data, url) = (first.app().log.data_dir().to_owned(), first.db().url());
    run(&data, &url, &["tenant", "create", "north"]).done(&[]);
    let token = second.token(&[Role::Admin], "north");
    assert_eq!(creates_fleet(&second, &token, "before").await, json!([]));
    let list = "{ fleets { nodes { id } } }";
    let fleets = async || ask(&second, Some(&token), list, json!({})).await;
    let there = json!([{ "id": "before" }]);
    eventually("the read models of the new tenant are kept", async || {
        fleets().await["data"]["fleets"]["nodes"] == there
    })
    .await;

    let since = Instant::now();
    run(&data, &url, &["tenant", "suspend", "north"]).done(&[]);
    let mut nth = 0;
    soon(since, "it is not written", async || {
        nth += 1;
        let errors = creates_fleet(&second, &token, &format!("after-{nth}")).await;
        errors == json!([{ "code": "TENANT_SUSPENDED", "retryable": false }])
    })
    .await;
    let refused = async |path: &str, content_type: &str, body: &[u8]| {
        let authorization = format!("Bearer {token}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", content_type),
        ];
        second
            .send(&format!("POST {path}"), &headers, body)
            .await
            .json()
    };
    let body = br#"{"fixes":[]}"#;
    let report = refused("/api/vehicles/positions", "application/json", body).await;
    assert_eq!(report["code"], "TENANT_SUSPENDED", "{report}");
    assert!(fleets().await["errors"].is_null(), "it is read");
    // Others are written.
    let own = second.own_token();
    assert_eq!(creates_fleet(&second, own, "others").await, json!([]));

    let file = data.join("fixes.csv");
    std::fs::write(&file, "vehicle,time,lat,lon\n7,2026-01-05T00:00:00Z,1,2\n").unwrap();
    let file = file.to_str().unwrap();
    let import = |tenant: &str| {
        run(
            &data,
            &url,
            &["import", "vehicles", "--tenant", tenant, file],
        )
    };
    import("north").failed(&["north is suspended", "daybook tenant resume north"]);
    import("nowhere").failed(&["nowhere", "daybook tenant list"]);

    run(&data, &url, &["tenant", "resume", "north"]).done(&[]);
    soon(Instant::now(), "it is written again", async || {
        nth += 1;
        creates_fleet(&second, &token, &format!("after-{nth}")).await == json!([])
    })
    .await;
    import("north").done(&["1"]);
}
