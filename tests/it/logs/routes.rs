//! The tables of bad input for the routes that take log records: JSON and text (J), HTTP (H), what is carried
//! out, shown or let out (N) of `docs/promises.md`.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::commands::{INGEST, ingest, said};
use super::{BATCH, counts, record, send, started, text};
use crate::support::{Heard, PATIENCE, Reply, TestApp, eventually};

const JSON: (&str, &str) = ("content-type", "application/json");
const ONE: &str = "POST /api/v1/ingest";
const OTLP: &str = "POST /v1/logs";

fn outcome(reply: &Reply) -> (u16, String) {
    let told = reply.json();
    (
        reply.status,
        told["code"].as_str().unwrap_or("ok").to_owned(),
    )
}

/// J1 to J8, J30: bodies that are no JSON, or not what they say.
#[tokio::test]
async fn j_rows_of_bodies() {
    let app = started().await;
    let good = record(None).to_string();
    let of = |logs: &str| format!("{{\"logs\":[{logs}]}}");
    let with = |from: &str, to: &str| good.replacen(from, to, 1);
    let bytes = |text: &str| text.as_bytes().to_vec();
    let utf16: Vec<u8> = of(&good)
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let whole: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("J1 cut off", bytes("{\"logs\":"), 400, "BAD_JSON"),
        (
            "J1 trailing comma",
            bytes(&of(&format!("{good},"))),
            400,
            "BAD_JSON",
        ),
        (
            "J1 two documents",
            bytes(&(of(&good) + "{}")),
            400,
            "BAD_JSON",
        ),
        ("J1 junk behind", bytes(&(of(&good) + "x")), 400, "BAD_JSON"),
        (
            "J2 no UTF-8",
            b"{\"logs\":[\"\xff\"]}".to_vec(),
            400,
            "BAD_JSON",
        ),
        (
            "J2 overlong",
            b"{\"logs\":[\"\xc0\xaf\"]}".to_vec(),
            400,
            "BAD_JSON",
        ),
        ("J2 UTF-16", utf16, 400, "BAD_JSON"),
        (
            "J2 BOM",
            bytes(&format!("\u{feff}{}", of(&good))),
            400,
            "BAD_JSON",
        ),
        (
            "J3 NUL in a key",
            bytes("{\"logs\":[],\"a\\u0000\":1}"),
            400,
            "BAD_TEXT",
        ),
        (
            "J5 a key twice",
            bytes("{\"logs\":[],\"logs\":[]}"),
            400,
            "DUPLICATE_KEY",
        ),
        ("J20 null", bytes("{\"logs\":null}"), 400, "BAD_REQUEST"),
        ("an array", bytes(&format!("[{good}]")), 400, "BAD_REQUEST"),
        ("nothing", Vec::new(), 400, "BAD_JSON"),
    ];
    for (what, body, status, code) in whole {
        let length = body.len().to_string();
        let headers = [JSON, ("content-length", &*length)];
        let reply = app.send(BATCH, &headers, &body).await;
        assert_eq!(outcome(&reply), (status, code.to_owned()), "{what}");
    }
    assert_eq!(app.head().await, 0, "nothing is appended");
    // A record by itself: it alone is refused.
    let time = format!("\"{}\"", text(super::now()));
    for (what, bad, code) in [
        ("J3", with("checkout", "a\\u0000b"), "BAD_TEXT"),
        ("J4", with("checkout", "\\ud800"), "UNREADABLE_INPUT"),
        (
            "J5",
            with("\"timestamp\"", "\"event_name\":\"a\",\"timestamp\""),
            "DUPLICATE_KEY",
        ),
        (
            "J6",
            with("12.5", &("[".repeat(129) + &"]".repeat(129))),
            "UNREADABLE_INPUT",
        ),
        (
            "J6 60,000",
            with("12.5", &("[".repeat(60_000) + &"]".repeat(60_000))),
            "UNREADABLE_INPUT",
        ),
        ("J6 cut off", with("12.5", &"[".repeat(60_000)), ""),
        ("J7", with("12.5", "NaN"), ""),
        ("J7 1e400", with("12.5", "1e400"), "UNREADABLE_INPUT"),
        (
            "J12 1970",
            with(&time, "\"1969-12-31T23:59:59Z\""),
            "TIMESTAMP_TOO_OLD",
        ),
        (
            "J12 year 0",
            with(&time, "\"0000-01-01T00:00:00Z\""),
            "TIMESTAMP_TOO_OLD",
        ),
        (
            "J12 year 10000",
            with(&time, "\"+10000-01-01T00:00:00Z\""),
            "TIMESTAMP_IN_FUTURE",
        ),
        (
            "J12 ten years",
            with(&time, "\"2036-01-05T00:00:00Z\""),
            "TIMESTAMP_IN_FUTURE",
        ),
        (
            "J13 :61",
            with(&time, "\"2026-01-04T23:59:61Z\""),
            "BAD_TIMESTAMP",
        ),
        (
            "J13 24:00",
            with(&time, "\"2026-01-04T24:00:00Z\""),
            "BAD_TIMESTAMP",
        ),
        (
            "J13 no zone",
            with(&time, "\"2026-01-04T23:59:59\""),
            "BAD_TIMESTAMP",
        ),
        (
            "J13 +25:00",
            with(&time, "\"2026-01-04T23:59:59+25:00\""),
            "BAD_TIMESTAMP",
        ),
        ("J13 :60", with(&time, "\"2026-01-04T23:59:60Z\""), "ok"),
        ("J14", with(&time, "1767571200"), "BAD_TIMESTAMP"),
        ("J14 ms", with(&time, "1767571200000"), "BAD_TIMESTAMP"),
        ("J15 spaces", with("checkout", "  "), "VALIDATION"),
        ("J15 zero width", with("checkout", "a\u{200b}b"), "BAD_TEXT"),
        ("J15 override", with("checkout", "a\u{202e}b"), "BAD_TEXT"),
        ("J16 NFD", with("checkout", "e\u{301}"), "BAD_TEXT"),
        (
            "J17 at the limit",
            with("checkout", &"\u{1f469}".repeat(200)),
            "ok",
        ),
        (
            "J17 over",
            with("checkout", &"\u{1f469}".repeat(201)),
            "TOO_LARGE",
        ),
        (
            "J21",
            with("behavioral", "Behavioral"),
            "UNKNOWN_EVENT_TYPE",
        ),
        (
            "J30",
            with("12.5", "0.1234567890123456789012345678901234567890"),
            "ok",
        ),
    ] {
        if code.is_empty() {
            // No JSON at all: the whole body is none.
            let reply = app.send(BATCH, &[JSON], of(&bad).as_bytes()).await;
            assert_eq!(outcome(&reply), (400, "BAD_JSON".to_owned()), "{what}");
            continue;
        }
        let body = of(&format!("{good},{bad}"));
        let reply = app.send(BATCH, &[JSON], body.as_bytes()).await;
        let told = reply.json();
        let found = told["results"][1]["error"]["code"].as_str().unwrap_or("ok");
        assert_eq!(found, code, "{what}: {told}");
        assert_eq!(told["results"][0]["status"], "ACCEPTED", "{what}");
    }
}

