//! How every aggregate decides and folds.

use crate::refusal::Refusal;

/// One consistency boundary: a stream of events, the state they fold to, and the commands it answers.
///
/// Both functions are pure: time, ids and randomness come in with the command.
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

    /// Roughly how much memory the state holds, in bytes; bounds the cache of recent states.
    fn weight_bytes(&self) -> usize {
        std::mem::size_of::<Self>()
    }
}
