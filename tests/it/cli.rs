//! The command line: help that helps, exit codes that mean something, one life of a server.

mod live;

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::support::{Scratch, Served, TestDb, command, eventually};

fn run(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    command(dir, args, environment)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Exit code, standard output, standard error.
fn texts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn every_command_explains_itself_with_examples() {
    let dir = Scratch::new();
    let (code, page, _) = texts(&run(dir.path(), &["--help"], &[]));
    assert_eq!(code, 0);
    for command in [
        "serve",
        "import",
        "rebuild",
        "projection",
        "token",
        "tenant",
        "migrate",
        "schema",
    ] {
        assert!(
            page.contains(&format!("  {command}")),
            "{command} is not in {page}"
        );
    }
    for hidden in ["test-cluster", "hold-postgres"] {
        assert!(!page.contains(hidden), "{hidden} is nobody's command");
    }
    let pages: [&[&str]; 8] = [
        &["serve"],
        &["import", "vehicles"],
        &["rebuild"],
        &["projection"],
        &["token"],
        &["tenant"],
        &["migrate"],
        &["schema"],
    ];
    for words in pages {
        let args = [words, &["--help"]].concat();
        let (code, page, _) = texts(&run(dir.path(), &args, &[]));
        assert_eq!(code, 0, "{words:?}");
        let example = format!("daybook {}", words[0]);
        assert!(
            page.contains("Examples:") && page.contains(&example),
            "{words:?}: {page}"
        );
    }
}

#[test]
fn what_cannot_be_understood_exits_2_and_says_why() {
    let dir = Scratch::new();
    /// Words, environment, and what is said of them.
    type Case = (
        &'static [&'static str],
        Environment,
        &'static [&'static str],
    );
    type Environment = &'static [(&'static str, &'static str)];
    let cases: [Case; 10] = [
        (&["sevre"], &[], &["sevre"]),
        (&["--no-such-flag"], &[], &["--no-such-flag"]),
        (&["import"], &[], &["Usage"]),
        (
            &["token", "--ttl", "soon"],
            &[],
            &["--ttl", "not a duration"],
        ),
        (
            &["token", "--role", "king"],
            &[],
            &["--role", "viewer, operator, approver, analyst"],
        ),
        (
            &["serve", "--port", "70000"],
            &[],
            &["http.port", "flag --port"],
        ),
        (
            &["token"],
            &[("PORT", "http")],
            &["http.port", "environment variable PORT"],
        ),
        (
            &["token"],
            &[("DAYBOOK_DATADIR", "x")],
            &["DAYBOOK_DATADIR", "DAYBOOK_DATA_DIR?"],
        ),
        (&["token", "--config", "absent.toml"], &[], &["absent.toml"]),
        (
            &["token"],
            &[("DAYBOOK_ENV", "production")],
            &["vault.master_key_file", "openssl rand -hex 32"],
        ),
    ];
    for (args, environment, parts) in cases {
        let (code, out, err) = texts(&run(dir.path(), args, environment));
        assert_eq!(code, 2, "{args:?}: {err}");
        assert_eq!(out, "", "{args:?}");
        for part in parts {
            assert!(err.contains(part), "{args:?} {environment:?} says: {err}");
        }
    }
    assert!(!dir.join(".daybook").exists(), "nothing was made");
}

#[test]
fn without_postgres_it_exits_3_and_names_the_ways_out() {
    let dir = Scratch::new();
    let nowhere = dir.join("nowhere");
    let environment = [("DAYBOOK_PG_BIN", nowhere.to_str().unwrap())];
    for args in [&["migrate"][..], &["serve", "--port", "0"], &[]] {
        let environment = [&environment[..], &[("PORT", "0")]].concat();
        let (code, _, err) = texts(&run(dir.path(), args, &environment));
        assert_eq!(code, 3, "{args:?}: {err}");
        assert!(
            err.contains("DATABASE_URL") && err.contains("nowhere"),
            "{err}"
        );
    }
}

