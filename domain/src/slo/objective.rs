//! What an objective says: what is measured, over which time, and how much of it is to be good.

use serde::{Deserialize, Serialize};

use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, between, id, text};
use crate::words::words;

/// Shares are told in parts of this: an exact decimal of six places.
pub const PARTS_PER_MILLION: u32 = 1_000_000;
/// How many days a rolling window may have.
pub const ROLLING_DAYS_MAX: u32 = 90;
/// How many minutes a slice of time may have: a day.
pub const SLICE_MINUTES_MAX: u32 = 1_440;
/// How many seconds may be asked for: 366 days.
pub const THRESHOLD_SECONDS_MAX: u32 = 366 * 86_400;

words! {
    /// What is measured. All of them are spans of time that are good while they are short.
    Sli {
        ApprovalWait "approval_wait" "From asking for approval to having it.";
        DeploymentDuration "deployment_duration" "From the start of a deployment to its end.";
        RequestToProduction "request_to_production" "From asking for a deployment to production to its running there.";
        FeedFreshness "feed_freshness" "From the newest fix that is known to each full minute, of all vehicles.";
    }
}

/// What an objective says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Objective {
    /// A name for people.
    pub name: String,
    /// What is measured.
    pub sli: Sli,
    /// Of what.
    pub scope: SloScope,
    /// How much of it is to be good, in parts per million.
    pub objective_ppm: u32,
    /// Over which time.
    pub window: Window,
    /// How it is counted.
    pub method: Method,
    /// Up to so many seconds are good.
    pub threshold_seconds: u32,
    /// The percentile that is to be within the threshold as well, in parts per million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile_ppm: Option<u32>,
    /// Below so many, nothing is said.
    pub min_events: u32,
}

/// What is measured: everything, or what these name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SloScope {
    /// A project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// A service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// An environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// Over which time an objective is to be met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Window {
    /// The last days, up to now.
    Rolling {
        /// How many.
        days: u32,
    },
    /// This week, from Monday.
    CalendarWeek {
        /// By the clocks of this time zone, such as `Europe/London`.
        zone: String,
    },
    /// This month.
    CalendarMonth {
        /// By the clocks of this time zone.
        zone: String,
    },
}

/// How attainment is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Method {
    /// The share of what happened that was good.
    Occurrences {},
    /// The share of slices of time in which enough was good.
    Timeslices {
        /// How long a slice is.
        slice_minutes: u32,
        /// How much is enough, in parts per million.
        slice_objective_ppm: u32,
    },
}

impl Objective {
    /// With every text and number checked. Whether a zone is known is for whoever has a list of them.
    pub fn checked(self) -> Result<Objective, Refusal> {
        let objective = Objective {
            name: text(TextRule::Name, &self.name, "name")?.to_owned(),
            scope: self.scope.checked().map_err(|r| r.under(["scope"]))?,
            window: self.window.checked().map_err(|r| r.under(["window"]))?,
            ..self
        };
        if objective.sli == Sli::FeedFreshness {
            objective
                .scope
                .must_be_everything()
                .map_err(|r| r.under(["scope"]))?;
        }
        share(objective.objective_ppm, "objectivePpm")?;
        objective
            .method
            .check()
            .map_err(|refusal| refusal.under(["method"]))?;
        let threshold = objective.threshold_seconds;
        between(threshold, 1..=THRESHOLD_SECONDS_MAX, "thresholdSeconds")?;
        if let Some(percentile) = objective.percentile_ppm {
            between(percentile, 1..=PARTS_PER_MILLION - 1, "percentilePpm")?;
        }
        Ok(objective)
    }
}

/// A share that can be missed and can be met.
fn share(ppm: u32, field: &str) -> Result<(), Refusal> {
    if ppm == 0 || ppm >= PARTS_PER_MILLION {
        let message = format!("{field} is not above 0 and below {PARTS_PER_MILLION}");
        return Err(Refusal::new(Code::ObjectiveOutOfRange, message)
            .at([field])
            .with("actual", ppm));
    }
    Ok(())
}

impl SloScope {
    fn checked(&self) -> Result<SloScope, Refusal> {
        let named =
            |value: &Option<String>, field| value.as_deref().map(|v| id(v, field)).transpose();
        Ok(SloScope {
            project: named(&self.project, "project")?,
            service: named(&self.service, "service")?,
            environment: named(&self.environment, "environment")?,
        })
    }

    /// A feed is of no project: naming one would say that something else is measured than is.
    fn must_be_everything(&self) -> Result<(), Refusal> {
        let named = [
            ("project", &self.project),
            ("service", &self.service),
            ("environment", &self.environment),
        ];
        match named.into_iter().find(|(_, value)| value.is_some()) {
            None => Ok(()),
            Some((field, _)) => {
                let message =
                    format!("feed freshness is measured of all vehicles, not of a {field}");
                Err(Refusal::new(Code::Validation, message).at([field]))
            }
        }
    }
}

impl Window {
    fn checked(&self) -> Result<Window, Refusal> {
        let zone = |zone: &str| text(TextRule::Key, zone, "zone").map(str::to_owned);
        Ok(match self {
            Window::Rolling { days } => {
                between(*days, 1..=ROLLING_DAYS_MAX, "days")?;
                Window::Rolling { days: *days }
            }
            Window::CalendarWeek { zone: name } => Window::CalendarWeek { zone: zone(name)? },
            Window::CalendarMonth { zone: name } => Window::CalendarMonth { zone: zone(name)? },
        })
    }
}

impl Method {
    fn check(&self) -> Result<(), Refusal> {
        match self {
            Method::Occurrences {} => Ok(()),
            Method::Timeslices {
                slice_minutes,
                slice_objective_ppm,
            } => {
                between(*slice_minutes, 1..=SLICE_MINUTES_MAX, "sliceMinutes")?;
                share(*slice_objective_ppm, "sliceObjectivePpm")
            }
        }
    }
}
