//! What is behind one of DORA's figures: deployments and changes, and the events that say so.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject};
use chrono::{DateTime as Instant, Utc};
use domain::Position as LogPosition;
use projections::deployments;
use projections::dora::{self, DoraQuery, EvidenceCursor, EvidenceItem};
use serde::{Deserialize, Serialize};

use super::FailureKind;
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{DateTime, Position};
use crate::api::types::behind::Events;
use crate::api::types::event::Event;

/// One thing that a figure counts, and the events that say so.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct DoraEvidence {
    /// The deployment's time.
    at: DateTime,
    /// The deployment.
    deployment_id: ID,
    /// The change, where changes are counted.
    change_id: Option<String>,
    /// Lead or recovery time in seconds, where that is measured; that of a change which was left out is 0
    /// or less.
    seconds: Option<f64>,
    /// How the deployment is known to have broken something, where that is counted.
    kinds: Vec<FailureKind>,
    /// Incidents that say so.
    incident_ids: Vec<ID>,
    /// Positions of all events behind it, ascending.
    positions: Vec<Position>,
    #[graphql(skip)]
    events: Events,
}

/// Where a page goes on: time, position, change.
#[derive(Serialize, Deserialize)]
struct Place(Instant<Utc>, i64, Option<String>);

/// A figure of a span.
pub struct Behind {
    /// The question, of that span alone.
    pub query: Arc<DoraQuery>,
    /// What it counts.
    pub of: dora::DoraEvidence,
}

impl Behind {
    /// A page of what is behind it.
    pub async fn evidence(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Paged<DoraEvidence>> {
        let operation = Operation::of(ctx);
        operation.spend_evidence()?;
        let list = (&self.query, self.of);
        let ask = Ask::<Place>::read(operation, "doraEvidence", &list, first, after.as_deref())?;
        let after = ask.after.as_ref().map(|place| EvidenceCursor {
            at: place.0,
            position: LogPosition(place.1),
            change: place.2.clone(),
        });
        let mut snapshot = operation.read(&[deployments::NAME]).await?;
        let page = dora::evidence(
            &mut snapshot,
            &self.query,
            self.of,
            after.as_ref(),
            ask.first,
        )
        .await;
        let page = snapshot.answer(page)?;
        let events = Events::of(page.items.iter().flat_map(|item| &item.positions));
        let as_of = page.as_of.into();
        let place = |item: &EvidenceItem| Place(item.at, item.position.0, item.change.clone());
        Ok(ask.connection(page, as_of, place, |item| {
            DoraEvidence::new(item, events.clone())
        }))
    }
}

impl DoraEvidence {
    fn new(item: EvidenceItem, events: Events) -> DoraEvidence {
        DoraEvidence {
            at: DateTime(item.at),
            deployment_id: ID(item.deployment),
            change_id: item.change,
            seconds: item.seconds,
            kinds: item.kinds.into_iter().map(Into::into).collect(),
            incident_ids: item.incidents.into_iter().map(ID).collect(),
            positions: item.positions.into_iter().map(Position).collect(),
            events,
        }
    }
}

#[ComplexObject]
impl DoraEvidence {
    /// The events at these positions, in their order.
    async fn events(&self, ctx: &Context<'_>) -> Result<Vec<Event>> {
        self.events.at(ctx, &self.positions).await
    }
}
