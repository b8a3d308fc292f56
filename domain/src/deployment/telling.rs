//! How a deployment becomes known: somebody asks for it, or whoever carries it out tells of it.

use chrono::{DateTime, Utc};

use super::Deployment;
use super::command::{Record, Request};
use super::event::{DeploymentEvent, DeploymentRecorded, DeploymentRequested};
use super::life::Status;
use super::plan::{Plan, RequestedBy, Requester};
use crate::refusal::{Code, Refusal};
use crate::values::{happened, not_before};

impl Deployment {
    pub(super) fn request(&self, wanted: &Request) -> Result<Vec<DeploymentEvent>, Refusal> {
        if self.status.is_some() {
            return Err(exists());
        }
        let plan = wanted.plan.clone().checked()?;
        let Some(tier) = wanted.tier else {
            let message = "no such environment of this project";
            return Err(Refusal::new(Code::EnvironmentNotFound, message).at(["environment"]));
        };
        let requested = DeploymentRequested {
            plan,
            tier,
            requested_by: wanted.requested_by.checked()?,
            at: wanted.now,
        };
        Ok(vec![DeploymentEvent::DeploymentRequested(requested)])
    }

    pub(super) fn record(&self, told: &Record) -> Result<Vec<DeploymentEvent>, Refusal> {
        let plan = told.plan.clone().checked()?;
        if self.status.is_some() {
            if self.was_told_of(&plan) {
                return Ok(vec![]);
            }
            return Err(exists());
        }
        let requested_by = told.requested_by.as_ref();
        let requested_by = requested_by.map(Requester::checked).transpose()?;
        let times = Times::of(told)?;
        times.must_fit(told.status)?;
        times.must_be_in_order()?;
        let [requested_at, started_at, finished_at] = times.0.map(|(_, time)| time);
        let recorded = DeploymentRecorded {
            plan,
            tier: told.tier,
            requested_by,
            status: told.status,
            requested_at,
            started_at,
            finished_at,
        };
        Ok(vec![DeploymentEvent::DeploymentRecorded(recorded)])
    }

    /// Is this the very deployment another system calls so?
    fn was_told_of(&self, plan: &Plan) -> bool {
        plan.external.is_some()
            && plan.external == self.external
            && plan.environment == self.environment
            && plan.service == self.service
    }
}

impl DeploymentRecorded {
    /// Is the same told here, whatever changes are told of beside? Of people it is not known who they are,
    /// since their names are sealed: any two are taken for the same.
    pub fn tells_the_same(&self, other: &DeploymentRecorded) -> bool {
        let person =
            |told: &DeploymentRecorded| matches!(told.requested_by, Some(RequestedBy::Person(_)));
        let same_requester =
            self.requested_by == other.requested_by || (person(self) && person(other));
        let rest = |told: &DeploymentRecorded| {
            let mut told = told.clone();
            told.requested_by = None;
            told.plan.changes.clear();
            told
        };
        same_requester && rest(self) == rest(other)
    }
}

/// Times of a deployment under their names, in the order in which things happen.
struct Times([(&'static str, Option<DateTime<Utc>>); 3]);

impl Times {
    fn of(told: &Record) -> Result<Times, Refusal> {
        let mut times = [
            ("requestedAt", told.requested_at),
            ("startedAt", told.started_at),
            ("finishedAt", told.finished_at),
        ];
        for (field, time) in &mut times {
            *time = time.map(|t| happened(t, told.now, field)).transpose()?;
        }
        Ok(Times(times))
    }

    /// What is needed where the deployment stands is there, and what cannot be is not.
    fn must_fit(&self, status: Status) -> Result<(), Refusal> {
        let idle = status.is_idle();
        let under_way = status == Status::InProgress;
        let ended = !idle && !under_way;
        let needed = [idle, under_way, ended];
        let possible = [true, !idle, ended];
        for (n, (field, time)) in self.0.into_iter().enumerate() {
            let why = match time {
                None if needed[n] => "is needed for",
                Some(_) if !possible[n] => "cannot be told of",
                _ => continue,
            };
            let message = format!("{field} {why} a deployment that is {}", status.as_str());
            return Err(Refusal::new(Code::Validation, message).at([field]));
        }
        Ok(())
    }

    fn must_be_in_order(&self) -> Result<(), Refusal> {
        let mut before: Option<(&str, DateTime<Utc>)> = None;
        for (field, time) in self.0 {
            let Some(time) = time else { continue };
            if let Some((earlier_field, earlier)) = before {
                not_before(time, field, earlier, earlier_field)?;
            }
            before = Some((field, time));
        }
        Ok(())
    }
}

fn exists() -> Refusal {
    Refusal::new(Code::AlreadyExists, "the deployment exists already")
}
