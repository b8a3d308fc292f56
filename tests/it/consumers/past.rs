//! The past, asked by GraphQL: what read models said at a position, beside what they say now; and what is
//! decided about read models on this way.

use std::time::Duration;

use daybook::auth::Role;
use domain::Position;
use projections::Target;
use serde_json::{Value, json};

use crate::support::{TestApp, eventually};
use crate::transport::client::Socket;

const REBUILD: &str = "mutation($i: RebuildProjectionInput!) { rebuildProjection(input: $i) {
    rebuild { name generation mode phase upToPosition askedBy reason }
    userErrors { code path } } }";

/// One question of each of four read models.
const QUESTIONS: [&str; 4] = [
    "{ vehicles(first: 200) { asOfPosition nodes { id name status } } }",
    "{ latestPositions(first: 200) { asOfPosition nodes { lat lon fixTime vehicleId } } }",
    r#"{ heatmap(from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z") {
        asOfPosition cells { cell fixes vehicles } } }"#,
    "{ deployments(first: 200) { asOfPosition nodes { id version status } } }",
];

/// What happens on a day: a vehicle, where it was, and something deployed.
async fn live_on(app: &TestApp, n: u32) {
    let register = "mutation($id: ID!) { registerVehicle(input: { id: $id, name: \"Bus\" })
        { userErrors { code } } }";
    let report = "mutation($f: [PositionFixInput!]!) { reportPositions(input: { fixes: $f })
        { accepted } }";
    let record = r#"mutation($v: String!) { recordDeployment(input: { project: "p", service: "s",
        environment: "test", version: $v, status: SUCCEEDED }) { userErrors { code } } }"#;
    let vehicle = format!("v{n}");
    app.data(register, json!({ "id": vehicle })).await;
    let fix = json!({ "vehicle": vehicle, "lat": 60.2, "lon": 24.9 + f64::from(n) / 10.0,
                      "fixTime": format!("2026-01-01T10:{n:02}:00Z") });
    app.data(report, json!({ "f": [fix] })).await;
    let define = r#"mutation { defineEnvironment(input: { project: "p", environment: "test", tier: OTHER })
        { userErrors { code } } }"#;
    app.data(define, json!({})).await;
    app.data(record, json!({ "v": format!("1.{n}") })).await;
}

async fn ask_as_of(app: &TestApp, query: &str, as_of: i64) -> Value {
    let extensions = json!({ "asOf": { "position": as_of.to_string() } });
    let body = json!({ "query": query, "extensions": extensions }).to_string();
    app.post(body.as_bytes(), &[]).await.json()
}

async fn rebuild(app: &TestApp, input: Value) -> Value {
    let mut done = app.data(REBUILD, json!({ "i": input })).await;
    done["rebuildProjection"].take()
}

/// Builds a generation as of a position, and waits until it is whole.
async fn build_as_of(app: &TestApp, name: &str, up_to: Value) -> Value {
    let input = json!({ "name": name, "mode": "SCRATCH", "upTo": up_to });
    let asked = rebuild(app, input).await;
    assert_eq!(asked["userErrors"], json!([]), "{name}");
    let generation = asked["rebuild"]["generation"].clone();
    let all = "query($n: String!) { generations(name: $n) { generation state position } }";
    let mut found = Value::Null;
    eventually("it is built", async || {
        let there = app.data(all, json!({ "n": name })).await;
        let mut there = there["generations"].as_array().unwrap().iter();
        let ours = there.find(|row| row["generation"] == generation).unwrap();
        found = ours.clone();
        ours["state"] == "SCRATCH"
    })
    .await;
    found
}

/// Digests of the generations of all read models that are in a state, at a position.
async fn digests(app: &TestApp, state: &str, at: i64) -> Vec<(String, String)> {
    let mut conn = app.db().pool().acquire().await.unwrap();
    let mut all = Vec::new();
    for projection in projections::all() {
        let generation: i32 = sqlx::query_scalar(
            "select generation from generations
             where tenant = 'default' and projection = $1 and state = $2 and position = $3",
        )
        .bind(projection.name())
        .bind(state)
        .bind(at)
        .fetch_one(&mut *conn)
        .await
        .unwrap();
        let target = Target {
            tenant: "default",
            generation,
        };
        let digest = projections::digest(&mut conn, projection.as_ref(), &target).await;
        all.push((projection.name().to_owned(), digest.unwrap()));
    }
    all
}

