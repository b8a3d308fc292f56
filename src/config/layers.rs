//! Where values come from and which wins: defaults, file, environment, aliases, command line.

use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::Problem;
use super::aliases::{self, Alias};
use super::knob::Knob;
use super::value::Setting;

/// The file read when none is named, if it is there.
pub const FILE: &str = "daybook.toml";

/// What [`super::load`] reads. The default reads nothing: every setting has its default.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A file that must be there.
    pub file: Option<PathBuf>,
    /// A file that is read if it is there.
    pub optional_file: Option<PathBuf>,
    /// Names and values, as the process was given them.
    pub environment: Vec<(String, String)>,
    /// Flags of the command line.
    pub overrides: Vec<Override>,
}

/// One flag of the command line.
#[derive(Clone, Debug)]
pub struct Override {
    /// The setting, such as `data_dir`.
    pub key: &'static str,
    /// The flag, such as `--data-dir`.
    pub flag: &'static str,
    /// As it was given.
    pub value: String,
}

impl Sources {
    /// This process's environment and `daybook.toml` in the working directory, or `file`, or the
    /// file that `DAYBOOK_CONFIG` names.
    pub fn of_process(file: Option<PathBuf>, overrides: Vec<Override>) -> Sources {
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((
                    name.into_string().ok()?,
                    value.to_string_lossy().into_owned(),
                ))
            })
            .collect();
        let named = environment
            .iter()
            .find(|(name, _)| name == "DAYBOOK_CONFIG");
        let file = file.or_else(|| named.map(|(_, path)| PathBuf::from(path)));
        Sources {
            file,
            optional_file: Some(FILE.into()),
            environment,
            overrides,
        }
    }
}

impl Sources {
    /// The file that is read: the one that must be there, or else the one that may.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref().or(self.optional_file.as_deref())
    }
}

/// All layers merged, every value still as it was written.
pub struct Raw(Figment);

impl Raw {
    /// Reads one knob; a refused value is added to `problems`.
    pub fn read<T: Setting>(&self, knob: &Knob, problems: &mut Vec<Problem>) -> Option<T> {
        let key = knob.key();
        let text = match self.0.find_value(&key) {
            Err(_) => knob.default.to_owned(),
            Ok(value) => match text_of(&value) {
                Some(text) => text,
                None => {
                    let problem = format!("needs one value, {}", knob.kind);
                    problems.push(Problem {
                        origin: self.origin(&key),
                        key,
                        problem,
                    });
                    return None;
                }
            },
        };
        let refusal = match T::parse(&text) {
            Ok(value) => match out_of_bounds(&value, knob) {
                None => return Some(value),
                Some(refusal) => refusal,
            },
            Err(refusal) => refusal,
        };
        let shown = if knob.secret {
            "the value".to_owned()
        } else {
            format!("{text:?}")
        };
        let problem = format!("{shown} {refusal}");
        problems.push(Problem {
            origin: self.origin(&key),
            key,
            problem,
        });
        None
    }

    /// Where the value of a key came from.
    pub fn origin(&self, key: &str) -> String {
        let value = self.0.find_value(key).ok();
        value
            .and_then(|value| self.0.get_metadata(value.tag()))
            .map_or_else(
                || "the default".to_owned(),
                |metadata| match metadata
                    .source
                    .as_ref()
                    .and_then(|source| source.file_path())
                {
                    Some(path) => format!("file {}", path.display()),
                    None => metadata.name.to_string(),
                },
            )
    }
}

/// Lays the layers over each other; files that cannot be read and unknown keys are problems.
pub fn merge(sources: &Sources, knobs: &[&Knob]) -> (Raw, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut figment = Figment::new();
    if let Some(file) = file_of(sources, &mut problems) {
        figment = figment.merge(Toml::file_exact(file));
    }
    let mut taken = Vec::new();
    for (name, text) in &sources.environment {
        match own_variable(name, knobs) {
            Own::No => {}
            Own::Knob(key) => taken.push(Given::variable(name, key, text)),
            Own::Unknown(problem) => problems.push(Problem {
                key: name.clone(),
                problem,
                origin: format!("environment variable {name}"),
            }),
        }
    }
    taken.extend(
        aliases::assigned(&sources.environment)
            .into_iter()
            .map(|Alias { name, key, value }| Given::variable(&name, key.to_owned(), &value)),
    );
    taken.extend(
        sources
            .overrides
            .iter()
            .map(|Override { key, flag, value }| Given {
                origin: format!("flag {flag}"),
                key: (*key).to_owned(),
                text: value.clone(),
            }),
    );
    for given in taken {
        figment = figment.merge(given);
    }
    match figment.data() {
        Ok(data) => {
            let raw = Raw(figment);
            for dict in data.values() {
                unknown_keys(&raw, dict, "", knobs, &mut problems);
            }
            (raw, problems)
        }
        Err(error) => {
            problems.extend(error.into_iter().map(|error| {
                Problem {
                    key: "file".to_owned(),
                    problem: error.kind.to_string().trim_end().to_owned(),
                    origin: error
                        .metadata
                        .as_ref()
                        .map_or_else(String::new, |m| m.name.to_string()),
                }
            }));
            (Raw(Figment::new()), problems)
        }
    }
}

