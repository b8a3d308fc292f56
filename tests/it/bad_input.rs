//! Bad input, group by group: each is answered with its code, nothing is appended, nothing breaks.
//!
//! The numbers are those of `docs/promises.md`, sections J (text, numbers, time) and D (domain).

mod aggregates;

use serde_json::{Value, json};

use crate::support::{Reply, TestApp};

/// The code of whatever refused a request, an operation, a command or a record; `ok` if nothing did.
pub fn code(reply: &Value) -> String {
    let data = &reply["data"];
    let payload = data.as_object().and_then(|fields| fields.values().next());
    let payload = payload.unwrap_or(&Value::Null);
    let places = [
        &reply["errors"][0]["extensions"]["code"],
        &payload["userErrors"][0]["code"],
        &payload["results"][0]["error"]["code"],
    ];
    let found = places.into_iter().find_map(Value::as_str);
    found.unwrap_or("ok").to_owned()
}

/// Nothing inside is ever shown, whatever was sent.
pub fn assert_decent(reply: &Reply, what: &str) {
    let text = String::from_utf8_lossy(&reply.body);
    assert!(reply.status < 500, "{what}: {} {text}", reply.status);
    for leak in [
        "panicked", "sqlx", "select ", "insert ", "/src/", "postgres",
    ] {
        assert!(!text.contains(leak), "{what}: shows {leak:?}: {text}");
    }
    assert!(text.len() < 4_096, "{what}: answers {} bytes", text.len());
}

const FLEET: &str =
    "mutation($i: CreateFleetInput!) { createFleet(input: $i) { userErrors { code } } }";
const REPORT: &str = "mutation($f: [PositionFixInput!]!) { reportPositions(input: { fixes: $f }) {
    results { status error { code ... on ValidationError { details } } } userErrors { code } } }";

/// Posts bodies as they are: status, code, and nothing appended.
async fn check_bodies(cases: &[(&[u8], u16, &str)]) {
    let app = TestApp::start().await;
    for (body, status, expect) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let reply = app.post(body, &[]).await;
        assert_decent(&reply, &shown);
        assert_eq!(
            (reply.status, code(&reply.json()).as_str()),
            (*status, *expect),
            "{shown}"
        );
    }
    assert_eq!(app.head().await, 0, "nothing is appended");
}

/// Sends variables with a mutation: the code, and nothing appended.
async fn check_variables(query: &str, cases: Vec<(Value, &str)>) {
    let app = TestApp::start().await;
    for (variables, expect) in cases {
        let shown: String = variables.to_string().chars().take(120).collect();
        let body = json!({ "query": query, "variables": variables }).to_string();
        let reply = app.post(body.as_bytes(), &[]).await;
        assert_decent(&reply, &shown);
        assert_eq!(
            (reply.status, code(&reply.json()).as_str()),
            (200, expect),
            "{shown}"
        );
    }
    assert_eq!(app.head().await, 0, "nothing is appended");
}

/// Reports one fix with these members changed: its code, and nothing appended.
async fn check_fixes(cases: Vec<(Value, &str)>) {
    let cases = cases
        .into_iter()
        .map(|(change, expect)| (json!({ "f": [fix(change)] }), expect));
    check_variables(REPORT, cases.collect()).await;
}

/// A good fix, with these members changed.
pub fn fix(change: Value) -> Value {
    let mut fix =
        json!({ "vehicle": "v", "fixTime": "2016-01-04T12:00:00Z", "lat": 30.25, "lon": -97.75 });
    for (name, value) in change.as_object().unwrap() {
        fix[name] = value.clone();
    }
    fix
}

fn fleet(id: &str, name: &str) -> Value {
    json!({ "i": { "id": id, "name": name } })
}

