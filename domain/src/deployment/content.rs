//! What a deployment carries may change: before it starts it is amended, later more becomes known.

use std::collections::BTreeSet;

use super::command::Amendment;
use super::event::{
    ApprovalTimes, ChangesAdded, DeploymentAmended, DeploymentEvent, HotfixMarked, HotfixUnmarked,
};
use super::life::Status;
use super::plan::{Change, checked_changes, description};
use super::votes::satisfied;
use super::{Deployment, ids, illegal};
use crate::refusal::Refusal;
use crate::values::{TextRule, id, optional_text, text};

impl Deployment {
    pub(super) fn amend(&self, amendment: &Amendment) -> Result<Vec<DeploymentEvent>, Refusal> {
        let from = self.must_exist()?;
        if !from.is_before_start() {
            return Err(illegal(from, Status::AwaitingApproval));
        }
        let now = amendment.now;
        self.must_be_in_time(now)?;
        let by = amendment.by.as_deref().map(|by| id(by, "by")).transpose()?;
        let version = amendment.version.as_deref().unwrap_or(&self.version);
        let version = text(TextRule::Name, version, "version")?.to_owned();
        let said = description(amendment.description.as_deref())?;
        let description = said.or_else(|| self.description.clone());
        let changes = amendment.changes.as_deref();
        let changes = changes.map(|changes| checked_changes(changes, &BTreeSet::new()));
        let changes = changes.transpose()?;
        let changes = changes.filter(|changes| ids(changes) != self.changes);
        if version == self.version && description == self.description && changes.is_none() {
            return Ok(vec![]);
        }
        let revision = self.revision + 1;
        let policy = self.approval.as_ref().map(|approval| &approval.policy);
        let amended = DeploymentAmended {
            revision,
            by,
            version,
            description,
            changes,
            reopened: policy.map(|policy| ApprovalTimes::of(policy, now)),
            at: self.not_back(now),
        };
        let mut events = vec![DeploymentEvent::DeploymentAmended(amended)];
        events.extend(
            policy.and_then(|policy| {
                satisfied(policy, &BTreeSet::new(), revision, self.not_back(now))
            }),
        );
        Ok(events)
    }

    pub(super) fn amended(&mut self, event: &DeploymentAmended) {
        self.revision = event.revision;
        self.asked_by.extend(event.by.clone());
        self.version.clone_from(&event.version);
        self.description.clone_from(&event.description);
        if let Some(changes) = &event.changes {
            self.changes = ids(changes);
        }
        if let (Some(approval), Some(times)) = (&mut self.approval, event.reopened) {
            approval.asked_at = event.at;
            approval.times = times;
            approval.votes.clear();
            self.overridden = false;
            self.status = Some(Status::AwaitingApproval);
        }
    }

    pub(super) fn add_changes(&self, changes: &[Change]) -> Result<Vec<DeploymentEvent>, Refusal> {
        let status = self.must_exist()?;
        let looked_at = self.approval.is_some() && status.is_before_start();
        if looked_at {
            return Err(illegal(status, Status::AwaitingApproval));
        }
        if !self.is_of_interest() {
            return Err(illegal(status, status));
        }
        let changes = checked_changes(changes, &self.changes)?;
        if changes.is_empty() {
            return Ok(vec![]);
        }
        Ok(vec![DeploymentEvent::ChangesAdded(ChangesAdded {
            changes,
        })])
    }

    /// Did it start, or may it still?
    fn is_of_interest(&self) -> bool {
        match self.status {
            Some(Status::Rejected | Status::Expired | Status::Cancelled) | None => false,
            Some(_) => true,
        }
    }

    pub(super) fn mark_hotfix(
        &self,
        fixed_by: Option<&str>,
        reason: Option<&str>,
    ) -> Result<Vec<DeploymentEvent>, Refusal> {
        self.must_have_ended()?;
        let fixed_by = fixed_by.map(|fix| id(fix, "fixedBy")).transpose()?;
        let reason = optional_text(TextRule::Reason, reason, "reason")?;
        if self.hotfix {
            return Ok(vec![]);
        }
        let marked = HotfixMarked { fixed_by, reason };
        Ok(vec![DeploymentEvent::HotfixMarked(marked)])
    }

    pub(super) fn unmark_hotfix(
        &self,
        reason: Option<&str>,
    ) -> Result<Vec<DeploymentEvent>, Refusal> {
        self.must_have_ended()?;
        let reason = optional_text(TextRule::Reason, reason, "reason")?;
        if !self.hotfix {
            return Ok(vec![]);
        }
        Ok(vec![DeploymentEvent::HotfixUnmarked(HotfixUnmarked {
            reason,
        })])
    }

    /// What never came to run needs no fix.
    fn must_have_ended(&self) -> Result<(), Refusal> {
        let status = self.must_exist()?;
        if !status.has_ended() {
            return Err(illegal(status, status));
        }
        Ok(())
    }
}
