//! An incident: something that was broken from one time to another, and the deployments it is put
//! down to.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, ClaimChange, Shape};
use crate::external::{ExternalRef, joined};
use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, happened, id, not_before, optional_text, text, too_large};
use crate::words::words;

/// How many deployments an incident may be linked to, or have been.
pub const LINKS_MAX: usize = 1_000;

words! {
    /// How bad it is.
    Severity {
        Critical "critical" "Nobody can work.";
        High "high" "Many cannot.";
        Medium "medium" "Some cannot, or all must go round it.";
        Low "low" "Annoying.";
    }
}

words! {
    /// Where an incident stands.
    IncidentStatus {
        Open "open" "Something is broken.";
        Resolved "resolved" "It is not any more.";
    }
}

words! {
    /// How a link to a deployment came to be.
    LinkKind {
        Explicit "explicit" "Somebody said so.";
        Inferred "inferred" "A rule found it, which may be wrong.";
    }
}

/// What an incident is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IncidentReport {
    /// A sentence for people.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// The project; names are ids.
    pub project: String,
    /// The service that is broken; left out: the project as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The environment; left out: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// When it began.
    pub opened_at: DateTime<Utc>,
    /// What the system it comes from calls it; unique per tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRef>,
}

/// What an incident can be told. Its id comes with the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum IncidentCommand {
    /// Make it known. Told by the same system under the same name before: already so; known
    /// otherwise: `ALREADY_EXISTS`.
    Open {
        /// What it is about.
        report: IncidentReport,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Put it down to a deployment. A link on purpose replaces an inferred one; any other second link
    /// is `ALREADY_LINKED`, and what was taken back is not inferred again: `LINK_WITHDRAWN`.
    LinkDeployment {
        /// Which, by id.
        deployment: String,
        /// How it is known.
        kind: LinkKind,
        /// The name of the rule that inferred it; none for a link on purpose.
        rule: Option<String>,
        /// Is there such a deployment at this moment? Seen by us, not said by the caller, so no part
        /// of the command's fingerprint.
        #[serde(skip_serializing)]
        known: bool,
    },
    /// Take a link back.
    UnlinkDeployment {
        /// Which, by the deployment's id.
        deployment: String,
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// It is over. Over already: `ILLEGAL_TRANSITION`.
    Resolve {
        /// Since when; left out: now.
        at: Option<DateTime<Utc>>,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// It is not over after all. Not over: `ILLEGAL_TRANSITION`.
    Reopen {
        /// Why, in the operator's words.
        reason: Option<String>,
    },
}

/// What happened to an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum IncidentEvent {
    /// It became known.
    #[serde(rename = "incident.opened")]
    IncidentOpened(IncidentOpened),
    /// It is put down to a deployment.
    #[serde(rename = "incident.linked")]
    IncidentLinked(IncidentLinked),
    /// It is not.
    #[serde(rename = "incident.unlinked")]
    IncidentUnlinked(IncidentUnlinked),
    /// It is over.
    #[serde(rename = "incident.resolved")]
    IncidentResolved(IncidentResolved),
    /// It is not over.
    #[serde(rename = "incident.reopened")]
    IncidentReopened(IncidentReopened),
}

/// Known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IncidentOpened {
    /// What it is about.
    pub report: IncidentReport,
}

/// Put down to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IncidentLinked {
    /// Which deployment, by id.
    pub deployment: String,
    /// How it is known; it replaces what was known before.
    pub kind: LinkKind,
    /// The name of the rule that inferred it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// Not put down to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IncidentUnlinked {
    /// Which deployment, by id.
    pub deployment: String,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IncidentResolved {
    /// Since when.
    pub at: DateTime<Utc>,
}

/// Not over: the time it was resolved at does not count any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IncidentReopened {
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The state an incident's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Incident {
    /// Where it stands; `None` before it is known.
    pub status: Option<IncidentStatus>,
    /// When it began.
    pub opened_at: Option<DateTime<Utc>>,
    /// What the system it comes from calls it.
    pub external: Option<ExternalRef>,
    /// Deployments it is put down to, by id.
    pub links: BTreeMap<String, LinkKind>,
    /// Deployments it was put down to by mistake.
    pub withdrawn: BTreeSet<String>,
}

