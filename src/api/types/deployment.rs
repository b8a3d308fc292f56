//! Deployments: what the board shows, who agreed, what happened and what is carried.

mod approval;
mod news;
mod words;

pub use approval::{ApprovalPolicy, DeploymentApproval};
pub use news::DeploymentNews;
pub use words::{
    DeploymentReason, DeploymentStatus, EnvironmentTier, ExternalRef, IncidentLinkKind,
    IncidentSeverity, IncidentStatus, RequesterKind, Weekday,
};

use async_graphql::{ComplexObject, Context, ID, Object, Result, SimpleObject, Value};
use projections::Page;
use projections::deployments::{self, ChangeRow, DeploymentRow, Requested, Step};

use super::int;
use super::user::open;
use crate::api::failure::deployments_fault;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{DateTime, Json, Position};
use crate::auth::Role;
use crate::deployments::history::{History, Until};

/// A version of a service on its way to an environment of a project, or there.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Deployment {
    /// Its id, unique among the tenant's deployments.
    pub id: ID,
    /// The project.
    project: String,
    /// The service.
    service: String,
    /// The environment's name within the project.
    environment: String,
    /// What the environment was for when the deployment was wanted.
    tier: EnvironmentTier,
    /// What is deployed.
    version: String,
    /// What it replaces, if that is known.
    previous_version: Option<String>,
    /// Why.
    reason: DeploymentReason,
    /// What kind of change it is, in the operator's words.
    change_type: Option<String>,
    /// A sentence for people.
    description: Option<String>,
    /// Whose service it is.
    team: Option<String>,
    /// The incident that it is to end.
    remedies: Option<ID>,
    /// What the system that deploys calls it.
    external: Option<ExternalRef>,
    /// Who wanted it, if that is known.
    requested_by: Option<DeploymentRequester>,
    /// Its number: 1, and one more for each time it was amended. A vote names the one it is on.
    revision: i32,
    /// Where it stands.
    status: DeploymentStatus,
    /// The first time told of it: lists are in this order.
    known_at: DateTime,
    /// When it was wanted.
    requested_at: Option<DateTime>,
    /// When it was approved; null if it is not, or not any more.
    approved_at: Option<DateTime>,
    /// When it began.
    started_at: Option<DateTime>,
    /// Since when it runs, or ran.
    succeeded_at: Option<DateTime>,
    /// When it came to nothing.
    failed_at: Option<DateTime>,
    /// Since when another version runs again; null if none does, or nobody told when.
    rolled_back_at: Option<DateTime>,
    /// Which version.
    rolled_back_to: Option<String>,
    /// When it was rejected, called off or ran out.
    closed_at: Option<DateTime>,
    /// Number of events in its stream: what `expectedVersion` is compared with.
    stream_version: i32,
    /// Position of the last event in its stream.
    last_event_position: Position,
    #[graphql(skip)]
    told: Told,
}

/// Where the rest of a deployment is looked up.
enum Told {
    /// In the read model, and in the log up to its position.
    ByModel,
    /// It was asked for as of then.
    AsOf(Box<History>),
}

/// Who wanted a deployment.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct DeploymentRequester {
    /// What they are.
    kind: RequesterKind,
    /// A user's or an API key's id, a program's name; null for a person elsewhere.
    id: Option<String>,
    #[graphql(skip)]
    person: Option<(String, projections::accounts::Sealed)>,
}

/// One change that a deployment carries, mostly a commit.
#[derive(SimpleObject)]
pub struct DeploymentChange {
    /// What it is called where it was made, such as a commit's hash.
    id: String,
    /// When it was committed: lead time begins here.
    committed_at: DateTime,
    /// When it was written first.
    authored_at: Option<DateTime>,
    /// When it was put forward to be merged.
    opened_at: Option<DateTime>,
    /// When somebody else looked at it first.
    first_review_at: Option<DateTime>,
    /// When it was merged.
    merged_at: Option<DateTime>,
    /// Position of the event that said so last.
    position: Position,
}

/// One event of a deployment's timeline.
pub struct DeploymentStep(Step);

impl From<DeploymentRow> for Deployment {
    fn from(row: DeploymentRow) -> Deployment {
        Deployment::new(row, Told::ByModel)
    }
}

impl From<History> for Deployment {
    fn from(history: History) -> Deployment {
        Deployment::new(history.row.clone(), Told::AsOf(Box::new(history)))
    }
}

impl Deployment {
    fn new(row: DeploymentRow, told: Told) -> Deployment {
        Deployment {
            requested_by: row.requested_by.map(|by| requester(&row.id, by)),
            id: ID(row.id),
            project: row.project,
            service: row.service,
            environment: row.environment,
            tier: row.tier.into(),
            version: row.version,
            previous_version: row.previous_version,
            reason: row.reason.into(),
            change_type: row.change_type,
            description: row.description,
            team: row.team,
            remedies: row.remedies.map(ID),
            external: row.external.map(ExternalRef::from),
            revision: int(row.revision),
            status: row.status.into(),
            known_at: DateTime(row.known_at),
            requested_at: row.requested_at.map(DateTime),
            approved_at: row.approved_at.map(DateTime),
            started_at: row.started_at.map(DateTime),
            succeeded_at: row.succeeded_at.map(DateTime),
            failed_at: row.failed_at.map(DateTime),
            rolled_back_at: row.rolled_back_at.map(DateTime),
            rolled_back_to: row.rolled_back_to,
            closed_at: row.closed_at.map(DateTime),
            stream_version: int(row.stream_version),
            last_event_position: Position(row.position),
            told,
        }
    }

