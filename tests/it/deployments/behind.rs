//! What is told while the read model has not come as far as is asked for.

use serde_json::{Value, json};

use super::scene::Yard;
use crate::identity::scene::outcome;
use crate::support::eventually;

/// Nothing is told as of a position that the read model has not come to: not because it is insisted on, not
/// because the past is asked for.
#[tokio::test]
async fn who_insists_on_what_is_not_shown_yet_is_told_so() {
    let yard = Yard::open().await;
    yard.ran("one", "1", "2026-01-01T12:00:00Z").await;
    let before = yard.scene.app.head().await.to_string();
    let all = "{ deployments { nodes { id } asOfPosition } }";
    eventually("the first is shown", async || {
        let told = yard.scene.ask(&yard.bob.access, all, json!({})).await;
        told["data"]["deployments"]["asOfPosition"] == before
    })
    .await;
    let consumers = &yard.scene.app.app().consumers;
    consumers
        .pause(
            "default",
            "deployments",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await
        .unwrap();
    let second = json!({ "id": "two", "project": "shop", "service": "web", "environment": "live",
                         "version": "2", "status": "SUCCEEDED",
                         "finishedAt": "2026-01-02T12:00:00Z" });
    // It is kept; only what it has become cannot be shown yet.
    let told = yard.send(&yard.ann, "recordDeployment", second).await;
    assert_eq!(outcome(&told), "STALE_READ", "{told}");
    assert_eq!(told["data"]["recordDeployment"]["userErrors"], json!([]));
    let after = yard.scene.app.head().await.to_string();

    let year = r#"from: "2026-01-01T00:00:00Z", to: "2027-01-01T00:00:00Z""#;
    let figures = "total { deploymentFrequency { deployments } }";
    let insisted = [
        all.to_owned(),
        r#"{ deployment(id: "one") { timeline { nodes { type } } } }"#.to_owned(),
        format!("{{ doraMetrics({year}) {{ {figures} }} }}"),
        "{ incidents { nodes { id } } }".to_owned(),
        "{ applicationStats { deployments } }".to_owned(),
    ];
    let then = format!("asOf: {{ position: \"{after}\" }}");
    let of_then = [
        format!("{{ deployments({then}) {{ nodes {{ id }} }} }}"),
        format!("{{ doraMetrics({year}, {then}) {{ {figures} }} }}"),
    ];
    let insisted = insisted
        .iter()
        .map(|query| (query, json!({ "atLeast": after })));
    let of_then = of_then.iter().map(|query| (query, json!({})));
    // All at once: each of them waits as long as a read may.
    let asked = insisted.chain(of_then).map(async |(query, extensions)| {
        let body = json!({ "query": query, "extensions": extensions });
        let reply = yard.scene.post(&yard.bob.access, "/graphql", &body).await;
        (query, reply.json())
    });
    for (query, told) in futures::future::join_all(asked).await {
        let told = &told["errors"][0]["extensions"];
        assert_eq!(told["code"], "STALE_READ", "{query}: {told}");
        assert_eq!(told["readModels"], json!({ "deployments": before }));
    }
    let waits = [("daybook-at-least", after.as_str())];
    let line = "GET /api/deployments";
    let reply = yard.scene.send(&yard.bob.access, line, &waits, b"").await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (503, &json!("STALE_READ"))
    );
    // Whether a version ran before is for the read model to say: while it is behind, nobody knows.
    let back = json!({ "id": "two", "to": "1" });
    let told = yard
        .send(&yard.ann, "rollBackDeployment", back.clone())
        .await;
    assert_eq!(outcome(&told), "UNAVAILABLE", "{told}");
    // Who does not insist is told how far the answer is.
    let told = yard.scene.ask(&yard.bob.access, all, json!({})).await;
    let known = json!({ "nodes": [{ "id": "one" }], "asOfPosition": before });
    assert_eq!(told["data"]["deployments"], known);

    consumers
        .resume(
            "default",
            "deployments",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await
        .unwrap();
    eventually("the second is shown", async || {
        let told = yard.scene.ask(&yard.bob.access, all, json!({})).await;
        told["data"]["deployments"]["asOfPosition"] == after
    })
    .await;
    let told = yard.send(&yard.ann, "rollBackDeployment", back).await;
    assert_eq!(outcome(&told), "ok", "{told}");
    assert_ne!(told["data"]["rollBackDeployment"]["receipt"], Value::Null);
}
