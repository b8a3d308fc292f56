//! `daybook import` and `daybook demo` as a person meets them: the program, its output, its exit
//! code.

mod activities;
mod deployments;
mod logs;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use projections::Reader;
use projections::positions::{HistoryOrder, HistoryQuery, history};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::{Scratch, TestDb, daybook, eventually};

const HEADER: &str = "vehicle,time,lat,lon,speed\n";

struct World {
    db: TestDb,
    dir: Scratch,
}

impl World {
    async fn new() -> World {
        World {
            db: TestDb::create().await,
            dir: Scratch::new(),
        }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.dir.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::from(daybook());
        command
            .args(args)
            .env("DATABASE_URL", self.db.url())
            // A test's, and no setting.
            .env_remove("DAYBOOK_TRUTH_LOGS")
            .env("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true")
            .env("DAYBOOK_DATA_DIR", self.dir.join("data"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs `daybook import vehicles ARGS`.
    async fn import(&self, args: &[&str]) -> Told {
        let args = [&["import", "vehicles"], args].concat();
        Told::from(self.command(&args).output().await.unwrap())
    }

    async fn head(&self) -> i64 {
        let head = sqlx::query_scalar("select position from logs where tenant = 'default'");
        head.fetch_one(self.db.pool()).await.unwrap()
    }
}

/// What the program said.
struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Told {
        Told {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Told {
    /// The exit code, and each of these in standard output.
    fn check(&self, code: i32, lines: &[&str]) {
        for line in lines {
            assert!(
                self.out.contains(line),
                "no {line:?} in\n{}\n{}",
                self.out,
                self.err
            );
        }
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
    }
}

fn gz(content: &str) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(content.as_bytes()).unwrap();
    out.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_no_fixes_are_counted_and_named() {
    let world = World::new().await;
    let mut content = HEADER.as_bytes().to_vec();
    content.extend_from_slice(
        b"7,2024-05-01T10:00:00Z,52.1,13.1,3\n\
          7,2024-05-01T10:00:00Z,52.1,13.1,3\n\
          7,2024-05-01T12:00:00+02:00,52.9,13.1,3\n\
          7,2024-05-01T10:01:00Z,52.1\n\
          7,2024-05-01T10:02:00Z,north,13.1,3\n\
          7,2024-05-01 10:03:00,52.1,13.1,3\n\
          7,2024-05-01T10:04:00Z,0,0,3\n\
          7,2024-05-01T10:05:00Z,91,13.1,3\n\
          7,2024-05-01T10:06:00Z,NaN,13.1,3\n\
          ,2024-05-01T10:07:00Z,52.1,13.1,3\n\
          \xff,2024-05-01T10:08:00Z,52.1,13.1,3\n\
          7,2024-05-01T10:09:00Z,52.1,13.1,\n\
          7,2999-05-01T10:09:00Z,52.1,13.1,3\n\
          a\0b,2024-05-01T10:10:00Z,52.1,13.1,3\n",
    );
    let file = world.file("f.csv", content);
    let told = world.import(&[&file]).await;
    told.check(
        0,
        &[
            "14 rows of 1 file",
            "Accepted              2\n",
            "Duplicate             2, 1 of them unlike what was kept",
            "Rejected             10",
            "f.csv:5: the row has 3 columns, the header 5",
            "f.csv:6: lat is not a number",
            "BAD_TIMESTAMP 1",
            "NULL_ISLAND 1",
            "INVALID_COORDINATES 2",
            "f.csv:12: vehicle is not UTF-8",
            "FIX_IN_FUTURE 1",
            "Every read model is as of position 2.",
        ],
    );
    assert_eq!(world.head().await, 2);
    let again = world.import(&[&file]).await;
    again.check(
        0,
        &["Accepted              2\n", "came in with an earlier run"],
    );
    assert_eq!(world.head().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_column_is_told_before_anything_is_imported() {
    let world = World::new().await;
    let good = world.file(
        "good.csv",
        format!("{HEADER}7,2024-05-01T10:00:00Z,52.1,13.1,3\n"),
    );
    let bad = world.file(
        "bad.csv",
        "bus,when,lat,lon\n7,2024-05-01T10:00:00Z,52.1,13.1\n",
    );
    let told = world.import(&[&good, &bad, "nowhere.csv"]).await;
    told.check(1, &[]);
    let said = "bad.csv: no column vehicle, time; it has bus, when, lat, lon";
    assert!(told.err.contains(said), "{}", told.err);
    assert!(told.err.contains("nowhere.csv: "), "{}", told.err);
    assert_eq!(world.head().await, 0);

    let mapped = world
        .import(&["--vehicle", "bus", "--time", "when", &bad])
        .await;
    mapped.check(0, &["Accepted              1\n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_gzip_gives_what_it_holds_and_fails() {
    let world = World::new().await;
    let whole = rows(3_000);
    let mut cut = gz(&whole);
    cut.truncate(cut.len() / 2);
    let file = world.file("cut.csv.gz", cut);
    let other = world.file("whole.csv.gz", gz(&whole));
    let told = world.import(&[&file]).await;
    told.check(1, &["Not read to its end: ", "cut.csv.gz:"]);
    assert!(world.head().await > 0);
    let told = world.import(&[&other]).await;
    told.check(0, &["3,000 rows of 1 file", "Rejected              0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_a_file_like_any_other() {
    let world = World::new().await;
    let mut child = world.command(&["import", "vehicles", "-"]);
    let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&gz(&rows(1_500))).await.unwrap();
    drop(stdin);
    let told = Told::from(child.wait_with_output().await.unwrap());
    told.check(0, &["1,500 rows of 1 file"]);
    let head = world.head().await;
    let same = world.file("same.csv", rows(1_500));
    let told = world.import(&[&same]).await;
    told.check(
        0,
        &["1,500 of these rows came in with an earlier run; nothing changed."],
    );
    assert_eq!(world.head().await, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_or_stopped_is_taken_up_by_the_next() {
    let world = World::new().await;
    let file = world.file("f.csv", rows(30_000));
    let spawn = || {
        world
            .command(&["import", "vehicles", &file])
            .spawn()
            .unwrap()
    };

    let mut killed = spawn();
    past(&world, 20, &mut killed).await;
    killed.kill().await.unwrap();
    let after_kill = world.head().await;

    let mut stopped = spawn();
    past(&world, after_kill + 20, &mut stopped).await;
    let pid = Pid::from_raw(stopped.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let told = Told::from(stopped.wait_with_output().await.unwrap());
    told.check(
        130,
        &["Stopped before the end. Run the same command again to go on."],
    );

    let told = world.import(&[&file]).await;
    let lines = [
        "30,000 rows of 1 file",
        "Accepted         27,000\n",
        "Duplicate         3,000, 3,000 of them unlike what was kept",
        "of these rows came in with an earlier run",
        "Every read model is as of",
    ];
    told.check(0, &lines);
    let head = world.head().await;
    let told = world.import(&[&file]).await;
    told.check(
        0,
        &["30,000 of these rows came in with an earlier run; nothing changed."],
    );
    assert_eq!(world.head().await, head);
    the_first_of_each_instant_was_kept(&world).await;
}

/// Waits until the log has passed `position`; the program must not have ended by then.
async fn past(world: &World, position: i64, child: &mut Child) {
    eventually("the import has begun", async || {
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "it was faster than this test"
        );
        world.head().await > position
    })
    .await;
}

async fn the_first_of_each_instant_was_kept(world: &World) {
    let reader = Reader::new(world.db.pool().clone());
    let mut snapshot = reader.snapshot("default").await.unwrap();
    let mut fixes = 0;
    for vehicle in 0..VEHICLES {
        let query = HistoryQuery {
            vehicle_id: format!("bus-{vehicle}"),
            from: start(),
            to: start() + TimeDelta::days(2),
            order: HistoryOrder::OldestFirst,
        };
        let page = history(&mut snapshot, &query, None, 30_000).await.unwrap();
        assert!(page.items.iter().all(|fix| fix.lat < 53.0));
        fixes += page.items.len();
    }
    assert_eq!(fixes, 27_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuilding_makes_the_same_of_the_log_again() {
    let world = World::new().await;
    let file = world.file("f.csv", rows(2_000));
    world.import(&[&file]).await.check(0, &[]);
    let rebuilt = world
        .command(&["rebuild", "--all", "--compare"])
        .output()
        .await
        .unwrap();
    let told = Told::from(rebuilt);
    let each = [
        "vehicles: generation 2",
        "heatmap: generation 2",
        "equal to the old one",
    ];
    told.check(0, &each);
    assert_eq!(
        told.out.matches("equal to the old one").count(),
        projections::all().len()
    );

    let unknown = world
        .command(&["rebuild", "heatmaps"])
        .output()
        .await
        .unwrap();
    let told = Told::from(unknown);
    assert_eq!(told.code, Some(1));
    assert!(
        told.err.contains("no read model \"heatmaps\"; there are"),
        "{}",
        told.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_asked_for_as_of_then_listed_and_dropped_on_the_command_line() {
    let world = World::new().await;
    let file = world.file("f.csv", rows(200));
    world.import(&[&file]).await.check(0, &[]);
    let head = world.head().await;
    let run = async |line: &str| {
        let args: Vec<&str> = line.split(' ').collect();
        Told::from(world.command(&args).output().await.unwrap())
    };
    let as_of = format!("rebuild vehicles --mode scratch --up-to {}", head - 1);
    let told = run(&format!("{as_of} --by user:ann --reason audit")).await;
    told.check(
        0,
        &[&format!(
            "vehicles: generation 2 is as of position {}",
            head - 1
        )],
    );
    run("projection generations").await.check(0, &["scratch"]);
    let beyond = run("rebuild vehicles --mode scratch --up-to 999999").await;
    assert_eq!(beyond.code, Some(1));
    assert!(
        beyond.err.contains("lies beyond the end of the log"),
        "{}",
        beyond.err
    );
    let alone = run("rebuild vehicles --mode scratch").await;
    assert!(alone.err.contains("--up-to go together"), "{}", alone.err);

    let asked = run("rebuild heatmap --detach --by user:ann").await;
    asked.check(0, &["heatmap: generation 2 is asked for (folding)"]);
    let again = run("rebuild heatmap --detach").await;
    assert_eq!(again.code, Some(1));
    assert!(
        again.err.contains("is being rebuilt already"),
        "{}",
        again.err
    );
    let paused = run("projection pause-rebuild heatmap --by user:ann").await;
    paused.check(0, &["folding, paused"]);
    let cancelled = run("projection cancel-rebuild heatmap --by user:ann").await;
    cancelled.check(0, &["cancelled"]);
    let back = run("projection roll-back heatmap --generation 7").await;
    assert_eq!(back.code, Some(1));
    assert!(
        back.err.contains("generation 1 answers, not 7"),
        "{}",
        back.err
    );
    run("rebuild heatmap --workers 1").await.check(0, &[]);
    let back = "projection roll-back heatmap --generation 3 --command-id back-1 --by user:ann";
    let told = run(back).await;
    told.check(0, &["roll_back", "catching_up"]);
    let again = run(back).await;
    let of = |told: &Told| told.out.matches("roll_back").count();
    assert_eq!(
        (again.code, of(&again)),
        (Some(0), of(&told)),
        "{}",
        again.err
    );
    for (other, why) in [
        (
            "projection roll-back heatmap --generation 4 --command-id back-1",
            "was used for another rebuild",
        ),
        (
            "projection roll-back heatmap --command-id ",
            "--command-id: ",
        ),
    ] {
        let refused = run(other).await;
        assert_eq!(refused.code, Some(1), "{other}");
        assert!(refused.err.contains(why), "{other}: {}", refused.err);
    }
    run("projection cancel-rebuild heatmap").await.check(0, &[]);
    let dropped = run("projection drop vehicles 2 --by user:ann --reason done").await;
    assert!(!dropped.out.contains("scratch"), "{}", dropped.out);
    let decided = run("projection decisions").await;
    for what in ["rebuild", "pause_rebuild", "cancel_rebuild", "drop"] {
        assert!(decided.out.contains(what), "{what} in {}", decided.out);
    }
    let kept = decided.out.lines().filter(|line| line.contains("user:ann"));
    assert_eq!(kept.count(), 6, "{}", decided.out);
}

const VEHICLES: usize = 40;

fn start() -> DateTime<Utc> {
    "2024-05-01T00:00:00Z".parse().unwrap()
}

/// Each tenth row says the instant of the same vehicle's row before again, elsewhere: at latitude
/// 53.
fn rows(count: usize) -> String {
    let mut out = String::from(HEADER);
    let mut seconds = vec![0; VEHICLES];
    for i in 0..count {
        let vehicle = (i / 10) % VEHICLES;
        let again = i % 10 == 9;
        seconds[vehicle] += if again { 0 } else { 20 };
        let time = start() + TimeDelta::seconds(seconds[vehicle]);
        let lat = if again { 53.0 } else { 52.0 } + (i % 997) as f64 / 1e4;
        let time = time.to_rfc3339();
        writeln!(out, "bus-{vehicle},{time},{lat:.4},13.2,{}", i % 20).unwrap();
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_answers_the_questions_it_suggests_and_is_there_again() {
    let world = World::new().await;
    let mut heads = Vec::new();
    for _ in 0..2 {
        let mut child = world.command(&["demo", "--port", "0"]).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (address, token, bodies) = read_demo(lines).await;
        assert_eq!(bodies.len(), 4);
        for body in bodies {
            let answer = post(&address, &token, &body).await;
            assert_eq!(answer.get("errors"), None, "{body}\n{answer}");
            let data = answer["data"].as_object().unwrap().values().next().unwrap();
            let list = data.as_object().unwrap().values().next().unwrap();
            assert!(!list.as_array().unwrap().is_empty(), "{body}\n{answer}");
        }
        heads.push(world.head().await);
        let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        assert!(child.wait().await.unwrap().success());
    }
    assert_eq!(heads[0], heads[1]);
}

type Lines = tokio::io::Lines<BufReader<tokio::process::ChildStdout>>;

/// Address, token and the bodies of the suggested requests, from what the demo prints.
async fn read_demo(mut lines: Lines) -> (String, String, Vec<String>) {
    let (mut address, mut token, mut bodies) = (String::new(), String::new(), Vec::new());
    let reading = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(url) = line.trim_start().strip_prefix("listens  http://") {
                address = url.trim_end_matches("/graphql").to_owned();
            } else if let Some(given) = line.strip_prefix("TOKEN=") {
                token = given.to_owned();
            } else if let Some((_, body)) = line.split_once(" -d '") {
                bodies.push(body.trim_end_matches('\'').to_owned());
            } else if line.starts_with("Ctrl-C") {
                return;
            }
        }
        panic!("the demo ended before it was ready");
    };
    tokio::time::timeout(Duration::from_secs(120), reading)
        .await
        .unwrap();
    (address, token, bodies)
}

async fn post(address: &str, token: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(body).unwrap()
}
