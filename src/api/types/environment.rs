//! Environments and their freeze calendars.

use async_graphql::{ID, SimpleObject};
use domain::Zone;
use domain::environment::{Freeze, WeeklyWindow};
use projections::deployments::EnvironmentRow;

use super::deployment::{ApprovalPolicy, EnvironmentTier, Weekday};
use super::int;
use crate::api::scalars::{DateTime, Position};

/// An environment of a project.
#[derive(SimpleObject)]
pub struct Environment {
    /// Project and name as one: `project/name`; a slash in the project is written `%2F`.
    pub id: ID,
    /// The project.
    project: String,
    /// Its name there.
    name: String,
    /// What it is for.
    tier: EnvironmentTier,
    /// What it takes to deploy to it; null if nobody ever said so: then it takes nothing.
    policy: Option<ApprovalPolicy>,
    /// Entries of its freeze calendar that are not over, by id.
    freezes: Vec<EnvironmentFreeze>,
    /// Number of events in its stream: what `expectedVersion` is compared with.
    stream_version: i32,
    /// Position of the last event in its stream.
    last_event_position: Position,
}

/// An entry of a freeze calendar: nothing is deployed then.
#[derive(SimpleObject)]
pub struct EnvironmentFreeze {
    /// Its name within the environment.
    id: ID,
    /// It begins then.
    from: DateTime,
    /// It ends then; null: when somebody lifts it.
    until: Option<DateTime>,
    /// Why.
    reason: String,
    /// Only within these hours of each week; none: all the time.
    weekly: Vec<FreezeWindow>,
}

/// The same hours of each week, by the clocks of a zone or by one that is never put forward or back.
#[derive(SimpleObject)]
pub struct FreezeWindow {
    /// The day it begins on.
    day: Weekday,
    /// Minutes after that day's midnight at which it begins.
    start_minute: i32,
    /// How many minutes it takes.
    minutes: i32,
    /// How many minutes the clock is ahead of UTC, where no zone is named.
    utc_offset_minutes: i32,
    /// Whose clocks it goes by, which are put forward and back.
    zone: Option<&'static str>,
}

impl From<EnvironmentRow> for Environment {
    fn from(row: EnvironmentRow) -> Environment {
        Environment {
            id: ID(row.id),
            project: row.project,
            name: row.name,
            tier: row.tier.into(),
            policy: row.policy.map(ApprovalPolicy::from),
            freezes: row.freezes.into_iter().map(Into::into).collect(),
            stream_version: int(row.stream_version),
            last_event_position: Position(row.position),
        }
    }
}

impl From<Freeze> for EnvironmentFreeze {
    fn from(freeze: Freeze) -> EnvironmentFreeze {
        EnvironmentFreeze {
            id: ID(freeze.id),
            from: DateTime(freeze.from),
            until: freeze.until.map(DateTime),
            reason: freeze.reason,
            weekly: freeze.weekly.into_iter().map(FreezeWindow::from).collect(),
        }
    }
}

impl From<WeeklyWindow> for FreezeWindow {
    fn from(window: WeeklyWindow) -> FreezeWindow {
        FreezeWindow {
            day: window.day.into(),
            start_minute: int(window.start_minute.into()),
            minutes: int(window.minutes.into()),
            utc_offset_minutes: window.utc_offset_minutes,
            zone: window.zone.map(Zone::name),
        }
    }
}
