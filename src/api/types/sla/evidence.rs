//! What an objective's figures were counted from.

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject};
use chrono::{DateTime as Instant, Utc};
use domain::Position as LogPosition;
use projections::slo::{self, SampleCursor, SampleKind, SampleRow, SloQuery};
use serde::{Deserialize, Serialize};

use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{DateTime, Position};
use crate::api::types::behind::Events;
use crate::api::types::event::Event;

/// A span of time that an objective measures, and the events that say so.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct SlaSample {
    /// When it ended, the time it belongs to; of an open one when it began.
    at: DateTime,
    /// When it began.
    began: DateTime,
    /// Of which deployment; null for a look at a feed.
    deployment_id: Option<ID>,
    /// How long it was; null while it is open.
    seconds: Option<f64>,
    /// Positions of the events behind it, ascending.
    positions: Vec<Position>,
    #[graphql(skip)]
    events: Events,
}

/// Where a page goes on: time and position.
#[derive(Serialize, Deserialize)]
struct Place(Instant<Utc>, i64);

/// A page of the samples of a kind.
pub async fn page(
    ctx: &Context<'_>,
    query: &SloQuery,
    kind: SampleKind,
    first: Option<i32>,
    after: Option<String>,
) -> Result<Paged<SlaSample>> {
    let operation = Operation::of(ctx);
    operation.spend_evidence()?;
    let list = (query, kind);
    let ask = Ask::<Place>::read(operation, "slaEvidence", &list, first, after.as_deref())?;
    let after = ask.after.as_ref().map(|place| SampleCursor {
        at: place.0,
        position: LogPosition(place.1),
    });
    let model = SloQuery::model(query.objective.sli);
    let mut snapshot = operation.read(&[model]).await?;
    let page = slo::evidence(&mut snapshot, query, kind, after.as_ref(), ask.first).await;
    let page = snapshot.answer(page)?;
    let events = Events::of(page.items.iter().flat_map(|row| &row.positions));
    let as_of = page.as_of.into();
    let place = |row: &SampleRow| Place(row.at, row.position.0);
    Ok(ask.connection(page, as_of, place, |row| {
        SlaSample::new(row, events.clone())
    }))
}

impl SlaSample {
    fn new(row: SampleRow, events: Events) -> SlaSample {
        SlaSample {
            at: DateTime(row.at),
            began: DateTime(row.began),
            deployment_id: row.deployment.map(ID),
            seconds: row.seconds,
            positions: row.positions.into_iter().map(Position).collect(),
            events,
        }
    }
}

#[ComplexObject]
impl SlaSample {
    /// The events at these positions, in their order.
    async fn events(&self, ctx: &Context<'_>) -> Result<Vec<Event>> {
        self.events.at(ctx, &self.positions).await
    }
}
