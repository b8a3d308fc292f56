//! REST aliases, probes, and what every answer has in common.

use daybook::config::Environment;
use serde_json::{Value, json};

use crate::support::TestApp;

async fn report(app: &TestApp, vehicles: i64) {
    let fix = |n: i64| {
        json!({ "vehicle": format!("v{n:04}"), "fixTime": "2016-01-04T12:00:00Z",
                "lat": 30.25, "lon": -97.75 + n as f64 * 0.0001, "speedMps": 4 })
    };
    let fixes: Vec<Value> = (0..vehicles).map(fix).collect();
    let query =
        "mutation($f: [PositionFixInput!]!) { reportPositions(input: { fixes: $f }) { accepted } }";
    let told = app.data(query, json!({ "f": fixes })).await;
    assert_eq!(told["reportPositions"]["accepted"], vehicles);
}

/// A GET that waits for all that was written.
async fn get(app: &TestApp, path: &str) -> Value {
    let head = app.head().await.to_string();
    let reply = app
        .send(&format!("GET {path}"), &[("daybook-at-least", &head)], b"")
        .await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.json());
    assert_eq!(reply.header("daybook-position"), head);
    reply.json()
}

const SPAN: &str = "from=2016-01-04T00:00:00Z&to=2016-01-05T00:00:00Z";

#[tokio::test]
async fn aliases_answer_as_graphql_does() {
    let app = TestApp::start().await;
    report(&app, 300).await;

    let page = get(&app, "/api/vehicles/latest?first=250").await;
    assert_eq!(
        page["items"].as_array().unwrap().len(),
        250,
        "pages beyond GraphQL's 200"
    );
    let next = page["next"].as_str().unwrap();
    let rest = get(
        &app,
        &format!("/api/vehicles/latest?first=250&after={next}"),
    )
    .await;
    assert_eq!(
        (rest["items"].as_array().unwrap().len(), &rest["next"]),
        (50, &Value::Null)
    );
    assert_eq!(rest["items"][0]["vehicleId"], "v0250");
    let near = get(
        &app,
        "/api/vehicles/latest?near=30.25,-97.75,20&vehicleIds=v0000,v0001,v0200",
    )
    .await;
    assert_eq!(near["items"].as_array().unwrap().len(), 2);
    let none = get(&app, "/api/vehicles/latest?bbox=-10,-10,10,10").await;
    assert_eq!(none["items"], json!([]));

    let history = get(
        &app,
        &format!("/api/vehicles/history?vehicleId=v0007&{SPAN}"),
    )
    .await;
    assert_eq!(history["items"][0]["speedMps"], 4.0);
    let map = get(
        &app,
        &format!("/api/analytics/heatmap?resolution=4&metric=VEHICLES&{SPAN}"),
    )
    .await;
    assert_eq!(map["cells"][0]["vehicles"], 300);
    let trend = get(
        &app,
        &format!("/api/analytics/trend?metric=FIXES&bucket=HOUR&{SPAN}"),
    )
    .await;
    let busy = trend["points"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| !p["value"].is_null());
    assert_eq!(busy.unwrap()["value"], 300.0);
    let summary = get(&app, &format!("/api/analytics/history?{SPAN}")).await;
    assert_eq!(
        (&summary["activeVehicles"], &summary["fixes"]),
        (&json!(300), &json!(300))
    );
}

