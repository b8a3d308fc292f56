//! Deployments and incidents in few words.

use chrono::{DateTime, Utc};
use domain::Event;
use domain::deployment::{
    Change, ChangesAdded, DeploymentEvent, DeploymentReason, DeploymentRecorded,
    DeploymentRolledBack, HotfixMarked, HotfixUnmarked, Plan, Status, Tier,
};
use domain::incident::{
    IncidentEvent, IncidentLinked, IncidentOpened, IncidentReopened, IncidentReport,
    IncidentResolved, IncidentUnlinked, LinkKind, Severity,
};

use super::scene::at;

/// What happened, in order: the positions are 1, 2, and so on.
#[derive(Default)]
pub struct Story(pub Vec<(String, Event)>);

/// A deployment to production that ran, told of by whoever deploys.
pub fn ran(service: &str, version: &str, time: &str) -> DeploymentRecorded {
    DeploymentRecorded {
        plan: plan(service, version),
        tier: Tier::Production,
        requested_by: None,
        status: Status::Succeeded,
        requested_at: None,
        started_at: None,
        finished_at: Some(at(time)),
    }
}

/// The same, replacing a version by an older one.
pub fn back(service: &str, from: &str, to: &str, time: &str) -> DeploymentRecorded {
    let mut told = ran(service, to, time);
    told.plan.previous_version = Some(from.to_owned());
    told.plan.reason = DeploymentReason::Rollback;
    told
}

/// The same, with these changes.
pub fn carrying(mut told: DeploymentRecorded, changes: &[Change]) -> DeploymentRecorded {
    told.plan.changes = changes.to_vec();
    told
}

/// The plan of a deployment of the shop to its environment `live`.
pub fn plan(service: &str, version: &str) -> Plan {
    Plan {
        project: "shop".to_owned(),
        service: service.to_owned(),
        environment: "live".to_owned(),
        version: version.to_owned(),
        previous_version: None,
        reason: DeploymentReason::Planned,
        change_type: None,
        description: None,
        team: None,
        remedies: None,
        external: None,
        changes: vec![],
    }
}

/// A change of which only that is known.
pub fn change(id: &str, committed: &str) -> Change {
    Change {
        id: id.to_owned(),
        committed_at: at(committed),
        authored_at: None,
        opened_at: None,
        first_review_at: None,
        merged_at: None,
    }
}

impl Story {
    /// Tells of a deployment.
    pub fn told(&mut self, id: &str, told: DeploymentRecorded) -> &mut Story {
        self.of(id, DeploymentEvent::DeploymentRecorded(told))
    }

    /// A deployment's event.
    pub fn of(&mut self, id: &str, event: impl Into<Event>) -> &mut Story {
        self.0.push((id.to_owned(), event.into()));
        self
    }

    /// More became known of what it carries.
    pub fn also_carries(&mut self, id: &str, changes: &[Change]) -> &mut Story {
        let changes = changes.to_vec();
        self.of(id, DeploymentEvent::ChangesAdded(ChangesAdded { changes }))
    }

    /// It was replaced.
    pub fn rolled_back(&mut self, id: &str, time: &str) -> &mut Story {
        let back = DeploymentRolledBack {
            to: "before".to_owned(),
            at: at(time),
            reason: None,
        };
        self.of(id, DeploymentEvent::DeploymentRolledBack(back))
    }

    /// It needed a fix.
    pub fn hotfix(&mut self, id: &str, fixed_by: Option<&str>) -> &mut Story {
        let marked = HotfixMarked {
            fixed_by: fixed_by.map(str::to_owned),
            reason: None,
        };
        self.of(id, DeploymentEvent::HotfixMarked(marked))
    }

    /// It needed none.
    pub fn no_hotfix(&mut self, id: &str) -> &mut Story {
        let unmarked = HotfixUnmarked { reason: None };
        self.of(id, DeploymentEvent::HotfixUnmarked(unmarked))
    }

    /// Something is broken.
    pub fn opened(&mut self, incident: &str, time: &str) -> &mut Story {
        let report = IncidentReport {
            title: format!("{incident} broke"),
            severity: Severity::High,
            project: "shop".to_owned(),
            service: Some("cart".to_owned()),
            environment: None,
            opened_at: at(time),
            external: None,
        };
        self.of(
            incident,
            IncidentEvent::IncidentOpened(IncidentOpened { report }),
        )
    }

    /// It is put down to a deployment.
    pub fn linked(&mut self, incident: &str, deployment: &str, kind: LinkKind) -> &mut Story {
        let inferred = kind == LinkKind::Inferred;
        let linked = IncidentLinked {
            deployment: deployment.to_owned(),
            kind,
            rule: inferred.then(|| "last_success".to_owned()),
        };
        self.of(incident, IncidentEvent::IncidentLinked(linked))
    }

    /// It is not.
    pub fn unlinked(&mut self, incident: &str, deployment: &str) -> &mut Story {
        let unlinked = IncidentUnlinked {
            deployment: deployment.to_owned(),
            reason: None,
        };
        self.of(incident, IncidentEvent::IncidentUnlinked(unlinked))
    }

    /// It is over.
    pub fn resolved(&mut self, incident: &str, time: &str) -> &mut Story {
        let resolved = IncidentResolved { at: at(time) };
        self.of(incident, IncidentEvent::IncidentResolved(resolved))
    }

    /// It is not.
    pub fn reopened(&mut self, incident: &str) -> &mut Story {
        let reopened = IncidentReopened { reason: None };
        self.of(incident, IncidentEvent::IncidentReopened(reopened))
    }

    /// How many events there were: the position of the last.
    pub fn position(&self) -> i64 {
        i64::try_from(self.0.len()).unwrap()
    }
}

/// A time of a day in January 2024, which began on a Monday.
pub fn january(day: u32, clock: &str) -> DateTime<Utc> {
    at(&format!("2024-01-{day:02}T{clock}:00Z"))
}
