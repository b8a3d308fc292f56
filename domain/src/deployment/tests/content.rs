//! What a deployment carries: amended before it starts, known better afterwards.

use super::*;

fn amended(revision: u32, version: &str, reopened: Option<ApprovalTimes>) -> DeploymentEvent {
    DeploymentEvent::DeploymentAmended(DeploymentAmended {
        revision,
        by: None,
        version: version.to_owned(),
        description: None,
        changes: None,
        reopened,
        at: at(1),
    })
}

fn added(ids: &[&str]) -> DeploymentEvent {
    DeploymentEvent::ChangesAdded(ChangesAdded {
        changes: ids.iter().copied().map(change).collect(),
    })
}

/// D6: nobody approves what they have not looked at.
#[test]
fn amending_voids_votes_and_is_another_revision() {
    check::<Deployment>(
        &[requested()],
        amend("v539"),
        Ok(&[amended(2, "v539", None)]),
    );
    let anew = amended(2, "v539", Some(times(1)));
    for history in [awaiting(), approved(), and(awaiting(), &[overridden()])] {
        check::<Deployment>(&history, amend("v539"), Ok(std::slice::from_ref(&anew)));
        let after = and(history, std::slice::from_ref(&anew));
        let state = given::<Deployment>(&after);
        assert_eq!(
            (state.status, state.overridden),
            (Some(Status::AwaitingApproval), false)
        );
        assert!(state.approval.expect("asked for").votes.is_empty());
        check::<Deployment>(&after, approve("ada"), Err(Code::RevisionConflict));
        check::<Deployment>(&after, start(), Err(Code::IllegalTransition));
        let seen = DeploymentCommand::Approve(vote("ada", 2));
        let DeploymentEvent::ApprovalGranted(granted) = granted("ada") else {
            unreachable!("a vote is a vote");
        };
        let granted = ApprovalGranted {
            revision: 2,
            ..granted
        };
        let granted = DeploymentEvent::ApprovalGranted(granted);
        check::<Deployment>(&after, seen, Ok(std::slice::from_ref(&granted)));
        check::<Deployment>(
            &after,
            amend("v540"),
            Ok(&[amended(3, "v540", Some(times(1)))]),
        );
    }
}

/// Whoever changes what is deployed asks for it: otherwise two could approve each other's doing by
/// turns, each alone.
#[test]
fn who_amends_does_not_approve() {
    let by = |by: &str| {
        DeploymentCommand::Amend(Amendment {
            by: Some(by.to_owned()),
            version: Some("v539".to_owned()),
            description: None,
            changes: None,
            now: at(1),
        })
    };
    let events = given::<Deployment>(&awaiting())
        .decide(&by("ada"))
        .expect("before the start");
    let after = and(awaiting(), &events);
    let approve = |by: &str| DeploymentCommand::Approve(vote(by, 2));
    for who in ["ada", "linus"] {
        check::<Deployment>(&after, approve(who), Err(Code::SelfApprovalForbidden));
    }
    assert!(given::<Deployment>(&after).decide(&approve("joan")).is_ok());
    check::<Deployment>(&awaiting(), by(""), Err(Code::Validation));
}

#[test]
fn without_rules_an_amended_deployment_is_approved_again_at_once() {
    let free = ApprovalPolicy::default();
    let satisfied = |revision, seconds| {
        DeploymentEvent::ApprovalSatisfied(ApprovalSatisfied {
            revision,
            votes: Vec::new(),
            at: at(seconds),
        })
    };
    let history = [requested(), asked(free.clone()), satisfied(1, 0)];
    let reopened = ApprovalTimes::of(&free, at(1));
    let then = [amended(2, "v539", Some(reopened)), satisfied(2, 1)];
    check::<Deployment>(&history, amend("v539"), Ok(&then));
    let state = given::<Deployment>(&and(history.to_vec(), &then));
    assert_eq!(state.status, Some(Status::Approved));
}

#[test]
fn what_is_left_out_stays_and_no_difference_is_already_so() {
    let amendment = |description: Option<&str>, changes: Option<&[&str]>| {
        DeploymentCommand::Amend(Amendment {
            by: None,
            version: None,
            description: description.map(str::to_owned),
            changes: changes.map(|ids| ids.iter().copied().map(change).collect()),
            now: at(1),
        })
    };
    check::<Deployment>(&awaiting(), amend(" v538 "), Ok(&[]));
    check::<Deployment>(&awaiting(), amendment(None, None), Ok(&[]));
    check::<Deployment>(&awaiting(), amendment(None, Some(&[])), Ok(&[]));
    check::<Deployment>(
        &awaiting(),
        amendment(Some(""), None),
        Err(Code::Validation),
    );
    let said = DeploymentEvent::DeploymentAmended(DeploymentAmended {
        revision: 2,
        by: None,
        version: "v538".to_owned(),
        description: Some("Search".to_owned()),
        changes: Some(vec![change("c1"), change("c2")]),
        reopened: None,
        at: at(1),
    });
    let both = amendment(Some(" Search"), Some(&["c1", "c2", "c1"]));
    check::<Deployment>(&[requested()], both, Ok(std::slice::from_ref(&said)));
    let after = [requested(), said];
    check::<Deployment>(
        &after,
        amendment(Some("Search"), Some(&["c2", "c1"])),
        Ok(&[]),
    );
    assert_eq!(given::<Deployment>(&after).changes.len(), 2);
}

