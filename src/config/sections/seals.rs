//! Settings of seals: how far they are behind the log.

use std::time::Duration;

use crate::config::knob::section;

section! {
    /// Seals: how far they are behind the log.
    Seals in "seals" {
        /// How often it is looked whether a log has events that are not sealed. One process does it for each
        /// tenant. An event is sealed by the second look at the latest, unless there are more than a look seals.
        interval: Duration = "1s", "20ms" ..= "1h";
        /// Events under one seal. More are sealed at once, one seal after the other.
        events_max: u32 = "4096", "1" ..= "65536";
    }
}
