//! Old payloads become today's, one function per step.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::event::DecodeError;

/// One step from a version to the next.
struct Step {
    event_type: &'static str,
    from: &'static str,
    to: &'static str,
    upcast: fn(Value) -> Result<Value, String>,
}

/// Every step ever needed, oldest first. No released event has changed its shape yet.
const STEPS: &[Step] = &[];

/// Walks the steps from `version` to `today`, then decodes.
pub(crate) fn decode_old<T: DeserializeOwned>(
    event_type: &str,
    version: &str,
    today: &str,
    payload: &str,
) -> Result<T, DecodeError> {
    let value = walk(STEPS, event_type, version, today, payload)?;
    serde_json::from_value(value).map_err(|e| unreadable(event_type, e))
}

/// A version that no chain of steps leads from to `today` was never released, or is newer than this
/// program. A chain visits a step once at most, so steps that lead in a circle end as well.
fn walk(
    steps: &[Step],
    event_type: &str,
    version: &str,
    today: &str,
    payload: &str,
) -> Result<Value, DecodeError> {
    let mut value: Value = serde_json::from_str(payload).map_err(|e| unreadable(event_type, e))?;
    let mut at = version;
    for _ in 0..=steps.len() {
        if at == today {
            return Ok(value);
        }
        let Some(step) = steps
            .iter()
            .find(|s| s.event_type == event_type && s.from == at)
        else {
            break;
        };
        value = (step.upcast)(value).map_err(|reason| unreadable(event_type, reason))?;
        at = step.to;
    }
    Err(DecodeError::UnknownVersion {
        event_type: event_type.to_owned(),
        event_version: version.to_owned(),
    })
}

