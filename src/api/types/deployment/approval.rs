//! What it takes to deploy, and how far an approval has come.

use async_graphql::{ID, SimpleObject};
use domain::approval;

use crate::api::scalars::DateTime;
use crate::api::types::int;
use crate::deployments::history::History;

/// What it takes to deploy to an environment. A deployment keeps the policy under which its approval was
/// asked for.
#[derive(SimpleObject)]
pub struct ApprovalPolicy {
    /// All must be met; none: approved at once.
    rules: Vec<ApprovalRule>,
    /// Who asks for a deployment does not approve it.
    prevent_self_review: bool,
    /// Minutes between asking for approval and the earliest start.
    wait_minutes: i32,
    /// Days between asking for approval and the latest start.
    expiry_days: i32,
}

/// So many votes of this group.
#[derive(SimpleObject)]
pub struct ApprovalRule {
    /// The group's name, once in a policy.
    group: String,
    /// Its members, by user id.
    members: Vec<ID>,
    /// How many of them must agree.
    required: i32,
}

/// How far the approval of a deployment has come.
#[derive(SimpleObject)]
pub struct DeploymentApproval {
    /// What it takes: the environment's policy when it was asked for.
    policy: ApprovalPolicy,
    /// When it was asked for, or for what it is about now.
    asked_at: DateTime,
    /// The wait timer ends then.
    wait_until: DateTime,
    /// It is good until then, whole or not.
    expires_at: DateTime,
    /// How many votes are missing until every rule is met.
    missing: i32,
    /// Somebody broke the glass: it may start against the rules.
    overridden: bool,
    /// What was said to the current revision, by user id; votes taken back are gone.
    votes: Vec<DeploymentVote>,
}

/// What somebody said to a deployment.
#[derive(SimpleObject)]
pub struct DeploymentVote {
    /// Who.
    user_id: ID,
    /// Yes?
    agrees: bool,
    /// The rule it counts for, by its group; null if it counts for none, since enough others do.
    group: Option<String>,
    /// What they said beside.
    comment: Option<String>,
    /// When.
    at: DateTime,
}

impl From<approval::ApprovalPolicy> for ApprovalPolicy {
    fn from(policy: approval::ApprovalPolicy) -> ApprovalPolicy {
        let rules = policy.rules.into_iter().map(|rule| ApprovalRule {
            group: rule.group,
            members: rule.members.into_iter().map(ID).collect(),
            required: rule.required.into(),
        });
        ApprovalPolicy {
            rules: rules.collect(),
            prevent_self_review: policy.prevent_self_review,
            wait_minutes: int(policy.wait_minutes.into()),
            expiry_days: policy.expiry_days.into(),
        }
    }
}

impl DeploymentApproval {
    /// The approval that a deployment's events tell of, if one was asked for.
    pub fn of(history: &History) -> Option<DeploymentApproval> {
        let approval = history.state.approval.as_ref()?;
        let counted = approval.policy.count(&approval.votes);
        let group_of = |user_id: &str| {
            let counted = counted.iter().find(|vote| vote.by == user_id);
            counted.map(|vote| vote.group.clone())
        };
        let votes = history.votes.iter().map(|(user_id, vote)| DeploymentVote {
            user_id: ID(user_id.clone()),
            agrees: vote.agrees,
            group: group_of(user_id),
            comment: vote.comment.clone(),
            at: DateTime(vote.at),
        });
        Some(DeploymentApproval {
            asked_at: DateTime(approval.asked_at),
            wait_until: DateTime(approval.times.wait_until),
            expires_at: DateTime(approval.times.expires_at),
            missing: i32::try_from(approval.policy.missing(&approval.votes)).unwrap_or(i32::MAX),
            overridden: history.state.overridden,
            votes: votes.collect(),
            policy: approval.policy.clone().into(),
        })
    }
}
