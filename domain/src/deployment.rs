//! A deployment: asked for or told of, approved, started, ended, and what it carries.
//!
//! Where it can stand and what can follow is [`Status`]; who must agree is [`crate::approval`]; what
//! its environment asks for is [`crate::environment`].

mod life;
mod plan;
mod command;
mod event;
mod telling;
mod votes;
mod content;
mod steps;

pub use command::{Amendment, DeploymentCommand, Record, Request, RollBack, Vote, Voter};
pub use event::{
    ApprovalExpired, ApprovalGranted, ApprovalOverridden, ApprovalRejected, ApprovalRequested,
    ApprovalRevoked, ApprovalSatisfied, ApprovalTimes, Barrier, ChangesAdded, DeploymentAmended,
    DeploymentCancelled, DeploymentEvent, DeploymentFailed, DeploymentRecorded,
    DeploymentRequested, DeploymentRolledBack, DeploymentStarted, DeploymentSucceeded,
    HotfixMarked, HotfixUnmarked,
};
pub use life::Status;
pub use plan::{
    CHANGE_ID_MAX, CHANGES_MAX, Change, DEPLOYMENT_CHANGES_MAX, DeploymentReason, Plan,
    RequestedBy, Requester, Tier,
};
pub use votes::Approval;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, ClaimChange, Shape};
use crate::external::{ExternalRef, joined};
use crate::personal::PersonalField;
use crate::refusal::{Code, Refusal};

/// The state a deployment's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    /// Where it stands; `None` before it is known.
    pub status: Option<Status>,
    /// The project.
    pub project: String,
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// What is deployed.
    pub version: String,
    /// A sentence for people.
    pub description: Option<String>,
    /// What the system that deploys calls it.
    pub external: Option<ExternalRef>,
    /// The users who want it as it is, by id: who asked for it, and who amended it.
    pub asked_by: BTreeSet<String>,
    /// When it was wanted.
    pub requested_at: Option<DateTime<Utc>>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, well, not, or called off.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its number: 1 for what was asked for first, one more for each time it was amended.
    pub revision: u32,
    /// The approval that was asked for.
    pub approval: Option<Approval>,
    /// May it start against the rules?
    pub overridden: bool,
    /// Did it need a fix?
    pub hotfix: bool,
    /// The ids of its changes.
    pub changes: BTreeSet<String>,
}

/// Scope of the claim on [`Plan::external`].
pub const DEPLOYMENT_EXTERNAL_ID_SCOPE: &str = "deployment.external_id";

/// The claim a deployment of another system is found by: one commit there may deploy several services
/// to several environments, so the external id alone does not tell which.
pub fn deployment_claim(external: &ExternalRef, environment: &str, service: &str) -> ClaimChange {
    ClaimChange {
        scope: DEPLOYMENT_EXTERNAL_ID_SCOPE,
        value: joined(&[&external.source, &external.id, environment, service]),
        release: false,
        personal: false,
    }
}

impl Deployment {
    fn must_exist(&self) -> Result<Status, Refusal> {
        self.status
            .ok_or_else(|| Refusal::new(Code::NotFound, "no such deployment"))
    }

    fn must_become(&self, to: Status) -> Result<(), Refusal> {
        let from = self.must_exist()?;
        if from.successors().contains(&to) {
            return Ok(());
        }
        Err(illegal(from, to))
    }

    fn learn(&mut self, plan: &Plan, by: Option<&RequestedBy>) {
        self.project.clone_from(&plan.project);
        self.service.clone_from(&plan.service);
        self.environment.clone_from(&plan.environment);
        self.version.clone_from(&plan.version);
        self.description.clone_from(&plan.description);
        self.external.clone_from(&plan.external);
        self.changes = ids(&plan.changes);
        self.revision = 1;
        if let Some(RequestedBy::User(user_id)) = by {
            self.asked_by.insert(user_id.clone());
        }
    }
}

/// `ILLEGAL_TRANSITION` with both ends.
fn illegal(from: Status, to: Status) -> Refusal {
    let (from, to) = (from.as_str(), to.as_str());
    let message = format!("a deployment that is {from} does not become {to}");
    Refusal::new(Code::IllegalTransition, message)
        .with("from", from)
        .with("to", to)
}

fn ids(changes: &[Change]) -> BTreeSet<String> {
    changes.iter().map(|change| change.id.clone()).collect()
}

impl Aggregate for Deployment {
    const TYPE: &'static str = "deployment";
    type Command = DeploymentCommand;
    type Event = DeploymentEvent;
    const SHAPE: Option<Shape<Deployment>> = Some(Shape::json(1));

