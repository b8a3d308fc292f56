//! Figures over deployments, asked for by GraphQL and REST: exact, with what is behind them, as of then.

use serde_json::{Value, json};

use super::scene::Yard;
use crate::identity::scene::outcome;

const FEBRUARY: &str = r#"from: "2026-02-01T00:00:00Z", to: "2026-03-01T00:00:00Z""#;

/// Four versions of `shop/web` in February 2026, of which the last is a rollback. The first carries a
/// change two hours old; an incident began an hour after the second and was over half an hour later.
async fn told() -> Yard {
    let yard = Yard::open().await;
    let runs = [
        ("one", "1", "2026-02-02T12:00:00Z", "PLANNED"),
        ("two", "2", "2026-02-10T12:00:00Z", "PLANNED"),
        ("three", "3", "2026-02-10T13:30:00Z", "UNPLANNED_FIX"),
        ("four", "2", "2026-02-20T12:00:00Z", "ROLLBACK"),
    ];
    for (id, version, at, reason) in runs {
        let mut input = json!({ "id": id, "project": "shop", "service": "web", "environment": "live",
                                "version": version, "reason": reason, "status": "SUCCEEDED",
                                "finishedAt": at });
        if id == "one" {
            input["changes"] = json!([{ "id": "c", "committedAt": "2026-02-02T10:00:00Z" }]);
        }
        yard.done(&yard.ann, "recordDeployment", input).await;
    }
    yard
}

async fn asked(yard: &Yard, arguments: &str, shown: &str) -> Value {
    let query = format!("{{ doraMetrics({arguments}) {shown} }}");
    let mut told = yard.settled(&yard.bob, &query, json!({})).await;
    told["doraMetrics"].take()
}

#[tokio::test]
async fn five_figures_are_exact_and_each_lists_what_it_counts() {
    let yard = told().await;
    let shown = "{ zone total { start end
        deploymentFrequency { deployments perDay daysWithOne medianDaysPerWeek band performance
            evidence(first: 3) { nodes { deploymentId events { type } } pageInfo { hasNextPage } } }
        changeLeadTime { changes excluded p50 within24h { changes share } performance
            evidence { nodes { deploymentId changeId seconds } }
            excludedEvidence { nodes { changeId } } }
        changeFailRate { of rollbacks rollbackShare rollbackEvidence { nodes { deploymentId } } }
        deploymentReworkRate { deployments rate evidence { nodes { deploymentId } } } } }";
    let metrics = asked(&yard, FEBRUARY, shown).await;
    let total = &metrics["total"];
    assert_eq!(metrics["zone"], "UTC");
    assert_eq!(total["start"], "2026-02-01T00:00:00Z");
    let often = &total["deploymentFrequency"];
    assert_eq!(often["deployments"], 4);
    assert_eq!(often["perDay"], json!(4.0 / 28.0));
    assert_eq!(often["daysWithOne"], 3);
    // Whole weeks begin on the 2nd, 9th and 16th, with one day each; the one of the 23rd is not whole.
    assert_eq!(often["medianDaysPerWeek"], 1.0);
    assert_eq!(
        (&often["band"], &often["performance"]),
        (&json!("WEEKLY"), &json!("HIGH"))
    );
    let nodes = often["evidence"]["nodes"].as_array().unwrap();
    let ids: Vec<_> = nodes.iter().map(|node| &node["deploymentId"]).collect();
    assert_eq!(ids, ["one", "two", "three"]);
    assert_eq!(
        nodes[0]["events"],
        json!([{ "type": "deployment.recorded" }])
    );
    assert_eq!(often["evidence"]["pageInfo"]["hasNextPage"], true);
    assert_eq!(
        total["changeLeadTime"],
        json!({ "changes": 1, "excluded": 0, "p50": "PT2H", "performance": "ELITE",
                "within24h": { "changes": 1, "share": 1.0 },
                "evidence": { "nodes": [{ "deploymentId": "one", "changeId": "c", "seconds": 7200.0 }] },
                "excludedEvidence": { "nodes": [] } })
    );
    assert_eq!(
        total["changeFailRate"],
        json!({ "of": 3, "rollbacks": 1, "rollbackShare": 0.25,
                "rollbackEvidence": { "nodes": [{ "deploymentId": "four" }] } })
    );
    assert_eq!(
        total["deploymentReworkRate"],
        json!({ "deployments": 1, "rate": 0.25,
                "evidence": { "nodes": [{ "deploymentId": "three" }] } })
    );
}