#[tokio::test]
async fn j1_j2_what_is_not_one_json_document() {
    check_bodies(&[
        (br#"{"query":"#, 400, "BAD_JSON"),
        (br#"{"query":"{ __typename }",}"#, 400, "BAD_JSON"),
        (
            br#"{"query":"{ __typename }"}{"query":"{ __typename }"}"#,
            400,
            "BAD_JSON",
        ),
        (br#"{"query":"{ __typename }"} x"#, 400, "BAD_JSON"),
        (b"", 400, "BAD_JSON"),
        (b"{\"query\":\"{ __typename }\xff\"}", 400, "BAD_JSON"),
        (b"{\"query\":\"\xc0\xaf\"}", 400, "BAD_JSON"),
        (
            b"\xef\xbb\xbf{\"query\":\"{ __typename }\"}",
            400,
            "BAD_JSON",
        ),
        (b"{\x00\"\x00q\x00", 400, "BAD_JSON"),
        (b"\xff\xfe{\x00", 400, "BAD_JSON"),
        (b"[]", 400, "BATCHING_DISABLED"),
        (br#"[{"query":"{ __typename }"}]"#, 400, "BATCHING_DISABLED"),
        (b"\"x\"", 400, "BAD_REQUEST"),
        (b"{}", 400, "BAD_REQUEST"),
    ])
    .await;
}

#[tokio::test]
async fn j3_j4_text_that_cannot_be_stored() {
    let in_variable = |text: &str| {
        format!(
            r#"{{"query":"{}","variables":{{"i":{{"id":"f","name":"{text}"}}}}}}"#,
            FLEET.replace('\n', " ")
        )
    };
    let in_id = |text: &str| {
        format!(
            r#"{{"query":"query($i: ID!) {{ vehicle(id: $i) {{ id }} }}","variables":{{"i":"{text}"}}}}"#
        )
    };
    let in_literal =
        |text: &str| format!(r#"{{"query":"{{ vehicle(id: \"{text}\") {{ id }} }}"}}"#);
    let bodies = [
        in_variable(r"a\u0000b"),
        in_id(r"\u0000"),
        in_variable(r"\ud800"),
        in_variable(r"\udc00\ud800"),
        in_id(r"x\udfff"),
        r#"{"query":"{ __typename }","variables":{"a\u0000":1}}"#.to_owned(),
        r#"{"query":"{ __typename }","extensions":{"x":{"y":["\u0000"]}}}"#.to_owned(),
    ];
    let mut cases: Vec<(&[u8], u16, &str)> = bodies
        .iter()
        .map(|b| (b.as_bytes(), 400, "BAD_TEXT"))
        .collect();
    // Escaped once more: GraphQL's own escapes, in a document that is read before it is refused.
    let literals = [
        in_literal(r"\\u0000"),
        in_literal(r"\\ud800"),
        in_literal(r"a\\uDFFFb"),
    ];
    let mut bad = Vec::new();
    for literal in &literals {
        bad.push((literal.as_bytes(), 400, "BAD_TEXT"));
    }
    cases.extend(bad);
    check_bodies(&cases).await;
}

#[tokio::test]
async fn j5_j6_twice_the_same_key_and_nesting_without_end() {
    let deep = format!(
        r#"{{"query":"{{ __typename }}","variables":{}1{}}}"#,
        "{\"a\":".repeat(140),
        "}".repeat(140)
    );
    let arrays = "[".repeat(60_000);
    let nested = format!(
        r#"{{"query":"{{ __typename }}","variables":{{"a":{}{}}}}}"#,
        "[".repeat(129),
        "]".repeat(129)
    );
    check_bodies(&[
        (
            br#"{"query":"{ __typename }","query":"{ __typename }"}"#,
            400,
            "DUPLICATE_KEY",
        ),
        (
            br#"{"query":"{ __typename }","variables":{"a":{"b":1,"b":2}}}"#,
            400,
            "DUPLICATE_KEY",
        ),
        (
            br#"{"query":"{ __typename }","variables":{"\u0061":1,"a":2}}"#,
            400,
            "DUPLICATE_KEY",
        ),
        (deep.as_bytes(), 400, "BAD_JSON"),
        (arrays.as_bytes(), 400, "BAD_JSON"),
        (nested.as_bytes(), 400, "BAD_JSON"),
    ])
    .await;
}

#[tokio::test]
async fn j7_j8_j9_numbers_out_of_range_or_of_another_kind() {
    let with = |number: &str| {
        let query = "mutation($v: Int) { retireVehicle(input: { id: \\\"v\\\", expectedVersion: $v }) { userErrors { code } } }";
        format!(r#"{{"query":"{query}","variables":{{"v":{number}}}}}"#)
    };
    let cases: Vec<(String, u16, &str)> = [
        ("NaN", 400, "BAD_JSON"),
        ("Infinity", 400, "BAD_JSON"),
        ("-Infinity", 400, "BAD_JSON"),
        ("1e400", 400, "BAD_NUMBER"),
        ("-1e400", 400, "BAD_NUMBER"),
        ("9223372036854775808", 200, "GRAPHQL_VALIDATION_FAILED"),
        ("9007199254740993", 200, "GRAPHQL_VALIDATION_FAILED"),
        ("2147483648", 200, "GRAPHQL_VALIDATION_FAILED"),
        ("1e2", 200, "GRAPHQL_VALIDATION_FAILED"),
        ("1.0", 200, "GRAPHQL_VALIDATION_FAILED"),
        ("\"5\"", 200, "GRAPHQL_VALIDATION_FAILED"),
        ("true", 200, "GRAPHQL_VALIDATION_FAILED"),
        ("[]", 200, "GRAPHQL_VALIDATION_FAILED"),
        ("2147483647", 200, "VERSION_CONFLICT"),
        ("-0", 200, "NOT_FOUND"),
    ]
    .map(|(number, status, expect)| (with(number), status, expect))
    .into();
    let cases: Vec<_> = cases
        .iter()
        .map(|(b, s, e)| (b.as_bytes(), *s, *e))
        .collect();
    check_bodies(&cases).await;
    check_fixes(vec![
        (json!({ "satellites": 2147483647 }), "OUT_OF_RANGE"),
        (json!({ "satellites": -1 }), "OUT_OF_RANGE"),
        (json!({ "hdop": 1e300 }), "OUT_OF_RANGE"),
        (json!({ "altitudeM": -1e9 }), "OUT_OF_RANGE"),
        (json!({ "accuracyM": -0.5 }), "OUT_OF_RANGE"),
        (json!({ "lat": "30.25" }), "GRAPHQL_VALIDATION_FAILED"),
        (json!({ "lat": null }), "GRAPHQL_VALIDATION_FAILED"),
    ])
    .await;
}

#[tokio::test]
async fn j7_minus_zero_is_zero() {
    let app = TestApp::start().await;
    let body = format!(
        r#"{{"query":"{}","variables":{{"f":[{{"vehicle":"v","fixTime":"2016-01-04T12:00:00Z","lat":-0.0,"lon":5,"speedMps":-0}}]}}}}"#,
        REPORT.replace('\n', " ")
    );
    assert_eq!(code(&app.post(body.as_bytes(), &[]).await.json()), "ok");
    let seen = app
        .settled("{ latestPositions { nodes { lat speedMps } } }", json!({}))
        .await;
    assert_eq!(
        seen["latestPositions"]["nodes"][0].to_string(),
        r#"{"lat":0.0,"speedMps":0.0}"#
    );
}

#[tokio::test]
async fn j10_j11_places_speeds_and_courses_that_cannot_be() {
    check_fixes(vec![
        (json!({ "lat": 90.0001 }), "INVALID_COORDINATES"),
        (json!({ "lat": -91 }), "INVALID_COORDINATES"),
        (json!({ "lon": 181 }), "INVALID_COORDINATES"),
        (json!({ "lon": -180.5 }), "INVALID_COORDINATES"),
        (
            json!({ "lat": -97.75, "lon": 30.25 }),
            "INVALID_COORDINATES",
        ),
        (json!({ "lat": 1e300 }), "INVALID_COORDINATES"),
        (json!({ "lat": 0, "lon": 0 }), "NULL_ISLAND"),
        (json!({ "lat": -0.0, "lon": 0.0 }), "NULL_ISLAND"),
        (json!({ "speedMps": -1 }), "INVALID_SPEED"),
        (json!({ "speedMps": 1e9 }), "INVALID_SPEED"),
        (json!({ "courseDeg": 361 }), "INVALID_COURSE"),
        (json!({ "courseDeg": -1 }), "INVALID_COURSE"),
    ])
    .await;
    let near = "query($n: Near) { latestPositions(near: $n) { nodes { id } } }";
    check_variables(
        near,
        vec![
            (
                json!({ "n": { "lat": 90.0001, "lon": 0, "radiusM": 1 } }),
                "GRAPHQL_VALIDATION_FAILED",
            ),
            (
                json!({ "n": { "lat": 0, "lon": -181, "radiusM": 1 } }),
                "GRAPHQL_VALIDATION_FAILED",
            ),
            (
                json!({ "n": { "lat": 0, "lon": 0, "radiusM": -1 } }),
                "VALIDATION",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn j12_j13_j14_times_that_are_none_or_far_away() {
    let soon = daybook::ops::Clock::system().now() + chrono::TimeDelta::hours(25);
    let cases = [
        ("2999-01-01T00:00:00Z", "FIX_IN_FUTURE"),
        (&soon.to_rfc3339(), "FIX_IN_FUTURE"),
        ("9999-12-31T23:59:59Z", "FIX_IN_FUTURE"),
        ("10000-01-01T00:00:00Z", "FIX_IN_FUTURE"),
        ("294277-01-01T00:00:00Z", "FIX_IN_FUTURE"),
        ("1969-12-31T23:59:59Z", "FIX_TOO_OLD"),
        ("0000-01-01T00:00:00Z", "FIX_TOO_OLD"),
        ("2016-01-04T23:59:61Z", "BAD_TIMESTAMP"),
        ("2016-01-04T24:00:00Z", "BAD_TIMESTAMP"),
        ("2016-02-30T00:00:00Z", "BAD_TIMESTAMP"),
        ("2016-01-04T12:00:00", "BAD_TIMESTAMP"),
        ("2016-01-04T12:00:00+25:00", "BAD_TIMESTAMP"),
        ("1451908800", "BAD_TIMESTAMP"),
        ("1451908800000", "BAD_TIMESTAMP"),
        ("", "BAD_TIMESTAMP"),
        ("yesterday", "BAD_TIMESTAMP"),
    ];
    let mut cases: Vec<_> = cases
        .into_iter()
        .map(|(time, expect)| (json!({ "fixTime": time }), expect))
        .collect();
    cases.push((
        json!({ "fixTime": 1_451_908_800 }),
        "GRAPHQL_VALIDATION_FAILED",
    ));
    cases.push((
        json!({ "fixTime": 1_451_908_800_000_i64 }),
        "GRAPHQL_VALIDATION_FAILED",
    ));
    cases.push((
        json!({ "deviceTime": "2016-02-30T00:00:00Z" }),
        "BAD_TIMESTAMP",
    ));
    check_fixes(cases).await;
    let history = "query($from: DateTime!) { positionHistory(vehicleId: \"v\", from: $from,
        to: \"2016-01-05T00:00:00Z\") { nodes { id } } }";
    let bad = [
        "2016-02-30T00:00:00Z",
        "2016-01-04T12:00:00",
        "1451908800",
        "294277-01-01T00:00:00Z",
    ];
    let mut cases: Vec<_> = bad
        .map(|time| (json!({ "from": time }), "GRAPHQL_VALIDATION_FAILED"))
        .into();
    cases.push((json!({ "from": "2016-01-05T00:00:00Z" }), "VALIDATION"));
    check_variables(history, cases).await;
}

#[tokio::test]
async fn j12_j13_a_rejected_time_is_told_with_both_values_and_a_leap_second_is_the_next() {
    let app = TestApp::start().await;
    let fixes = json!([
        fix(json!({ "fixTime": "2999-01-01T00:00:00Z" })),
        fix(json!({ "fixTime": "2016-12-31T23:59:60Z" }))
    ]);
    let told = app.data(REPORT, json!({ "f": fixes })).await["reportPositions"].take();
    let details = &told["results"][0]["error"]["details"];
    assert_eq!(details["fixTime"], "2999-01-01T00:00:00Z");
    assert!(details["now"].is_string(), "{details}");
    assert_eq!(
        told["results"][1]["status"], "ACCEPTED",
        "the good one is kept"
    );
    let seen = app
        .settled("{ latestPositions { nodes { fixTime } } }", json!({}))
        .await;
    assert_eq!(
        seen["latestPositions"]["nodes"][0]["fixTime"],
        "2017-01-01T00:00:00Z"
    );
}

#[tokio::test]
async fn j15_j16_names_and_ids_that_are_none_or_pretend() {
    let long = "x".repeat(900_000);
    let cases = vec![
        (fleet("f", ""), "VALIDATION"),
        (fleet("f", "   "), "VALIDATION"),
        (fleet("f", "\u{200b}"), "BAD_TEXT"),
        (fleet("f", "a\u{202e}b"), "BAD_TEXT"),
        (fleet("f", "a\nb"), "BAD_TEXT"),
        (fleet("f", &long), "TOO_LARGE"),
        (fleet("f", &"x".repeat(201)), "TOO_LARGE"),
        (fleet("", "n"), "VALIDATION"),
        (fleet(" f", "n"), "VALIDATION"),
        (fleet("\u{feff}f", "n"), "BAD_TEXT"),
        (fleet(&"x".repeat(129), "n"), "TOO_LARGE"),
        (fleet(&"x".repeat(10_000), "n"), "TOO_LARGE"),
        (fleet("e\u{301}", "n"), "BAD_TEXT"), // NFD: the second "é" would be another id
        (
            json!({ "i": { "id": "f", "name": "n", "commandId": "" } }),
            "VALIDATION",
        ),
        (
            json!({ "i": { "id": "f", "name": "n", "commandId": "x".repeat(256) } }),
            "VALIDATION",
        ),
    ];
    check_variables(FLEET, cases).await;
    let vehicle = "mutation($i: RegisterVehicleInput!) { registerVehicle(input: $i) { userErrors { code } } }";
    check_variables(
        vehicle,
        vec![
            (json!({ "i": { "id": "a/2016-01-04" } }), "VALIDATION"),
            (json!({ "i": { "id": "v", "vin": "" } }), "VALIDATION"),
            (
                json!({ "i": { "id": "v", "plate": "A\u{200d}B" } }),
                "BAD_TEXT",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn j16_the_same_name_in_another_case_is_the_same() {
    let app = TestApp::start().await;
    let register = "mutation($i: RegisterVehicleInput!) { registerVehicle(input: $i) { userErrors { code } } }";
    for (input, expect) in [
        (
            json!({ "id": "a", "vin": "1hgcm82633a004352", "plate": "straße 1" }),
            "ok",
        ),
        (
            json!({ "id": "b", "vin": "1HGCM82633A004352" }),
            "EXTERNAL_ID_TAKEN",
        ),
        (
            json!({ "id": "b", "plate": "STRASSE 1" }),
            "EXTERNAL_ID_TAKEN",
        ),
        (json!({ "id": "a" }), "ALREADY_EXISTS"),
    ] {
        assert_eq!(
            code(&app.ask(register, json!({ "i": input })).await),
            expect,
            "{input}"
        );
    }
    assert_eq!(app.head().await, 1);
}

#[tokio::test]
async fn j20_left_out_stays_and_null_clears() {
    let app = TestApp::start().await;
    let register = "mutation { registerVehicle(input: { id: \"v\", name: \"n\", plate: \"p\", vin: \"x\" }) { userErrors { code } } }";
    app.data(register, json!({})).await;
    let change = "mutation($i: ChangeVehicleProfileInput!) { changeVehicleProfile(input: $i) {
        vehicle { name plate vin } receipt { version } userErrors { code } } }";
    for (input, expect) in [
        (json!({ "id": "v" }), json!(["n", "p", "x", 1])),
        (json!({ "id": "v", "name": "m" }), json!(["m", "p", "x", 2])),
        (
            json!({ "id": "v", "plate": null }),
            json!(["m", null, "x", 3]),
        ),
        (
            json!({ "id": "v", "plate": null }),
            json!(["m", null, "x", 3]),
        ),
    ] {
        let done = app.data(change, json!({ "i": input })).await["changeVehicleProfile"].take();
        let vehicle = &done["vehicle"];
        let got = json!([
            vehicle["name"],
            vehicle["plate"],
            vehicle["vin"],
            done["receipt"]["version"]
        ]);
        assert_eq!(got, expect, "{input}");
    }
    let emptied = json!({ "i": { "id": "v", "name": "" } });
    assert_eq!(
        code(&app.ask(change, emptied).await),
        "VALIDATION",
        "empty is not absent"
    );
}

#[tokio::test]
async fn j21_words_of_an_enum_are_as_they_are_written() {
    let query = "query($b: TrendBucket!) { trend(metric: FIXES, from: \"2016-01-04T00:00:00Z\",
        to: \"2016-01-05T00:00:00Z\", bucket: $b) { zone } }";
    let bad = [
        json!("Hour"),
        json!("hour"),
        json!("HOUR "),
        json!(""),
        json!(1),
        json!(["HOUR", "DAY"]),
    ];
    let cases = bad.map(|bucket| (json!({ "b": bucket }), "GRAPHQL_VALIDATION_FAILED"));
    check_variables(query, cases.into()).await;
    let literal =
        |word: &str| format!("{{ vehicles(filter: {{ status: {word} }}) {{ nodes {{ id }} }} }}");
    for (word, expect) in [("Active", "GRAPHQL_VALIDATION_FAILED"), ("ACTIVE", "ok")] {
        let app = TestApp::start().await;
        assert_eq!(
            code(&app.ask(&literal(word), json!({})).await),
            expect,
            "{word}"
        );
    }
}

#[tokio::test]
async fn j22_properties_too_large_or_too_many() {
    let many: serde_json::Map<_, _> = (0..1_001).map(|n| (format!("k{n}"), json!(n))).collect();
    check_fixes(vec![
        (
            json!({ "attributes": { "note": "x".repeat(65 * 1_024) } }),
            "TOO_LARGE",
        ),
        (json!({ "attributes": many }), "TOO_LARGE"),
        (json!({ "attributes": [1] }), "GRAPHQL_VALIDATION_FAILED"),
        (json!({ "attributes": "x" }), "GRAPHQL_VALIDATION_FAILED"),
        (json!({ "unknown": 1 }), "GRAPHQL_VALIDATION_FAILED"),
    ])
    .await;
    let fixes: Vec<_> = (0..1_001).map(|_| fix(json!({}))).collect();
    check_variables(
        REPORT,
        vec![
            (json!({ "f": fixes }), "TOO_LARGE"),
            (json!({ "f": [] }), "VALIDATION"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_the_transport_does_not_take() {
    let app = TestApp::start().await;
    let body = br#"{"query":"{ __typename }"}"#;
    let send = async |headers: &[(&str, &str)]| {
        let reply = app.send("POST /graphql", headers, body).await;
        (reply.status, code(&reply.json()))
    };
    let refused = |status, code: &str| (status, code.to_owned());
    for kind in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        assert_eq!(
            send(&[("content-type", kind)]).await,
            refused(415, "UNSUPPORTED_MEDIA_TYPE"),
            "{kind}"
        );
    }
    let json = ("content-type", "application/json");
    assert_eq!(
        send(&[json, ("content-encoding", "gzip")]).await,
        refused(415, "UNSUPPORTED_MEDIA_TYPE")
    );
    let reply = app.post(body, &[("accept", "text/html")]).await;
    assert_eq!(
        (reply.status, reply.json()["code"].as_str()),
        (406, Some("NOT_ACCEPTABLE"))
    );
    let large = vec![b' '; (1 << 20) + 1];
    let reply = app.post(&large, &[]).await;
    assert_eq!(
        (reply.status, code(&reply.json())),
        refused(413, "PAYLOAD_TOO_LARGE")
    );
    for at_least in ["x", "-1", "99999999999999999999"] {
        let reply = app.post(body, &[("daybook-at-least", at_least)]).await;
        assert_eq!(
            (reply.status, code(&reply.json())),
            refused(200, "BAD_POSITION")
        );
    }
}

#[tokio::test]
async fn g_documents_that_cost_more_than_they_say() {
    let app = TestApp::start().await;
    let mut bomb = "{ ...f0 }".to_owned();
    for level in 0..30 {
        let spread = format!("...f{} ", level + 1).repeat(2);
        bomb += &format!(" fragment f{level} on Query {{ {spread}}}");
    }
    bomb += " fragment f30 on Query { __typename }";
    let aliases: String = (0..101).map(|n| format!("a{n}: __typename ")).collect();
    let name = "x".repeat(17_000);
    for (query, expect) in [
        (bomb.as_str(), "EXPANSION_LIMIT"),
        (
            "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
            "FRAGMENT_CYCLE",
        ),
        (&format!("{{ {aliases} }}"), "ALIAS_LIMIT"),
        (
            &format!("{{ {} }}", "__typename ".repeat(500)),
            "SELECTION_LIMIT",
        ),
        (&format!("{{ {} }}", "a ".repeat(2_001)), "TOKEN_LIMIT"),
        (&format!("{{ {name} }}"), "TOKEN_LIMIT"),
        (&"{ a ".repeat(10_000), "TOKEN_LIMIT"),
        (&"[".repeat(1_000), "DEPTH_LIMIT"),
        ("{ vehicles(first: 201) { nodes { id } } }", "PAGE_LIMIT"),
        (
            "{ fleets(first: 200) { nodes { vehicles { nodes { id } } } } }",
            "COST_LIMIT",
        ),
        (
            &format!("{{ __typename {} }}", "@include(if: true) ".repeat(10)),
            "DIRECTIVE_LIMIT",
        ),
        (
            "{ vehicle(id: \"v\") { idd } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "query A { __typename } query B { __typename }",
            "BAD_OPERATION_NAME",
        ),
        (
            "query($id: ID!) { vehicle(id: $id) { id } }",
            "BAD_VARIABLES",
        ),
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
    ] {
        let body = json!({ "query": query }).to_string();
        for (accept, status) in [
            ("application/json", 200),
            ("application/graphql-response+json", 400),
        ] {
            let reply = app.post(body.as_bytes(), &[("accept", accept)]).await;
            let answer = reply.json();
            assert_decent(&reply, &query[..query.len().min(60)]);
            assert_eq!(
                (reply.status, code(&answer).as_str()),
                (status, expect),
                "{query:.80}"
            );
            assert_eq!(answer.get("data"), None);
            assert!(answer["errors"].as_array().unwrap().len() <= 10);
        }
    }
}