/// J1, J2, J4 to J7 of a body that is one record, and of an export: it is no body, and nothing is kept of it.
#[tokio::test]
async fn j_rows_of_other_bodies() {
    let app = started().await;
    let good = record(None).to_string();
    let export = |log: &str| {
        format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{log}]}}]}}]}}")
    };
    let log = "{\"timeUnixNano\":\"1767571200000000000\",\"body\":{\"doubleValue\":12.5}}";
    let deep = "[".repeat(60_000) + &"]".repeat(60_000);
    type Case<'c> = (&'c str, &'c str, Vec<u8>, &'c str);
    let bytes = |text: String| text.into_bytes();
    let cases: Vec<Case<'_>> = vec![
        ("J1", ONE, bytes(good[..40].to_owned()), "BAD_JSON"),
        ("J1", ONE, bytes(format!("{good}{good}")), "BAD_JSON"),
        ("J1", ONE, Vec::new(), "BAD_JSON"),
        ("J2", ONE, b"{\"event_name\":\"\xff\"}".to_vec(), "BAD_JSON"),
        (
            "J4",
            ONE,
            bytes(good.replace("checkout", "\\ud800")),
            "BAD_TEXT",
        ),
        (
            "J5",
            ONE,
            bytes(good.replacen('{', "{\"timestamp\":1,", 1)),
            "DUPLICATE_KEY",
        ),
        ("J6", ONE, bytes(good.replace("12.5", &deep)), "BAD_JSON"),
        ("J7", ONE, bytes(good.replace("12.5", "NaN")), "BAD_JSON"),
        (
            "J7",
            ONE,
            bytes(good.replace("12.5", "1e400")),
            "BAD_NUMBER",
        ),
        ("a list", ONE, bytes(format!("[{good}]")), "BAD_REQUEST"),
        ("J1", OTLP, bytes(export(log)[..40].to_owned()), "BAD_JSON"),
        ("J1", OTLP, bytes(export(log) + "{}"), "BAD_JSON"),
        ("J1", OTLP, Vec::new(), "BAD_JSON"),
        (
            "J2",
            OTLP,
            b"{\"resourceLogs\":[\"\xff\"]}".to_vec(),
            "BAD_JSON",
        ),
        (
            "J5",
            OTLP,
            bytes("{\"resourceLogs\":[],\"resourceLogs\":[]}".to_owned()),
            "DUPLICATE_KEY",
        ),
        (
            "J7",
            OTLP,
            bytes(export(&log.replace("12.5", "NaN"))),
            "BAD_JSON",
        ),
        ("a list", OTLP, bytes("[]".to_owned()), "BAD_REQUEST"),
        (
            "another list",
            OTLP,
            bytes("{\"resourceLogs\":[7]}".to_owned()),
            "BAD_REQUEST",
        ),
    ];
    for (what, line, body, code) in cases {
        let length = body.len().to_string();
        let headers = [JSON, ("content-length", &*length)];
        let reply = app.send(line, &headers, &body).await;
        assert_eq!(outcome(&reply), (400, code.to_owned()), "{what} {line}");
    }
    assert_eq!(app.head().await, 0, "nothing is appended");
    let kept = "select count(*) from rejected_records";
    assert_eq!(super::count(&app, kept).await, 0, "nor kept");
    // Within an export it is one record's fault.
    for (what, bad) in [
        ("J4", log.replace("1767571200000000000", "\\ud800")),
        ("J5", log.replacen('{', "{\"timeUnixNano\":\"1\",", 1)),
        ("J6", log.replace("12.5", &deep)),
    ] {
        let reply = app
            .send(OTLP, &[JSON], export(&format!("{bad},{log}")).as_bytes())
            .await;
        let partial = &reply.json()["partialSuccess"];
        assert_eq!(
            (reply.status, &partial["rejectedLogRecords"]),
            (200, &json!("1")),
            "{what}"
        );
    }
}

