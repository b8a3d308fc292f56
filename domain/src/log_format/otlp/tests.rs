//! OTLP becomes records, in either form.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(body: &Value) -> Vec<Result<LogReport, Refusal>> {
    otlp_json_reports(body.to_string().as_bytes()).expect("an export")
}

fn export(records: Value) -> Value {
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "checkout"}},
            {"key": "service.version", "value": {"stringValue": "2.4.1"}},
        ]},
        "scopeLogs": [{"scope": {"name": "shop.cart", "version": "1"}, "logRecords": records}],
    }]})
}

#[test]
fn an_export_becomes_records() {
    let body = export(json!([{
        "timeUnixNano": "1790000000123456789",
        "observedTimeUnixNano": "1790000001000000000",
        "severityNumber": 17,
        "severityText": "ERROR",
        "body": {"stringValue": "out of stock"},
        "attributes": [
            {"key": "log.record.uid", "value": {"stringValue": "01J8"}},
            {"key": "user.id", "value": {"stringValue": "ann"}},
            {"key": "session.id", "value": {"stringValue": "s-1"}},
            {"key": "items", "value": {"intValue": "9007199254740993"}},
            {"key": "total", "value": {"doubleValue": 12.5}},
            {"key": "tags", "value": {"arrayValue": {"values": [{"boolValue": true}, {}]}}},
            {"key": "map", "value": {"kvlistValue": {"values": [
                {"key": "a", "value": {"bytesValue": "AQI="}},
            ]}}},
        ],
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "flags": 1,
    }]));
    let expected = json!({
        "eventId": "01J8",
        "timestamp": "2026-09-21T14:13:20.123456789Z",
        "eventType": "error",
        "eventName": "shop.cart",
        "priority": "high",
        "userId": "ann",
        "sessionId": "s-1",
        "appVersion": "2.4.1",
        "deviceInfo": {"service.name": "checkout"},
        "properties": {
            "body": "out of stock", "severity": "ERROR", "severityNumber": 17,
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
            "scope": "shop.cart", "scopeVersion": "1",
            "items": 9_007_199_254_740_993_i64, "total": 12.5, "tags": [true, null],
            "map": {"a": "AQI="},
        },
    });
    let reports = read(&body);
    assert_eq!(reports.len(), 1);
    let report = reports[0].as_ref().expect("a record");
    assert_eq!(serde_json::to_value(report).expect("JSON"), expected);
}

#[test]
fn a_record_may_say_less() {
    let body = json!({"resourceLogs": [
        {"scopeLogs": [{"logRecords": [
            {"observedTimeUnixNano": 1_790_000_000_000_000_000_u64, "body": {"stringValue": ""}},
            {"timeUnixNano": "1", "eventName": "started", "severityNumber": 9},
            {"timeUnixNano": "1", "attributes": [
                {"key": "event.name", "value": {"stringValue": "older form"}},
                {"key": "body", "value": {"intValue": 1}},
                {"key": "attributes", "value": {"intValue": 2}},
            ]},
        ]}]},
        {"resource": {}, "somethingNew": [1]},
    ]});
    let reports = read(&body)
        .into_iter()
        .map(|report| report.expect("a record"));
    let reports: Vec<LogReport> = reports.collect();
    let said = reports
        .iter()
        .map(|r| (r.event_name.as_str(), r.event_type.as_str()));
    let said: Vec<_> = said.collect();
    let type_ = "observability";
    assert_eq!(
        said,
        [("log", type_), ("started", type_), ("older form", type_)]
    );
    assert_eq!(reports[0].timestamp, "2026-09-21T14:13:20.000000000Z");
    let set_aside = json!({"attributes": {"body": 1, "attributes": 2}});
    assert_eq!(
        serde_json::to_value(&reports[2].properties).ok(),
        Some(set_aside)
    );
    assert_eq!(read(&json!({})), []);
}

#[test]
fn a_record_without_a_time_is_refused_alone() {
    let reports = read(&export(
        json!([{"timeUnixNano": "5"}, {"timeUnixNano": "0"}]),
    ));
    assert!(reports[0].is_ok());
    let refusal = reports[1].as_ref().expect_err("no time");
    assert_eq!(refusal.code, Code::BadTimestamp);
    let path = "resourceLogs/0/scopeLogs/0/logRecords/1/timeUnixNano";
    assert_eq!(refusal.path.join("/"), path);
}

