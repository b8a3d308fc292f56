//! What vehicles did over a span.

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject};
use chrono::TimeDelta;
use projections::summary::{Summary, SummaryTotals, VehicleSummary as Row, summary_by_vehicle};
use projections::trends::{self, Scope};

use super::evidence::{Evidence, Figure};
use super::int;
use super::span::scope_models;
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{DateTime, Duration, Position};

/// What was done over a span, by the fixes in it.
///
/// A step is two consecutive fixes of a vehicle inside the span. It is moving if its straight-line
/// speed reaches 0.5 m/s, else idle; a step longer than an hour is unobserved and adds nothing.
#[derive(SimpleObject)]
pub struct Figures {
    /// Number of vehicles with a fix.
    active_vehicles: i32,
    /// Number of fixes.
    fixes: i32,
    /// Metres along the fixes; null without fixes, 0 with one.
    distance_m: Option<f64>,
    /// Time spent moving; null without fixes.
    moving: Option<Duration>,
    /// Time spent idle; null without fixes.
    idle: Option<Duration>,
    /// Number of unobserved steps.
    gaps: i32,
    /// Mean reported speed, metres per second; null if none was reported.
    mean_speed_mps: Option<f64>,
    /// Greatest reported speed, metres per second; null if none was reported.
    max_speed_mps: Option<f64>,
    /// Time of the first fix; null without fixes.
    first_fix: Option<DateTime>,
    /// Time of the last fix; null without fixes.
    last_fix: Option<DateTime>,
}

/// What the vehicles of a scope did over a span of fix times.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct FleetSummary {
    /// Start of the span that was counted, included: `from` cut down to five minutes.
    from: DateTime,
    /// End of the span that was counted, excluded: `to` cut up to five minutes.
    to: DateTime,
    #[graphql(flatten)]
    figures: Figures,
    /// The position in the log the figures are as of.
    as_of_position: Position,
    #[graphql(skip)]
    scope: Scope,
}

/// One vehicle's part of a summary.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct VehicleSummary {
    /// Which vehicle.
    vehicle_id: ID,
    #[graphql(flatten)]
    figures: Figures,
    #[graphql(skip)]
    figure: Figure,
}

impl From<Summary> for Figures {
    fn from(summary: Summary) -> Figures {
        Figures {
            active_vehicles: int(summary.active_vehicles),
            fixes: int(summary.fixes),
            distance_m: summary.distance_m,
            moving: summary.moving_s.map(seconds),
            idle: summary.idle_s.map(seconds),
            gaps: int(summary.gaps),
            mean_speed_mps: summary.mean_speed_mps,
            max_speed_mps: summary.max_speed_mps,
            first_fix: summary.first_fix.map(DateTime),
            last_fix: summary.last_fix.map(DateTime),
        }
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration(TimeDelta::microseconds((seconds * 1e6).round() as i64))
}

impl FleetSummary {
    /// The answer about a scope.
    pub fn new(scope: Scope, totals: SummaryTotals) -> FleetSummary {
        FleetSummary {
            from: DateTime(totals.from),
            to: DateTime(totals.to),
            figures: totals.summary.into(),
            as_of_position: Position(totals.as_of),
            scope,
        }
    }
}

#[ComplexObject]
impl FleetSummary {
    /// The same vehicle by vehicle: those with a fix in the span, by ascending id.
    async fn by_vehicle(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<VehicleSummary>> {
        let operation = Operation::of(ctx);
        let (from, to) = (self.from.0, self.to.0);
        let list = (&self.scope, from, to);
        let ask = Ask::<String>::read(operation, "byVehicle", &list, first, after.as_deref())?;
        let mut snapshot = operation
            .read(&scope_models(trends::NAME, &self.scope))
            .await?;
        let after = ask.after.as_deref();
        let page = summary_by_vehicle(&mut snapshot, &self.scope, from, to, after, ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        Ok(ask.connection(
            page,
            as_of,
            |row| row.vehicle_id.clone(),
            |row: Row| {
                let scope = Scope::Vehicle(row.vehicle_id.clone());
                VehicleSummary {
                    vehicle_id: ID(row.vehicle_id),
                    figures: row.summary.into(),
                    figure: Figure::Scope(scope, from, to),
                }
            },
        ))
    }

    /// The fixes the figures are made of, by fix time, vehicle, position and index.
    async fn evidence(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Evidence> {
        let figure = Figure::Scope(self.scope.clone(), self.from.0, self.to.0);
        figure.evidence(ctx, first, after).await
    }
}

#[ComplexObject]
impl VehicleSummary {
    /// The fixes the figures are made of, by fix time, position and index.
    async fn evidence(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Evidence> {
        self.figure.evidence(ctx, first, after).await
    }
}
