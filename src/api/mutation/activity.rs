//! Handing in activities.

use std::collections::BTreeMap;

use async_graphql::{Context, Enum, ID, InputObject, Object, OneofObject, Result, SimpleObject};
use domain::activity::{Activity, ActivityRef, Measures};
use domain::activity_log::SyncRecord;
use domain::{Code, Refusal, score, values};

use super::payload::{Conditions, Receipt, Told, settle, user_errors};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::error::UserError;
use crate::api::failure::competition_or_fault;
use crate::api::operation::Operation;
use crate::api::scalars::{Long, Score};
use crate::api::types::competition::ActivityFlag;
use crate::commands::{ActivitiesReceipt, SyncOutcome};

/// How many decimal places metres have: millimetres are counted.
const METRE_DECIMALS: u8 = 3;

/// Hands in what a source says of a user's activities.
#[derive(InputObject)]
struct SyncActivitiesInput {
    /// Whose; one's own if not said. Another's takes a role or a scope.
    user: Option<ID>,
    /// 1 to 1,000 records, in any order. Each is taken in or rejected by itself.
    records: Vec<SyncRecordInput>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

/// One thing a source says.
#[derive(OneofObject)]
enum SyncRecordInput {
    /// This was done.
    Activity(Box<ActivityInput>),
    /// What was said of this was wrong, or is to be forgotten.
    Remove(ActivityRefInput),
}

/// What a source calls an activity.
#[derive(InputObject)]
struct ActivityRefInput {
    /// The source, such as `fitbit`; 1 to 128 characters.
    source: String,
    /// What it is called there; 1 to 128 characters.
    external_id: String,
}

/// What somebody did from one time to another. One that is not what it should be is REJECTED, alone, with the
/// code that says why; so these fields take any text and any number.
#[derive(InputObject)]
struct ActivityInput {
    /// Who tells of it, such as `fitbit`; 1 to 128 characters.
    source: String,
    /// What it is called there, 1 to 128 characters: told again it is the same one, told otherwise it is
    /// amended.
    external_id: String,
    /// Which device of the source measured it.
    device: Option<String>,
    /// What it was, such as `walking`.
    kind: String,
    /// When it began: RFC 3339 with a zone.
    start: String,
    /// When it was over: RFC 3339 with a zone, at most five minutes ahead, at most 7 days after it began.
    end: String,
    /// How far clocks there were ahead of UTC, in minutes.
    offset_minutes: Option<i32>,
    /// Was it entered by hand?
    #[graphql(default)]
    manual: bool,
    /// How much was done; at least one measure.
    measures: MeasuresInput,
}

/// How much was done. What was not measured is left out, which is not zero.
#[derive(InputObject)]
struct MeasuresInput {
    /// How many steps.
    steps: Option<Long>,
    /// How far, in metres; up to three decimal places.
    distance_m: Option<Score>,
    /// How much energy, in kilocalories.
    calories_kcal: Option<Long>,
    /// How many minutes of activity.
    active_minutes: Option<Long>,
    /// Measures of other names; at most 10.
    #[graphql(default)]
    custom: Vec<CustomMeasureInput>,
}

/// A measure of a name of its own.
#[derive(InputObject)]
struct CustomMeasureInput {
    /// What it is called.
    name: String,
    /// How much.
    value: Long,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
enum SyncStatus {
    /// It is new.
    Recorded,
    /// It was known, and is told otherwise now.
    Amended,
    /// It was known to the letter.
    Duplicate,
    /// It was taken back.
    Removed,
    /// There was nothing to take back.
    Absent,
    /// It is not in the log; `error` tells why.
    Rejected,
}

/// What became of one record.
#[derive(SimpleObject)]
struct SyncResult {
    /// Its place in the sync, from 0.
    index: i32,
    /// What became of it.
    status: SyncStatus,
    /// Why it is hard to believe: a competition may not count it.
    flags: Vec<ActivityFlag>,
    /// Why it was rejected; null otherwise.
    error: Option<UserError>,
}

/// What became of a sync.
struct SyncActivitiesPayload(Told<ActivitiesReceipt>);

/// What became of a sync.
#[Object]
impl SyncActivitiesPayload {
    /// What became of each record, in the sync's order; null if the whole sync was refused.
    async fn results(&self) -> Option<Vec<SyncResult>> {
        let kept = self.0.as_ref().ok()?;
        Some(kept.outcomes.iter().enumerate().map(result).collect())
    }

    /// Proof that the sync was taken in; null if the whole sync was refused. `version` is 0 if it wrote
    /// several streams.
    async fn receipt(&self) -> Option<Receipt> {
        self.0.as_ref().ok().map(|kept| kept.receipt.into())
    }