#[test]
fn a_change_is_known_once() {
    let mut with = plan();
    with.changes = vec![change("c1"), change("c2"), change("c1")];
    let with = with.checked().expect("a plan");
    assert_eq!(with.changes.len(), 2);
    let done = [recorded(Status::Succeeded)];
    check::<Deployment>(&done, add(&["c1", "c2", "c1"]), Ok(&[added(&["c1", "c2"])]));
    let known = [recorded(Status::Succeeded), added(&["c1", "c2"])];
    check::<Deployment>(&known, add(&["c2", "c3"]), Ok(&[added(&["c3"])]));
    check::<Deployment>(&known, add(&["c2", "c1"]), Ok(&[]));
    check::<Deployment>(&known, add(&[]), Ok(&[]));
}

/// Once people look at it, more changes are another deployment.
#[test]
fn changes_do_not_slip_in_behind_votes() {
    for history in [awaiting(), approved()] {
        let refusal = refusal::<Deployment>(&history, &add(&["c1"]));
        assert_eq!(refusal.code, Code::IllegalTransition);
        assert_eq!(refusal.details["to"], "awaiting_approval");
    }
    for status in [
        Status::Requested,
        Status::Approved,
        Status::InProgress,
        Status::RolledBack,
    ] {
        check::<Deployment>(&[recorded(status)], add(&["c1"]), Ok(&[added(&["c1"])]));
    }
    for status in [Status::Rejected, Status::Expired, Status::Cancelled] {
        check::<Deployment>(
            &[recorded(status)],
            add(&["c1"]),
            Err(Code::IllegalTransition),
        );
    }
}

#[test]
fn changes_are_bounded_in_a_command_and_in_a_deployment() {
    let many = |from: usize, count: usize| -> Vec<Change> {
        (from..from + count)
            .map(|n| change(&format!("c{n}")))
            .collect()
    };
    let add = |changes| DeploymentCommand::AddChanges { changes };
    let mut state = given::<Deployment>(&[recorded(Status::Succeeded)]);
    let refusal = state
        .decide(&add(many(0, 1_001)))
        .expect_err("too many at once");
    assert_eq!(
        (refusal.code, &refusal.details["limit"]),
        (Code::TooLarge, &1_000.into())
    );
    for batch in 0..10 {
        let events = state
            .decide(&add(many(batch * 1_000, 1_000)))
            .expect("within bounds");
        events.iter().for_each(|event| state.apply(event));
    }
    assert_eq!(state.changes.len(), DEPLOYMENT_CHANGES_MAX);
    assert_eq!(
        state.decide(&add(many(9_500, 500))),
        Ok(vec![]),
        "known ones are"
    );
    let refusal = state
        .decide(&add(many(9_999, 2)))
        .expect_err("one too many");
    assert_eq!(
        (refusal.code, &refusal.details["actual"]),
        (Code::TooLarge, &10_001.into())
    );
}

#[test]
fn a_hotfix_is_marked_once_and_unmarked() {
    let marked = DeploymentEvent::HotfixMarked(HotfixMarked {
        fixed_by: Some("d-2".to_owned()),
        reason: Some("Search is empty".to_owned()),
    });
    let unmarked = DeploymentEvent::HotfixUnmarked(HotfixUnmarked { reason: None });
    let command = DeploymentCommand::MarkHotfix {
        fixed_by: Some("d-2".to_owned()),
        reason: Some("Search is empty".to_owned()),
    };
    let done = [recorded(Status::Succeeded)];
    check::<Deployment>(&done, command, Ok(std::slice::from_ref(&marked)));
    let fixed = [recorded(Status::Succeeded), marked];
    check::<Deployment>(&fixed, mark(), Ok(&[]));
    check::<Deployment>(&fixed, unmark(), Ok(std::slice::from_ref(&unmarked)));
    let again = and(fixed.to_vec(), &[unmarked]);
    check::<Deployment>(&again, unmark(), Ok(&[]));
    let bare = DeploymentEvent::HotfixMarked(HotfixMarked {
        fixed_by: None,
        reason: None,
    });
    check::<Deployment>(&again, mark(), Ok(&[bare]));
}
