//! Objectives are defined, revised and retired; what is refused is told where it stands.

use serde_json::{Value, json};

use super::scene::{SHOWN, but, done, objective, send};
use crate::deployments::scene::Yard;
use crate::identity::scene::{SOUTH, outcome};

#[tokio::test]
async fn an_objective_is_defined_revised_and_retired() {
    let yard = Yard::open().await;
    let made = but(objective(""), json!({ "id": null, "commandId": "k1" }));
    let first = done(&yard, "defineSlo", made.clone()).await;
    let id = first["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("slo_"), "{id}");
    assert_eq!(
        (&first["revision"], &first["objective"]["minEvents"]),
        (&json!(1), &json!(1))
    );
    // The same command again names the same objective, and is answered as before.
    let again = send(&yard.scene, &yard.root.access, "defineSlo", made).await;
    let again = &again["data"]["defineSlo"];
    assert_eq!(
        (&again["slo"]["id"], &again["receipt"]["replayed"]),
        (&json!(id), &json!(true))
    );

    let before = yard.scene.app.head().await;
    let better = but(
        objective(&id),
        json!({ "objectivePpm": 999_000, "percentilePpm": 950_000,
                "window": { "kind": "CALENDAR_WEEK", "zone": "Europe/London" },
                "method": { "kind": "TIMESLICES", "sliceMinutes": 60, "sliceObjectivePpm": 900_000 } }),
    );
    let second = done(&yard, "reviseSlo", better.clone()).await;
    assert_eq!(
        second["objective"],
        json!({ "name": "Deployed within ten minutes", "sli": "DEPLOYMENT_DURATION", "project": "shop",
                "objectivePpm": 999_000, "thresholdSeconds": 600, "percentilePpm": 950_000,
                "minEvents": 1,
                "window": { "kind": "CALENDAR_WEEK", "days": null, "zone": "Europe/London" },
                "method": { "kind": "TIMESLICES", "sliceMinutes": 60 } })
    );
    // Said again it is said already: no new revision.
    let same = done(&yard, "reviseSlo", better).await;
    assert_eq!(
        (&same["revision"], &same["streamVersion"]),
        (&json!(2), &json!(2))
    );
    let exclude = json!({ "id": id, "from": "2026-12-24T00:00:00Z", "to": "2026-12-27T00:00:00Z",
                          "reason": "holidays" });
    done(&yard, "excludePeriod", exclude.clone()).await;
    done(&yard, "excludePeriod", exclude).await;
    let over = done(&yard, "retireSlo", json!({ "id": id, "reason": "met" })).await;
    assert_eq!(
        (&over["retiredReason"], &over["streamVersion"]),
        (&json!("met"), &json!(4))
    );

    let query = format!(
        "query($id: ID!, $as: AsOfInput) {{ slo(id: $id, asOf: $as) {{ {SHOWN}
           revisions(first: 5) {{ nodes {{ revision objective {{ objectivePpm }} }} }}
           excludedPeriods {{ nodes {{ from to reason }} }} }} }}"
    );
    let told = yard.settled(&yard.ann, &query, json!({ "id": id })).await["slo"].take();
    assert_eq!(
        told["revisions"]["nodes"],
        json!([{ "revision": 2, "objective": { "objectivePpm": 999_000 } },
               { "revision": 1, "objective": { "objectivePpm": 990_000 } }])
    );
    assert_eq!(
        told["excludedPeriods"]["nodes"],
        json!([{ "from": "2026-12-24T00:00:00Z", "to": "2026-12-27T00:00:00Z", "reason": "holidays" }])
    );
    // As known before the revision: the objective, its history and what did not count.
    let then = json!({ "id": id, "as": { "position": before.to_string() } });
    let told = yard.settled(&yard.ann, &query, then).await["slo"].take();
    assert_eq!(
        (
            &told["revision"],
            &told["streamVersion"],
            &told["retiredReason"]
        ),
        (&json!(1), &json!(1), &Value::Null)
    );
    assert_eq!(told["objective"]["objectivePpm"], 990_000);
    assert_eq!(told["revisions"]["nodes"].as_array().map(Vec::len), Some(1));
    assert_eq!(told["excludedPeriods"]["nodes"], json!([]));
    let long_ago = json!({ "id": id, "as": { "time": "2001-01-01T00:00:00Z" } });
    assert_eq!(
        yard.settled(&yard.ann, &query, long_ago).await["slo"],
        Value::Null
    );
    let ahead = json!({ "id": id, "as": { "position": "999999" } });
    let told = yard.scene.ask(&yard.ann.access, &query, ahead).await;
    assert_eq!(outcome(&told), "BAD_POSITION");
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_where_it_stands() {
    let yard = Yard::open().await;
    done(&yard, "defineSlo", objective("o")).await;
    done(&yard, "defineSlo", objective("over")).await;
    done(&yard, "retireSlo", json!({ "id": "over" })).await;
    let new = || objective("new");
    let week = |zone: &str| json!({ "kind": "CALENDAR_WEEK", "zone": zone });
    let span =
        |id: &str, from: &str, to: &str| json!({ "id": id, "from": from, "to": to, "reason": "r" });
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let cases = [
        ("defineSlo", objective("o"), "ALREADY_EXISTS", ""),
        (
            "defineSlo",
            but(new(), json!({ "objectivePpm": 0 })),
            "OBJECTIVE_OUT_OF_RANGE",
            "objectivePpm",
        ),
        (
            "defineSlo",
            but(new(), json!({ "objectivePpm": -5 })),
            "OBJECTIVE_OUT_OF_RANGE",
            "objectivePpm",
        ),
        (
            "defineSlo",
            but(new(), json!({ "objectivePpm": 1_000_000 })),
            "OBJECTIVE_OUT_OF_RANGE",
            "objectivePpm",
        ),
        (
            "defineSlo",
            but(new(), json!({ "thresholdSeconds": 0 })),
            "OUT_OF_RANGE",
            "thresholdSeconds",
        ),
        (
            "defineSlo",
            but(new(), json!({ "thresholdSeconds": 31_622_401 })),
            "OUT_OF_RANGE",
            "thresholdSeconds",
        ),
        (
            "defineSlo",
            but(new(), json!({ "percentilePpm": 1_000_000 })),
            "OUT_OF_RANGE",
            "percentilePpm",
        ),
        (
            "defineSlo",
            but(new(), json!({ "minEvents": -1 })),
            "OUT_OF_RANGE",
            "minEvents",
        ),
        (
            "defineSlo",
            but(new(), json!({ "window": week("Mars/Olympus") })),
            "VALIDATION",
            "window/zone",
        ),
        (
            "defineSlo",
            but(new(), json!({ "window": week("") })),
            "VALIDATION",
            "window/zone",
        ),
        (
            "defineSlo",
            but(new(), json!({ "window": { "kind": "CALENDAR_MONTH" } })),
            "VALIDATION",
            "window/zone",
        ),
        (
            "defineSlo",
            but(new(), json!({ "window": { "kind": "ROLLING" } })),
            "VALIDATION",
            "window/days",
        ),
        (
            "defineSlo",
            but(
                new(),
                json!({ "window": { "kind": "ROLLING", "days": 91 } }),
            ),
            "OUT_OF_RANGE",
            "window/days",
        ),
        (
            "defineSlo",
            but(
                new(),
                json!({ "window": { "kind": "ROLLING", "days": 7, "zone": "UTC" } }),
            ),
            "VALIDATION",
            "window/zone",
        ),
        (
            "defineSlo",
            but(
                new(),
                json!({ "method": { "kind": "TIMESLICES", "sliceMinutes": 0, "sliceObjectivePpm": 1 } }),
            ),
            "OUT_OF_RANGE",
            "method/sliceMinutes",
        ),
        (
            "defineSlo",
            but(
                new(),
                json!({ "method": { "kind": "TIMESLICES", "sliceMinutes": 5 } }),
            ),
            "VALIDATION",
            "method/sliceObjectivePpm",
        ),
        (
            "defineSlo",
            but(
                new(),
                json!({ "method": { "kind": "OCCURRENCES", "sliceMinutes": 5 } }),
            ),
            "VALIDATION",
            "method/sliceMinutes",
        ),
        (
            "defineSlo",
            but(new(), json!({ "scope": { "project": " x" } })),
            "VALIDATION",
            "scope/project",
        ),
        ("reviseSlo", objective("nobody"), "NOT_FOUND", ""),
        ("reviseSlo", objective("over"), "SLO_RETIRED", ""),
        (
            "reviseSlo",
            but(objective("o"), json!({ "window": week("EST5") })),
            "VALIDATION",
            "window/zone",
        ),
        (
            "reviseSlo",
            but(objective("o"), json!({ "expectedVersion": 9 })),
            "VERSION_CONFLICT",
            "",
        ),
        ("retireSlo", json!({ "id": "over" }), "SLO_RETIRED", ""),
        (
            "excludePeriod",
            span("over", early, late),
            "SLO_RETIRED",
            "",
        ),
        (
            "excludePeriod",
            span("nobody", early, late),
            "NOT_FOUND",
            "",
        ),
        ("excludePeriod", span("o", late, early), "TIME_TRAVEL", "to"),
        (
            "excludePeriod",
            span("o", early, early),
            "TIME_TRAVEL",
            "to",
        ),
    ];
    let head = yard.scene.app.head().await;
    for (field, input, code, path) in cases {
        let told = send(&yard.scene, &yard.root.access, field, input.clone()).await;
        let error = &told["data"][field]["userErrors"][0];
        assert_eq!(error["code"], code, "{field} {input}: {told}");
        let steps = error["path"].as_array().unwrap().iter().skip(1);
        let steps: Vec<&str> = steps.map(|step| step.as_str().unwrap()).collect();
        if !path.is_empty() {
            assert_eq!(steps.join("/"), path, "{field} {input}: {told}");
        }
        assert_eq!(told["data"][field]["slo"], Value::Null);
    }
    // Objectives are for those who answer for them, as policies of environments are.
    let told = send(&yard.scene, &yard.ann.access, "defineSlo", new()).await;
    assert_eq!(outcome(&told), "FORBIDDEN");
    assert_eq!(yard.scene.app.head().await, head, "nothing was kept");
}

