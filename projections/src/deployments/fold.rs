//! What each event says about a deployment, an environment or an incident.

mod environments;
mod incidents;
mod steps;

pub(super) use environments::environment;
pub(super) use incidents::incident;

use chrono::{DateTime, Utc};
use domain::deployment::{
    ApprovalRequested, ApprovalTimes, Change, DeploymentAmended, DeploymentEvent,
    DeploymentRecorded, Plan, RequestedBy, Status, Tier,
};
use domain::{Event, Personal, Recorded};

use self::steps::step;
use super::{Content, Delta, DeploymentChange, Mark, Planned, RolledBack, Times, Vote};
use crate::Poison;
use crate::latest::{Latest, keep_last, keep_last_of};

/// Words of votes.
pub(super) const GRANTED: &str = "granted";
const REJECTED: &str = "rejected";
const REVOKED: &str = "revoked";

pub(super) fn deployment(
    delta: &mut Delta,
    event: &Recorded<Event>,
    what: &DeploymentEvent,
) -> Result<(), Poison> {
    let id = event.aggregate_id.as_ref();
    let key = (id.to_owned(), event.position.0);
    delta.steps.insert(key, step(event, what));
    vote(delta, event, what);
    carries(delta, event, what);
    let change = delta.deployments.entry(id.to_owned()).or_default();
    change.seen.see(event);
    match what {
        DeploymentEvent::DeploymentRequested(e) => {
            let planned = planned(event, &e.plan, e.tier, Some(&e.requested_by), e.at)?;
            keep_last(&mut change.plan, said(event, planned));
            keep_last(&mut change.content, said(event, first_content(&e.plan)));
            mark(&mut change.requested, event, Some(e.at));
            stands(change, event, Status::Requested);
        }
        DeploymentEvent::DeploymentRecorded(e) => recorded(change, event, e)?,
        DeploymentEvent::ApprovalRequested(e) => asked(change, event, e),
        DeploymentEvent::ApprovalGranted(_) => {}
        DeploymentEvent::ApprovalSatisfied(e) => {
            let voted = !e.votes.is_empty();
            approved(change, event, e.at, voted.then_some(e.at));
        }
        DeploymentEvent::ApprovalOverridden(e) => approved(change, event, e.at, None),
        DeploymentEvent::ApprovalRevoked(e) if e.reopened => reopened(change, event),
        DeploymentEvent::ApprovalRevoked(_) => {}
        DeploymentEvent::ApprovalRejected(e) => {
            closed(change, event, Status::Rejected, Some(e.at));
        }
        DeploymentEvent::ApprovalExpired(e) => closed(change, event, Status::Expired, Some(e.at)),
        DeploymentEvent::DeploymentAmended(e) => amended(change, event, e),
        DeploymentEvent::ChangesAdded(_) => {}
        DeploymentEvent::DeploymentStarted(e) => {
            mark(&mut change.started, event, Some(e.at));
            stands(change, event, Status::InProgress);
        }
        DeploymentEvent::DeploymentSucceeded(e) => {
            mark(&mut change.succeeded, event, Some(e.at));
            stands(change, event, Status::Succeeded);
        }
        DeploymentEvent::DeploymentFailed(e) => {
            mark(&mut change.failed, event, Some(e.at));
            stands(change, event, Status::Failed);
        }
        DeploymentEvent::DeploymentRolledBack(e) => {
            let to = Some(e.to.clone());
            let back = RolledBack { at: Some(e.at), to };
            keep_last(&mut change.rolled_back, said(event, back));
            stands(change, event, Status::RolledBack);
        }
        DeploymentEvent::DeploymentCancelled(e) => {
            closed(change, event, Status::Cancelled, Some(e.at));
        }
        DeploymentEvent::HotfixMarked(_) | DeploymentEvent::HotfixUnmarked(_) => {
            change.failure_facts += 1;
        }
    }
    Ok(())
}

/// Told of as it stands elsewhere: whatever has its time there has happened.
fn recorded(
    change: &mut DeploymentChange,
    event: &Recorded<Event>,
    e: &DeploymentRecorded,
) -> Result<(), Poison> {
    let times = [e.requested_at, e.started_at, e.finished_at];
    let known_at = times.into_iter().flatten().next();
    let known_at = known_at.unwrap_or(event.recorded_at);
    let planned = planned(event, &e.plan, e.tier, e.requested_by.as_ref(), known_at)?;
    keep_last(&mut change.plan, said(event, planned));
    keep_last(&mut change.content, said(event, first_content(&e.plan)));
    if e.requested_at.is_some() {
        mark(&mut change.requested, event, e.requested_at);
    }
    if e.started_at.is_some() {
        mark(&mut change.started, event, e.started_at);
    }
    match e.status {
        Status::Succeeded => mark(&mut change.succeeded, event, e.finished_at),
        // It had reached its environment before; when it was replaced is not told.
        Status::RolledBack => {
            mark(&mut change.succeeded, event, e.finished_at);
            let back = RolledBack { at: None, to: None };
            keep_last(&mut change.rolled_back, said(event, back));
        }
        Status::Failed => mark(&mut change.failed, event, e.finished_at),
        Status::Rejected | Status::Expired | Status::Cancelled => {
            mark(&mut change.closed, event, e.finished_at);
        }
        Status::Requested | Status::AwaitingApproval | Status::Approved | Status::InProgress => {}
    }
    stands(change, event, e.status);
    Ok(())
}

