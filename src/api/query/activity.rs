//! Questions about activities, and what they come to.

use async_graphql::{Context, ID, Object, Result};
use chrono::{DateTime as Instant, Utc};
use domain::Zone;
use domain::activity::ActivityRef;
use domain::competition::Metric;
use projections::activities::{self, ActivityCursor, ActivityRow};

use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::competitions_fault;
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::DateTime;
use crate::api::types::activity::{Activity, ActivityTotals};
use crate::api::types::competition::CompetitionMetric;
use crate::api::types::span::{invalid, span, zone};
use crate::auth::Role;

/// How many days are added up at once at most, so that no question reads for ever.
const SPAN_DAYS_MAX: i64 = 366;

/// Where a page goes on: start, source, external id.
type Place = (Instant<Utc>, String, String);

/// Questions about activities.
#[derive(Default)]
pub struct ActivityQueries;

#[Object]
impl ActivityQueries {
    /// What sources say a user did that began at a time with `from` <= time < `to`, the earliest first.
    /// Everybody signed in their own, and whoever may hand activities in anybody's.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::ScoresWrite)))]
    async fn activities(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; one's own if not said.")] user: Option<ID>,
        #[graphql(desc = "Time they began, included.")] from: DateTime,
        #[graphql(desc = "Time they began, excluded.")] to: DateTime,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Activity>> {
        let operation = Operation::of(ctx);
        let span = span(from, to)?;
        let user = whom(operation, user).await?;
        let list = (&user, span);
        let ask = Ask::<Place>::read(operation, "activities", &list, first, after.as_deref())?;
        let after = ask.after.clone().map(|(start, source, external_id)| {
            let named = ActivityRef {
                source,
                external_id,
            };
            ActivityCursor { start, named }
        });
        let mut snapshot = operation.read(&[activities::NAME]).await?;
        let after = after.as_ref();
        let page = activities::activities(&mut snapshot, &user, span, after, ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        let place = |row: &ActivityRow| {
            let named = row.activity.named();
            (row.activity.start, named.source, named.external_id)
        };
        Ok(ask.connection(page, as_of, place, Activity::from))
    }

    /// What a user's activities that began at a time with `from` <= time < `to` come to, day by day, a year
    /// at most; what two sources tell of one time counts once. Flags and manual entries are no matter here:
    /// what counts in a competition is for its rules to say. For whom `activities` is.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is an argument of the schema"
    )]
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::ScoresWrite)))]
    async fn activity_totals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; one's own if not said.")] user: Option<ID>,
        #[graphql(desc = "What is added up; anything but SUBMITTED.")] metric: CompetitionMetric,
        #[graphql(desc = "The name of a measure of its own; with CUSTOM, and only with that.")]
        custom_metric: Option<String>,
        #[graphql(desc = "Time they began, included.")] from: DateTime,
        #[graphql(desc = "Time they began, excluded.")] to: DateTime,
        #[graphql(desc = "Zone of the IANA database whose days are meant; UTC if not said.")]
        zone: Option<String>,
        #[graphql(desc = "Sources, the one to believe first first; those not named come last.")]
        sources: Option<Vec<String>>,
    ) -> Result<ActivityTotals> {
        let operation = Operation::of(ctx);
        let span = span(from, to)?;
        if (span.1 - span.0).num_days() > SPAN_DAYS_MAX {
            return Err(invalid("to", "the span is longer than a year").into());
        }
        let metric = self::metric(metric, custom_metric)?;
        let zone = self::zone(zone)?;
        let zone = Zone::of_name(&zone)
            .ok_or_else(|| invalid("zone", "not a zone of the IANA database"))?;
        let sources = sources.unwrap_or_default();
        let user = whom(operation, user).await?;
        let mut snapshot = operation.read(&[activities::NAME]).await?;
        let as_of = snapshot.position(&[activities::NAME]);
        let what = (&metric, &sources[..]);
        let days = activities::day_totals(&mut snapshot, &user, span, what, zone).await;
        let (as_of, days) = snapshot.answer(as_of.and_then(|as_of| Ok((as_of, days?))))?;
        Ok(ActivityTotals::new(user, &metric, zone, days, as_of)?)
    }
}

/// Whose activities: those of others are for whoever may hand them in.
async fn whom(operation: &Operation, user: Option<ID>) -> Result<String, Fault> {
    let user = user.map(|user| user.0);
    let competitions = &operation.parts.competitions;
    let user = competitions.whom(&operation.caller, user, Role::Ingest);
    user.await.map_err(competitions_fault)
}

fn metric(metric: CompetitionMetric, custom: Option<String>) -> Result<Metric, Fault> {
    match (metric, custom) {
        (CompetitionMetric::Custom, Some(name)) => Ok(Metric::Custom(name)),
        (CompetitionMetric::Custom, None) | (_, Some(_)) => {
            let message = "a name goes with CUSTOM, and with nothing else";
            Err(invalid("customMetric", message))
        }
        (CompetitionMetric::Steps, None) => Ok(Metric::Steps),
        (CompetitionMetric::Distance, None) => Ok(Metric::Distance),
        (CompetitionMetric::Calories, None) => Ok(Metric::Calories),
        (CompetitionMetric::ActiveMinutes, None) => Ok(Metric::ActiveMinutes),
        (CompetitionMetric::Submitted, None) => {
            let message = "scores that are handed in are no activities";
            Err(invalid("metric", message))
        }
    }
}