    /// Why the whole sync was refused; empty if it was taken in.
    async fn user_errors(&self) -> Vec<UserError> {
        user_errors(&self.0)
    }
}

/// Handing in activities.
#[derive(Default)]
pub struct ActivityCommands;

#[Object]
impl ActivityCommands {
    /// Takes in what a source says of a user's activities, all in one transaction: everybody signed in their
    /// own, and whoever may hand records in anybody's. A bad record is rejected alone; the rest is kept.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::ScoresWrite)))]
    async fn sync_activities(
        &self,
        ctx: &Context<'_>,
        input: SyncActivitiesInput,
    ) -> Result<SyncActivitiesPayload> {
        let operation = Operation::of(ctx);
        let context = match Conditions::of_new(input.command_id).context(ctx) {
            Ok(context) => context,
            Err(refusal) => return Ok(SyncActivitiesPayload(Err(refusal.under(["input"])))),
        };
        let user = input.user.map(|user| user.0);
        let records = input.records.into_iter().map(SyncRecordInput::record);
        let competitions = &operation.parts.competitions;
        let kept = competitions
            .sync(&context, &operation.caller, user, records.collect())
            .await;
        let kept = match kept {
            Ok(kept) => Ok(kept),
            Err(error) => Err(competition_or_fault(error)?),
        };
        let told = settle(ctx, kept, |kept| kept.receipt).await?;
        Ok(SyncActivitiesPayload(told))
    }
}

fn result((index, outcome): (usize, &SyncOutcome)) -> SyncResult {
    let (status, flags) = match outcome {
        SyncOutcome::Recorded { flags } => (SyncStatus::Recorded, Some(flags)),
        SyncOutcome::Amended { flags } => (SyncStatus::Amended, Some(flags)),
        SyncOutcome::Duplicate => (SyncStatus::Duplicate, None),
        SyncOutcome::Removed => (SyncStatus::Removed, None),
        SyncOutcome::Absent => (SyncStatus::Absent, None),
        SyncOutcome::Rejected(_) => (SyncStatus::Rejected, None),
    };
    let error = match outcome {
        SyncOutcome::Rejected(refusal) => Some(refusal.clone().under(["input"]).into()),
        _ => None,
    };
    SyncResult {
        index: index as i32,
        status,
        flags: flags.into_iter().flatten().map(|f| (*f).into()).collect(),
        error,
    }
}

impl SyncRecordInput {
    fn record(self) -> Told<SyncRecord> {
        match self {
            SyncRecordInput::Activity(said) => Ok(SyncRecord::Activity(Box::new(said.activity()?))),
            SyncRecordInput::Remove(named) => Ok(SyncRecord::Remove(ActivityRef {
                source: named.source,
                external_id: named.external_id,
            })),
        }
    }
}

impl ActivityInput {
    fn activity(self) -> Told<Activity> {
        let offset = |minutes: i32| {
            i16::try_from(minutes).map_err(|_| {
                let message = "a clock is less than a day from UTC";
                let refusal = Refusal::new(Code::OutOfRange, message);
                refusal.at(["offsetMinutes"]).with("actual", minutes)
            })
        };
        Ok(Activity {
            source: self.source,
            external_id: self.external_id,
            device: self.device,
            kind: self.kind,
            start: values::timestamp(&self.start, "start")?,
            end: values::timestamp(&self.end, "end")?,
            offset_minutes: self.offset_minutes.map(offset).transpose()?,
            manual: self.manual,
            measures: self.measures.read().map_err(|r| r.under(["measures"]))?,
        })
    }
}

impl MeasuresInput {
    fn read(self) -> Told<Measures> {
        let metres = |said: Score| score::Score::of_json(&said.0, METRE_DECIMALS, "distanceM");
        let distance = self.distance_m.map(metres).transpose()?;
        Ok(Measures {
            steps: self.steps.map(|n| n.0),
            distance_mm: distance.map(score::Score::units),
            calories_kcal: self.calories_kcal.map(|n| n.0),
            active_minutes: self.active_minutes.map(|n| n.0),
            custom: custom(self.custom)?,
        })
    }
}

fn custom(measures: Vec<CustomMeasureInput>) -> Told<BTreeMap<String, i64>> {
    let mut custom = BTreeMap::new();
    for measure in measures {
        if custom.insert(measure.name, measure.value.0).is_some() {
            let message = "a measure is named twice";
            return Err(Refusal::new(Code::Validation, message).at(["custom"]));
        }
    }
    Ok(custom)
}