/// Status, code and path; SPAN stands for a good span.
const REFUSED: &str = "
422 PAGE_LIMIT      /api/vehicles/latest?first=1001
422 PAGE_LIMIT      /api/vehicles/latest?first=0
422 VALIDATION      /api/vehicles/latest?first=many
422 VALIDATION      /api/vehicles/latest?sort=id;drop
422 VALIDATION      /api/vehicles/latest?first=1&first=2
422 BAD_CURSOR      /api/vehicles/latest?after=xyz
400 BAD_TEXT        /api/vehicles/latest?fleetId=a%00b
422 VALIDATION      /api/vehicles/latest?bbox=1,2,3
422 VALIDATION      /api/vehicles/latest?bbox=-98,31,-97,30
422 VALIDATION      /api/vehicles/latest?near=91,0,5
422 VALIDATION      /api/vehicles/history?vehicleId=v
422 VALIDATION      /api/analytics/heatmap?from=2016-01-05T00:00:00Z&to=2016-01-04T00:00:00Z
422 VALIDATION      /api/analytics/heatmap?SPAN&resolution=10
422 PAGE_LIMIT      /api/analytics/heatmap?SPAN&limit=10001
422 VALIDATION      /api/analytics/heatmap?SPAN&span=DAY&zone=Mars/Olympus
422 VALIDATION      /api/analytics/heatmap?from=yesterday&to=2016-01-04T00:00:00Z
422 VALIDATION      /api/analytics/trend?metric=fixes&bucket=HOUR&SPAN
422 VALIDATION      /api/analytics/trend?metric=FIXES&bucket=HOUR&SPAN&window=501
422 VALIDATION      /api/analytics/trend?metric=FIXES&bucket=HOUR&from=1970-01-01T00:00:00Z&to=2070-01-01T00:00:00Z
422 VALIDATION      /api/analytics/history?SPAN&vehicleId=v&fleetId=f
404 ROUTE_NOT_FOUND /api/vehicles
404 ROUTE_NOT_FOUND //graphql
404 ROUTE_NOT_FOUND /graphql/../metrics";