/// J24: numbers that run back and leave gaps are taken.
#[tokio::test]
async fn sequence_numbers_may_run_back() {
    let app = started().await;
    let numbers = [5, 4, 100, 100, 0].map(|n| {
        let mut record = record(None);
        (record["session_id"], record["sequence_number"]) = (json!("s"), json!(n));
        record
    });
    let (status, told) = send(&app, &numbers, &[]).await;
    assert_eq!((status, counts(&told)), (200, [5, 0, 0]));
}

/// Sends bytes as they are, on a connection of their own; gives the status line, or nothing.
async fn raw(app: &TestApp, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    let token = app.own_token();
    let head = format!("{head}\r\nhost: test\r\nauthorization: Bearer {token}\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let mut answer = vec![0; 4_096];
    let read = timeout(PATIENCE, stream.read(&mut answer)).await;
    let read = read.expect("an answer").unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// H1, H2, H4, H16: bodies that are too large are not read, slow ones not waited for.
#[tokio::test]
async fn h_rows() {
    let app = TestApp::with(|settings| {
        settings.http.log_body_bytes_max = daybook::config::Bytes(64 << 10);
        settings.http.body_timeout = Duration::from_millis(300);
    })
    .await;
    let large = vec![b' '; (64 << 10) + 1];
    let chunk = format!("{:x}\r\n", large.len()).into_bytes();
    let chunked = [&chunk[..], &large, b"\r\n0\r\n\r\n"].concat();
    for line in [ONE, BATCH, OTLP] {
        let head = format!("{line} HTTP/1.1\r\ncontent-type: application/json");
        for (row, extra, body, status) in [
            (
                "H1",
                format!("content-length: {}", large.len()),
                &large[..],
                "413",
            ),
            (
                "H1 chunked",
                "transfer-encoding: chunked".to_owned(),
                &chunked[..],
                "413",
            ),
            (
                "H2",
                "content-encoding: deflate\r\ncontent-length: 2".to_owned(),
                &b"{}"[..],
                "415",
            ),
            (
                "H2",
                "content-encoding: gzip, br\r\ncontent-length: 2".to_owned(),
                &b"{}"[..],
                "415",
            ),
            (
                "H16",
                "expect: 100-continue\r\ncontent-length: 100000000".to_owned(),
                &b""[..],
                "413",
            ),
            (
                "H4",
                "content-length: 100".to_owned(),
                &b"{\"logs\":["[..],
                "408",
            ),
        ] {
            let answer = raw(&app, &format!("{head}\r\n{extra}"), body).await;
            let expected = format!("HTTP/1.1 {status}");
            assert!(answer.starts_with(&expected), "{row} {line}: {answer:.200}");
        }
        // Who is not let in is told so before any of it.
        let body = vec![b' '; 1_000];
        let headers = [JSON, ("authorization", "Bearer x")];
        let reply = app.send(line, &headers, &body).await;
        assert_eq!(outcome(&reply), (401, "UNAUTHENTICATED".to_owned()));
    }
    let door = &app.app().door;
    let others = async || {
        door.log_room(1)
            .is_ok_and(|mut room| room.resize(64 << 20).is_ok())
    };
    eventually("all room is given back", others).await;
    assert_eq!(app.head().await, 0);
}

/// N1, N8, J25, J26: nothing that is said is carried out or looks like what it is not.
#[tokio::test]
async fn what_is_said_is_data() {
    let app = started().await;
    let hostile = [
        "'; drop table events;--",
        "<script>alert(1)</script>",
        "{{7*7}} ${env} $(id)",
        "=cmd()|'/c calc'!A1",
        "%_\\ (a+)+$",
    ];
    for text in hostile {
        let mut record = said(Some(text));
        for field in ["eventName", "userId", "sessionId", "appVersion"] {
            record[field] = json!(text);
        }
        record["properties"] = json!({ text: text, "__proto__": { "$where": text } });
        record["deviceInfo"] = json!({ text: [text] });
        let input = json!({ "source": text, "logs": [record] });
        let told = app.data(INGEST, json!({ "i": input })).await;
        let told = &told["ingestLogs"];
        assert_eq!(
            (&told["accepted"], &told["userErrors"]),
            (&json!(1), &json!([])),
            "{text}"
        );
        let again = app.data(INGEST, json!({ "i": input })).await;
        assert_eq!(again["ingestLogs"]["duplicates"], 1, "{text}");
        let filter = json!({ "source": text });
        let query = "query($f: RejectedRecordFilterInput) { rejectedRecords(filter: $f) {
                     nodes { id } } }";
        let found = app.data(query, json!({ "f": filter })).await;
        assert_eq!(found["rejectedRecords"]["nodes"], json!([]), "{text}");
        let stored: Value = sqlx::query_scalar(
            "select payload from events where event_type = 'log_batch.accepted'
             order by position desc limit 1",
        )
        .fetch_one(app.db().pool())
        .await
        .unwrap();
        assert_eq!(stored["sourceId"], text);
        assert!(
            stored.to_string().contains(&json!(text).to_string()),
            "{stored}"
        );
    }
    let reply = app
        .send(BATCH, &[JSON, ("daybook-log-source", "a b<script>")], b"{}")
        .await;
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
}

