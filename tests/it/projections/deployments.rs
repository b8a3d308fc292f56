//! Deployments, environments and incidents as they stand: lists, timelines, who is waited for.

mod beside;

use std::collections::BTreeSet;

use domain::approval::{ApprovalPolicy, ApprovalRule};
use domain::deployment::{
    ApprovalGranted, ApprovalRequested, ApprovalRevoked, ApprovalSatisfied, ApprovalTimes,
    DeploymentAmended, DeploymentCancelled, DeploymentEvent, DeploymentReason, DeploymentRequested,
    DeploymentStarted, RequestedBy, Status, Tier,
};
use domain::incident::LinkKind;
use domain::{ExternalRef, Personal, Position};
use projections::deployments::{
    self, DeploymentFilter, ListCursor, Requested, deployment, pending_approvals, timeline,
};

use super::releases::{Story, january, plan, ran};
use super::scene::{after, snapshot};
use crate::support::TestDb;

fn requested(version: &str, by: RequestedBy, day: u32) -> DeploymentEvent {
    DeploymentEvent::DeploymentRequested(DeploymentRequested {
        plan: plan("cart", version),
        tier: Tier::Production,
        requested_by: by,
        at: january(day, "12:00"),
    })
}

fn user(id: &str) -> RequestedBy {
    RequestedBy::User(id.to_owned())
}

fn policy(members: &[&str]) -> ApprovalPolicy {
    ApprovalPolicy {
        rules: vec![ApprovalRule {
            group: "leads".to_owned(),
            members: members
                .iter()
                .map(|&id| id.to_owned())
                .collect::<BTreeSet<_>>(),
            required: 2,
        }],
        prevent_self_review: true,
        ..ApprovalPolicy::default()
    }
}

fn times(day: u32) -> ApprovalTimes {
    ApprovalTimes {
        wait_until: january(day, "12:00"),
        expires_at: january(day + 10, "12:00"),
    }
}

fn asked(members: &[&str], day: u32) -> DeploymentEvent {
    DeploymentEvent::ApprovalRequested(ApprovalRequested {
        policy: policy(members),
        at: january(day, "12:00"),
        times: times(day),
    })
}

fn granted(by: &str, revision: u32) -> DeploymentEvent {
    DeploymentEvent::ApprovalGranted(ApprovalGranted {
        by: by.to_owned(),
        revision,
        comment: None,
        at: january(3, "13:00"),
    })
}

fn amended(by: &str, revision: u32) -> DeploymentEvent {
    DeploymentEvent::DeploymentAmended(DeploymentAmended {
        revision,
        by: Some(by.to_owned()),
        version: format!("v1.{revision}"),
        description: Some("better".to_owned()),
        changes: None,
        reopened: Some(times(4)),
        at: january(4, "12:00"),
    })
}

/// Which deployments wait for this user on the 5th, by the first `events` of the story.
async fn pending(db: &TestDb, user_id: &str) -> Vec<String> {
    let mut snap = snapshot(db).await;
    let now = january(5, "00:00");
    let page = pending_approvals(&mut snap, user_id, now, None, 10).await;
    page.unwrap().items.into_iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn those_wait_for_a_user_who_may_vote_and_has_not() {
    let mut story = Story::default();
    let everybody = ["ann", "bob", "cyd"];
    story
        .of("by ann", requested("v1", user("ann"), 2))
        .of("by ann", asked(&everybody, 2))
        .of("by ann", granted("bob", 1));
    // Approved, and called off.
    story
        .of("approved", requested("v1", user("eve"), 2))
        .of("approved", asked(&everybody, 2))
        .of(
            "approved",
            DeploymentEvent::ApprovalSatisfied(ApprovalSatisfied {
                revision: 1,
                votes: vec![],
                at: january(2, "13:00"),
            }),
        )
        .of("off", requested("v1", user("eve"), 2))
        .of("off", asked(&everybody, 2))
        .of(
            "off",
            DeploymentEvent::DeploymentCancelled(DeploymentCancelled {
                at: january(2, "13:00"),
                reason: None,
            }),
        );
    let before = story.position();
    let db = after(story.0.clone(), 2).await;
    assert_eq!(before, 9);
    assert!(pending(&db, "ann").await.is_empty(), "it is her own");
    assert!(pending(&db, "bob").await.is_empty(), "he has voted");
    assert_eq!(pending(&db, "cyd").await, ["by ann"]);
    assert!(pending(&db, "eve").await.is_empty(), "no group has her");

    // Amended, it is another one: votes are void, and it is his as well.
    story.of("by ann", amended("cyd", 2));
    let db = after(story.0.clone(), 2).await;
    assert_eq!(pending(&db, "bob").await, ["by ann"]);
    assert!(pending(&db, "cyd").await.is_empty(), "she has amended it");
    story.of("by ann", granted("bob", 2));
    let revoked = ApprovalRevoked {
        by: "bob".to_owned(),
        revision: 2,
        reopened: false,
        at: january(4, "14:00"),
    };
    story.of("by ann", DeploymentEvent::ApprovalRevoked(revoked));
    let db = after(story.0, 2).await;
    assert_eq!(pending(&db, "bob").await, ["by ann"], "taken back");
    let mut snap = snapshot(&db).await;
    let late = january(14, "12:00");
    let page = pending_approvals(&mut snap, "bob", late, None, 10).await;
    assert_eq!(page.unwrap().items, [], "it has run out");
    let row = deployment(&mut snap, "by ann").await.unwrap().unwrap();
    assert_eq!((row.version.as_str(), row.revision), ("v1.2", 2));
    assert_eq!(row.status, Status::AwaitingApproval);
    assert_eq!(
        (row.asked_at, row.approved_at),
        (Some(january(4, "12:00")), None)
    );
}

#[tokio::test]
async fn a_deployment_is_told_whole() {
    let mut story = Story::default();
    let mut told = ran("cart", "v2", "2024-01-03T12:00:00Z");
    told.requested_at = Some(january(2, "12:00"));
    told.started_at = Some(january(3, "11:50"));
    told.requested_by = Some(RequestedBy::Person(Personal::Sealed("aabb".to_owned())));
    told.plan.previous_version = Some("v1".to_owned());
    told.plan.team = Some("buying".to_owned());
    told.plan.external = Some(ExternalRef {
        source: "ci".to_owned(),
        id: "77".to_owned(),
    });
    story.told("d", told);
    story.opened("i", "2024-01-03T13:00:00Z");
    story.linked("i", "d", LinkKind::Explicit);
    story.rolled_back("d", "2024-01-03T14:00:00Z");
    let db = after(story.0, 1).await;
    let mut snap = snapshot(&db).await;
    let row = deployment(&mut snap, "d").await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.tier),
        (Status::RolledBack, Tier::Production)
    );
    assert_eq!(row.reason, DeploymentReason::Planned);
    assert_eq!(row.known_at, january(2, "12:00"));
    assert_eq!(row.succeeded_at, Some(january(3, "12:00")));
    assert_eq!(row.rolled_back_at, Some(january(3, "14:00")));
    assert_eq!(row.rolled_back_to.as_deref(), Some("before"));
    // A link of an incident is no event of its stream.
    assert_eq!((row.stream_version, row.position), (4, Position(4)));
    let Some(Requested::Person(name)) = row.requested_by else {
        panic!("a person asked");
    };
    assert_eq!(name.text, "aabb");

    let steps = timeline(&mut snap, "d", None, 2).await.unwrap();
    assert!(steps.has_next);
    let rest = timeline(&mut snap, "d", Some(steps.items[1].position), 2).await;
    let rest = rest.unwrap();
    assert!(!rest.has_next);
    let kinds = steps.items.iter().chain(&rest.items);
    let kinds: Vec<_> = kinds.map(|step| step.kind.as_str()).collect();
    let expect = [
        "deployment.recorded",
        "incident.linked",
        "deployment.rolled_back",
    ];
    assert_eq!(kinds, expect);
    let detail = serde_json::json!({ "incident": "i", "link": "explicit" });
    assert_eq!(steps.items[1].detail, detail);
    assert_eq!(deployment(&mut snap, "e").await.unwrap(), None);
}

