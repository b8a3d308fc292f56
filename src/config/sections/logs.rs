//! Settings of log records: how those are taken away that their sources keep no longer.

use std::time::Duration;

use crate::config::knob::section;

section! {
    /// Log records: how those are taken away that their sources keep no longer.
    Logs in "logs" {
        /// How often it is looked for records that their sources keep no longer. One process does it for each
        /// tenant.
        retention_interval: Duration = "10m", "50ms" ..= "1d";
        /// How long one look at a tenant may take, the days under way apart; the next one goes on.
        retention_time_max: Duration = "1m", "10ms" ..= "1h";
    }
}
