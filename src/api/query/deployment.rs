//! Questions about deployments, environments and incidents.

use async_graphql::{Context, ID, InputObject, Object, OneofObject, Result};
use chrono::{DateTime as Instant, Utc};
use domain::ExternalRef;
use domain::environment::environment_id;
use projections::Page;
use projections::deployments::{self, DeploymentRow, IncidentRow, ListCursor};

use super::dora::known_at;
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::{deployments_fault, store_fault};
use crate::api::fault::{Fault, FaultCode};
use crate::api::mutation::deployment::input::ExternalRefInput;
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{DateTime, Position};
use crate::api::types::deployment::{
    Deployment, DeploymentStatus, EnvironmentTier, IncidentStatus,
};
use crate::api::types::environment::Environment;
use crate::api::types::incident::Incident;
use crate::deployments::history::Until;

/// As something was known in the past: by a place in the log, or by a time.
#[derive(Clone, Debug, OneofObject)]
pub enum AsOfInput {
    /// As of this position, which the log has reached.
    Position(Position),
    /// As it was recorded by this time.
    Time(DateTime),
}

/// Which deployments; conditions add up.
#[derive(Debug, Default, InputObject)]
pub struct DeploymentFilterInput {
    /// Those of this project.
    project: Option<String>,
    /// Those of this service.
    service: Option<String>,
    /// Those to this environment.
    environment: Option<String>,
    /// Those to environments that were for this.
    tier: Option<EnvironmentTier>,
    /// Those that stand at one of these.
    status: Option<Vec<DeploymentStatus>>,
    /// Those of this version.
    version: Option<String>,
    /// Those another system calls so: several, where it deploys several services at once.
    external: Option<ExternalRefInput>,
    /// Those known from then on.
    from: Option<DateTime>,
    /// Those known before then.
    to: Option<DateTime>,
}

/// Which incidents; conditions add up.
#[derive(Debug, Default, InputObject)]
pub struct IncidentFilterInput {
    /// Those of this project.
    project: Option<String>,
    /// Those of this service.
    service: Option<String>,
    /// Those that stand so.
    status: Option<IncidentStatus>,
    /// Those that began from then on.
    from: Option<DateTime>,
    /// Those that began before then.
    to: Option<DateTime>,
}

/// Where a page goes on: time and id.
type Place = (Instant<Utc>, String);

/// Questions about deployments, environments and incidents.
#[derive(Default)]
pub struct DeploymentQueries;

#[Object]
impl DeploymentQueries {
    /// One deployment; null if there is none with this id, or was none then.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn deployment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The deployment's id.")] id: ID,
        #[graphql(desc = "As it was known then; as it is if not said.")] as_of: Option<AsOfInput>,
    ) -> Result<Option<Deployment>> {
        match as_of {
            None => deployment(ctx, &id).await,
            Some(as_of) => deployment_as_of(ctx, &id, as_of).await,
        }
    }

    /// Deployments, those that were wanted or told of last first. As of then, conditions are on what was so
    /// then; what each was is read from the log: at most 200 in one operation.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn deployments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<DeploymentFilterInput>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "As the list was then; as it is if not said.")] as_of: Option<AsOfInput>,
    ) -> Result<Paged<Deployment>> {
        let operation = Operation::of(ctx);
        let filter = filter.unwrap_or_default();
        if let Some(as_of) = as_of {
            return board_as_of(operation, filter, as_of, (first, after)).await;
        }
        let ask = Ask::<Place>::read(operation, "deployments", &filter, first, after.as_deref())?;
        let filter = filter.read();
        let mut snapshot = operation.read(&[deployments::NAME]).await?;
        let after = ask.after.clone().map(cursor);
        let page =
            deployments::deployments(&mut snapshot, &filter, after.as_ref(), ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        Ok(ask.connection(page, as_of, place, Deployment::from))
    }

    /// Deployments that wait for the caller's vote, the newest first: a rule names them, they have not
    /// voted on the current revision, and it is not their own where that bars them.
    #[graphql(directive = auth::apply(AuthRole::Approver, to(Scope::DeploymentsApprove)))]
    async fn pending_approvals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Deployment>> {
        let operation = Operation::of(ctx);
        let person = operation.parts.auth.person(&operation.caller).await;
        let person = person.map_err(|error| deployments_fault(error.into()))?;
        // A program has no vote, so nothing waits for it.
        let user_id = person.unwrap_or_default();
        let list = user_id.as_str();
        let ask = Ask::<Place>::read(
            operation,
            "pendingApprovals",
            &list,
            first,
            after.as_deref(),
        )?;
        let now = operation.parts.clock.now();
        let mut snapshot = operation.read(&[deployments::NAME]).await?;
        let after = ask.after.clone().map(cursor);
        let after = after.as_ref();
        let page =
            deployments::pending_approvals(&mut snapshot, &user_id, now, after, ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        Ok(ask.connection(page, as_of, place, Deployment::from))
    }

    /// One environment; null if the project has none of this name.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn environment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project.")] project: String,
        #[graphql(desc = "The environment's name within the project.")] name: String,
    ) -> Result<Option<Environment>> {
        environment(ctx, &environment_id(&project, &name)).await
    }

    /// Environments by ascending id.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn environments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Those of this project; all if not said.")] project: Option<String>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Environment>> {
        let operation = Operation::of(ctx);
        let ask =
            Ask::<String>::read(operation, "environments", &project, first, after.as_deref())?;
        let now = operation.parts.clock.now();
        let mut snapshot = operation.read(&[deployments::NAME]).await?;
        let (project, after) = (project.as_deref(), ask.after.as_deref());
        let page = deployments::environments(&mut snapshot, project, now, after, ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        Ok(ask.connection(page, as_of, |row| row.id.clone(), Environment::from))
    }

    /// One incident; null if there is none with this id.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn incident(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The incident's id.")] id: ID,
    ) -> Result<Option<Incident>> {
        incident(ctx, &id).await
    }

    /// Incidents, those that began last first.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn incidents(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<IncidentFilterInput>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Incident>> {
        let operation = Operation::of(ctx);
        let filter = filter.unwrap_or_default();
        let ask = Ask::<Place>::read(operation, "incidents", &filter, first, after.as_deref())?;
        let filter = deployments::IncidentFilter {
            project: filter.project,
            service: filter.service,
            status: filter.status.map(Into::into),
            from: filter.from.map(|from| from.0),
            to: filter.to.map(|to| to.0),
        };
        let mut snapshot = operation.read(&[deployments::NAME]).await?;
        let after = ask.after.clone().map(cursor);
        let page = deployments::incidents(&mut snapshot, &filter, after.as_ref(), ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        let place = |row: &IncidentRow| (row.opened_at, row.id.clone());
        Ok(ask.connection(page, as_of, place, Incident::from))
    }
}

