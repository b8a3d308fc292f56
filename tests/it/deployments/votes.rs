//! Votes at once, by way of two processes, and by people who may not any more.

use daybook::auth::Role;
use serde_json::{Value, json};

use super::scene::{Yard, send_to};
use crate::identity::scene::{SOUTH, outcome};

/// How often two race.
const ROUNDS: usize = 100;

/// D3: both are counted, and that makes it approved once.
#[tokio::test]
async fn d3_two_who_approve_at_once_are_counted_once_each() {
    let yard = Yard::open().await;
    let beside = yard.beside().await;
    for round in 0..ROUNDS {
        let id = format!("d{round}");
        yard.wanted(&id, "live", "1").await;
        let vote = json!({ "id": id, "revision": 1 });
        let (bob, cid) = tokio::join!(
            send_to(
                &yard.scene,
                &yard.bob.access,
                "approveDeployment",
                vote.clone()
            ),
            send_to(&beside, &yard.cid.access, "approveDeployment", vote),
        );
        assert_eq!((outcome(&bob), outcome(&cid)), ("ok", "ok"), "{bob} {cid}");
        let events = yard.events(&id).await;
        assert_eq!(
            events[2..],
            ["approval_granted", "approval_granted", "approval_satisfied"],
            "round {round}"
        );
    }
}

/// D4: who is second is told that it is over.
#[tokio::test]
async fn d4_a_yes_and_a_no_at_once_do_not_both_decide() {
    let yard = Yard::open().await;
    yard.set_policy(json!({ "rules": [yard.rule(1)] })).await;
    let beside = yard.beside().await;
    for round in 0..ROUNDS / 4 {
        let id = format!("d{round}");
        yard.wanted(&id, "live", "1").await;
        let vote = json!({ "id": id, "revision": 1 });
        let (yes, no) = tokio::join!(
            send_to(
                &yard.scene,
                &yard.bob.access,
                "approveDeployment",
                vote.clone()
            ),
            send_to(&beside, &yard.cid.access, "rejectDeployment", vote),
        );
        let mut told = [outcome(&yes), outcome(&no)];
        told.sort_unstable();
        assert_eq!(told, ["ILLEGAL_TRANSITION", "ok"], "{yes} {no}");
        let events = yard.events(&id).await;
        let ends = ["approval_satisfied", "approval_rejected"];
        let ends = events.iter().filter(|kind| ends.contains(&kind.as_str()));
        assert_eq!(ends.count(), 1, "{events:?}");
    }
}

/// D7: the guard has let bob in by what was known a moment ago; the log knows better.
#[tokio::test]
async fn d7_who_lost_the_role_meanwhile_may_not_vote() {
    let yard = Yard::with(daybook::ops::Clock::system(), |settings| {
        settings.auth.recheck = std::time::Duration::from_secs(3_600);
    })
    .await;
    yard.wanted("d", "live", "1").await;
    let vote = json!({ "id": "d", "revision": 1 });
    let look = "{ pendingApprovals { nodes { id } } }";
    for who in [&yard.bob, &yard.cid] {
        let told = yard.settled(who, look, json!({})).await;
        assert_eq!(told["pendingApprovals"]["nodes"], json!([{ "id": "d" }]));
    }
    // Told to another process, so that nobody here has heard of it.
    let beside = yard.beside().await;
    let dismissal =
        "mutation($i: UserRoleInput!) { revokeRole(input: $i) { userErrors { code } } }";
    let input = json!({ "userId": yard.bob.id, "role": "APPROVER" });
    beside.done(&yard.root.access, dismissal, input).await;
    assert_eq!(
        yard.refused(&yard.bob, "approveDeployment", vote.clone())
            .await,
        "FORBIDDEN"
    );
    let deactivation =
        "mutation($i: DeactivateUserInput!) { deactivateUser(input: $i) { userErrors { code } } }";
    beside
        .done(
            &yard.root.access,
            deactivation,
            json!({ "userId": yard.cid.id }),
        )
        .await;
    assert_eq!(
        yard.refused(&yard.cid, "approveDeployment", vote).await,
        "FORBIDDEN"
    );
}

/// An administrator has every role, and votes where a rule names them.
#[tokio::test]
async fn administrators_vote_where_they_are_named() {
    let yard = Yard::open().await;
    let rule = json!({ "group": "heads", "members": [yard.root.id], "required": 1 });
    yard.set_policy(json!({ "rules": [rule] })).await;
    yard.wanted("d", "live", "1").await;
    assert_eq!(yard.agreed(&yard.root, "d").await["status"], "APPROVED");
    let told = yard
        .done(&yard.root, "revokeApproval", json!({ "id": "d" }))
        .await;
    assert_eq!(
        (&told["status"], &told["approval"]["votes"]),
        (&json!("AWAITING_APPROVAL"), &json!([]))
    );
}

/// A key votes in its owner's name and only with its scope: it is no second person.
#[tokio::test]
async fn a_key_is_its_owner() {
    let yard = Yard::open().await;
    let (_, writes) = yard
        .scene
        .key(&yard.ann.access, &["deployments:write"])
        .await;
    let (_, votes) = yard
        .scene
        .key(&yard.ann.access, &["deployments:approve"])
        .await;
    let input = json!({ "id": "d", "project": "shop", "service": "web", "environment": "live",
                        "version": "1" });
    let told = send_to(&yard.scene, &writes, "requestDeployment", input).await;
    assert_eq!(outcome(&told), "ok", "{told}");
    let vote = json!({ "id": "d", "revision": 1 });
    for (key, expect) in [(&writes, "FORBIDDEN"), (&votes, "SELF_APPROVAL_FORBIDDEN")] {
        let told = send_to(&yard.scene, key, "approveDeployment", vote.clone()).await;
        assert_eq!(outcome(&told), expect, "{told}");
    }
    let (_, votes) = yard
        .scene
        .key(&yard.bob.access, &["deployments:approve"])
        .await;
    let told = send_to(&yard.scene, &votes, "approveDeployment", vote.clone()).await;
    assert_eq!(
        told["data"]["approveDeployment"]["it"]["approval"]["votes"][0]["userId"],
        yard.bob.id.as_str()
    );
    assert_eq!(
        yard.refused(&yard.bob, "approveDeployment", vote).await,
        "ALREADY_VOTED"
    );
}

/// Z1: a deployment of another tenant's is not there to be voted on.
#[tokio::test]
async fn nobody_votes_next_door() {
    let yard = Yard::open().await;
    yard.wanted("d", "live", "1").await;
    yard.scene.tenant(SOUTH).await;
    let sue = yard.scene.person(SOUTH, "sue", &[Role::Approver]).await;
    for (field, input) in [
        ("approveDeployment", json!({ "revision": 1 })),
        ("rejectDeployment", json!({ "revision": 1 })),
        ("revokeApproval", json!({})),
    ] {
        let ask = async |id: &str| -> Value {
            let mut input = input.clone();
            input["id"] = id.into();
            let mut told = yard.send(&sue, field, input).await;
            told["data"].take()
        };
        let (foreign, missing) = (ask("d").await, ask("x").await);
        assert_eq!(foreign, missing);
        assert_eq!(
            foreign[field]["userErrors"][0]["code"], "NOT_FOUND",
            "{field}"
        );
    }
}
