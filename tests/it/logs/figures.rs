//! `logStats`, `logSources`, `logStatus`: every figure counts what its evidence lists.

use std::collections::BTreeSet;

use daybook::auth::Role;
use serde_json::{Value, json};

use super::asking::filled;
use super::{counts, now, record, send, started, text};
use crate::support::TestApp;

const SPAN: &str = r#"from: "2026-01-04T00:00:00Z", to: "2026-01-05T01:00:00Z""#;

async fn stats(app: &TestApp, arguments: &str, fields: &str) -> Value {
    let query = format!("{{ logStats({SPAN} {arguments}) {{ asOfPosition {fields} }} }}");
    let mut told = app.settled(&query, json!({})).await;
    let stats = told["logStats"].take();
    assert_eq!(stats["asOfPosition"], app.head().await.to_string());
    stats
}

fn evidence(row: &Value) -> i64 {
    let listed = &row["evidence"]["nodes"];
    i64::try_from(listed.as_array().unwrap().len()).unwrap()
}

const EVIDENCE: &str = "evidence(first: 200) { nodes { id } }";

#[tokio::test]
async fn every_figure_counts_its_evidence() {
    let app = filled().await;
    let fields = format!(
        "volume(by: [TYPE, NAME, VERSION]) {{ more rows {{ start eventType eventName appVersion records {EVIDENCE} }} }}
         errorShare {{ more rows {{ records errors share {EVIDENCE} }} }}
         topNames(limit: 3) {{ rank eventName records {EVIDENCE} }}
         visitors {{ rows {{ records batches users sessions {EVIDENCE} }} }}
         ingestionDelay {{ records p50Seconds p95Seconds {EVIDENCE} }}
         activeUsers(day: \"2026-01-04\") {{ daily evidence(of: DAY, first: 200) {{ nodes {{ userId }} }} }}
         nobody: activeUsers(day: \"2026-01-03\") {{ daily {EVIDENCE} }}
         month: activeUsers(day: \"2026-02-02\") {{ daily monthly
           evidence(of: MONTH, first: 200) {{ nodes {{ userId }} }}
           week: evidence(of: WEEK) {{ nodes {{ id }} }} }}"
    );
    let told = stats(&app, ", bucket: WHOLE", &fields).await;
    let volume = told["volume"]["rows"].as_array().unwrap();
    assert!(volume.iter().any(|row| row["appVersion"] == ""));
    let mut all = 0;
    for row in volume {
        assert_eq!(evidence(row), row["records"].as_i64().unwrap(), "{row}");
        all += evidence(row);
    }
    assert_eq!(all, 60);
    let errors = &told["errorShare"]["rows"][0];
    assert_eq!(
        (&errors["records"], &errors["errors"], &errors["share"]),
        (&json!(60), &json!(12), &json!(0.2))
    );
    assert_eq!(evidence(errors), 12);
    let names: Vec<_> = told["topNames"].as_array().unwrap().iter().collect();
    let said = |row: &Value| {
        (
            row["rank"].clone(),
            row["eventName"].clone(),
            row["records"].clone(),
        )
    };
    assert_eq!(said(names[0]), (json!(1), json!("Page_0"), json!(9)));
    assert_eq!(said(names[1]), (json!(1), json!("Page_1"), json!(9)));
    assert!(names.iter().all(|row| evidence(row) == 9));
    let visitors = &told["visitors"]["rows"][0];
    let expect = json!({ "records": 60, "batches": 3, "users": 3, "sessions": 8,
                         "evidence": visitors["evidence"] });
    assert_eq!((visitors, evidence(visitors)), (&expect, 60));
    let delay = &told["ingestionDelay"];
    assert_eq!((&delay["records"], evidence(delay)), (&json!(60), 60));
    assert!(delay["p95Seconds"].as_f64() > delay["p50Seconds"].as_f64());
    let users = |row: &Value| {
        let nodes = row["evidence"]["nodes"].as_array().unwrap().iter();
        let users: BTreeSet<&str> = nodes.map(|node| node["userId"].as_str().unwrap()).collect();
        users.len()
    };
    let active = &told["activeUsers"];
    assert_eq!((&active["daily"], users(active)), (&json!(3), 3));
    assert_eq!(evidence(active), 30, "half of the records are about users");
    assert_eq!(told["nobody"]["daily"], 0);
    assert_eq!(evidence(&told["nobody"]), 0);
    let month = &told["month"];
    assert_eq!((&month["daily"], &month["monthly"]), (&json!(0), &json!(3)));
    assert_eq!(users(month), 3);
    assert_eq!(month["week"]["nodes"], json!([]));
}

#[tokio::test]
async fn what_was_handed_in_as_a_backfill_is_in_no_delay() {
    let app = filled().await;
    stats(&app, "", "bucket").await;
    // As whoever imports hands it in.
    let mark = "update read.log_records_g1 set backfill = true where source_id = 'app'";
    sqlx::raw_sql(mark).execute(app.db().pool()).await.unwrap();
    let fields =
        format!("ingestionDelay {{ records {EVIDENCE} }} visitors {{ rows {{ records }} }}");
    let told = stats(&app, ", bucket: WHOLE", &fields).await;
    let delay = &told["ingestionDelay"];
    assert_eq!((&delay["records"], evidence(delay)), (&json!(40), 40));
    assert_eq!(told["visitors"]["rows"][0]["records"], 60);
}

#[tokio::test]
async fn figures_and_their_evidence_are_of_one_tenant() {
    let app = filled().await;
    let create = r#"mutation { createTenant(input: { id: "south", name: "South" }) { userErrors { code } } }"#;
    let told = app.data(create, json!({})).await;
    assert_eq!(told["createTenant"]["userErrors"], json!([]));
    let roles = [Role::Admin, Role::Ingest, Role::Operator];
    let other = format!("Bearer {}", app.token(&roles, "south"));
    let south = [
        ("authorization", other.as_str()),
        ("daybook-log-source", "web"),
    ];
    let (status, told) = send(&app, &[record(Some("e-1"))], &south).await;
    assert_eq!((status, counts(&told)), (200, [1, 0, 0]), "{told}");
    let south_at = told["receipt"]["position"].clone();
    let query = format!(
        "query($gaps: String, $names: String) {{ logStats({SPAN}, bucket: WHOLE) {{
           volume {{ rows {{ records {EVIDENCE} }} }} errorShare {{ rows {{ records {EVIDENCE} }} }}
           visitors {{ rows {{ records {EVIDENCE} }} }} ingestionDelay {{ records {EVIDENCE} }}
           topNames(limit: 1) {{ records evidence(first: 1, after: $names) {{ pageInfo {{ endCursor }} }} }}
           activeUsers(day: \"2026-01-04\") {{ daily {EVIDENCE} }}
           sequenceGaps(first: 1, after: $gaps) {{ nodes {{ first }} pageInfo {{ endCursor }} }} }} }}"
    );
    let ours = app.settled(&query, json!({})).await;
    let ours = &ours["logStats"];
    for row in [
        &ours["volume"]["rows"][0],
        &ours["visitors"]["rows"][0],
        &ours["ingestionDelay"],
    ] {
        assert_eq!((&row["records"], evidence(row)), (&json!(60), 60));
    }
    assert_eq!(evidence(&ours["errorShare"]["rows"][0]), 12);
    assert_eq!(evidence(&ours["activeUsers"]), 30);
    // J28: whoever has a cursor of ours has none of theirs, and one of a list is none of another.
    let gaps = &ours["sequenceGaps"]["pageInfo"]["endCursor"];
    let names = &ours["topNames"][0]["evidence"]["pageInfo"]["endCursor"];
    let touched = touched(gaps.as_str().unwrap());
    let theirs = [("authorization", other.as_str())];
    for (headers, variables, refused) in [
        (&[][..], json!({ "gaps": gaps, "names": names }), false),
        (&[][..], json!({ "gaps": names }), true),
        (&[][..], json!({ "names": gaps }), true),
        (&[][..], json!({ "gaps": touched }), true),
        (&theirs[..], json!({}), false),
        (&theirs[..], json!({ "gaps": gaps }), true),
        (&theirs[..], json!({ "names": names }), true),
    ] {
        let mut body = json!({ "query": query, "variables": variables });
        if !headers.is_empty() {
            body["extensions"] = json!({ "atLeast": south_at });
        }
        let told = app.post(body.to_string().as_bytes(), headers).await.json();
        let code = &told["errors"][0]["extensions"]["code"];
        let expect = if refused {
            json!("BAD_CURSOR")
        } else {
            Value::Null
        };
        assert_eq!(*code, expect, "{variables}: {told}");
    }
}