#[test]
fn a_server_that_cannot_be_used_exits_1_without_telling_the_password() {
    let dir = Scratch::new();
    let url = "postgres://ann:hunter2@127.0.0.1:1/daybook";
    for args in [
        &["migrate", "--database-url", url][..],
        &["projection", "list"],
    ] {
        let (code, _, err) = texts(&run(dir.path(), args, &[("DATABASE_URL", url)]));
        assert_eq!(code, 1, "{args:?}: {err}");
        assert!(
            err.contains("postgres://127.0.0.1:1/daybook cannot be used"),
            "{err}"
        );
        assert!(!err.contains("hunter2"), "{err}");
    }
}

#[tokio::test]
async fn a_token_is_all_that_is_printed() {
    let (dir, db) = (Scratch::new(), TestDb::create().await);
    let url = db.url();
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
    ];
    let (code, out, err) = texts(&run(dir.path(), &["token"], &environment));
    assert_eq!((code, err.as_str()), (0, ""));
    let token = out.strip_suffix('\n').unwrap();
    assert_eq!(token.split('.').count(), 3, "{token}");
    assert!(dir.join(".daybook/development-vault.key").exists());

    let long = texts(&run(dir.path(), &["token", "--ttl", "8d"], &environment));
    assert_eq!(long.0, 1);
    assert!(long.2.contains("auth.token_ttl_max"), "{}", long.2);
    let elsewhere = Scratch::new();
    let other = texts(&run(elsewhere.path(), &["token"], &environment));
    assert_eq!(other.0, 1);
    assert!(other.2.contains("not the master key"), "{}", other.2);
}

/// O3: the process itself, and not only the reading of its settings.
#[test]
fn production_does_not_start_with_secrets_that_would_not_do() {
    let dir = Scratch::new();
    let environment = [
        ("DAYBOOK_ENV", "production"),
        ("DAYBOOK_VAULT__MASTER_KEY_FILE", "absent.key"),
        (
            "DATABASE_URL",
            "postgres://daybook:daybook@127.0.0.1:1/daybook",
        ),
    ];
    for args in [&["serve"][..], &[], &["migrate"]] {
        let (code, out, err) = texts(&run(dir.path(), args, &environment));
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        for name in ["vault.master_key_file", "database.url"] {
            assert!(err.contains(name), "{args:?}: {err}");
        }
        assert!(!err.contains("daybook:daybook"), "{err}");
    }
    assert!(!dir.join(".daybook").exists(), "nothing was begun");
}

