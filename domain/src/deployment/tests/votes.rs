//! Who may vote, when votes are enough, and what breaks the glass.

use super::*;

#[test]
fn the_vote_that_is_enough_is_followed_by_saying_so_once() {
    let start = [requested(), asked(policy())];
    check::<Deployment>(&start, approve("ada"), Ok(&[granted("ada")]));
    let both = [granted("ada"), satisfied_by(&["ada", "grace"])];
    check::<Deployment>(&awaiting(), approve("ada"), Ok(&both));
    check::<Deployment>(&approved(), approve("joan"), Ok(&[granted("joan")]));
    let said = DeploymentCommand::Approve(Vote {
        comment: Some(" fine ".to_owned()),
        ..vote("ada", 1)
    });
    let DeploymentEvent::ApprovalGranted(mut with_comment) = granted("ada") else {
        unreachable!("a vote is a vote");
    };
    with_comment.comment = Some("fine".to_owned());
    let then = [DeploymentEvent::ApprovalGranted(with_comment)];
    check::<Deployment>(&start, said, Ok(&then));
}

/// D1, D2, D6, D7
#[test]
fn who_may_not_vote() {
    let waits = awaiting();
    let refused = |command: &DeploymentCommand| refusal::<Deployment>(&waits, command).code;
    assert_eq!(refused(&approve("linus")), Code::SelfApprovalForbidden);
    assert_eq!(refused(&approve("grace")), Code::AlreadyVoted);
    assert_eq!(refused(&reject("grace")), Code::AlreadyVoted);
    assert_eq!(refused(&approve("mallory")), Code::NotAnApprover);
    assert_eq!(refused(&reject("mallory")), Code::NotAnApprover);
    let with = |standing, may_vote| Vote {
        voter: Voter {
            user_id: "ada".to_owned(),
            standing,
            may_vote,
        },
        ..vote("ada", 1)
    };
    for (standing, may_vote, code) in [
        (UserStanding::Active, false, Code::NotAnApprover),
        (UserStanding::Missing, true, Code::UserNotFound),
        (UserStanding::Deactivated, true, Code::UserDeactivated),
        (UserStanding::Erased, true, Code::UserErased),
    ] {
        let vote = with(standing, may_vote);
        assert_eq!(refused(&DeploymentCommand::Approve(vote.clone())), code);
        assert_eq!(refused(&DeploymentCommand::Reject(vote)), code);
    }
    let stale = refusal::<Deployment>(&waits, &DeploymentCommand::Approve(vote("ada", 2)));
    assert_eq!(stale.code, Code::RevisionConflict);
    assert_eq!(
        (&stale.path[0][..], &stale.details["revision"]),
        ("revision", &1.into())
    );
    let mut own = policy();
    own.prevent_self_review = false;
    let relaxed = [requested(), asked(own)];
    check::<Deployment>(&relaxed, approve("linus"), Ok(&[granted("linus")]));
}

/// Whoever asks may say no to what they asked for; only their yes does not count.
#[test]
fn one_no_is_enough() {
    let rejected = |by: &str| {
        DeploymentEvent::ApprovalRejected(ApprovalRejected {
            by: by.to_owned(),
            revision: 1,
            comment: None,
            at: at(1),
        })
    };
    for by in ["ada", "linus"] {
        check::<Deployment>(&awaiting(), reject(by), Ok(&[rejected(by)]));
    }
    // D4: approve and reject at once: whoever comes second is told.
    let no = and(awaiting(), &[rejected("joan")]);
    check::<Deployment>(&no, approve("ada"), Err(Code::IllegalTransition));
    check::<Deployment>(&approved(), reject("joan"), Err(Code::IllegalTransition));
}

#[test]
fn a_vote_is_taken_back_until_it_starts() {
    let back = |by: &str, reopened| {
        DeploymentEvent::ApprovalRevoked(ApprovalRevoked {
            by: by.to_owned(),
            revision: 1,
            reopened,
            at: at(1),
        })
    };
    check::<Deployment>(&awaiting(), revoke("grace"), Ok(&[back("grace", false)]));
    check::<Deployment>(&awaiting(), revoke("ada"), Err(Code::NotVoted));
    check::<Deployment>(&approved(), revoke("grace"), Ok(&[back("grace", true)]));
    let three = and(approved(), &[granted("joan")]);
    check::<Deployment>(&three, revoke("grace"), Ok(&[back("grace", false)]));
    let lifted = and(approved(), &[overridden()]);
    check::<Deployment>(&lifted, revoke("grace"), Ok(&[back("grace", false)]));

    let reopened = and(approved(), &[back("grace", true)]);
    check::<Deployment>(&reopened, start(), Err(Code::IllegalTransition));
    let anew = [granted("grace"), satisfied_by(&["ada", "grace"])];
    check::<Deployment>(&reopened, approve("grace"), Ok(&anew));
    let under_way = and(approved(), &[started(700)]);
    check::<Deployment>(&under_way, revoke("grace"), Err(Code::ApprovalClosed));
}

