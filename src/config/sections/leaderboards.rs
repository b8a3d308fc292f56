//! Settings of boards that are kept beside the read model.

use std::time::Duration;

use crate::config::knob::section;

section! {
    /// Boards of competitions that are kept in the order of their ranks: in Redis if there is one, else in
    /// memory. What is not kept is read from the read model, and says the same.
    Leaderboards in "leaderboards" {
        /// Lines of all boards that this process keeps in memory: some 45 bytes each, and the user's id. Those
        /// of the board that nobody has asked for the longest go first. Nor is a board of more lines kept in
        /// Redis.
        lines_max: u32 = "1000000", "0" ..= "100000000";
        /// How long Redis keeps a board that nobody asks for.
        idle: Duration = "1h", "1s" ..= "30d";
        /// Lines read at once to put a board in, or to move it on; of one that is further behind all lines are
        /// read anew.
        rows_max: u32 = "10000", "1" ..= "100000";
    }
}
