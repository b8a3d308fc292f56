//! What can be subscribed to. A resolver reads the arguments and leaves a plan; whoever fills the
//! group ([`super::feed`]) feeds it the items.

use std::sync::Arc;

use async_graphql::{Context, ID, Result, Subscription as Root};
use futures::{Stream, StreamExt as _, future};
use projections::BASE_RESOLUTION;

use super::fault::{Fault, FaultCode};
use super::feed::{
    BoardPlan, BurnAlertPlan, DeploymentPlan, HeatmapPlan, Item, Plan, ProgressPlan, TailPlan,
    VehiclePlan, Wanted, Wiring, interval,
};
use super::operation::Operation;
use super::page::length;
use super::query::leaderboard::{AmongInput, BoardAsked};
use super::query::log::AggregateInput;
use super::scalars::{DateTime, H3Cell, Position};
use super::types::competition::LeaderboardChange;
use super::types::deployment::DeploymentNews;
use super::types::event::Event;
use super::types::fix::VehicleMove;
use super::types::heatmap::{Heatmap, HeatmapAsked, HeatmapMetric, HeatmapSpan};
use super::types::logs::{LogFilterInput, LogTail};
use super::types::rebuild::{Rebuild, must_be_known};
use super::types::slo::SloBurnAlert;
use super::types::span::{BoundingBox, invalid};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::store::EventFilter;

/// The root of all subscriptions.
pub struct Subscription;

