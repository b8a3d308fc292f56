//! What can have happened to a deployment.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::life::Status;
use super::plan::{Change, Plan, RequestedBy, Tier};
use crate::approval::{ApprovalPolicy, CountedVote};
use crate::words::words;

words! {
    /// What keeps a deployment from starting.
    Barrier {
        Approval "approval" "Votes are missing.";
        WaitTimer "wait_timer" "The wait timer of its approval runs.";
        Freeze "freeze" "Its environment is frozen.";
    }
}

/// What happened to a deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DeploymentEvent {
    /// Somebody wants it.
    #[serde(rename = "deployment.requested")]
    DeploymentRequested(DeploymentRequested),
    /// It was told of by whoever deploys, as it stands there.
    #[serde(rename = "deployment.recorded")]
    DeploymentRecorded(DeploymentRecorded),
    /// Approval was asked for.
    #[serde(rename = "deployment.approval_requested")]
    ApprovalRequested(ApprovalRequested),
    /// Somebody agreed.
    #[serde(rename = "deployment.approval_granted")]
    ApprovalGranted(ApprovalGranted),
    /// Enough have agreed.
    #[serde(rename = "deployment.approval_satisfied")]
    ApprovalSatisfied(ApprovalSatisfied),
    /// Somebody took their vote back.
    #[serde(rename = "deployment.approval_revoked")]
    ApprovalRevoked(ApprovalRevoked),
    /// Somebody said no.
    #[serde(rename = "deployment.approval_rejected")]
    ApprovalRejected(ApprovalRejected),
    /// It was not started while its approval was good.
    #[serde(rename = "deployment.approval_expired")]
    ApprovalExpired(ApprovalExpired),
    /// It may start against the rules.
    #[serde(rename = "deployment.approval_overridden")]
    ApprovalOverridden(ApprovalOverridden),
    /// It is another one than was asked for; votes given before are void.
    #[serde(rename = "deployment.amended")]
    DeploymentAmended(DeploymentAmended),
    /// More became known of what it carries.
    #[serde(rename = "deployment.changes_added")]
    ChangesAdded(ChangesAdded),
    /// It began.
    #[serde(rename = "deployment.started")]
    DeploymentStarted(DeploymentStarted),
    /// It runs.
    #[serde(rename = "deployment.succeeded")]
    DeploymentSucceeded(DeploymentSucceeded),
    /// It did not come to run.
    #[serde(rename = "deployment.failed")]
    DeploymentFailed(DeploymentFailed),
    /// A version from before it runs again.
    #[serde(rename = "deployment.rolled_back")]
    DeploymentRolledBack(DeploymentRolledBack),
    /// It was called off.
    #[serde(rename = "deployment.cancelled")]
    DeploymentCancelled(DeploymentCancelled),
    /// It was so broken that it needed a fix.
    #[serde(rename = "deployment.hotfix_marked")]
    HotfixMarked(HotfixMarked),
    /// That was a mistake.
    #[serde(rename = "deployment.hotfix_unmarked")]
    HotfixUnmarked(HotfixUnmarked),
}

/// Wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentRequested {
    /// What, where to, why.
    pub plan: Plan,
    /// What its environment is for.
    pub tier: Tier,
    /// Who wants it.
    pub requested_by: RequestedBy,
    /// When.
    pub at: DateTime<Utc>,
}

/// Told of. Times that are not known are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentRecorded {
    /// What, where to, why.
    pub plan: Plan,
    /// What its environment is for.
    pub tier: Tier,
    /// Who wanted it, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<RequestedBy>,
    /// Where it stands.
    pub status: Status,
    /// When it was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<DateTime<Utc>>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended: well, not, or called off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
}

/// From when to when a deployment may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalTimes {
    /// The wait timer ends then.
    pub wait_until: DateTime<Utc>,
    /// The approval, whole or not, is good until then.
    pub expires_at: DateTime<Utc>,
}

/// Asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalRequested {
    /// What it takes: the environment's policy, as it was then.
    pub policy: ApprovalPolicy,
    /// When.
    pub at: DateTime<Utc>,
    /// From when to when it may start.
    pub times: ApprovalTimes,
}

/// Agreed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalGranted {
    /// Who, by user id.
    pub by: String,
    /// To which revision.
    pub revision: u32,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalSatisfied {
    /// Which revision.
    pub revision: u32,
    /// The votes that do it, each with the rule it counts for; none where there is no rule.
    pub votes: Vec<CountedVote>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalRevoked {
    /// Whose vote, by user id.
    pub by: String,
    /// For which revision it was.
    pub revision: u32,
    /// Without it votes are missing: the deployment awaits approval again.
    pub reopened: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// No.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalRejected {
    /// Who, by user id.
    pub by: String,
    /// To which revision.
    pub revision: u32,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Too late.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalExpired {
    /// When it ran out.
    pub at: DateTime<Utc>,
}

/// Against the rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalOverridden {
    /// Who broke the glass, by user id.
    pub by: String,
    /// Which revision.
    pub revision: u32,
    /// Why, in their words.
    pub reason: String,
    /// What does not keep it from starting any more.
    pub lifts: Vec<Barrier>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentAmended {
    /// Its number from now on: the first one is 1.
    pub revision: u32,
    /// Who says so, if it is a user of ours, by id: as whoever asked for it, they do not approve it
    /// where the policy says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The version from now on.
    pub version: String,
    /// The description from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The changes from now on, whole; left out: as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Change>>,
    /// Approval begins anew: votes are void, the deployment awaits approval, and may start from when
    /// to when. Left out: it had not been asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopened: Option<ApprovalTimes>,
    /// When.
    pub at: DateTime<Utc>,
}

/// More known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangesAdded {
    /// Those that were not known before, at least one.
    pub changes: Vec<Change>,
}

/// Begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentStarted {
    /// When.
    pub at: DateTime<Utc>,
    /// What would have kept it from starting, had it not been lifted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub despite: Vec<Barrier>,
}

/// Runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentSucceeded {
    /// Since when.
    pub at: DateTime<Utc>,
}

/// Does not run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentFailed {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Why, in the words of whoever deploys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentRolledBack {
    /// What runs again.
    pub to: String,
    /// Since when.
    pub at: DateTime<Utc>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Called off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentCancelled {
    /// When.
    pub at: DateTime<Utc>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Needed a fix: a failure, whatever became of the deployment itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HotfixMarked {
    /// The deployment that fixed it, by id, if there is one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_by: Option<String>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Needed none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HotfixUnmarked {
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
