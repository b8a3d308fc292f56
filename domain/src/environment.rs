//! An environment of a project: what it is for, what it takes to deploy to it, and when nobody may.

mod freeze;

pub use freeze::{Freeze, Frozen, WINDOWS_MAX, Weekday, WeeklyWindow};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Shape};
use crate::approval::ApprovalPolicy;
use crate::deployment::Tier;
use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, id, optional_text, too_large};

/// How many freezes that are not over an environment may have.
pub const FREEZES_MAX: usize = 100;

/// The key of an environment's stream: `{project}/{name}`. A slash within the project is written
/// `%2F`, and so a per cent sign `%25`, so that no two environments have one key.
pub fn environment_id(project: &str, name: &str) -> String {
    let project = project.replace('%', "%25").replace('/', "%2F");
    format!("{project}/{name}")
}

/// What an environment can be told. Its project and name make its stream's key ([`environment_id`]).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum EnvironmentCommand {
    /// Make it known, or say anew what it is for. The same: already so.
    Define {
        /// The project.
        project: String,
        /// Its name within the project.
        name: String,
        /// What it is for; deployments from before keep what it was for then.
        tier: Tier,
    },
    /// Say what it takes to deploy to it; approvals that were asked for before keep theirs. The same
    /// policy: already so.
    SetApprovalPolicy {
        /// The policy from now on.
        policy: ApprovalPolicy,
    },
    /// Put an entry into the freeze calendar. The very same entry: already so; another one with this
    /// id: `ALREADY_EXISTS`.
    Freeze {
        /// The entry.
        freeze: Freeze,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Take an entry out.
    Unfreeze {
        /// Which.
        freeze_id: String,
        /// Why, in the operator's words.
        reason: Option<String>,
    },
}

/// What happened to an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EnvironmentEvent {
    /// It is known, or for something else than before.
    #[serde(rename = "environment.defined")]
    EnvironmentDefined(EnvironmentDefined),
    /// It takes this to deploy to it.
    #[serde(rename = "environment.approval_policy_set")]
    ApprovalPolicySet(ApprovalPolicySet),
    /// Nothing is deployed to it then.
    #[serde(rename = "environment.frozen")]
    EnvironmentFrozen(EnvironmentFrozen),
    /// A freeze is lifted.
    #[serde(rename = "environment.unfrozen")]
    EnvironmentUnfrozen(EnvironmentUnfrozen),
}

/// Known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentDefined {
    /// The project.
    pub project: String,
    /// Its name within the project.
    pub name: String,
    /// What it is for.
    pub tier: Tier,
}

/// Takes this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalPolicySet {
    /// The policy, whole.
    pub policy: ApprovalPolicy,
}

/// Not then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentFrozen {
    /// When.
    pub freeze: Freeze,
    /// When that was said.
    pub at: DateTime<Utc>,
}

/// Lifted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentUnfrozen {
    /// Which freeze.
    pub freeze_id: String,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The state an environment's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Environment {
    /// What it is for; `None` before it is defined.
    pub tier: Option<Tier>,
    /// What it takes to deploy to it.
    pub policy: ApprovalPolicy,
    /// Freezes that were not over when the latest was put in.
    pub freezes: Vec<Freeze>,
}

