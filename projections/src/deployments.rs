//! Deployments, what they carry and who agreed to them; environments; incidents.
//!
//! What happens to a deployment at most once is a time and a position in its one row; what can happen
//! again is a fact of its own, keyed by position. So *as known at a position* is a filter, and since of
//! everything said twice the greater position wins and counts add up, ranges of the log may arrive in
//! any order.
//!
//! Who wanted a deployment stands here as it stands in the log, sealed with a key of that deployment:
//! no event erases it, destroying the key does.

mod fold;
mod tables;
mod write;
mod read;
#[cfg(test)]
mod tests;

pub use read::{
    ChangeRow, DeployedVersion, DeploymentFilter, DeploymentRow, EnvironmentRow, IncidentFilter,
    IncidentRow, LinkRow, ListCursor, Requested, Statistics, StatisticsEvidence, StatisticsQuery,
    Step, Taken, changes, counted, deployed_version, deployed_versions, deployment, deployments,
    deployments_known, environment, environments, incident, incidents, last_success,
    pending_approvals, run_out, statistics, timeline,
};

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::deployment::{Change, Plan};
use domain::environment::Freeze;
use domain::incident::IncidentReport;
use domain::{Event, Recorded};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::latest::{Latest, keep_last, keep_last_of};
use crate::{Poison, Projection, Target};

/// The read model's name.
pub const NAME: &str = "deployments";

/// See the file's first lines.
pub(crate) struct Deployments;

/// What changed about what.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delta {
    deployments: HashMap<String, DeploymentChange>,
    /// By (deployment, change).
    changes: HashMap<(String, String), Latest<Change>>,
    /// By (deployment, revision, user).
    votes: HashMap<(String, i64, String), Latest<Vote>>,
    /// By (deployment, user): the position of the policy that names them.
    approvers: HashMap<(String, String), i64>,
    /// By (deployment, position).
    steps: HashMap<(String, i64), StepTold>,
    environments: HashMap<String, EnvironmentChange>,
    /// By (environment, freeze): `None` inside once lifted.
    freezes: HashMap<(String, String), Latest<Option<Freeze>>>,
    incidents: HashMap<String, IncidentChange>,
    /// By (incident, position).
    facts: HashMap<(String, i64), Fact>,
}

/// When something happened; `None` inside if that was not told, or is void.
type Mark = Option<Latest<Option<DateTime<Utc>>>>;

#[derive(Debug, Default, PartialEq)]
struct DeploymentChange {
    plan: Option<Latest<Planned>>,
    content: Option<Latest<Content>>,
    status: Option<Latest<&'static str>>,
    requested: Mark,
    /// May those who want it not approve it?
    self_review_barred: Option<Latest<bool>>,
    times: Option<Latest<Times>>,
    approved: Mark,
    /// Approved by the votes that it needed.
    voted: Mark,
    started: Mark,
    succeeded: Mark,
    failed: Mark,
    rolled_back: Option<Latest<RolledBack>>,
    closed: Mark,
    /// Changes said before this position do not count any more.
    changes_from: i64,
    /// How often changes were said: a sum.
    change_facts: i64,
    /// How often something was said that may make it a failure, links of incidents included: a sum.
    failure_facts: i64,
    seen: Seen,
}

/// How far a stream was seen.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    version: i64,
    position: i64,
}

/// What never becomes another. Its changes, version and description are told elsewhere.
#[derive(Debug, PartialEq)]
struct Planned {
    plan: Plan,
    tier: &'static str,
    requested_kind: Option<&'static str>,
    /// A user's or key's id, a program's name.
    requested_by: Option<String>,
    /// A person's name.
    requested_sealed: Option<String>,
    event: Uuid,
    /// The first time that was told.
    known_at: DateTime<Utc>,
}

/// What amending changes.
#[derive(Debug, PartialEq)]
struct Content {
    version: String,
    description: Option<String>,
    revision: i64,
}

/// When approval was asked for, or for what it is about now; from when to when it may start.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Times {
    asked_at: DateTime<Utc>,
    wait_until: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

#[derive(Debug, PartialEq)]
struct RolledBack {
    at: Option<DateTime<Utc>>,
    to: Option<String>,
}

/// The last word of a user on a revision.
#[derive(Debug, PartialEq)]
struct Vote {
    word: &'static str,
    at: DateTime<Utc>,
    comment: Option<String>,
}

/// One event of a deployment's timeline.
#[derive(Debug, PartialEq)]
struct StepTold {
    kind: &'static str,
    at: DateTime<Utc>,
    actor: String,
    /// The deployment that fixed it, where a hotfix is told of.
    fixed_by: Option<String>,
    detail: Value,
}

