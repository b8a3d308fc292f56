//! How long approvals are waited for.

use std::collections::BTreeSet;

use domain::Position;
use domain::approval::{ApprovalPolicy, ApprovalRule, CountedVote};
use domain::deployment::{
    ApprovalOverridden, ApprovalRejected, ApprovalRequested, ApprovalRevoked, ApprovalSatisfied,
    ApprovalTimes, DeploymentAmended, DeploymentEvent, DeploymentRequested, RequestedBy, Tier,
};
use domain::slo::{Objective, Sli, SloScope};
use projections::deployments::{StatisticsQuery, statistics};
use projections::slo::{SampleKind, SloQuery};

use super::{asked, behind, check_evidence, instant, known, measured, nine_of_ten, of, tuesday};
use crate::projections::releases::{Story, plan};
use crate::projections::scene::{after, snapshot};

fn times() -> ApprovalTimes {
    ApprovalTimes {
        wait_until: instant("00:00"),
        expires_at: instant("23:00"),
    }
}

/// Wanted, and approval asked for.
fn wanted(story: &mut Story, id: &str, clock: &str) {
    let requested = DeploymentRequested {
        plan: plan(id, "v1"),
        tier: Tier::Production,
        requested_by: RequestedBy::User("ann".to_owned()),
        at: instant(clock),
    };
    let policy = ApprovalPolicy {
        rules: vec![ApprovalRule {
            group: "leads".to_owned(),
            members: BTreeSet::from(["bob".to_owned()]),
            required: 1,
        }],
        ..ApprovalPolicy::default()
    };
    let asking = ApprovalRequested {
        policy,
        at: instant(clock),
        times: times(),
    };
    story
        .of(id, DeploymentEvent::DeploymentRequested(requested))
        .of(id, DeploymentEvent::ApprovalRequested(asking));
}

/// It is approved, by bob or by nobody.
fn approved(revision: u32, clock: &str, by: Option<&str>) -> DeploymentEvent {
    let votes = by.map(|by| CountedVote {
        by: by.to_owned(),
        group: "leads".to_owned(),
    });
    DeploymentEvent::ApprovalSatisfied(ApprovalSatisfied {
        revision,
        votes: votes.into_iter().collect(),
        at: instant(clock),
    })
}

fn amended(revision: u32, clock: &str) -> DeploymentEvent {
    DeploymentEvent::DeploymentAmended(DeploymentAmended {
        revision,
        by: Some("ann".to_owned()),
        version: format!("v{revision}"),
        description: None,
        changes: None,
        reopened: Some(times()),
        at: instant(clock),
    })
}

fn taken_back(revision: u32, clock: &str) -> DeploymentEvent {
    DeploymentEvent::ApprovalRevoked(ApprovalRevoked {
        by: "bob".to_owned(),
        revision,
        reopened: true,
        at: instant(clock),
    })
}

fn approval_wait() -> SloQuery {
    let objective = Objective {
        threshold_seconds: 600,
        ..nine_of_ten(Sli::ApprovalWait)
    };
    asked(objective, &tuesday("14:00"))
}

#[tokio::test]
async fn a_wait_ends_when_somebody_has_approved() {
    let mut story = Story::default();
    wanted(&mut story, "quick", "12:00");
    story.of("quick", approved(1, "12:10", Some("bob")));
    wanted(&mut story, "slow", "12:00");
    story.of("slow", approved(1, "12:11", Some("bob")));
    // Where nobody has to approve, nobody waits.
    wanted(&mut story, "free", "12:00");
    story.of("free", approved(1, "12:00", None));
    // Neither was ever approved, and nobody waits any more.
    wanted(&mut story, "broken glass", "12:00");
    let overridden = ApprovalOverridden {
        by: "root".to_owned(),
        revision: 1,
        reason: "fire".to_owned(),
        lifts: vec![],
        at: instant("12:01"),
    };
    story.of(
        "broken glass",
        DeploymentEvent::ApprovalOverridden(overridden),
    );
    wanted(&mut story, "rejected", "12:00");
    let rejected = ApprovalRejected {
        by: "bob".to_owned(),
        revision: 1,
        comment: None,
        at: instant("12:01"),
    };
    story.of("rejected", DeploymentEvent::ApprovalRejected(rejected));
    wanted(&mut story, "open", "12:00");
    let db = after(story.0, 4).await;
    let mut query = approval_wait();
    let found = measured(&db, &query).await;
    assert_eq!(
        (found.samples, found.negative, found.open),
        (of(2, 1), 0, 1)
    );
    check_evidence(&db, &query).await;
    let slow = &behind(&db, &query, SampleKind::Bad).await[0];
    assert_eq!(slow.seconds, Some(660.0));
    assert_eq!(slow.positions, [5, 6].map(Position));
    // Deployments in numbers call the same ones approved.
    let all = StatisticsQuery {
        project: None,
        from: None,
        to: None,
    };
    let counted = statistics(&mut snapshot(&db).await, &all).await.unwrap();
    assert_eq!(counted.approval_wait.deployments, 2);
    assert_eq!(counted.approval_wait.p50_s, Some(630.0));
    query.objective.scope = SloScope {
        service: Some("quick".to_owned()),
        ..SloScope::default()
    };
    assert_eq!(measured(&db, &query).await.samples, of(1, 1));
}

/// Each revision is waited for by itself, and an approval that is undone was none.
#[tokio::test]
async fn a_vote_taken_back_reopens_the_wait() {
    let mut story = Story::default();
    wanted(&mut story, "d", "12:00");
    story.of("d", approved(1, "12:05", Some("bob")));
    let approved_once = story.position();
    story.of("d", taken_back(1, "12:20"));
    let undone = story.position();
    story.of("d", approved(1, "12:30", Some("bob")));
    let approved_again = story.position();
    story.of("d", amended(2, "13:00"));
    let amended_since = story.position();
    story.of("d", approved(2, "13:02", Some("bob")));
    let db = after(story.0, 2).await;
    let at = async |position| {
        let query = known(&approval_wait(), position, &tuesday("14:00"));
        check_evidence(&db, &query).await;
        let found = measured(&db, &query).await;
        (found.samples, found.open)
    };
    assert_eq!(at(2).await, (of(0, 0), 1));
    assert_eq!(at(approved_once).await, (of(1, 1), 0));
    assert_eq!(at(undone).await, (of(0, 0), 1));
    assert_eq!(at(approved_again).await, (of(1, 0), 0));
    assert_eq!(at(amended_since).await, (of(1, 0), 1));
    let query = approval_wait();
    assert_eq!(measured(&db, &query).await.samples, of(2, 1));
    let good = &behind(&db, &query, SampleKind::Good).await[0];
    assert_eq!((good.began, good.seconds), (instant("13:00"), Some(120.0)));
}