fn unreadable(event_type: &str, reason: impl ToString) -> DecodeError {
    DecodeError::Payload {
        event_type: event_type.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;
    use crate::event::{Event, VOCABULARY};

    /// A vehicle that was renamed twice before today: `{"n"}`, `{"name"}`, `{"name", "kind"}`.
    const CHAIN: &[Step] = &[
        Step {
            event_type: "vehicle.painted",
            from: "1",
            to: "2",
            upcast: |old| match old.get("n") {
                Some(name) => Ok(json!({ "name": name })),
                None => Err("no n".to_owned()),
            },
        },
        Step {
            event_type: "vehicle.painted",
            from: "2",
            to: "3",
            upcast: |mut old| {
                old["kind"] = json!("bus");
                Ok(old)
            },
        },
        Step {
            event_type: "fleet.painted",
            from: "1",
            to: "2",
            upcast: |_| Ok(json!("fleet")),
        },
        Step {
            event_type: "vehicle.circled",
            from: "1",
            to: "2",
            upcast: Ok,
        },
        Step {
            event_type: "vehicle.circled",
            from: "2",
            to: "1",
            upcast: Ok,
        },
    ];

    fn painted(version: &str, payload: &str) -> Result<Value, DecodeError> {
        walk(CHAIN, "vehicle.painted", version, "3", payload)
    }

    #[test]
    fn old_payloads_walk_every_step_to_today() {
        let today = json!({"name": "a", "kind": "bus"});
        assert_eq!(painted("1", r#"{"n":"a"}"#).ok(), Some(today.clone()));
        assert_eq!(painted("2", r#"{"name":"a"}"#).ok(), Some(today.clone()));
        assert_eq!(
            painted("3", r#"{"name":"a","kind":"bus"}"#).ok(),
            Some(today)
        );
    }

    #[test]
    fn versions_without_a_way_to_today_are_unknown() {
        let unknown = |answer: Result<Value, DecodeError>, expected: &str| match answer {
            Err(DecodeError::UnknownVersion { event_version, .. }) => {
                assert_eq!(event_version, expected);
            }
            other => panic!("{other:?}"),
        };
        for version in ["0", "4", "01", "", "latest"] {
            unknown(painted(version, r#"{"n":"a"}"#), version);
        }
        unknown(walk(CHAIN, "vehicle.scratched", "1", "2", "{}"), "1");
        unknown(walk(CHAIN, "fleet.painted", "1", "3", "{}"), "1");
        unknown(walk(CHAIN, "vehicle.circled", "1", "3", "{}"), "1");
    }

    #[test]
    fn payloads_a_step_cannot_read_say_so() {
        for payload in ["", "{", r#"{"m":1}"#] {
            let answer = painted("1", payload);
            assert!(
                matches!(answer, Err(DecodeError::Payload { .. })),
                "{answer:?}"
            );
        }
    }

    #[test]
    fn every_step_belongs_to_an_event_and_ends_today() {
        let vocabulary: BTreeMap<_, _> = VOCABULARY.iter().copied().collect();
        for (index, step) in STEPS.iter().enumerate() {
            let same = |s: &&Step| (s.event_type, s.from) == (step.event_type, step.from);
            assert_eq!(
                STEPS.iter().position(|s| same(&s)),
                Some(index),
                "two ways from a version"
            );
            let mut at = step.to;
            while Some(&at) != vocabulary.get(step.event_type) {
                let next = STEPS
                    .iter()
                    .find(|s| (s.event_type, s.from) == (step.event_type, at));
                let next = next.unwrap_or_else(|| panic!("{} stops at {at}", step.event_type));
                assert!(next.to > next.from, "a step goes forward");
                at = next.to;
            }
        }
    }

    /// Golden files by (type, version): the bytes of each released version, as they stand in logs.
    fn golden() -> BTreeMap<(String, String), String> {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests-data/golden");
        let read = |entry: std::io::Result<fs::DirEntry>| {
            let path = entry.expect("a file").path();
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .expect("a name")
                .to_owned();
            let stem = name.strip_suffix(".json").expect("a .json file");
            let (event_type, version) = stem.rsplit_once(".v").expect("type.vN.json");
            let text = fs::read_to_string(path).expect("a text");
            (
                (event_type.to_owned(), version.to_owned()),
                text.trim_end().to_owned(),
            )
        };
        fs::read_dir(dir)
            .expect("the golden files")
            .map(read)
            .collect()
    }

    /// Today's golden files are read and written back to the byte; older ones come out as today's.
    #[test]
    fn every_released_version_still_reads() {
        let golden = golden();
        let today: BTreeMap<_, _> = VOCABULARY.iter().copied().collect();
        for ((event_type, version), stored) in &golden {
            let event = Event::decode(event_type, version, stored);
            let event = event.unwrap_or_else(|e| panic!("{event_type} v{version}: {e}"));
            assert_eq!(event.event_type(), event_type);
            let today = (event_type.clone(), today[event_type.as_str()].to_owned());
            assert_eq!(
                event.payload().expect("JSON"),
                golden[&today],
                "{event_type} v{version}"
            );
        }
        for (event_type, today) in VOCABULARY {
            let today: u32 = today.parse().expect("versions are numbers");
            for version in 1..=today {
                let key = ((*event_type).to_owned(), version.to_string());
                assert!(
                    golden.contains_key(&key),
                    "{event_type} v{version} has no golden file"
                );
            }
        }
    }

    #[test]
    fn what_is_not_in_the_vocabulary_is_not_guessed() {
        let registered = r#"{"profile":{},"onFirstReport":true}"#;
        assert!(Event::decode("vehicle.registered", "1", registered).is_ok());
        let answer = Event::decode("vehicle.repainted", "1", registered);
        assert!(
            matches!(answer, Err(DecodeError::UnknownType(_))),
            "{answer:?}"
        );
        let answer = Event::decode("vehicle.registered", "2", registered);
        assert!(
            matches!(answer, Err(DecodeError::UnknownVersion { .. })),
            "{answer:?}"
        );
        let strange = [
            "",
            "null",
            "[]",
            r#"{"profile":{}}"#,
            r#"{"profile":{},"onFirstReport":true,"extra":1}"#,
            r#"{"profile":{"colour":"red"},"onFirstReport":true}"#,
            r#"{"profile":{},"onFirstReport":true} {}"#,
        ];
        for payload in strange {
            let answer = Event::decode("vehicle.registered", "1", payload);
            assert!(
                matches!(answer, Err(DecodeError::Payload { .. })),
                "{payload}: {answer:?}"
            );
        }
    }
}
