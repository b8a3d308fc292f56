//! How a deployment comes to be approved: asking, votes, what breaks the glass.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::command::{Vote, Voter};
use super::event::{
    ApprovalExpired, ApprovalGranted, ApprovalOverridden, ApprovalRejected, ApprovalRequested,
    ApprovalRevoked, ApprovalSatisfied, ApprovalTimes, Barrier, DeploymentEvent,
};
use super::life::Status;
use super::{Deployment, illegal};
use crate::approval::ApprovalPolicy;
use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, id, instant, optional_text, text};

/// How far an approval that was asked for has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// What it takes.
    pub policy: ApprovalPolicy,
    /// When it was asked for, or for what it is about now.
    pub asked_at: DateTime<Utc>,
    /// From when to when the deployment may start.
    pub times: ApprovalTimes,
    /// Who has agreed to the current revision, by user id.
    pub votes: BTreeSet<String>,
}

impl Approval {
    pub(super) fn weight_bytes(&self) -> usize {
        let members = self.policy.rules.iter().flat_map(|rule| &rule.members);
        let ids = members.chain(&self.votes);
        ids.map(|id| size_of::<String>() + id.capacity()).sum()
    }
}

impl ApprovalTimes {
    /// What a policy gives to a deployment whose approval is asked for now.
    pub(super) fn of(policy: &ApprovalPolicy, now: DateTime<Utc>) -> ApprovalTimes {
        let later = |span| {
            now.checked_add_signed(span)
                .unwrap_or(DateTime::<Utc>::MAX_UTC)
        };
        ApprovalTimes {
            wait_until: later(TimeDelta::minutes(policy.wait_minutes.into())),
            expires_at: later(TimeDelta::days(policy.expiry_days.into())),
        }
    }
}

impl Deployment {
    pub(super) fn request_approval(
        &self,
        policy: &ApprovalPolicy,
        now: DateTime<Utc>,
    ) -> Result<Vec<DeploymentEvent>, Refusal> {
        let from = self.must_exist()?;
        if from != Status::Requested {
            return Err(illegal(from, Status::AwaitingApproval));
        }
        let policy = policy.clone().checked()?;
        let times = ApprovalTimes::of(&policy, now);
        let at = self.not_back(now);
        let satisfied = satisfied(&policy, &BTreeSet::new(), self.revision, at);
        let requested = ApprovalRequested { policy, at, times };
        let mut events = vec![DeploymentEvent::ApprovalRequested(requested)];
        events.extend(satisfied);
        Ok(events)
    }

    pub(super) fn approve(&self, vote: &Vote) -> Result<Vec<DeploymentEvent>, Refusal> {
        let Vote {
            voter,
            revision,
            comment,
            now,
        } = vote;
        if self.status != Some(Status::Approved) {
            self.must_take_votes(Status::Approved)?;
        }
        self.must_be_in_time(*now)?;
        let at = self.not_back(*now);
        let approval = self.must_let_vote(voter, *revision)?;
        if self.asked_by.contains(&voter.user_id) && approval.policy.prevent_self_review {
            let message = "who asked for the deployment does not approve it";
            return Err(Refusal::new(Code::SelfApprovalForbidden, message));
        }
        self.must_be_named(approval, voter)?;
        let granted = ApprovalGranted {
            by: voter.user_id.clone(),
            revision: *revision,
            comment: optional_text(TextRule::Reason, comment.as_deref(), "comment")?,
            at,
        };
        let mut votes = approval.votes.clone();
        votes.insert(voter.user_id.clone());
        let mut events = vec![DeploymentEvent::ApprovalGranted(granted)];
        if self.status == Some(Status::AwaitingApproval) {
            events.extend(satisfied(&approval.policy, &votes, *revision, at));
        }
        Ok(events)
    }

    pub(super) fn reject(&self, vote: &Vote) -> Result<Vec<DeploymentEvent>, Refusal> {
        let Vote {
            voter,
            revision,
            comment,
            now,
        } = vote;
        self.must_take_votes(Status::Rejected)?;
        self.must_be_in_time(*now)?;
        let approval = self.must_let_vote(voter, *revision)?;
        self.must_be_named(approval, voter)?;
        Ok(vec![DeploymentEvent::ApprovalRejected(ApprovalRejected {
            by: voter.user_id.clone(),
            revision: *revision,
            comment: optional_text(TextRule::Reason, comment.as_deref(), "comment")?,
            at: self.not_back(*now),
        })])
    }

