//! The last word about something: of two, the one said at the greater position is kept.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// A value and the position it was said at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Latest<T> {
    pub(crate) position: i64,
    pub(crate) value: T,
}

/// Keeps the later one.
pub(crate) fn keep_last<T>(kept: &mut Option<Latest<T>>, said: Option<Latest<T>>) {
    let Some(said) = said else { return };
    if kept
        .as_ref()
        .is_none_or(|kept| kept.position < said.position)
    {
        *kept = Some(said);
    }
}

/// Keeps the later one under its key.
pub(crate) fn keep_last_of<K: Eq + Hash, T>(
    all: &mut HashMap<K, Latest<T>>,
    key: K,
    said: Latest<T>,
) {
    match all.entry(key) {
        Entry::Vacant(place) => {
            place.insert(said);
        }
        Entry::Occupied(mut kept) => {
            if kept.get().position < said.position {
                kept.insert(said);
            }
        }
    }
}

/// The position something was said at, 0 if it was not.
pub(crate) fn said_at<T>(said: &Option<Latest<T>>) -> i64 {
    said.as_ref().map_or(0, |said| said.position)
}

/// What was said last, if anything was.
pub(crate) fn last<T>(said: &Option<Latest<T>>) -> Option<&T> {
    said.as_ref().map(|said| &said.value)
}
