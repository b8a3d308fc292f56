//! How far objectives are met, asked for by GraphQL: exact, with what is behind it, as of then.

use daybook::auth::Role;
use serde_json::{Value, json};

use super::scene::Yard;
use crate::identity::scene::{SOUTH, outcome};

/// Has a version run in `shop/live` after so much deploying.
async fn took(yard: &Yard, id: &str, started: &str, finished: &str) {
    let time = |clock: &str| format!("2026-02-10T{clock}:00Z");
    let input = json!({ "id": id, "project": "shop", "service": "web", "environment": "live",
                        "version": id, "status": "SUCCEEDED", "startedAt": time(started),
                        "finishedAt": time(finished) });
    yard.done(&yard.ann, "recordDeployment", input).await;
}

/// Deployments of one, two, three and no minutes, in two hours of 10 February 2026.
async fn told() -> Yard {
    let yard = Yard::open().await;
    took(&yard, "one", "12:00", "12:01").await;
    took(&yard, "two", "12:10", "12:12").await;
    took(&yard, "three", "13:00", "13:03").await;
    took(&yard, "none", "13:30", "13:30").await;
    yard
}

/// Nine of ten deployments of the last 30 days are to take two minutes at most.
const NINE_OF_TEN: &str = "sli: DEPLOYMENT_DURATION, objectivePpm: 900000, thresholdSeconds: 120,
                           window: { kind: ROLLING, days: 30 }";
const AT: &str = r#"at: "2026-02-10T14:00:00Z""#;

async fn asked(yard: &Yard, arguments: &str, shown: &str) -> Value {
    let query = format!("{{ slaStats({arguments}) {shown} }}");
    let mut told = yard.settled(&yard.bob, &query, json!({})).await;
    told["slaStats"].take()
}

/// The code and the argument of what is refused.
async fn refused(yard: &Yard, arguments: &str) -> (String, String) {
    let query = format!("{{ slaStats({arguments}) {{ good }} }}");
    let told = yard.scene.ask(&yard.bob.access, &query, json!({})).await;
    let path = &told["errors"][0]["extensions"]["argument"];
    let path = path.as_str().unwrap_or_default().to_owned();
    (outcome(&told).to_owned(), path)
}

/// Sends a command on the objective `quick`.
async fn command(yard: &Yard, field: &str, input: Value) {
    let kind = field[..1].to_uppercase() + &field[1..] + "Input";
    let mutation = format!(
        "mutation($i: {kind}!) {{ {field}(input: $i) {{ slo {{ id }} userErrors {{ code path }} }} }}"
    );
    let told = yard
        .scene
        .ask(&yard.root.access, &mutation, json!({ "i": input }));
    let told = told.await;
    assert_eq!(outcome(&told), "ok", "{told}");
}

fn quick(threshold_seconds: u32) -> Value {
    json!({ "id": "quick", "name": "Quick", "sli": "DEPLOYMENT_DURATION", "objectivePpm": 900_000,
            "thresholdSeconds": threshold_seconds, "window": { "kind": "ROLLING", "days": 30 } })
}

