//! How every aggregate decides and folds.

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

    /// Roughly how much memory the state holds, in bytes; bounds the cache of recent states.
    fn weight_bytes(&self) -> usize {
        std::mem::size_of::<Self>()
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
}
