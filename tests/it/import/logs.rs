//! `daybook import logs`: real log files come in once, whatever they are packed in and however often a run
//! was cut short; lines that are no records are counted and named.

mod truth;

use std::fmt::Write as _;
use std::process::Stdio;

use chrono::TimeDelta;
use daybook::commands::{CommandContext, Door, DoorSettings};
use daybook::store::{Store, StoreSettings};
use domain::log_source::{LogLimits, LogSource, LogSourceCommand};
use domain::{Actor, ActorKind};
use rustix::process::{Pid, Signal, kill_process};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::{Told, World, gz, past, start};

impl World {
    /// Runs `daybook import logs ARGS`.
    async fn logs(&self, args: &[&str]) -> Told {
        let args = [&["import", "logs"], args].concat();
        Told::from(self.command(&args).output().await.unwrap())
    }

    /// Ids of all records in the log, sorted.
    async fn ids(&self) -> Vec<String> {
        let query =
            "select id from (select json_array_elements_text(payload->'eventId') as id from events
                     where event_type = 'log_batch.accepted') r order by id collate \"C\"";
        let ids = sqlx::query_scalar(query).fetch_all(self.db.pool()).await;
        ids.unwrap()
    }

    /// Tells the source `app` what its records may be.
    async fn set_limits(&self, limits: LogLimits) {
        let settings = StoreSettings {
            unsafe_allowed: true,
            ..StoreSettings::default()
        };
        let store = Store::connect(self.db.options(), settings).await.unwrap();
        let door = Door::new(store, DoorSettings::default());
        let actor = Actor {
            kind: ActorKind::User,
            id: "ann".into(),
        };
        let ctx = CommandContext::new("default".into(), actor, start());
        let command = LogSourceCommand::SetLimits { limits };
        let told = door.execute::<LogSource>(&ctx, "app", command).await;
        told.unwrap();
    }

    /// What the log says when asked for one text.
    async fn ask(&self, query: &str) -> String {
        let told = sqlx::query_scalar(query).fetch_one(self.db.pool()).await;
        told.unwrap()
    }
}

