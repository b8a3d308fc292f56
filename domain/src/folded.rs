//! A stream folded without knowing its kind beforehand: for whoever looks at the history of anything.

use serde_json::Value;

use crate::activity_log::ActivityLog;
use crate::admins::Admins;
use crate::api_key::ApiKey;
use crate::competition::Competition;
use crate::deployment::Deployment;
use crate::entry::Entry;
use crate::environment::Environment;
use crate::fleet::Fleet;
use crate::incident::Incident;
use crate::log_batch::LogBatch;
use crate::log_person::LogPerson;
use crate::log_source::LogSource;
use crate::rejected_record::RejectedRecord;
use crate::session::Session;
use crate::signing_keys::SigningKeys;
use crate::slo::Slo;
use crate::tenant::Tenant;
use crate::token::Token;
use crate::track::Track;
use crate::user::User;
use crate::vehicle::Vehicle;
use crate::{Aggregate, Event};

/// The state of some aggregate, as far as its events were folded.
pub struct Folded(Box<dyn Fold>);

/// What an event made of one place in a state.
#[derive(Clone, Debug, PartialEq)]
pub struct StateChange {
    /// Where, as a JSON pointer (RFC 6901): `/profile/name`; empty where it is all of the state. Lists
    /// are told whole.
    pub path: String,
    /// What was there; `None` if nothing was.
    pub before: Option<Value>,
    /// What is there now; `None` if nothing is.
    pub after: Option<Value>,
}

/// An event is none of the stream it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event {0} is none of such a stream")]
pub struct ForeignEvent(pub &'static str);

trait Fold: Send + Sync {
    fn apply(&mut self, event: Event) -> Result<(), ForeignEvent>;
    fn show(&self) -> Value;
}

struct State<A>(A);

impl<A: Aggregate> Fold for State<A> {
    fn apply(&mut self, event: Event) -> Result<(), ForeignEvent> {
        let foreign = ForeignEvent(event.event_type());
        let event = A::Event::try_from(event).map_err(|_| foreign)?;
        self.0.apply(&event);
        Ok(())
    }

    fn show(&self) -> Value {
        self.0.show()
    }
}

/// One line per kind of stream.
macro_rules! kinds {
    ($($aggregate:ident)*) => {
        /// Every kind of stream, as it is stored.
        pub const KINDS: &[&str] = &[$($aggregate::TYPE,)*];

        /// The stored word for a kind of stream; `None` if there is no such kind.
        pub fn kind_of(kind: &str) -> Option<&'static str> {
            KINDS.iter().copied().find(|known| *known == kind)
        }

        impl Folded {
            /// A stream of this kind before its first event; `None` if there is no such kind.
            pub fn begin(kind: &str) -> Option<Folded> {
                match kind {
                    $($aggregate::TYPE => Some(Folded(Box::new(State($aggregate::default())))),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    Vehicle Fleet Track Tenant User Admins Session Token SigningKeys ApiKey Deployment Environment
    Incident Slo LogSource LogBatch LogPerson RejectedRecord Competition Entry ActivityLog
}

impl Folded {
    /// Folds the next event.
    pub fn apply(&mut self, event: Event) -> Result<(), ForeignEvent> {
        self.0.apply(event)
    }

    /// The state as it is shown, see [`Aggregate::show`].
    pub fn show(&self) -> Value {
        self.0.show()
    }
}

/// What differs between two states, in the order of their places.
pub fn changes(before: &Value, after: &Value) -> Vec<StateChange> {
    let mut found = Vec::new();
    compare(&mut String::new(), Some(before), Some(after), &mut found);
    found
}

fn compare(
    path: &mut String,
    before: Option<&Value>,
    after: Option<&Value>,
    found: &mut Vec<StateChange>,
) {
    // Nothing and null say the same of a state.
    let [before, after] = [before, after].map(|value| value.filter(|value| !value.is_null()));
    if before == after {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, after) {
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let length = path.len();
            path.push('/');
            path.push_str(&name.replace('~', "~0").replace('/', "~1"));
            compare(path, old.get(name), new.get(name), found);
            path.truncate(length);
        }
        return;
    }
    found.push(StateChange {
        path: path.clone(),
        before: before.cloned(),
        after: after.cloned(),
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::VOCABULARY;
    use crate::fleet::{FleetCreated, FleetEvent, FleetRenamed};

    #[test]
    fn every_event_can_be_folded_into_the_stream_of_its_kind() {
        for (event_type, _) in VOCABULARY {
            let stem = event_type.split_once('.').expect("kind.what").0;
            let kind = match stem {
                "signing_key" => SigningKeys::TYPE,
                kind => kind,
            };
            assert!(Folded::begin(kind).is_some(), "{event_type}");
        }
        assert!(Folded::begin("ship").is_none());
        assert_eq!(kind_of("fleet"), Some("fleet"));
    }

    #[test]
    fn a_state_is_shown_as_data_whatever_its_kind() {
        for kind in KINDS {
            let shown = Folded::begin(kind).expect("a kind").show();
            assert!(shown.is_object(), "{kind}: {shown}");
        }
    }

    #[test]
    fn a_state_is_told_after_each_event_and_foreign_events_are_refused() {
        let mut fleet = Folded::begin("fleet").expect("a kind");
        let before = fleet.show();
        let created = FleetCreated {
            name: "North".into(),
        };
        let created = FleetEvent::FleetCreated(created);
        fleet.apply(created.clone().into()).expect("of a fleet");
        let after = fleet.show();
        assert_eq!(after["name"], "North");
        let told = changes(&before, &after);
        let paths: Vec<&str> = told.iter().map(|change| &*change.path).collect();
        assert_eq!(paths, ["/created", "/name"]);
        let renamed = FleetRenamed {
            name: "South".into(),
        };
        let renamed = FleetEvent::FleetRenamed(renamed);
        fleet.apply(renamed.into()).expect("of a fleet");
        let told = changes(&after, &fleet.show());
        let [name] = &told[..] else {
            panic!("one thing changed: {told:?}")
        };
        assert_eq!(name.before, Some(json!("North")));
        assert_eq!(name.after, Some(json!("South")));
        let mut vehicle = Folded::begin("vehicle").expect("a kind");
        let refused = vehicle.apply(created.into());
        assert_eq!(refused, Err(ForeignEvent("fleet.created")));
    }

    #[test]
    fn what_came_what_went_and_what_lies_deep_is_told_by_its_place() {
        let before = json!({"a": {"x/y": 1, "gone": true}, "list": [1, 2], "none": null});
        let after = json!({"a": {"x/y": 2}, "list": [1, 2, 3], "new": "here"});
        let told = changes(&before, &after);
        let told: Vec<_> = told
            .iter()
            .map(|change| (&*change.path, change.before.clone(), change.after.clone()))
            .collect();
        assert_eq!(
            told,
            [
                ("/a/gone", Some(json!(true)), None),
                ("/a/x~1y", Some(json!(1)), Some(json!(2))),
                ("/list", Some(json!([1, 2])), Some(json!([1, 2, 3]))),
                ("/new", None, Some(json!("here"))),
            ]
        );
        assert!(changes(&after, &after).is_empty());
    }
}
