//! Inputs that tell of a deployment as a whole, and what all inputs about one have in common.

use async_graphql::{ID, InputObject};
use domain::deployment::{Change, Plan, Requester};

use crate::api::mutation::payload::Conditions;
use crate::api::scalars::DateTime;
use crate::api::types::deployment::{
    DeploymentReason, DeploymentStatus, EnvironmentTier, RequesterKind,
};
use crate::deployments::{Order, Told};

/// The input of a command on something that is there: its own fields, between which one it is and the
/// conditions that every such command takes.
macro_rules! head_of {
    ($(#[doc = $doc:literal])* $name:ident {
        $($(#[doc = $field_doc:literal])* $field:ident: $ty:ty,)*
    }) => {
        $(#[doc = $doc])*
        #[derive(InputObject)]
        struct $name {
            /// Which one.
            id: ID,
            $($(#[doc = $field_doc])* $field: $ty,)*
            /// Idempotency key, 1 to 255 characters.
            command_id: Option<ID>,
            /// Refuse with VERSION_CONFLICT unless it is at this version.
            expected_version: Option<i32>,
        }

        impl $name {
            fn head(&self) -> (Conditions, ID) {
                let conditions = Conditions {
                    command_id: self.command_id.clone(),
                    expected_version: self.expected_version,
                };
                (conditions, self.id.clone())
            }
        }
    };
}
pub(in crate::api::mutation) use head_of;

/// A name another system gave.
#[derive(Debug, InputObject)]
pub struct ExternalRefInput {
    /// Which system, such as `github`; 1 to 128 characters.
    source: String,
    /// What it is called there; 1 to 128 characters.
    id: String,
}

/// One change that a deployment carries, mostly a commit.
#[derive(InputObject)]
pub struct DeploymentChangeInput {
    /// What it is called where it was made, such as a commit's hash; 1 to 64 characters.
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
}

/// Who wanted a deployment.
#[derive(InputObject)]
pub struct RequesterInput {
    /// What they are.
    kind: RequesterKind,
    /// A user's or an API key's id, a program's or a person's name; a person's is sealed.
    name: String,
}

/// An input that tells of a deployment as a whole: fields of its own between those of every plan.
macro_rules! plan_of {
    ($(#[doc = $doc:literal])* $name:ident {
        $($(#[doc = $field_doc:literal])* $(#[graphql($($with:tt)*)])? $field:ident: $ty:ty,)*
    }) => {
        $(#[doc = $doc])*
        #[derive(InputObject)]
        pub struct $name {
            /// The deployment's id from now on, 1 to 128 characters; made if not said.
            id: Option<ID>,
            /// The project, 1 to 128 characters.
            project: String,
            /// The service within the project, 1 to 128 characters.
            service: String,
            /// The environment's name within the project.
            environment: String,
            /// What is deployed: a tag, a number, a commit; at most 200 characters.
            version: String,
            /// What it replaces, if that is known.
            previous_version: Option<String>,
            /// Why.
            #[graphql(default_with = "DeploymentReason::Planned")]
            reason: DeploymentReason,
            /// What kind of change it is, such as `standard`; at most 64 characters.
            change_type: Option<String>,
            /// A sentence for people; at most 500 characters.
            description: Option<String>,
            /// Whose service it is.
            team: Option<String>,
            /// The incident that it is to end.
            remedies: Option<ID>,
            /// What the system that deploys calls it; unique together with service and environment.
            external: Option<ExternalRefInput>,
            /// What is new in this version, as far as it is known; at most 1,000.
            changes: Option<Vec<DeploymentChangeInput>>,
            $($(#[doc = $field_doc])* $(#[graphql($($with)*)])? $field: $ty,)*
            /// Idempotency key, 1 to 255 characters.
            command_id: Option<ID>,
        }

        impl $name {
            fn plan(&mut self) -> Plan {
                let take = std::mem::take::<String>;
                Plan {
                    project: take(&mut self.project),
                    service: take(&mut self.service),
                    environment: take(&mut self.environment),
                    version: take(&mut self.version),
                    previous_version: self.previous_version.take(),
                    reason: self.reason.into(),
                    change_type: self.change_type.take(),
                    description: self.description.take(),
                    team: self.team.take(),
                    remedies: self.remedies.take().map(|id| id.0),
                    external: self.external.take().map(domain::ExternalRef::from),
                    changes: changes(self.changes.take().unwrap_or_default()),
                }
            }
        }
    };
}

plan_of! {
    /// Asks for a deployment.
    RequestDeploymentInput {
        /// False: approval is asked for later by `requestApproval`, as when more than 1,000 changes are to
        /// be told first.
        #[graphql(default = true)]
        ask_approval: bool,
    }
}

plan_of! {
    /// Tells of a deployment somewhere else. Times that are not known are left out: where it is wanted only,
    /// `requestedAt` is needed, where it is under way `startedAt`, where it has ended `finishedAt`.
    RecordDeploymentInput {
        /// What the environment is for; as the environment says if not said.
        tier: Option<EnvironmentTier>,
        /// Who wanted it.
        requested_by: Option<RequesterInput>,
        /// Where it stands.
        status: DeploymentStatus,
        /// When it was wanted.
        requested_at: Option<DateTime>,
        /// When it began.
        started_at: Option<DateTime>,
        /// When it ended.
        finished_at: Option<DateTime>,
    }
}

impl RequestDeploymentInput {
    /// What is wanted, and under which conditions.
    pub fn order(mut self) -> (Conditions, Order) {
        let order = Order {
            plan: self.plan(),
            id: self.id.map(|id| id.0),
            ask: self.ask_approval,
        };
        (Conditions::of_new(self.command_id), order)
    }
}

impl RecordDeploymentInput {
    /// What is told, and under which conditions.
    pub fn told(mut self) -> (Conditions, Told) {
        let told = Told {
            plan: self.plan(),
            id: self.id.map(|id| id.0),
            tier: self.tier.map(Into::into),
            requested_by: self.requested_by.map(Requester::from),
            status: self.status.into(),
            requested_at: self.requested_at.map(|at| at.0),
            started_at: self.started_at.map(|at| at.0),
            finished_at: self.finished_at.map(|at| at.0),
        };
        (Conditions::of_new(self.command_id), told)
    }
}

impl From<ExternalRefInput> for domain::ExternalRef {
    fn from(external: ExternalRefInput) -> domain::ExternalRef {
        domain::ExternalRef {
            source: external.source,
            id: external.id,
        }
    }
}

impl From<RequesterInput> for Requester {
    fn from(by: RequesterInput) -> Requester {
        match by.kind {
            RequesterKind::User => Requester::User(by.name),
            RequesterKind::ApiKey => Requester::ApiKey(by.name),
            RequesterKind::Machine => Requester::Machine(by.name),
            RequesterKind::Person => Requester::Person(by.name),
        }
    }
}

/// Changes as the domain takes them.
pub fn changes(changes: Vec<DeploymentChangeInput>) -> Vec<Change> {
    let change = |change: DeploymentChangeInput| Change {
        id: change.id,
        committed_at: change.committed_at.0,
        authored_at: change.authored_at.map(|at| at.0),
        opened_at: change.opened_at.map(|at| at.0),
        first_review_at: change.first_review_at.map(|at| at.0),
        merged_at: change.merged_at.map(|at| at.0),
    };
    changes.into_iter().map(change).collect()
}