/// Scope of the claim on [`IncidentReport::external`].
pub const INCIDENT_EXTERNAL_ID_SCOPE: &str = "incident.external_id";

/// The claim an incident of another system is found by.
pub fn incident_claim(external: &ExternalRef) -> ClaimChange {
    ClaimChange {
        scope: INCIDENT_EXTERNAL_ID_SCOPE,
        value: joined(&[&external.source, &external.id]),
        release: false,
        personal: false,
    }
}

impl IncidentReport {
    /// The report with every text and time checked.
    pub fn checked(self, now: DateTime<Utc>) -> Result<IncidentReport, Refusal> {
        let named = |value: Option<&str>, field| value.map(|v| id(v, field)).transpose();
        Ok(IncidentReport {
            title: text(TextRule::Name, &self.title, "title")?.to_owned(),
            severity: self.severity,
            project: id(&self.project, "project")?,
            service: named(self.service.as_deref(), "service")?,
            environment: named(self.environment.as_deref(), "environment")?,
            opened_at: happened(self.opened_at, now, "openedAt")?,
            external: self.external.map(ExternalRef::checked).transpose()?,
        })
    }
}

impl Incident {
    fn must_exist(&self) -> Result<IncidentStatus, Refusal> {
        self.status
            .ok_or_else(|| Refusal::new(Code::NotFound, "no such incident"))
    }

    fn must_become(&self, to: IncidentStatus) -> Result<(), Refusal> {
        let from = self.must_exist()?;
        if from == to {
            let message = format!("the incident is {} already", to.as_str());
            return Err(Refusal::new(Code::IllegalTransition, message)
                .with("from", from.as_str())
                .with("to", to.as_str()));
        }
        Ok(())
    }

    fn open(
        &self,
        report: &IncidentReport,
        now: DateTime<Utc>,
    ) -> Result<Vec<IncidentEvent>, Refusal> {
        let report = report.clone().checked(now)?;
        if self.status.is_some() {
            if report.external.is_some() && report.external == self.external {
                return Ok(vec![]);
            }
            let message = "the incident exists already";
            return Err(Refusal::new(Code::AlreadyExists, message));
        }
        Ok(vec![IncidentEvent::IncidentOpened(IncidentOpened {
            report,
        })])
    }

    fn link(
        &self,
        deployment: &str,
        kind: LinkKind,
        rule: Option<&str>,
        known: bool,
    ) -> Result<Vec<IncidentEvent>, Refusal> {
        self.must_exist()?;
        let deployment = id(deployment, "deployment")?;
        let rule = optional_text(TextRule::Key, rule, "rule")?;
        if rule.is_some() != (kind == LinkKind::Inferred) {
            let message = "an inferred link names its rule, a link on purpose has none";
            return Err(Refusal::new(Code::Validation, message).at(["rule"]));
        }
        let at = |refusal: Refusal| refusal.at(["deployment"]);
        if !known {
            return Err(at(Refusal::new(Code::NotFound, "no such deployment")));
        }
        match (self.links.get(&deployment), kind) {
            (Some(LinkKind::Inferred), LinkKind::Explicit) => {}
            (Some(_), _) => {
                let message = "the incident is linked to this deployment already";
                return Err(at(Refusal::new(Code::AlreadyLinked, message)));
            }
            (None, LinkKind::Inferred) if self.withdrawn.contains(&deployment) => {
                let message = "the link was taken back and is not inferred again";
                return Err(at(Refusal::new(Code::LinkWithdrawn, message)));
            }
            (None, _) => {}
        }
        let links = self.links.len() + self.withdrawn.len();
        if links >= LINKS_MAX && !self.has_seen(&deployment) {
            return Err(too_large(links + 1, LINKS_MAX, "links", "deployment"));
        }
        Ok(vec![IncidentEvent::IncidentLinked(IncidentLinked {
            deployment,
            kind,
            rule,
        })])
    }

