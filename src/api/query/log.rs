//! Questions about the log itself and what follows it.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime as Instant, TimeDelta, Utc};
use projections::Page;

use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::{consumer_fault, store_fault};
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{DateTime, Position};
use crate::api::types::event::Event;
use crate::api::types::projection::ProjectionStatus;
use crate::api::types::rebuild::why;
use crate::store::{EventFilter, PageLimits, StoredEvent};

/// Positions that one question looks through at most: about a second's work.
const LOOKED_THROUGH_MAX: i64 = 500_000;

/// Positions that are looked through by one statement.
const LOOKED_AT_ONCE: i64 = 50_000;

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

/// What a page of events tells beside them.
#[derive(SimpleObject)]
pub struct EventsAsOf {
    /// The position in the log the page is as of: it shows every event up to it and none after.
    as_of_position: Position,
    /// Everything up to here was looked through. Where there is a next page, what comes behind it is asked
    /// for with `after`, or with this as `afterPosition`, which a page without an event leaves alone.
    looked_through: Position,
}

/// Questions about the log.
#[derive(Default)]
pub struct LogQueries;

#[Object]
impl LogQueries {
    /// Events in position order. Conditions add up. One question looks through a bounded part of the log: a
    /// page may be short, or empty, although there is a next one, and then `lookedThrough` tells where to go
    /// on.
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
        #[graphql(desc = "What this actor caused, such as `user:ann`.")] actor: Option<String>,
        #[graphql(desc = "What one outside request led to, by its correlation id.")]
        correlation_id: Option<String>,
        #[graphql(desc = "Recorded at this time or later.")] from: Option<DateTime>,
        #[graphql(desc = "Recorded before this time.")] to: Option<DateTime>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Event, EventsAsOf>> {
        let operation = Operation::of(ctx);
        let (kind, id) = aggregate.map_or((None, None), AggregateInput::parts);
        let filter = EventFilter {
            aggregate_type: kind,
            aggregate_id: id,
            event_types: types,
            actor,
            correlation_id,
        };
        let times = (from.map(|from| from.0), to.map(|to| to.0));
        let list = (&filter, after_position, up_to_position, times);
        let ask = Ask::<i64>::read(operation, "events", &list, first, after.as_deref())?;
        let span = span(operation, (after_position, up_to_position), times).await?;
        let begin = span.after.max(ask.after.unwrap_or_default());
        let span = Span {
            after: begin,
            ..span
        };
        let (page, looked_through) = events(operation, &filter, span, ask.first).await?;
        operation.touch(page.as_of);
        let extra = EventsAsOf {
            as_of_position: Position(page.as_of),
            looked_through: Position(looked_through),
        };
        Ok(ask.connection(page, extra, |row| row.position.0, |row| Event::from(&row)))
    }

    /// The read models: how far each has come, and what stopped those that stand still.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn projections(&self, ctx: &Context<'_>) -> Result<Vec<ProjectionStatus>> {
        let operation = Operation::of(ctx);
        let rows = operation.parts.consumers.status(operation.tenant()).await;
        let mut rows = rows.map_err(consumer_fault)?;
        for row in &mut rows {
            row.error = why(ctx, row.error.as_deref()).map(str::to_owned);
        }
        Ok(rows.into_iter().map(ProjectionStatus::from).collect())
    }
}

/// The part of the log that is asked for.
#[derive(Clone, Copy)]
struct Span {
    /// Behind here.
    after: i64,
    /// Up to here, included.
    up_to: domain::Position,
    /// The end of the log.
    head: domain::Position,
}

/// The part of the log between positions and times.
async fn span(
    operation: &Operation,
    (after, up_to): (Option<Position>, Option<Position>),
    (from, to): (Option<Instant<Utc>>, Option<Instant<Utc>>),
) -> Result<Span, Fault> {
    let (store, tenant) = (&operation.parts.store, operation.tenant());
    let head = store.head(tenant).await.map_err(store_fault)?;
    let mut span = Span {
        after: after.map_or(0, |p| p.0.0),
        up_to: up_to.map_or(head, |p| p.0.min(head)),
        head,
    };
    let before = |time: Instant<Utc>| time - TimeDelta::microseconds(1);
    if let Some(from) = from {
        let reached = store.reached_by(tenant, before(from)).await;
        span.after = span.after.max(reached.map_err(store_fault)?.0);
    }
    if let Some(to) = to {
        let reached = store.reached_by(tenant, before(to)).await;
        span.up_to = span.up_to.min(reached.map_err(store_fault)?);
    }
    Ok(span)
}

/// The next events of a part of the log, and the position everything up to which was looked through.
async fn events(
    operation: &Operation,
    filter: &EventFilter,
    span: Span,
    first: u32,
) -> Result<(Page<StoredEvent>, domain::Position), Fault> {
    let (store, most) = (&operation.parts.store, first as usize);
    // The events of one stream are found without looking through others, and a page looks through a bounded
    // number of them.
    let (at_once, in_all) = match filter.aggregate_id {
        Some(_) => (i64::MAX, i64::MAX),
        None => (LOOKED_AT_ONCE, LOOKED_THROUGH_MAX),
    };
    let further = |at: i64, by: i64| domain::Position(at.saturating_add(by));
    let enough = span.up_to.min(further(span.after, in_all));
    let (mut items, mut at) = (Vec::new(), domain::Position(span.after));
    while items.len() <= most && at < enough {
        let limits = PageLimits {
            events_max: i64::from(first) + 1 - items.len() as i64,
            up_to: enough.min(further(at.0, at_once)),
            ..PageLimits::default()
        };
        let read = store.read_filtered(operation.tenant(), filter, at, limits);
        let page = read.await.map_err(store_fault)?;
        // A page of large events is cut by their bytes: what is there already is told first.
        let is_cut = page.up_to < limits.up_to;
        at = page.up_to;
        items.extend(page.events);
        if is_cut {
            break;
        }
    }
    let has_next = items.len() > most || at < span.up_to;
    if items.len() > most {
        items.truncate(most);
        at = items
            .last()
            .map_or(at, |event: &StoredEvent| event.position);
    }
    let page = Page {
        items,
        has_next,
        as_of: span.head,
    };
    Ok((page, at.max(domain::Position(span.after))))
}
