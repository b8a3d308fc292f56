//! What is to be deployed, where to, and why; which changes it carries.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::external::ExternalRef;
use crate::personal::Personal;
use crate::refusal::Refusal;
use crate::values::{TextRule, id, known, optional_text, text, too_large};
use crate::words::words;

/// How many changes one command may carry.
pub const CHANGES_MAX: usize = 1_000;
/// How many changes a deployment may have.
pub const DEPLOYMENT_CHANGES_MAX: usize = 10_000;
/// How many characters the id of a change may have: SHA-256 in hexadecimal takes 64.
pub const CHANGE_ID_MAX: usize = 64;

words! {
    /// What an environment is for. A deployment says it itself, so that no figure depends on what its
    /// environment is called later.
    Tier {
        Production "production" "Real users depend on it.";
        Staging "staging" "The last stop before production.";
        Development "development" "For those who build.";
        Other "other" "None of these.";
    }
}

impl Tier {
    /// What an environment is for by its name alone, where nobody says it: by its first word, such as
    /// `prod` of `prod-eu`, whatever its case.
    pub fn of_environment(name: &str) -> Tier {
        let word = name.split(|c: char| !c.is_alphanumeric()).next();
        match word.unwrap_or_default().to_lowercase().as_str() {
            "production" | "prod" | "prd" | "live" => Tier::Production,
            "staging" | "stage" | "stg" | "preprod" | "preproduction" | "uat" => Tier::Staging,
            "development" | "develop" | "dev" | "integration" | "test" | "testing" | "qa" => {
                Tier::Development
            }
            _ => Tier::Other,
        }
    }
}

words! {
    /// Why something is deployed.
    DeploymentReason {
        Planned "planned" "It was due.";
        UnplannedFix "unplanned_fix" "What runs is broken: rework.";
        Rollback "rollback" "What ran before is to run again.";
    }
}

/// What is to be deployed, where to, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// The project; names are ids.
    pub project: String,
    /// The service within the project.
    pub service: String,
    /// The environment of the project.
    pub environment: String,
    /// What is deployed: a tag, a number, a commit.
    pub version: String,
    /// What it replaces, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_version: Option<String>,
    /// Why.
    pub reason: DeploymentReason,
    /// What kind of change it is, in the operator's words, such as `standard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_type: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whose service it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The incident that it is to end, by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedies: Option<String>,
    /// What the system that deploys calls it; unique per tenant together with service and environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRef>,
    /// What is new in this version, as far as it was told so far; each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// One change, mostly a commit. Its times split the way from writing to running it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    /// What it is called where it was made, such as a commit's hash.
    pub id: String,
    /// When it was committed: lead time begins here.
    pub committed_at: DateTime<Utc>,
    /// When it was written first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authored_at: Option<DateTime<Utc>>,
    /// When it was put forward to be merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<DateTime<Utc>>,
    /// When somebody else looked at it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_review_at: Option<DateTime<Utc>>,
    /// When it was merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_at: Option<DateTime<Utc>>,
}

/// Who wants a deployment, as a command says it.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Requester {
    /// One of our users, by id.
    User(String),
    /// A program with a key of ours that belongs to no user, by the key's id.
    ApiKey(String),
    /// A program elsewhere, by its name.
    Machine(String),
    /// Somebody elsewhere, by name.
    Person(String),
}

/// Who wanted a deployment. Ids and names of programs tell nobody who somebody is; a person's name
/// does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestedBy {
    /// One of our users, by id.
    User(String),
    /// A program with a key of ours that belongs to no user, by the key's id.
    ApiKey(String),
    /// A program elsewhere, by its name.
    Machine(String),
    /// Somebody elsewhere, by name.
    Person(Personal),
}

impl Requester {
    pub(super) fn checked(&self) -> Result<RequestedBy, Refusal> {
        let field = "requestedBy";
        Ok(match self {
            Requester::User(user_id) => RequestedBy::User(id(user_id, field)?),
            Requester::ApiKey(key_id) => RequestedBy::ApiKey(id(key_id, field)?),
            Requester::Machine(name) => {
                RequestedBy::Machine(text(TextRule::Name, name, field)?.to_owned())
            }
            Requester::Person(name) => {
                let name = text(TextRule::Name, name, field)?.to_owned();
                RequestedBy::Person(Personal::Plain(name))
            }
        })
    }
}