/// N6, N7, N16: what a record says, its user and its secrets are nowhere in what the process says of itself,
/// and no secret in the log, in receipts, or with what was rejected.
#[tokio::test]
async fn nothing_of_a_record_is_let_out() {
    let heard = Heard::listen();
    let app = started().await;
    let secrets = [
        "hunter2-hunter2",
        "dbk_live_abcdefghijklmnop",
        "xoxb-1234567890-abcdef",
    ];
    let quiet = [
        "forged\n{\"level\":\"info\"}",
        "\u{1b}[31mred",
        "ann@example.org",
    ];
    let mut good = said(None);
    good["properties"] = json!({ "password": secrets[0], "note": format!("it was {}", secrets[1]),
                                 "deep": [{ "authorization": format!("Bearer {}", secrets[2]) }],
                                 "line": quiet[0], "color": quiet[1],
                                 "http.request.header.cookie": [secrets[0]],
                                 "url": format!("/cb?access_token={}&n=1", secrets[0]) });
    for field in ["eventName", "sessionId", "appVersion", "eventId"] {
        good[field] = json!(format!("{field} {}", secrets[1]));
    }
    let mut bad = good.clone();
    bad["eventType"] = json!(secrets[1]);
    let mut unread = good.clone();
    unread["eventName"] = json!("a\u{1b}[31mb");
    heard.take();
    let told = ingest(&app, &[good, bad, unread], None).await;
    assert_eq!(
        (&told["accepted"], &told["rejected"]),
        (&json!(1), &json!(2)),
        "{told}"
    );
    let mut redacted: Vec<Value> = told["results"][0]["redacted"].as_array().unwrap().clone();
    redacted.sort_by_key(ToString::to_string);
    let paths = [
        "appVersion",
        "eventId",
        "eventName",
        "properties.deep.authorization",
        "properties.http.request.header.cookie",
        "properties.note",
        "properties.password",
        "properties.url",
        "sessionId",
    ];
    assert_eq!(redacted, paths);
    let list = "{ rejectedRecords { nodes { record error { message } } } }";
    let listed = app.data(list, json!({})).await.to_string();
    let (told, dump) = (told.to_string(), app.db().dump().await);
    let said: Vec<String> = heard.take().into_iter().map(|said| said.text).collect();
    assert!(!said.is_empty(), "it says something");
    for secret in secrets {
        for (place, text) in [("receipt", &told), ("list", &listed), ("database", &dump)] {
            assert!(!text.contains(secret), "{secret} is in the {place}");
        }
    }
    for word in secrets.iter().chain(&quiet) {
        let line = said.iter().find(|line| line.contains(word));
        assert_eq!(line, None, "{word:?} is said");
    }
}
