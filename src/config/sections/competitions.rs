//! Settings of what happens to competitions by itself.

use std::time::Duration;

use crate::config::knob::section;

section! {
    /// Competitions: how their periods are closed.
    Competitions in "competitions" {
        /// How often it is looked for periods that are over, to close them. One process does it for each
        /// tenant.
        close_interval: Duration = "10s", "100ms" ..= "1d";
        /// Open competitions looked up in one moment of the read models.
        close_batch: u32 = "100", "1" ..= "1000";
        /// Periods of one competition that one look closes; the others have their turn before the next ones.
        close_periods_max: u32 = "10", "1" ..= "1000";
        /// How long one look at the competitions of a tenant may take; the next one goes on where it ended.
        close_time_max: Duration = "30s", "100ms" ..= "1h";
    }
}
