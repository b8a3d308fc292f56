//! Settings of objectives: how their alerts are kept up to date.

use std::time::Duration;

use crate::config::knob::section;

section! {
    /// Objectives: how their alerts are kept up to date.
    Slos in "slos" {
        /// How often each objective is measured, to raise and clear its alerts. One process does it for each
        /// tenant.
        alert_interval: Duration = "60s", "100ms" ..= "1d";
        /// Objectives measured in one moment of the read models.
        alert_batch: u32 = "50", "1" ..= "1000";
        /// How long one look at the objectives of a tenant may take; the next one goes on where it ended.
        alert_time_max: Duration = "30s", "100ms" ..= "1h";
    }
}