    pub(super) fn revoke(
        &self,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<DeploymentEvent>, Refusal> {
        let approved = self.status == Some(Status::Approved);
        if !approved {
            self.must_take_votes(Status::AwaitingApproval)?;
        }
        self.must_be_in_time(now)?;
        let by = id(by, "by")?;
        let voted = |approval: &&Approval| approval.votes.contains(&by);
        let Some(approval) = self.approval.as_ref().filter(voted) else {
            let message = "the user has no vote to take back";
            return Err(Refusal::new(Code::NotVoted, message));
        };
        let mut votes = approval.votes.clone();
        votes.remove(&by);
        let missing = approval.policy.missing(&votes) > 0;
        Ok(vec![DeploymentEvent::ApprovalRevoked(ApprovalRevoked {
            by,
            revision: self.revision,
            reopened: approved && !self.overridden && missing,
            at: self.not_back(now),
        })])
    }

    pub(super) fn break_glass(
        &self,
        by: &str,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<DeploymentEvent>, Refusal> {
        if self.status != Some(Status::Approved) {
            self.must_take_votes(Status::Approved)?;
        }
        self.must_be_in_time(now)?;
        let by = id(by, "by")?;
        let reason = text(TextRule::Reason, reason, "reason")?.to_owned();
        if self.overridden {
            return Ok(vec![]);
        }
        Ok(vec![DeploymentEvent::ApprovalOverridden(
            ApprovalOverridden {
                by,
                revision: self.revision,
                reason,
                lifts: Barrier::ALL.to_vec(),
                at: self.not_back(now),
            },
        )])
    }

    pub(super) fn expire(&self, now: DateTime<Utc>) -> Result<Vec<DeploymentEvent>, Refusal> {
        self.must_become(Status::Expired)?;
        match self.expired_at(now) {
            Some(at) => {
                let expired = ApprovalExpired { at };
                Ok(vec![DeploymentEvent::ApprovalExpired(expired)])
            }
            None => Ok(vec![]),
        }
    }

    /// `APPROVAL_EXPIRED` once the approval has run out, whether that was said already or not.
    pub(super) fn must_be_in_time(&self, now: DateTime<Utc>) -> Result<(), Refusal> {
        match self.expired_at(now) {
            Some(at) => {
                let message = "the approval has run out: ask for the deployment again";
                Err(Refusal::new(Code::ApprovalExpired, message).with("expiredAt", instant(at)))
            }
            None => Ok(()),
        }
    }

    /// Now, or when the latest step before was, where that was told by a clock ahead of this one: no
    /// wait is of negative length.
    pub(super) fn not_back(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let asked_at = self.approval.as_ref().map(|approval| approval.asked_at);
        let before = asked_at.max(self.requested_at);
        before.map_or(now, |before| now.max(before))
    }

    /// Would votes be missing, were they not overridden?
    pub(super) fn lacks_votes(&self) -> bool {
        let lacks = |approval: &Approval| approval.policy.missing(&approval.votes) > 0;
        self.approval.as_ref().is_some_and(lacks)
    }

    fn expired_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let times = self.approval.as_ref()?.times;
        (times.expires_at <= now).then_some(times.expires_at)
    }

    /// Once it has started votes are over; that is told apart from its having ended otherwise.
    fn must_take_votes(&self, to: Status) -> Result<(), Refusal> {
        match self.must_exist()? {
            Status::AwaitingApproval => Ok(()),
            Status::InProgress => {
                let message = "the deployment has started: votes are over";
                Err(Refusal::new(Code::ApprovalClosed, message))
            }
            from => Err(illegal(from, to)),
        }
    }

    fn must_let_vote(&self, voter: &Voter, revision: u32) -> Result<&Approval, Refusal> {
        let Some(approval) = &self.approval else {
            return Err(not_an_approver());
        };
        if revision != self.revision {
            let message = "the deployment was amended after it was looked at";
            return Err(Refusal::new(Code::RevisionConflict, message)
                .at(["revision"])
                .with("revision", self.revision));
        }
        id(&voter.user_id, "userId")?;
        voter.standing.must_be_active()?;
        if !voter.may_vote {
            return Err(not_an_approver());
        }
        Ok(approval)
    }

    fn must_be_named(&self, approval: &Approval, voter: &Voter) -> Result<(), Refusal> {
        if !approval.policy.names(&voter.user_id) {
            return Err(not_an_approver());
        }
        if approval.votes.contains(&voter.user_id) {
            let message = "the user has voted on this revision already";
            return Err(Refusal::new(Code::AlreadyVoted, message));
        }
        Ok(())
    }
}

/// That these votes are enough, if they are.
pub(super) fn satisfied(
    policy: &ApprovalPolicy,
    votes: &BTreeSet<String>,
    revision: u32,
    now: DateTime<Utc>,
) -> Option<DeploymentEvent> {
    (policy.missing(votes) == 0).then(|| {
        DeploymentEvent::ApprovalSatisfied(ApprovalSatisfied {
            revision,
            votes: policy.count(votes),
            at: now,
        })
    })
}

fn not_an_approver() -> Refusal {
    let message = "the user is in no group that approves this deployment";
    Refusal::new(Code::NotAnApprover, message)
}
