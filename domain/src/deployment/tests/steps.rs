//! Starting, ending, going back: what holds it up, and when things happened.

use super::*;

fn frozen(until: Option<i64>) -> Frozen {
    Frozen {
        freeze_id: "elections".to_owned(),
        reason: "Polls are open".to_owned(),
        until: until.map(at),
    }
}

fn start_frozen(now: i64, until: Option<i64>) -> DeploymentCommand {
    DeploymentCommand::Start {
        at: None,
        frozen: Some(frozen(until)),
        now: at(now),
    }
}

fn started_despite(seconds: i64, despite: &[Barrier]) -> DeploymentEvent {
    DeploymentEvent::DeploymentStarted(DeploymentStarted {
        at: at(seconds),
        despite: despite.to_vec(),
    })
}

#[test]
fn a_wait_timer_and_a_freeze_hold_it_up() {
    let early = refusal::<Deployment>(&approved(), &start_at(None, 599));
    assert_eq!(early.code, Code::WaitTimerRunning);
    assert_eq!(early.details["until"], "2026-09-21T14:23:20Z");
    assert!(early.code.retryable());
    check::<Deployment>(&approved(), start_at(None, 600), Ok(&[started(600)]));

    let cold = refusal::<Deployment>(&approved(), &start_frozen(700, Some(900)));
    assert_eq!(cold.code, Code::EnvironmentFrozen);
    assert_eq!(cold.details["until"], "2026-09-21T14:28:20Z");
    assert_eq!(cold.details["reason"], "Polls are open");
    let open = refusal::<Deployment>(&approved(), &start_frozen(700, None));
    assert_eq!(open.details.get("until"), None, "nobody knows");
}

#[test]
fn breaking_the_glass_lifts_both_and_the_start_says_so() {
    let lifted = and(approved(), &[overridden()]);
    let both = [Barrier::WaitTimer, Barrier::Freeze];
    check::<Deployment>(
        &lifted,
        start_frozen(5, None),
        Ok(&[started_despite(5, &both)]),
    );
    check::<Deployment>(
        &lifted,
        start_at(None, 5),
        Ok(&[started_despite(5, &both[..1])]),
    );
    check::<Deployment>(
        &lifted,
        start_frozen(700, None),
        Ok(&[started_despite(700, &both[1..])]),
    );
    check::<Deployment>(&lifted, start_at(None, 700), Ok(&[started(700)]));
    let unread = and(awaiting(), &[overridden()]);
    let votes = [Barrier::Approval];
    check::<Deployment>(
        &unread,
        start_at(None, 700),
        Ok(&[started_despite(700, &votes)]),
    );
    check::<Deployment>(
        &unread,
        start_frozen(5, None),
        Ok(&[started_despite(5, Barrier::ALL)]),
    );
}

#[test]
fn nothing_happens_before_what_it_follows() {
    let under_way = and(approved(), &[started(700)]);
    let done = and(under_way.clone(), &[succeeded(800)]);
    let back = |said| {
        let at = Some(at(said));
        DeploymentCommand::RollBack(RollBack {
            at,
            ..roll_back(true)
        })
    };
    for (history, command, earlier) in [
        (approved(), start_at(Some(-1), 700), "requestedAt"),
        (under_way.clone(), succeed(Some(699), 800), "startedAt"),
        (done, back(799), "finishedAt"),
    ] {
        let refusal = refusal::<Deployment>(&history, &command);
        assert_eq!(
            (refusal.code, &refusal.path[0][..]),
            (Code::TimeTravel, "at")
        );
        assert!(refusal.details.contains_key(earlier), "{refusal:?}");
    }
    check::<Deployment>(&approved(), start_at(Some(0), 700), Ok(&[started(0)]));
    check::<Deployment>(&under_way, succeed(Some(700), 800), Ok(&[succeeded(700)]));
    // A clock that is set back makes no negative time.
    check::<Deployment>(&under_way, succeed(None, 650), Ok(&[succeeded(700)]));
}

#[test]
fn what_is_said_to_happen_is_within_a_day_from_now_and_after_1970() {
    let under_way = and(approved(), &[started(700)]);
    let last = succeed(Some(800 + DAY), 800);
    check::<Deployment>(&under_way, last, Ok(&[succeeded(800 + DAY)]));
    let beyond = refusal::<Deployment>(&under_way, &succeed(Some(801 + DAY), 800));
    assert_eq!(beyond.code, Code::TimeInFuture);
    assert_eq!(beyond.details["maxSeconds"], DAY);
    assert_eq!(beyond.details["actualSeconds"], DAY + 1);
    let never = succeed(Some(-1_790_000_001), 800);
    check::<Deployment>(&under_way, never, Err(Code::BadTimestamp));
}

#[test]
fn a_deployment_ends_well_or_not() {
    let under_way = and(approved(), &[started(700)]);
    check::<Deployment>(&under_way, succeed(None, 800), Ok(&[succeeded(800)]));
    let failed = DeploymentEvent::DeploymentFailed(DeploymentFailed {
        at: at(800),
        reason: Some("The health check never passed".to_owned()),
    });
    check::<Deployment>(&under_way, fail(800), Ok(&[failed]));
    let cancelled = DeploymentEvent::DeploymentCancelled(DeploymentCancelled {
        at: at(800),
        reason: None,
    });
    check::<Deployment>(&under_way, cancel(800), Ok(&[cancelled]));
}

#[test]
fn a_version_that_never_ran_is_nothing_to_go_back_to() {
    let done = and(approved(), &[started(700), succeeded(800)]);
    let command = |known| DeploymentCommand::RollBack(roll_back(known));
    let refused = refusal::<Deployment>(&done, &command(false));
    assert_eq!(refused.code, Code::VersionNeverDeployed);
    assert_eq!(refused.path, ["to"]);
    let back = DeploymentEvent::DeploymentRolledBack(DeploymentRolledBack {
        to: "v537".to_owned(),
        at: at(900),
        reason: None,
    });
    check::<Deployment>(&done, command(true), Ok(std::slice::from_ref(&back)));
    let itself = DeploymentCommand::RollBack(RollBack {
        to: "v538".to_owned(),
        ..roll_back(true)
    });
    check::<Deployment>(&done, itself, Err(Code::Validation));
    let twice = and(done, &[back]);
    check::<Deployment>(&twice, command(true), Err(Code::IllegalTransition));
}