impl DeploymentFilterInput {
    fn read(self) -> deployments::DeploymentFilter {
        let status = self.status;
        deployments::DeploymentFilter {
            project: self.project,
            service: self.service,
            environment: self.environment,
            tier: self.tier.map(Into::into),
            status: status.map(|status| status.into_iter().map(Into::into).collect()),
            version: self.version,
            external: self.external.map(ExternalRef::from),
            from: self.from.map(|from| from.0),
            to: self.to.map(|to| to.0),
        }
    }
}

fn cursor((at, id): Place) -> ListCursor {
    ListCursor { at, id }
}

fn place(row: &DeploymentRow) -> Place {
    (row.known_at, row.id.clone())
}

/// One deployment as it stands.
pub async fn deployment(ctx: &Context<'_>, id: &str) -> Result<Option<Deployment>> {
    let mut snapshot = Operation::of(ctx).read(&[deployments::NAME]).await?;
    let row = deployments::deployment(&mut snapshot, id).await;
    Ok(snapshot.answer(row)?.map(Deployment::from))
}

/// One deployment as its own events tell it up to then.
async fn deployment_as_of(
    ctx: &Context<'_>,
    id: &str,
    as_of: AsOfInput,
) -> Result<Option<Deployment>> {
    let operation = Operation::of(ctx);
    let head = operation.parts.store.head(operation.tenant()).await;
    let head = head.map_err(store_fault)?;
    let until = match as_of {
        AsOfInput::Position(Position(position)) if position > head => {
            let fault = Fault::of(FaultCode::BadPosition);
            return Err(fault.with("head", head.to_string()).into());
        }
        AsOfInput::Position(Position(position)) => Until::Position(position),
        AsOfInput::Time(DateTime(time)) => Until::Time(time),
    };
    let deployments = &operation.parts.deployments;
    let history = deployments.history(operation.tenant(), id, until).await;
    let history = history.map_err(deployments_fault)?;
    operation.touch(head);
    Ok(history.map(Deployment::from))
}

/// The list as it was then: the read model knows which deployments were on it, the log what each was.
async fn board_as_of(
    operation: &Operation,
    filter: DeploymentFilterInput,
    as_of: AsOfInput,
    (first, after): (Option<i32>, Option<String>),
) -> Result<Paged<Deployment>> {
    let list = (&filter, &as_of);
    let ask = Ask::<Place>::read(operation, "deployments", &list, first, after.as_deref())?;
    let known = known_at(operation, as_of).await?;
    let (filter, after) = (filter.read(), ask.after.clone().map(cursor));
    let page = {
        let mut snapshot = operation.read(&[deployments::NAME]).await?;
        let (after, first) = (after.as_ref(), ask.first);
        let page =
            deployments::deployments_known(&mut snapshot, &filter, known, after, first).await;
        snapshot.answer(page)?
    };
    for _ in &page.items {
        operation.spend_evidence()?;
    }
    let ids = page.items.into_iter().map(|place| place.id);
    let until = Until::Position(page.as_of);
    let deployments = &operation.parts.deployments;
    let told = deployments.histories(operation.tenant(), ids, until).await;
    let page = Page {
        items: told.map_err(deployments_fault)?,
        has_next: page.has_next,
        as_of: page.as_of,
    };
    let as_of = page.as_of.into();
    Ok(ask.connection(page, as_of, |told| place(&told.row), Deployment::from))
}

/// One environment, by the key of its stream.
pub async fn environment(ctx: &Context<'_>, id: &str) -> Result<Option<Environment>> {
    let operation = Operation::of(ctx);
    let now = operation.parts.clock.now();
    let mut snapshot = operation.read(&[deployments::NAME]).await?;
    let row = deployments::environment(&mut snapshot, id, now).await;
    Ok(snapshot.answer(row)?.map(Environment::from))
}

/// One incident.
pub async fn incident(ctx: &Context<'_>, id: &str) -> Result<Option<Incident>> {
    let mut snapshot = Operation::of(ctx).read(&[deployments::NAME]).await?;
    let row = deployments::incident(&mut snapshot, id).await;
    Ok(snapshot.answer(row)?.map(Incident::from))
}
