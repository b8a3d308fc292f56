//! Incidents are opened, and put down to the deployments that caused them, on purpose or by a rule.

use domain::deployment::Deployment;
use domain::incident::{Incident, IncidentCommand, IncidentReport, LinkKind};
use domain::{Code, values};

use super::{Deployments, DeploymentsError};
use crate::commands::{CommandContext, CommandError, Receipt, recorded_incident_id};

/// The rule that infers a deployment: the last one that reached production, of the project and of the
/// service and environment that are known to be broken, before the incident began.
pub const INFERENCE_RULE: &str = "last_production_success";

/// An incident that is to be known.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its id from now on; not given: follows from what it is called elsewhere, or is made.
    pub id: Option<String>,
    /// What it is about.
    pub report: IncidentReport,
    /// What it is put down to on purpose; none: the rule looks.
    pub deployment: Option<String>,
}

impl Deployments {
    /// Makes an incident known, and puts it down to what caused it: as said, or by the rule. These are
    /// two commands; one sent again takes up where the first one was cut off.
    pub async fn open(
        &self,
        ctx: &CommandContext,
        opened: Opened,
    ) -> Result<(String, Receipt), DeploymentsError> {
        let report = opened.report.checked(ctx.now)?;
        let id = match (opened.id, &report.external) {
            (None, Some(external)) => recorded_incident_id(external),
            (given, _) => ctx.new_id(given, "incident")?,
        };
        if let Some(deployment) = &opened.deployment {
            // Nothing is opened that cannot be put down to what it should be.
            self.must_be_known(ctx, deployment).await?;
        }
        let command = IncidentCommand::Open {
            report: report.clone(),
            now: ctx.now,
        };
        let door = &self.0.door;
        let kept = door.execute::<Incident>(ctx, &id, command).await?;
        let following = ctx.following();
        let linked = match opened.deployment {
            Some(deployment) => {
                let kind = (LinkKind::Explicit, None);
                Some(self.link(&following, &id, &deployment, kind).await)
            }
            None => self.infer(&following, &id, &report).await?,
        };
        let linked = match linked {
            None => kept,
            Some(Ok(linked)) => linked,
            // Known before, and looked at by people since.
            Some(Err(DeploymentsError::Command(CommandError::Refused(refusal))))
                if matches!(refusal.code, Code::AlreadyLinked | Code::LinkWithdrawn) =>
            {
                kept
            }
            Some(Err(error)) => return Err(error),
        };
        // Whoever came first is the first one, even where a copy was faster with the rest.
        let replayed = kept.replayed;
        Ok((id, Receipt { replayed, ..linked }))
    }

    /// Puts an incident down to a deployment that is known at that very moment, on purpose.
    pub async fn link_on_purpose(
        &self,
        ctx: &CommandContext,
        id: &str,
        deployment: &str,
    ) -> Result<Receipt, DeploymentsError> {
        self.link(ctx, id, deployment, (LinkKind::Explicit, None))
            .await
    }

    /// Tells an incident something that depends on nothing else.
    pub async fn on_incident(
        &self,
        ctx: &CommandContext,
        id: &str,
        command: IncidentCommand,
    ) -> Result<Receipt, DeploymentsError> {
        let door = &self.0.door;
        Ok(door.execute::<Incident>(ctx, id, command).await?)
    }

    /// Puts an incident down to what the rule finds, if it finds anything and nobody has said better.
    async fn infer(
        &self,
        ctx: &CommandContext,
        id: &str,
        report: &IncidentReport,
    ) -> Result<Option<Result<Receipt, DeploymentsError>>, DeploymentsError> {
        let state: Incident = self.0.door.load_now(&ctx.tenant, id).await?;
        if !state.links.is_empty() {
            return Ok(None);
        }
        let place = (report.service.as_deref(), report.environment.as_deref());
        let cause = self
            .last_success(&ctx.tenant, &report.project, place, report.opened_at)
            .await?;
        let Some(deployment) = cause else {
            return Ok(None);
        };
        let kind = (LinkKind::Inferred, Some(INFERENCE_RULE.to_owned()));
        Ok(Some(self.link(ctx, id, &deployment, kind).await))
    }

    async fn link(
        &self,
        ctx: &CommandContext,
        id: &str,
        deployment: &str,
        (kind, rule): (LinkKind, Option<String>),
    ) -> Result<Receipt, DeploymentsError> {
        let deployment = values::id(deployment, "deployment")?;
        let named = deployment.clone();
        let link = |known: &Deployment| IncidentCommand::LinkDeployment {
            deployment: named,
            kind,
            rule,
            known: known.status.is_some(),
        };
        let door = &self.0.door;
        let kept = door
            .execute_relying::<Incident, Deployment>(ctx, id, &deployment, link)
            .await?;
        Ok(kept)
    }

    async fn must_be_known(
        &self,
        ctx: &CommandContext,
        deployment: &str,
    ) -> Result<(), DeploymentsError> {
        let deployment = values::id(deployment, "deployment")?;
        let state: Deployment = self.0.door.load_now(&ctx.tenant, &deployment).await?;
        if state.status.is_none() {
            let refusal = domain::Refusal::new(Code::NotFound, "no such deployment");
            return Err(refusal.at(["deployment"]).into());
        }
        Ok(())
    }
}
