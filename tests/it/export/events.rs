//! Events as files, and the proofs beside them.

use std::path::Path;

use daybook::export::{Checked, Format};
use serde_json::Value;

use super::{Log, checked, differs_at, holds};
use crate::support::daybook;

/// Puts an event behind the end of the log, whatever it says and whenever it was.
async fn put(log: &Log, position: i64, at: &str, payload: &str) {
    log.as_owner(&format!(
        "insert into events values ('default', {position}, 'fleet', 'ü-{position}', 1, 'fleet.created', '1',
            gen_random_uuid(), timestamptz '{at}', {payload}, '{{\"actor\":\"user:ä\"}}');
         update logs set position = {position} where tenant = 'default'"
    ))
    .await;
}

#[tokio::test]
async fn a_file_has_every_event_byte_for_byte() {
    let log = Log::open().await;
    log.append("default", 0..70).await;
    for (position, at, payload) in [
        (71, "1970-01-01Z", "'{}'"),
        (
            72,
            "1969-12-31T23:59:59.999999Z",
            "E' {\\n\"a\" : 1.10}\\r\\n '",
        ),
        (73, "0001-01-01Z", "'\"\\u0001 ü \u{10ffff} \u{2028}\"'"),
        (
            74,
            "9999-12-31T23:59:59.999999Z",
            "to_json(repeat('Straße ', 300000))",
        ),
        (75, "2026-01-01Z", "'1e400'"),
    ] {
        put(&log, position, at, payload).await;
    }
    log.seal("default").await;
    let stored = log.stored(1, 75).await;
    assert_eq!(stored.len(), 75);
    for format in [Format::Parquet, Format::Ndjson] {
        for (from, to) in [(1, 75), (1, 1), (75, 75), (38, 74)] {
            let (data, proof) = log.export(from, to, format).await;
            let (said, rows) = checked(&data, &proof).await;
            assert!(matches!(said, Some(Checked::Holds { .. })), "{said:?}");
            let expected = &stored[from as usize - 1..to as usize];
            assert!(rows == expected, "{format:?} {from} to {to}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_for_is_exported_and_nothing_else() {
    let log = Log::sealed(70).await;
    let exported = |args: &[&str]| {
        let out = log.run_well(&[&["export", "events", "--out", "-"], args].concat());
        let lines = out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|event| event["position"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(exported(&[]), (1..=70).collect::<Vec<_>>());
    assert_eq!(
        exported(&["--from", "60", "--to", "65"]),
        (60..=65).collect::<Vec<_>>()
    );
    assert_eq!(exported(&["--from", "71"]), [0; 0]);
    assert_eq!(exported(&["--aggregate", "fleet/f6"]), [7]);
    assert_eq!(exported(&["--aggregate", "vehicle"]), [0; 0]);
    assert_eq!(exported(&["--type", "fleet.created", "--to", "2"]), [1, 2]);
    assert_eq!(exported(&["--actor", "user:ann", "--from", "69"]), [69, 70]);
    assert_eq!(exported(&["--actor", "user:o'neil"]), [0; 0]);
    assert_eq!(exported(&["--until", "2000-01-01T00:00:00Z"]), [0; 0]);
    assert_eq!(
        exported(&["--since", "2000-01-01T00:00:00Z", "--to", "3"]),
        [1, 2, 3]
    );
    for (args, says) in [
        (
            &["--from", "9", "--to", "8"][..],
            "--from 9 is behind --to 8",
        ),
        (&["--tenant", "nobody"], "no log of"),
        (&["--since", "yesterday"], "--since"),
        (&["--out", "events.csv"], "--format parquet or ndjson"),
        (&["--out", "missing/events.parquet"], "nothing was exported"),
    ] {
        let out = ["--out", "events.ndjson"];
        let done = match args.contains(&"--out") {
            true => log.run(&[&["export", "events"], args].concat()),
            false => log.run(&[&["export", "events"], &out[..], args].concat()),
        };
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
        assert!(!log.dir.path().join("events.ndjson").exists());
    }
}

#[tokio::test]
async fn a_line_that_was_touched_is_named() {
    let log = Log::sealed(100).await;
    let (data, proof) = log.export(11, 90, Format::Ndjson).await;
    let whole = std::fs::read_to_string(&data).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let touched = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.iter().map(|line| (*line).to_owned()).collect();
        change(&mut lines);
        lines.concat()
    };
    let cases: [(&str, i64, String); 8] = [
        (
            "changed",
            31,
            touched(&|l| l[20] = l[20].replace("Fleet", "fleet")),
        ),
        ("deleted", 31, touched(&|l| drop(l.remove(20)))),
        ("inserted", 31, touched(&|l| l.insert(20, l[19].clone()))),
        ("swapped", 31, touched(&|l| l.swap(20, 21))),
        ("cut off", 81, touched(&|l| l.truncate(70))),
        (
            "cut within",
            81,
            whole[..lines[..70].concat().len() + 40].to_owned(),
        ),
        (
            "gone on",
            91,
            touched(&|l| l.push(l[79].replace(":90,", ":91,"))),
        ),
        ("unreadable", 31, touched(&|l| l[20] = "{}\n".to_owned())),
    ];
    for (what, position, text) in cases {
        std::fs::write(&data, text).unwrap();
        assert_eq!(differs_at(&data, &proof).await, Some(position), "{what}");
    }
    std::fs::write(&data, &whole).unwrap();
    assert!(holds(&data, &proof).await);
    // The list of leaves only helps to name: damaged, it makes nothing true and nothing false.
    let text = std::fs::read_to_string(&proof).unwrap();
    let digit = text.len() - 100;
    let other = if &text[digit..=digit] == "0" {
        "1"
    } else {
        "0"
    };
    let damaged = format!("{}{other}{}", &text[..digit], &text[digit + 1..]);
    std::fs::write(&proof, damaged).unwrap();
    assert!(holds(&data, &proof).await);
    std::fs::write(&data, whole.replace("Fleet 42", "Fleet 43")).unwrap();
    assert_eq!(differs_at(&data, &proof).await, None);
    assert!(!holds(&data, &proof).await);
}

#[tokio::test]
async fn a_parquet_file_that_was_touched_is_never_taken_for_whole() {
    let log = Log::sealed(100).await;
    let (data, proof) = log.export(1, 100, Format::Parquet).await;
    let whole = std::fs::read(&data).unwrap();
    let stored = log.stored(1, 100).await;
    for at in (0..whole.len()).step_by(whole.len() / 150) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&data, bytes).unwrap();
        let (said, rows) = checked(&data, &proof).await;
        // What no event stands in, such as a page's statistics, may say anything.
        if matches!(said, Some(Checked::Holds { .. })) {
            assert!(rows == stored, "byte {at}");
        }
        std::fs::write(&data, &whole[..at]).unwrap();
        assert!(!holds(&data, &proof).await, "cut at {at}");
    }
}

#[tokio::test]
async fn a_proof_is_of_one_range_of_one_log_by_one_key() {
    let log = Log::sealed(100).await;
    let (data, proof) = log.export(11, 90, Format::Parquet).await;
    let (other_data, other_proof) = log.export(11, 89, Format::Parquet).await;
    assert_eq!(differs_at(&data, &other_proof).await, Some(90));
    assert_eq!(differs_at(&other_data, &proof).await, Some(90));
    let (shifted, _) = log.export(12, 90, Format::Parquet).await;
    assert_eq!(differs_at(&shifted, &proof).await, Some(11));
    let stranger = Log::sealed(100).await;
    let (theirs, their_proof) = stranger.export(11, 90, Format::Parquet).await;
    assert_eq!(differs_at(&theirs, &proof).await, Some(11));
    assert_eq!(differs_at(&data, &their_proof).await, Some(11));
    let text = std::fs::read_to_string(&proof).unwrap();
    let (head, leaves) = text.split_once('\n').unwrap();
    let head: Value = serde_json::from_str(head).unwrap();
    for (path, value) in [
        ("/seal/size", Value::from(99)),
        ("/seal/tenant", "other".into()),
        ("/seal/publicKey", "00".repeat(32).into()),
        ("/from", 12.into()),
        ("/from", (-1).into()),
        ("/to", 89.into()),
        ("/to", i64::MAX.into()),
        ("/left", Value::Array(Vec::new())),
        ("/right", Value::Array(Vec::new())),
        ("/proof", "event".into()),
    ] {
        let mut changed = head.clone();
        *changed.pointer_mut(path).unwrap() = value;
        std::fs::write(&proof, format!("{changed}\n{leaves}")).unwrap();
        assert!(!holds(&data, &proof).await, "{path}");
    }
    std::fs::write(&proof, text).unwrap();
    assert!(holds(&data, &proof).await);
    let key = head["seal"]["publicKey"].as_str().unwrap();
    let names = [&data, &proof].map(|path| path.to_str().unwrap());
    let verify = |key: &str| {
        log.run(&[
            "verify",
            "--export",
            names[0],
            "--proof",
            names[1],
            "--public-key",
            key,
        ])
    };
    let said = verify(key);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let out = String::from_utf8(said.stdout).unwrap();
    assert!(
        out.contains("events 11 to 90 of the log of default"),
        "{out}"
    );
    let said = verify(&"0a".repeat(32));
    assert_eq!(said.status.code(), Some(1));
    let out = String::from_utf8(said.stdout).unwrap();
    assert!(out.contains("not signed by a trusted key"), "{out}");
}

#[tokio::test]
async fn what_is_not_sealed_is_not_proved() {
    let log = Log::sealed(10).await;
    log.append("default", 10..20).await;
    let args = [
        "export",
        "events",
        "--out",
        "a.parquet",
        "--proof",
        "a.proof",
    ];
    let done = log.run(&[&args[..], &["--to", "11"]].concat());
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("sealed up to position 10"), "{said}");
    log.run_well(&args);
    let dir = log.dir.path();
    assert!(holds(&dir.join("a.parquet"), &dir.join("a.proof")).await);
    // An event that was changed since is not exported as if it were proved.
    log.as_owner("update events set payload = '{}' where position = 5")
        .await;
    let done = log.run(&[&args[..4], &["--proof", "b.proof"]].concat());
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("are not what was sealed"), "{said}");
    assert_eq!(files(dir), ["a.parquet", "a.proof"]);
}

#[tokio::test]
async fn a_full_disk_leaves_no_file() {
    let log = Log::sealed(200).await;
    for (out, format) in [("full.parquet", "parquet"), ("full.ndjson", "ndjson")] {
        // No file may have more than a few KiB; the signal that tells so is not listened to.
        let script = format!(
            "trap '' XFSZ; ulimit -f 4; exec {} export events --out {out} --format {format}",
            daybook().get_program().display()
        );
        let url = log.db.url();
        let done = std::process::Command::new("bash")
            .args(["-c", &script])
            .current_dir(log.dir.path())
            .env("DATABASE_URL", url)
            .env("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true")
            .output()
            .unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(
            said.contains("nothing was exported to") && said.contains("too large"),
            "{said}"
        );
        assert_eq!(files(log.dir.path()), [""; 0]);
    }
}

/// Names of the files in a directory that exports leave.
fn files(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let exports = [".parquet", ".ndjson", ".proof", ".part"];
    let mut names: Vec<String> = names
        .filter(|name| exports.iter().any(|end| name.ends_with(end)))
        .collect();
    names.sort();
    names
}