#[test]
fn an_approval_is_good_for_its_time() {
    let last = 2 * DAY;
    check::<Deployment>(&approved(), expire(last - 1), Ok(&[]));
    for history in [awaiting(), approved()] {
        let expired = DeploymentEvent::ApprovalExpired(ApprovalExpired { at: at(last) });
        // It is told when it ran out, whenever that is noticed.
        check::<Deployment>(&history, expire(last + 77), Ok(&[expired]));
        let late = |vote: Vote| Vote {
            now: at(last),
            ..vote
        };
        for command in [
            DeploymentCommand::Approve(late(vote("joan", 1))),
            DeploymentCommand::RevokeApproval {
                by: "grace".to_owned(),
                now: at(last),
            },
            DeploymentCommand::Override {
                by: "ada".to_owned(),
                reason: "late".to_owned(),
                now: at(last),
            },
            DeploymentCommand::Amend(Amendment {
                by: None,
                version: Some("v539".to_owned()),
                description: None,
                changes: None,
                now: at(last),
            }),
        ] {
            let refusal = refusal::<Deployment>(&history, &command);
            assert_eq!(refusal.code, Code::ApprovalExpired, "{command:?}");
            assert_eq!(refusal.details["expiredAt"], "2026-09-23T14:13:20Z");
        }
    }
    let no = DeploymentCommand::Reject(Vote {
        now: at(last),
        ..vote("joan", 1)
    });
    check::<Deployment>(&awaiting(), no, Err(Code::ApprovalExpired));
    check::<Deployment>(
        &approved(),
        start_at(None, last),
        Err(Code::ApprovalExpired),
    );
    check::<Deployment>(
        &approved(),
        start_at(None, last - 1),
        Ok(&[started(last - 1)]),
    );
}

#[test]
fn breaking_the_glass_says_what_it_lifts_and_is_done_once() {
    check::<Deployment>(&awaiting(), break_glass(), Ok(&[overridden()]));
    check::<Deployment>(&approved(), break_glass(), Ok(&[overridden()]));
    let lifted = and(awaiting(), &[overridden()]);
    check::<Deployment>(&lifted, break_glass(), Ok(&[]));
    // Votes still count for the record, but approve nothing a second time.
    check::<Deployment>(&lifted, approve("ada"), Ok(&[granted("ada")]));
    let silent = DeploymentCommand::Override {
        by: "ada".to_owned(),
        reason: " ".to_owned(),
        now: at(1),
    };
    check::<Deployment>(&awaiting(), silent, Err(Code::Validation));
}

#[test]
fn approval_is_asked_for_with_a_policy_that_can_be_met() {
    let then = [asked(policy())];
    check::<Deployment>(&[requested()], ask(), Ok(&then));
    let mut impossible = policy();
    impossible.rules[0].required = 5;
    let command = DeploymentCommand::RequestApproval {
        policy: impossible,
        now: at(0),
    };
    check::<Deployment>(&[requested()], command, Err(Code::QuorumImpossible));
    let state = given::<Deployment>(&then);
    let approval = state.approval.expect("asked for");
    assert_eq!((approval.policy, approval.times), (policy(), times(0)));
}

/// D19: whoever decides next may have a clock that is behind.
#[test]
fn no_wait_is_of_negative_length() {
    let back = |command| {
        let events = given::<Deployment>(&awaiting())
            .decide(&command)
            .expect("in time");
        match &events[0] {
            DeploymentEvent::ApprovalGranted(e) => e.at,
            DeploymentEvent::ApprovalRejected(e) => e.at,
            DeploymentEvent::ApprovalRevoked(e) => e.at,
            DeploymentEvent::ApprovalOverridden(e) => e.at,
            DeploymentEvent::DeploymentAmended(e) => e.at,
            other => panic!("{other:?}"),
        }
    };
    let early = |by: &str| Vote {
        now: at(-60),
        ..vote(by, 1)
    };
    for command in [
        DeploymentCommand::Approve(early("ada")),
        DeploymentCommand::Reject(early("ada")),
        DeploymentCommand::RevokeApproval {
            by: "grace".to_owned(),
            now: at(-60),
        },
        DeploymentCommand::Override {
            by: "ada".to_owned(),
            reason: "early".to_owned(),
            now: at(-60),
        },
        DeploymentCommand::Amend(Amendment {
            by: None,
            version: Some("v539".to_owned()),
            description: None,
            changes: None,
            now: at(-60),
        }),
    ] {
        assert_eq!(back(command), at(0));
    }
    let command = DeploymentCommand::RequestApproval {
        policy: ApprovalPolicy::default(),
        now: at(-60),
    };
    let events = given::<Deployment>(&[requested()])
        .decide(&command)
        .expect("no rule");
    let [
        DeploymentEvent::ApprovalRequested(asked),
        DeploymentEvent::ApprovalSatisfied(enough),
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((asked.at, enough.at), (at(0), at(0)));
}

#[test]
fn what_we_see_ourselves_is_no_part_of_a_vote() {
    let text = |standing, may_vote, now| {
        let mut vote = vote("ada", 1);
        vote.voter.standing = standing;
        vote.voter.may_vote = may_vote;
        vote.now = at(now);
        serde_json::to_string(&DeploymentCommand::Approve(vote)).expect("JSON")
    };
    let said = text(UserStanding::Active, true, 1);
    assert_eq!(said, text(UserStanding::Erased, false, 2));
    let expected = r#"{"type":"approve","voter":{"userId":"ada"},"revision":1,"comment":null}"#;
    assert_eq!(said, expected);
    let ask = serde_json::to_string(&ask()).expect("JSON");
    assert_eq!(ask, r#"{"type":"requestApproval"}"#);
}