/// What can be subscribed to. A subscription has one field. Every result tells in
/// `extensions.position` where it stands in the log.
#[Root]
impl Subscription {
    /// A journal: every event behind `after`, in position order, none left out and none twice.
    /// Whoever was away subscribes again with the last position it has seen. Conditions add up.
    #[graphql(directive = auth::apply(AuthRole::Auditor, to(Scope::AuditRead)))]
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Events behind this position; from now on if not said.")] after: Option<
            Position,
        >,
        #[graphql(desc = "Of this stream, or this kind of stream.")] aggregate: Option<
            AggregateInput,
        >,
        #[graphql(desc = "Of these types, such as `vehicle.registered`; at most 200.")]
        types: Option<Vec<String>>,
        #[graphql(desc = "What this actor causes, such as `user:ann`.")] actor: Option<String>,
    ) -> Result<impl Stream<Item = Event>> {
        // Where its reader begins is not the group's affair: see `Asked::after`.
        let _ = after;
        let operation = Operation::of(ctx);
        not_too_many(operation, types.as_deref())?;
        let (kind, id) = aggregate.map_or((None, None), AggregateInput::parts);
        let filter = EventFilter {
            aggregate_type: kind,
            aggregate_id: id,
            event_types: types,
            actor,
            correlation_id: None,
        };
        let items = Wiring::connect(ctx, Plan::Events(filter))?;
        Ok(items.filter_map(|item| {
            future::ready(match item {
                Item::Event(event) => Some(Event::from(&*event)),
                _ => None,
            })
        }))
    }

    /// A journal: what deployments come to, event by event, in position order, none left out and none
    /// twice. Whoever was away subscribes again with the last position it has seen. Conditions add up.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn deployment_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this project.")] project: Option<String>,
        #[graphql(desc = "To the environments of this name.")] environment: Option<String>,
        #[graphql(desc = "What happened behind this position; from now on if not said.")]
        after: Option<Position>,
    ) -> Result<impl Stream<Item = DeploymentNews>> {
        // As above.
        let _ = after;
        let plan = DeploymentPlan {
            project,
            environment,
        };
        let items = Wiring::connect(ctx, Plan::Deployments(plan))?;
        Ok(items.filter_map(|item| {
            future::ready(match item {
                Item::Deployment { event, history } => Some(DeploymentNews::new(&event, &history)),
                _ => None,
            })
        }))
    }

    /// A journal: alerts of objectives that go up and down, in position order, none left out and none twice.
    /// Whoever was away subscribes again with the last position it has seen. Conditions add up. An
    /// objective that is revised or retired takes its alerts with it, without a word here.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn slo_burn_alert(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this objective.")] slo_id: Option<ID>,
        #[graphql(desc = "Of objectives of this project alone.")] project: Option<String>,
        #[graphql(desc = "Of objectives of this service alone.")] service: Option<String>,
        #[graphql(desc = "What happened behind this position; from now on if not said.")]
        after: Option<Position>,
    ) -> Result<impl Stream<Item = SloBurnAlert>> {
        // As above.
        let _ = after;
        let plan = BurnAlertPlan {
            slo: slo_id.map(|id| id.0),
            project,
            service,
        };
        let items = Wiring::connect(ctx, Plan::BurnAlerts(plan))?;
        Ok(items.filter_map(|item| {
            future::ready(match item {
                Item::BurnAlert(alert) => Some(*alert),
                _ => None,
            })
        }))
    }

    /// A journal: log records as they are accepted, batch by batch, each record once and none left out. A
    /// large batch is cut. Whoever was away subscribes again with the last `id` it has seen. Retention takes
    /// nothing away here: the past is read from the log.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::LogsRead)))]
    async fn log_tail(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<LogFilterInput>,
        #[graphql(
            desc = "Records behind this place: a position, or a record as `position:index`; from now on \
                    if not said."
        )]
        after: Option<String>,
    ) -> Result<impl Stream<Item = LogTail>> {
        // As above.
        let _ = after;
        let operation = Operation::of(ctx);
        let filter = filter.unwrap_or_default().read(operation)?;
        let settings = operation.parts.consumers.feed().settings().clone();
        let plan = TailPlan {
            filter,
            records_max: settings.tail_records_max,
            bytes_max: settings.tail_bytes_max,
        };
        let items = Wiring::connect(ctx, Plan::Tail(plan))?;
        Ok(items.filter_map(|item| {
            future::ready(match item {
                Item::Tail(part) => Some(LogTail::from(&part)),
                _ => None,
            })
        }))
    }

    /// Where vehicles are: first the latest fix of each, then every newer one as it is reported, at
    /// most `maxHz` times a second and vehicle; of fixes that come faster the latest counts. A fix
    /// that is older than the vehicle's latest is never sent. A vehicle that leaves the area or the
    /// fleet is told of once more, with `left`. Conditions add up.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn vehicle_moved(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Present members of this fleet.")] fleet_id: Option<ID>,
        #[graphql(desc = "Those in this rectangle.")] bbox: Option<BoundingBox>,
        #[graphql(desc = "Those in one of these cells, of resolution 0 to 9; at most 200.")]
        cells: Option<Vec<H3Cell>>,
        #[graphql(desc = "These vehicles; at most 200.")] vehicle_ids: Option<Vec<ID>>,
        #[graphql(desc = "Updates a second and vehicle: more than 0, at most 20; 2 if not said.")]
        max_hz: Option<f64>,
    ) -> Result<impl Stream<Item = VehicleMove>> {
        let operation = Operation::of(ctx);
        not_too_many(operation, cells.as_deref())?;
        not_too_many(operation, vehicle_ids.as_deref())?;
        let cells: Option<Vec<_>> = cells.map(|cells| cells.iter().map(|cell| cell.0).collect());
        let finest = cells.iter().flatten().map(|cell| cell.resolution()).max();
        if finest.is_some_and(|finest| finest > BASE_RESOLUTION) {
            return Err(invalid("cells", "a cell's resolution is 0 to 9").into());
        }
        let ids = vehicle_ids.map(|ids| ids.into_iter().map(|id| Arc::from(id.0)).collect());
        let plan = VehiclePlan {
            wanted: Wanted {
                ids,
                fleet: fleet_id.map(|id| id.0.into()),
                area: bbox.map(BoundingBox::checked).transpose()?,
                cells,
            },
            interval: interval(max_hz, operation.parts.consumers.feed().settings())?,
        };
        let items = Wiring::connect(ctx, Plan::Vehicles(plan))?;
        Ok(items.filter_map(|item| {
            future::ready(match item {
                Item::Move { fix, left } => Some(VehicleMove::new(*fix, left)),
                _ => None,
            })
        }))
    }

    /// A heat map as `heatmap` answers it: first as it is, then again whenever its figures have
    /// changed, at most `maxHz` times a second.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is an argument of the schema"
    )]
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn heatmap_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Fix time, included.")] from: DateTime,
        #[graphql(desc = "Fix time, excluded.")] to: DateTime,
        #[graphql(desc = "H3 resolution, 0 to 9.", default = 9)] resolution: i32,
        #[graphql(desc = "Cells whose centre is in this rectangle.")] bbox: Option<BoundingBox>,
        #[graphql(desc = "How time is cut.", default_with = "HeatmapSpan::Whole")]
        span: HeatmapSpan,
        #[graphql(desc = "Zone of the IANA database whose days are meant; UTC if not said.")]
        zone: Option<String>,
        #[graphql(
            desc = "What cells are ranked by.",
            default_with = "HeatmapMetric::Fixes"
        )]
        metric: HeatmapMetric,
        #[graphql(
            desc = "Cells with fewer distinct vehicles are counted, not shown.",
            default = 1
        )]
        min_vehicles: i32,
        #[graphql(desc = "At most this many cells, 1 to 10,000; 1,000 if not said.")] limit: Option<
            i32,
        >,
        #[graphql(desc = "Maps a second: more than 0, at most 20; 2 if not said.")] max_hz: Option<
            f64,
        >,
    ) -> Result<impl Stream<Item = Heatmap>> {
        let operation = Operation::of(ctx);
        let asked = HeatmapAsked {
            from,
            to,
            resolution,
            bbox,
            span,
            zone,
            metric,
            min_vehicles,
            limit,
        };
        let plan = HeatmapPlan {
            question: asked.checked()?,
            interval: interval(max_hz, operation.parts.consumers.feed().settings())?,
        };
        let items = Wiring::connect(ctx, Plan::Heatmap(plan))?;
        Ok(items.filter_map(|item| {
            future::ready(match item {
                Item::Heatmap(map) => Some(*map),
                _ => None,
            })
        }))
    }

    /// The first lines of a board as `leaderboard` shows it: first each of them as it is, then each one that
    /// is another or has another rank, at most `maxHz` times a second. A line that is not among the first any
    /// more is told of once more, with `left`. Where no period is named it is the present one, whichever
    /// that is by then.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::CompetitionsRead)))]
    async fn leaderboard_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The competition.")] competition: ID,
        #[graphql(desc = "The period, by key; the one that goes on now if not said.")]
        period: Option<String>,
        #[graphql(desc = "Who is ranked; everybody if not said.")] among: Option<AmongInput>,
        #[graphql(desc = "At most this many lines, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Looks a second: more than 0, at most 20; 2 if not said.")] max_hz: Option<
            f64,
        >,
    ) -> Result<impl Stream<Item = LeaderboardChange>> {
        let operation = Operation::of(ctx);
        let plan = BoardPlan {
            asked: BoardAsked {
                competition,
                period,
                among,
            },
            first: length(operation.pages, first)?,
            interval: interval(max_hz, operation.parts.consumers.feed().settings())?,
        };
        let items = Wiring::connect(ctx, Plan::Board(plan))?;
        Ok(items.filter_map(|item| {
            future::ready(match item {
                Item::Board(change) => Some(*change),
                _ => None,
            })
        }))
    }

    /// How far rebuilds of read models are: first the newest of each as it is, then again whenever it is
    /// further, at most five times a second.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn projection_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this read model; of all if not said.")] name: Option<String>,
    ) -> Result<impl Stream<Item = Rebuild>> {
        must_be_known(Operation::of(ctx), name.as_deref()).await?;
        let items = Wiring::connect(ctx, Plan::Progress(ProgressPlan { name }))?;
        Ok(items.filter_map(|item| {
            future::ready(match item {
                Item::Rebuild(rebuild) => Some(*rebuild),
                _ => None,
            })
        }))
    }
}

fn not_too_many<T>(operation: &Operation, list: Option<&[T]>) -> Result<(), Fault> {
    let limit = operation.pages.max;
    if list.is_some_and(|list| list.len() > limit as usize) {
        return Err(Fault::of(FaultCode::PageLimit).with("limit", limit));
    }
    Ok(())
}
