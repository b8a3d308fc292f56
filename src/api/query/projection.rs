//! Questions about read models themselves: rebuilds, generations, what failed, who decided what.

use async_graphql::{Context, Object, Result};
use projections::Page;

use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::{consumer_fault, store_fault};
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::types::rebuild::{
    FailedEvent, Generation, ProjectionDecision, Rebuild, must_be_known,
};
use crate::consumers::{self, ConsumerError};

/// Questions about read models themselves.
#[derive(Default)]
pub struct ProjectionQueries;

/// Where a list of rebuilds goes on.
type Begun = (chrono::DateTime<chrono::Utc>, String);

#[Object]
impl ProjectionQueries {
    /// Rebuilds of read models, the newest first.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn rebuilds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this read model; of all if not said.")] name: Option<String>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Rebuild>> {
        let operation = Operation::of(ctx);
        must_be_known(operation, name.as_deref()).await?;
        let ask = Ask::<Begun>::read(operation, "rebuilds", &name, first, after.as_deref())?;
        let (store, tenant) = (&operation.parts.store, operation.tenant());
        let before = ask.after.clone();
        let rows = consumers::rebuilds(store, tenant, name.as_deref(), before, ask.first + 1).await;
        let page = page(operation, rows, ask.first).await?;
        let as_of = page.as_of.into();
        let place = |row: &consumers::RebuildStatus| (row.started_at, row.projection.clone());
        Ok(ask.connection(page, as_of, place, Rebuild))
    }

    /// The generations of read models that there are: the one that answers, the one that is kept, those
    /// being built, and those as of positions.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn generations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this read model; of all if not said.")] name: Option<String>,
    ) -> Result<Vec<Generation>> {
        let operation = Operation::of(ctx);
        must_be_known(operation, name.as_deref()).await?;
        let store = &operation.parts.store;
        let rows = consumers::generations(store, operation.tenant(), name.as_deref()).await;
        let rows = rows.map_err(consumer_fault)?;
        Ok(rows.into_iter().map(Generation::from).collect())
    }

    /// Events that read models could not take in, the last first, and what was decided about them.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn failed_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this read model; of all if not said.")] name: Option<String>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<FailedEvent>> {
        let operation = Operation::of(ctx);
        must_be_known(operation, name.as_deref()).await?;
        let ask = Ask::<(i64, String, i32)>::read(
            operation,
            "failedEvents",
            &name,
            first,
            after.as_deref(),
        )?;
        let (store, tenant) = (&operation.parts.store, operation.tenant());
        let behind = ask.after.clone();
        let rows =
            consumers::failed_events(store, tenant, name.as_deref(), behind, ask.first + 1).await;
        let page = page(operation, rows, ask.first).await?;
        let as_of = page.as_of.into();
        let place =
            |row: &consumers::FailedEvent| (row.position.0, row.projection.clone(), row.generation);
        Ok(ask.connection(page, as_of, place, FailedEvent::from))
    }

    /// What people decided about read models, the last first: who rebuilt, paused, skipped, rolled back or
    /// dropped what, when and why.
    #[graphql(directive = auth::apply(AuthRole::Auditor, to(Scope::AuditRead)))]
    async fn projection_decisions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "About this read model; about all if not said.")] name: Option<String>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<ProjectionDecision>> {
        let operation = Operation::of(ctx);
        must_be_known(operation, name.as_deref()).await?;
        let list = "projectionDecisions";
        let ask = Ask::<i64>::read(operation, list, &name, first, after.as_deref())?;
        let (store, tenant) = (&operation.parts.store, operation.tenant());
        let (name, before) = (name.as_deref(), ask.after);
        let rows = consumers::decisions(store, tenant, name, before, ask.first + 1).await;
        let page = page(operation, rows, ask.first).await?;
        let as_of = page.as_of.into();
        let place = |row: &consumers::Decision| row.number;
        Ok(ask.connection(page, as_of, place, ProjectionDecision::from))
    }
}

/// A page of bookkeeping: as of the log's end.
async fn page<T>(
    operation: &Operation,
    rows: std::result::Result<Vec<T>, ConsumerError>,
    first: u32,
) -> std::result::Result<Page<T>, Fault> {
    let mut items = rows.map_err(consumer_fault)?;
    let head = operation.parts.store.head(operation.tenant()).await;
    let as_of = head.map_err(store_fault)?;
    operation.touch(as_of);
    let has_next = items.len() > first as usize;
    items.truncate(first as usize);
    Ok(Page {
        items,
        has_next,
        as_of,
    })
}
