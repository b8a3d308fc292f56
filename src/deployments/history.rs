//! A deployment as its own events tell it: as it stood at a position or a time, and what is too much for a
//! row of the board, such as the policy it was asked under and who voted what.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::deployment::{
    Change, Deployment, DeploymentAmended, DeploymentEvent, DeploymentRecorded, Plan, RequestedBy,
    Status, Tier,
};
use domain::{Aggregate as _, Event, Personal, Position, Recorded};
use projections::accounts::Sealed;
use projections::deployments::{ChangeRow, DeploymentRow, Requested};

use super::{Deployments, DeploymentsError};

/// Up to where a history goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Up to this place in the log.
    Position(Position),
    /// As it was recorded by then.
    Time(DateTime<Utc>),
}

/// Everything a deployment's events say of it up to some place.
#[derive(Clone, Debug)]
pub struct History {
    /// As on the board.
    pub row: DeploymentRow,
    /// As the next command would find it.
    pub state: Deployment,
    /// What users said to its current revision, the last word of each, by user id.
    pub votes: BTreeMap<String, CastVote>,
    /// What it carries, by id of the change.
    pub changes: BTreeMap<String, ChangeRow>,
}

/// What somebody said to a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CastVote {
    /// Yes?
    pub agrees: bool,
    /// What they said beside.
    pub comment: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

impl Until {
    fn covers(self, event: &Recorded<Event>) -> bool {
        match self {
            Until::Position(position) => event.position <= position,
            Until::Time(time) => event.recorded_at <= time,
        }
    }
}

impl Deployments {
    /// What a deployment's events say up to there; `None` if it was not known then.
    pub async fn history(
        &self,
        tenant: &Arc<str>,
        id: &str,
        until: Until,
    ) -> Result<Option<History>, DeploymentsError> {
        let mut history = None::<History>;
        let door = &self.0.door;
        let walked = door.walk::<Deployment>(tenant, id, |event| {
            if !until.covers(&event) {
                return Ok(ControlFlow::Break(()));
            }
            let Event::Deployment(what) = &event.event else {
                return Err("not of a deployment".to_owned());
            };
            match &mut history {
                None => history = History::begin(&event, what),
                Some(history) => history.go_on(&event, what),
            }
            Ok(ControlFlow::Continue(()))
        });
        walked.await?;
        Ok(history)
    }
}

impl History {
    /// What the first event says; `None` if that is none a deployment begins with.
    fn begin(event: &Recorded<Event>, what: &DeploymentEvent) -> Option<History> {
        let (plan, tier, requested_by, known_at) = match what {
            DeploymentEvent::DeploymentRequested(e) => {
                (&e.plan, e.tier, Some(&e.requested_by), e.at)
            }
            DeploymentEvent::DeploymentRecorded(e) => {
                let times = [e.requested_at, e.started_at, e.finished_at];
                let known_at = times.into_iter().flatten().next();
                let known_at = known_at.unwrap_or(event.recorded_at);
                (&e.plan, e.tier, e.requested_by.as_ref(), known_at)
            }
            _ => return None,
        };
        let requested_by = requested_by.and_then(|by| requested(event, by));
        let mut history = History {
            row: blank(&event.aggregate_id, plan, tier, requested_by, known_at),
            state: Deployment::default(),
            votes: BTreeMap::new(),
            changes: BTreeMap::new(),
        };
        history.carry(event, &plan.changes);
        match what {
            DeploymentEvent::DeploymentRequested(e) => history.row.requested_at = Some(e.at),
            DeploymentEvent::DeploymentRecorded(e) => history.recorded(e),
            _ => {}
        }
        history.seen(event, what);
        Some(history)
    }

    fn go_on(&mut self, event: &Recorded<Event>, what: &DeploymentEvent) {
        let row = &mut self.row;
        match what {
            DeploymentEvent::ApprovalRequested(e) => {
                row.asked_at = Some(e.at);
                row.wait_until = Some(e.times.wait_until);
                row.expires_at = Some(e.times.expires_at);
            }
            DeploymentEvent::ApprovalGranted(e) => {
                let vote = vote(true, &e.comment, e.at);
                self.votes.insert(e.by.clone(), vote);
            }
            DeploymentEvent::ApprovalRejected(e) => {
                row.closed_at = Some(e.at);
                let vote = vote(false, &e.comment, e.at);
                self.votes.insert(e.by.clone(), vote);
            }
            DeploymentEvent::ApprovalRevoked(e) => {
                self.votes.remove(&e.by);
                if e.reopened {
                    row.approved_at = None;
                }
            }
            DeploymentEvent::ApprovalSatisfied(e) => row.approved_at = Some(e.at),
            DeploymentEvent::ApprovalOverridden(e) => row.approved_at = Some(e.at),
            DeploymentEvent::ApprovalExpired(e) => row.closed_at = Some(e.at),
            DeploymentEvent::DeploymentAmended(e) => self.amended(event, e),
            DeploymentEvent::ChangesAdded(e) => self.carry(event, &e.changes),
            DeploymentEvent::DeploymentStarted(e) => row.started_at = Some(e.at),
            DeploymentEvent::DeploymentSucceeded(e) => row.succeeded_at = Some(e.at),
            DeploymentEvent::DeploymentFailed(e) => row.failed_at = Some(e.at),
            DeploymentEvent::DeploymentRolledBack(e) => {
                row.rolled_back_at = Some(e.at);
                row.rolled_back_to = Some(e.to.clone());
            }
            DeploymentEvent::DeploymentCancelled(e) => row.closed_at = Some(e.at),
            // Nothing is known twice; hotfixes are in the state.
            DeploymentEvent::DeploymentRequested(_)
            | DeploymentEvent::DeploymentRecorded(_)
            | DeploymentEvent::HotfixMarked(_)
            | DeploymentEvent::HotfixUnmarked(_) => {}
        }
        self.seen(event, what);
    }