#[tokio::test]
async fn the_board_is_newest_first_and_its_conditions_add_up() {
    let mut story = Story::default();
    story.told("a", ran("cart", "v1", "2024-01-02T12:00:00Z"));
    story.told("b", ran("pay", "v1", "2024-01-03T12:00:00Z"));
    let mut staging = ran("cart", "v2", "2024-01-04T12:00:00Z");
    staging.tier = Tier::Staging;
    staging.plan.environment = "trial".to_owned();
    let external = ExternalRef {
        source: "ci".to_owned(),
        id: "1".to_owned(),
    };
    staging.plan.external = Some(external.clone());
    story.told("c", staging);
    story.of("d", requested("v3", user("ann"), 5));
    let started = DeploymentStarted {
        at: january(5, "13:00"),
        despite: vec![],
    };
    story.of("d", DeploymentEvent::DeploymentStarted(started));
    let db = after(story.0, 2).await;
    let mut snap = snapshot(&db).await;
    let any = DeploymentFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let cases: Vec<(DeploymentFilter, &[&str])> = vec![
        (any(), &["d", "c", "b", "a"]),
        (
            DeploymentFilter {
                service: text("cart"),
                ..any()
            },
            &["d", "c", "a"],
        ),
        (
            DeploymentFilter {
                project: text("blog"),
                ..any()
            },
            &[],
        ),
        (
            DeploymentFilter {
                environment: text("trial"),
                ..any()
            },
            &["c"],
        ),
        (
            DeploymentFilter {
                tier: Some(Tier::Production),
                ..any()
            },
            &["d", "b", "a"],
        ),
        (
            DeploymentFilter {
                version: text("v1"),
                ..any()
            },
            &["b", "a"],
        ),
        (
            DeploymentFilter {
                external: Some(external),
                ..any()
            },
            &["c"],
        ),
        (
            DeploymentFilter {
                status: Some(vec![Status::InProgress]),
                ..any()
            },
            &["d"],
        ),
        (
            DeploymentFilter {
                status: Some(vec![]),
                ..any()
            },
            &[],
        ),
        (
            DeploymentFilter {
                from: Some(january(3, "12:00")),
                to: Some(january(5, "12:00")),
                ..any()
            },
            &["c", "b"],
        ),
        (
            DeploymentFilter {
                service: text("cart"),
                status: Some(vec![Status::Succeeded, Status::Failed]),
                tier: Some(Tier::Production),
                ..any()
            },
            &["a"],
        ),
    ];
    for (filter, expect) in cases {
        let page = deployments::deployments(&mut snap, &filter, None, 10).await;
        let page = page.unwrap();
        let ids: Vec<_> = page.items.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(
            (ids.as_slice(), page.has_next),
            (expect, false),
            "{filter:?}"
        );
    }
    let page = deployments::deployments(&mut snap, &any(), None, 3)
        .await
        .unwrap();
    assert!(page.has_next);
    let last = &page.items[2];
    let after = ListCursor {
        at: last.known_at,
        id: last.id.clone(),
    };
    let page = deployments::deployments(&mut snap, &any(), Some(&after), 3).await;
    assert_eq!(page.unwrap().items[0].id, "a");
}
