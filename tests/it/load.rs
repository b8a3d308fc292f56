//! The load tool against a server: what it asks is answered, what fails is counted, and it says what to do.

use std::future::pending;
use std::time::Duration;

use clap::Parser as _;
use daybook_load::{Options, Summary, run};
use serde_json::Value;

use crate::support::{Scratch, TestApp};

/// A server that allows one caller what a run needs.
async fn server() -> TestApp {
    TestApp::with(|settings| {
        settings.limits.sign_ins_per_minute = 100_000;
        settings.limits.account_attempts = 1_000;
        settings.sockets.per_caller_max = 1_000;
    })
    .await
}

fn options(url: &str, token: &str, words: &str) -> Options {
    let words = format!("daybook-load --quiet --url {url} --token {token} {words}");
    Options::parse_from(words.split_whitespace())
}

fn of(app: &TestApp, words: &str) -> Options {
    options(&format!("http://{}", app.address()), app.own_token(), words)
}

async fn ran(app: &TestApp, words: &str) -> Summary {
    run(&of(app, words), pending()).await.unwrap()
}

async fn refused(options: &Options) -> String {
    format!("{:#}", run(options, pending()).await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_seconds_of_a_front_end_and_of_ingest_fail_nowhere_and_are_reported() {
    let (app, here) = (server().await, Scratch::new());
    for scenario in ["mixed", "ingest"] {
        let [json, markdown] = ["json", "md"].map(|end| here.join(format!("{scenario}.{end}")));
        let words = format!(
            "--scenario {scenario} --users 20 --concurrency 4 --ramp-up 200ms --duration 2s --report {} --report {}",
            json.display(),
            markdown.display()
        );
        let summary = ran(&app, &words).await;
        assert_eq!(summary.overall.failed, 0, "{:?}", summary.overall.failures);
        assert_eq!(summary.ramp_up_failed, 0);
        assert!(summary.passed && !summary.ended_early);

        let told: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
        assert_eq!(told["overall"]["requests"], summary.overall.requests);
        let told = std::fs::read_to_string(markdown).unwrap();
        for line in &summary.operations {
            assert!(told.contains(&format!("| {} |", line.operation)), "{told}");
        }
    }
    // What was handed in is there.
    let data = app
        .settled("{ logSources(first: 1) { nodes { id } } }", Value::Null)
        .await;
    assert_eq!(data["logSources"]["nodes"][0]["id"], "load-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_source_did_can_be_asked_twice_under_the_same_seed() {
    let app = server().await;
    for round in 0..2 {
        for scenario in ["s0", "s1", "s2", "s3", "s4"] {
            let words = format!(
                "--scenario {scenario} --users 12 --concurrency 4 --ramp-up 0s --duration 700ms --seed 7"
            );
            let summary = ran(&app, &words).await;
            let failures: Vec<_> = summary
                .operations
                .iter()
                .map(|l| (l.operation, &l.failures))
                .collect();
            assert_eq!(
                summary.overall.failed, 0,
                "{round} {scenario}: {failures:?}"
            );
            assert!(summary.overall.requests > 0, "{round} {scenario}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_socket_is_told_of_every_change_of_its_vehicle() {
    let app = server().await;
    let words = "--scenario subscriptions --users 150 --concurrency 4 --rate 40/s --ramp-up 500ms --duration 2s";
    let summary = ran(&app, words).await;
    assert_eq!(summary.overall.failed, 0, "{:?}", summary.overall.failures);
    // Ten while the rate grew, then eighty: all that were due, and no more.
    assert_eq!(
        (summary.ramp_up_requests, summary.overall.requests),
        (10, 80)
    );
    let told = summary.deliveries.clone().unwrap();
    assert_eq!((told.opened, told.open), (150, 150));
    assert_eq!((told.missing, told.extra), (Some(0), Some(0)));
    // One or two sockets follow each vehicle.
    assert!((90..=180).contains(&told.expected.unwrap()), "{told:?}");
    assert_eq!(told.ramp_up + told.deliveries, told.expected.unwrap());
    assert!(told.lag.max_ms.is_some() && summary.passed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_is_told_apart_and_a_refused_request_is_not_sent_again() {
    let app = TestApp::with(|settings| {
        settings.limits.enabled = true;
        settings.limits.user_burst = 5;
        settings.limits.user_per_minute = 1;
    })
    .await;
    let words = "--scenario s3 --users 5 --concurrency 2 --ramp-up 0s --duration 1s --rate 20/s";
    let summary = ran(&app, words).await;
    assert_eq!(summary.overall.requests, 20);
    // One of the five was spent on asking who it is, if the tool asked before the first minute's was earned.
    let limited = summary.overall.failures["RATE_LIMITED"];
    assert!(
        (15..=16).contains(&limited),
        "{:?}",
        summary.overall.failures
    );
    assert!(!summary.passed);
    assert!(
        summary
            .notes
            .iter()
            .any(|note| note.contains("limits.user_per_minute")),
        "{:?}",
        summary.notes
    );
}

#[tokio::test]
async fn a_run_that_is_ended_early_tells_what_it_has() {
    let app = server().await;
    let options = of(
        &app,
        "--scenario s3 --users 5 --concurrency 2 --ramp-up 0s --duration 10m",
    );
    let summary = run(&options, tokio::time::sleep(Duration::from_secs(1)))
        .await
        .unwrap();
    assert!(summary.ended_early);
    assert!(summary.overall.requests > 0 && summary.measured_s < 60.0);
    assert!(summary.passed, "{:?}", summary.overall.failures);
}

#[tokio::test]
async fn a_run_that_is_ended_while_the_load_grows_measured_nothing() {
    let app = server().await;
    let options = of(
        &app,
        "--scenario s3 --users 5 --concurrency 2 --ramp-up 10m --duration 10m --rate 100/s",
    );
    let summary = run(&options, tokio::time::sleep(Duration::from_secs(2)))
        .await
        .unwrap();
    assert!(summary.ended_early && !summary.passed);
    assert_eq!((summary.overall.requests, summary.measured_s), (0, 0.0));
    assert_eq!(summary.overall.per_second, 0.0);
}

#[tokio::test]
async fn whoever_cannot_begin_is_told_what_to_do() {
    let app = server().await;
    let url = format!("http://{}", app.address());
    let told = refused(&options(&url, "nonsense", "")).await;
    assert!(
        told.contains("UNAUTHENTICATED") && told.contains("daybook token"),
        "{told}"
    );

    let viewer = app.token(&[daybook::auth::Role::Viewer], "default");
    let told = refused(&options(&url, &viewer, "--scenario mixed")).await;
    assert!(
        told.contains("FORBIDDEN") && told.contains("administrator"),
        "{told}"
    );

    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let told = refused(&options(&format!("http://{nobody}"), "t", "")).await;
    assert!(
        told.contains("there is no server") && told.contains("make demo"),
        "{told}"
    );

    let told = refused(&of(&app, "--report /proc/no/report.json")).await;
    assert!(told.contains("cannot be written"), "{told}");

    let told = refused(&options("http://127.0.0.1:1/path", "t", "")).await;
    assert!(told.contains("http://HOST:PORT"), "{told}");
}