    fn has_seen(&self, deployment: &str) -> bool {
        self.links.contains_key(deployment) || self.withdrawn.contains(deployment)
    }

    fn unlink(
        &self,
        deployment: &str,
        reason: Option<&str>,
    ) -> Result<Vec<IncidentEvent>, Refusal> {
        self.must_exist()?;
        let deployment = id(deployment, "deployment")?;
        let reason = optional_text(TextRule::Reason, reason, "reason")?;
        if !self.links.contains_key(&deployment) {
            let message = "the incident is not linked to this deployment";
            return Err(Refusal::new(Code::NotLinked, message).at(["deployment"]));
        }
        Ok(vec![IncidentEvent::IncidentUnlinked(IncidentUnlinked {
            deployment,
            reason,
        })])
    }

    fn resolve(
        &self,
        at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Vec<IncidentEvent>, Refusal> {
        self.must_become(IncidentStatus::Resolved)?;
        let opened_at = self.opened_at.unwrap_or_default();
        let at = match at {
            Some(at) => happened(at, now, "at")?,
            // It was said to have begun by a clock that is ahead of ours.
            None => now.max(opened_at),
        };
        not_before(at, "at", opened_at, "openedAt")?;
        Ok(vec![IncidentEvent::IncidentResolved(IncidentResolved {
            at,
        })])
    }
}

impl Aggregate for Incident {
    const TYPE: &'static str = "incident";
    type Command = IncidentCommand;
    type Event = IncidentEvent;
    const SHAPE: Option<Shape<Incident>> = Some(Shape::json(1));

    fn decide(&self, command: &IncidentCommand) -> Result<Vec<IncidentEvent>, Refusal> {
        match command {
            IncidentCommand::Open { report, now } => self.open(report, *now),
            IncidentCommand::LinkDeployment {
                deployment,
                kind,
                rule,
                known,
            } => self.link(deployment, *kind, rule.as_deref(), *known),
            IncidentCommand::UnlinkDeployment { deployment, reason } => {
                self.unlink(deployment, reason.as_deref())
            }
            IncidentCommand::Resolve { at, now } => self.resolve(*at, *now),
            IncidentCommand::Reopen { reason } => {
                self.must_become(IncidentStatus::Open)?;
                let reason = optional_text(TextRule::Reason, reason.as_deref(), "reason")?;
                Ok(vec![IncidentEvent::IncidentReopened(IncidentReopened {
                    reason,
                })])
            }
        }
    }

    fn apply(&mut self, event: &IncidentEvent) {
        match event {
            IncidentEvent::IncidentOpened(e) => {
                self.status = Some(IncidentStatus::Open);
                self.opened_at = Some(e.report.opened_at);
                self.external.clone_from(&e.report.external);
            }
            IncidentEvent::IncidentLinked(e) => {
                self.withdrawn.remove(&e.deployment);
                self.links.insert(e.deployment.clone(), e.kind);
            }
            IncidentEvent::IncidentUnlinked(e) => {
                self.links.remove(&e.deployment);
                self.withdrawn.insert(e.deployment.clone());
            }
            IncidentEvent::IncidentResolved(_) => self.status = Some(IncidentStatus::Resolved),
            IncidentEvent::IncidentReopened(_) => self.status = Some(IncidentStatus::Open),
        }
    }

    fn claims(&self, event: &IncidentEvent) -> Vec<ClaimChange> {
        match event {
            IncidentEvent::IncidentOpened(e) => {
                e.report.external.iter().map(incident_claim).collect()
            }
            _ => Vec::new(),
        }
    }

    fn weight_bytes(&self) -> usize {
        let ids = self.links.keys().chain(&self.withdrawn);
        size_of::<Self>()
            + ids
                .map(|id| size_of::<String>() + id.capacity())
                .sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
