//! Which faults pass by themselves, how long to wait for them, how a panic becomes a reason, and where long
//! computing is done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sqlx::error::DatabaseError;

/// What a failed statement says about trying it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server or the way to it: the same batch may pass later.
    Passing,
    /// It was cut off for taking too long: less of it may pass.
    TooLong,
    /// The data: with this row it fails the same way every time.
    OfRow,
    /// The statement, or nobody knows what: it fails the same way every time.
    Lasting,
}

impl Fault {
    /// Judges an error by its kind and SQLSTATE, never by a message or a constraint's name.
    pub(super) fn of(error: &sqlx::Error) -> Fault {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::BeginFailed
            | sqlx::Error::WorkerCrashed => Fault::Passing,
            sqlx::Error::Encode(_) => Fault::OfRow,
            sqlx::Error::Database(e) => Fault::of_sqlstate(e.as_ref()),
            _ => Fault::Lasting,
        }
    }

    fn of_sqlstate(error: &dyn DatabaseError) -> Fault {
        let Some(code) = error.code() else {
            return Fault::Lasting;
        };
        match (code.as_ref(), code.get(..2).unwrap_or_default()) {
            ("57014", _) => Fault::TooLong,
            // the value, a constraint on it, a value too large for an index
            ("54000", _) | (_, "22" | "23") => Fault::OfRow,
            // connection, transaction state (a server turned read-only), rollback, resources,
            // locks, operator intervention, the operating system
            (_, "08" | "25" | "40" | "53" | "55" | "57" | "58") => Fault::Passing,
            _ => Fault::Lasting,
        }
    }
}

/// Pauses that double from a first to a longest one.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    /// Faults in a row so far.
    pub(super) faults: u32,
}

impl Backoff {
    pub(super) fn new(first_ms: u64, longest_ms: u64) -> Backoff {
        let (first, longest) = (
            Duration::from_millis(first_ms),
            Duration::from_millis(longest_ms),
        );
        Backoff {
            first,
            longest,
            faults: 0,
        }
    }

    /// Waits, the longer the more faults came in a row.
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.next()).await;
    }

    /// The next pause: the longer the more faults came in a row.
    fn next(&mut self) -> Duration {
        let pause = self
            .first
            .saturating_mul(1 << self.faults.min(16))
            .min(self.longest);
        self.faults = self.faults.saturating_add(1);
        pause
    }

    pub(super) fn reset(&mut self) {
        self.faults = 0;
    }
}

/// Work that is left alone for a while after each fault, and meanwhile holds up nothing else.
#[derive(Debug)]
pub(super) struct Respite {
    backoff: Backoff,
    not_before: Option<Instant>,
}

impl Respite {
    pub(super) fn new(backoff: Backoff) -> Respite {
        Respite {
            backoff,
            not_before: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.not_before.is_none_or(|at| at <= Instant::now())
    }

    /// After a fault. True if it is the first in a row.
    pub(super) fn begin(&mut self) -> bool {
        let is_first = self.backoff.faults == 0;
        self.not_before = Some(Instant::now() + self.backoff.next());
        is_first
    }

    pub(super) fn reset(&mut self) {
        self.backoff.reset();
        self.not_before = None;
    }
}

/// Runs pure code; a panic in it is a reason like any other, not the end of the task.
pub(super) fn guarded<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<&str>()
            .map(|s| s.to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("panicked: {}", said.unwrap_or_default()))
    })
}

/// Events of more than this, decoded, in bytes (estimated) are read and folded on a blocking thread: below
/// it, handing over costs more than the work.
pub(super) const INLINE_BYTES_MAX: usize = 128 << 10;

/// Computes with events of so many bytes, on a blocking thread where that takes long. `None` only while the
/// runtime shuts down.
pub async fn by_weight<T: Send + 'static>(
    bytes: usize,
    f: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    match bytes <= INLINE_BYTES_MAX {
        true => Some(f()),
        false => off_thread(f).await,
    }
}

/// Runs long computing on a blocking thread. `None` only while the runtime shuts down.
pub(super) async fn off_thread<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    match tokio::task::spawn_blocking(f).await {
        Ok(value) => Some(value),
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_reason() {
        assert_eq!(
            guarded::<()>(|| panic!("at {}", 7)),
            Err("panicked: at 7".to_owned())
        );
        assert_eq!(
            guarded::<()>(|| panic!("plain")),
            Err("panicked: plain".to_owned())
        );
        assert_eq!(guarded(|| Ok(1)), Ok(1));
    }

    #[tokio::test]
    async fn long_computing_does_not_hold_up_its_thread() {
        let thread = || std::thread::current().id();
        let here = thread();
        assert_eq!(by_weight(INLINE_BYTES_MAX, thread).await, Some(here));
        assert_ne!(by_weight(INLINE_BYTES_MAX + 1, thread).await, Some(here));
    }

    #[test]
    fn what_failed_is_left_alone_and_due_again_once_it_passed() {
        let mut respite = Respite::new(Backoff::new(60_000, 60_000));
        assert!(respite.is_over());
        assert!(respite.begin(), "the first fault is told");
        assert!(!respite.is_over());
        assert!(!respite.begin(), "the next in a row is not");
        respite.reset();
        assert!(respite.is_over() && respite.begin());
    }

    #[test]
    fn a_lost_server_passes_and_a_wrong_row_lasts() {
        assert_eq!(Fault::of(&sqlx::Error::PoolTimedOut), Fault::Passing);
        assert_eq!(Fault::of(&sqlx::Error::RowNotFound), Fault::Lasting);
    }
}