    /// Told of as it stands elsewhere: whatever has its time there has happened.
    fn recorded(&mut self, e: &DeploymentRecorded) {
        let row = &mut self.row;
        row.requested_at = e.requested_at;
        row.started_at = e.started_at;
        match e.status {
            Status::Succeeded | Status::RolledBack => row.succeeded_at = e.finished_at,
            Status::Failed => row.failed_at = e.finished_at,
            Status::Rejected | Status::Expired | Status::Cancelled => row.closed_at = e.finished_at,
            Status::Requested
            | Status::AwaitingApproval
            | Status::Approved
            | Status::InProgress => {}
        }
    }

    fn amended(&mut self, event: &Recorded<Event>, e: &DeploymentAmended) {
        self.votes.clear();
        self.row.version.clone_from(&e.version);
        self.row.description.clone_from(&e.description);
        self.row.revision = i64::from(e.revision);
        if let Some(times) = e.reopened {
            self.row.asked_at = Some(e.at);
            self.row.wait_until = Some(times.wait_until);
            self.row.expires_at = Some(times.expires_at);
            self.row.approved_at = None;
        }
        if let Some(changes) = &e.changes {
            self.changes.clear();
            self.carry(event, changes);
        }
    }

    fn carry(&mut self, event: &Recorded<Event>, changes: &[Change]) {
        let position = event.position;
        let rows = changes.iter().map(|change| {
            let change = change.clone();
            (change.id.clone(), ChangeRow { change, position })
        });
        self.changes.extend(rows);
    }

    fn seen(&mut self, event: &Recorded<Event>, what: &DeploymentEvent) {
        self.state.apply(what);
        self.row.status = self.state.status.unwrap_or(self.row.status);
        self.row.stream_version = event.sequence;
        self.row.position = event.position;
    }
}

fn vote(agrees: bool, comment: &Option<String>, at: DateTime<Utc>) -> CastVote {
    let comment = comment.clone();
    CastVote {
        agrees,
        comment,
        at,
    }
}

fn requested(event: &Recorded<Event>, by: &RequestedBy) -> Option<Requested> {
    Some(match by {
        RequestedBy::User(id) => Requested::User(id.clone()),
        RequestedBy::ApiKey(id) => Requested::ApiKey(id.clone()),
        RequestedBy::Machine(name) => Requested::Machine(name.clone()),
        RequestedBy::Person(Personal::Sealed(text)) => Requested::Person(Sealed {
            text: text.clone(),
            event_id: event.event_id,
        }),
        // The log holds none.
        RequestedBy::Person(Personal::Plain(_)) => return None,
    })
}

/// A row before anything happened.
fn blank(
    id: &str,
    plan: &Plan,
    tier: Tier,
    requested_by: Option<Requested>,
    known_at: DateTime<Utc>,
) -> DeploymentRow {
    DeploymentRow {
        id: id.to_owned(),
        project: plan.project.clone(),
        service: plan.service.clone(),
        environment: plan.environment.clone(),
        tier,
        version: plan.version.clone(),
        previous_version: plan.previous_version.clone(),
        reason: plan.reason,
        change_type: plan.change_type.clone(),
        description: plan.description.clone(),
        team: plan.team.clone(),
        remedies: plan.remedies.clone(),
        external: plan.external.clone(),
        requested_by,
        revision: 1,
        status: Status::Requested,
        known_at,
        requested_at: None,
        asked_at: None,
        wait_until: None,
        expires_at: None,
        approved_at: None,
        started_at: None,
        succeeded_at: None,
        failed_at: None,
        rolled_back_at: None,
        rolled_back_to: None,
        closed_at: None,
        stream_version: 0,
        position: Position::START,
    }
}
