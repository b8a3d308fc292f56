//! The time of the day: on the wire it is compared with what the server wrote down.

use chrono::{DateTime, SecondsFormat, Utc};

/// Now.
#[expect(
    clippy::disallowed_methods,
    reason = "this program is the outside world of the one it measures: here its time begins"
)]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A time as it is sent.
pub fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}
