//! OTLP becomes records, in either form.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn json_reports(body: &[u8]) -> Result<Vec<Read>, Refusal> {
    otlp_json_reports(body, &mut |_| true)
}

fn protobuf_reports(body: &[u8]) -> Result<Vec<Read>, Refusal> {
    otlp_protobuf_reports(body, &mut |_| true)
}

fn read(body: &Value) -> Vec<Read> {
    json_reports(body.to_string().as_bytes()).expect("an export")
}

/// The only record, or why it is refused, by its code and path.
fn only(reports: Vec<Read>) -> Result<LogReport, (Code, String)> {
    let [report] = <[Read; 1]>::try_from(reports).expect("one record");
    report.map_err(|refusal| (refusal.code, refusal.path.join("/")))
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
        "{\"resourceLogs\": [{\"scopeLogs\": [[]]}]}",
        r#"{"resourceLogs": [7]}"#,
    ];
    for body in nobody_s {
        let refusal = json_reports(body.as_bytes()).expect_err(body);
        assert_eq!(refusal.code, Code::UnreadableInput, "{body}");
    }
    let twice = json_reports(br#"{"resourceLogs": [], "resourceLogs": []}"#);
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
    assert_eq!(protobuf_reports(EXPORT), Ok(read(&body)));
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
    let code = |body: &[u8]| protobuf_reports(body).map_err(|refusal| refusal.code);
    assert_eq!(code(b""), Ok(vec![]));
    for end in 1..EXPORT.len() {
        assert_eq!(
            code(&EXPORT[..end]),
            Err(Code::UnreadableInput),
            "cut off at {end}"
        );
    }
    assert_eq!(code(b"{\"resourceLogs\": []}"), Err(Code::UnreadableInput));
}

/// One odd record of many is no reason to lose the others.
#[test]
fn a_record_that_cannot_be_read_is_refused_alone() {
    let odd = [
        json!({"timeUnixNano": "now"}),
        json!({"severityNumber": "SEVERITY_NUMBER_INFO"}),
        json!({"attributes": {}}),
        json!(7),
        json!({"timeUnixNano": "1", "attributes": null, "traceId": null, "body": null}),
    ];
    let mut records = vec![json!({"timeUnixNano": "1"})];
    records.extend(odd);
    let reports = read(&export(json!(records)));
    let codes: Vec<_> = reports
        .iter()
        .map(|read| read.as_ref().err().map(|r| r.code))
        .collect();
    let unread = Some(Code::UnreadableInput);
    assert_eq!(codes, [None, unread, unread, unread, unread, None]);
    let refusal = reports[1].as_ref().expect_err("no time");
    assert_eq!(
        refusal.path.join("/"),
        "resourceLogs/0/scopeLogs/0/logRecords/1"
    );

    let twice = br#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"a": 1, "a": 1}, {"timeUnixNano": 1}]}]}]}"#;
    let reports = json_reports(twice).expect("an export");
    assert_eq!(
        reports[0].as_ref().map_err(|r| r.code),
        Err(Code::DuplicateKey)
    );
    assert!(reports[1].is_ok());

    let not_utf8 = field(1, &field(2, &field(2, &field(3, b"\xff"))));
    let refused = only(protobuf_reports(&not_utf8).expect("an export"));
    assert_eq!(
        refused.map_err(|(code, _)| code),
        Err(Code::UnreadableInput)
    );
}

/// What a resource or a scope says is repeated in each of its records: that is bounded and counted.
#[test]
fn what_records_have_in_common_is_bounded() {
    let long = |field: &str, chars: usize| {
        let said = |name: &str| {
            if name == field {
                "x".repeat(chars)
            } else {
                "1".to_owned()
            }
        };
        let body = json!({"resourceLogs": [{
            "resource": {"attributes": [
                {"key": "service.version", "value": {"stringValue": said("service.version")}},
                {"key": "user.id", "value": {"stringValue": said("user.id")}},
                {"key": "other", "value": {"stringValue": said("other")}},
            ]},
            "scopeLogs": [{"scope": {"name": said("scope.name"), "version": said("scope.version")},
                           "logRecords": [{"timeUnixNano": "1"}]}],
        }]});
        only(read(&body)).map(drop)
    };
    for (name, most) in [
        ("service.version", 64),
        ("user.id", 128),
        ("scope.name", 200),
        ("scope.version", 64),
    ] {
        assert_eq!(long(name, most), Ok(()), "{name}");
        let path = format!("resourceLogs/0/scopeLogs/0/logRecords/0/{name}");
        assert_eq!(long(name, most + 1), Err((Code::TooLarge, path)));
    }
    assert_eq!(long("other", 200_000), Ok(()));
    let refused = long("other", crate::log_format::ENTRY_BYTES_MAX);
    assert_eq!(refused.map_err(|(code, _)| code), Err(Code::TooLarge));

    // A version and a device that would come to a gigabyte, said once.
    let record = field(2, &[&[0x09][..], &[1; 8]].concat());
    let attribute = |key: &[u8], bytes: usize| {
        let value = field(1, &vec![b'x'; bytes]);
        field(1, &[field(1, key), field(2, &value)].concat())
    };
    let body = |attribute: Vec<u8>, records: usize| {
        let scope = field(2, &record.repeat(records));
        field(1, &[field(1, &attribute), scope].concat())
    };
    let version = protobuf_reports(&body(attribute(b"service.version", 100_000), 10_000));
    assert!(version.expect("an export").iter().all(Result::is_err));
    let read = |bytes, records| protobuf_reports(&body(attribute(b"other", bytes), records));
    let codes = |read: Result<Vec<Read>, Refusal>| read.map(|read| read.len()).map_err(|r| r.code);
    assert_eq!(codes(read(6_000, 10_000)), Ok(10_000));
    assert_eq!(codes(read(7_000, 10_000)), Err(Code::TooLarge));
}

