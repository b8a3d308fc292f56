//! How every aggregate decides and folds.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::personal::PersonalField;
use crate::refusal::Refusal;

/// One consistency boundary: a stream of events, the state they fold to, and the commands it
/// answers.
///
/// Everything here is pure: time, ids and randomness come in with the command.
pub trait Aggregate: Default + Clone + Send + Sync + 'static {
    /// The stored aggregate type, never renamed.
    const TYPE: &'static str;
    /// An order.
    type Command;
    /// A fact, in the past tense.
    type Event: Clone + Send + Sync + Into<crate::Event> + TryFrom<crate::Event> + 'static;

    /// How its state is written down, so that a long stream need not be folded from its first
    /// event. `None` where streams end by themselves, or states grow with their events.
    const SHAPE: Option<Shape<Self>> = None;

    /// What happens if `command` meets this state: the events to append, or why not.
    /// An empty list means "already so": nothing is appended and the caller is told so.
    fn decide(&self, command: &Self::Command) -> Result<Vec<Self::Event>, Refusal>;

    /// Folds one event into the state. Total: any event of the stream, in order, is accepted.
    fn apply(&mut self, event: &Self::Event);

    /// The values that `event` takes or gives back when it happens to this state (the state
    /// *before* it), releases first. At most one object of a tenant holds a value of a scope.
    fn claims(&self, _event: &Self::Event) -> Vec<ClaimChange> {
        Vec::new()
    }

    /// The personal values in `event` of the stream `id`, each with the subject it is about. The
    /// write door seals them between deciding and appending.
    fn personal<'e>(_id: &str, _event: &'e mut Self::Event) -> Vec<PersonalField<'e>> {
        Vec::new()
    }

    /// The state as it is shown to whoever looks at its history: an object of plain data. As it is written
    /// down, if it is; else what can be said of it in a few words.
    fn show(&self) -> Value {
        let written = Self::SHAPE.map(|shape| (shape.write)(self));
        let read = written.and_then(|text| serde_json::from_str(&text).ok());
        read.unwrap_or(Value::Null)
    }

    /// Roughly how much memory the state holds, in bytes; bounds the cache of recent states.
    fn weight_bytes(&self) -> usize {
        std::mem::size_of::<Self>()
    }
}

/// How the state of an aggregate is written down and read again.
///
/// A stored state is only ever a shortcut to what its events fold to: where the version is another
/// one, or the text cannot be read, it is folded anew.
#[derive(Debug)]
pub struct Shape<A> {
    /// Grows with every change of what `apply` makes of events, and of the state's fields: else an
    /// old state would be taken for what today's program would have folded.
    pub version: u32,
    /// The state as text.
    pub write: fn(&A) -> String,
    /// And back; `None` if this is not such a text.
    pub read: fn(&str) -> Option<A>,
}

impl<A: Serialize + DeserializeOwned> Shape<A> {
    /// As JSON.
    pub const fn json(version: u32) -> Shape<A> {
        Shape {
            version,
            write: |state| serde_json::to_string(state).expect("a state is plain data"),
            read: |text| serde_json::from_str(text).ok(),
        }
    }
}

/// A value that at most one object of a tenant may hold is taken or given back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimChange {
    /// What kind of value, such as `vehicle.vin`; never renamed.
    pub scope: &'static str,
    /// The value in canonical form: two spellings of one value are equal here.
    pub value: String,
    /// Given back instead of taken.
    pub release: bool,
    /// It tells who somebody is: kept under a digest with a key, since one without can be found by
    /// trying values out.
    pub personal: bool,
}