#[tokio::test]
async fn figures_are_exact_and_list_what_they_count() {
    let yard = told().await;
    let arguments = format!("objective: {{ {NINE_OF_TEN}, percentilePpm: 500000 }}, {AT}");
    let shown = "{ sloId from to samples withinThreshold shareWithinThreshold negative open total good
        attainment percentile status errorBudget { budget consumed remaining }
        objective { sli thresholdSeconds }
        burnRates { rule { longMinutes shortMinutes factorMilli } factor long short tooFast }
        history(bucket: WEEK) { start end total good attainment }
        goodOnes: evidence(kind: GOOD, first: 2) { nodes { deploymentId } pageInfo { hasNextPage endCursor } }
        badOnes: evidence(kind: BAD) { nodes { deploymentId began at seconds events { type } } } }";
    let mut told = asked(&yard, &arguments, shown).await;
    let burn = told["burnRates"].take();
    let rates = burn.as_array().unwrap();
    let factors: Vec<_> = rates.iter().map(|rate| rate["factor"].clone()).collect();
    assert_eq!(factors, [14.4, 6.0, 3.0, 1.0].map(Value::from));
    assert_eq!(
        rates[0],
        json!({ "rule": { "longMinutes": 60, "shortMinutes": 5, "factorMilli": "14400" },
                "factor": 14.4, "long": 5.0, "short": null, "tooFast": false })
    );
    assert_eq!(
        (&rates[3]["long"], &rates[3]["tooFast"]),
        (&json!(2.5), &json!(true))
    );
    let weeks = told["history"].take();
    let weeks = weeks.as_array().unwrap();
    assert_eq!(
        (weeks.len(), &weeks[0]["start"]),
        (6, &json!("2026-01-11T14:00:00Z"))
    );
    assert_eq!(
        weeks[5],
        json!({ "start": "2026-02-09T00:00:00Z", "end": "2026-02-10T14:00:00Z", "total": 4, "good": 3,
                "attainment": 0.75 })
    );
    assert_eq!(weeks[4]["attainment"], Value::Null);
    let cursor = told["goodOnes"]["pageInfo"]["endCursor"].take();
    assert_eq!(
        told,
        json!({ "sloId": null, "from": "2026-01-11T14:00:00Z", "to": "2026-02-10T14:00:00Z",
                "samples": 4, "withinThreshold": 3, "shareWithinThreshold": 0.75, "negative": 0,
                "open": 0, "total": 4, "good": 3, "attainment": 0.75, "percentile": "PT1M30S",
                "status": "MISSED", "history": null, "burnRates": null,
                "errorBudget": { "budget": 0.1, "consumed": 2.5, "remaining": -1.5 },
                "objective": { "sli": "DEPLOYMENT_DURATION", "thresholdSeconds": 120 },
                "goodOnes": { "nodes": [{ "deploymentId": "one" }, { "deploymentId": "two" }],
                          "pageInfo": { "hasNextPage": true, "endCursor": null } },
                "badOnes": { "nodes": [{ "deploymentId": "three", "began": "2026-02-10T13:00:00Z",
                                     "at": "2026-02-10T13:03:00Z", "seconds": 180.0,
                                     "events": [{ "type": "deployment.recorded" }] }] } })
    );
    let rest =
        format!("{{ evidence(kind: GOOD, after: {cursor}) {{ nodes {{ deploymentId }} }} }}");
    let rest = asked(&yard, &arguments, &rest).await;
    assert_eq!(
        rest["evidence"]["nodes"],
        json!([{ "deploymentId": "none" }])
    );
}

