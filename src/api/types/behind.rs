//! The events behind the items of a page.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_graphql::{Context, Result};
use domain::Position as LogPosition;

use super::event::Event;
use crate::api::batch::Batch;
use crate::api::failure::store_fault;
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::scalars::Position;
use crate::store::StoredEvent;

/// The events behind all items of a page: the first that is asked for looks up all of them together.
#[derive(Clone)]
pub struct Events(Arc<Batch<LogPosition, Arc<StoredEvent>>>);

impl Events {
    /// Those at these positions.
    pub fn of<'p>(positions: impl IntoIterator<Item = &'p LogPosition>) -> Events {
        let positions: HashSet<_> = positions.into_iter().copied().collect();
        Events(Batch::of(positions))
    }

    /// One item's, in the order of its positions.
    pub async fn at(&self, ctx: &Context<'_>, positions: &[Position]) -> Result<Vec<Event>> {
        let operation = Operation::of(ctx);
        let mut events = Vec::with_capacity(positions.len());
        for position in positions {
            let event = self.0.get(&position.0, |at| stored(operation, at));
            events.extend(event.await?.map(|event| Event::from(&*event)));
        }
        Ok(events)
    }
}

async fn stored(
    operation: &Operation,
    positions: &[LogPosition],
) -> Result<HashMap<LogPosition, Arc<StoredEvent>>, Fault> {
    let store = &operation.parts.store;
    let events = store.read_positions(operation.tenant(), positions).await;
    let events = events.map_err(store_fault)?;
    let at = |event: StoredEvent| (event.position, Arc::new(event));
    Ok(events.into_iter().map(at).collect())
}
