//! The clock, passed in wherever time matters, so that tests can set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time: the system's, or a test's.
#[derive(Clone, Debug)]
pub struct Clock(Source);

/// Sets the time a mock [`Clock`] tells.
#[derive(Clone, Debug)]
pub struct MockClock(Arc<AtomicI64>);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Microseconds since 1970.
    Mock(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands still at `at` until it is set.
    pub fn mock(at: DateTime<Utc>) -> (Clock, MockClock) {
        let micros = Arc::new(AtomicI64::new(at.timestamp_micros()));
        (Clock(Source::Mock(micros.clone())), MockClock(micros))
    }

    /// The time, to the microsecond (what the database keeps).
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> DateTime<Utc> {
        let micros = match &self.0 {
            Source::System => Utc::now().timestamp_micros(),
            Source::Mock(micros) => micros.load(Ordering::Relaxed),
        };
        DateTime::from_timestamp_micros(micros).expect("made from a DateTime")
    }
}

impl MockClock {
    /// Steps to `at`, forwards or backwards.
    pub fn set(&self, at: DateTime<Utc>) {
        self.0.store(at.timestamp_micros(), Ordering::Relaxed);
    }

    /// Steps by `by`, which may be negative.
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(
            by.num_microseconds().expect("a test's step"),
            Ordering::Relaxed,
        );
    }
}