#[tokio::test]
async fn lists_are_ones_own_and_follow_what_is_said() {
    let yard = Yard::open().await;
    yard.scene.tenant(SOUTH).await;
    let south = yard.scene.admin(SOUTH);
    let theirs = send(&yard.scene, &south, "defineSlo", objective("theirs")).await;
    assert_eq!(outcome(&theirs), "ok", "{theirs}");
    for id in ["a", "b"] {
        done(&yard, "defineSlo", objective(id)).await;
    }
    let moved = but(
        objective("b"),
        json!({ "scope": { "service": "web" }, "sli": "APPROVAL_WAIT" }),
    );
    let list = "query($p: String, $s: String, $i: ServiceLevelIndicator, $r: Boolean) {
        slos(project: $p, service: $s, sli: $i, retired: $r) { nodes { id } } }";
    let ids = async |variables: Value| {
        let told = yard.settled(&yard.ann, list, variables).await;
        let nodes = told["slos"]["nodes"].as_array().unwrap().clone();
        let ids = nodes.iter().map(|node| node["id"].as_str().unwrap());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(json!({})).await, "a b");
    assert_eq!(ids(json!({ "p": "shop" })).await, "a b");
    done(&yard, "reviseSlo", moved).await;
    assert_eq!(ids(json!({ "p": "shop" })).await, "a");
    assert_eq!(ids(json!({ "s": "web", "i": "APPROVAL_WAIT" })).await, "b");
    done(&yard, "retireSlo", json!({ "id": "a" })).await;
    assert_eq!(ids(json!({ "r": true })).await, "a");
    assert_eq!(ids(json!({ "r": false })).await, "b");
    let one = "{ slo(id: \"theirs\") { id } }";
    assert_eq!(
        yard.settled(&yard.ann, one, json!({})).await["slo"],
        Value::Null
    );
}
