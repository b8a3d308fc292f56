//! Activities, and what they come to.

use std::collections::BTreeSet;

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject};
use domain::activity::{Measures, longest_run};
use domain::competition::Metric;
use domain::{Zone, decimal};
use projections::activities::{ActivityRow, DayTotal};

use super::behind::Events;
use super::competition::ActivityFlag;
use super::event::Event;
use super::int;
use super::span::invalid;
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::scalars::{Date, DateTime, Long, Position, Score};

/// What somebody did, as its source told it last.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Activity {
    /// Who did it.
    user_id: ID,
    /// Who tells of it, such as `fitbit`.
    source: String,
    /// What it is called there.
    external_id: String,
    /// Which device of the source measured it.
    device: Option<String>,
    /// What it was, such as `walking`.
    kind: String,
    /// When it began.
    start: DateTime,
    /// When it was over.
    end: DateTime,
    /// How far clocks there were ahead of UTC, in minutes.
    offset_minutes: Option<i32>,
    /// Was it entered by hand?
    manual: bool,
    /// How much was done.
    measures: ActivityMeasures,
    /// Why it is hard to believe: a competition may not count it.
    flags: Vec<ActivityFlag>,
    /// How often it was told otherwise, from 1.
    revision: i32,
    /// Position of the event that says so.
    position: Position,
}

/// How much was done. What was not measured is null, which is not zero.
#[derive(SimpleObject)]
pub struct ActivityMeasures {
    /// How many steps.
    steps: Option<Long>,
    /// How far, in metres with three decimal places.
    distance_m: Option<Score>,
    /// How much energy, in kilocalories.
    calories_kcal: Option<Long>,
    /// How many minutes of activity.
    active_minutes: Option<Long>,
    /// Measures of other names, by name.
    custom: Vec<CustomMeasure>,
}

/// A measure of a name of its own.
#[derive(SimpleObject)]
pub struct CustomMeasure {
    /// What it is called.
    name: String,
    /// How much.
    value: Long,
}

/// What a user's activities come to.
#[derive(SimpleObject)]
pub struct ActivityTotals {
    /// Whose.
    user_id: ID,
    /// By the clocks of this zone.
    zone: String,
    /// Days on which something was measured, in order.
    days: Vec<ActivityDay>,
    /// All of them together.
    total: Score,
    /// The longest run of days with more than nothing, the earliest of those that are as long; null without
    /// any.
    longest_streak: Option<ActivityStreak>,
    /// The position in the log all of it is as of.
    as_of_position: Position,
}

/// What a user's activities of one day come to.
#[derive(SimpleObject)]
pub struct ActivityDay {
    /// The day they began on.
    day: Date,
    /// How much.
    total: Score,
    /// How many activities count.
    activities: i32,
}

/// Days in a row.
#[derive(SimpleObject)]
pub struct ActivityStreak {
    /// The first of them.
    first: Date,
    /// How many.
    days: i32,
}

impl From<ActivityRow> for Activity {
    fn from(row: ActivityRow) -> Activity {
        let activity = row.activity;
        Activity {
            user_id: ID(row.user),
            source: activity.source,
            external_id: activity.external_id,
            device: activity.device,
            kind: activity.kind,
            start: DateTime(activity.start),
            end: DateTime(activity.end),
            offset_minutes: activity.offset_minutes.map(i32::from),
            manual: activity.manual,
            measures: activity.measures.into(),
            flags: row.flags.into_iter().map(Into::into).collect(),
            revision: int(row.revision.into()),
            position: Position(row.position),
        }
    }
}

#[ComplexObject]
impl Activity {
    /// The event that tells of it, which holds other activities of the same sync as well. At most 200 of
    /// one operation.
    async fn event(&self, ctx: &Context<'_>) -> Result<Option<Event>> {
        Operation::of(ctx).spend_evidence()?;
        let events = Events::of([&self.position.0]);
        Ok(events.at(ctx, &[self.position]).await?.pop())
    }
}

impl From<Measures> for ActivityMeasures {
    fn from(measures: Measures) -> ActivityMeasures {
        let metres = |mm: i64| Score::of_units(mm, decimals(&Metric::Distance));
        let custom = measures.custom.into_iter();
        let custom = custom.map(|(name, value)| CustomMeasure {
            name,
            value: Long(value),
        });
        ActivityMeasures {
            steps: measures.steps.map(Long),
            distance_m: measures.distance_mm.map(metres),
            calories_kcal: measures.calories_kcal.map(Long),
            active_minutes: measures.active_minutes.map(Long),
            custom: custom.collect(),
        }
    }
}

impl ActivityTotals {
    /// Of days, by their order.
    pub fn new(
        user: String,
        metric: &Metric,
        zone: Zone,
        days: Vec<DayTotal>,
        as_of: domain::Position,
    ) -> Result<ActivityTotals, Fault> {
        let text = |units: i128| {
            let units = i64::try_from(units)
                .map_err(|_| invalid("to", "it comes to more than can be told"))?;
            Ok::<_, Fault>(Score(decimal::text(units, decimals(metric)).into()))
        };
        let active = days.iter().filter(|day| day.units > 0).map(|day| day.day);
        let run = longest_run(&active.collect::<BTreeSet<_>>());
        let total = text(days.iter().map(|day| day.units).sum())?;
        let days = days.into_iter().map(|day| {
            Ok(ActivityDay {
                day: Date(day.day),
                total: text(day.units)?,
                activities: int(day.activities.into()),
            })
        });
        Ok(ActivityTotals {
            user_id: ID(user),
            zone: zone.name().to_owned(),
            days: days.collect::<Result<_, Fault>>()?,
            total,
            longest_streak: run.map(|run| ActivityStreak {
                first: Date(run.first),
                days: int(run.days.into()),
            }),
            as_of_position: Position(as_of),
        })
    }
}

/// How many decimal places a metric is told with.
fn decimals(metric: &Metric) -> u8 {
    metric.decimals().unwrap_or(0)
}
