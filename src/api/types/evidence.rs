//! Evidence: the fixes behind a figure, each a record of an event that can be looked at.

use async_graphql::connection::{Connection, ConnectionNameType, Edge, EmptyFields};
use async_graphql::{Context, OutputType, SimpleObject};
use chrono::{DateTime as Instant, Utc};
use domain::Position;
use projections::evidence::{EvidenceCursor, EvidencePage};
use projections::trends::Scope;
use projections::{ReadError, Snapshot, heatmap, positions, trends};
use serde::{Deserialize, Serialize};

use super::fix::PositionFix;
use super::span::scope_models;
use crate::api::cursor::Sealable;
use crate::api::operation::Operation;
use crate::api::page::Ask;
use crate::api::scalars;

/// A page of the fixes behind a figure, by fix time, vehicle, position and index.
pub type Evidence = Connection<Sealable, PositionFix, EvidenceAsOf, EmptyFields, EvidenceName>;

/// Names the connection apart from other pages of fixes.
pub struct EvidenceName;

impl ConnectionNameType for EvidenceName {
    fn type_name<T: OutputType>() -> String {
        "EvidenceConnection".to_owned()
    }
}

/// What a page of evidence tells beside its fixes.
#[derive(SimpleObject)]
pub struct EvidenceAsOf {
    /// Fixes up to this position of the log are listed: that of the figure's read model.
    as_of_position: scalars::Position,
    /// False while the history of positions has not come as far as the figure: fixes may be missing.
    complete: bool,
}

/// Where a page goes on: fix time, vehicle, position, index.
#[derive(Serialize, Deserialize)]
struct Place(Instant<Utc>, String, i64, i32);

/// A figure whose fixes can be listed.
#[derive(Clone, Debug)]
pub enum Figure {
    /// Of a cell over a span.
    Cell(projections::H3Cell, Instant<Utc>, Instant<Utc>),
    /// Of a scope over a span.
    Scope(Scope, Instant<Utc>, Instant<Utc>),
}

impl Figure {
    /// A page of the fixes behind it.
    pub async fn evidence(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Evidence> {
        let operation = Operation::of(ctx);
        operation.spend_evidence()?;
        let ask = Ask::<Place>::read(operation, "evidence", self, first, after.as_deref())?;
        let mut snapshot = operation.read(&self.models()).await?;
        let page = self.ask(&mut snapshot, &ask).await;
        let page = snapshot.answer(page)?;
        Ok(connection(&ask, page))
    }

    fn models(&self) -> Vec<&'static str> {
        let mut models = match self {
            Figure::Cell(..) => vec![heatmap::NAME],
            Figure::Scope(scope, ..) => scope_models(trends::NAME, scope),
        };
        models.push(positions::NAME);
        models
    }

    async fn ask(&self, snap: &mut Snapshot, ask: &Ask<Place>) -> Result<EvidencePage, ReadError> {
        let after = ask
            .after
            .as_ref()
            .map(|Place(fix_time, vehicle_id, position, index)| {
                let (fix_time, index, position) = (*fix_time, *index, Position(*position));
                EvidenceCursor {
                    fix_time,
                    vehicle_id: vehicle_id.clone(),
                    position,
                    index,
                }
            });
        let (after, first) = (after.as_ref(), ask.first);
        match self {
            Figure::Cell(cell, from, to) => {
                heatmap::evidence(snap, *cell, *from, *to, after, first).await
            }
            Figure::Scope(scope, from, to) => {
                trends::evidence(snap, scope, *from, *to, after, first).await
            }
        }
    }
}

fn connection(ask: &Ask<Place>, page: EvidencePage) -> Evidence {
    let node = PositionFix::page(page.fixes.iter().map(|row| row.position).collect());
    let as_of = EvidenceAsOf {
        as_of_position: scalars::Position(page.as_of),
        complete: page.complete,
    };
    let mut connection =
        Connection::with_additional_fields(ask.after.is_some(), page.has_next, as_of);
    connection.edges.extend(page.fixes.into_iter().map(|row| {
        let at = Place(
            row.fix_time,
            row.vehicle_id.clone(),
            row.position.0,
            row.index,
        );
        Edge::new(ask.list.at(&at), node(row))
    }));
    connection
}
