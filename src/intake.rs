//! Webhooks of systems that deploy: who may send them, and what they say, as commands.

pub mod generic;
pub mod github;
mod signature;
mod sources;

pub use signature::Signature;
pub use sources::{Source, Sources, SourcesError};

use domain::deployment::{Deployment, DeploymentCommand, Record, Status};

/// What a delivery tells of one deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The deployment's id with us.
    pub id: String,
    /// The deployment as it stands now.
    pub record: Record,
    /// What its environment is for was said, not read out of its name.
    pub tier_said: bool,
    /// Why, where it failed or was called off.
    pub why: Option<String>,
}

impl Told {
    /// The next command on the way from where the deployment stands with us to where it is told to stand;
    /// `None` where nothing is left to do. Asked again after each command it comes to an end, in whatever
    /// order deliveries come and however often: nothing leads back. Two ends that are told of one
    /// deployment cannot both be true; that is for the command of the second one to find out.
    pub fn next(&self, ours: &Deployment) -> Option<DeploymentCommand> {
        let Record {
            status,
            started_at,
            finished_at,
            now,
            ..
        } = self.record;
        let Some(stands) = ours.status else {
            return Some(DeploymentCommand::Record(self.record.clone()));
        };
        match (stands, status) {
            // Its start was not told, or is told after its end.
            (Status::Approved, Status::InProgress | Status::Succeeded | Status::Failed) => {
                Some(DeploymentCommand::Start {
                    at: started_at.or(finished_at),
                    frozen: None,
                    now,
                })
            }
            (stands, told) if stands == told => None,
            // What replaced it came after its end.
            (Status::RolledBack, _) => None,
            (_, Status::Succeeded) => Some(DeploymentCommand::Succeed {
                at: finished_at,
                now,
            }),
            (_, Status::Failed) => Some(DeploymentCommand::Fail {
                at: finished_at,
                reason: self.why.clone(),
                now,
            }),
            (_, Status::Cancelled) => Some(DeploymentCommand::Cancel {
                at: finished_at,
                reason: self.why.clone(),
                now,
            }),
            // Told late: what came after it is known.
            _ => None,
        }
    }
}
