//! Bodies of log records: media types, encodings, bounds, and what is cut off.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{BATCH, counts, now, record, send, started};
use crate::support::{TestApp, eventually};

const JSON: (&str, &str) = ("content-type", "application/json");

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    out.write_all(plain).unwrap();
    out.finish().unwrap()
}

async fn check(app: &TestApp, headers: &[(&str, &str)], body: &[u8], expect: (u16, &str)) {
    let reply = app.send(BATCH, headers, body).await;
    let told = reply.json();
    let code = told["code"].as_str().unwrap_or("ok");
    assert_eq!((reply.status, code), expect, "{headers:?}: {told}");
}

#[tokio::test]
async fn bodies_are_expanded_within_bounds() {
    let app = started().await;
    let plain = json!({ "logs": [record(None)] }).to_string();
    let (gz, zstd) = (
        gzip(plain.as_bytes()),
        compress_to_vec(plain.as_bytes(), CompressionLevel::Fastest),
    );
    let bomb = gzip(&vec![b' '; 11 << 20]);
    let encoded = |with| ("content-encoding", with);
    let ok = (200, "ok");
    let not_read = (415, "UNSUPPORTED_MEDIA_TYPE");
    check(&app, &[JSON, encoded("gzip")], &gz, ok).await;
    check(&app, &[JSON, encoded("zstd")], &zstd, ok).await;
    check(&app, &[JSON, encoded("identity")], plain.as_bytes(), ok).await;
    let head = app.head().await;
    let broken = (400, "BAD_REQUEST");
    check(&app, &[JSON, encoded("gzip")], &gz[..gz.len() - 9], broken).await;
    check(
        &app,
        &[JSON, encoded("zstd")],
        &zstd[..zstd.len() - 1],
        broken,
    )
    .await;
    check(&app, &[JSON, encoded("gzip")], plain.as_bytes(), broken).await;
    check(
        &app,
        &[JSON, encoded("gzip")],
        &bomb,
        (413, "PAYLOAD_TOO_LARGE"),
    )
    .await;
    check(&app, &[JSON, encoded("gzip, gzip")], &gzip(&gz), not_read).await;
    check(&app, &[JSON, encoded("br")], &gz, not_read).await;
    check(
        &app,
        &[("content-type", "text/plain")],
        plain.as_bytes(),
        not_read,
    )
    .await;
    check(&app, &[], plain.as_bytes(), not_read).await;
    check(
        &app,
        &[("content-type", "application/x-protobuf")],
        b"",
        not_read,
    )
    .await;
    assert_eq!(app.head().await, head, "nothing of those was appended");
}

/// J18, J22, J23 and a broken line in the middle.
#[tokio::test]
async fn a_batch_is_bounded_and_a_bad_line_is_refused_alone() {
    let app = started().await;
    let ndjson = ("content-type", "application/x-ndjson");
    let line = record(None).to_string();
    let body = format!("{line}\n{}\n{line}\n", &line[..40]);
    let reply = app.send(BATCH, &[ndjson], body.as_bytes()).await;
    let told = reply.json();
    assert_eq!((reply.status, counts(&told)), (207, [2, 0, 1]), "{told}");
    let error = &told["results"][1]["error"];
    assert_eq!(
        (&error["code"], &error["details"]["line"]),
        (&json!("UNREADABLE_INPUT"), &json!(2))
    );

    let (status, told) = send(&app, &vec![record(None); 1_001], &[]).await;
    assert_eq!((status, &told["code"]), (422, &json!("TOO_LARGE")));
    let (status, told) = send(&app, &[], &[]).await;
    assert_eq!((status, &told["code"]), (422, &json!("VALIDATION")));

    let long = "x".repeat(10_000);
    let keys: Value = (0..10_000).map(|i| (format!("k{i}"), json!(i))).collect();
    let with = |field: &str, value: Value| {
        let mut record = record(None);
        record[field] = value;
        record
    };
    let bad = [
        (with("event_id", json!(long)), "TOO_LARGE"),
        (with("properties", keys), "TOO_LARGE"),
        (
            with("properties", json!({ "a": "x".repeat(66_000) })),
            "TOO_LARGE",
        ),
        (with("event_name", json!("")), "VALIDATION"),
        (with("event_name", json!("a\u{0}b")), "BAD_TEXT"),
        (with("sequence_number", json!(-1)), "OUT_OF_RANGE"),
        (with("nobody", json!(1)), "VALIDATION"),
        (
            with("timestamp", json!("2026-02-30T00:00:00Z")),
            "BAD_TIMESTAMP",
        ),
        (json!([]), "UNREADABLE_INPUT"),
        (record(Some("'; drop table events;--")), "ok"),
        (
            with("properties", json!({ "__proto__": { "$where": 1 } })),
            "ok",
        ),
    ];
    let records: Vec<Value> = bad.iter().map(|(record, _)| record.clone()).collect();
    let (status, told) = send(&app, &records, &[]).await;
    assert_eq!(status, 207, "{told}");
    for (i, (_, code)) in bad.iter().enumerate() {
        let told = told["results"][i]["error"]["code"].as_str().unwrap_or("ok");
        assert_eq!(told, *code, "record {i}");
    }
}

