//! What a webhook tells of a deployment is taken in: recorded where it is not known, moved on where it is.

use std::ops::ControlFlow;

use domain::deployment::{Deployment, DeploymentCommand, Record, Status};
use domain::environment::{Environment, environment_id};
use domain::{Code, Refusal};

use super::{Deployments, DeploymentsError};
use crate::commands::{CommandContext, CommandError, Receipt};
use crate::intake::Told;

/// How often it is looked where a deployment stands: it takes two steps at most, and as many more where
/// others take them at the same time.
const LOOKS_MAX: usize = 6;

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// In a word.
    pub came: Came,
    /// Where the deployment stands.
    pub status: Status,
    /// Of the last command; `replayed` if the delivery had been taken before, and then of all that has
    /// happened to the deployment since.
    pub receipt: Receipt,
}

/// What a delivery came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// The deployment was not known.
    Recorded,
    /// It was, and stands elsewhere now.
    Moved,
    /// All of it was known.
    Unchanged,
}

impl Deployments {
    /// Takes in what a delivery tells. The first command is the same wherever the deployment stands, so its
    /// receipt is that of the delivery: sent again, it is answered as before, and goes on where the first
    /// one was cut off.
    pub async fn take(&self, ctx: &CommandContext, told: &Told) -> Result<Taken, DeploymentsError> {
        let was = self.standing(ctx, told).await?;
        let first = self.record_told(ctx, told).await?;
        let mut last = first;
        let mut refused: Option<(Refusal, Status)> = None;
        for _ in 0..LOOKS_MAX {
            let ours = self.standing(ctx, told).await?;
            let (Some(status), command) = (ours.status, told.next(&ours)) else {
                break;
            };
            let Some(command) = command else {
                let came = match was.status {
                    None => Came::Recorded,
                    Some(was) if was != status => Came::Moved,
                    Some(_) => Came::Unchanged,
                };
                let receipt = match first.replayed {
                    true => self.reached(ctx, told, first).await?,
                    false => last,
                };
                return Ok(Taken {
                    came,
                    status,
                    receipt,
                });
            };
            if let Some((refusal, at)) = refused.take()
                && at == status
            {
                return Err(refusal.into());
            }
            match self.step(ctx, &told.id, command).await {
                // A copy of this delivery may have taken the step for us; the delivery is ours all the same.
                Ok(kept) => {
                    last = Receipt {
                        replayed: first.replayed,
                        ..kept
                    }
                }
                // Another delivery may have been faster: then it stands elsewhere by now.
                Err(CommandError::Refused(refusal)) if refusal.code == Code::IllegalTransition => {
                    refused = Some((refusal, status));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let message = "others keep telling of this deployment; send it again";
        Err(Refusal::new(Code::VersionConflict, message).into())
    }

    /// Where the deployment stands by what the log holds: what is still on its way may never be kept, and
    /// a delivery that was answered on it would not come again. One of another project has the same names
    /// elsewhere by mistake, or by design.
    async fn standing(
        &self,
        ctx: &CommandContext,
        told: &Told,
    ) -> Result<Deployment, DeploymentsError> {
        let ours: Deployment = self.0.door.load_now(&ctx.tenant, &told.id).await?;
        if ours.status.is_some() && ours.project != told.record.plan.project {
            let message = "a deployment of another project has this external id";
            return Err(Refusal::new(Code::ExternalIdTaken, message).into());
        }
        Ok(ours)
    }

    /// The receipt of a delivery that was taken before, up to where the deployment has come: its steps lie
    /// behind its first command, and whoever reads at the receipt's position sees them.
    async fn reached(
        &self,
        ctx: &CommandContext,
        told: &Told,
        first: Receipt,
    ) -> Result<Receipt, DeploymentsError> {
        let mut receipt = first;
        let door = &self.0.door;
        let walked = door.walk::<Deployment>(&ctx.tenant, &told.id, |event| {
            receipt.position = receipt.position.max(event.position);
            receipt.version = event.sequence;
            Ok(ControlFlow::Continue(()))
        });
        walked.await?;
        Ok(receipt)
    }

    /// Records it; known already, nothing comes of that but the receipt.
    async fn record_told(
        &self,
        ctx: &CommandContext,
        told: &Told,
    ) -> Result<Receipt, DeploymentsError> {
        let plan = told.record.plan.clone().checked()?;
        let environment = environment_id(&plan.project, &plan.environment);
        let (said, record) = (told.tier_said, told.record.clone());
        let record = |environment: &Environment| {
            let known = environment.tier.filter(|_| !said);
            DeploymentCommand::Record(Record {
                tier: known.unwrap_or(record.tier),
                ..record
            })
        };
        let door = &self.0.door;
        let kept = door
            .execute_relying::<Deployment, Environment>(ctx, &told.id, &environment, record)
            .await?;
        Ok(kept)
    }

    /// Takes a step. Its id follows from the delivery's and from what it is, since one that was cut off
    /// takes the steps that are left. A freeze stops nothing here: what happened elsewhere is told.
    async fn step(
        &self,
        ctx: &CommandContext,
        id: &str,
        command: DeploymentCommand,
    ) -> Result<Receipt, CommandError> {
        let ctx = match command {
            DeploymentCommand::Start { .. } => ctx.following(),
            _ => ctx.following().following(),
        };
        self.0.door.execute::<Deployment>(&ctx, id, command).await
    }
}