/// A cursor with one byte changed.
fn touched(cursor: &str) -> String {
    let other = if &cursor[20..22] == "00" { "11" } else { "00" };
    format!("{}{other}{}", &cursor[..20], &cursor[22..])
}

#[tokio::test]
async fn buckets_add_up_and_users_have_days() {
    let app = filled().await;
    let fields = format!(
        "volume {{ rows {{ start end records {EVIDENCE} }} }} visitors {{ rows {{ records }} }}
         activeUsers(day: \"2026-01-04\") {{ day daily weekly monthly }}"
    );
    let quarters = stats(&app, ", bucket: QUARTER_HOUR", &fields).await;
    let rows = quarters["volume"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 100, "each quarter of 25 hours");
    let (empty, rows) = (&rows[..92], &rows[92..96]);
    assert!(
        empty
            .iter()
            .all(|row| row["records"] == 0 && evidence(row) == 0)
    );
    let counted: Vec<i64> = rows
        .iter()
        .map(|row| row["records"].as_i64().unwrap())
        .collect();
    assert_eq!(counted, [15, 15, 15, 15]);
    assert!(rows.iter().all(|row| evidence(row) == 15));
    assert_eq!(
        (&rows[0]["start"], &rows[0]["end"]),
        (
            &json!("2026-01-04T23:00:00Z"),
            &json!("2026-01-04T23:15:00Z")
        )
    );
    let active = json!({ "day": "2026-01-04", "daily": 3, "weekly": 3, "monthly": 3 });
    assert_eq!(quarters["activeUsers"], active);
    // Of one source and type; of a day of another zone.
    let filter =
        r#", bucket: DAY, zone: "Asia/Kolkata", filter: { source: "app", types: [ERROR] }"#;
    let told = stats(&app, filter, &fields).await;
    let row = &told["volume"]["rows"][1];
    assert_eq!(
        (&row["start"], &row["end"]),
        (
            &json!("2026-01-04T18:30:00Z"),
            &json!("2026-01-05T01:00:00Z")
        )
    );
    assert_eq!((&row["records"], evidence(row)), (&json!(4), 4));
}

#[tokio::test]
async fn gaps_of_sessions_come_page_by_page() {
    let app = filled().await;
    let query = format!(
        "query($after: String) {{ logStats({SPAN}) {{ sequenceGaps(first: 5, after: $after) {{
           nodes {{ source sessionId first last before after {EVIDENCE} }}
           pageInfo {{ hasNextPage endCursor }} asOfPosition }} }} }}"
    );
    let (mut gaps, mut after) = (Vec::new(), Value::Null);
    loop {
        let told = app.settled(&query, json!({ "after": after })).await;
        let page = &told["logStats"]["sequenceGaps"];
        gaps.extend(page["nodes"].as_array().unwrap().clone());
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    // By hand: neighbours of a session of a source that are more than one apart.
    let mut expect = Vec::new();
    for source in ["app", "web"] {
        for session in 0..4 {
            let own = (0..60).filter(|n| n % 5 != 0 && n % 4 == session);
            let own: Vec<i64> = own.filter(|n| (n / 20 == 1) == (source == "app")).collect();
            for pair in own.windows(2) {
                let session = format!("session{session}");
                expect.push(json!([source, session, pair[0] + 1, pair[1] - 1]));
            }
        }
    }
    let fields = ["source", "sessionId", "first", "last"];
    let said = gaps
        .iter()
        .map(|gap| json!(fields.map(|field| &gap[field])));
    assert_eq!(said.collect::<Vec<_>>(), expect);
    assert!(gaps.iter().all(|gap| evidence(gap) >= 2));
}

