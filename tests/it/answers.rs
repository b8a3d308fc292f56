//! Whole answers, kept: a hit executes nothing, and nobody is shown what is not theirs or older than what
//! they saw.

use std::time::Duration;

use daybook::auth::Role;
use daybook::config::Bytes;
use serde_json::{Value, json};

use crate::support::{TestApp, TestRedis, eventually, redis_settings};

const REGISTER: &str =
    "mutation($id: ID!, $name: String) { registerVehicle(input: { id: $id, name: $name })
    { receipt { position } userErrors { code } } }";
const NAMES: &str = "query($first: Int) { vehicles(first: $first) { nodes { id name } } }";

async fn register(app: &TestApp, id: &str) -> Value {
    let done = app
        .data(REGISTER, json!({ "id": id, "name": "honest" }))
        .await;
    done["registerVehicle"]["receipt"]["position"].clone()
}

/// Changes what the read model says behind everybody's back: only what is made anew shows it.
async fn plant(app: &TestApp, name: &str) {
    sqlx::query("update read.vehicles_g1 set name = $1")
        .bind(name)
        .execute(app.db().pool())
        .await
        .unwrap();
}

fn names(data: &Value) -> Vec<&str> {
    let nodes = data["vehicles"]["nodes"].as_array().unwrap().iter();
    nodes.map(|node| node["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_kept_answer_is_given_until_a_read_model_moves() {
    let app = TestApp::start().await;
    register(&app, "a").await;
    let seen = app.settled(NAMES, json!({ "first": 5 })).await;
    assert_eq!(names(&seen), ["honest"]);
    plant(&app, "planted").await;

    // The same question however it is sent: same bytes, other order, other whitespace of the body.
    for body in [
        json!({ "query": NAMES, "variables": { "first": 5 } }).to_string(),
        json!({ "variables": { "first": 5 }, "query": NAMES }).to_string(),
        format!(
            "  {}",
            json!({ "query": NAMES, "variables": { "first": 5 }, "extensions": {} })
        ),
    ] {
        for accept in ["application/json", "application/graphql-response+json"] {
            for _ in 0..2 {
                let reply = app.post(body.as_bytes(), &[("accept", accept)]).await;
                assert!(reply.header("content-type").starts_with(accept), "{body}");
                assert_eq!(names(&reply.json()["data"]), ["honest"], "{body}");
                assert_eq!(reply.json()["extensions"]["position"], "1");
            }
        }
    }
    // Another question is another answer.
    let other = app.data(NAMES, json!({ "first": 6 })).await;
    assert_eq!(names(&other), ["planted"]);
    let spaced = app.data(&format!("{NAMES} "), json!({ "first": 5 })).await;
    assert_eq!(names(&spaced), ["planted"]);

    // Whatever happens in the log makes every answer a new one.
    let at = register(&app, "b").await;
    let seen = app.settled(NAMES, json!({ "first": 5 })).await;
    assert_eq!(names(&seen), ["planted", "honest"]);
    let body = json!({ "query": NAMES, "variables": { "first": 5 } }).to_string();
    let reply = app.post(body.as_bytes(), &[]).await.json();
    assert_eq!(reply["extensions"]["position"], at);
    assert_eq!(names(&reply["data"]), ["planted", "honest"]);
}

#[tokio::test]
async fn rest_aliases_are_kept_as_they_are_sent() {
    let app = TestApp::start().await;
    let report = "mutation { reportPositions(input: { fixes: [{ vehicle: \"v\",
        fixTime: \"2016-01-04T12:00:00Z\", lat: 30.25, lon: -97.75 }] }) { accepted } }";
    app.data(report, json!({})).await;
    // The alias may ask for the members of a fleet, so it is kept under the state of vehicles as well.
    app.settled(NAMES, json!({})).await;
    let head = app.head().await.to_string();
    let insist = [("daybook-at-least", head.as_str())];
    let path = "GET /api/vehicles/latest?first=7";
    let made = app.send(path, &insist, b"").await;
    assert_eq!(made.status, 200);
    let gone = "delete from read.latest_positions_g1";
    let gone = sqlx::query(gone).execute(app.db().pool()).await.unwrap();
    assert_eq!(gone.rows_affected(), 1);
    for _ in 0..2 {
        let kept = app.send(path, &insist, b"").await;
        assert_eq!(kept.body, made.body);
        assert_eq!(kept.header("daybook-position"), head);
        assert_eq!(kept.header("content-type"), "application/json");
    }
    let other = app.get("/api/vehicles/latest?first=8").await;
    assert_eq!(other.json()["items"], json!([]));
    // A URL that was refused is refused again, whatever is kept.
    for _ in 0..2 {
        assert_eq!(
            app.get("/api/vehicles/latest?first=7&x=1").await.status,
            422
        );
        assert_eq!(app.get("/api/vehicles/latest?first=0").await.status, 422);
    }
}

#[tokio::test]
async fn callers_with_other_rights_share_nothing() {
    let app = TestApp::start().await;
    register(&app, "a").await;
    app.settled(NAMES, json!({})).await;
    plant(&app, "planted").await;
    let body = json!({ "query": NAMES, "variables": {} }).to_string();
    let ask = async |roles: &[Role], tenant: &str| {
        let bearer = format!("Bearer {}", app.token(roles, tenant));
        let reply = app
            .post(body.as_bytes(), &[("authorization", &bearer)])
            .await;
        reply.json()
    };
    for _ in 0..2 {
        // Another token with the same rights finds the answer; others make their own.
        assert_eq!(
            names(&ask(&[Role::Admin], "default").await["data"]),
            ["honest"]
        );
        assert_eq!(
            names(&ask(&[Role::Viewer], "default").await["data"]),
            ["planted"]
        );
        let without = ask(&[], "default").await;
        assert_eq!(without["errors"][0]["extensions"]["code"], "FORBIDDEN");
        assert_eq!(without["data"], Value::Null);
        let foreign = ask(&[Role::Admin], "another").await.to_string();
        assert!(
            !foreign.contains("honest") && !foreign.contains("planted"),
            "{foreign}"
        );
    }
}

#[tokio::test]
async fn what_failed_is_not_kept() {
    let app = TestApp::start().await;
    register(&app, "a").await;
    app.settled("{ vehicles { nodes { id } } }", json!({}))
        .await;
    let away = "alter table read.vehicles_g1 rename to vehicles_away";
    let back = "alter table read.vehicles_away rename to vehicles_g1";
    sqlx::query(away).execute(app.db().pool()).await.unwrap();
    let failed = app.ask(NAMES, json!({})).await;
    assert_eq!(failed["errors"][0]["extensions"]["code"], "INTERNAL");
    let first = failed["errors"][0]["extensions"]["requestId"].clone();
    let again = app.ask(NAMES, json!({})).await;
    assert_ne!(again["errors"][0]["extensions"]["requestId"], first);
    sqlx::query(back).execute(app.db().pool()).await.unwrap();
    assert_eq!(names(&app.data(NAMES, json!({})).await), ["honest"]);
    // Half an answer is no answer: one field failed, another did not.
    let half = "{ vehicles { nodes { name } } a: vehicles(after: \"x\") { nodes { id } } }";
    for name in ["honest", "planted"] {
        plant(&app, name).await;
        let reply = app.ask(half, json!({})).await;
        assert_eq!(
            reply["errors"][0]["extensions"]["code"], "BAD_CURSOR",
            "{reply}"
        );
        assert_eq!(names(&reply["data"]), [name], "{reply}");
    }
}

#[tokio::test]
async fn mutations_and_the_log_itself_are_never_kept() {
    let app = TestApp::start().await;
    for n in 0..3 {
        let made = app.data(REGISTER, json!({ "id": "a" })).await;
        let errors = made["registerVehicle"]["userErrors"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(errors, usize::from(n > 0), "{made}");
    }
    let count = "{ events(first: 200) { nodes { position } asOfPosition } projections { name } }";
    for n in 1..4 {
        let seen = app.data(count, json!({})).await;
        assert_eq!(seen["events"]["nodes"].as_array().unwrap().len(), n);
        register(&app, &format!("v{n}")).await;
    }
}

#[tokio::test]
async fn keeping_can_be_turned_off_and_is_bounded() {
    for (keeps, entry_bytes_max) in [(false, 1 << 20), (true, 10)] {
        let app = TestApp::with(|settings| {
            settings.cache.answers = keeps;
            settings.cache.entry_bytes_max = Bytes(entry_bytes_max);
        })
        .await;
        register(&app, "a").await;
        app.settled(NAMES, json!({})).await;
        for name in ["x", "y"] {
            plant(&app, name).await;
            assert_eq!(names(&app.data(NAMES, json!({})).await), [name]);
        }
    }
}

#[tokio::test]
async fn other_processes_find_what_one_made() {
    let redis = TestRedis::start().await;
    let with_redis = |settings: &mut daybook::config::Settings| {
        settings.redis = redis_settings(&redis.url());
    };
    let ours = TestApp::with(with_redis).await;
    register(&ours, "a").await;
    ours.settled(NAMES, json!({})).await;
    eventually("the answer is in Redis", async || {
        redis.tell::<usize>(&redis::cmd("DBSIZE")).await == 1
    })
    .await;
    plant(&ours, "planted").await;
    let theirs = ours.beside(with_redis).await;
    assert_eq!(names(&theirs.settled(NAMES, json!({})).await), ["honest"]);

    // A log that begins anew with the same key shares nothing, though positions are the same.
    let anew = ours.elsewhere(with_redis).await;
    register(&anew, "b").await;
    let seen = anew.settled(
        "query($first: Int) { vehicles(first: $first) { nodes { id name } } }",
        json!({}),
    );
    assert_eq!(seen.await["vehicles"]["nodes"][0]["id"], "b");
}

#[tokio::test]
async fn no_client_of_a_process_is_taken_back_in_time() {
    // Two processes: one folds, the other only reads, and looks at the bookkeeping seldom.
    let folding = TestApp::start().await;
    let reading = folding
        .beside(|settings| {
            settings.consumers.project = false;
            settings.consumers.poll_interval = Duration::from_secs(60);
            settings.cache.recheck = Duration::from_millis(20);
        })
        .await;
    let body = json!({ "query": NAMES, "variables": { "first": 200 } }).to_string();
    let other =
        json!({ "query": "{ fleets { nodes { id } } vehicles(first: 200) { nodes { name } } }" });
    let other = other.to_string();
    let mut last = 0;
    for n in 0..60 {
        register(&folding, &format!("v{n:02}")).await;
        for body in [&body, &other, &body] {
            let reply = reading.post(body.as_bytes(), &[]).await.json();
            let position = &reply["extensions"]["position"];
            let position: i64 = position.as_str().unwrap().parse().unwrap();
            assert!(position >= last, "{position} after {last}");
            let shown = names(&reply["data"]).len() as i64;
            assert_eq!(shown, position, "an answer shows what its position says");
            last = position;
        }
    }
    // Nobody pokes the reading process: what it does not know it looks for.
    eventually("the last command is seen", async || {
        let reply = reading.post(body.as_bytes(), &[]).await.json();
        reply["extensions"]["position"] == "60"
    })
    .await;
}
