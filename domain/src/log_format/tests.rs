//! Each format by a few lines of it. Lines of web servers and of Kafka are from elastic/examples (Apache-2.0).

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::log_batch::{LogRules, judge};
use crate::log_source::LogLimits;
use crate::personal::Personal;

fn utc() -> FixedOffset {
    FixedOffset::east_opt(0).expect("UTC")
}

fn read(format: LogFormat, text: &str) -> Vec<LogEntry> {
    LogReader::new(format, utc()).read_all(text.as_bytes())
}

/// The only entry of a text, as JSON.
fn one(format: LogFormat, text: &str) -> Value {
    let entries = read(format, text);
    assert_eq!(entries.len(), 1, "{entries:?}");
    let report = entries[0].read.as_ref().expect("a record");
    serde_json::to_value(report).expect("JSON")
}

/// Per entry: its line, and the code it was refused with.
fn codes(format: LogFormat, text: &str) -> Vec<(u64, Option<Code>)> {
    let entries = read(format, text).into_iter();
    let codes = entries.map(|entry| {
        if let Err(refusal) = &entry.read {
            assert_eq!(refusal.details["line"], entry.line, "{refusal}");
            assert_eq!(refusal.details["format"], format.as_str());
        }
        (entry.line, entry.read.err().map(|refusal| refusal.code))
    });
    codes.collect()
}