/// Memory is asked for record by record, and a shared device once.
#[test]
fn an_export_takes_no_more_room_than_there_is() {
    let device = json!([{"key": "a", "value": {"stringValue": "x".repeat(10_000)}}]);
    let body = json!({"resourceLogs": [{
        "resource": {"attributes": device},
        "scopeLogs": [{"logRecords": vec![json!({"timeUnixNano": "1"}); 100]}],
    }]});
    let body = body.to_string();
    let mut held = 0;
    let all = otlp_json_reports(body.as_bytes(), &mut |bytes| {
        held += bytes;
        true
    });
    assert_eq!(all.map(|read| read.len()), Ok(100));
    assert!((60_000..120_000).contains(&held), "{held}");
    let mut asked = 0;
    let stopped = otlp_json_reports(body.as_bytes(), &mut |_| {
        asked += 1;
        asked < 10
    });
    assert_eq!(
        (stopped.map_err(|r| r.code), asked),
        (Err(Code::TooLarge), 10)
    );
}

/// No record holds an id in the clear, whatever an SDK calls it and wherever it puts it.
#[test]
fn a_user_s_id_is_never_left_among_what_is_said() {
    let of = |attributes: Value| {
        let record = json!({"timeUnixNano": "1", "attributes": attributes});
        only(read(&export(json!([record])))).expect("a record")
    };
    let text = |key: &str, id: &str| json!({"key": key, "value": {"stringValue": id}});
    let number = |key: &str| json!({"key": key, "value": {"intValue": "4711"}});
    for (attributes, user) in [
        (
            json!([text("user.id", "ann"), text("enduser.id", "bob")]),
            Some("ann"),
        ),
        (
            json!([text("user.id", ""), text("enduser.id", "bob")]),
            Some("bob"),
        ),
        (json!([number("user.id")]), Some("4711")),
        (json!([number("enduser.id")]), Some("4711")),
        (
            json!([{"key": "user.id", "value": {"boolValue": true}}]),
            None,
        ),
        (json!([]), None),
    ] {
        let report = of(attributes.clone());
        assert_eq!(report.user_id.as_deref(), user, "{attributes}");
        let left: Vec<_> = report
            .properties
            .keys()
            .filter(|key| key.contains("user"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let body = json!({"resourceLogs": [{
        "resource": {"attributes": [text("enduser.id", "ann")]},
        "scopeLogs": [{"logRecords": [{"timeUnixNano": "1"}]}],
    }]});
    let report = only(read(&body)).expect("a record");
    assert_eq!(report.user_id.as_deref(), Some("ann"));
    assert!(report.device_info.is_empty());
}

/// What is small on its way and large here is bounded.
#[test]
fn exports_are_bounded_in_records_and_levels() {
    let exported = |records: usize| field(1, &field(2, &field(2, b"").repeat(records)));
    let read = |body: &[u8]| protobuf_reports(body).map(|reports| reports.len());
    assert_eq!(read(&exported(OTLP_RECORDS_MAX)), Ok(OTLP_RECORDS_MAX));
    let refusal = read(&exported(OTLP_RECORDS_MAX + 1)).expect_err("too many");
    assert_eq!(
        (refusal.code, &refusal.details["limit"]),
        (Code::TooLarge, &json!(10_000))
    );
    let body = export(json!(vec![json!({}); OTLP_RECORDS_MAX + 1])).to_string();
    let refused = json_reports(body.as_bytes()).map_err(|refusal| refusal.code);
    assert_eq!(refused, Err(Code::TooLarge));

    let nested = |levels: usize| {
        let value = (1..levels).fold(field(1, b"deep"), |value, _| field(5, &field(1, &value)));
        field(1, &field(2, &field(2, &field(5, &value))))
    };
    assert_eq!(read(&nested(128)), Ok(1));
    let refused = only(protobuf_reports(&nested(129)).expect("an export"));
    assert_eq!(
        refused.map_err(|(code, _)| code),
        Err(Code::UnreadableInput)
    );

    // Lists of empty objects: five bytes on their way.
    let many = field(6, b"").repeat(30_000);
    let list = |pair: &[u8]| {
        field(
            5,
            &field(5, &field(1, &field(6, &field(1, pair))).repeat(25_000)),
        )
    };
    let many = [many, list(b"")].concat();
    let refused =
        only(protobuf_reports(&field(1, &field(2, &field(2, &many)))).expect("an export"));
    assert_eq!(refused.map_err(|(code, _)| code), Err(Code::TooLarge));
    let empty = format!(
        "{{\"resourceLogs\":[{}{{}}]}}",
        "{},".repeat(OTLP_RECORDS_MAX)
    );
    let refused = json_reports(empty.as_bytes()).map_err(|refusal| refusal.code);
    assert_eq!(refused, Err(Code::TooLarge));
}

proptest! {
    /// One byte more, less or other: records or a refusal, never a panic.
    #[test]
    fn any_bytes_are_read_or_refused(at in 0..EXPORT.len(), byte in any::<u8>(), cut in 0usize..3) {
        let mut body = EXPORT.to_vec();
        body.splice(at..(at + cut).min(EXPORT.len()), [byte]);
        if let Ok(reports) = protobuf_reports(&body) {
            prop_assert!(reports.len() <= body.len());
        }
    }
}
