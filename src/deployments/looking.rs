//! What only the read model knows, asked once it has come as far as the log.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::Position;
use domain::deployment::Deployment;
use projections::{Snapshot, deployments};

use super::{Deployments, DeploymentsError};

impl Deployments {
    /// Did this version ever run where the deployment goes?
    pub(super) async fn was_deployed(
        &self,
        tenant: &Arc<str>,
        state: &Deployment,
        version: &str,
    ) -> Result<bool, DeploymentsError> {
        let mut snapshot = self.up_to_date(tenant).await?;
        let place = (
            state.project.as_str(),
            state.environment.as_str(),
            state.service.as_str(),
        );
        let found = deployments::deployed_version(&mut snapshot, place, version).await?;
        Ok(found.is_some())
    }

    /// What reached production last at that time, in a project, and in a service and an environment of
    /// it where these are known.
    pub(super) async fn last_success(
        &self,
        tenant: &Arc<str>,
        project: &str,
        (service, environment): (Option<&str>, Option<&str>),
        at: DateTime<Utc>,
    ) -> Result<Option<String>, DeploymentsError> {
        let mut snapshot = self.up_to_date(tenant).await?;
        let last =
            deployments::last_success(&mut snapshot, project, service, environment, at, None)
                .await?;
        Ok(last.map(|row| row.id))
    }

    /// The read model as of the log's end, or why not: what is not known yet is not told to be not so.
    async fn up_to_date(&self, tenant: &Arc<str>) -> Result<Snapshot, DeploymentsError> {
        let inner = &self.0;
        let head = inner.store.head(tenant).await?;
        let models = &[deployments::NAME];
        let waited = inner.consumers.wait_for(tenant, models, head, inner.wait);
        if let Err(stale) = waited.await {
            let reached = stale.reached.iter().map(|(_, at)| *at).min();
            return Err(behind(reached, head));
        }
        let snapshot = inner.reader.snapshot(tenant).await?;
        let reached = snapshot.position(models)?;
        if reached < head {
            // This process knows more than the database does, as after a crash of the server.
            inner.consumers.look_again(tenant).await;
            return Err(behind(Some(reached), head));
        }
        Ok(snapshot)
    }
}

fn behind(reached: Option<Position>, head: Position) -> DeploymentsError {
    let reached = reached.unwrap_or_default();
    DeploymentsError::Behind { reached, head }
}