impl Environment {
    /// What keeps it from being deployed to at `now`: of several freezes, the one that ends last.
    pub fn frozen_at(&self, now: DateTime<Utc>) -> Option<Frozen> {
        let holding = self.freezes.iter().filter_map(|freeze| freeze.holds(now));
        holding.max_by_key(|frozen| frozen.until.unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    fn must_exist(&self) -> Result<(), Refusal> {
        if self.tier.is_none() {
            return Err(Refusal::new(Code::NotFound, "no such environment"));
        }
        Ok(())
    }

    fn freeze(
        &self,
        freeze: &Freeze,
        now: DateTime<Utc>,
    ) -> Result<Vec<EnvironmentEvent>, Refusal> {
        self.must_exist()?;
        let freeze = freeze.checked(now)?;
        let open: Vec<&Freeze> = self.freezes.iter().filter(|f| !is_over(f, now)).collect();
        if let Some(known) = open.iter().find(|known| known.id == freeze.id) {
            if **known == freeze {
                return Ok(vec![]);
            }
            let message = "another freeze of this environment has this id";
            return Err(Refusal::new(Code::AlreadyExists, message).at(["freezeId"]));
        }
        if open.len() >= FREEZES_MAX {
            return Err(too_large(open.len() + 1, FREEZES_MAX, "freezes", "freezes"));
        }
        Ok(vec![EnvironmentEvent::EnvironmentFrozen(
            EnvironmentFrozen { freeze, at: now },
        )])
    }

    fn unfreeze(
        &self,
        freeze_id: &str,
        reason: Option<&str>,
    ) -> Result<Vec<EnvironmentEvent>, Refusal> {
        self.must_exist()?;
        let freeze_id = id(freeze_id, "freezeId")?;
        let reason = optional_text(TextRule::Reason, reason, "reason")?;
        if !self.freezes.iter().any(|freeze| freeze.id == freeze_id) {
            let message = "no such freeze of this environment";
            return Err(Refusal::new(Code::NotFound, message).at(["freezeId"]));
        }
        Ok(vec![EnvironmentEvent::EnvironmentUnfrozen(
            EnvironmentUnfrozen { freeze_id, reason },
        )])
    }
}

fn is_over(freeze: &Freeze, now: DateTime<Utc>) -> bool {
    freeze.until.is_some_and(|until| until <= now)
}

impl Aggregate for Environment {
    const TYPE: &'static str = "environment";
    type Command = EnvironmentCommand;
    type Event = EnvironmentEvent;
    const SHAPE: Option<Shape<Environment>> = Some(Shape::json(1));

    fn decide(&self, command: &EnvironmentCommand) -> Result<Vec<EnvironmentEvent>, Refusal> {
        match command {
            EnvironmentCommand::Define {
                project,
                name,
                tier,
            } => {
                let (project, name) = (id(project, "project")?, id(name, "name")?);
                if self.tier == Some(*tier) {
                    return Ok(vec![]);
                }
                let defined = EnvironmentDefined {
                    project,
                    name,
                    tier: *tier,
                };
                Ok(vec![EnvironmentEvent::EnvironmentDefined(defined)])
            }
            EnvironmentCommand::SetApprovalPolicy { policy } => {
                self.must_exist()?;
                let policy = policy.clone().checked()?;
                if policy == self.policy {
                    return Ok(vec![]);
                }
                let set = ApprovalPolicySet { policy };
                Ok(vec![EnvironmentEvent::ApprovalPolicySet(set)])
            }
            EnvironmentCommand::Freeze { freeze, now } => self.freeze(freeze, *now),
            EnvironmentCommand::Unfreeze { freeze_id, reason } => {
                self.unfreeze(freeze_id, reason.as_deref())
            }
        }
    }

    fn apply(&mut self, event: &EnvironmentEvent) {
        match event {
            EnvironmentEvent::EnvironmentDefined(e) => self.tier = Some(e.tier),
            EnvironmentEvent::ApprovalPolicySet(e) => self.policy = e.policy.clone(),
            EnvironmentEvent::EnvironmentFrozen(e) => {
                self.freezes.retain(|freeze| !is_over(freeze, e.at));
                self.freezes.push(e.freeze.clone());
            }
            EnvironmentEvent::EnvironmentUnfrozen(e) => {
                self.freezes.retain(|freeze| freeze.id != e.freeze_id);
            }
        }
    }

    fn weight_bytes(&self) -> usize {
        let text = |text: &String| size_of::<String>() + text.capacity();
        let rules = self.policy.rules.iter();
        let rules: usize = rules
            .map(|r| r.members.iter().map(text).sum::<usize>())
            .sum();
        let freezes = self.freezes.iter();
        let freezes: usize = freezes
            .map(|f| size_of::<Freeze>() + f.reason.capacity() + size_of_val(&f.weekly[..]))
            .sum();
        size_of::<Self>() + rules + freezes
    }
}

#[cfg(test)]
mod tests;
