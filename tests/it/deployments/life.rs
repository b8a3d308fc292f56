//! From wanting a deployment to its end, and what is told of it on the way.

use serde_json::{Value, json};

use super::scene::Yard;
use crate::support::eventually;

#[tokio::test]
async fn a_deployment_is_approved_by_two_and_carried_out() {
    let yard = Yard::open().await;
    let wanted = yard.wanted("d", "live", "7").await;
    assert_eq!(wanted["status"], "AWAITING_APPROVAL");
    assert_eq!(wanted["approval"]["missing"], 2);
    let once = yard.agreed(&yard.bob, "d").await;
    assert_eq!(
        (&once["status"], &once["approval"]["missing"]),
        (&json!("AWAITING_APPROVAL"), &json!(1))
    );
    let twice = yard.agreed(&yard.cid, "d").await;
    assert_eq!(twice["status"], "APPROVED");
    let groups: Vec<&Value> = twice["approval"]["votes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vote| &vote["group"])
        .collect();
    assert_eq!(groups, ["owners", "owners"]);
    for (field, status) in [
        ("startDeployment", "IN_PROGRESS"),
        ("succeedDeployment", "SUCCEEDED"),
    ] {
        let told = yard.done(&yard.ann, field, json!({ "id": "d" })).await;
        assert_eq!(told["status"], status);
    }
    assert_eq!(
        yard.events("d").await,
        [
            "requested",
            "approval_requested",
            "approval_granted",
            "approval_granted",
            "approval_satisfied",
            "started",
            "succeeded"
        ]
    );
}

#[tokio::test]
async fn where_there_is_no_rule_one_call_is_enough() {
    let yard = Yard::open().await;
    assert_eq!(yard.wanted("d", "test", "7").await["status"], "APPROVED");
    // Not asked in the same go: more is told first.
    let input = json!({ "id": "later", "project": "shop", "service": "web", "environment": "test",
                        "version": "8", "askApproval": false });
    let told = yard.done(&yard.ann, "requestDeployment", input).await;
    assert_eq!(told["status"], "REQUESTED");
    let change = json!({ "id": "c1", "committedAt": "2026-01-01T00:00:00Z" });
    let more = json!({ "id": "later", "changes": [change, change] });
    yard.done(&yard.ann, "addDeploymentChanges", more).await;
    let told = yard
        .done(&yard.ann, "requestApproval", json!({ "id": "later" }))
        .await;
    assert_eq!(told["status"], "APPROVED");
    let carried = r#"{ deployment(id: "later") { changes { nodes { id } } } }"#;
    let carried = yard.settled(&yard.ann, carried, json!({})).await;
    assert_eq!(
        carried["deployment"]["changes"]["nodes"],
        json!([{ "id": "c1" }])
    );
}

/// A command that was cut off after its first half is taken up where it was.
#[tokio::test]
async fn a_command_sent_again_is_the_same_one() {
    let yard = Yard::open().await;
    let input = json!({ "project": "shop", "service": "web", "environment": "live", "version": "7",
                        "commandId": "once" });
    let first = yard
        .send(&yard.ann, "requestDeployment", input.clone())
        .await;
    let again = yard
        .send(&yard.ann, "requestDeployment", input.clone())
        .await;
    let (first, again) = (
        &first["data"]["requestDeployment"],
        &again["data"]["requestDeployment"],
    );
    assert_eq!(first["it"]["id"], again["it"]["id"]);
    assert_eq!(
        (&first["receipt"]["replayed"], &again["receipt"]["replayed"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(first["receipt"]["position"], again["receipt"]["position"]);
    let mut other = input;
    other["version"] = "8".into();
    assert_eq!(
        yard.refused(&yard.ann, "requestDeployment", other).await,
        "IDEMPOTENCY_KEY_REUSED"
    );
}

/// Deliveries of one fact meet in one stream, however many come at once.
#[tokio::test]
async fn what_is_told_of_twice_is_one_deployment() {
    let yard = Yard::open().await;
    let told = |service: &str| {
        json!({ "project": "shop", "service": service, "environment": "live", "version": "7",
                "external": { "source": "ci", "id": "42" }, "status": "SUCCEEDED",
                "finishedAt": "2026-01-01T12:00:00Z" })
    };
    let deliver = |service: &'static str| yard.done(&yard.ann, "recordDeployment", told(service));
    let (a, b, c, other) = tokio::join!(
        deliver("web"),
        deliver("web"),
        deliver("web"),
        deliver("api")
    );
    assert_eq!((&a["id"], &b["id"]), (&b["id"], &c["id"]));
    assert_ne!(a["id"], other["id"]);
    assert_eq!(yard.events(a["id"].as_str().unwrap()).await, ["recorded"]);
    // What the environment is for is said by somebody, or it is not taken.
    let mut unknown = told("web");
    unknown["environment"] = "nowhere".into();
    assert_eq!(
        yard.refused(&yard.ann, "recordDeployment", unknown.clone())
            .await,
        "ENVIRONMENT_NOT_FOUND"
    );
    unknown["tier"] = "OTHER".into();
    assert_eq!(
        yard.done(&yard.ann, "recordDeployment", unknown).await["status"],
        "SUCCEEDED"
    );
}

/// What has run out is given up by itself, with its page behind others.
#[tokio::test]
async fn approvals_run_out_by_themselves() {
    let (clock, hand) = crate::identity::scene::clock();
    let yard = Yard::with(clock, |settings| {
        settings.deployments.expiry_interval = std::time::Duration::from_millis(100);
        settings.deployments.expiry_batch = 1;
    })
    .await;
    let policy = json!({ "rules": [yard.rule(1)], "expiryDays": 1 });
    yard.set_policy(policy).await;
    for id in ["a", "b", "c"] {
        yard.wanted(id, "live", "7").await;
    }
    yard.agreed(&yard.bob, "b").await;
    yard.wanted("d", "test", "7").await;
    hand.advance(chrono::TimeDelta::hours(25));
    for id in ["a", "b", "c"] {
        eventually("it has run out", async || {
            yard.scene
                .app
                .app()
                .door
                .load::<domain::deployment::Deployment>(&"default".into(), id)
                .await
                .unwrap()
                .0
                .status
                == Some(domain::deployment::Status::Expired)
        })
        .await;
    }
    let (d, _) = yard
        .scene
        .app
        .app()
        .door
        .load::<domain::deployment::Deployment>(&"default".into(), "d")
        .await
        .unwrap();
    assert_eq!(
        d.status,
        Some(domain::deployment::Status::Approved),
        "it is good for 30 days"
    );
}
