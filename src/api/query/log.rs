//! Questions about the log itself and what follows it.

use async_graphql::{Context, InputObject, Object, Result};
use projections::Page;

use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::{consumer_fault, store_fault};
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::Position;
use crate::api::types::event::Event;
use crate::api::types::projection::ProjectionStatus;
use crate::store::{EventFilter, PageLimits, StoredEvent};

/// One stream of events, or all streams of a kind.
#[derive(Clone, Debug, InputObject)]
pub struct AggregateInput {
    /// Kind of stream: `vehicle`, `fleet` or `track`.
    #[graphql(name = "type")]
    kind: String,
    /// The stream's key; all of the kind if not said. A track's key is `vehicle/YYYY-MM-DD`.
    id: Option<String>,
}

impl AggregateInput {
    /// The kind, and the key if one is asked for.
    pub fn parts(self) -> (Option<String>, Option<String>) {
        (Some(self.kind), self.id)
    }
}

/// Questions about the log.
#[derive(Default)]
pub struct LogQueries;

#[Object]
impl LogQueries {
    /// Events in position order. Conditions add up.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is an argument of the schema"
    )]
    #[graphql(directive = auth::apply(AuthRole::Auditor, to(Scope::AuditRead)))]
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Events behind this position.")] after_position: Option<Position>,
        #[graphql(desc = "Events up to this position, included.")] up_to_position: Option<Position>,
        #[graphql(desc = "Of this stream, or this kind of stream.")] aggregate: Option<
            AggregateInput,
        >,
        #[graphql(desc = "Of these types, such as `vehicle.registered`.")] types: Option<
            Vec<String>,
        >,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Event>> {
        let operation = Operation::of(ctx);
        let (kind, id) = aggregate.map_or((None, None), AggregateInput::parts);
        let filter = EventFilter {
            aggregate_type: kind,
            aggregate_id: id,
            event_types: types,
        };
        let list = (&filter, after_position, up_to_position);
        let ask = Ask::<i64>::read(operation, "events", &list, first, after.as_deref())?;
        let from = after_position
            .map_or(0, |p| p.0.0)
            .max(ask.after.unwrap_or_default());
        let page = events(operation, &filter, from, up_to_position, ask.first).await?;
        operation.touch(page.as_of);
        let as_of = page.as_of.into();
        Ok(ask.connection(page, as_of, |row| row.position.0, |row| Event::from(&row)))
    }

    /// The read models: how far each has come, and what stopped those that stand still.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn projections(&self, ctx: &Context<'_>) -> Result<Vec<ProjectionStatus>> {
        let operation = Operation::of(ctx);
        let rows = operation.parts.consumers.status(operation.tenant()).await;
        let rows = rows.map_err(consumer_fault)?;
        Ok(rows.into_iter().map(ProjectionStatus::from).collect())
    }
}

async fn events(
    operation: &Operation,
    filter: &EventFilter,
    after: i64,
    up_to: Option<Position>,
    first: u32,
) -> Result<Page<StoredEvent>, Fault> {
    let store = &operation.parts.store;
    let as_of = store.head(operation.tenant()).await.map_err(store_fault)?;
    let limits = PageLimits {
        events_max: i64::from(first) + 1,
        up_to: up_to.map_or(as_of, |p| p.0.min(as_of)),
        ..PageLimits::default()
    };
    let after = domain::Position(after);
    let read = store
        .read_filtered(operation.tenant(), filter, after, limits)
        .await;
    let page = read.map_err(store_fault)?;
    // A page of large events is cut by their bytes.
    let has_next = page.events.len() > first as usize || page.up_to < limits.up_to;
    let mut items = page.events;
    items.truncate(first as usize);
    Ok(Page {
        items,
        has_next,
        as_of,
    })
}
