//! Given events, when a command comes, then events or a refusal: how rules are tested.

use std::fmt::Debug;

use chrono::{DateTime, Utc};

use crate::aggregate::Aggregate;
use crate::refusal::{Code, Refusal};

/// The state that events fold to.
pub(crate) fn given<A: Aggregate>(events: &[A::Event]) -> A {
    let mut state = A::default();
    events.iter().for_each(|event| state.apply(event));
    state
}

/// Given these events, the command leads to those, or is refused with that code.
pub(crate) fn check<A: Aggregate>(
    events: &[A::Event],
    when: A::Command,
    then: Result<&[A::Event], Code>,
) where
    A::Command: Debug,
    A::Event: Debug + PartialEq,
{
    let decided = given::<A>(events).decide(&when);
    let decided = decided.as_deref().map_err(|refusal| refusal.code);
    assert_eq!(decided, then, "given {events:?} when {when:?}");
}

/// The refusal, in full, that a command meets.
pub(crate) fn refusal<A: Aggregate>(events: &[A::Event], when: &A::Command) -> Refusal
where
    A::Command: Debug,
    A::Event: Debug,
{
    match given::<A>(events).decide(when) {
        Err(refusal) => refusal,
        Ok(decided) => panic!("given {events:?} when {when:?}: {decided:?}"),
    }
}

/// The state's stored text is this one, at version 1, and nothing beside it is read. Another text
/// is another shape: let the version grow.
pub(crate) fn check_shape<A: Aggregate + PartialEq + Debug>(state: &A, text: &str) {
    let shape = A::SHAPE.expect("the state has a shape");
    assert_eq!(((shape.write)(state).as_str(), shape.version), (text, 1));
    assert_eq!((shape.read)(text).as_ref(), Some(state));
    let longer = text.replacen('{', r#"{"another":1,"#, 1);
    for broken in ["", "{}", "null", &text[1..], &longer] {
        assert_eq!((shape.read)(broken), None, "{broken}");
    }
}

/// A time, in seconds after an agreed one.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + seconds, 0).expect("a time")
}
