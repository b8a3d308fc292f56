//! D1 to D12: one table of what is not done, and why not.

use serde_json::{Value, json};

use super::scene::Yard;

/// Who sends what, and what they are told. Each finds the deployments as `there_is` leaves them: nothing
/// of these is kept.
const REFUSED: &[(&str, &str, &str, &str, &str)] = &[
    (
        "D1",
        "ann",
        "approveDeployment",
        r#"{ "id": "open", "revision": 1 }"#,
        "SELF_APPROVAL_FORBIDDEN",
    ),
    (
        "D2",
        "bob",
        "approveDeployment",
        r#"{ "id": "open", "revision": 1 }"#,
        "ALREADY_VOTED",
    ),
    (
        "D2",
        "bob",
        "rejectDeployment",
        r#"{ "id": "open", "revision": 1 }"#,
        "ALREADY_VOTED",
    ),
    (
        "D4",
        "cid",
        "approveDeployment",
        r#"{ "id": "rejected", "revision": 1 }"#,
        "ILLEGAL_TRANSITION",
    ),
    (
        "D5",
        "ann",
        "startDeployment",
        r#"{ "id": "open" }"#,
        "ILLEGAL_TRANSITION",
    ),
    (
        "D5",
        "ann",
        "succeedDeployment",
        r#"{ "id": "open" }"#,
        "ILLEGAL_TRANSITION",
    ),
    (
        "D5",
        "cid",
        "approveDeployment",
        r#"{ "id": "running", "revision": 1 }"#,
        "APPROVAL_CLOSED",
    ),
    (
        "D5",
        "cid",
        "approveDeployment",
        r#"{ "id": "ran", "revision": 1 }"#,
        "ILLEGAL_TRANSITION",
    ),
    (
        "D5",
        "ann",
        "rollBackDeployment",
        r#"{ "id": "back", "to": "1" }"#,
        "ILLEGAL_TRANSITION",
    ),
    (
        "D5",
        "ann",
        "rollBackDeployment",
        r#"{ "id": "open", "to": "1" }"#,
        "ILLEGAL_TRANSITION",
    ),
    (
        "D5",
        "ann",
        "amendDeployment",
        r#"{ "id": "running", "version": "9" }"#,
        "ILLEGAL_TRANSITION",
    ),
    (
        "D5",
        "ann",
        "cancelDeployment",
        r#"{ "id": "rejected" }"#,
        "ILLEGAL_TRANSITION",
    ),
    (
        "D6",
        "cid",
        "approveDeployment",
        r#"{ "id": "open", "revision": 2 }"#,
        "REVISION_CONFLICT",
    ),
    (
        "D6",
        "cid",
        "approveDeployment",
        r#"{ "id": "amended", "revision": 1 }"#,
        "REVISION_CONFLICT",
    ),
    (
        "D6",
        "cid",
        "approveDeployment",
        r#"{ "id": "open", "revision": -1 }"#,
        "OUT_OF_RANGE",
    ),
    (
        "D6",
        "cid",
        "approveDeployment",
        r#"{ "id": "open", "revision": 1, "expectedVersion": 1 }"#,
        "VERSION_CONFLICT",
    ),
    (
        "D12",
        "cid",
        "approveDeployment",
        r#"{ "id": "open", "revision": 1, "commandId": "" }"#,
        "VALIDATION",
    ),
    (
        "D12",
        "cid",
        "approveDeployment",
        r#"{ "id": "open", "revision": 1, "commandId": "a\u0007" }"#,
        "BAD_TEXT",
    ),
    // Who may not vote at all.
    (
        "-",
        "root",
        "approveDeployment",
        r#"{ "id": "open", "revision": 1 }"#,
        "NOT_AN_APPROVER",
    ),
    (
        "-",
        "cid",
        "revokeApproval",
        r#"{ "id": "open" }"#,
        "NOT_VOTED",
    ),
    (
        "-",
        "bob",
        "overrideApproval",
        r#"{ "id": "open", "reason": "r" }"#,
        "FORBIDDEN",
    ),
    (
        "-",
        "ann",
        "setApprovalPolicy",
        r#"{ "project": "shop", "environment": "live", "rules": [] }"#,
        "FORBIDDEN",
    ),
    // What is not there, and what cannot be.
    (
        "-",
        "ann",
        "requestDeployment",
        r#"{ "project": "nope", "service": "web", "environment": "live", "version": "1" }"#,
        "ENVIRONMENT_NOT_FOUND",
    ),
    (
        "-",
        "ann",
        "requestDeployment",
        r#"{ "id": "open", "project": "shop", "service": "web", "environment": "live", "version": "1" }"#,
        "ALREADY_EXISTS",
    ),
    (
        "-",
        "ann",
        "requestDeployment",
        r#"{ "project": "", "service": "web", "environment": "live", "version": "1" }"#,
        "VALIDATION",
    ),
    (
        "-",
        "ann",
        "startDeployment",
        r#"{ "id": "nobody" }"#,
        "NOT_FOUND",
    ),
    (
        "-",
        "bob",
        "approveDeployment",
        r#"{ "id": "nobody", "revision": 1 }"#,
        "NOT_FOUND",
    ),
    (
        "-",
        "ann",
        "succeedDeployment",
        r#"{ "id": "running", "at": "2020-01-01T00:00:00Z" }"#,
        "TIME_TRAVEL",
    ),
    (
        "-",
        "ann",
        "failDeployment",
        r#"{ "id": "running", "at": "2199-01-01T00:00:00Z" }"#,
        "TIME_IN_FUTURE",
    ),
    (
        "-",
        "ann",
        "rollBackDeployment",
        r#"{ "id": "ran", "to": "never" }"#,
        "VERSION_NEVER_DEPLOYED",
    ),
    (
        "-",
        "ann",
        "rollBackDeployment",
        r#"{ "id": "ran", "to": "" }"#,
        "VALIDATION",
    ),
    (
        "-",
        "root",
        "setApprovalPolicy",
        r#"{ "project": "shop", "environment": "live", "rules": [{ "group": "g", "members": ["x"], "required": 2 }] }"#,
        "QUORUM_IMPOSSIBLE",
    ),
    (
        "-",
        "root",
        "setApprovalPolicy",
        r#"{ "project": "shop", "environment": "live", "rules": [{ "group": "g", "members": ["x"], "required": -1 }] }"#,
        "OUT_OF_RANGE",
    ),
    (
        "-",
        "root",
        "setApprovalPolicy",
        r#"{ "project": "shop", "environment": "live", "rules": [], "waitMinutes": 43201 }"#,
        "OUT_OF_RANGE",
    ),
    (
        "-",
        "ann",
        "freezeEnvironment",
        r#"{ "project": "shop", "environment": "nope", "freezeId": "f", "reason": "r" }"#,
        "NOT_FOUND",
    ),
    (
        "-",
        "ann",
        "unfreezeEnvironment",
        r#"{ "project": "shop", "environment": "live", "freezeId": "f" }"#,
        "NOT_FOUND",
    ),
];

