//! What a report says of a run that is made up.

use std::time::Duration;

use clap::Parser as _;

use super::*;
use crate::figures::{Figures, NOT_ANSWERED};
use crate::options::Options;
use crate::summary::Outcome;

fn options(words: &str) -> Options {
    Options::parse_from(std::iter::once("daybook-load").chain(words.split_whitespace()))
}

fn summary(words: &str, well: u64, limited: u64) -> Summary {
    let mut measured = Figures::default();
    for n in 0..well {
        let took = Duration::from_millis(10 + n % 10);
        measured.record("GET deployments", took, Ok(()));
        measured.came("GET deployments", 1);
    }
    for _ in 0..limited {
        let refused = Err("RATE_LIMITED".to_owned());
        measured.record("GET deployments", Duration::ZERO, refused);
    }
    Summary::of(&options(words), outcome(measured, Duration::from_secs(10)))
}

fn outcome(measured: Figures, took: Duration) -> Outcome {
    Outcome {
        ramp_up: Figures::default(),
        measured,
        took,
        ended_early: false,
        began: "2026-03-01T12:00:00Z".to_owned(),
        url: "http://h:1".to_owned(),
        deliveries: None,
        server: Some(Taken {
            resident_before_mib: 40.0,
            resident_max_mib: 80.0,
            cpu_s: 5.0,
            cores: 0.5,
        }),
        own: None,
        database_connections: Some(12.0),
    }
}

#[test]
fn ours_stands_beside_what_a_source_claims_and_says_whose_it_is() {
    let summary = summary("--scenario s2 --users 1000", 1_000, 0);
    for told in [text(&summary), markdown(&summary)] {
        for part in [
            "claimed by S2: 1,200 requests/s",
            "claimed by S2: 120 ms",
            "claimed by S2: ~50 connections",
            "not ours",
            "memory 40.0 MiB before, at most 80.0 MiB",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    let rate = &summary.claims[1];
    assert_eq!((rate.of, rate.ours), (Of::Rate, Some(100.0)));
    assert!(summary.passed);
    let p50_ms = summary.overall.took.p50_ms.unwrap();
    assert!((14.0..14.0 + 14.0 / 128.0).contains(&p50_ms), "{p50_ms}");
}

#[test]
fn figures_stand_under_each_other() {
    let told = text(&summary("--scenario s2", 20, 1));
    let end = |line: &str, of: &str| line.find(of).map(|at| at + of.len());
    let line = |begin: &str| told.lines().find(|line| line.starts_with(begin)).unwrap();
    let (head, row) = (line("operation"), line("GET deployments"));
    assert_eq!(end(head, " requests"), end(row, " 21"), "{told}");
}

#[test]
fn quotas_are_told_apart_from_slowness_and_do_not_pass() {
    let limited = summary("--scenario s2", 95, 5);
    assert!(!limited.passed);
    let told = text(&limited);
    assert!(told.contains("limits.user_per_minute"), "{told}");
    assert!(told.contains("RATE_LIMITED"), "{told}");
    let allowed = summary("--scenario s2 --max-failures 5%", 95, 5);
    assert!(allowed.passed);
}

#[test]
fn a_run_without_requests_does_not_pass_and_says_so() {
    let none = summary("--scenario mixed", 0, 0);
    assert!(!none.passed);
    assert!(
        text(&none).contains("Nothing was measured"),
        "{}",
        text(&none)
    );
    assert!(none.claims.is_empty(), "no source claims a figure for this");
}

#[test]
fn a_rate_that_was_not_kept_up_with_is_told() {
    let slow = summary("--scenario s2 --rate 200/s", 1_000, 0);
    assert!(text(&slow).contains("100.0 requests/s were answered well where 200 were due"));
    let kept = summary("--scenario s2 --rate 100/s", 1_000, 0);
    assert!(!text(&kept).contains("were due:"));
}

#[test]
fn what_was_not_sent_or_answered_when_a_run_was_ended_is_told_and_does_not_pass() {
    let mut measured = Figures::default();
    for _ in 0..95 {
        measured.record("GET deployments", Duration::from_millis(1), Ok(()));
        measured.came("GET deployments", 1);
    }
    measured.record("GET deployments", Duration::ZERO, Err(NOT_ANSWERED.into()));
    measured.unsent(4);
    let ended = Summary::of(&options("--scenario s2"), outcome(measured, Duration::ZERO));
    assert!(!ended.passed);
    let told = text(&ended);
    for part in [
        "1 requests were under way",
        "4 requests that were due were not sent",
        "Not passed: 5.00 % failed",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_run_that_is_ended_while_the_load_grows_has_no_rate_and_none_is_missed() {
    let none = outcome(Figures::default(), Duration::ZERO);
    let none = Summary::of(&options("--scenario s2 --rate 100/s"), none);
    assert_eq!((none.overall.per_second, none.measured_s), (0.0, 0.0));
    let told = text(&none);
    assert!(
        !told.contains("inf") && !told.contains("were due:"),
        "{told}"
    );
}

#[test]
fn reports_are_written_though_the_server_could_not_be_left() {
    let path = std::env::temp_dir().join(format!("daybook-load-left-{}.md", std::process::id()));
    let left = Err(anyhow::anyhow!("the server does not stop"));
    let told = write_all(
        std::slice::from_ref(&path),
        Ok(summary("--scenario s2", 1, 0)),
        left,
    )
    .unwrap_err();
    assert_eq!(told.to_string(), "the server does not stop");
    let written = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(written.contains("GET deployments"), "{written}");
}

#[test]
fn json_holds_what_the_table_shows() {
    let summary = summary("--scenario s4", 100, 1);
    let told: serde_json::Value = serde_json::to_value(&summary).unwrap();
    assert_eq!(told["overall"]["failures"]["RATE_LIMITED"], 1);
    assert_eq!(told["operations"][0]["operation"], "GET deployments");
    assert_eq!(told["claims"][0]["claimedBy"], "S4");
    assert_eq!(told["server"]["residentMaxMib"], 80.0);
}

#[test]
fn where_nothing_can_be_written_is_told_before_anything_is_asked() {
    let told = check(Path::new("/proc/no/such/place.json")).unwrap_err();
    let told = format!("{told:#}");
    assert!(told.contains("--report /proc/no/such/place.json"), "{told}");
}