    /// Up to where its own events are its past.
    fn as_of(&self) -> Option<domain::Position> {
        matches!(self.told, Told::AsOf(_)).then_some(self.last_event_position.0)
    }
}

#[ComplexObject]
impl Deployment {
    /// How far its approval has come: the policy it was asked under, and who said what; null if it was
    /// never asked for. Read from the log: at most 200 in one operation.
    async fn approval(&self, ctx: &Context<'_>) -> Result<Option<DeploymentApproval>> {
        if let Told::AsOf(history) = &self.told {
            return Ok(DeploymentApproval::of(history));
        }
        let operation = Operation::of(ctx);
        operation.spend_evidence()?;
        let until = Until::Position(self.last_event_position.0);
        let deployments = &operation.parts.deployments;
        let history = deployments.history(operation.tenant(), &self.id, until);
        let history = history.await.map_err(deployments_fault)?;
        Ok(history.as_ref().and_then(DeploymentApproval::of))
    }

    /// What happened to it, in order of position; of one asked for as of then, what had happened by
    /// then.
    async fn timeline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<DeploymentStep>> {
        let operation = Operation::of(ctx);
        let list = (self.id.as_str(), self.as_of());
        let ask = Ask::<i64>::read(operation, "timeline", &list, first, after.as_deref())?;
        let after = ask.after.map(domain::Position);
        let mut snapshot = operation.read(&[deployments::NAME]).await?;
        let page = deployments::timeline(&mut snapshot, &self.id, after, ask.first).await;
        let mut page = snapshot.answer(page)?;
        if let Some(until) = self.as_of() {
            let steps = page.items.len();
            page.items.retain(|step| step.position <= until);
            page.has_next &= page.items.len() == steps;
        }
        let as_of = page.as_of.into();
        Ok(ask.connection(page, as_of, |step| step.position.0, DeploymentStep))
    }

    /// What it carries, by ascending id of the change.
    async fn changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<DeploymentChange>> {
        let operation = Operation::of(ctx);
        let list = (self.id.as_str(), self.as_of());
        let ask = Ask::<String>::read(operation, "changes", &list, first, after.as_deref())?;
        let page = match &self.told {
            Told::AsOf(history) => of_history(history, ask.after.as_deref(), ask.first),
            Told::ByModel => {
                let mut snapshot = operation.read(&[deployments::NAME]).await?;
                let after = ask.after.as_deref();
                let page = deployments::changes(&mut snapshot, &self.id, after, ask.first).await;
                snapshot.answer(page)?
            }
        };
        let as_of = page.as_of.into();
        let place = |row: &ChangeRow| row.change.id.clone();
        Ok(ask.connection(page, as_of, place, DeploymentChange::from))
    }
}

/// A page of what a deployment carried.
fn of_history(history: &History, after: Option<&str>, first: u32) -> Page<ChangeRow> {
    let behind = |id: &str| after.is_none_or(|after| id > after);
    let rest = history.changes.iter().filter(|(id, _)| behind(id));
    let mut items: Vec<ChangeRow> = rest.map(|(_, row)| row.clone()).collect();
    let has_next = items.len() > first as usize;
    items.truncate(first as usize);
    Page {
        items,
        has_next,
        as_of: history.row.position,
    }
}

fn requester(deployment: &str, by: Requested) -> DeploymentRequester {
    let (kind, id, person) = match by {
        Requested::User(id) => (RequesterKind::User, Some(id), None),
        Requested::ApiKey(id) => (RequesterKind::ApiKey, Some(id), None),
        Requested::Machine(name) => (RequesterKind::Machine, Some(name), None),
        Requested::Person(sealed) => {
            let subject = format!("deployment:{deployment}");
            (RequesterKind::Person, None, Some((subject, sealed)))
        }
    };
    DeploymentRequester { kind, id, person }
}

#[ComplexObject]
impl DeploymentRequester {
    /// The name of a person elsewhere: for administrators, to others FORBIDDEN. Null for those who have
    /// an id, and once its key is destroyed.
    async fn person_name(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let Some((subject, sealed)) = &self.person else {
            return Ok(None);
        };
        if !Operation::of(ctx).caller.may(Role::Admin) {
            let fault = Fault::of(FaultCode::Forbidden);
            return Err(fault.with("role", Role::Admin.as_str()).into());
        }
        Ok(open(ctx, subject, "requested_by", Some(sealed)).await?)
    }
}

impl From<ChangeRow> for DeploymentChange {
    fn from(row: ChangeRow) -> DeploymentChange {
        let change = row.change;
        DeploymentChange {
            id: change.id,
            committed_at: DateTime(change.committed_at),
            authored_at: change.authored_at.map(DateTime),
            opened_at: change.opened_at.map(DateTime),
            first_review_at: change.first_review_at.map(DateTime),
            merged_at: change.merged_at.map(DateTime),
            position: Position(row.position),
        }
    }
}

/// One event of a deployment's timeline; links of incidents are among them.
#[Object]
impl DeploymentStep {
    /// Position of the event.
    async fn position(&self) -> Position {
        Position(self.0.position)
    }

    /// The event's type, such as `deployment.started`.
    #[graphql(name = "type")]
    async fn kind(&self) -> &str {
        &self.0.kind
    }

    /// When it happened; when it was recorded where nobody told.
    async fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// Who did or told it, as `kind:id`.
    async fn actor(&self) -> &str {
        &self.0.actor
    }

    /// What is worth telling.
    async fn detail(&self) -> Json {
        Json(Value::from_json(self.0.detail.clone()).unwrap_or_default())
    }
}