#[tokio::test]
async fn aliases_refuse_with_problems() {
    let app = TestApp::start().await;
    for case in REFUSED.lines().skip(1) {
        let mut words = case.split_whitespace();
        let (status, code) = (words.next().unwrap(), words.next().unwrap());
        let path = words.next().unwrap().replace("SPAN", SPAN);
        let reply = app.get(&path).await;
        let problem = reply.json();
        assert_eq!(reply.status.to_string(), status, "{path}: {problem}");
        assert_eq!(problem["code"], code, "{path}: {problem}");
        assert_eq!(problem["status"], reply.status);
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
    for (line, allow) in [
        ("POST /api/vehicles/latest", "GET, HEAD"),
        ("PUT /graphql", "GET, HEAD, POST"),
        ("DELETE /livez", "GET, HEAD"),
    ] {
        let reply = app.send(line, &[], b"").await;
        assert_eq!(
            (reply.status, reply.header("allow")),
            (405, allow),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_command_as_of_then_is_refused_whichever_it_is() {
    let app = TestApp::start().await;
    let before = app.head().await;
    for (line, body) in [
        ("POST /api/vehicles/positions", json!({ "fixes": [] })),
        ("POST /api/v1/ingest", json!({ "message": "hello" })),
        ("POST /api/v1/batch-ingest", json!([])),
        ("POST /v1/logs", json!({ "resourceLogs": [] })),
        ("POST /api/deployments", json!({ "id": "d1" })),
        ("PUT /api/deployments/d1/approval", json!({})),
        ("POST /api/slos", json!({})),
        ("POST /api/v1/leaderboard/update", json!({})),
        ("POST /api/v1/auth/sign-in", json!({})),
    ] {
        for as_of in ["1", "soon"] {
            let headers = [
                ("content-type", "application/json"),
                ("daybook-as-of", as_of),
            ];
            let reply = app.send(line, &headers, body.to_string().as_bytes()).await;
            let problem = reply.json();
            assert_eq!(reply.status, 422, "{line}: {problem}");
            assert_eq!(problem["code"], "AS_OF_UNSUPPORTED", "{line}: {problem}");
            assert_eq!(problem["field"], "Daybook-As-Of", "{line}: {problem}");
        }
    }
    assert_eq!(app.head().await, before, "nothing was appended");
}

#[tokio::test]
async fn nobody_is_let_in_without_a_good_token_and_all_are_told_the_same() {
    let app = TestApp::start().await;
    let good = format!("Bearer {}", app.token(&[], "default"));
    let graphql = br#"{"query":"{ __typename }"}"#;
    let mut bodies = Vec::new();
    for bad in [
        "",
        "Bearer",
        "Bearer x",
        "Basic YTpi",
        &good[7..],
        &good.replace(' ', "  "),
        &format!("{good}x"),
    ] {
        let reply = app.post(graphql, &[("authorization", bad)]).await;
        assert_eq!(reply.status, 401, "{bad:.20}");
        assert!(reply.header("www-authenticate").starts_with("Bearer"));
        bodies.push(reply.body);
        let reply = app
            .send("GET /api/vehicles/latest", &[("authorization", bad)], b"")
            .await;
        assert_eq!(
            (reply.status, reply.json()["code"].as_str().unwrap()),
            (401, "UNAUTHENTICATED")
        );
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "the same to the byte");
    let lower = good.replace("Bearer", "bearer");
    assert_eq!(
        app.post(graphql, &[("authorization", &lower)]).await.status,
        200
    );
}

#[tokio::test]
async fn keepers_ask_without_a_token() {
    let app = TestApp::start().await;
    let nine = [
        "/livez",
        "/readyz",
        "/healthz",
        "/health",
        "/readiness",
        "/liveness",
        "/health/live",
        "/health/ready",
        "/health/detailed",
    ];
    for path in nine {
        let reply = app
            .send(&format!("GET {path}"), &[("authorization", "")], b"")
            .await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(
            reply.json()["status"].is_string() || reply.json()["state"].is_string(),
            "{path}"
        );
    }
    let ready = app.get("/readyz").await.json();
    assert!(
        ready["cache"].as_str().unwrap().contains("process"),
        "{ready}"
    );
    let detailed = app.get("/health/detailed").await.json();
    let names: Vec<_> = detailed["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["postgres", "cache", "read_models"]);
    assert!(detailed["components"][0]["responseMs"].is_number());
    let metrics = app
        .send("GET /metrics", &[("authorization", "")], b"")
        .await;
    assert!(
        String::from_utf8_lossy(&metrics.body)
            .contains("daybook_http_requests_total{route=\"/livez\"")
    );
    let schema = app
        .send("GET /schema.graphql", &[("authorization", "")], b"")
        .await;
    assert_eq!(schema.body, daybook::api::sdl().as_bytes());
}

#[tokio::test]
async fn every_answer_is_marked_and_kept_from_browsers() {
    let app = TestApp::start().await;
    for path in ["/livez", "/nothing", "/api/vehicles/latest", "/metrics"] {
        let reply = app
            .send(
                &format!("GET {path}"),
                &[("x-correlation-id", "import-7"), ("x-request-id", "mine")],
                b"",
            )
            .await;
        assert_eq!(
            reply.header("x-correlation-id"),
            "import-7",
            "a sane one is kept"
        );
        assert_eq!(
            reply.header("x-request-id").len(),
            36,
            "ours, not the caller's"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(
            reply
                .header("content-security-policy")
                .contains("default-src 'none'")
        );
    }
    let reply = app
        .send("GET /livez", &[("x-correlation-id", "<script>")], b"")
        .await;
    assert_eq!(
        reply.header("x-correlation-id"),
        reply.header("x-request-id")
    );
}

#[tokio::test]
async fn what_a_request_carries_is_found_in_its_events() {
    let app = TestApp::start().await;
    let body = br#"{"query":"mutation { createFleet(input: { id: \"f\", name: \"F\" }) { receipt { position } } }"}"#;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    app.post(
        body,
        &[("x-correlation-id", "order-9"), ("traceparent", trace)],
    )
    .await;
    let query = "{ events { nodes { metadata { correlationId traceparent } } } }";
    let seen = app.data(query, json!({})).await;
    let metadata = &seen["events"]["nodes"][0]["metadata"];
    assert_eq!(metadata["correlationId"], "order-9");
    assert!(
        metadata["traceparent"]
            .as_str()
            .unwrap()
            .starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    );
}

#[tokio::test]
async fn in_production_nothing_is_suggested_or_shown() {
    let misspelt = "{ vehicle(id: \"v\") { latestPositio { lat } } }";
    let told = async |env: Environment| {
        let app = TestApp::with(|settings| settings.process.env = env).await;
        let reply = app.ask(misspelt, json!({})).await;
        let message = reply["errors"][0]["message"].as_str().unwrap().to_owned();
        (message, app.get("/schema.graphql").await.status)
    };
    let (message, schema) = told(Environment::Development).await;
    assert!(message.contains("Did you mean"), "{message}");
    assert_eq!(schema, 200);
    let (message, schema) = told(Environment::Production).await;
    assert!(!message.contains("Did you mean"), "{message}");
    assert_eq!(schema, 404);
}