#[tokio::test]
async fn figures_that_are_not_kept_are_refused() {
    let app = filled().await;
    let refused = async |arguments: &str, field: &str| {
        let query = format!("{{ logStats({arguments}) {{ {field} }} }}");
        let told = app.ask(&query, json!({})).await;
        told["errors"][0]["extensions"]["code"]
            .as_str()
            .unwrap_or("ok")
            .to_owned()
    };
    let volume = "volume { more }";
    let gaps = "sequenceGaps { nodes { first } }";
    for (filter, field, expect) in [
        (r#"{ user: "a" }"#, volume, "VALIDATION"),
        (r#"{ session: "a" }"#, "topNames { rank }", "VALIDATION"),
        ("{ priority: HIGH }", "errorShare { more }", "VALIDATION"),
        ("{ priority: HIGH }", "visitors { more }", "ok"),
        (r#"{ source: "a", session: "b" }"#, gaps, "ok"),
        ("{ types: [ERROR] }", gaps, "VALIDATION"),
        (r#"{ name: "a" }"#, gaps, "VALIDATION"),
        (r#"{ user: "a" }"#, gaps, "VALIDATION"),
        ("{ priority: HIGH }", gaps, "VALIDATION"),
        (r#"{ text: "a" }"#, "visitors { more }", "VALIDATION"),
        (
            r#"{ provider: "a" }"#,
            "ingestionDelay { records }",
            "VALIDATION",
        ),
        (
            "{ types: [TELEMETRY] }",
            "errorShare { more }",
            "VALIDATION",
        ),
        ("{ types: [TELEMETRY, ERROR] }", "errorShare { more }", "ok"),
        ("{}", "volume(limit: 10001) { more }", "PAGE_LIMIT"),
        ("{}", "topNames(limit: 0) { rank }", "PAGE_LIMIT"),
    ] {
        let arguments = format!("filter: {filter}");
        assert_eq!(refused(&arguments, field).await, expect, "{filter} {field}");
    }
    for arguments in [
        r#"zone: "Mars/Olympus""#,
        r#"from: "2026-01-05T00:00:00Z", to: "2026-01-04T00:00:00Z""#,
        r#"from: "1970-01-01T00:00:00Z", to: "2070-01-01T00:00:00Z""#,
        r#"from: "1970-01-01T00:00:00Z""#,
        r#"from: "2019-01-01T00:00:00Z", to: "2026-01-01T00:00:00Z", bucket: QUARTER_HOUR"#,
    ] {
        assert_eq!(
            refused(arguments, volume).await,
            "VALIDATION",
            "{arguments}"
        );
    }
    // The last day up to now, if nothing is said.
    let told = app.data("{ logStats { from to } }", json!({})).await;
    assert_eq!(
        told["logStats"],
        json!({ "from": "2026-01-04T00:00:00Z", "to": "2026-01-05T00:00:00Z" })
    );
    assert_eq!(text(now()), "2026-01-05T00:00:00.000000Z");
}

#[tokio::test]
async fn sources_are_listed_with_what_is_said_of_them() {
    let app = filled().await;
    let query = "query($after: String) { logSources(first: 1, after: $after) {
        nodes { id onFirstBatch records lastAt pausedReason limits { recordBytesMax ageSecondsMax }
                retention { days daysByType { days } idDays } personalFields { path } }
        pageInfo { hasNextPage endCursor } asOfPosition } }";
    let first = app.settled(query, json!({})).await;
    let page = &first["logSources"];
    let node = &page["nodes"][0];
    assert_eq!(
        (&node["id"], &node["records"], &node["onFirstBatch"]),
        (&json!("app"), &json!(20), &json!(true))
    );
    assert_eq!(node["lastAt"], "2026-01-04T23:39:00Z");
    assert_eq!(
        node["retention"],
        json!({ "days": null, "daysByType": [], "idDays": null })
    );
    let rest = app
        .settled(query, json!({ "after": page["pageInfo"]["endCursor"] }))
        .await;
    assert_eq!(rest["logSources"]["nodes"][0]["id"], "web");
    assert_eq!(rest["logSources"]["pageInfo"]["hasNextPage"], false);
    let one = "{ a: logSource(id: \"web\") { records } b: logSource(id: \"none\") { records } }";
    assert_eq!(
        app.settled(one, json!({})).await,
        json!({ "a": { "records": 40 }, "b": null })
    );
    let status = "{ logStatus { sources pausedSources records lastAt } }";
    let expect = json!({ "sources": 2, "pausedSources": 0, "records": 60, "lastAt": "2026-01-04T23:59:00Z" });
    assert_eq!(app.settled(status, json!({})).await["logStatus"], expect);
    let empty = started().await.data(status, json!({})).await;
    let expect = json!({ "sources": 0, "pausedSources": 0, "records": 0, "lastAt": null });
    assert_eq!(empty["logStatus"], expect);
}
