//! Read-your-writes: what was written is seen by whoever names its position, on every way in, kept answers
//! included, or it is told how far each read model is.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{TestApp, eventually};

const REGISTER: &str = "mutation($id: ID!) { registerVehicle(input: { id: $id })
    { receipt { position } } }";
const LIST: &str = "{ vehicles(first: 200) { nodes { id } } }";

async fn register(app: &TestApp, id: &str) -> String {
    let done = app.data(REGISTER, json!({ "id": id })).await;
    let position = &done["registerVehicle"]["receipt"]["position"];
    position.as_str().unwrap().to_owned()
}

fn shown(reply: &Value) -> usize {
    let nodes = reply["data"]["vehicles"]["nodes"].as_array();
    nodes.unwrap_or_else(|| panic!("{reply}")).len()
}

#[tokio::test]
async fn every_write_is_seen_by_who_insists() {
    let app = TestApp::start().await;
    let reading = app
        .beside(|settings| settings.consumers.project = false)
        .await;
    for n in 1..=100 {
        let at = register(&app, &format!("v{n:03}")).await;
        // The node that folds and the one that does not; by header and in the body; the second time kept.
        let node = if n % 2 == 0 { &app } else { &reading };
        let insisting = json!({ "query": LIST, "extensions": { "atLeast": at } }).to_string();
        let plain = json!({ "query": LIST }).to_string();
        let replies = [
            node.post(insisting.as_bytes(), &[]).await.json(),
            node.post(plain.as_bytes(), &[("daybook-at-least", &at)])
                .await
                .json(),
            node.post(insisting.as_bytes(), &[("daybook-at-least", "0")])
                .await
                .json(),
        ];
        for reply in replies {
            assert_eq!(shown(&reply), n, "{reply}");
            assert_eq!(reply["extensions"]["position"], at);
        }
    }
}

