//! How a delta gets into the tables of deployments, environments and incidents.

mod deployments;
mod beside;
mod environments;
mod incidents;

use sqlx::PgConnection;

use super::Delta;
use crate::Target;

/// Writes the tables in one order, each in key order, so that two writers cannot wait for each other.
pub(super) async fn delta(
    conn: &mut PgConnection,
    target: &Target<'_>,
    delta: Delta,
) -> Result<(), sqlx::Error> {
    deployments::deployments(conn, target, delta.deployments).await?;
    beside::changes(conn, target, delta.changes).await?;
    beside::votes(conn, target, delta.votes).await?;
    beside::approvers(conn, target, delta.approvers).await?;
    beside::steps(conn, target, delta.steps).await?;
    environments::environments(conn, target, delta.environments).await?;
    environments::freezes(conn, target, delta.freezes).await?;
    incidents::incidents(conn, target, delta.incidents).await?;
    incidents::facts(conn, target, delta.facts).await
}
