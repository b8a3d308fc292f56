//! Settings of what happens to deployments by itself.

use std::time::Duration;

use crate::config::knob::section;

section! {
    /// Deployments: what happens to them by itself.
    Deployments in "deployments" {
        /// How often it is looked for approvals that have run out, to give them up. None of them lets
        /// anything start meanwhile.
        expiry_interval: Duration = "30s", "100ms" ..= "1d";
        /// How many of them one look gives up of each tenant, those due first; the next one goes on.
        expiry_batch: u32 = "200", "1" ..= "10000";
    }
}
