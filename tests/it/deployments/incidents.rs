//! Incidents, and what they are put down to.

use serde_json::json;

use super::scene::Yard;

/// Two versions that ran in `shop/live`, one after the other.
async fn two_ran(yard: &Yard) {
    yard.ran("one", "1", "2026-01-01T12:00:00Z").await;
    yard.ran("two", "2", "2026-01-02T12:00:00Z").await;
}

#[tokio::test]
async fn an_incident_is_put_down_to_what_ran_last_before_it() {
    let yard = Yard::open().await;
    two_ran(&yard).await;
    let report = |id: &str, at: &str| {
        json!({ "id": id, "title": "slow", "severity": "HIGH", "project": "shop", "service": "web",
                "openedAt": at, "commandId": id })
    };
    for (id, at, cause) in [
        ("i1", "2026-01-02T00:00:00Z", Some("one")),
        ("i2", "2026-01-03T00:00:00Z", Some("two")),
        ("i0", "2025-12-31T00:00:00Z", None),
    ] {
        let links = cause.map(|cause| {
            json!({ "deploymentId": cause, "kind": "INFERRED", "rule": "last_production_success" })
        });
        for _ in 0..2 {
            let told = yard.done(&yard.ann, "openIncident", report(id, at)).await;
            assert_eq!(
                told["links"],
                json!(links.iter().collect::<Vec<_>>()),
                "{id}"
            );
        }
    }
    // What is broken somewhere else is not put down to this.
    let mut other = report("i3", "2026-01-03T00:00:00Z");
    other["service"] = "api".into();
    assert_eq!(
        yard.done(&yard.ann, "openIncident", other).await["links"],
        json!([])
    );
}

#[tokio::test]
async fn people_know_better_than_the_rule() {
    let yard = Yard::open().await;
    two_ran(&yard).await;
    let report = json!({ "id": "i", "title": "slow", "severity": "HIGH", "project": "shop",
                         "openedAt": "2026-01-03T00:00:00Z", "deploymentId": "one" });
    let told = yard.done(&yard.ann, "openIncident", report).await;
    assert_eq!(
        told["links"],
        json!([{ "deploymentId": "one", "kind": "EXPLICIT", "rule": null }])
    );
    // One that was inferred, taken back, is not inferred again; made on purpose it is another matter.
    let report = json!({ "title": "down", "severity": "CRITICAL", "project": "shop",
                         "openedAt": "2026-01-03T00:00:00Z",
                         "external": { "source": "pager", "id": "9" } });
    let told = yard.done(&yard.ann, "openIncident", report.clone()).await;
    let id = told["id"].as_str().unwrap().to_owned();
    assert_eq!(told["links"][0]["deploymentId"], "two");
    let link = json!({ "id": id, "deploymentId": "two" });
    yard.done(&yard.ann, "unlinkDeployment", link.clone()).await;
    let again = yard.done(&yard.ann, "openIncident", report).await;
    assert_eq!((&again["id"], &again["links"]), (&json!(id), &json!([])));
    let told = yard.done(&yard.ann, "linkDeployment", link.clone()).await;
    assert_eq!(told["links"][0]["kind"], "EXPLICIT");
    assert_eq!(
        yard.refused(&yard.ann, "linkDeployment", link).await,
        "ALREADY_LINKED"
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let yard = Yard::open().await;
    let report = json!({ "id": "i", "title": "t", "severity": "LOW", "project": "shop" });
    let mut of_nothing = report.clone();
    of_nothing["deploymentId"] = "nobody".into();
    assert_eq!(
        yard.refused(&yard.ann, "openIncident", of_nothing).await,
        "NOT_FOUND"
    );
    yard.done(&yard.ann, "openIncident", report.clone()).await;
    for (field, input, expect) in [
        ("openIncident", report, "ALREADY_EXISTS"),
        (
            "resolveIncident",
            json!({ "id": "i", "at": "2020-01-01T00:00:00Z" }),
            "TIME_TRAVEL",
        ),
        ("reopenIncident", json!({ "id": "i" }), "ILLEGAL_TRANSITION"),
        (
            "linkDeployment",
            json!({ "id": "i", "deploymentId": "nobody" }),
            "NOT_FOUND",
        ),
        (
            "unlinkDeployment",
            json!({ "id": "i", "deploymentId": "nobody" }),
            "NOT_LINKED",
        ),
    ] {
        assert_eq!(
            yard.refused(&yard.ann, field, input).await,
            expect,
            "{field}"
        );
    }
    let told = yard
        .done(&yard.ann, "resolveIncident", json!({ "id": "i" }))
        .await;
    assert_eq!(told["status"], "RESOLVED");
    let told = yard
        .done(&yard.ann, "reopenIncident", json!({ "id": "i" }))
        .await;
    assert_eq!(
        (&told["status"], &told["resolvedAt"]),
        (&json!("OPEN"), &json!(null))
    );
}