async fn all_at(app: &TestApp, at: i64) {
    let names: Vec<_> = projections::all().iter().map(|p| p.name()).collect();
    let (tenant, long) = ("default".into(), Duration::from_secs(60));
    let consumers = &app.app().consumers;
    consumers
        .wait_for(&tenant, &names, Position(at), long)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_read_model_said_at_a_position_can_be_asked_beside_what_it_says_now() {
    let app = TestApp::with(|settings| settings.consumers.scratches_max = 20).await;
    for n in 1..=3 {
        live_on(&app, n).await;
    }
    let then = app.head().await;
    all_at(&app, then).await;
    let expect_digests = digests(&app, "live", then).await;
    let mut expect = Vec::new();
    for question in QUESTIONS {
        let said = app.ask(question, json!({})).await;
        assert_eq!(said["errors"], Value::Null, "{said}");
        expect.push(said);
    }
    for n in 4..=6 {
        live_on(&app, n).await;
    }
    let now = app.head().await;
    all_at(&app, now).await;
    for projection in projections::all() {
        let up_to = json!({ "position": then.to_string() });
        let built = build_as_of(&app, projection.name(), up_to).await;
        assert_eq!(built["position"], json!(then.to_string()));
    }
    assert_eq!(digests(&app, "scratch", then).await, expect_digests);
    for (question, expect) in QUESTIONS.iter().zip(&expect) {
        // Kept answers of the present, before and after, are other answers to the same document.
        for _ in 0..2 {
            let present = app.settled(question, json!({})).await;
            assert_ne!(present, expect["data"], "{question}");
            let past = ask_as_of(&app, question, then).await;
            assert_eq!(past["data"], expect["data"], "{question}");
            assert_eq!(past["extensions"]["position"], json!(then.to_string()));
        }
        let body = json!({ "query": question }).to_string();
        let header = [("daybook-as-of", &*then.to_string())];
        let by_header = app.post(body.as_bytes(), &header).await.json();
        assert_eq!(by_header["data"], expect["data"], "{question}");
    }
    let latest = app
        .send(
            "GET /api/vehicles/latest",
            &[("daybook-as-of", &then.to_string())],
            b"",
        )
        .await;
    assert_eq!(latest.json()["items"].as_array().unwrap().len(), 3);
    assert_eq!(latest.header("daybook-position"), then.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_stands_for_the_last_event_recorded_by_then() {
    let app = TestApp::start().await;
    live_on(&app, 1).await;
    let at = app.head().await;
    let time: String = sqlx::query_scalar(
        "select to_char(recorded_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
         from events where tenant = 'default' and position = $1",
    )
    .bind(at)
    .fetch_one(app.db().pool())
    .await
    .unwrap();
    live_on(&app, 2).await;
    let built = build_as_of(&app, "vehicles", json!({ "time": time })).await;
    assert_eq!(built["position"], json!(at.to_string()));
    let past = ask_as_of(&app, "{ vehicles { nodes { id } } }", at).await;
    assert_eq!(past["data"]["vehicles"]["nodes"], json!([{ "id": "v1" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_built_or_not_of_read_models_is_refused_by_name() {
    let app = TestApp::start().await;
    live_on(&app, 1).await;
    let at = app.head().await;
    build_as_of(&app, "vehicles", json!({ "position": at.to_string() })).await;
    let vehicles = "{ vehicles { nodes { id } } }";
    let told = async |query: &str, as_of: i64| {
        let reply = ask_as_of(&app, query, as_of).await;
        reply["errors"][0]["extensions"].clone()
    };
    assert_eq!(told(vehicles, at).await, Value::Null);
    let missing = told(vehicles, at - 1).await;
    assert_eq!(
        (&missing["code"], &missing["readModel"], &missing["asOf"]),
        (
            &json!("AS_OF_NOT_BUILT"),
            &json!("vehicles"),
            &json!((at - 1).to_string())
        )
    );
    // built for one read model alone: a page of vehicles and where they are is no mix
    let both = "{ vehicles { nodes { id latestPosition { lat } } } }";
    assert_eq!(told(both, at).await["readModel"], "positions");
    for (query, field) in [
        ("{ events { nodes { position } } }", "events"),
        ("{ projections { name } }", "projections"),
        (
            r#"mutation { retireVehicle(input: { id: "v1" }) { receipt { position } } }"#,
            "retireVehicle",
        ),
    ] {
        let refused = told(query, at).await;
        assert_eq!(refused["code"], "AS_OF_UNSUPPORTED", "{query}");
        assert_eq!(refused["field"], field);
    }
    for wrong in [
        json!("1"),
        json!({}),
        json!({ "position": 1 }),
        json!({ "position": "-1" }),
    ] {
        let body = json!({ "query": vehicles, "extensions": { "asOf": wrong } }).to_string();
        let reply = app.post(body.as_bytes(), &[]).await.json();
        assert_eq!(
            reply["errors"][0]["extensions"]["code"], "BAD_POSITION",
            "{body}"
        );
    }
    let extensions = json!({ "asOf": { "position": "1" }, "atLeast": "2" });
    let body = json!({ "query": vehicles, "extensions": extensions }).to_string();
    let reply = app.post(body.as_bytes(), &[]).await.json();
    assert_eq!(reply["errors"][0]["extensions"]["code"], "STALE_READ");
    let body = json!({ "query": vehicles, "extensions": { "asOf": { "position": "1" } } });
    let two = [("daybook-as-of", "2")];
    let reply = app.post(body.to_string().as_bytes(), &two).await.json();
    assert_eq!(reply["errors"][0]["extensions"]["code"], "BAD_POSITION");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_input_names_its_field_and_its_bounds() {
    let app = TestApp::start().await;
    for (input, code, field) in [
        (json!({ "name": "nonsense" }), "READ_MODEL_UNKNOWN", "name"),
        (
            json!({ "name": "vehicles", "workers": 0 }),
            "OUT_OF_RANGE",
            "workers",
        ),
        (
            json!({ "name": "vehicles", "workers": 17 }),
            "OUT_OF_RANGE",
            "workers",
        ),
        (
            json!({ "name": "vehicles", "rangeEvents": 1 }),
            "OUT_OF_RANGE",
            "rangeEvents",
        ),
        (
            json!({ "name": "vehicles", "mode": "SCRATCH" }),
            "VALIDATION",
            "upTo",
        ),
        (
            json!({ "name": "vehicles", "upTo": { "position": "0" } }),
            "VALIDATION",
            "upTo",
        ),
        (
            json!({ "name": "vehicles", "mode": "SCRATCH", "upTo": { "position": "9999" } }),
            "OUT_OF_RANGE",
            "upTo",
        ),
        (
            json!({ "name": "vehicles", "reason": " " }),
            "VALIDATION",
            "reason",
        ),
        (
            json!({ "name": "vehicles", "commandId": "" }),
            "VALIDATION",
            "commandId",
        ),
    ] {
        let refused = rebuild(&app, input.clone()).await;
        let told = &refused["userErrors"][0];
        assert_eq!(
            (&told["code"], &told["path"]),
            (&json!(code), &json!(["input", field])),
            "{input}"
        );
        assert_eq!(refused["rebuild"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_is_done_once_however_often_it_is_sent() {
    let app = TestApp::start().await;
    live_on(&app, 1).await;
    all_at(&app, app.head().await).await;
    let comes_to = async |generation: i64| {
        let all = r#"{ generations(name: "vehicles") { generation state } }"#;
        eventually("it answers", async || {
            let there = app.data(all, json!({})).await;
            let mut there = there["generations"].as_array().unwrap().iter();
            there.any(|row| row["generation"] == generation && row["state"] == "LIVE")
        })
        .await;
    };
    rebuild(&app, json!({ "name": "vehicles" })).await;
    comes_to(2).await;
    let back = async |input: Value| {
        let query = "mutation($i: RollBackProjectionInput!) { rollBackProjection(input: $i) {
            rebuild { generation mode } userErrors { code path } } }";
        app.data(query, json!({ "i": input })).await["rollBackProjection"].take()
    };
    let asked = json!({ "name": "vehicles", "generation": 2, "commandId": "c1" });
    let done = json!({ "rebuild": { "generation": 3, "mode": "ROLL_BACK" }, "userErrors": [] });
    assert_eq!(back(asked.clone()).await, done);
    comes_to(3).await;
    assert_eq!(back(asked).await, done);
    let other = back(json!({ "name": "vehicles", "generation": 3, "commandId": "c1" })).await;
    assert_eq!(
        other["userErrors"],
        json!([{ "code": "IDEMPOTENCY_KEY_REUSED", "path": ["input", "commandId"] }])
    );
    let refused = back(json!({ "name": "vehicles", "generation": 2 })).await;
    assert_eq!(
        refused["userErrors"],
        json!([{ "code": "GENERATION_NOT_LIVE", "path": ["input", "generation"] }])
    );
    let keyless = back(json!({ "name": "vehicles", "commandId": "" })).await;
    assert_eq!(
        keyless["userErrors"][0]["path"],
        json!(["input", "commandId"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_to_whoever_listens_and_decisions_to_auditors() {
    let app = TestApp::start().await;
    live_on(&app, 1).await;
    let mut socket = Socket::open(app.address(), &[]).await;
    let token = format!("Bearer {}", app.own_token());
    let init = json!({ "type": "connection_init", "payload": { "Authorization": token } });
    socket.send(&init).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    let progress = r#"subscription { projectionProgress(name: "vehicles") {
        name generation phase doneEvents totalEvents } }"#;
    socket.subscribe("1", progress).await;
    let asked = rebuild(&app, json!({ "name": "vehicles", "reason": "to see it" })).await;
    assert_eq!(asked["rebuild"]["askedBy"], "user:tester");
    loop {
        let told = &socket.next().await["payload"]["data"]["projectionProgress"];
        assert_eq!(told["name"], "vehicles", "{told}");
        if told["phase"] == "SWAPPED" {
            assert_eq!(told["doneEvents"], told["totalEvents"]);
            break;
        }
    }
    let decisions = "{ projectionDecisions(first: 1) { nodes { name action decidedBy reason } } }";
    let told = app.data(decisions, json!({})).await;
    let expect = json!([{ "name": "vehicles", "action": "rebuild",
                          "decidedBy": "user:tester", "reason": "to see it" }]);
    assert_eq!(told["projectionDecisions"]["nodes"], expect);
    let viewer = format!("Bearer {}", app.token(&[Role::Viewer], "default"));
    let body = json!({ "query": decisions }).to_string();
    let refused = app
        .post(body.as_bytes(), &[("authorization", &viewer)])
        .await
        .json();
    assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_something_failed_is_told_to_who_may_do_something_about_it() {
    let app = TestApp::start().await;
    live_on(&app, 1).await;
    all_at(&app, app.head().await).await;
    let poison = (
        "deployment",
        "deployment.teleported",
        "1",
        r#"{"name":"classified"}"#,
    );
    super::scene::append(app.db().pool(), "bad", &[poison]).await;
    rebuild(&app, json!({ "name": "deployments" })).await;
    let query = r#"{ rebuilds(name: "deployments") { nodes { phase error } }
                     projections { name error } }"#;
    let seen_by = async |role| {
        let token = format!("Bearer {}", app.token(&[role], "default"));
        let body = json!({ "query": query }).to_string();
        let reply = app
            .post(body.as_bytes(), &[("authorization", &token)])
            .await
            .json();
        let data = &reply["data"];
        let stopped = data["projections"].as_array().unwrap().iter();
        let stopped = stopped.filter(|row| row["name"] == "deployments");
        let stopped: Vec<Value> = stopped.map(|row| row["error"].clone()).collect();
        let rebuild = &data["rebuilds"]["nodes"][0];
        (rebuild["phase"].clone(), rebuild["error"].clone(), stopped)
    };
    eventually("both have failed", async || {
        let (phase, _, stopped) = seen_by(Role::Operator).await;
        phase == "FAILED" && stopped[0].is_string()
    })
    .await;
    let (_, error, stopped) = seen_by(Role::Operator).await;
    assert!(
        error.as_str().unwrap().contains("cannot be folded"),
        "{error}"
    );
    assert_ne!(stopped[0], error);
    let (phase, error, stopped) = seen_by(Role::Viewer).await;
    assert_eq!(phase, "FAILED");
    let untold = json!("it failed; operators are told why");
    assert_eq!((error, &stopped[0]), (untold.clone(), &untold));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_is_listed_tried_again_and_skipped_for_a_reason() {
    let app = TestApp::start().await;
    live_on(&app, 1).await;
    let poison = ("deployment", "deployment.teleported", "1", "{}");
    let at = super::scene::append(app.db().pool(), "bad", &[poison])
        .await
        .0;
    let failed = r#"{ failedEvents(name: "deployments") { nodes { position attempts blocks skippedBy skipReason } } }"#;
    let list = async || {
        let told = app.data(failed, json!({})).await;
        told["failedEvents"]["nodes"].clone()
    };
    eventually("it is listed", async || list().await[0]["blocks"] == true).await;
    assert_eq!(list().await[0]["position"], json!(at.to_string()));
    let decide = async |field: &str, input: Value| {
        let query = format!(
            "mutation($i: {}Input!) {{ {field}(input: $i) {{ projection {{ status }} userErrors {{ code }} }} }}",
            field[..1].to_uppercase() + &field[1..]
        );
        let told = app.data(&query, json!({ "i": input })).await;
        told[field].clone()
    };
    let here = |position: i64| json!({ "name": "deployments", "position": position.to_string(), "reason": "lost" });
    for field in ["retryFailedEvent", "skipFailedEvent"] {
        let elsewhere = decide(field, here(at - 1)).await;
        assert_eq!(elsewhere["userErrors"][0]["code"], "NOT_STOPPED");
    }
    assert_eq!(
        decide("retryFailedEvent", here(at)).await["userErrors"],
        json!([])
    );
    eventually("it has failed again", async || {
        let told = list().await;
        told[0]["attempts"] == 2 && told[0]["blocks"] == true
    })
    .await;
    assert_eq!(
        decide("skipFailedEvent", here(at)).await["userErrors"],
        json!([])
    );
    app.settled("{ deployments { nodes { id } } }", json!({}))
        .await;
    let told = &list().await[0];
    assert_eq!(
        (&told["blocks"], &told["skippedBy"], &told["skipReason"]),
        (&json!(false), &json!("user:tester"), &json!("lost"))
    );
    let decisions = r#"{ projectionDecisions(name: "deployments") { nodes { action position } } }"#;
    let told = app.data(decisions, json!({})).await;
    let at = at.to_string();
    let expect =
        json!([{ "action": "skip", "position": at }, { "action": "resume", "position": at }]);
    assert_eq!(told["projectionDecisions"]["nodes"], expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_read_model_answers_as_of_where_it_rests_until_it_is_resumed() {
    let app = TestApp::start().await;
    live_on(&app, 1).await;
    all_at(&app, app.head().await).await;
    let set = async |field: &str, name: &str| {
        let query = format!(
            "mutation($i: ProjectionInput!) {{ {field}(input: $i) {{ projection {{ status }} userErrors {{ code }} }} }}"
        );
        let told = app.data(&query, json!({ "i": { "name": name } })).await;
        told[field].clone()
    };
    let paused = set("pauseProjection", "vehicles").await;
    assert_eq!(paused["projection"]["status"], "paused");
    let unknown = set("pauseProjection", "nonsense").await;
    assert_eq!(unknown["userErrors"][0]["code"], "READ_MODEL_UNKNOWN");
    let resumed = set("resumeProjection", "vehicles").await;
    assert_eq!(resumed["projection"]["status"], "running");
    live_on(&app, 2).await;
    let told = app
        .settled("{ vehicles { nodes { id } } }", json!({}))
        .await;
    assert_eq!(told["vehicles"]["nodes"].as_array().unwrap().len(), 2);
}