#[test]
fn a_broken_line_in_the_middle_is_refused_alone() {
    let good = r#"{"timestamp": "2026-09-21T14:13:20Z", "event_type": "error", "event_name": "n"}"#;
    let long = format!(r#"{{"a": "{}"}}"#, "x".repeat(ENTRY_BYTES_MAX));
    let lines = [
        good,
        r#"{"timestamp": "2026-"#,
        "",
        "  ",
        good,
        r#"{"a": 1, "a": 2}"#,
        "17",
        &long,
        good,
    ];
    let expected = [
        (1, None),
        (2, Some(Code::UnreadableInput)),
        (5, None),
        (6, Some(Code::DuplicateKey)),
        (7, Some(Code::UnreadableInput)),
        (8, Some(Code::TooLarge)),
        (9, None),
    ];
    assert_eq!(codes(LogFormat::Ndjson, &lines.join("\n")), expected);
    assert_eq!(codes(LogFormat::Ndjson, &lines.join("\r\n")), expected);
    assert_eq!(
        codes(LogFormat::Ndjson, &(lines.join("\n") + "\n")),
        expected
    );
    assert_eq!(codes(LogFormat::Ndjson, ""), []);
    let entries = LogReader::new(LogFormat::Ndjson, utc()).read_all(b"{\"a\": \"\xff\"}");
    assert_eq!(
        entries[0].read.as_ref().map_err(|r| r.code),
        Err(Code::UnreadableInput)
    );
}

#[test]
fn an_access_log_is_read_field_by_field() {
    let line = concat!(
        r#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "#,
        r#""GET /presentations/logstash-monitorama-2013/images/kibana-search.png HTTP/1.1" 200 203023 "#,
        r#""http://semicomplete.com/presentations/logstash-monitorama-2013/" "#,
        r#""Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1)""#,
    );
    let expected = json!({
        "timestamp": "2015-05-17T10:05:03Z",
        "eventType": "observability",
        "eventName": "request",
        "properties": {
            "client": "83.149.9.216",
            "method": "GET",
            "path": "/presentations/logstash-monitorama-2013/images/kibana-search.png",
            "protocol": "HTTP/1.1",
            "status": 200,
            "bytes": 203_023,
            "referrer": "http://semicomplete.com/presentations/logstash-monitorama-2013/",
            "userAgent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1)",
        },
    });
    assert_eq!(one(LogFormat::Combined, line), expected);
}

#[test]
fn an_access_log_may_say_less_or_say_it_oddly() {
    // The agent's end is cut off, as in one line of that log.
    let cut = concat!(
        r#"46.118.127.106 - - [20/May/2015:12:05:17 +0000] "GET /scripts/grok-py-test/configlib.py "#,
        r#"HTTP/1.1" 200 235 "-" "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html"#,
    );
    let read = one(LogFormat::Combined, cut);
    let agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html";
    assert_eq!(read["properties"]["userAgent"], agent);
    assert_eq!(read["properties"].get("referrer"), None);

    let common = r#"::1 - ann [20/May/2015:14:05:17 +0200] "HEAD / HTTP/1.0" 503 -"#;
    let read = one(LogFormat::Combined, common);
    assert_eq!(read["timestamp"], "2015-05-20T14:05:17+02:00");
    assert_eq!(
        (&read["userId"], &read["eventType"]),
        (&json!("ann"), &json!("error"))
    );
    let rest = json!({"client": "::1", "method": "HEAD", "path": "/", "protocol": "HTTP/1.0",
                      "status": 503});
    assert_eq!(read["properties"], rest);

    let quoted = r#"h - - [20/May/2015:12:05:17 +0000] "\x16\x03 \"a\\" 400 0 "-" "say \"hi\"""#;
    let read = one(LogFormat::Combined, quoted);
    assert_eq!(read["properties"]["request"], r#"\x16\x03 "a\"#);
    assert_eq!(read["properties"]["userAgent"], r#"say "hi""#);
}

#[test]
fn a_line_that_is_no_access_log_says_what_is_missing() {
    let cases = [
        ("-", "identity"),
        (r#"h - - "GET / HTTP/1.1" 200 5"#, "time"),
        (
            r#"h - - [32/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5"#,
            "time",
        ),
        (
            r#"h - - [17/May/2015:10:05:03] "GET / HTTP/1.1" 200 5"#,
            "time",
        ),
        (
            r"h - - [17/May/2015:10:05:03 +0000] GET / HTTP/1.1 200 5",
            "request",
        ),
        (
            r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1 200 5"#,
            "status",
        ),
        (
            r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" OK 5"#,
            "status",
        ),
        (
            r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 -5"#,
            "bytes",
        ),
        (
            r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200"#,
            "bytes",
        ),
    ];
    for (line, field) in cases {
        let entries = read(LogFormat::Combined, line);
        let refusal = entries[0].read.as_ref().expect_err(line);
        assert_eq!(
            (refusal.code, &refusal.details["field"]),
            (Code::UnreadableInput, &json!(field))
        );
    }
}

const KAFKA: &str = "\
[2016-12-19 20:39:48,918] WARN [ReplicaFetcherThread-0-2], Error in fetch (kafka.server.ReplicaFetcherThread)
java.io.IOException: Connection to 2 was disconnected before the response was read
\tat scala.Option.foreach(Option.scala:257)

\tat java.lang.Thread.run(Thread.java:745)
[2016-12-19 16:31:46,143] INFO KafkaConfig values:\x20
\tadvertised.host.name = null
 (kafka.server.KafkaConfig)
[2016-12-19 16:31:47,437] ERROR no (logger) here
";

#[test]
fn an_entry_of_several_lines_is_one_record() {
    let entries = read(LogFormat::Log4j, KAFKA);
    let lines: Vec<u64> = entries.iter().map(|entry| entry.line).collect();
    assert_eq!(lines, [1, 6, 9]);
    let records: Vec<Value> = entries
        .into_iter()
        .map(|entry| serde_json::to_value(entry.read.expect("a record")).expect("JSON"))
        .collect();
    let trace = concat!(
        "[ReplicaFetcherThread-0-2], Error in fetch\n",
        "java.io.IOException: Connection to 2 was disconnected before the response was read\n",
        "\tat scala.Option.foreach(Option.scala:257)\n\n\tat java.lang.Thread.run(Thread.java:745)"
    );
    let expected = [
        json!({
            "timestamp": "2016-12-19T20:39:48.918Z", "eventType": "observability",
            "eventName": "kafka.server.ReplicaFetcherThread",
            "properties": {"level": "WARN", "logger": "kafka.server.ReplicaFetcherThread", "message": trace},
        }),
        json!({
            "timestamp": "2016-12-19T16:31:46.143Z", "eventType": "observability",
            "eventName": "kafka.server.KafkaConfig",
            "properties": {"level": "INFO", "logger": "kafka.server.KafkaConfig",
                           "message": "KafkaConfig values: \n\tadvertised.host.name = null"},
        }),
        json!({
            "timestamp": "2016-12-19T16:31:47.437Z", "eventType": "error", "eventName": "log",
            "priority": "high",
            "properties": {"level": "ERROR", "message": "no (logger) here"},
        }),
    ];
    assert_eq!(records, expected);
}

#[test]
fn times_without_a_zone_are_of_the_one_that_is_given() {
    let vienna = FixedOffset::east_opt(3_600).expect("a zone");
    let entries = LogReader::new(LogFormat::Log4j, vienna).read_all(KAFKA.as_bytes());
    let first = entries[0].read.as_ref().expect("a record");
    assert_eq!(first.timestamp, "2016-12-19T19:39:48.918Z");
}

#[test]
fn what_comes_before_the_first_entry_is_refused_line_by_line() {
    let text = format!("\tat nowhere\n\n[2016-12-19] INFO a\n{KAFKA}");
    let unreadable = Some(Code::UnreadableInput);
    let expected = [
        (1, unreadable),
        (3, unreadable),
        (4, None),
        (9, None),
        (12, None),
    ];
    assert_eq!(codes(LogFormat::Log4j, &text), expected);
}

/// Memory is bounded by what an entry may have, however many lines go on with it.
#[test]
fn an_entry_without_an_end_is_refused_whole() {
    let line = "x".repeat(1_000);
    let text = format!("{KAFKA}{}{KAFKA}", format!("{line}\n").repeat(300));
    let large = Some(Code::TooLarge);
    let expected = [
        (1, None),
        (6, None),
        (9, large),
        (310, None),
        (315, None),
        (318, None),
    ];
    assert_eq!(codes(LogFormat::Log4j, &text), expected);
    let entries = read(LogFormat::Log4j, &text);
    let refusal = entries[2].read.as_ref().expect_err("too large");
    assert_eq!(refusal.details["actual"], 300_348, "all of it is counted");

    let mut bytes = KAFKA.as_bytes().to_vec();
    bytes.extend(b"\tat \xff\n");
    let entries = LogReader::new(LogFormat::Log4j, utc()).read_all(&bytes);
    assert_eq!(
        entries[2].read.as_ref().map_err(|r| r.code),
        Err(Code::BadText)
    );
}

/// What is wrong with the rest of its first line does not make an entry part of the one before.
#[test]
fn an_entry_that_begins_badly_is_refused_alone() {
    let begins = b"[2016-12-19 16:31:48,437] INFO caf";
    let after = b"\n\tat its trace\n[2016-12-19 16:31:49,437] INFO after (a.B)\n";
    let long = [&begins[..], "\u{e9}".repeat(ENTRY_BYTES_MAX).as_bytes()].concat();
    for (line, code) in [
        ([&begins[..], b"\xe9 (a.B)"].concat(), Code::BadText),
        (long[..ENTRY_BYTES_MAX + 1].to_vec(), Code::TooLarge),
    ] {
        let bytes = [KAFKA.as_bytes(), &line, after].concat();
        let entries = LogReader::new(LogFormat::Log4j, utc()).read_all(&bytes);
        let told = entries
            .iter()
            .map(|e| (e.line, e.read.as_ref().err().map(|r| r.code)));
        let told: Vec<_> = told.collect();
        let expected = [
            (1, None),
            (6, None),
            (9, None),
            (10, Some(code)),
            (12, None),
        ];
        assert_eq!(told, expected);
    }
}

#[test]
fn events_of_git_hub_are_records() {
    let reduced = r#"{"id":"7","dt":"2015-02-22T21:00:00Z","repo":"a/b","type":"push","actor":"ann","commits":2}"#;
    let expected = json!({
        "eventId": "7", "timestamp": "2015-02-22T21:00:00Z", "eventType": "behavioral",
        "eventName": "push", "userId": "ann", "properties": {"repo": "a/b", "commits": 2},
    });
    assert_eq!(one(LogFormat::GhArchive, reduced), expected);

    let whole = r#"{"id":"8","type":"WatchEvent","actor":{"id":1,"login":"ann"},"repo":{"name":"a/b"},
        "payload":{"action":"started"},"public":true,"created_at":"2017-07-24T00:33:34Z"}"#;
    let expected = json!({
        "eventId": "8", "timestamp": "2017-07-24T00:33:34Z", "eventType": "behavioral",
        "eventName": "WatchEvent", "userId": "ann",
        "properties": {"actor": {"id": 1, "login": "ann"}, "repo": {"name": "a/b"},
                       "payload": {"action": "started"}, "public": true},
    });
    assert_eq!(
        one(LogFormat::GithubEvents, &whole.replace('\n', " ")),
        expected
    );

    for lacking in [
        r#"{"dt":"t","type":"push","actor":"ann"}"#,
        r#"{"id":7,"dt":"t","type":"p","actor":"a"}"#,
    ] {
        assert_eq!(
            codes(LogFormat::GhArchive, lacking),
            [(1, Some(Code::UnreadableInput))]
        );
    }
}

/// Read and judged by its format's own rules, a line shows nobody's address and nobody's name.
#[test]
fn what_formats_know_to_be_personal_is_set_apart() {
    let lines = [
        (
            LogFormat::Combined,
            r#"203.0.113.7 - ann [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5"#,
            "203.0.113.7",
        ),
        (
            LogFormat::GithubEvents,
            r#"{"id":"8","type":"WatchEvent","actor":{"login":"ann"},"created_at":"2017-07-24T00:33:34Z"}"#,
            "ann",
        ),
    ];
    for (format, line, personal) in lines {
        let said = read(format, line).remove(0).read.expect("a record");
        let (limits, personal_fields) = (LogLimits::default(), format.personal_fields());
        let rules = LogRules {
            limits: &limits,
            personal_fields: &personal_fields,
            now: crate::given::at(0),
            backfill: true,
            pseudonym: &|_| "p1".to_owned(),
        };
        let judged = judge(&said, &rules).expect("a record");
        assert_eq!(judged.record.user_id.as_deref(), Some("p1"));
        let apart = judged.record.personal.as_ref().and_then(Personal::plain);
        assert!(apart.is_some_and(|apart| apart.contains(personal)));
        let shown = format!("{:?}", judged.record);
        assert!(!shown.contains(personal), "{shown}");
    }
}

proptest! {
    /// Whatever the lines are, nothing panics, and every entry is of a line there is, in order.
    #[test]
    fn any_lines_are_read_or_refused(
        lines in prop::collection::vec(
            prop_oneof![
                "\\PC{0,30}",
                "[\\[\\]\"\\\\ a-z0-9:/+-]{0,40}",
                Just("[2016-12-19 16:31:47,437] INFO a (b)".to_owned()),
                Just(r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5"#.to_owned()),
            ],
            0..12,
        ),
        format in prop::sample::select(LogFormat::ALL),
    ) {
        let count = lines.len() as u64;
        let entries = read(format, &lines.join("\n"));
        let places: Vec<u64> = entries.iter().map(|entry| entry.line).collect();
        prop_assert!(places.is_sorted_by(|a, b| a < b) && places.iter().all(|l| (1..=count).contains(l)));
    }
}