fn planned(
    event: &Recorded<Event>,
    plan: &Plan,
    tier: Tier,
    by: Option<&RequestedBy>,
    known_at: DateTime<Utc>,
) -> Result<Planned, Poison> {
    let (kind, name, sealed) = match by {
        None => (None, None, None),
        Some(RequestedBy::User(id)) => (Some("user"), Some(id.clone()), None),
        Some(RequestedBy::ApiKey(id)) => (Some("api_key"), Some(id.clone()), None),
        Some(RequestedBy::Machine(name)) => (Some("machine"), Some(name.clone()), None),
        Some(RequestedBy::Person(Personal::Sealed(text))) => {
            (Some("person"), None, Some(text.clone()))
        }
        Some(RequestedBy::Person(Personal::Plain(_))) => {
            return Err(Poison("a personal value is not sealed".to_owned()));
        }
    };
    let mut plan = plan.clone();
    plan.changes = Vec::new();
    Ok(Planned {
        plan,
        tier: tier.as_str(),
        requested_kind: kind,
        requested_by: name,
        requested_sealed: sealed,
        event: event.event_id,
        known_at,
    })
}

fn first_content(plan: &Plan) -> Content {
    Content {
        version: plan.version.clone(),
        description: plan.description.clone(),
        revision: 1,
    }
}

fn asked(change: &mut DeploymentChange, event: &Recorded<Event>, e: &ApprovalRequested) {
    let barred = e.policy.prevent_self_review;
    keep_last(&mut change.self_review_barred, said(event, barred));
    keep_last(&mut change.times, said(event, times(e.at, e.times)));
    stands(change, event, Status::AwaitingApproval);
}

fn amended(change: &mut DeploymentChange, event: &Recorded<Event>, e: &DeploymentAmended) {
    let content = Content {
        version: e.version.clone(),
        description: e.description.clone(),
        revision: i64::from(e.revision),
    };
    keep_last(&mut change.content, said(event, content));
    if e.changes.is_some() {
        change.changes_from = change.changes_from.max(event.position.0);
    }
    if let Some(reopened_for) = e.reopened {
        keep_last(&mut change.times, said(event, times(e.at, reopened_for)));
        reopened(change, event);
    }
}

fn times(asked_at: DateTime<Utc>, times: ApprovalTimes) -> Times {
    Times {
        asked_at,
        wait_until: times.wait_until,
        expires_at: times.expires_at,
    }
}

fn approved(
    change: &mut DeploymentChange,
    event: &Recorded<Event>,
    at: DateTime<Utc>,
    voted_at: Option<DateTime<Utc>>,
) {
    mark(&mut change.approved, event, Some(at));
    mark(&mut change.voted, event, voted_at);
    stands(change, event, Status::Approved);
}

fn reopened(change: &mut DeploymentChange, event: &Recorded<Event>) {
    mark(&mut change.approved, event, None);
    mark(&mut change.voted, event, None);
    stands(change, event, Status::AwaitingApproval);
}

fn closed(
    change: &mut DeploymentChange,
    event: &Recorded<Event>,
    status: Status,
    at: Option<DateTime<Utc>>,
) {
    mark(&mut change.closed, event, at);
    stands(change, event, status);
}

fn stands(change: &mut DeploymentChange, event: &Recorded<Event>, status: Status) {
    keep_last(&mut change.status, said(event, status.as_str()));
}

fn mark(mark: &mut Mark, event: &Recorded<Event>, at: Option<DateTime<Utc>>) {
    keep_last(mark, said(event, at));
}

/// Who may vote, and who has.
fn vote(delta: &mut Delta, event: &Recorded<Event>, what: &DeploymentEvent) {
    let position = event.position.0;
    let (by, revision, word, at, comment) = match what {
        DeploymentEvent::ApprovalRequested(e) => {
            for member in e.policy.rules.iter().flat_map(|rule| &rule.members) {
                let key = (event.aggregate_id.to_string(), member.clone());
                let kept = delta.approvers.entry(key).or_default();
                *kept = (*kept).max(position);
            }
            return;
        }
        DeploymentEvent::ApprovalGranted(e) => (&e.by, e.revision, GRANTED, e.at, &e.comment),
        DeploymentEvent::ApprovalRejected(e) => (&e.by, e.revision, REJECTED, e.at, &e.comment),
        DeploymentEvent::ApprovalRevoked(e) => (&e.by, e.revision, REVOKED, e.at, &None),
        _ => return,
    };
    let key = (
        event.aggregate_id.to_string(),
        i64::from(revision),
        by.clone(),
    );
    let comment = comment.clone();
    let value = Vote { word, at, comment };
    keep_last_of(&mut delta.votes, key, Latest { position, value });
}

/// What it carries.
fn carries(delta: &mut Delta, event: &Recorded<Event>, what: &DeploymentEvent) {
    let changes: &[Change] = match what {
        DeploymentEvent::DeploymentRequested(e) => &e.plan.changes,
        DeploymentEvent::DeploymentRecorded(e) => &e.plan.changes,
        DeploymentEvent::DeploymentAmended(e) => e.changes.as_deref().unwrap_or_default(),
        DeploymentEvent::ChangesAdded(e) => &e.changes,
        _ => return,
    };
    if changes.is_empty() {
        return;
    }
    let (id, position) = (event.aggregate_id.as_ref(), event.position.0);
    for change in changes {
        let key = (id.to_owned(), change.id.clone());
        let value = change.clone();
        keep_last_of(&mut delta.changes, key, Latest { position, value });
    }
    let deployment = delta.deployments.entry(id.to_owned()).or_default();
    deployment.change_facts += 1;
}

pub(super) fn said<T>(event: &Recorded<Event>, value: T) -> Option<Latest<T>> {
    Some(Latest {
        position: event.position.0,
        value,
    })
}