fn file_of(sources: &Sources, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    match (&sources.file, &sources.optional_file) {
        (Some(file), _) if file.is_file() => Some(file.clone()),
        (Some(file), _) => {
            problems.push(Problem {
                key: "file".to_owned(),
                problem: format!("{} is not there or is not a file", file.display()),
                origin: "--config or DAYBOOK_CONFIG".to_owned(),
            });
            None
        }
        (None, optional) => optional.clone().filter(|file| file.is_file()),
    }
}

/// What a variable's name means to us.
enum Own {
    /// Nothing: it is somebody else's.
    No,
    /// It sets this key.
    Knob(String),
    /// It looks like ours and is not.
    Unknown(String),
}

fn own_variable(name: &str, knobs: &[&Knob]) -> Own {
    let Some(rest) = name.strip_prefix("DAYBOOK_") else {
        return Own::No;
    };
    // Kubernetes gives every pod the variables of a service named `daybook`; the other names
    // belong to tests, benchmarks and the choice of the file.
    let foreign = ["SERVICE_", "PORT_", "TEST_", "BENCH_"];
    if foreign.iter().any(|prefix| rest.starts_with(prefix))
        || ["PORT", "CONFIG", "SEED"].contains(&rest)
    {
        return Own::No;
    }
    match knobs.iter().find(|knob| knob.variable() == name) {
        Some(knob) => Own::Knob(knob.key()),
        None => Own::Unknown(unknown(name, knobs.iter().map(|knob| knob.variable()))),
    }
}

fn unknown_keys(
    raw: &Raw,
    dict: &Dict,
    prefix: &str,
    knobs: &[&Knob],
    problems: &mut Vec<Problem>,
) {
    for (name, value) in dict {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        let is_section = knobs.iter().any(|knob| knob.section == key);
        match value {
            Value::Dict(_, inner) if is_section => unknown_keys(raw, inner, &key, knobs, problems),
            _ if knobs.iter().any(|knob| knob.key() == key) => {}
            _ => problems.push(Problem {
                problem: unknown(&key, knobs.iter().map(|knob| knob.key())),
                origin: raw.origin(&key),
                key,
            }),
        }
    }
}

fn unknown(name: &str, known: impl Iterator<Item = String>) -> String {
    let nearest = known.map(|known| (distance(name, &known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= name.len() / 3 => {
            format!("no such setting; did you mean {known}?")
        }
        _ => "no such setting; `daybook schema --settings` lists them all".to_owned(),
    }
}

/// Edits (insert, delete, replace) between two names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn out_of_bounds<T: Setting>(value: &T, knob: &Knob) -> Option<String> {
    let (min, max) = knob.bounds?;
    let bound = |text| T::parse(text).expect("a test holds that every bound is accepted");
    let below = value.order(&bound(min)).is_some_and(|order| order.is_lt());
    let above = value.order(&bound(max)).is_some_and(|order| order.is_gt());
    (below || above).then(|| format!("is outside {min} to {max}"))
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Bool(_, flag) => Some(flag.to_string()),
        Value::Num(_, number) => number
            .to_i128()
            .map(|n| n.to_string())
            .or_else(|| number.to_u128().map(|n| n.to_string()))
            .or_else(|| number.to_f64().map(|n| n.to_string())),
        // A list of tables is read as a variable would have it.
        Value::Array(_, items) if items.iter().all(|item| item.as_dict().is_some()) => {
            serde_json::to_string(value).ok()
        }
        _ => None,
    }
}

/// One value with its origin, as a layer of its own.
struct Given {
    origin: String,
    key: String,
    text: String,
}

impl Given {
    fn variable(name: &str, key: String, text: &str) -> Given {
        Given {
            origin: format!("environment variable {name}"),
            key,
            text: text.to_owned(),
        }
    }
}

impl Provider for Given {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = figment::util::nest(&self.key, Value::from(self.text.as_str()));
        let dict = nested.into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}
