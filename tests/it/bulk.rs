//! Position fixes in bulk over REST: what is told of each fix, and which bodies are refused whole.

use daybook::auth::Role;
use serde_json::{Value, json};

use crate::support::TestApp;

const ROUTE: &str = "POST /api/vehicles/positions";

async fn send(app: &TestApp, body: &[u8]) -> (u16, Value) {
    let headers = [("content-type", "application/json")];
    let reply = app.send(ROUTE, &headers, body).await;
    (reply.status, reply.json())
}

fn fix(vehicle: &str, second: u32, lat: f64) -> Value {
    json!({ "vehicle": vehicle, "fixTime": format!("2016-01-04T12:00:{second:02}Z"), "lat": lat,
            "lon": -97.75, "speedMps": 4.5, "attributes": { "route": "801" } })
}

#[tokio::test]
async fn each_fix_is_told_of_and_a_retry_is_told_the_same() {
    let app = TestApp::start().await;
    let body = json!({ "commandId": "batch-1", "fixes": [
        fix("2417", 1, 30.25), fix("2417", 1, 30.25), fix("2417", 1, 31.0), fix("2417", 2, 95.0),
    ]});
    let (status, told) = send(&app, body.to_string().as_bytes()).await;
    assert_eq!(status, 207, "{told}");
    assert_eq!(
        (&told["accepted"], &told["duplicates"], &told["rejected"]),
        (&json!(1), &json!(2), &json!(1))
    );
    assert_eq!(
        told["results"][0],
        json!({ "index": 1, "status": "DUPLICATE", "differs": false })
    );
    assert_eq!(
        told["results"][1],
        json!({ "index": 2, "status": "DUPLICATE", "differs": true })
    );
    assert_eq!(told["results"][2]["error"]["code"], "INVALID_COORDINATES");
    assert_eq!(
        told["results"][2]["error"]["path"],
        json!(["fixes", "3", "lat"])
    );

    let (_, again) = send(&app, body.to_string().as_bytes()).await;
    assert_eq!(again["receipt"]["replayed"], true);
    assert_eq!(again["results"], told["results"]);
    let other = json!({ "commandId": "batch-1", "fixes": [fix("2417", 9, 30.0)] });
    let (status, refused) = send(&app, other.to_string().as_bytes()).await;
    assert_eq!(
        (status, &refused["code"]),
        (422, &json!("IDEMPOTENCY_KEY_REUSED"))
    );

    let seen = app
        .settled(
            "{ vehicle(id: \"2417\") { latestPosition { lat } } }",
            json!({}),
        )
        .await;
    assert_eq!(seen["vehicle"]["latestPosition"]["lat"], 30.25);
}

#[tokio::test]
async fn an_unusable_body_is_refused_whole_and_appends_nothing() {
    let app = TestApp::start().await;
    let good = fix("2417", 1, 30.25).to_string();
    let many = vec![good.as_str(); 1_001].join(",");
    let of = |fixes: &str| format!("{{\"fixes\":[{fixes}]}}");
    let with = |from: &str, to: &str| of(&good.replace(from, to));
    let cases = [
        ("cut off", "{\"fixes\":".to_owned(), 400, "BAD_JSON"),
        ("two documents", of(&good) + "{}", 400, "BAD_JSON"),
        (
            "a key twice",
            of(&good).replacen('{', "{\"fixes\":[],", 1),
            400,
            "DUPLICATE_KEY",
        ),
        (
            "twice inside",
            with("\"801\"", "1,\"route\":2"),
            400,
            "DUPLICATE_KEY",
        ),
        ("NUL", with("2417", "a\\u0000b"), 400, "BAD_TEXT"),
        ("half a surrogate", with("2417", "\\ud800"), 400, "BAD_TEXT"),
        ("1e400", with("30.25", "1e400"), 400, "BAD_NUMBER"),
        (
            "unknown field",
            with("\"lat\"", "\"tenant\":\"x\",\"lat\""),
            400,
            "BAD_REQUEST",
        ),
        (
            "text for a number",
            with("30.25", "\"30.25\""),
            400,
            "BAD_REQUEST",
        ),
        ("an array", format!("[{good}]"), 400, "BAD_REQUEST"),
        ("no fixes", of(""), 422, "VALIDATION"),
        ("too many", of(&many), 422, "TOO_LARGE"),
        (
            "no commandId in it",
            of(&good).replacen('{', "{\"commandId\":\"\",", 1),
            422,
            "VALIDATION",
        ),
    ];
    for (what, body, status, code) in cases {
        let (got, told) = send(&app, body.as_bytes()).await;
        let said = told["code"].as_str().unwrap_or_default();
        assert_eq!((got, said), (status, code), "{what}: {told}");
    }
    assert_eq!(app.head().await, 0, "nothing was appended");
}

#[tokio::test]
async fn only_editors_report() {
    let app = TestApp::start().await;
    let token = format!("Bearer {}", app.token(&[Role::Viewer], "default"));
    let headers = [
        ("content-type", "application/json"),
        ("authorization", token.as_str()),
    ];
    let body = json!({ "fixes": [fix("2417", 1, 30.25)] }).to_string();
    let reply = app.send(ROUTE, &headers, body.as_bytes()).await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (403, &json!("FORBIDDEN"))
    );
    let plain = [("content-type", "text/plain")];
    assert_eq!(app.send(ROUTE, &plain, body.as_bytes()).await.status, 415);
    assert_eq!(app.head().await, 0);
}
