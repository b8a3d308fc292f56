//! How a deployment is carried out: started, ended, replaced, called off.

use chrono::{DateTime, Utc};

use super::Deployment;
use super::command::RollBack;
use super::event::{
    Barrier, DeploymentCancelled, DeploymentEvent, DeploymentFailed, DeploymentRolledBack,
    DeploymentStarted, DeploymentSucceeded,
};
use super::life::Status;
use crate::environment::Frozen;
use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, happened, instant, not_before, optional_text, text};

impl Deployment {
    pub(super) fn start(
        &self,
        at: Option<DateTime<Utc>>,
        frozen: Option<&Frozen>,
        now: DateTime<Utc>,
    ) -> Result<Vec<DeploymentEvent>, Refusal> {
        self.must_become(Status::InProgress)?;
        self.must_be_in_time(now)?;
        let waits = self
            .approval
            .as_ref()
            .map(|approval| approval.times.wait_until);
        let waits = waits.filter(|until| now < *until);
        let mut despite = Vec::new();
        if self.lacks_votes() {
            despite.push(Barrier::Approval);
        }
        if let Some(until) = waits {
            if !self.overridden {
                let message = "the wait timer of the approval is running";
                return Err(
                    Refusal::new(Code::WaitTimerRunning, message).with("until", instant(until))
                );
            }
            despite.push(Barrier::WaitTimer);
        }
        if let Some(frozen) = frozen {
            if !self.overridden {
                return Err(not_now(frozen));
            }
            despite.push(Barrier::Freeze);
        }
        let at = self.time(at, now)?;
        Ok(vec![DeploymentEvent::DeploymentStarted(
            DeploymentStarted { at, despite },
        )])
    }

    pub(super) fn succeed(
        &self,
        at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Vec<DeploymentEvent>, Refusal> {
        self.must_become(Status::Succeeded)?;
        let at = self.time(at, now)?;
        Ok(vec![DeploymentEvent::DeploymentSucceeded(
            DeploymentSucceeded { at },
        )])
    }

    pub(super) fn fail(
        &self,
        at: Option<DateTime<Utc>>,
        reason: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Vec<DeploymentEvent>, Refusal> {
        self.must_become(Status::Failed)?;
        let at = self.time(at, now)?;
        let reason = optional_text(TextRule::Reason, reason, "reason")?;
        Ok(vec![DeploymentEvent::DeploymentFailed(DeploymentFailed {
            at,
            reason,
        })])
    }

    pub(super) fn roll_back(&self, back: &RollBack) -> Result<Vec<DeploymentEvent>, Refusal> {
        self.must_become(Status::RolledBack)?;
        let to = text(TextRule::Name, &back.to, "to")?.to_owned();
        if to == self.version {
            let message = "this is the version that is to be replaced";
            return Err(Refusal::new(Code::Validation, message).at(["to"]));
        }
        if !back.known_version {
            let message = "this version was never deployed to this service and environment";
            return Err(Refusal::new(Code::VersionNeverDeployed, message).at(["to"]));
        }
        let at = self.time(back.at, back.now)?;
        let reason = optional_text(TextRule::Reason, back.reason.as_deref(), "reason")?;
        Ok(vec![DeploymentEvent::DeploymentRolledBack(
            DeploymentRolledBack { to, at, reason },
        )])
    }

    pub(super) fn cancel(
        &self,
        at: Option<DateTime<Utc>>,
        reason: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Vec<DeploymentEvent>, Refusal> {
        self.must_become(Status::Cancelled)?;
        let at = self.time(at, now)?;
        let reason = optional_text(TextRule::Reason, reason, "reason")?;
        Ok(vec![DeploymentEvent::DeploymentCancelled(
            DeploymentCancelled { at, reason },
        )])
    }

    /// When the next thing happened: as said, if that can be; else now, or when the one before it did
    /// where that was told by a clock ahead of ours.
    fn time(
        &self,
        said: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, Refusal> {
        let before = [
            (self.finished_at, "finishedAt"),
            (self.started_at, "startedAt"),
            (self.requested_at, "requestedAt"),
        ];
        let before = before
            .into_iter()
            .find_map(|(time, field)| Some((time?, field)));
        let Some((earlier, field)) = before else {
            return said.map_or(Ok(now), |said| happened(said, now, "at"));
        };
        let Some(said) = said else {
            return Ok(now.max(earlier));
        };
        let at = happened(said, now, "at")?;
        not_before(at, "at", earlier, field)?;
        Ok(at)
    }
}

fn not_now(frozen: &Frozen) -> Refusal {
    let message = "nothing is deployed to the environment now";
    let refusal = Refusal::new(Code::EnvironmentFrozen, message)
        .with("freeze", frozen.freeze_id.as_str())
        .with("reason", frozen.reason.as_str());
    match frozen.until {
        Some(until) => refusal.with("until", instant(until)),
        None => refusal,
    }
}
