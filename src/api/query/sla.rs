//! The question how far an objective is met.

use async_graphql::{Context, ID, Object, Result};
use chrono::{DateTime as Instant, Utc};
use domain::slo::{Objective, Sli};
use projections::slo::{self, Known, SloQuery};

use super::deployment::AsOfInput;
use super::dora::known_at;
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::{refusal_or_fault, store_fault};
use crate::api::fault::{Fault, FaultCode};
use crate::api::mutation::slo::input::ObjectiveInput;
use crate::api::operation::Operation;
use crate::api::scalars::DateTime;
use crate::api::types::sla::SlaStats;
use crate::api::types::span::invalid;
use crate::auth::Credential;
use crate::slos::must_have_a_known_zone;

/// Questions about how far objectives are met.
#[derive(Default)]
pub struct SlaQueries;

#[Object]
impl SlaQueries {
    /// How far an objective is met, over the window that a moment lies in: what was good, what is left of
    /// the error budget, how fast that is used up. A sample belongs to the time at which it ended, so that
    /// what becomes known later changes the past; `asOf` asks for what was known before, and for what the
    /// objective said then. Null if there is no objective with this id, or was none then. Feed freshness
    /// needs the scope vehicles:read of an API key as well.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::DeploymentsRead)))]
    async fn sla_stats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "An objective by its id; this, or `objective`.")] slo: Option<ID>,
        #[graphql(desc = "An objective that is kept nowhere.")] objective: Option<ObjectiveInput>,
        #[graphql(
            desc = "The end of the window, not in the future. If not said: the moment of \
                          `asOf`, else now."
        )]
        at: Option<DateTime>,
        #[graphql(desc = "As it was known then; as it is if not said.")] as_of: Option<AsOfInput>,
    ) -> Result<Option<SlaStats>> {
        let operation = Operation::of(ctx);
        let known_at = match as_of {
            None => None,
            Some(as_of) => Some(known(operation, as_of).await?),
        };
        let at = end(operation, at, known_at)?;
        let (objective, excluded) = match (&slo, objective) {
            (Some(id), None) => match of_slo(operation, id, known_at).await? {
                None => return Ok(None),
                Some(found) => found,
            },
            (None, Some(given)) => (inline(given)?, Vec::new()),
            _ => return Err(invalid("objective", "say either `slo` or `objective`").into()),
        };
        must_be_open(operation, objective.sli)?;
        let query = SloQuery {
            objective,
            excluded,
            at,
            known_at,
        };
        let model = SloQuery::model(query.objective.sli);
        let mut snapshot = operation.read(&[model]).await?;
        let found = slo::measure(&mut snapshot, &query).await;
        let found = snapshot.answer(found)?;
        Ok(Some(SlaStats::new(slo, query, found)))
    }
}

/// Spans of time: from, up to.
type Periods = Vec<(Instant<Utc>, Instant<Utc>)>;

/// What an objective says and leaves out, by its own events; `None` if it was not there.
async fn of_slo(
    operation: &Operation,
    id: &str,
    known: Option<Known>,
) -> Result<Option<(Objective, Periods)>, Fault> {
    let slos = &operation.parts.slos;
    let until = known.map_or(domain::Position(i64::MAX), |known| known.position);
    let found = slos.up_to(operation.tenant(), id, until).await;
    let found = match found.map_err(refusal_or_fault) {
        Ok(found) => found,
        Err(Ok(refusal)) => return Err(refusal.into()),
        Err(Err(fault)) => return Err(fault),
    };
    let excluded = found.excluded.into_iter().collect();
    Ok(found.objective.map(|objective| (objective, excluded)))
}

fn inline(given: ObjectiveInput) -> Result<Objective, Fault> {
    let objective = given.checked()?;
    must_have_a_known_zone(&objective).map_err(|refusal| refusal.under(["objective"]))?;
    Ok(objective)
}

/// What was known then, and when that was.
async fn known(operation: &Operation, as_of: AsOfInput) -> Result<Known, Fault> {
    let now = operation.parts.clock.now();
    let time = match &as_of {
        AsOfInput::Time(DateTime(time)) => Some((*time).min(now)),
        AsOfInput::Position(_) => None,
    };
    let position = known_at(operation, as_of).await?;
    let at = match time {
        Some(time) => time,
        None => recorded_at(operation, position).await?,
    };
    Ok(Known { position, at })
}

/// When the log came so far; before its first event there is no time that would matter.
async fn recorded_at(
    operation: &Operation,
    position: domain::Position,
) -> Result<Instant<Utc>, Fault> {
    let store = &operation.parts.store;
    let events = store.read_positions(operation.tenant(), &[position]).await;
    let events = events.map_err(store_fault)?;
    Ok(events
        .first()
        .map_or(Instant::UNIX_EPOCH, |event| event.recorded_at))
}

/// The end of the window.
fn end(
    operation: &Operation,
    at: Option<DateTime>,
    known: Option<Known>,
) -> Result<Instant<Utc>, Fault> {
    let now = operation.parts.clock.now();
    match (at, known) {
        (None, None) => Ok(now),
        (None, Some(known)) => Ok(known.at),
        (Some(DateTime(at)), _) if at <= now => Ok(at),
        _ => Err(invalid("at", "a window cannot end in the future")),
    }
}

/// How fresh a feed is says where to find what vehicles reported: a key that may not ask for vehicles may
/// not ask for that either.
fn must_be_open(operation: &Operation, sli: Sli) -> Result<(), Fault> {
    let caller = &operation.caller;
    let vehicles = Scope::VehiclesRead.as_str();
    let is_key = caller.credential == Credential::ApiKey;
    if sli == Sli::FeedFreshness && is_key && !caller.has_scope(vehicles) {
        return Err(Fault::of(FaultCode::Forbidden).with("scope", vehicles));
    }
    Ok(())
}