#[derive(Debug, Default, PartialEq)]
struct EnvironmentChange {
    defined: Option<Latest<Defined>>,
    policy: Option<Latest<Value>>,
    seen: Seen,
}

#[derive(Debug, PartialEq)]
struct Defined {
    project: String,
    name: String,
    tier: &'static str,
}

#[derive(Debug, Default, PartialEq)]
struct IncidentChange {
    report: Option<Latest<IncidentReport>>,
    /// Since when it is over; `None` inside while it is not.
    resolved: Mark,
    seen: Seen,
}

/// One event of an incident, as figures need it.
#[derive(Debug, Default, PartialEq)]
struct Fact {
    kind: &'static str,
    /// When it began or was over; `None` for links.
    at: Option<DateTime<Utc>>,
    deployment: Option<String>,
    link: Option<&'static str>,
    rule: Option<String>,
}

impl Projection for Deployments {
    const NAME: &'static str = NAME;
    const VERSION: i32 = 3;
    const AGGREGATES: &'static [&'static str] = &["deployment", "environment", "incident"];
    const TABLES: &'static [&'static str] = &[
        "deployments",
        "deployment_changes",
        "deployment_votes",
        "deployment_approvers",
        "deployment_steps",
        "environments",
        "environment_freezes",
        "incidents",
        "incident_facts",
    ];
    type Delta = Delta;

    fn ddl(target: &Target<'_>) -> Vec<String> {
        tables::ddl(target)
    }

    fn fold(delta: &mut Delta, event: &Recorded<Event>) -> Result<(), Poison> {
        match &event.event {
            Event::Deployment(what) => fold::deployment(delta, event, what),
            Event::Environment(what) => fold::environment(delta, event, what),
            Event::Incident(what) => {
                fold::incident(delta, event, what);
                Ok(())
            }
            // Of other aggregates: not asked for.
            _ => Ok(()),
        }
    }

    fn merge(into: &mut Delta, from: Delta) {
        for (id, change) in from.deployments {
            into.deployments.entry(id).or_default().merge(change);
        }
        for (key, change) in from.changes {
            keep_last_of(&mut into.changes, key, change);
        }
        for (key, vote) in from.votes {
            keep_last_of(&mut into.votes, key, vote);
        }
        for (key, position) in from.approvers {
            let kept = into.approvers.entry(key).or_default();
            *kept = (*kept).max(position);
        }
        into.steps.extend(from.steps);
        for (id, change) in from.environments {
            let kept = into.environments.entry(id).or_default();
            keep_last(&mut kept.defined, change.defined);
            keep_last(&mut kept.policy, change.policy);
            kept.seen.merge(change.seen);
        }
        for (key, freeze) in from.freezes {
            keep_last_of(&mut into.freezes, key, freeze);
        }
        for (id, change) in from.incidents {
            let kept = into.incidents.entry(id).or_default();
            keep_last(&mut kept.report, change.report);
            keep_last(&mut kept.resolved, change.resolved);
            kept.seen.merge(change.seen);
        }
        into.facts.extend(from.facts);
    }

    fn rows(delta: &Delta) -> usize {
        delta.deployments.len()
            + delta.changes.len()
            + delta.votes.len()
            + delta.approvers.len()
            + delta.steps.len()
            + delta.environments.len()
            + delta.freezes.len()
            + delta.incidents.len()
            + delta.facts.len()
    }

    async fn write<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Delta,
    ) -> Result<(), sqlx::Error> {
        write::delta(conn, target, delta).await
    }
}

impl DeploymentChange {
    fn merge(&mut self, from: DeploymentChange) {
        keep_last(&mut self.plan, from.plan);
        keep_last(&mut self.content, from.content);
        keep_last(&mut self.status, from.status);
        keep_last(&mut self.requested, from.requested);
        keep_last(&mut self.self_review_barred, from.self_review_barred);
        keep_last(&mut self.times, from.times);
        keep_last(&mut self.approved, from.approved);
        keep_last(&mut self.voted, from.voted);
        keep_last(&mut self.started, from.started);
        keep_last(&mut self.succeeded, from.succeeded);
        keep_last(&mut self.failed, from.failed);
        keep_last(&mut self.rolled_back, from.rolled_back);
        keep_last(&mut self.closed, from.closed);
        self.changes_from = self.changes_from.max(from.changes_from);
        self.change_facts += from.change_facts;
        self.failure_facts += from.failure_facts;
        self.seen.merge(from.seen);
    }
}

impl Seen {
    fn see(&mut self, event: &Recorded<Event>) {
        self.merge(Seen {
            version: event.sequence,
            position: event.position.0,
        });
    }

    fn merge(&mut self, other: Seen) {
        self.version = self.version.max(other.version);
        self.position = self.position.max(other.position);
    }
}