#[test]
fn generated_pages_are_printed_whole() {
    let dir = Scratch::new();
    let cases = [
        (&["schema"][..], "type Mutation"),
        (&["schema", "--settings"], "DAYBOOK_HTTP__PORT"),
        (&["schema", "--errors"], "VERSION_CONFLICT"),
    ];
    for (args, part) in cases {
        let (code, out, _) = texts(&run(dir.path(), args, &[]));
        assert_eq!(code, 0);
        assert!(out.contains(part) && out.ends_with('\n'), "{args:?}");
    }
    assert_eq!(
        texts(&run(dir.path(), &["schema", "--errors", "--settings"], &[])).0,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_says_where_and_stops_cleanly() {
    let (dir, db) = (Scratch::new(), TestDb::create().await);
    let url = db.url();
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
        ("DAYBOOK_LOG__FORMAT", "json"),
    ];
    let mut served = Served::start(dir.path(), &environment);
    let said = served.lines.join("\n");
    for part in [
        "is ready",
        "postgres://",
        "in process (64 MiB)",
        "depth 10",
        "daybook token",
    ] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert_eq!(served.get("/livez").0, "HTTP/1.1 200 OK");
    let (status, report) = served.get("/health/detailed");
    assert_eq!(status, "HTTP/1.1 200 OK", "{report}");
    assert!(
        report.contains("\"postgres\"") && report.contains("\"read_models\""),
        "{report}"
    );
    let metrics = served.get("/metrics").1;
    assert!(metrics.contains("daybook_build_info{version="), "{metrics}");

    let taken = run(
        dir.path(),
        &["serve", "--port", port(&served)],
        &environment,
    );
    let (code, _, err) = texts(&taken);
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("cannot listen on") && err.contains("--port"),
        "{err}"
    );

    served.signal(Signal::TERM);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    let (code, out, err) = texts(&run(dir.path(), &["projection", "list"], &environment));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("heatmap") && out.contains("running"), "{out}");
    let skip = ["projection", "skip", "heatmap", "1", "--reason", "a test"];
    let (code, _, err) = texts(&run(dir.path(), &skip, &environment));
    assert_eq!(code, 1);
    assert!(err.contains("is not stopped at position 1"), "{err}");
    let (code, _, err) = texts(&run(
        dir.path(),
        &["projection", "pause", "heatmpa"],
        &environment,
    ));
    assert_eq!(code, 1);
    assert!(err.contains("heatmpa"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once() {
    let (dir, db) = (Scratch::new(), TestDb::create().await);
    let url = db.url();
    let vault = dir.join("vault.key");
    std::fs::write(&vault, "07".repeat(32)).unwrap();
    std::fs::set_permissions(&vault, Permissions::from_mode(0o600)).unwrap();
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
        ("DAYBOOK_VAULT__MASTER_KEY_FILE", vault.to_str().unwrap()),
        ("DAYBOOK_HTTP__BODY_TIMEOUT", "5m"),
        ("DAYBOOK_HTTP__DRAIN_SOFT", "10m"),
        ("DAYBOOK_HTTP__DRAIN_HARD", "30m"),
    ];
    let mut served = Served::start(dir.path(), &environment);
    assert!(
        !dir.join(".daybook").exists(),
        "nothing is kept here, so nothing is made"
    );
    let token = texts(&run(dir.path(), &["token"], &environment)).1;

    // A request in flight: its body never comes to an end.
    let mut stream = TcpStream::connect(&served.address).unwrap();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        token.trim()
    );
    stream.write_all(head.as_bytes()).unwrap();
    eventually("the request is in flight", async || {
        served
            .get("/metrics")
            .1
            .contains("daybook_auth_total{outcome=\"verified\"} 1")
    })
    .await;

    served.signal(Signal::TERM);
    eventually("no connection is taken any more", async || {
        TcpStream::connect(&served.address).is_err()
    })
    .await;
    assert_eq!(
        served.child.try_wait().unwrap(),
        None,
        "it waits for the request"
    );
    served.signal(Signal::TERM);
    eventually("it is gone", async || {
        served.child.try_wait().unwrap().is_some()
    })
    .await;
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_makes_room_for_its_connections_or_says_for_how_many() {
    let (dir, db) = (Scratch::new(), TestDb::create().await);
    let url = db.url();
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
        ("DAYBOOK_DATABASE__POOL_MAX", "10"),
        ("DAYBOOK_HTTP__CONNECTIONS_MAX", "400"),
    ];
    // 400 connections, 10 of the pool, 256 others.
    for (limits, open_max, warned) in [
        ("ulimit -Sn 300", "666", None),
        (
            "ulimit -Sn 300; ulimit -Hn 500",
            "500",
            Some("about 234 of 400 connections"),
        ),
    ] {
        let plain = command(dir.path(), &[], &environment);
        let program = plain.get_program().to_owned();
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("{limits}; exec \"$0\" serve --port 0")]);
        limited.arg(program).env_clear().current_dir(dir.path());
        limited.envs(
            plain
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let mut served = Served::of(limited);
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", served.child.id()));
        let limits = limits.unwrap();
        let files = limits
            .lines()
            .find_map(|l| l.strip_prefix("Max open files"));
        let soft = files.and_then(|f| f.split_whitespace().next());
        assert_eq!(soft, Some(open_max), "{limits}");
        served.signal(Signal::TERM);
        let mut said = String::new();
        let stderr = served.child.stderr.take();
        stderr.unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains("open files is raised from 300"), "{said}");
        let tells = said.contains("leaves room for");
        assert_eq!(tells, warned.is_some(), "{said}");
        assert!(warned.is_none_or(|warned| said.contains(warned)), "{said}");
    }
}

fn port(served: &Served) -> &str {
    served.address.rsplit(':').next().unwrap()
}

#[test]
fn a_taken_port_is_told_before_anything_is_started() {
    let dir = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (code, _, err) = texts(&run(dir.path(), &[], &[("PORT", &port)]));
    assert_eq!(code, 1);
    assert!(err.contains(&port) && err.contains("PORT"), "{err}");
    assert!(
        !dir.join(".daybook").exists(),
        "no server was set up for nothing"
    );
}
