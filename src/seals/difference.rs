//! How a log can differ from what was sealed.

/// What was found where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The first position that differs; of a seal, that of its first event.
    pub position: i64,
    /// What is different.
    pub what: What,
}

/// A way to differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// The event is not the one that was sealed.
    #[error("the event is not the one that was sealed")]
    Changed,
    /// There is no event.
    #[error("the event that was sealed is gone")]
    Gone,
    /// There is an event behind the end of the log.
    #[error("there is an event behind the end of the log")]
    Extra,
    /// The log says that it ends before what was sealed.
    #[error("the log ends before events that were sealed")]
    CutOff,
    /// A seal is missing, or does not continue the one before.
    #[error("no seal that continues the one before begins here")]
    Unlinked,
    /// A seal's parts do not fit each other.
    #[error("the seal that begins here has a root that is not of its leaves")]
    Unrooted,
    /// The root of the events up to here is not the one that was noted, or they are not sealed.
    #[error("the root of the events up to here is not the one that was noted")]
    Unlike,
    /// What proofs would be made from does not follow from the leaves.
    #[error(
        "a hash that is kept for proofs, of events from here on, is not the one of their leaves"
    )]
    Misplaced,
    /// Nobody who may sign has signed it.
    #[error("the seal that begins here is not signed by a trusted key")]
    Unsigned,
}

impl What {
    /// Found there.
    pub fn at(self, position: i64) -> Difference {
        Difference {
            position,
            what: self,
        }
    }
}