/// Deployments at all places of their life.
async fn there_is(yard: &Yard) {
    yard.ran("first", "1", "2026-01-01T12:00:00Z").await;
    yard.ran("ran", "2", "2026-01-02T12:00:00Z").await;
    yard.ran("back", "3", "2026-01-03T12:00:00Z").await;
    let back = json!({ "id": "back", "to": "1" });
    yard.done(&yard.ann, "rollBackDeployment", back).await;
    for id in ["open", "rejected", "amended", "running"] {
        yard.wanted(id, "live", "4").await;
        yard.agreed(&yard.bob, id).await;
    }
    let no = json!({ "id": "rejected", "revision": 1, "comment": "not on a Friday" });
    yard.done(&yard.cid, "rejectDeployment", no).await;
    let amendment = json!({ "id": "amended", "version": "5" });
    yard.done(&yard.ann, "amendDeployment", amendment).await;
    yard.agreed(&yard.cid, "running").await;
    yard.done(&yard.ann, "startDeployment", json!({ "id": "running" }))
        .await;
}

#[tokio::test]
async fn what_is_not_done_is_told_why() {
    let yard = Yard::open().await;
    there_is(&yard).await;
    for (promise, who, field, input, expect) in REFUSED {
        let person = match *who {
            "ann" => &yard.ann,
            "bob" => &yard.bob,
            "cid" => &yard.cid,
            _ => &yard.root,
        };
        let input: Value = serde_json::from_str(input).unwrap();
        let told = yard.refused(person, field, input.clone()).await;
        assert_eq!(told, *expect, "{promise}: {field} {input} by {who}");
    }
}

