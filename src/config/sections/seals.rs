//! Settings of seals: how far they are behind the log.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::knob::section;
use crate::config::web::WebUrl;

section! {
    /// Seals: how far they are behind the log, and whom they are told.
    Seals in "seals" {
        /// How often it is looked whether a log has events that are not sealed. One process does it for each
        /// tenant. An event is sealed by the second look at the latest, unless there are more than a look seals.
        interval: Duration = "1s", "20ms" ..= "1h";
        /// Events under one seal. More are sealed at once, one seal after the other.
        events_max: u32 = "4096", "1" ..= "65536";
        /// How often the last seal of each log is told to the world: as a line of the log of the process, and where
        /// the two settings below say. `daybook verify --published` compares what was told with the log.
        publish_interval: Duration = "1h", "100ms" ..= "30d";
        /// A file that published seals are added to, one JSON object a line; best on another machine's disk.
        publish_file: Option<PathBuf> = "";
        /// Where published seals are sent by POST, as JSON; 2xx is taken for received.
        publish_url: Option<WebUrl> = "";
    }
}
