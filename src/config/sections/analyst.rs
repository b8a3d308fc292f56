//! Settings of analysts' projections and questions in SQL.

use std::time::Duration;

use crate::config::knob::section;
use crate::config::value::{Bytes, PostgresUrl};

section! {
    /// What analysts do in SQL: projections of their own, and questions to them.
    Analyst in "analyst" {
        /// The same database, as the role `daybook_analyst`, which may do nothing but read what it is granted;
        /// not set: that role on the same server without a password, which a private server accepts.
        url: Option<PostgresUrl> = "";
        /// Projections a tenant may have installed.
        projections_max: usize = "50", "0" ..= "1000";
        /// Connections for questions of one process; who finds none free waits as long as a question may take. The
        /// role has 50 of all processes together, which `alter role daybook_analyst connection limit` changes.
        connections_max: usize = "4", "1" ..= "100";
        /// Connections for folding of one process, which questions never take; a fold that finds none free waits as
        /// long as its SQL may take, and is tried again.
        fold_connections_max: usize = "4", "1" ..= "100";
        /// How long the SQL of a projection may take for a piece of at most 5,000 events.
        fold_timeout: Duration = "10s", "10ms" ..= "1m";
        /// How long a question may take. An operation as a whole takes 10 seconds at most.
        query_timeout: Duration = "8s", "10ms" ..= "1h";
        /// Rows an answer may have; the rest is cut off, and the answer says so.
        rows_max: usize = "10000", "1" ..= "1000000";
        /// Bytes of JSON an answer may have; the rest is cut off, and the answer says so.
        answer_bytes_max: Bytes = "4MiB", "1KiB" ..= "256MiB";
    }
}