/// What an objective says, what it leaves out and what is known change; as of then they have not.
#[tokio::test]
async fn an_objective_is_told_as_of_then() {
    let yard = told().await;
    let shown = "{ sloId good total asOfPosition objective { thresholdSeconds } }";
    let at = |rest: &str| format!(r#"slo: "quick", {AT}{rest}"#);
    let none = yard.scene.app.head().await;
    command(&yard, "defineSlo", quick(120)).await;
    let defined = yard.scene.app.head().await;
    let now = asked(&yard, &at(""), shown).await;
    assert_eq!((&now["good"], &now["total"]), (&json!(3), &json!(4)));
    assert_eq!(now["sloId"], "quick");
    took(&yard, "late", "12:30", "12:40").await;
    command(&yard, "reviseSlo", quick(60)).await;
    let period = json!({ "id": "quick", "from": "2026-02-10T12:00:00Z", "reason": "holiday",
                         "to": "2026-02-10T12:05:00Z" });
    command(&yard, "excludePeriod", period).await;
    let now = asked(&yard, &at(""), shown).await;
    // One is left out, and of the others only that of no minutes takes one minute at most.
    assert_eq!((&now["good"], &now["total"]), (&json!(1), &json!(4)));
    assert_eq!(now["objective"]["thresholdSeconds"], 60);
    let then = at(&format!(r#", asOf: {{ position: "{defined}" }}"#));
    assert_eq!(
        asked(&yard, &then, shown).await,
        json!({ "sloId": "quick", "good": 3, "total": 4, "asOfPosition": defined.to_string(),
                "objective": { "thresholdSeconds": 120 } })
    );
    let before = at(&format!(r#", asOf: {{ position: "{none}" }}"#));
    assert_eq!(asked(&yard, &before, shown).await, Value::Null);
    assert_eq!(asked(&yard, r#"slo: "nobody""#, shown).await, Value::Null);
    // A time stands for the position that was reached by then, and the window ends there.
    let late = asked(
        &yard,
        r#"slo: "quick", asOf: { time: "2026-02-10T00:00:00Z" }"#,
        shown,
    );
    assert_eq!(late.await, Value::Null);
}

#[tokio::test]
async fn freshness_is_of_what_vehicles_report() {
    let yard = told().await;
    let objective = "sli: FEED_FRESHNESS, objectivePpm: 900000, thresholdSeconds: 120,
                     window: { kind: ROLLING, days: 1 }";
    let shown = "{ status total attainment errorBudget { consumed remaining } burnRates { long } }";
    let told = asked(&yard, &format!("objective: {{ {objective} }}"), shown).await;
    let nothing = json!({ "status": "NO_DATA", "total": 0, "attainment": null,
                          "errorBudget": { "consumed": null, "remaining": null },
                          "burnRates": [{ "long": null }, { "long": null }, { "long": null }] });
    assert_eq!(told, nothing);
    let scoped = format!(r#"objective: {{ {objective}, scope: {{ service: "web" }} }}"#);
    let (code, path) = refused(&yard, &scoped).await;
    assert_eq!((&*code, &*path), ("VALIDATION", "objective.scope.service"));
    // It leads to reports of vehicles: not for a key that may not ask for them.
    let scene = &yard.scene;
    let root = &yard.root.access;
    let (_, narrow) = scene.key(root, &["deployments:read"]).await;
    let (_, wide) = scene
        .key(root, &["deployments:read", "vehicles:read"])
        .await;
    let fresh = format!("{{ slaStats(objective: {{ {objective} }}) {{ total }} }}");
    let quick = format!("{{ slaStats(objective: {{ {NINE_OF_TEN} }}) {{ total }} }}");
    for (key, query, expect) in [
        (&narrow, &fresh, "FORBIDDEN"),
        (&wide, &fresh, "ok"),
        (&narrow, &quick, "ok"),
    ] {
        let told = scene.ask(key, query, json!({})).await;
        assert_eq!(outcome(&told), expect, "{query}: {told}");
    }
}

#[tokio::test]
async fn tenants_are_told_of_their_own() {
    let yard = told().await;
    command(&yard, "defineSlo", quick(120)).await;
    yard.scene.tenant(SOUTH).await;
    let south = yard.scene.person(SOUTH, "sue", &[Role::Viewer]).await;
    let query = format!(
        r#"{{ inline: slaStats(objective: {{ {NINE_OF_TEN} }}, {AT}) {{ status total }}
              kept: slaStats(slo: "quick", {AT}) {{ total }} }}"#
    );
    let told = yard.scene.settled(&south.access, SOUTH, &query, json!({}));
    let told = told.await;
    let expect = json!({ "inline": { "status": "NO_DATA", "total": 0 }, "kept": null });
    assert_eq!(told["data"], expect, "{told}");
}

#[tokio::test]
async fn what_is_no_objective_is_refused_with_its_argument() {
    let yard = Yard::open().await;
    let duration = "sli: DEPLOYMENT_DURATION, thresholdSeconds: 60";
    let rolling = "window: { kind: ROLLING, days: 1 }";
    for (objective, code, path) in [
        (
            format!("objectivePpm: 0, {rolling}"),
            "OBJECTIVE_OUT_OF_RANGE",
            "objectivePpm",
        ),
        (
            format!("objectivePpm: 1000000, {rolling}"),
            "OBJECTIVE_OUT_OF_RANGE",
            "objectivePpm",
        ),
        (
            "objectivePpm: 9, window: { kind: ROLLING, days: 91 }".to_owned(),
            "OUT_OF_RANGE",
            "window.days",
        ),
        (
            r#"objectivePpm: 9, window: { kind: CALENDAR_WEEK, zone: "Mars" }"#.to_owned(),
            "VALIDATION",
            "window.zone",
        ),
    ] {
        let arguments = format!("objective: {{ {duration}, {objective} }}");
        let told = refused(&yard, &arguments).await;
        assert_eq!(
            told,
            (code.to_owned(), format!("objective.{path}")),
            "{objective}"
        );
    }
    let both = format!(r#"slo: "quick", objective: {{ {NINE_OF_TEN} }}"#);
    for (arguments, path) in [
        (r#"at: "2026-02-10T00:00:00Z""#.to_owned(), "objective"),
        (both, "objective"),
        (
            format!(r#"objective: {{ {NINE_OF_TEN} }}, at: "2100-01-01T00:00:00Z""#),
            "at",
        ),
    ] {
        let told = refused(&yard, &arguments).await;
        assert_eq!(
            told,
            ("VALIDATION".to_owned(), path.to_owned()),
            "{arguments}"
        );
    }
}
