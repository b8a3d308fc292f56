//! What each event says about an incident, and about the deployment it is put down to.

use chrono::{DateTime, Utc};
use domain::incident::IncidentEvent;
use domain::{Event, Recorded};
use serde_json::json;

use super::said;
use super::steps::told;
use crate::deployments::{Delta, Fact};
use crate::latest::keep_last;

/// Words of facts.
pub(in crate::deployments) const OPENED: &str = "opened";
/// Put down to a deployment.
pub(in crate::deployments) const LINKED: &str = "linked";
/// Not put down to it.
pub(in crate::deployments) const UNLINKED: &str = "unlinked";
/// Over.
pub(in crate::deployments) const RESOLVED: &str = "resolved";
/// Not over.
pub(in crate::deployments) const REOPENED: &str = "reopened";

pub(in crate::deployments) fn incident(
    delta: &mut Delta,
    event: &Recorded<Event>,
    what: &IncidentEvent,
) {
    let id = event.aggregate_id.as_ref();
    let change = delta.incidents.entry(id.to_owned()).or_default();
    change.seen.see(event);
    let fact = match what {
        IncidentEvent::IncidentOpened(e) => {
            keep_last(&mut change.report, said(event, e.report.clone()));
            keep_last(&mut change.resolved, said(event, None));
            at(OPENED, Some(e.report.opened_at))
        }
        IncidentEvent::IncidentResolved(e) => {
            keep_last(&mut change.resolved, said(event, Some(e.at)));
            at(RESOLVED, Some(e.at))
        }
        IncidentEvent::IncidentReopened(_) => {
            keep_last(&mut change.resolved, said(event, None));
            at(REOPENED, None)
        }
        IncidentEvent::IncidentLinked(e) => {
            let detail = json!({ "incident": id, "link": e.kind.as_str(), "rule": e.rule });
            about(delta, event, &e.deployment, detail);
            Fact {
                kind: LINKED,
                deployment: Some(e.deployment.clone()),
                link: Some(e.kind.as_str()),
                rule: e.rule.clone(),
                ..Fact::default()
            }
        }
        IncidentEvent::IncidentUnlinked(e) => {
            let detail = json!({ "incident": id, "reason": e.reason });
            about(delta, event, &e.deployment, detail);
            Fact {
                kind: UNLINKED,
                deployment: Some(e.deployment.clone()),
                ..Fact::default()
            }
        }
    };
    delta.facts.insert((id.to_owned(), event.position.0), fact);
}

fn at(kind: &'static str, at: Option<DateTime<Utc>>) -> Fact {
    Fact {
        kind,
        at,
        ..Fact::default()
    }
}

/// Tells it on the timeline of the deployment, and that there is something to look up.
fn about(delta: &mut Delta, event: &Recorded<Event>, deployment: &str, detail: serde_json::Value) {
    let key = (deployment.to_owned(), event.position.0);
    delta.steps.insert(key, told(event, None, detail));
    let change = delta.deployments.entry(deployment.to_owned()).or_default();
    change.failure_facts += 1;
}
