//! What other programs read in exports of real positions. `make check-exports` has DuckDB read them; without it the
//! test counts the lines of the same as NDJSON.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Scratch, TestDb, command};

fn data_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/capmetro")
}

/// What the program said, which went well.
fn run(db: &TestDb, dir: &Scratch, args: &[&str]) -> String {
    let url = db.url();
    let named = [
        ("DATABASE_URL", url.as_str()),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
    ];
    let done = command(dir.path(), args, &named).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{args:?}: {said}");
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_add_up_to_what_was_computed_elsewhere() {
    let (db, dir) = (TestDb::create().await, Scratch::new());
    let run = |args: &[&str]| run(&db, &dir, args);
    let days = std::fs::read_dir(data_dir()).unwrap();
    let days = days.map(|entry| entry.unwrap().path());
    let mut days: Vec<String> = days
        .filter(|path| path.extension().is_some_and(|kind| kind == "gz"))
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    days.sort_unstable();
    let import = ["import", "vehicles", "--preset", "capmetro"];
    let days: Vec<&str> = days.iter().map(String::as_str).collect();
    let said = run(&[&import[..], &days].concat());
    assert!(said.contains("4,661"), "{said}");
    for out in ["events.parquet", "events.ndjson"] {
        run(&["export", "events", "--out", out]);
    }
    run(&["export", "projection", "positions", "--out", "models"]);
    let truth = data_dir().join("truth.json");
    if let Some(python) = std::env::var_os("DAYBOOK_TEST_EXPORTS") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports/check.py");
        let mut check = Command::new(python);
        let checked = check
            .arg(script)
            .arg(dir.path())
            .arg(&truth)
            .output()
            .unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        println!("{}", said(&checked.stdout));
        assert!(checked.status.success(), "{}", said(&checked.stderr));
        return;
    }
    let truth: Value = serde_json::from_slice(&std::fs::read(truth).unwrap()).unwrap();
    let lines = std::fs::read_to_string(dir.join("events.ndjson")).unwrap();
    let events = lines.lines();
    let events = events.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let fixes: Vec<usize> = events
        .filter_map(|event| event["payload"]["fixTimeUs"].as_array().map(Vec::len))
        .collect();
    let expected = truth["valid_points_first_per_vehicle_and_time"]
        .as_u64()
        .unwrap();
    assert_eq!(fixes.iter().sum::<usize>() as u64, expected);
}
