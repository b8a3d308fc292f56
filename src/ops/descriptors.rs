//! How many files the process may have open: as many as its connections need, where the system allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files if fewer than `needed` may be open, as far as the hard one
/// allows. Tells how many may be open now.
pub fn raise(needed: u64) -> u64 {
    let limits = getrlimit(Resource::Nofile);
    let before = limits.current.unwrap_or(u64::MAX);
    let Some(soft) = raised(&limits, needed) else {
        return before;
    };
    let wanted = Rlimit {
        current: Some(soft),
        maximum: limits.maximum,
    };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => {
            tracing::info!(
                before,
                now = soft,
                "the limit of open files is raised from {before} to {soft}"
            );
            soft
        }
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays at {before}: {error}");
            before
        }
    }
}

/// The soft limit to set; none if there is nothing to gain.
fn raised(limits: &Rlimit, needed: u64) -> Option<u64> {
    let soft = limits.current?;
    let goal = needed.min(limits.maximum.unwrap_or(u64::MAX));
    (soft < goal).then_some(goal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_raised_as_far_as_needed_and_allowed() {
        let cases = [
            (Some(1_024), Some(4_096), 100, None),
            (Some(1_024), Some(4_096), 2_000, Some(2_000)),
            (Some(1_024), Some(4_096), 10_000, Some(4_096)),
            (Some(1_024), None, 10_000, Some(10_000)),
            (Some(4_096), Some(4_096), 10_000, None),
            (None, None, 10_000, None),
        ];
        for (current, maximum, needed, expect) in cases {
            let limits = Rlimit { current, maximum };
            assert_eq!(raised(&limits, needed), expect, "{limits:?} {needed}");
        }
    }
}