/// Records of a second each that declare no ids; every hundredth says the same as the one before.
fn ndjson(from: i64, count: i64) -> String {
    let mut text = String::new();
    for n in from..from + count {
        let n = if n % 100 == 99 { n - 1 } else { n };
        let at = (start() + TimeDelta::seconds(n)).to_rfc3339();
        let record = json!({ "timestamp": at, "event_type": "telemetry", "event_name": "tick",
                             "user_id": format!("user-{}@example.org", n % 7) });
        writeln!(text, "{record}").unwrap();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_or_stopped_takes_in_what_is_missing() {
    let world = World::new().await;
    let file = world.file("f.ndjson", ndjson(0, 40_500));
    let args = ["--format", "ndjson", "--source", "app", &file];
    let command = [&["import", "logs"], &args[..]].concat();
    let mut killed = world.command(&command).spawn().unwrap();
    past(&world, 3, &mut killed).await;
    killed.kill().await.unwrap();
    let after_kill = world.head().await;

    let mut stopped = world.command(&command).spawn().unwrap();
    past(&world, after_kill + 3, &mut stopped).await;
    let pid = Pid::from_raw(stopped.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let told = Told::from(stopped.wait_with_output().await.unwrap());
    let last = "Stopped before the end. Run the same command again to go on.";
    told.check(130, &[last]);

    let told = world.logs(&args).await;
    let lines = [
        "40,500 records of 1 file",
        "Accepted         40,500\n",
        "Rejected              0\n",
        "of these records came in with an earlier run",
        "Every read model is as of",
    ];
    told.check(0, &lines);
    let ids = world.ids().await;
    assert_eq!(ids.len(), 40_500);
    assert!(ids.is_sorted_by(|a, b| a < b), "each id is there once");
    let dump = world.db.dump().await;
    assert!(!dump.contains("example.org"), "users are pseudonyms");

    // It has grown, and has another name and packing: the last batch of it holds what was there before.
    let longer = ndjson(0, 41_000);
    let packed = compress_to_vec(longer.as_bytes(), CompressionLevel::Fastest);
    let longer = world.file("f.ndjson.1.zst", packed);
    let args = ["--format", "ndjson", "--source", "app", &longer];
    let lines = [
        "41,000 records of 1 file",
        "Duplicate           500\n",
        "40,000 of these records came in with an earlier run",
    ];
    world.logs(&args).await.check(0, &lines);
    let longer = world.ids().await;
    assert_eq!(longer.len(), 41_000);
    assert!(ids.iter().all(|id| longer.binary_search(id).is_ok()));

    // The same lines of another source are other records.
    let args = ["--format", "ndjson", "--source", "web", &file];
    let lines = ["Accepted         40,500\n", "Duplicate             0\n"];
    world.logs(&args).await.check(0, &lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_no_records_are_counted_and_named() {
    let world = World::new().await;
    let record = |more: &str| {
        format!(
            "{{\"timestamp\":\"2024-05-01T10:00:00Z\",\"event_type\":\"error\",\
             \"event_name\":\"crash\"{more}}}\n"
        )
    };
    let text = [
        record(",\"event_id\":\"a\""),
        record(",\"event_id\":\"a\",\"user_id\":\"ann\""),
        "{\"timestamp\":\"2024-05-01T10:00\n".to_owned(),
        record(",\"level\":\"high\""),
        record(",\"event_type\":\"error\""),
        "\n".to_owned(),
        record("").replace("error", "metric"),
        record("").replace("2024-05-01T10:00:00Z", "yesterday"),
        record("").replace("2024", "2999"),
        record("").replace("2024", "1999"),
        record(&format!(
            ",\"properties\":{{\"a\":\"{}\"}}",
            "x".repeat(300_000)
        )),
        record("").trim_end().to_owned(),
    ];
    let file = world.file("f.ndjson.gz", gz(&text.concat()));
    let args = ["--format", "ndjson", "--source", "app", &file];
    let told = world.logs(&args).await;
    let lines = [
        "11 records of 1 file",
        "Accepted              3\n",
        "Duplicate             1, 1 of them unlike what was kept\n",
        "f.ndjson.gz:2\n",
        "Rejected              7\n",
        "BAD_TIMESTAMP 1\n",
        "DUPLICATE_KEY 1\n",
        "TIMESTAMP_IN_FUTURE 1\n",
        "TOO_LARGE 1\n",
        "UNKNOWN_EVENT_TYPE 1\n",
        "UNREADABLE_INPUT 1\n",
        "f.ndjson.gz:3: the text is no JSON",
        "f.ndjson.gz:4: a record has no such field",
        "f.ndjson.gz:8: ",
        "f.ndjson.gz:11: the entry is larger than 262144 bytes",
    ];
    told.check(0, &lines);
    let backfilled = "select string_agg(metadata->>'backfill', ' ') from events
                      where event_type = 'log_batch.accepted'";
    assert_eq!(world.ask(backfilled).await, "true");
    let kept = "select count(*)::text from rejected_records";
    assert_eq!(world.ask(kept).await, "8", "and the one that differs");

    let told = world.logs(&args).await;
    told.check(0, &["11 of these records came in with an earlier run"]);
    assert_eq!(world.ask(kept).await, "8", "none is kept twice");

    let mended = text.concat().replace(
        "10:00\n",
        "10:00:00Z\",\"event_type\":\"error\",\"event_name\":\"x\"}\n",
    );
    let mended = world.file("mended.ndjson", mended);
    let args = ["--format", "ndjson", "--source", "app", &mended];
    let lines = ["Accepted              1\n", "Duplicate             4\n"];
    world.logs(&args).await.check(0, &lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_format_is_told_before_anything_is_imported() {
    let world = World::new().await;
    let good = world.file("good.log", "[2016-12-19 16:31:47,437] INFO one (a.B)\n");
    let bad = world.file(
        "bad.log",
        "10.0.0.1 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 7\n",
    );
    let args = [
        "--format",
        "log4j",
        "--source",
        "app",
        &good,
        &bad,
        "nowhere.log",
    ];
    let told = world.logs(&args).await;
    told.check(1, &[]);
    let said = "bad.log: it is not in the format log4j: line 1: ";
    assert!(told.err.contains(said), "{}", told.err);
    let hint = "; it looks like --format combined\n";
    assert!(told.err.contains(hint), "{}", told.err);
    assert!(told.err.contains("nowhere.log: "), "{}", told.err);
    assert_eq!(world.head().await, 0);

    let unsaid = world.logs(&[&good]).await;
    assert_eq!(unsaid.code, Some(2), "{}", unsaid.err);
    let said = "--format <FORMAT>";
    assert!(unsaid.err.contains(said), "{}", unsaid.err);
    let unnamed = ["--format", "log4j", "--source", " ", &good];
    let unnamed = world.logs(&unnamed).await;
    unnamed.check(1, &[]);
    let said = "source is empty";
    assert!(unnamed.err.contains(said), "{}", unnamed.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_several_lines_are_read_from_directories_in_their_zone() {
    let world = World::new().await;
    let logs = world.dir.join("logs");
    std::fs::create_dir_all(logs.join("b/c")).unwrap();
    let entry =
        |n: u32, more: &str| format!("[2016-12-19 16:31:4{n},437] ERROR no {n} (a.B)\n{more}");
    let put = |name: &str, bytes: &[u8]| std::fs::write(logs.join(name), bytes).unwrap();
    put(
        "a.log",
        entry(1, "java.lang.Exception\n\tat a.B\n").as_bytes(),
    );
    put("b/1.log.gz", &gz(&entry(2, "")));
    let zstd = compress_to_vec(entry(3, "").as_bytes(), CompressionLevel::Fastest);
    put("b/c/2.log.zst", &zstd);
    put("b/empty.log", b"");
    put(".hidden", b"nonsense");
    let dir = logs.to_str().unwrap();
    let args = [
        "--format", "log4j", "--source", "kafka", "--zone", "-05:00", dir,
    ];
    let lines = ["3 records of 4 files", "Accepted              3\n"];
    world.logs(&args).await.check(0, &lines);
    let times =
        "select string_agg(happened_at::text || ' ' || event_name, ', ' order by happened_at)
                 from (select happened_at at time zone 'UTC' as happened_at, event_name
                       from read.log_records_g1) r";
    let want = "2016-12-19 21:31:41.437 a.B, 2016-12-19 21:31:42.437 a.B, \
                2016-12-19 21:31:43.437 a.B";
    assert_eq!(world.ask(times).await, want);
    let message = "select properties::jsonb->>'message' from read.log_records_g1 order by happened_at limit 1";
    assert_eq!(
        world.ask(message).await,
        "no 1\njava.lang.Exception\n\tat a.B"
    );
}

/// What is still being written, what begins badly, and what is no log at all.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_waits_and_what_is_no_log_stays_out() {
    let world = World::new().await;
    let line = |second: u32, agent: &str| {
        format!(
            "10.0.0.1 - - [17/May/2015:10:05:0{second} +0000] \"GET / HTTP/1.1\" 200 7 \"-\" \"{agent}\"\n"
        )
    };
    let (first, second) = (line(1, "one"), line(2, "curl/7.64.1"));
    let file = world.file(
        "access.log",
        format!("{first}{}", &second[..second.len() - 6]),
    );
    let args = ["--format", "combined", "--source", "web", &file];
    let told = world.logs(&args).await;
    let why = "access.log:2: the last line has no end: it comes in when it has one";
    told.check(
        1,
        &["Accepted              1\n", "Not read to its end: ", why],
    );
    world.file("access.log", format!("{first}{second}{}", line(3, "one")));
    let told = world.logs(&args).await;
    told.check(
        0,
        &[
            "3 records of 1 file",
            "Accepted              2\n",
            "Duplicate             1\n",
        ],
    );

    let entry = |n: u32, text: &[u8]| {
        let head = format!("[2016-12-19 16:31:4{n},437] INFO ");
        [head.as_bytes(), text, b" (a.B)\n"].concat()
    };
    let entries = [
        entry(1, b"one"),
        entry(2, b"caf\xe9"),
        b"\tits trace\n".to_vec(),
        entry(3, b"three"),
    ];
    let file = world.file("latin.log", entries.concat());
    let args = ["--format", "log4j", "--source", "app", &file];
    let lines = [
        "Accepted              2\n",
        "Rejected              1\n",
        "latin.log:2: the line is not written in UTF-8",
    ];
    world.logs(&args).await.check(0, &lines);
    let messages = "select string_agg(properties::jsonb->>'message', ',' order by happened_at)
                    from read.log_records_g1 where properties::jsonb ? 'message'";
    assert_eq!(world.ask(messages).await, "one,three");

    let empty = world.dir.join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    let told = world
        .logs(&["--preset", "apache", empty.to_str().unwrap()])
        .await;
    told.check(1, &[]);
    assert!(told.err.contains("there is no file in it"), "{}", told.err);

    let head = world.head().await;
    let args = [
        "import", "logs", "--format", "ndjson", "--source", "app", "-",
    ];
    let mut child = world.command(&args);
    let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all("nonsense\n".repeat(5_000).as_bytes())
        .await
        .unwrap();
    drop(stdin);
    let told = Told::from(child.wait_with_output().await.unwrap());
    told.check(
        1,
        &["-: it is not in the format ndjson: line 1: the text is no JSON"],
    );
    let kept = "select count(*)::text from rejected_records";
    assert_eq!(world.ask(kept).await, "1", "the entry in Latin-1");
    assert_eq!(world.head().await, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_file_gives_what_it_holds_and_the_rest_later() {
    let world = World::new().await;
    let whole = gz(&ndjson(0, 3_000));
    let mut cut = whole.clone();
    cut.truncate(cut.len() / 2);
    let file = world.file("f.ndjson.gz", cut);
    let args = ["--format", "ndjson", "--source", "app", &file];
    let told = world.logs(&args).await;
    told.check(1, &["Not read to its end: ", "f.ndjson.gz:"]);
    let there = world.ids().await.len();
    assert!((1..3_000).contains(&there), "{there}");
    world.file("f.ndjson.gz", whole);
    let told = world.logs(&args).await;
    told.check(0, &["3,000 records of 1 file", "Rejected              0\n"]);
    assert_eq!(world.ids().await.len(), 3_000);
}

/// What its source refused comes in once it accepts it, whether or not anybody remembers the batch; what is
/// there stays there once.
#[tokio::test(flavor = "multi_thread")]
async fn what_its_source_accepts_by_now_comes_in() {
    let world = World::new().await;
    let line = |n: i64, length: usize| {
        json!({ "timestamp": start() + TimeDelta::seconds(n), "event_type": "telemetry",
                "event_name": "tick", "properties": { "a": "x".repeat(length) } })
    };
    let ahead = json!({ "timestamp": "9000-01-01T00:00:00Z", "event_type": "telemetry",
                        "event_name": "tick" });
    let lines = format!("{}\n{}\n{ahead}\n", line(0, 1), line(1, 70_000));
    let file = world.file("f.ndjson", lines);
    let args = ["--format", "ndjson", "--source", "app", &file];
    let lines = ["Accepted              1\n", "Rejected              2\n"];
    world.logs(&args).await.check(0, &lines);

    world
        .set_limits(LogLimits {
            record_bytes_max: 100_000,
            ..LogLimits::default()
        })
        .await;
    let lines = ["Accepted              1\n", "Duplicate             1\n"];
    world.logs(&args).await.check(0, &lines);
    let forget = "delete from commands";
    sqlx::raw_sql(forget)
        .execute(world.db.pool())
        .await
        .unwrap();
    let lines = ["Duplicate             2\n", "Rejected              1\n"];
    world.logs(&args).await.check(0, &lines);
    assert_eq!(world.ids().await.len(), 2);
}