#[test]
fn what_is_no_export_is_refused_whole() {
    let nobody_s = [
        "",
        "[]",
        "{",
        r#"{"resourceLogs": {}}"#,
        "{} {}",
        r#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "now"}]}]}]}"#,
    ];
    for body in nobody_s {
        let refusal = otlp_json_reports(body.as_bytes()).expect_err(body);
        assert_eq!(refusal.code, Code::UnreadableInput, "{body}");
    }
    let twice = otlp_json_reports(br#"{"resourceLogs": [], "resourceLogs": []}"#);
    assert_eq!(
        twice.map_err(|refusal| refusal.code),
        Err(Code::DuplicateKey)
    );
}

/// Written by the Python package `opentelemetry-proto` 1.45.2: what its exporters send.
const EXPORT: &[u8] = include_bytes!("../../../tests-data/otlp/export.bin");

#[test]
fn protobuf_says_what_json_says() {
    let body = export(json!([
        {
            "timeUnixNano": "1790000000123456789",
            "severityNumber": 17,
            "severityText": "ERROR",
            "body": {"stringValue": "out of stock"},
            "attributes": [
                {"key": "log.record.uid", "value": {"stringValue": "01J8"}},
                {"key": "user.id", "value": {"stringValue": "ann"}},
                {"key": "session.id", "value": {"stringValue": "s-1"}},
                {"key": "items", "value": {"intValue": "9007199254740993"}},
                {"key": "total", "value": {"doubleValue": 12.5}},
                {"key": "tags", "value": {"arrayValue": {"values": [{"boolValue": true}, {}]}}},
                {"key": "map", "value": {"kvlistValue": {"values": [
                    {"key": "a", "value": {"bytesValue": "AQI="}},
                ]}}},
            ],
            "traceId": "5b8efff798038103d269b633813fc60c",
            "spanId": "eee19b7ec3c1b174",
        },
        {
            "observedTimeUnixNano": "1790000000000000000",
            "eventName": "started",
            "severityNumber": 9,
            "body": {"intValue": "0"},
            "attributes": [
                {"key": "below", "value": {"intValue": -5}},
                {"key": "odd", "value": {"doubleValue": "NaN"}},
                {"key": "body", "value": {"stringValue": "an attribute"}},
            ],
        },
    ]));
    assert_eq!(otlp_protobuf_reports(EXPORT), Ok(read(&body)));
    let second = read(&body).remove(1).expect("a record");
    assert_eq!(second.properties["body"], 0);
    assert_eq!(
        second.properties["attributes"],
        json!({"body": "an attribute"})
    );
}

/// A field of a message: its number, and bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut length = bytes.len();
    let mut field = vec![number << 3 | 2];
    while length >= 0x80 {
        field.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).expect("seven bits"));
    field.extend(bytes);
    field
}

#[test]
fn protobuf_that_is_cut_off_or_no_export_is_refused_whole() {
    let code = |body: &[u8]| otlp_protobuf_reports(body).map_err(|refusal| refusal.code);
    assert_eq!(code(b""), Ok(vec![]));
    for end in 1..EXPORT.len() {
        assert_eq!(
            code(&EXPORT[..end]),
            Err(Code::UnreadableInput),
            "cut off at {end}"
        );
    }
    assert_eq!(code(b"{\"resourceLogs\": []}"), Err(Code::UnreadableInput));
    let not_utf8 = field(1, &field(2, &field(2, &field(3, b"\xff"))));
    assert_eq!(code(&not_utf8), Err(Code::UnreadableInput));
}

/// What is small on its way and large here is bounded.
#[test]
fn exports_are_bounded_in_records_and_levels() {
    let exported = |records: usize| field(1, &field(2, &field(2, b"").repeat(records)));
    let read = |body: &[u8]| otlp_protobuf_reports(body).map(|reports| reports.len());
    assert_eq!(read(&exported(OTLP_RECORDS_MAX)), Ok(OTLP_RECORDS_MAX));
    let refusal = read(&exported(OTLP_RECORDS_MAX + 1)).expect_err("too many");
    assert_eq!(
        (refusal.code, &refusal.details["limit"]),
        (Code::TooLarge, &json!(10_000))
    );
    let body = export(json!(vec![json!({}); OTLP_RECORDS_MAX + 1])).to_string();
    let refused = otlp_json_reports(body.as_bytes()).map_err(|refusal| refusal.code);
    assert_eq!(refused, Err(Code::TooLarge));

    let nested = |levels: usize| {
        let value = (1..levels).fold(field(1, b"deep"), |value, _| field(5, &field(1, &value)));
        field(1, &field(2, &field(2, &field(5, &value))))
    };
    assert_eq!(read(&nested(128)), Ok(1));
    let refused = read(&nested(129)).map_err(|refusal| refusal.code);
    assert_eq!(refused, Err(Code::UnreadableInput));
}

proptest! {
    /// One byte more, less or other: records or a refusal, never a panic.
    #[test]
    fn any_bytes_are_read_or_refused(at in 0..EXPORT.len(), byte in any::<u8>(), cut in 0usize..3) {
        let mut body = EXPORT.to_vec();
        body.splice(at..(at + cut).min(EXPORT.len()), [byte]);
        if let Ok(reports) = otlp_protobuf_reports(&body) {
            prop_assert!(reports.len() <= body.len());
        }
    }
}
