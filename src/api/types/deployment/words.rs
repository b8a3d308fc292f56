//! Closed lists of words about deployments, environments and incidents.

use async_graphql::{Enum, SimpleObject};
use domain::deployment::{DeploymentReason as Reason, Status, Tier};
use domain::environment::Weekday as Day;
use domain::incident::{IncidentStatus as Standing, LinkKind, Severity};

/// Where a deployment stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status")]
pub enum DeploymentStatus {
    /// Somebody wants it; nobody has been asked yet.
    Requested,
    /// Votes are missing.
    AwaitingApproval,
    /// It may start.
    Approved,
    /// Somebody who was asked said no. Final.
    Rejected,
    /// It was not started while its approval was good. Final.
    Expired,
    /// Called off, before the start or after it. Final.
    Cancelled,
    /// It has started and not ended yet.
    InProgress,
    /// It runs.
    Succeeded,
    /// It did not come to run.
    Failed,
    /// It was replaced by a version from before it. Final.
    RolledBack,
}

/// What an environment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Tier")]
pub enum EnvironmentTier {
    /// Real users depend on it.
    Production,
    /// The last stop before production.
    Staging,
    /// For those who build.
    Development,
    /// None of these.
    Other,
}

/// Why something is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Reason")]
pub enum DeploymentReason {
    /// It was due.
    Planned,
    /// What runs is broken: rework.
    UnplannedFix,
    /// What ran before is to run again.
    Rollback,
}

/// What somebody is who wants a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum RequesterKind {
    /// One of our users.
    User,
    /// A program with a key of ours that belongs to no user.
    ApiKey,
    /// A program elsewhere.
    Machine,
    /// Somebody elsewhere.
    Person,
}

/// How bad an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Severity")]
pub enum IncidentSeverity {
    /// Nobody can work.
    Critical,
    /// Many cannot.
    High,
    /// Some cannot, or all must go round it.
    Medium,
    /// Annoying.
    Low,
}

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Standing")]
pub enum IncidentStatus {
    /// Something is broken.
    Open,
    /// It is not any more.
    Resolved,
}

/// How a link of an incident to a deployment came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "LinkKind")]
pub enum IncidentLinkKind {
    /// Somebody said so.
    Explicit,
    /// A rule found it, which may be wrong.
    Inferred,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Day")]
pub enum Weekday {
    /// The first.
    Monday,
    /// The second.
    Tuesday,
    /// The third.
    Wednesday,
    /// The fourth.
    Thursday,
    /// The fifth.
    Friday,
    /// The sixth.
    Saturday,
    /// The last.
    Sunday,
}

/// A name another system gave: means something within that system only.
#[derive(SimpleObject)]
pub struct ExternalRef {
    /// Which system, such as `github`.
    source: String,
    /// What it is called there.
    id: String,
}

impl From<domain::ExternalRef> for ExternalRef {
    fn from(external: domain::ExternalRef) -> ExternalRef {
        ExternalRef {
            source: external.source,
            id: external.id,
        }
    }
}
