//! Deployments are asked for, told of, and moved on.

use chrono::{DateTime, Utc};
use domain::deployment::{
    Amendment, Change, Deployment, DeploymentCommand, Plan, Record, Request, Requester, RollBack,
    Status, Tier,
};
use domain::environment::{Environment, environment_id};
use domain::{Code, Refusal, values};

use super::{Deployments, DeploymentsError};
use crate::auth::{Caller, Credential};
use crate::commands::{CommandContext, CommandError, Receipt, recorded_deployment_id};

/// A deployment that somebody wants.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its id from now on; made if not given.
    pub id: Option<String>,
    /// What, where to, why.
    pub plan: Plan,
    /// Those whom the environment's policy names are asked in the same go.
    pub ask: bool,
}

/// A deployment that somebody tells of.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its id from now on; not given: follows from what it is called elsewhere, or is made.
    pub id: Option<String>,
    /// What, where to, why.
    pub plan: Plan,
    /// What the environment is for; not given: as the environment says.
    pub tier: Option<Tier>,
    /// Who wanted it.
    pub requested_by: Option<Requester>,
    /// Where it stands.
    pub status: Status,
    /// When it was wanted.
    pub requested_at: Option<DateTime<Utc>>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Deployments {
    /// Wants a deployment, and asks for its approval: where there is no rule, it is approved. The two are
    /// one after the other; a command sent again takes up where the first one was cut off.
    pub async fn request(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        order: Order,
    ) -> Result<(String, Receipt), DeploymentsError> {
        let id = ctx.new_id(order.id, "deployment")?;
        let plan = order.plan.checked()?;
        let environment = environment_id(&plan.project, &plan.environment);
        let requested_by = self.requester(caller).await?;
        let request = |environment: &Environment| {
            DeploymentCommand::Request(Request {
                plan,
                tier: environment.tier,
                requested_by,
                now: ctx.now,
            })
        };
        let door = &self.0.door;
        let requested = door
            .execute_relying::<Deployment, Environment>(ctx, &id, &environment, request)
            .await?;
        if !order.ask {
            return Ok((id, requested));
        }
        let asked = self.request_approval(&ctx.following(), &id).await;
        match asked {
            Ok(asked) => {
                // Whoever came first is the first one, even where a copy was faster with the rest.
                let replayed = requested.replayed;
                Ok((id, Receipt { replayed, ..asked }))
            }
            // Somebody else has asked, after the first one was cut off.
            Err(DeploymentsError::Command(CommandError::Refused(refusal)))
                if refusal.code == Code::IllegalTransition =>
            {
                Ok((id, requested))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes note of a deployment somewhere else.
    pub async fn record(
        &self,
        ctx: &CommandContext,
        told: Told,
    ) -> Result<(String, Receipt), DeploymentsError> {
        let plan = told.plan.checked()?;
        let id = match (told.id, &plan.external) {
            (None, Some(external)) => {
                recorded_deployment_id(external, &plan.environment, &plan.service)
            }
            (given, _) => ctx.new_id(given, "deployment")?,
        };
        let environment = environment_id(&plan.project, &plan.environment);
        let said = told.tier;
        let record = |environment: &Environment| {
            DeploymentCommand::Record(Record {
                plan,
                // Told apart from what is not known before the command is sent; see below.
                tier: said.or(environment.tier).unwrap_or(Tier::Other),
                requested_by: told.requested_by,
                status: told.status,
                requested_at: told.requested_at,
                started_at: told.started_at,
                finished_at: told.finished_at,
                now: ctx.now,
            })
        };
        let door = &self.0.door;
        if said.is_none() {
            let known: Environment = door.load_now(&ctx.tenant, &environment).await?;
            if known.tier.is_none() {
                let message = "no such environment of this project, and what it is for is not said";
                let refusal = Refusal::new(Code::EnvironmentNotFound, message);
                return Err(refusal.at(["environment"]).into());
            }
        }
        let kept = door
            .execute_relying::<Deployment, Environment>(ctx, &id, &environment, record)
            .await?;
        Ok((id, kept))
    }

    /// Asks those whom the environment's policy names at this moment.
    pub async fn request_approval(
        &self,
        ctx: &CommandContext,
        id: &str,
    ) -> Result<Receipt, DeploymentsError> {
        let ask = |environment: &Environment| DeploymentCommand::RequestApproval {
            policy: environment.policy.clone(),
            now: ctx.now,
        };
        self.relying_on_environment(ctx, id, ask).await
    }

    /// Begins, unless the environment is frozen at this moment.
    pub async fn begin(
        &self,
        ctx: &CommandContext,
        id: &str,
        at: Option<DateTime<Utc>>,
    ) -> Result<Receipt, DeploymentsError> {
        let start = |environment: &Environment| DeploymentCommand::Start {
            at,
            frozen: environment.frozen_at(ctx.now),
            now: ctx.now,
        };
        self.relying_on_environment(ctx, id, start).await
    }

    /// Goes back to a version that ran before. Whether it did is for the read model to say; while that is
    /// behind, nobody can tell, which is no refusal.
    pub async fn roll_back(
        &self,
        ctx: &CommandContext,
        id: &str,
        (to, at, reason): (String, Option<DateTime<Utc>>, Option<String>),
    ) -> Result<Receipt, DeploymentsError> {
        let state: Deployment = self.0.door.load_now(&ctx.tenant, id).await?;
        let ran = state.status.is_some_and(Status::has_ended);
        // One that cannot be rolled back is refused whatever the version, and so is a text that is none.
        let known_version = ran
            && values::text(values::TextRule::Name, &to, "to").is_ok()
            && self.was_deployed(&ctx.tenant, &state, to.trim()).await?;
        let command = DeploymentCommand::RollBack(RollBack {
            to,
            at,
            reason,
            known_version,
            now: ctx.now,
        });
        self.on_deployment(ctx, id, command).await
    }

    /// Makes it another one before it starts, which is what the caller asks for, too.
    pub async fn amend(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        id: &str,
        (version, description, changes): (Option<String>, Option<String>, Option<Vec<Change>>),
    ) -> Result<Receipt, DeploymentsError> {
        let command = DeploymentCommand::Amend(Amendment {
            by: self.0.auth.person(caller).await?,
            version,
            description,
            changes,
            now: ctx.now,
        });
        self.on_deployment(ctx, id, command).await
    }

    /// Tells a deployment something that depends on nothing else.
    pub async fn on_deployment(
        &self,
        ctx: &CommandContext,
        id: &str,
        command: DeploymentCommand,
    ) -> Result<Receipt, DeploymentsError> {
        let door = &self.0.door;
        Ok(door.execute::<Deployment>(ctx, id, command).await?)
    }

    async fn relying_on_environment(
        &self,
        ctx: &CommandContext,
        id: &str,
        command: impl FnOnce(&Environment) -> DeploymentCommand + Clone,
    ) -> Result<Receipt, DeploymentsError> {
        let door = &self.0.door;
        // As the log has it: where it goes never changes once it is known.
        let state: Deployment = door.load_now(&ctx.tenant, id).await?;
        let environment = environment_id(&state.project, &state.environment);
        let kept = door
            .execute_relying::<Deployment, Environment>(ctx, id, &environment, command)
            .await?;
        Ok(kept)
    }

    /// Whoever is asking, as those who want a deployment are told apart.
    async fn requester(&self, caller: &Caller) -> Result<Requester, DeploymentsError> {
        let id = caller.actor.id.to_string();
        Ok(match self.0.auth.person(caller).await? {
            Some(user_id) => Requester::User(user_id),
            None if caller.credential == Credential::ApiKey => Requester::ApiKey(id),
            None => Requester::Machine(id),
        })
    }
}