/// A person's name is not shown.
impl std::fmt::Debug for Requester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Requester::User(id) => write!(f, "User({id:?})"),
            Requester::ApiKey(id) => write!(f, "ApiKey({id:?})"),
            Requester::Machine(name) => write!(f, "Machine({name:?})"),
            Requester::Person(_) => f.write_str("Person(..)"),
        }
    }
}

impl Plan {
    /// The plan with every text and time checked, and each change once.
    pub fn checked(self) -> Result<Plan, Refusal> {
        let version = |value: &str, field| text(TextRule::Name, value, field).map(str::to_owned);
        let named = |value: Option<&str>, field| value.map(|v| id(v, field)).transpose();
        let previous = self.previous_version.as_deref();
        Ok(Plan {
            project: id(&self.project, "project")?,
            service: id(&self.service, "service")?,
            environment: id(&self.environment, "environment")?,
            version: version(&self.version, "version")?,
            previous_version: previous
                .map(|v| version(v, "previousVersion"))
                .transpose()?,
            reason: self.reason,
            change_type: optional_text(TextRule::Key, self.change_type.as_deref(), "changeType")?,
            description: description(self.description.as_deref())?,
            team: named(self.team.as_deref(), "team")?,
            remedies: named(self.remedies.as_deref(), "remedies")?,
            external: self.external.map(ExternalRef::checked).transpose()?,
            changes: checked_changes(&self.changes, &BTreeSet::new())?,
        })
    }
}

pub(super) fn description(value: Option<&str>) -> Result<Option<String>, Refusal> {
    optional_text(TextRule::Reason, value, "description")
}

/// The changes that are not `known` yet, each checked and each once: of two with one id, the first.
pub(super) fn checked_changes(
    changes: &[Change],
    known: &BTreeSet<String>,
) -> Result<Vec<Change>, Refusal> {
    if changes.len() > CHANGES_MAX {
        return Err(too_large(changes.len(), CHANGES_MAX, "changes", "changes"));
    }
    let mut seen = BTreeSet::new();
    let mut new = Vec::with_capacity(changes.len());
    for (n, change) in changes.iter().enumerate() {
        let place = ["changes".to_owned(), n.to_string()];
        let change = change.checked().map_err(|refusal| refusal.under(place))?;
        if !known.contains(&change.id) && seen.insert(change.id.clone()) {
            new.push(change);
        }
    }
    let actual = known.len() + new.len();
    if actual > DEPLOYMENT_CHANGES_MAX {
        return Err(too_large(
            actual,
            DEPLOYMENT_CHANGES_MAX,
            "changes",
            "changes",
        ));
    }
    Ok(new)
}

impl Change {
    /// Times of changes are those of other people's clocks, and are not compared: what follows from
    /// times in a strange order is for whoever makes figures of them.
    fn checked(&self) -> Result<Change, Refusal> {
        let optional = |time: Option<DateTime<Utc>>, field| time.map(|t| known(t, field));
        let chars = self.id.chars().count();
        if chars > CHANGE_ID_MAX {
            return Err(too_large(chars, CHANGE_ID_MAX, "characters", "id"));
        }
        Ok(Change {
            id: id(&self.id, "id")?,
            committed_at: known(self.committed_at, "committedAt")?,
            authored_at: optional(self.authored_at, "authoredAt").transpose()?,
            opened_at: optional(self.opened_at, "openedAt").transpose()?,
            first_review_at: optional(self.first_review_at, "firstReviewAt").transpose()?,
            merged_at: optional(self.merged_at, "mergedAt").transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Tier;

    #[test]
    fn an_environment_is_for_what_its_first_word_says() {
        let cases = [
            ("production", Tier::Production),
            ("PROD-eu.2", Tier::Production),
            ("staging", Tier::Staging),
            ("integration", Tier::Development),
            ("test", Tier::Development),
            ("products", Tier::Other),
            ("not-production", Tier::Other),
            ("github-pages", Tier::Other),
            ("", Tier::Other),
        ];
        for (name, tier) in cases {
            assert_eq!(Tier::of_environment(name), tier, "{name:?}");
        }
    }
}
