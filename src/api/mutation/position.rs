//! Reporting positions.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use domain::track::FixReport;

use super::payload::{Conditions, Receipt, Told, settle};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::error::UserError;
use crate::api::operation::Operation;
use crate::api::scalars::JsonObject;
use crate::auth::Role;
use crate::commands::{FixOutcome, PositionsReceipt, ReportPositions};

/// Reports position fixes of any vehicles.
#[derive(InputObject)]
struct ReportPositionsInput {
    /// 1 to 1,000 fixes, in any order. Each is accepted, found to be a duplicate or rejected by itself.
    fixes: Vec<PositionFixInput>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

/// One position fix as reported. A fix that is not what it should be is REJECTED, alone, with the code
/// that says why; so these fields take any text and any number.
#[derive(InputObject)]
struct PositionFixInput {
    /// The vehicle's id, or its external id. An unknown one registers its vehicle.
    vehicle: String,
    /// When the receiver had the fix: RFC 3339 with a zone, at most 24 hours ahead.
    fix_time: String,
    /// Latitude, degrees on WGS 84, -90 to 90.
    lat: f64,
    /// Longitude, degrees on WGS 84, -180 to 180. Latitude and longitude both 0: NULL_ISLAND.
    lon: f64,
    /// The reporter's own id of the fix. With it, a fix is a duplicate by (vehicle, fixId); without,
    /// by (vehicle, fixTime).
    fix_id: Option<String>,
    /// When the device sent it, by the device's clock: RFC 3339 with a zone.
    device_time: Option<String>,
    /// Height above the ellipsoid, metres.
    altitude_m: Option<f64>,
    /// Speed over ground, metres per second.
    speed_mps: Option<f64>,
    /// Course over ground, degrees clockwise from north, 0 to 360.
    course_deg: Option<f64>,
    /// Radius of 68 % confidence, metres.
    accuracy_m: Option<f64>,
    /// Number of satellites used.
    satellites: Option<i32>,
    /// Horizontal dilution of precision, a ratio.
    hdop: Option<f64>,
    /// Anything else, an object of at most 1,000 keys and 64 KiB, stored as given.
    attributes: Option<JsonObject>,
}

/// What became of a fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
enum FixStatus {
    /// It is in the log.
    Accepted,
    /// One like it was accepted before, or earlier in this report: the first one stays.
    Duplicate,
    /// It is not in the log; `error` tells why.
    Rejected,
}

/// What became of one reported fix.
#[derive(SimpleObject)]
struct FixResult {
    /// Its place in the report, from 0.
    index: i32,
    /// What became of it.
    status: FixStatus,
    /// True for a duplicate that is not the same as the accepted one. It is kept with the rejected
    /// records.
    differs: bool,
    /// Why it was rejected; null otherwise.
    error: Option<UserError>,
}

/// What became of a report.
struct ReportPositionsPayload(Told<PositionsReceipt>);

/// Reporting positions.
#[derive(Default)]
pub struct PositionCommands;

#[Object]
impl PositionCommands {
    /// Takes in position fixes of any vehicles, all in one transaction. A bad fix is rejected alone;
    /// the rest is kept. Late and out-of-order fixes are welcome.
    #[graphql(directive = auth::apply(AuthRole::Ingest, to(Scope::PositionsWrite)))]
    async fn report_positions(
        &self,
        ctx: &Context<'_>,
        input: ReportPositionsInput,
    ) -> Result<ReportPositionsPayload> {
        let operation = Operation::of(ctx);
        let context = match Conditions::of_new(input.command_id).context(ctx) {
            Ok(context) => context,
            Err(refusal) => return Ok(ReportPositionsPayload(Err(refusal.under(["input"])))),
        };
        let report = ReportPositions {
            fixes: input.fixes.into_iter().map(FixReport::from).collect(),
            may_register: operation.caller.may(Role::Operator),
        };
        let kept = operation
            .parts
            .door
            .report_positions(&context, report)
            .await;
        Ok(ReportPositionsPayload(
            settle(ctx, kept, |kept| kept.receipt).await?,
        ))
    }
}

/// What became of a report of positions.
#[Object]
impl ReportPositionsPayload {
    /// What became of each fix, in the report's order; null if the whole report was refused.
    async fn results(&self) -> Option<Vec<FixResult>> {
        let kept = self.0.as_ref().ok()?;
        Some(kept.outcomes.iter().enumerate().map(result).collect())
    }

    /// How many fixes were accepted.
    async fn accepted(&self) -> i32 {
        self.count(FixStatus::Accepted)
    }

    /// How many fixes were duplicates.
    async fn duplicates(&self) -> i32 {
        self.count(FixStatus::Duplicate)
    }

    /// How many fixes were rejected.
    async fn rejected(&self) -> i32 {
        self.count(FixStatus::Rejected)
    }

    /// Proof that the report was taken in; null if the whole report was refused. `version` is 0 if
    /// it wrote several streams.
    async fn receipt(&self) -> Option<Receipt> {
        self.0.as_ref().ok().map(|kept| kept.receipt.into())
    }

    /// Why the whole report was refused; empty if it was taken in.
    async fn user_errors(&self) -> Vec<UserError> {
        self.0
            .as_ref()
            .err()
            .cloned()
            .map(UserError::from)
            .into_iter()
            .collect()
    }
}

impl ReportPositionsPayload {
    fn count(&self, status: FixStatus) -> i32 {
        let outcomes = self.0.as_ref().map_or(&[][..], |kept| &kept.outcomes);
        outcomes
            .iter()
            .filter(|outcome| self::status(outcome) == status)
            .count() as i32
    }
}

fn status(outcome: &FixOutcome) -> FixStatus {
    match outcome {
        FixOutcome::Accepted => FixStatus::Accepted,
        FixOutcome::Duplicate { .. } => FixStatus::Duplicate,
        FixOutcome::Rejected(_) => FixStatus::Rejected,
    }
}

fn result((index, outcome): (usize, &FixOutcome)) -> FixResult {
    let error = match outcome {
        FixOutcome::Rejected(refusal) => Some(refusal.clone().under(["input"]).into()),
        _ => None,
    };
    FixResult {
        index: index as i32,
        status: status(outcome),
        differs: matches!(outcome, FixOutcome::Duplicate { differs: true }),
        error,
    }
}

impl From<PositionFixInput> for FixReport {
    fn from(fix: PositionFixInput) -> FixReport {
        FixReport {
            vehicle: fix.vehicle,
            fix_time: fix.fix_time,
            lat: fix.lat,
            lon: fix.lon,
            fix_id: fix.fix_id,
            device_time: fix.device_time,
            altitude_m: fix.altitude_m,
            speed_mps: fix.speed_mps,
            course_deg: fix.course_deg,
            accuracy_m: fix.accuracy_m,
            // A number no receiver has is judged, and rejected, like any other that is too large.
            satellites: fix.satellites.map(|n| u16::try_from(n).unwrap_or(u16::MAX)),
            hdop: fix.hdop,
            attributes: fix
                .attributes
                .map(|object| object.0.into())
                .unwrap_or_default(),
        }
    }
}