/// An incident that is told of later changes the past, but not what was known of it before.
#[tokio::test]
async fn a_late_incident_changes_the_past_but_not_what_was_known_then() {
    let yard = told().await;
    let before = yard.scene.app.head().await.to_string();
    let incident = json!({ "id": "i", "title": "carts are empty", "severity": "HIGH",
                           "project": "shop", "service": "web", "deploymentId": "two",
                           "openedAt": "2026-02-10T13:00:00Z" });
    yard.done(&yard.ann, "openIncident", incident).await;
    let over = json!({ "id": "i", "at": "2026-02-10T13:20:00Z" });
    yard.done(&yard.ann, "resolveIncident", over).await;
    let shown = "{ asOfPosition total { failedDeploymentRecoveryTime { recovered p50
        evidence { nodes { deploymentId seconds incidentIds kinds } } } } }";
    let figures = |told: &Value| told["total"]["failedDeploymentRecoveryTime"].clone();
    let now = figures(&asked(&yard, FEBRUARY, shown).await);
    let nodes = now["evidence"]["nodes"].as_array().unwrap();
    let two = nodes
        .iter()
        .find(|node| node["deploymentId"] == "two")
        .unwrap();
    assert_eq!(
        *two,
        json!({ "deploymentId": "two", "seconds": 1200.0, "incidentIds": ["i"],
                "kinds": ["EXPLICIT"] })
    );
    let then = format!("{FEBRUARY}, asOf: {{ position: \"{before}\" }}");
    let then = asked(&yard, &then, shown).await;
    assert_eq!(then["asOfPosition"], before.as_str());
    let nodes = figures(&then)["evidence"]["nodes"].clone();
    let named = |id: &str| {
        nodes
            .as_array()
            .unwrap()
            .iter()
            .any(|n| n["deploymentId"] == id)
    };
    assert!(!named("two"), "{nodes}");
    // By time: before anything was recorded there is nothing; in the future is now.
    for (at, deployments) in [("2020-01-01T00:00:00Z", 0), ("2199-01-01T00:00:00Z", 4)] {
        let arguments = format!("{FEBRUARY}, asOf: {{ time: \"{at}\" }}");
        let shown = "{ total { deploymentFrequency { deployments perDay } } }";
        let told = asked(&yard, &arguments, shown).await;
        let often = &told["total"]["deploymentFrequency"];
        assert_eq!(often["deployments"], deployments, "{at}");
        assert_eq!(often["perDay"].is_null(), deployments == 0, "{at}");
    }
}

