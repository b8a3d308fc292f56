//! How many files this process may have open: one for each connection.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open beside connections.
const OTHERS: u64 = 64;

/// Raises the limit for so many connections where the system allows; how many there may be, if that is fewer.
pub fn fewer_than(connections: u64) -> Option<u64> {
    let needed = connections + OTHERS;
    let limits = getrlimit(Resource::Nofile);
    let current = limits.current.unwrap_or(u64::MAX);
    if current >= needed {
        return None;
    }
    let goal = needed.min(limits.maximum.unwrap_or(u64::MAX));
    let wanted = Rlimit {
        current: Some(goal),
        maximum: limits.maximum,
    };
    let may = setrlimit(Resource::Nofile, wanted).map_or(current, |()| goal);
    (may < needed).then(|| may.saturating_sub(OTHERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_always_possible_and_more_than_any_system_allows_never() {
        assert_eq!(fewer_than(1), None);
        if getrlimit(Resource::Nofile).maximum.is_some() {
            assert!(fewer_than(u64::MAX - OTHERS).is_some());
        }
    }
}