    fn decide(&self, command: &DeploymentCommand) -> Result<Vec<DeploymentEvent>, Refusal> {
        match command {
            DeploymentCommand::Request(wanted) => self.request(wanted),
            DeploymentCommand::Record(told) => self.record(told),
            DeploymentCommand::RequestApproval { policy, now } => {
                self.request_approval(policy, *now)
            }
            DeploymentCommand::Approve(vote) => self.approve(vote),
            DeploymentCommand::Reject(vote) => self.reject(vote),
            DeploymentCommand::RevokeApproval { by, now } => self.revoke(by, *now),
            DeploymentCommand::Override { by, reason, now } => self.break_glass(by, reason, *now),
            DeploymentCommand::Expire { now } => self.expire(*now),
            DeploymentCommand::Start { at, frozen, now } => self.start(*at, frozen.as_ref(), *now),
            DeploymentCommand::Succeed { at, now } => self.succeed(*at, *now),
            DeploymentCommand::Fail { at, reason, now } => self.fail(*at, reason.as_deref(), *now),
            DeploymentCommand::RollBack(back) => self.roll_back(back),
            DeploymentCommand::Cancel { at, reason, now } => {
                self.cancel(*at, reason.as_deref(), *now)
            }
            DeploymentCommand::Amend(amendment) => self.amend(amendment),
            DeploymentCommand::AddChanges { changes } => self.add_changes(changes),
            DeploymentCommand::MarkHotfix { fixed_by, reason } => {
                self.mark_hotfix(fixed_by.as_deref(), reason.as_deref())
            }
            DeploymentCommand::UnmarkHotfix { reason } => self.unmark_hotfix(reason.as_deref()),
        }
    }

    fn apply(&mut self, event: &DeploymentEvent) {
        match event {
            DeploymentEvent::DeploymentRequested(e) => {
                self.learn(&e.plan, Some(&e.requested_by));
                self.status = Some(Status::Requested);
                self.requested_at = Some(e.at);
            }
            DeploymentEvent::DeploymentRecorded(e) => {
                self.learn(&e.plan, e.requested_by.as_ref());
                self.status = Some(e.status);
                self.requested_at = e.requested_at;
                self.started_at = e.started_at;
                self.finished_at = e.finished_at;
            }
            DeploymentEvent::ApprovalRequested(e) => {
                self.status = Some(Status::AwaitingApproval);
                self.approval = Some(Approval {
                    policy: e.policy.clone(),
                    asked_at: e.at,
                    times: e.times,
                    votes: BTreeSet::new(),
                });
            }
            DeploymentEvent::ApprovalGranted(e) => {
                if let Some(approval) = &mut self.approval {
                    approval.votes.insert(e.by.clone());
                }
            }
            DeploymentEvent::ApprovalSatisfied(_) => self.status = Some(Status::Approved),
            DeploymentEvent::ApprovalRevoked(e) => {
                if let Some(approval) = &mut self.approval {
                    approval.votes.remove(&e.by);
                }
                if e.reopened {
                    self.status = Some(Status::AwaitingApproval);
                }
            }
            DeploymentEvent::ApprovalRejected(_) => self.status = Some(Status::Rejected),
            DeploymentEvent::ApprovalExpired(_) => self.status = Some(Status::Expired),
            DeploymentEvent::ApprovalOverridden(_) => {
                self.status = Some(Status::Approved);
                self.overridden = true;
            }
            DeploymentEvent::DeploymentAmended(e) => self.amended(e),
            DeploymentEvent::ChangesAdded(e) => self.changes.extend(ids(&e.changes)),
            DeploymentEvent::DeploymentStarted(e) => {
                self.status = Some(Status::InProgress);
                self.started_at = Some(e.at);
            }
            DeploymentEvent::DeploymentSucceeded(e) => {
                self.status = Some(Status::Succeeded);
                self.finished_at = Some(e.at);
            }
            DeploymentEvent::DeploymentFailed(e) => {
                self.status = Some(Status::Failed);
                self.finished_at = Some(e.at);
            }
            DeploymentEvent::DeploymentRolledBack(_) => self.status = Some(Status::RolledBack),
            DeploymentEvent::DeploymentCancelled(e) => {
                self.status = Some(Status::Cancelled);
                self.finished_at = Some(e.at);
            }
            DeploymentEvent::HotfixMarked(_) => self.hotfix = true,
            DeploymentEvent::HotfixUnmarked(_) => self.hotfix = false,
        }
    }

    /// A deployment keeps its external id for good: what was told of once is not told of anew.
    fn claims(&self, event: &DeploymentEvent) -> Vec<ClaimChange> {
        let plan = match event {
            DeploymentEvent::DeploymentRequested(e) => &e.plan,
            DeploymentEvent::DeploymentRecorded(e) => &e.plan,
            _ => return Vec::new(),
        };
        let external = plan.external.iter();
        external
            .map(|external| deployment_claim(external, &plan.environment, &plan.service))
            .collect()
    }

    /// Somebody elsewhere is no user of ours, and their name alone does not say who else has it: so
    /// the key is the deployment's.
    fn personal<'e>(id: &str, event: &'e mut DeploymentEvent) -> Vec<PersonalField<'e>> {
        let by = match event {
            DeploymentEvent::DeploymentRequested(e) => Some(&mut e.requested_by),
            DeploymentEvent::DeploymentRecorded(e) => e.requested_by.as_mut(),
            _ => None,
        };
        let Some(RequestedBy::Person(value)) = by else {
            return Vec::new();
        };
        vec![PersonalField {
            subject: format!("deployment:{id}"),
            field: "requested_by",
            value,
        }]
    }

    fn weight_bytes(&self) -> usize {
        let text = |text: &String| size_of::<String>() + text.capacity();
        let names = [
            &self.project,
            &self.service,
            &self.environment,
            &self.version,
        ];
        let names: usize = names.map(String::capacity).into_iter().sum();
        let changes: usize = self.changes.iter().map(text).sum();
        let approval: usize = self.approval.iter().map(Approval::weight_bytes).sum();
        size_of::<Self>() + names + changes + approval
    }
}

#[cfg(test)]
mod tests;
