//! The configuration reference, generated from the declarations.

use super::aliases;
use super::knob::Knob;

/// `docs/configuration.md`: every setting, its variable, default, bounds and meaning.
pub fn reference() -> String {
    let mut page = String::from(PREAMBLE);
    for (name, about, knobs) in super::sections() {
        let title = if name.is_empty() {
            "The process".to_owned()
        } else {
            format!("`[{name}]`")
        };
        page.push_str(&format!("\n## {title}\n{}\n\n", about.trim()));
        page.push_str(
            "| setting | variable | default | accepts | meaning |\n|---|---|---|---|---|\n",
        );
        for knob in knobs {
            page.push_str(&row(knob));
        }
    }
    page.push_str("\n## Other names\nAn empty value sets nothing.\n\n");
    page.push_str("| variable | setting |\n|---|---|\n");
    for (name, key) in aliases::ADDRESSES.iter().chain(aliases::NAMES) {
        page.push_str(&format!("| `{name}` | `{key}` |\n"));
    }
    for (prefix, key) in aliases::PARTS {
        let last = if *key == "redis.url" {
            "DB"
        } else {
            "USER, NAME"
        };
        page.push_str(&format!(
            "| `{prefix}`HOST, PORT, PASSWORD, {last} | `{key}` |\n"
        ));
    }
    page
}

const PREAMBLE: &str = "\
# Configuration

Generated from the declarations in `src/config/sections.rs` and below it by `daybook schema --settings`; \
a test compares this page with them.

Daybook runs with nothing configured.
Later layers win: the defaults below, then `daybook.toml` (or the file named by `--config` or \
`DAYBOOK_CONFIG`), then `DAYBOOK_*` variables, then the other names at the end of this page, then \
flags of the command line.
A value that cannot be used stops the start with one line per setting: its name, what is wrong and \
where the value came from.
A `DAYBOOK_*` variable or a key of the file that is not listed here is refused too, except \
`DAYBOOK_SERVICE_*` and `DAYBOOK_PORT*`, which Kubernetes sets for a service named `daybook`, and \
`DAYBOOK_TEST_*`, `DAYBOOK_BENCH_*` and `DAYBOOK_SEED`, which tests and benchmarks read.

Settings marked *Live* can be changed in the file while `daybook serve` runs: it is read again when it has \
changed (`config_recheck`) and at SIGHUP, which a process on a terminal does not take. A file that cannot be \
used changes nothing and is logged as an error, one line per setting; of other settings that differ it is \
said that they wait for a restart.

Durations are written `250ms`, `30s`, `15m`, `1h30m`, `7d`; sizes `512KiB`, `64MiB`, `1GiB` or a \
number of bytes.
";

fn row(knob: &Knob) -> String {
    let default = match knob.default {
        "" => "not set".to_owned(),
        default => format!("`{default}`"),
    };
    let bounds = match knob.bounds {
        Some((min, max)) => format!("{}, {min} to {max}", knob.kind),
        None => knob.kind.to_owned(),
    };
    let (key, variable) = (knob.key(), knob.variable());
    let live = if knob.live { " *Live.*" } else { "" };
    format!(
        "| `{key}` | `{variable}` | {default} | {bounds} | {}{live} |\n",
        knob.doc.trim()
    )
}
