//! Questions about where vehicles are and were.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result};
use chrono::{DateTime as Instant, Utc};
use projections::positions::{
    self, AsOf, FixKey, HistoryOrder as Order, HistoryQuery, LatestCursor, LatestFilter,
};
use projections::vehicles;
use serde::{Deserialize, Serialize};

use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{DateTime, Duration};
use crate::api::types::fix::{LatestPosition, PositionFix};
use crate::api::types::span::{BoundingBox, Near, invalid, span};

/// Which end of a history comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[graphql(remote = "projections::positions::HistoryOrder")]
pub enum HistoryOrder {
    /// Ascending fix time.
    #[default]
    OldestFirst,
    /// Descending fix time.
    NewestFirst,
}

/// A moment in fix time, and how far back to look from it.
#[derive(Clone, Copy, Debug, InputObject)]
pub struct MomentInput {
    /// The moment, included.
    time: DateTime,
    /// A vehicle not heard of for this long before the moment is left out; at most 31 days.
    window: Duration,
}

/// Longest window of a moment: that much history is read for it.
const WINDOW_MAX: std::time::Duration = std::time::Duration::from_secs(31 * 86_400);

/// Where a page of latest positions goes on.
#[derive(Serialize, Deserialize)]
struct LatestPlace(Option<f64>, String);

/// Where a page of history goes on.
#[derive(Serialize, Deserialize)]
struct FixPlace(Instant<Utc>, i64, i32);

/// Questions about where vehicles are and were.
#[derive(Default)]
pub struct PositionQueries;

#[Object]
impl PositionQueries {
    /// The latest fix of each vehicle, by ascending vehicle id; with `near`, the nearest first.
    /// Conditions add up.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is an argument of the schema"
    )]
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn latest_positions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Those in this rectangle.")] bbox: Option<BoundingBox>,
        #[graphql(desc = "Those in this circle.")] near: Option<Near>,
        #[graphql(desc = "These vehicles; at most 200.")] vehicle_ids: Option<Vec<ID>>,
        #[graphql(desc = "Present members of this fleet.")] fleet_id: Option<ID>,
        #[graphql(desc = "Those heard of at or after this time.")] since: Option<DateTime>,
        #[graphql(desc = "Each vehicle's latest fix at that time, instead of now.")] at: Option<
            MomentInput,
        >,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<LatestPosition>> {
        let operation = Operation::of(ctx);
        let filter = LatestFilter {
            vehicle_ids: vehicle_ids.map(|ids| ids.into_iter().map(|id| id.0).collect()),
            fleet_id: fleet_id.map(|id| id.0),
            area: bbox.map(BoundingBox::checked).transpose()?,
            cells: None,
            near: near.map(Near::checked).transpose()?,
            since: since.map(|since| since.0),
            as_of: at.map(moment).transpose()?,
        };
        let query = "latestPositions";
        let ask = Ask::<LatestPlace>::read(operation, query, &filter, first, after.as_deref())?;
        let after = ask
            .after
            .as_ref()
            .map(|LatestPlace(distance_m, vehicle_id)| LatestCursor {
                distance_m: *distance_m,
                vehicle_id: vehicle_id.clone(),
            });
        let models: &[_] = match filter.fleet_id {
            Some(_) => &[positions::NAME, vehicles::NAME],
            None => &[positions::NAME],
        };
        let mut snapshot = operation.read(models).await?;
        let page = positions::latest(&mut snapshot, &filter, after.as_ref(), ask.first).await;
        let page = snapshot.answer(page)?;
        let (as_of, node) = (page.as_of.into(), LatestPosition::page(&page.items));
        let place = |row: &positions::LatestRow| {
            let cursor = row.cursor();
            LatestPlace(cursor.distance_m, cursor.vehicle_id)
        };
        Ok(ask.connection(page, as_of, place, node))
    }

    /// The fixes of a vehicle with `from` <= fix time < `to`, whenever they were reported.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is an argument of the schema"
    )]
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn position_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose.")] vehicle_id: ID,
        #[graphql(desc = "Fix time, included.")] from: DateTime,
        #[graphql(desc = "Fix time, excluded.")] to: DateTime,
        #[graphql(desc = "Which end comes first.", default)] order: HistoryOrder,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<PositionFix>> {
        let operation = Operation::of(ctx);
        let (from, to) = span(from, to)?;
        let query = HistoryQuery {
            vehicle_id: vehicle_id.0,
            from,
            to,
            order: Order::from(order),
        };
        let name = "positionHistory";
        let ask = Ask::<FixPlace>::read(operation, name, &query, first, after.as_deref())?;
        let after = ask
            .after
            .as_ref()
            .map(|FixPlace(fix_time, position, index)| FixKey {
                fix_time: *fix_time,
                position: domain::Position(*position),
                index: *index,
            });
        let mut snapshot = operation.read(&[positions::NAME]).await?;
        let page = positions::history(&mut snapshot, &query, after.as_ref(), ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        let node = PositionFix::page(page.items.iter().map(|row| row.position).collect());
        let place = |row: &positions::FixRow| FixPlace(row.fix_time, row.position.0, row.index);
        Ok(ask.connection(page, as_of, place, node))
    }
}

fn moment(at: MomentInput) -> Result<AsOf, crate::api::fault::Fault> {
    match at.window.0.to_std() {
        Ok(window) if !window.is_zero() && window <= WINDOW_MAX => Ok(AsOf {
            at: at.time.0,
            window,
        }),
        _ => Err(invalid(
            "at",
            "the window is more than nothing and at most 31 days",
        )),
    }
}
