//! What of each event is worth telling on a deployment's timeline.

use chrono::{DateTime, Utc};
use domain::deployment::{ApprovalRequested, DeploymentEvent};
use domain::{Event, Recorded};
use serde_json::{Value, json};

use crate::deployments::StepTold;

pub(super) fn step(event: &Recorded<Event>, what: &DeploymentEvent) -> StepTold {
    let (at, detail) = match what {
        DeploymentEvent::DeploymentRequested(e) => {
            let detail = json!({ "version": e.plan.version, "reason": e.plan.reason,
                                 "changes": e.plan.changes.len() });
            (Some(e.at), detail)
        }
        DeploymentEvent::DeploymentRecorded(e) => {
            let detail = json!({ "version": e.plan.version, "reason": e.plan.reason,
                                 "changes": e.plan.changes.len(), "status": e.status });
            (e.finished_at.or(e.started_at).or(e.requested_at), detail)
        }
        DeploymentEvent::ApprovalRequested(e) => (Some(e.at), asked(e)),
        DeploymentEvent::ApprovalGranted(e) => (
            Some(e.at),
            json!({ "by": e.by, "revision": e.revision, "comment": e.comment }),
        ),
        DeploymentEvent::ApprovalSatisfied(e) => (
            Some(e.at),
            json!({ "revision": e.revision, "votes": e.votes }),
        ),
        DeploymentEvent::ApprovalRevoked(e) => (
            Some(e.at),
            json!({ "by": e.by, "revision": e.revision, "reopened": e.reopened }),
        ),
        DeploymentEvent::ApprovalRejected(e) => (
            Some(e.at),
            json!({ "by": e.by, "revision": e.revision, "comment": e.comment }),
        ),
        DeploymentEvent::ApprovalExpired(e) => (Some(e.at), json!({})),
        DeploymentEvent::ApprovalOverridden(e) => (
            Some(e.at),
            json!({ "by": e.by, "revision": e.revision, "reason": e.reason, "lifts": e.lifts }),
        ),
        DeploymentEvent::DeploymentAmended(e) => (
            Some(e.at),
            json!({ "by": e.by, "revision": e.revision, "version": e.version,
                    "changes": e.changes.as_ref().map(Vec::len), "reopened": e.reopened.is_some() }),
        ),
        DeploymentEvent::ChangesAdded(e) => (None, json!({ "changes": e.changes.len() })),
        DeploymentEvent::DeploymentStarted(e) => (Some(e.at), json!({ "despite": e.despite })),
        DeploymentEvent::DeploymentSucceeded(e) => (Some(e.at), json!({})),
        DeploymentEvent::DeploymentFailed(e) => (Some(e.at), json!({ "reason": e.reason })),
        DeploymentEvent::DeploymentRolledBack(e) => {
            (Some(e.at), json!({ "to": e.to, "reason": e.reason }))
        }
        DeploymentEvent::DeploymentCancelled(e) => (Some(e.at), json!({ "reason": e.reason })),
        DeploymentEvent::HotfixMarked(e) => {
            let detail = json!({ "fixedBy": e.fixed_by, "reason": e.reason });
            let fixed_by = e.fixed_by.clone();
            let told = told(event, None, detail);
            return StepTold { fixed_by, ..told };
        }
        DeploymentEvent::HotfixUnmarked(e) => (None, json!({ "reason": e.reason })),
    };
    told(event, at, detail)
}

/// Who of how many groups must agree; their members are in the log.
fn asked(e: &ApprovalRequested) -> Value {
    let rules = e.policy.rules.iter();
    let rules = rules.map(|rule| json!({ "group": rule.group, "required": rule.required }));
    json!({ "rules": rules.collect::<Vec<_>>(), "waitUntil": e.times.wait_until,
            "expiresAt": e.times.expires_at })
}

/// A step at the time it says, else at the time it was recorded.
pub(super) fn told(event: &Recorded<Event>, at: Option<DateTime<Utc>>, detail: Value) -> StepTold {
    StepTold {
        kind: event.event.event_type(),
        at: at.unwrap_or(event.recorded_at),
        actor: event.metadata.actor.clone(),
        fixed_by: None,
        detail: without_nulls(detail),
    }
}

/// What was not said is left out.
fn without_nulls(detail: Value) -> Value {
    match detail {
        Value::Object(fields) => {
            let said = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(said.collect())
        }
        other => other,
    }
}