/// Who sends slowly takes room and nothing else, and gives it back when the connection breaks.
#[tokio::test]
async fn where_there_is_no_room_others_are_told_to_come_later() {
    let app = started().await;
    let small = app
        .beside(|settings| settings.commands.log_bytes_max = daybook::config::Bytes(1 << 20))
        .await;
    // The source is there.
    send(&app, &[record(None)], &[]).await;
    let mut slow = TcpStream::connect(small.address()).await.unwrap();
    let head = format!(
        "POST /api/v1/batch-ingest HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 1048576\r\n\r\n{{\"logs\":[",
        small.own_token()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let door = &small.app().door;
    let is_full = async || door.log_room(1).is_err();
    eventually("the slow one has the room", is_full).await;
    let body = json!({ "logs": [record(None)] }).to_string();
    let head = app.head().await;
    let reply = small.send(BATCH, &[JSON], body.as_bytes()).await;
    let told = reply.json();
    assert_eq!(
        (reply.status, &told["quota"]),
        (429, &json!("log_bytes")),
        "{told}"
    );
    assert_eq!(reply.header("retry-after"), "1");
    slow.shutdown().await.unwrap();
    drop(slow);
    let is_free = async || door.log_room(1).is_ok();
    eventually("there is room again", is_free).await;
    assert_eq!(
        app.head().await,
        head,
        "nothing of what was cut off is kept"
    );
    check(&small, &[JSON], body.as_bytes(), (200, "ok")).await;
}

pub fn otlp(records: usize, bad: bool) -> Value {
    let nanos = now().timestamp_nanos_opt().unwrap();
    let mut logs: Vec<Value> = (0..records)
        .map(|i| {
            json!({ "timeUnixNano": (nanos + i as i64).to_string(), "severityNumber": 9,
                    "eventName": "request", "body": { "stringValue": "served" } })
        })
        .collect();
    if bad {
        logs.push(json!({ "eventName": "no time" }));
    }
    json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": logs }] }] })
}

#[tokio::test]
async fn exports_of_opentelemetry_come_in_in_as_many_batches_as_they_need() {
    let app = started().await;
    let line = "POST /v1/logs";
    let source = ("daybook-log-source", "checkout");
    let body = otlp(2_500, false).to_string();
    let reply = app.send(line, &[JSON, source], body.as_bytes()).await;
    assert_eq!((reply.status, reply.json()), (200, json!({})));
    assert_eq!(app.head().await, 4, "the source, and three batches");
    let reply = app.send(line, &[JSON, source], body.as_bytes()).await;
    assert_eq!((reply.status, reply.json()), (200, json!({})));
    assert_eq!(app.head().await, 4, "the same bytes are the same export");

    let reply = app
        .send(line, &[JSON, source], otlp(1, true).to_string().as_bytes())
        .await;
    let partial = reply.json()["partialSuccess"].clone();
    assert_eq!(
        (reply.status, &partial["rejectedLogRecords"]),
        (200, &json!("1"))
    );
    let message = partial["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("BAD_TIMESTAMP: "), "{message}");

    // A record: time_unix_nano (1, fixed64) of now; event_name (12).
    let nanos = u64::try_from(now().timestamp_nanos_opt().unwrap()).unwrap();
    let mut log = vec![0x09];
    log.extend(nanos.to_le_bytes());
    log.extend([0x62, 1, b'x']);
    let nested = |field: u8, inner: &[u8]| {
        let mut out = vec![field << 3 | 2, u8::try_from(inner.len()).unwrap()];
        out.extend(inner);
        out
    };
    let export = nested(1, &nested(2, &nested(2, &log)));
    let protobuf = ("content-type", "application/x-protobuf");
    let before = app.head().await;
    let reply = app.send(line, &[protobuf, source], &export).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "application/x-protobuf");
    assert_eq!(app.head().await, before + 1);
    let reply = app
        .send(line, &[protobuf, source], &export[..export.len() - 1])
        .await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (400, &json!("BAD_REQUEST"))
    );
}

