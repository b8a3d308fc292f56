//! Settings of what other systems send by themselves.

use std::time::Duration;

use crate::config::hooks::HookSources;
use crate::config::knob::section;

section! {
    /// Webhooks of systems that deploy; `docs/webhooks.md` tells how one is set up.
    Intake in "intake" {
        /// Who may send them: `[[intake.sources]]` with `kind` (github or generic), `name` (`default` if
        /// not given), `tenant` (`default` if not given), `projects` (names, or `owner/*`) and `secrets`,
        /// each a `file` and, where it is to end, `until`. The files are read again with the settings.
        [live] sources: HookSources = "";
        /// How far the time at which a generic delivery says it was sent may be from ours.
        tolerance: Duration = "5m", "1s" ..= "1h";
        /// How long a delivery may take from its head to its answer. One that takes longer may have been
        /// kept, and is safe to send again.
        answer_within: Duration = "3s", "100ms" ..= "9s";
    }
}
