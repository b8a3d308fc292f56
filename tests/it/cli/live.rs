//! Settings that change while it serves (O4 of `docs/promises.md`): what may change is taken, a file that
//! cannot be used changes nothing.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Scratch, Served, TestDb, command, eventually};

const PLENTY: &str = "[limits]\naddress_per_minute = 100000\naddress_burst = 100000\n";
const SCARCE: &str = "[limits]\naddress_per_minute = 1\naddress_burst = 1\n";

/// The program with its settings in a file, which it looks at so often.
async fn serve(dir: &Path, recheck: &str, content: &str) -> (Served, TestDb) {
    let db = TestDb::create().await;
    let url = db.url();
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
        ("DAYBOOK_LOG__FORMAT", "json"),
        ("DAYBOOK_CONFIG_RECHECK", recheck),
    ];
    std::fs::write(dir.join("daybook.toml"), content).unwrap();
    let mut command = command(dir, &["serve", "--port", "0"], &environment);
    // A terminal that is gone ends the process; there is none here.
    command.stdin(Stdio::null());
    (Served::of(command), db)
}

fn status(served: &Served) -> String {
    let (line, _) = served.get("/schema.graphql");
    line.trim_start_matches("HTTP/1.1 ")[..3].to_owned()
}

/// Stops it and gives what it logged.
fn logged(mut served: Served) -> Vec<Value> {
    served.signal(Signal::TERM);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    let stderr = served.child.stderr.as_mut().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    let lines = said.lines().map(serde_json::from_str);
    lines.map(|line| line.unwrap()).collect()
}

fn of<'a>(lines: &'a [Value], level: &str, part: &str) -> Vec<&'a Value> {
    let is = |line: &&Value| {
        line["level"] == level && line["message"].as_str().unwrap_or_default().contains(part)
    };
    lines.iter().filter(is).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_is_taken_and_a_bad_one_is_not() {
    let dir = Scratch::new();
    let (served, _db) = serve(dir.path(), "20ms", PLENTY).await;
    let write = |content: &str| std::fs::write(dir.join("daybook.toml"), content).unwrap();
    assert_eq!(status(&served), "200");

    let refusals = || {
        let (_, page) = served.get("/metrics");
        let refused = "daybook_config_reloads_total{outcome=\"refused\"} ";
        let line = page.lines().find_map(|line| line.strip_prefix(refused));
        line.map_or(0, |count| count.parse::<u32>().unwrap())
    };
    // Each is good but for one line: nothing of it is taken.
    let bad = [
        "user_per_minute = -1\n",
        "user_per_minut = 10\n",
        "user_per_minute = \n",
        "[sockets]\nping_interval = \"x\"\n",
    ];
    for (before, line) in (0u32..).zip(bad) {
        write(&format!("{SCARCE}{line}"));
        eventually("it is refused", async || refusals() > before).await;
        assert_eq!(status(&served), "200", "{line}");
    }

    write(SCARCE);
    eventually("the quota is small", async || status(&served) == "429").await;

    write(&format!(
        "{PLENTY}[log]\nlevel = \"warn\"\n[http]\nport = 9\n"
    ));
    eventually("the quota is large", async || status(&served) == "200").await;

    let lines = logged(served);
    for named in [
        "limits.user_per_minute: ",
        "limits.user_per_minut: ",
        "file: ",
        "sockets.ping_interval: ",
    ] {
        assert_eq!(of(&lines, "error", named).len(), 1, "{named}: {lines:?}");
    }
    assert_eq!(
        of(&lines, "warn", "wait for a restart: http.port").len(),
        0,
        "the flag of the command line wins"
    );
    assert!(
        of(&lines, "info", "SIGTERM").is_empty(),
        "only warnings are written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_is_taken_for_a_word_to_look() {
    let dir = Scratch::new();
    let (served, _db) = serve(dir.path(), "1h", PLENTY).await;
    let content = format!("{SCARCE}query_bytes_max = \"2KiB\"\n");
    std::fs::write(dir.join("daybook.toml"), content).unwrap();
    assert_eq!(status(&served), "200");
    served.signal(Signal::HUP);
    eventually("the quota is small", async || status(&served) == "429").await;
    let lines = logged(served);
    let changed = of(
        &lines,
        "info",
        "settings changed: limits.address_per_minute",
    );
    assert_eq!(changed.len(), 1, "{lines:?}");
    let waiting = of(&lines, "warn", "restart: limits.query_bytes_max");
    assert_eq!(waiting.len(), 1, "{lines:?}");
}