#[tokio::test]
async fn a_read_that_cannot_be_had_tells_how_far_each_is() {
    let app = TestApp::with(|settings| {
        settings.consumers.wait_max = Duration::from_millis(50);
    })
    .await;
    let before = register(&app, "a").await;
    let insist = |at: &str| json!({ "query": LIST, "extensions": { "atLeast": at } }).to_string();
    eventually("the first is seen", async || {
        let reply = app.post(insist(&before).as_bytes(), &[]).await.json();
        reply["errors"].is_null() && shown(&reply) == 1
    })
    .await;
    app.app()
        .consumers
        .pause(
            "default",
            "vehicles",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await
        .unwrap();
    let after = register(&app, "b").await;

    let stale = app.post(insist(&after).as_bytes(), &[]).await.json();
    let told = &stale["errors"][0]["extensions"];
    assert_eq!(told["code"], "STALE_READ", "{stale}");
    assert_eq!(told["atLeast"], json!(after));
    assert_eq!(told["appliedPosition"], json!(before));
    assert_eq!(told["readModels"], json!({ "vehicles": before }));
    let rest = app
        .send(
            "GET /api/vehicles/latest?fleetId=x",
            &[("daybook-at-least", after.as_str())],
            b"",
        )
        .await;
    assert_eq!(
        (rest.status, &rest.json()["code"]),
        (503, &json!("STALE_READ"))
    );
    assert_eq!(rest.json()["readModels"]["vehicles"], json!(before));
    // Who does not insist is answered, and so is who insists on what is there: kept or made.
    for _ in 0..2 {
        assert_eq!(
            shown(&app.post(insist(&before).as_bytes(), &[]).await.json()),
            1
        );
        assert_eq!(shown(&app.ask(LIST, json!({})).await), 1);
    }
    app.app()
        .consumers
        .resume(
            "default",
            "vehicles",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await
        .unwrap();
    eventually("the second is seen", async || {
        shown(&app.ask(LIST, json!({})).await) == 2
    })
    .await;
}

/// As after a failover to a server that had not heard the last word: what the process remembers is further
/// than what is there.
#[tokio::test]
async fn what_is_insisted_on_is_looked_for_in_what_is_shown() {
    let app = TestApp::start().await;
    let before = register(&app, "a").await;
    let after = register(&app, "b").await;
    let insist = |query: &str| {
        let asked = json!({ "query": query, "extensions": { "atLeast": after } });
        asked.to_string()
    };
    let reply = app.post(insist(LIST).as_bytes(), &[]).await.json();
    assert_eq!(shown(&reply), 2, "{reply}");
    let consumers = &app.app().consumers;
    consumers
        .pause(
            "default",
            "vehicles",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await
        .unwrap();
    let back = "update generations set position = $1 where projection = 'vehicles'";
    let to: i64 = before.parse().unwrap();
    let moved = sqlx::query(back).bind(to).execute(app.db().pool()).await;
    assert_eq!(moved.unwrap().rows_affected(), 1);

    // Asked in other words: no kept answer will do.
    let other = LIST.replace("200", "199");
    let stale = app.post(insist(&other).as_bytes(), &[]).await.json();
    let told = &stale["errors"][0]["extensions"];
    assert_eq!(told["code"], "STALE_READ", "{stale}");
    assert_eq!(told["atLeast"], json!(after));
    assert_eq!(told["appliedPosition"], json!(before));
    assert_eq!(told["readModels"], json!({ "vehicles": before }));
    // Whoever keeps it up to date has been told, and does again what is missing, although nothing is new.
    consumers
        .resume(
            "default",
            "vehicles",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await
        .unwrap();
    let reply = app.post(insist(&other).as_bytes(), &[]).await.json();
    assert_eq!(shown(&reply), 2, "{reply}");
    assert_eq!(reply["extensions"]["position"], json!(after));
}

#[tokio::test]
async fn a_mutation_reads_what_it_wrote_and_what_its_caller_insists_on() {
    let app = TestApp::start().await;
    let entity =
        "mutation($id: ID!) { registerVehicle(input: { id: $id }) { vehicle { id version } } }";
    for n in 0..20 {
        let id = format!("v{n}");
        let made = app.data(entity, json!({ "id": id })).await;
        assert_eq!(
            made["registerVehicle"]["vehicle"],
            json!({ "id": id, "version": 1 })
        );
    }
    // A command told before: its receipt is old, and what its caller insists on is not forgotten.
    let body = |id: &str, at_least: &str| {
        let query =
            "mutation($id: ID!) { registerVehicle(input: { id: $id, commandId: \"once\" }) {
            vehicle { id } receipt { position replayed } } }";
        let extensions = json!({ "atLeast": at_least });
        json!({ "query": query, "variables": { "id": id }, "extensions": extensions }).to_string()
    };
    let first = app.post(body("w", "0").as_bytes(), &[]).await.json();
    assert_eq!(first["extensions"]["position"], "21");
    register(&app, "x").await;
    app.app()
        .consumers
        .pause(
            "default",
            "vehicles",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await
        .unwrap();
    let late = register(&app, "y").await;
    let again = app.post(body("w", &late).as_bytes(), &[]).await.json();
    let code = &again["errors"][0]["extensions"]["code"];
    assert_eq!(code, "STALE_READ", "{again}");
}

#[tokio::test]
async fn every_answer_tells_how_far_it_is() {
    let app = TestApp::start().await;
    let at = register(&app, "a").await;
    let body = json!({ "query": LIST, "extensions": { "atLeast": at } }).to_string();
    for _ in 0..2 {
        let reply = app.post(body.as_bytes(), &[]).await.json();
        assert_eq!(reply["extensions"]["position"], at);
    }
    let fix =
        json!({ "vehicle": "a", "fixTime": "2016-01-04T12:00:00Z", "lat": 30.0, "lon": -97.0 });
    let fixes = json!({ "fixes": [fix] }).to_string();
    let json_body = [("content-type", "application/json")];
    let kept = app
        .send("POST /api/vehicles/positions", &json_body, fixes.as_bytes())
        .await;
    assert_eq!(kept.header("daybook-position"), "2");
    let shown = app
        .send(
            "GET /api/vehicles/latest",
            &[("daybook-at-least", "2")],
            b"",
        )
        .await;
    assert_eq!(shown.header("daybook-position"), "2");
}

#[tokio::test]
async fn a_position_that_is_none_is_refused_by_name() {
    let app = TestApp::start().await;
    let list = json!({ "query": LIST }).to_string();
    for bad in ["", "x", "-1", "1.5", "0x10", " 7 8", "99999999999999999999"] {
        let body = json!({ "query": LIST, "extensions": { "atLeast": bad } }).to_string();
        let accept = [("accept", "application/graphql-response+json")];
        let reply = app.post(body.as_bytes(), &accept).await;
        let told = &reply.json()["errors"][0]["extensions"];
        assert_eq!(reply.status, 400, "{bad:?}");
        assert_eq!(told["code"], "BAD_POSITION", "{bad:?}");
        assert_eq!(told["field"], "extensions.atLeast", "{bad:?}");
        if bad.is_empty() {
            continue; // a header of no value is not sent
        }
        let header = [("daybook-at-least", bad), accept[0]];
        let reply = app.post(list.as_bytes(), &header).await;
        assert_eq!(reply.status, 400, "{bad:?}");
        assert_eq!(
            reply.json()["errors"][0]["extensions"]["field"],
            "Daybook-At-Least"
        );
        for line in ["GET /api/vehicles/latest", "POST /api/vehicles/positions"] {
            let headers = [
                ("daybook-at-least", bad),
                ("content-type", "application/json"),
            ];
            let reply = app.send(line, &headers, b"").await;
            assert_eq!(
                (reply.status, &reply.json()["field"]),
                (422, &json!("Daybook-At-Least"))
            );
        }
    }
}
