//! The rules of deployments.

mod content;
mod histories;
mod life;
mod steps;
mod telling;
mod votes;

use super::*;
use crate::approval::{ApprovalPolicy, ApprovalRule, CountedVote};
use crate::environment::Frozen;
use crate::given::{at, check, given, refusal};
use crate::personal::Personal;
use crate::user::UserStanding;

const DAY: i64 = 86_400;

fn plan() -> Plan {
    Plan {
        project: "publishing".to_owned(),
        service: "frontend".to_owned(),
        environment: "production".to_owned(),
        version: "v538".to_owned(),
        previous_version: None,
        reason: DeploymentReason::Planned,
        change_type: None,
        description: None,
        team: None,
        remedies: None,
        external: None,
        changes: Vec::new(),
    }
}

fn change(id: &str) -> Change {
    Change {
        id: id.to_owned(),
        committed_at: at(-1_000),
        authored_at: None,
        opened_at: None,
        first_review_at: None,
        merged_at: None,
    }
}

/// Two of three must agree, and not whoever asks. Good for two days, after ten minutes.
fn policy() -> ApprovalPolicy {
    ApprovalPolicy {
        rules: vec![ApprovalRule {
            group: "web".to_owned(),
            members: ["ada", "grace", "joan", "linus"].map(str::to_owned).into(),
            required: 2,
        }],
        prevent_self_review: true,
        wait_minutes: 10,
        expiry_days: 2,
    }
}

fn times(asked: i64) -> ApprovalTimes {
    ApprovalTimes {
        wait_until: at(asked + 600),
        expires_at: at(asked + 2 * DAY),
    }
}

fn requested() -> DeploymentEvent {
    DeploymentEvent::DeploymentRequested(DeploymentRequested {
        plan: plan(),
        tier: Tier::Production,
        requested_by: RequestedBy::User("linus".to_owned()),
        at: at(0),
    })
}

/// Whatever the status asks for, told at -10, -5 and -1.
fn recorded(status: Status) -> DeploymentEvent {
    let ended = status.has_ended() || status == Status::Cancelled;
    DeploymentEvent::DeploymentRecorded(DeploymentRecorded {
        plan: plan(),
        tier: Tier::Production,
        requested_by: None,
        status,
        requested_at: Some(at(-10)),
        started_at: (ended || status == Status::InProgress).then(|| at(-5)),
        finished_at: ended.then(|| at(-1)),
    })
}

fn asked(policy: ApprovalPolicy) -> DeploymentEvent {
    DeploymentEvent::ApprovalRequested(ApprovalRequested {
        times: ApprovalTimes::of(&policy, at(0)),
        policy,
        at: at(0),
    })
}

fn granted(by: &str) -> DeploymentEvent {
    DeploymentEvent::ApprovalGranted(ApprovalGranted {
        by: by.to_owned(),
        revision: 1,
        comment: None,
        at: at(1),
    })
}

fn satisfied_by(names: &[&str]) -> DeploymentEvent {
    let vote = |name: &&str| CountedVote {
        group: "web".to_owned(),
        by: (*name).to_owned(),
    };
    DeploymentEvent::ApprovalSatisfied(ApprovalSatisfied {
        revision: 1,
        votes: names.iter().map(vote).collect(),
        at: at(1),
    })
}

fn overridden() -> DeploymentEvent {
    DeploymentEvent::ApprovalOverridden(ApprovalOverridden {
        by: "ada".to_owned(),
        revision: 1,
        reason: "Nobody can sign in".to_owned(),
        lifts: vec![Barrier::Approval, Barrier::WaitTimer, Barrier::Freeze],
        at: at(1),
    })
}

fn started(seconds: i64) -> DeploymentEvent {
    DeploymentEvent::DeploymentStarted(DeploymentStarted {
        at: at(seconds),
        despite: Vec::new(),
    })
}

fn succeeded(seconds: i64) -> DeploymentEvent {
    DeploymentEvent::DeploymentSucceeded(DeploymentSucceeded { at: at(seconds) })
}

/// Asked for by linus, with the approval of [`policy`] asked for and grace's vote.
fn awaiting() -> Vec<DeploymentEvent> {
    vec![requested(), asked(policy()), granted("grace")]
}

/// And ada's.
fn approved() -> Vec<DeploymentEvent> {
    let more = [granted("ada"), satisfied_by(&["ada", "grace"])];
    awaiting().into_iter().chain(more).collect()
}

fn and(mut events: Vec<DeploymentEvent>, more: &[DeploymentEvent]) -> Vec<DeploymentEvent> {
    events.extend_from_slice(more);
    events
}

fn vote(by: &str, revision: u32) -> Vote {
    Vote {
        voter: Voter {
            user_id: by.to_owned(),
            standing: UserStanding::Active,
            may_vote: true,
        },
        revision,
        comment: None,
        now: at(1),
    }
}

fn approve(by: &str) -> DeploymentCommand {
    DeploymentCommand::Approve(vote(by, 1))
}

fn reject(by: &str) -> DeploymentCommand {
    DeploymentCommand::Reject(vote(by, 1))
}

fn revoke(by: &str) -> DeploymentCommand {
    DeploymentCommand::RevokeApproval {
        by: by.to_owned(),
        now: at(1),
    }
}

fn break_glass() -> DeploymentCommand {
    DeploymentCommand::Override {
        by: "ada".to_owned(),
        reason: " Nobody can sign in ".to_owned(),
        now: at(1),
    }
}

fn ask() -> DeploymentCommand {
    DeploymentCommand::RequestApproval {
        policy: policy(),
        now: at(0),
    }
}

/// Late enough for the wait timer of [`policy`].
fn start() -> DeploymentCommand {
    start_at(None, 700)
}

fn start_at(said: Option<i64>, now: i64) -> DeploymentCommand {
    DeploymentCommand::Start {
        at: said.map(at),
        frozen: None,
        now: at(now),
    }
}

fn succeed(said: Option<i64>, now: i64) -> DeploymentCommand {
    DeploymentCommand::Succeed {
        at: said.map(at),
        now: at(now),
    }
}

fn fail(now: i64) -> DeploymentCommand {
    DeploymentCommand::Fail {
        at: None,
        reason: Some("The health check never passed".to_owned()),
        now: at(now),
    }
}

fn roll_back(known_version: bool) -> RollBack {
    RollBack {
        to: "v537".to_owned(),
        at: None,
        reason: None,
        known_version,
        now: at(900),
    }
}

fn cancel(now: i64) -> DeploymentCommand {
    DeploymentCommand::Cancel {
        at: None,
        reason: None,
        now: at(now),
    }
}

fn expire(now: i64) -> DeploymentCommand {
    DeploymentCommand::Expire { now: at(now) }
}

fn amend(version: &str) -> DeploymentCommand {
    DeploymentCommand::Amend(Amendment {
        by: None,
        version: Some(version.to_owned()),
        description: None,
        changes: None,
        now: at(1),
    })
}

fn add(ids: &[&str]) -> DeploymentCommand {
    DeploymentCommand::AddChanges {
        changes: ids.iter().copied().map(change).collect(),
    }
}

fn mark() -> DeploymentCommand {
    DeploymentCommand::MarkHotfix {
        fixed_by: None,
        reason: None,
    }
}

fn unmark() -> DeploymentCommand {
    DeploymentCommand::UnmarkHotfix { reason: None }
}
