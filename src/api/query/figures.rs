//! Questions whose answers are figures: heat maps, trends, summaries.

use std::fmt::Debug;

use async_graphql::{Context, ID, Object, Result};
use projections::heatmap::{self, HeatmapQuery};
use projections::trends::{self, TrendQuery};
use projections::{ReadError, Snapshot, summary};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::read_fault;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::scalars::DateTime;
use crate::api::types::heatmap::{self as map, Heatmap, HeatmapAsked, HeatmapMetric, HeatmapSpan};
use crate::api::types::span::{BoundingBox, invalid, scope, scope_models, span, zone};
use crate::api::types::summary::FleetSummary;
use crate::api::types::trend::{self as series, Trend, TrendBucket, TrendCompare, TrendMetric};
use crate::cache::CacheKey;

/// Questions whose answers are figures.
#[derive(Default)]
pub struct FigureQueries;

#[Object]
impl FigureQueries {
    /// Where fixes were: figures of H3 cells over the fixes with `from` <= fix time < `to`, both cut
    /// outwards to five minutes. Below resolution 9 a cell is the union of the base cells whose parent
    /// it is; at its rim that differs slightly from encoding the places at that resolution directly.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is an argument of the schema"
    )]
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn heatmap(
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
    ) -> Result<Heatmap> {
        let operation = Operation::of(ctx);
        let question = HeatmapAsked {
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
        let question = question.checked()?;
        let kept = heat(operation, &question).await?;
        Ok(Heatmap::new(&question, kept))
    }

    /// A figure over time: one point for each bucket from the one `from` falls in to the one before
    /// `to`, in the zone's own hours, days and weeks.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is an argument of the schema"
    )]
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn trend(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is measured.")] metric: TrendMetric,
        #[graphql(desc = "Fix time, included; cut down to the start of its bucket.")]
        from: DateTime,
        #[graphql(desc = "Fix time, excluded; the bucket it falls in is whole.")] to: DateTime,
        #[graphql(desc = "How time is cut.")] bucket: TrendBucket,
        #[graphql(desc = "Zone of the IANA database; UTC if not said.")] zone: Option<String>,
        #[graphql(desc = "Fixes of this vehicle alone.")] vehicle_id: Option<ID>,
        #[graphql(desc = "Fixes of this fleet's present members.")] fleet_id: Option<ID>,
        #[graphql(
            desc = "How many points the moving average spans, 1 to 500.",
            default = 1
        )]
        window: i32,
        #[graphql(
            desc = "What each point is compared with.",
            default_with = "TrendCompare::PreviousBucket"
        )]
        compare: TrendCompare,
    ) -> Result<Trend> {
        let operation = Operation::of(ctx);
        let (from, to) = span(from, to)?;
        let question = TrendQuery {
            metric: metric.into(),
            from,
            to,
            bucket: bucket.into(),
            zone: self::zone(zone)?,
            scope: scope(vehicle_id, fleet_id)?,
            window: u32::try_from(window)
                .map_err(|_| invalid("window", "a window spans 1 point or more"))?,
            compare: compare.into(),
        };
        let kept = cached(operation, &question).await?;
        Ok(Trend::new(&question, kept))
    }

    /// What vehicles did over the fixes with `from` <= fix time < `to`, both cut outwards to five
    /// minutes: distance, time moving and idle, speeds.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn fleet_summary(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Fix time, included.")] from: DateTime,
        #[graphql(desc = "Fix time, excluded.")] to: DateTime,
        #[graphql(desc = "Of this vehicle alone.")] vehicle_id: Option<ID>,
        #[graphql(desc = "Of this fleet's present members.")] fleet_id: Option<ID>,
    ) -> Result<FleetSummary> {
        let operation = Operation::of(ctx);
        let (from, to) = span(from, to)?;
        let scope = scope(vehicle_id, fleet_id)?;
        let mut snapshot = operation.read(&scope_models(trends::NAME, &scope)).await?;
        let totals = summary::summary(&mut snapshot, &scope, from, to).await;
        let totals = snapshot.answer(totals)?;
        Ok(FleetSummary::new(scope, totals))
    }
}

/// The figures of a heat map.
pub async fn heat(operation: &Operation, question: &HeatmapQuery) -> Result<map::Kept, Fault> {
    cached(operation, question).await
}

/// A question whose answer is the same for everybody of a tenant, and kept.
trait Question: Debug + Sync {
    /// The answer as it is kept.
    type Kept: Serialize + DeserializeOwned + Send;

    /// The read models it is made of.
    fn models(&self) -> Vec<&'static str>;

    /// Makes the answer.
    fn ask(
        &self,
        snapshot: &mut Snapshot,
    ) -> impl Future<Output = Result<Self::Kept, ReadError>> + Send;
}

impl Question for HeatmapQuery {
    type Kept = map::Kept;

    fn models(&self) -> Vec<&'static str> {
        vec![heatmap::NAME]
    }

    async fn ask(&self, snapshot: &mut Snapshot) -> Result<map::Kept, ReadError> {
        heatmap::heatmap(snapshot, self).await.map(map::Kept::from)
    }
}

impl Question for TrendQuery {
    type Kept = series::Kept;

    fn models(&self) -> Vec<&'static str> {
        scope_models(trends::NAME, &self.scope)
    }

    async fn ask(&self, snapshot: &mut Snapshot) -> Result<series::Kept, ReadError> {
        trends::trend(snapshot, self).await.map(series::Kept::from)
    }
}

/// The kept answer, or a new one. Nothing is ever invalidated: the key names the generation and the
/// position of the read models, and those of a newer answer differ. While one of them goes on without a stream
/// they name no state, and nothing is kept.
async fn cached<Q: Question>(operation: &Operation, question: &Q) -> Result<Q::Kept, Fault> {
    let models = question.models();
    let mut snapshot = operation.read(&models).await?;
    if models.iter().any(|name| snapshot.is_parked(name)) {
        let kept = question.ask(&mut snapshot).await;
        return snapshot.answer(kept);
    }
    let mut state = Vec::with_capacity(models.len());
    for name in models {
        let live = snapshot.live(name).map_err(read_fault)?;
        state.push((name, live.generation, live.position));
    }
    let asked = format!("{question:?}");
    let key = CacheKey::new(operation.tenant(), &state, "figures", asked.as_bytes());
    let bytes = operation.parts.cache.get_or(&key, || async {
        let kept = question.ask(&mut snapshot).await.map_err(read_fault)?;
        Ok::<_, Fault>(serde_json::to_vec(&kept).map_err(unreadable)?.into())
    });
    match bytes.await {
        Ok(kept) => serde_json::from_slice(&kept.bytes).map_err(unreadable),
        Err(fault) => {
            snapshot.discard();
            Err(Fault::clone(&fault))
        }
    }
}

fn unreadable(error: serde_json::Error) -> Fault {
    tracing::error!(error = %error, "a kept answer cannot be read: {error}");
    Fault::of(FaultCode::Internal)
}
