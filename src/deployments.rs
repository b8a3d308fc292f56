//! Deployments, environments and incidents through the front door: what a command on one of them needs to
//! know of others, looked up at the moment it is decided.
//!
//! What can be relied on while it is appended is (an environment, a voter's account); what only a read
//! model knows (which versions ever ran, what ran last) is asked once that has come up to the log's end.

mod expiry;
pub mod history;
mod incidents;
mod intake;
mod looking;
mod moving;
mod voting;

pub use incidents::{INFERENCE_RULE, Opened};
pub use intake::{Came, Taken};
pub use moving::{Order, Told};
pub use voting::Ballot;

use std::sync::Arc;
use std::time::Duration;

use domain::environment::{Environment, EnvironmentCommand, environment_id};
use domain::{Position, Refusal, values};
use projections::{ReadError, Reader};

use crate::auth::{Auth, Role};
use crate::commands::{CommandContext, CommandError, Door, Receipt};
use crate::config::Settings;
use crate::consumers::Consumers;
use crate::ops::Clock;
use crate::store::{Store, StoreError};

/// What happens to deployments, and what it takes to know. Cheap to clone.
#[derive(Clone)]
pub struct Deployments(Arc<Inner>);

struct Inner {
    door: Door,
    store: Store,
    auth: Auth,
    reader: Reader,
    consumers: Consumers,
    /// How long a command waits for the read model that it has a question to.
    wait: Duration,
    /// How many open deployments one look at what has run out reads, of each tenant.
    batch: u32,
}

/// What [`Deployments`] stands on.
pub struct Foundation {
    /// The write door.
    pub door: Door,
    /// The log.
    pub store: Store,
    /// Who calls.
    pub auth: Auth,
    /// The read models.
    pub reader: Reader,
    /// Who keeps them up to date.
    pub consumers: Consumers,
    /// What time it is.
    pub clock: Clock,
}

/// Why nothing became of a command.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentsError {
    /// It was refused, or failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The caller has not this role any more: the log says so by now.
    #[error("the caller may not do this any more")]
    Forbidden(Role),
    /// What has to be known first is not: the read model is behind the log by this much.
    #[error("the read model is at {reached}, the log at {head}")]
    Behind {
        /// How far the read model is.
        reached: Position,
        /// How far it should be.
        head: Position,
    },
    /// The read model could not be asked.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<Refusal> for DeploymentsError {
    fn from(refusal: Refusal) -> DeploymentsError {
        DeploymentsError::Command(refusal.into())
    }
}

impl From<StoreError> for DeploymentsError {
    fn from(error: StoreError) -> DeploymentsError {
        DeploymentsError::Command(error.into())
    }
}

impl Deployments {
    /// Puts them over these parts, and gives up approvals that have run out until the last clone is
    /// dropped.
    pub fn start(settings: &Settings, on: Foundation) -> Deployments {
        let deployments = Deployments(Arc::new(Inner {
            door: on.door,
            store: on.store,
            auth: on.auth,
            reader: on.reader,
            consumers: on.consumers,
            wait: settings.consumers.wait_max,
            batch: settings.deployments.expiry_batch,
        }));
        tokio::spawn(expiry::tend(
            Arc::downgrade(&deployments.0),
            on.clock,
            settings.deployments.expiry_interval,
        ));
        deployments
    }

    /// Tells an environment something. Gives the key of its stream.
    pub async fn on_environment(
        &self,
        ctx: &CommandContext,
        project: &str,
        name: &str,
        command: EnvironmentCommand,
    ) -> Result<(String, Receipt), DeploymentsError> {
        let project = values::id(project, "project")?;
        let id = environment_id(&project, &values::id(name, "environment")?);
        let door = &self.0.door;
        let kept = door.execute::<Environment>(ctx, &id, command).await?;
        Ok((id, kept))
    }
}
