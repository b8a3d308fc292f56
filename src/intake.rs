//! Webhooks of systems that deploy: what they say, as commands. Nothing here does I/O.

pub mod generic;
pub mod github;
pub mod signature;

use domain::deployment::{Deployment, DeploymentCommand, Record, Status};

/// What a delivery tells of one deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The deployment's id with us.
    pub id: String,
    /// The deployment as it stands now.
    pub record: Record,
    /// Why, where it failed.
    pub why: Option<String>,
}

impl Told {
    /// The next command on the way from where the deployment stands with us to where it is told to stand;
    /// `None` where nothing is left to do. Asked again after each command it comes to an end, in whatever
    /// order deliveries come and however often: nothing leads back.
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
            (Status::InProgress, Status::Succeeded) => Some(DeploymentCommand::Succeed {
                at: finished_at,
                now,
            }),
            (Status::InProgress, Status::Failed) => Some(DeploymentCommand::Fail {
                at: finished_at,
                reason: self.why.clone(),
                now,
            }),
            _ => None,
        }
    }
}