/// Both ends of a step that cannot be taken are told.
#[tokio::test]
async fn an_illegal_step_tells_both_ends() {
    let yard = Yard::open().await;
    yard.wanted("d", "live", "1").await;
    let told = yard
        .send(&yard.ann, "startDeployment", json!({ "id": "d" }))
        .await;
    let error = &told["data"]["startDeployment"]["userErrors"][0];
    assert_eq!(
        error["details"],
        json!({ "from": "awaiting_approval", "to": "in_progress" })
    );
}

/// D8, D9, D11: a vote sent again is one vote; the key is the caller's own.
#[tokio::test]
async fn a_vote_sent_again_is_one_vote() {
    let yard = Yard::open().await;
    yard.wanted("d", "live", "1").await;
    let vote = json!({ "id": "d", "revision": 1, "commandId": "k" });
    for replayed in [false, true] {
        let told = yard
            .send(&yard.bob, "approveDeployment", vote.clone())
            .await;
        let told = &told["data"]["approveDeployment"];
        assert_eq!(told["receipt"]["replayed"], replayed, "{told}");
    }
    let other = json!({ "id": "d", "revision": 1, "commandId": "k", "comment": "other" });
    assert_eq!(
        yard.refused(&yard.bob, "approveDeployment", other).await,
        "IDEMPOTENCY_KEY_REUSED"
    );
    let told = yard.done(&yard.cid, "approveDeployment", vote).await;
    assert_eq!(told["status"], "APPROVED");
}

#[tokio::test]
async fn nothing_starts_while_the_environment_is_frozen() {
    let yard = Yard::open().await;
    yard.wanted("d", "test", "1").await;
    let place = json!({ "project": "shop", "environment": "test", "freezeId": "f" });
    let mut freeze = place.clone();
    freeze["reason"] = "stocktaking".into();
    yard.done(&yard.ann, "freezeEnvironment", freeze).await;
    let told = yard
        .send(&yard.ann, "startDeployment", json!({ "id": "d" }))
        .await;
    let error = &told["data"]["startDeployment"]["userErrors"][0];
    assert_eq!(
        (&error["code"], &error["details"]["reason"]),
        (&json!("ENVIRONMENT_FROZEN"), &json!("stocktaking"))
    );
    yard.done(&yard.ann, "unfreezeEnvironment", place).await;
    let told = yard
        .done(&yard.ann, "startDeployment", json!({ "id": "d" }))
        .await;
    assert_eq!(told["status"], "IN_PROGRESS");
}

#[tokio::test]
async fn breaking_the_glass_lifts_votes_timer_and_freeze() {
    let yard = Yard::open().await;
    yard.set_policy(json!({ "rules": [yard.rule(2)], "waitMinutes": 60 }))
        .await;
    yard.wanted("d", "live", "1").await;
    let freeze =
        json!({ "project": "shop", "environment": "live", "freezeId": "f", "reason": "r" });
    yard.done(&yard.ann, "freezeEnvironment", freeze).await;
    let glass = json!({ "id": "d", "reason": "all is on fire" });
    let told = yard.done(&yard.root, "overrideApproval", glass).await;
    assert_eq!(
        (&told["status"], &told["approval"]["overridden"]),
        (&json!("APPROVED"), &json!(true))
    );
    yard.done(&yard.ann, "startDeployment", json!({ "id": "d" }))
        .await;
    let query = r#"{ deployment(id: "d") { timeline { nodes { type actor detail } } } }"#;
    let told = yard.settled(&yard.bob, query, json!({})).await;
    let steps = told["deployment"]["timeline"]["nodes"]
        .as_array()
        .unwrap()
        .clone();
    let step = |kind: &str| {
        steps
            .iter()
            .find(|step| step["type"] == kind)
            .unwrap()
            .clone()
    };
    let broken = step("deployment.approval_overridden");
    assert_eq!(broken["actor"], format!("user:{}", yard.root.id));
    assert_eq!(broken["detail"]["reason"], "all is on fire");
    let despite = &step("deployment.started")["detail"]["despite"];
    assert_eq!(despite, &json!(["approval", "wait_timer", "freeze"]));
}