/// The days of a zone: on 29 March 2026 clocks in London go forward, and that day has 23 hours.
#[tokio::test]
async fn buckets_are_those_of_the_zone() {
    let yard = Yard::open().await;
    yard.ran("late", "1", "2026-03-29T22:30:00Z").await;
    yard.ran("next", "2", "2026-03-29T23:30:00Z").await;
    let arguments = r#"from: "2026-03-29T00:00:00Z", to: "2026-03-30T23:00:00Z", bucket: DAY,
                       zone: "Europe/London", scope: { services: ["web"], project: "shop" }"#;
    let shown = "{ buckets { start end deploymentFrequency { deployments perDay } } }";
    let told = asked(&yard, arguments, shown).await;
    let day = |start: &str, end: &str| {
        json!({ "start": start, "end": end,
                "deploymentFrequency": { "deployments": 1, "perDay": 1.0 } })
    };
    let (first, second) = ("2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z");
    let expect = [day(first, second), day(second, "2026-03-30T23:00:00Z")];
    assert_eq!(told["buckets"], json!(expect));
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_its_argument() {
    let yard = Yard::open().await;
    let many = format!("{FEBRUARY}, scope: {{ services: {:?} }}", vec!["s"; 201]);
    for (arguments, code, path) in [
        (
            r#"from: "2026-03-01T00:00:00Z", to: "2026-03-01T00:00:00Z""#,
            "VALIDATION",
            json!("to"),
        ),
        (
            r#"from: "2026-03-01T00:00:00Z", to: "2026-02-01T00:00:00Z""#,
            "VALIDATION",
            json!("to"),
        ),
        (
            r#"from: "2006-03-01T00:00:00Z", to: "2026-02-01T00:00:00Z""#,
            "VALIDATION",
            json!("to"),
        ),
        (
            r#"from: "2020-03-01T00:00:00Z", to: "2026-02-01T00:00:00Z", bucket: DAY"#,
            "VALIDATION",
            json!("bucket"),
        ),
        (
            format!(r#"{FEBRUARY}, zone: "Mars/Olympus""#).as_str(),
            "VALIDATION",
            json!("zone"),
        ),
        (many.as_str(), "PAGE_LIMIT", Value::Null),
        (
            format!(r#"{FEBRUARY}, asOf: {{ position: "99999" }}"#).as_str(),
            "BAD_POSITION",
            Value::Null,
        ),
    ] {
        let query = format!("{{ doraMetrics({arguments}) {{ zone }} }}");
        let told = yard.scene.ask(&yard.bob.access, &query, json!({})).await;
        assert_eq!(outcome(&told), code, "{arguments}: {told}");
        assert_eq!(
            told["errors"][0]["extensions"]["argument"], path,
            "{arguments}: {told}"
        );
    }
}

#[tokio::test]
async fn deployments_in_numbers_by_graphql_and_by_rest() {
    let yard = told().await;
    yard.wanted("waits", "live", "9").await;
    let query = r#"{ shop: applicationStats(project: "shop") { deployments approvalWaitingSince
                       byStatus { status deployments } approvalWait { deployments p50 } openIncidents }
                     other: applicationStats(project: "other") { deployments approvalWaitingSince
                       deploymentDuration { deployments p50 p95 } } }"#;
    let told = yard.settled(&yard.bob, query, json!({})).await;
    let shop = &told["shop"];
    assert_eq!(
        (&shop["deployments"], &shop["openIncidents"]),
        (&json!(5), &json!(0))
    );
    let counts = shop["byStatus"].as_array().unwrap();
    assert_eq!(counts.len(), 10, "no status is left out");
    let waiting = json!({ "status": "AWAITING_APPROVAL", "deployments": 1 });
    assert!(counts.contains(&waiting), "{counts:?}");
    assert!(shop["approvalWaitingSince"].is_string());
    assert_eq!(
        shop["approvalWait"],
        json!({ "deployments": 0, "p50": null })
    );
    assert_eq!(
        told["other"],
        json!({ "deployments": 0, "approvalWaitingSince": null,
                "deploymentDuration": { "deployments": 0, "p50": null, "p95": null } })
    );
    let timed = json!({ "id": "timed", "project": "timed", "service": "web", "environment": "live",
                        "version": "1", "status": "SUCCEEDED", "tier": "PRODUCTION",
                        "requestedAt": "2026-02-02T11:00:00Z", "startedAt": "2026-02-02T11:50:00Z",
                        "finishedAt": "2026-02-02T12:00:00Z" });
    yard.done(&yard.ann, "recordDeployment", timed).await;
    let query = r#"{ applicationStats(project: "timed") {
        byStatus { status deployments evidence { edges { node { id status } } } }
        approvalWait { deployments evidence { edges { node { id } } } }
        deploymentDuration { deployments evidence(first: 200) { edges { node { id startedAt } } } }
        requestToProduction { deployments evidence { edges { node { id tier } } } } } }"#;
    let behind = yard.settled(&yard.bob, query, json!({})).await;
    let behind = &behind["applicationStats"];
    let spans = ["approvalWait", "deploymentDuration", "requestToProduction"];
    let counts = behind["byStatus"].as_array().unwrap().iter();
    for count in counts.chain(spans.iter().map(|span| &behind[*span])) {
        let listed = count["evidence"]["edges"].as_array().unwrap();
        assert_eq!(count["deployments"], listed.len(), "{count}");
        if let Some(status) = count.get("status") {
            assert!(listed.iter().all(|edge| edge["node"]["status"] == *status));
        }
    }
    let counts = spans.map(|span| behind[span]["deployments"].as_i64().unwrap());
    assert_eq!(counts, [0, 1, 1], "{behind}");
    let head = yard.scene.app.head().await.to_string();
    let waits = [("daybook-at-least", head.as_str())];
    for (path, status) in [
        ("GET /api/stats?project=shop", 200),
        (
            "GET /api/stats?from=2026-03-01T00:00:00Z&to=2026-02-01T00:00:00Z",
            422,
        ),
        ("GET /api/stats?zone=UTC", 422),
    ] {
        let reply = yard.scene.send(&yard.bob.access, path, &waits, b"").await;
        assert_eq!(reply.status, status, "{path}");
        if status == 200 {
            let told = reply.json();
            assert_eq!(
                (&told["deployments"], &told["byStatus"]),
                (&shop["deployments"], &shop["byStatus"])
            );
        }
    }
}
