//! Who may send webhooks, and the files of the secrets they sign with.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use domain::tenant::{DEFAULT_TENANT, tenant_id};
use serde::{Deserialize, Deserializer};

use super::value::Setting;

/// Sources there may be.
const SOURCES_MAX: usize = 100;

/// Projects one of them may tell of, by their names.
const PROJECTS_MAX: usize = 200;

/// Secrets one of them may sign with: today's, the next one, and one that runs out. Each costs a signature
/// for every delivery.
const SECRETS_MAX: usize = 4;

/// Characters of a source's name.
const NAME_CHARS_MAX: usize = 40;

/// Those who may send webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookSources(Vec<HookSource>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSource {
    /// What its deliveries look like.
    pub kind: HookKind,
    /// What it is called: it stands at the end of its path, and in the events it leads to.
    #[serde(default = "usual_name")]
    pub name: String,
    /// Whose log.
    #[serde(default = "usual_tenant")]
    pub tenant: String,
    /// What it may tell of: names of projects, or `owner/*`.
    pub projects: Vec<String>,
    /// What it may sign with, any of them.
    pub secrets: Vec<HookSecret>,
}

/// A secret that is shared with a source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSecret {
    /// Where it is kept.
    pub file: PathBuf,
    /// When it is good for nothing any more; not given: never.
    #[serde(default, deserialize_with = "time")]
    pub until: Option<DateTime<Utc>>,
}

/// Kinds of deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookKind {
    /// GitHub's own.
    Github,
    /// Ours, signed as Standard Webhooks say.
    Generic,
}

impl HookKind {
    /// As paths, settings and figures call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            HookKind::Github => "github",
            HookKind::Generic => "generic",
        }
    }
}

impl HookSources {
    /// In the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = &HookSource> {
        self.0.iter()
    }
}

impl Setting for HookSources {
    const KIND: &'static str =
        "tables of `kind`, `name`, `tenant`, `projects` and `secrets`, in a variable as JSON";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(HookSources::default());
        }
        let sources: Vec<HookSource> = serde_json::from_str(text)
            .map_err(|error| format!("is not a list of {}: {error}", Self::KIND))?;
        if sources.len() > SOURCES_MAX {
            return Err(format!("names more than {SOURCES_MAX} sources"));
        }
        for (n, source) in sources.iter().enumerate() {
            source.check()?;
            let own = (source.kind, &source.name);
            if sources[..n].iter().any(|s| (s.kind, &s.name) == own) {
                let kind = source.kind.as_str();
                return Err(format!("names the {kind} source {:?} twice", source.name));
            }
        }
        Ok(HookSources(sources))
    }
}

impl HookSource {
    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=NAME_CHARS_MAX).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(format!(
                "names a source {name:?}: 1 to {NAME_CHARS_MAX} of a-z, 0-9 and -"
            ));
        }
        if tenant_id(&self.tenant, "tenant").is_err() {
            return Err(format!("gives {name:?} a tenant that is none"));
        }
        if !(1..=PROJECTS_MAX).contains(&self.projects.len()) {
            return Err(format!(
                "gives {name:?} no project, or more than {PROJECTS_MAX}"
            ));
        }
        if let Some(bad) = self.projects.iter().find(|project| !is_pattern(project)) {
            return Err(format!(
                "gives {name:?} the project {bad:?}: a name, or `owner/*`"
            ));
        }
        if !(1..=SECRETS_MAX).contains(&self.secrets.len()) {
            return Err(format!(
                "gives {name:?} no secret, or more than {SECRETS_MAX}"
            ));
        }
        Ok(())
    }

    /// May it tell of this project?
    pub fn tells_of(&self, project: &str) -> bool {
        self.projects
            .iter()
            .any(|own| match own.strip_suffix("/*") {
                Some(owner) => project.split_once('/').is_some_and(|(o, _)| o == owner),
                None => own == project,
            })
    }
}

/// A name, or all of one owner's; `*` by itself would be everybody's.
fn is_pattern(text: &str) -> bool {
    let name = text.strip_suffix("/*").unwrap_or(text);
    !name.is_empty() && !name.contains('*') && !name.chars().any(char::is_control)
}

fn usual_name() -> String {
    "default".to_owned()
}

fn usual_tenant() -> String {
    DEFAULT_TENANT.to_owned()
}

fn time<'de, D: Deserializer<'de>>(source: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = String::deserialize(source)?;
    let time = DateTime::parse_from_rfc3339(&text).map_err(serde::de::Error::custom)?;
    Ok(Some(time.to_utc()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn source() -> Value {
        json!({ "kind": "github", "projects": ["acme/*", "shop"],
                "secrets": [{ "file": "/a" }, { "file": "/b", "until": "2026-12-01T00:00:00Z" }] })
    }

    #[test]
    fn a_source_is_called_default_and_writes_to_default() {
        let sources = HookSources::parse(&json!([source()]).to_string()).unwrap();
        let source = sources.iter().next().unwrap();
        assert_eq!((&*source.name, &*source.tenant), ("default", "default"));
        assert_eq!(source.kind, HookKind::Github);
        let ends: Vec<bool> = source.secrets.iter().map(|s| s.until.is_some()).collect();
        assert_eq!(ends, [false, true]);
        assert_eq!(HookSources::parse(""), Ok(HookSources::default()));
    }

    #[test]
    fn a_source_tells_of_its_own_projects() {
        let sources = HookSources::parse(&json!([source()]).to_string()).unwrap();
        let source = sources.iter().next().unwrap();
        for (project, expect) in [
            ("acme/web", true),
            ("shop", true),
            ("acme", false),
            ("acmes/web", false),
            ("shop/web", false),
            ("ACME/web", false),
        ] {
            assert_eq!(source.tells_of(project), expect, "{project}");
        }
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for (field, value, said) in [
            ("kind", json!("gitlab"), "gitlab"),
            ("name", json!("a b"), "a-z"),
            ("name", json!(""), "a-z"),
            ("tenant", json!("A"), "tenant"),
            ("projects", json!([]), "no project"),
            ("projects", json!(["*"]), "owner/*"),
            ("projects", json!([""]), "owner/*"),
            ("secrets", json!([]), "no secret"),
            (
                "secrets",
                json!(vec![json!({ "file": "/a" }); 5]),
                "more than 4",
            ),
            (
                "secrets",
                json!([{ "file": "/a", "until": "soon" }]),
                "not a list",
            ),
            ("secret", json!("in the clear"), "unknown field"),
        ] {
            let mut bad = source();
            bad[field] = value;
            let refused = HookSources::parse(&json!([bad]).to_string()).unwrap_err();
            assert!(refused.contains(said), "{field}: {refused}");
        }
        let twice = HookSources::parse(&json!([source(), source()]).to_string());
        assert!(twice.unwrap_err().contains("twice"));
    }
}