/// One odd record is no reason to lose the others, a source has its own exports, and nobody's id stays.
#[tokio::test]
async fn records_of_an_export_are_taken_in_alone() {
    let app = started().await;
    let line = "POST /v1/logs";
    let mut body = otlp(2, false);
    let logs = &mut body["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
    logs[0]["attributes"] = json!([{ "key": "user.id", "value": { "intValue": "471147114711" } },
                                   { "key": "enduser.id", "value": { "stringValue": "ann-of-old" } }]);
    logs[1]["traceId"] = Value::Null;
    let odd = json!({ "timeUnixNano": "now" });
    logs.as_array_mut().unwrap().insert(1, odd);
    let body = body.to_string();
    let mut head = app.head().await;
    for source in ["shop", "till"] {
        let source = ("daybook-log-source", source);
        let reply = app.send(line, &[JSON, source], body.as_bytes()).await;
        let partial = &reply.json()["partialSuccess"];
        assert_eq!(reply.status, 200);
        assert_eq!(partial["rejectedLogRecords"], "1", "{partial}");
        let message = partial["errorMessage"].as_str().unwrap();
        assert!(message.starts_with("UNREADABLE_INPUT: "), "{message}");
        head += 2;
        assert_eq!(app.head().await, head, "the source and its batch");
    }
    let dump = app.db().dump().await;
    assert!(!dump.contains("471147114711") && !dump.contains("ann-of-old"));
}

/// J22: what a resource or a scope says is repeated in each record, and bounded as its fields are; what
/// is small on its way and large in memory is not held.
#[tokio::test]
async fn what_multiplies_is_refused() {
    let app = started().await;
    let small = app
        .beside(|settings| settings.http.log_body_bytes_max = daybook::config::Bytes(256 << 10))
        .await;
    let mut body = otlp(1_000, false);
    body["resourceLogs"][0]["scopeLogs"][0]["scope"] = json!({ "name": "x".repeat(60_000) });
    let reply = small
        .send("POST /v1/logs", &[JSON], body.to_string().as_bytes())
        .await;
    let partial = &reply.json()["partialSuccess"];
    assert_eq!(partial["rejectedLogRecords"], "1000", "{partial}");
    let message = partial["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("TOO_LARGE: "), "{message}");

    let objects = |n: usize| {
        let mut record = record(None);
        record["properties"] = json!({ "a": vec![json!({ "": 0 }); n] });
        record
    };
    let logs = |n: usize| json!({ "logs": vec![objects(n); 2] }).to_string();
    check(&small, &[JSON], logs(900).as_bytes(), (200, "ok")).await;
    let many = logs(8_000);
    assert!(many.len() < 256 << 10);
    let too_much = (413, "PAYLOAD_TOO_LARGE");
    check(&small, &[JSON], many.as_bytes(), too_much).await;
    let packed = [JSON, ("content-encoding", "gzip")];
    check(&small, &packed, &gzip(many.as_bytes()), too_much).await;
    let room = async || {
        let mut room = small.app().door.log_room(1)?;
        room.resize(64 << 20)
    };
    eventually("all room is given back", async || room().await.is_ok()).await;
}
