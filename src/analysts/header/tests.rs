//! Header lines: what is read of good ones, and what is said of bad ones.

use super::*;

const GOOD: &str = "-- Who came when.\n\
    -- projection: signups_by_day\n-- version: 2\n-- events: user.registered, vehicle.*\n\n\
    -- key: day date\n-- value: users bigint sum\n-- value: top double  precision max\n\
    select 1";

fn said_of(line: usize, instead: &str) -> String {
    let mut lines: Vec<&str> = GOOD.lines().collect();
    lines[line - 1] = instead;
    Header::read(&lines.join("\n")).expect_err(instead).0
}

#[test]
fn a_header_says_what_a_projection_is() {
    let header = Header::read(GOOD).expect("good");
    assert_eq!(
        (header.name.as_str(), header.version),
        ("signups_by_day", 2)
    );
    assert!(header.events.contains(&"user.registered"));
    assert!(header.events.contains(&"vehicle.retired"));
    assert!(!header.events.contains(&"user.deactivated"));
    assert_eq!(header.streams(), ["user", "vehicle"]);
    let columns: Vec<_> = header.columns().map(|c| (&*c.name, c.ty.word())).collect();
    let said = [
        ("day", "date"),
        ("users", "bigint"),
        ("top", "double precision"),
    ];
    assert_eq!(columns, said);
    assert!(!header.by_position());
}

#[test]
fn each_bad_line_is_named_with_what_would_be_right() {
    let bad = [
        (2, "-- projection: Sign-ups", "a name is of a-z, 0-9 and _"),
        (3, "-- version: two", "a whole number from 1 on"),
        (3, "-- version: 0", "a whole number from 1 on"),
        (
            4,
            "-- events: user.regsitered",
            "no events \"user.regsitered\"",
        ),
        (
            4,
            "-- events: user.registered, user.*",
            "user.registered is named twice",
        ),
        (4, "-- events: *", "no events \"*\""),
        (4, "-- events: user.registered,", "no events \"\""),
        (6, "-- key: day", "a column is `name type`"),
        (6, "-- key: day int4", "there is no type \"int4\" here"),
        (
            6,
            "-- key: day double precision",
            "a key cannot be double precision",
        ),
        (6, "-- key: tenant text", "a column cannot be called tenant"),
        (
            6,
            "-- key: at_said_at text",
            "a column cannot be called at_said_at",
        ),
        (7, "-- value: users bigint", "a value is `name type rule`"),
        (
            7,
            "-- value: users bigint avg",
            "a value is `name type rule`",
        ),
        (
            7,
            "-- value: users double precision sum",
            "would depend on how the log is cut",
        ),
        (7, "-- value: users uuid max", "means nothing"),
        (7, "-- value: day bigint sum", "there are two columns day"),
        (
            7,
            "-- values: users bigint sum",
            "`values` is no line of the header",
        ),
        (5, "-- version: 3", "the version is said twice"),
        (5, "-- projection: other", "the projection is named twice"),
    ];
    for (line, instead, expected) in bad {
        let said = said_of(line, instead);
        // a repeated line is found where it is repeated
        let at = if expected.starts_with("the version is said") {
            5
        } else {
            line
        };
        assert!(
            said.starts_with(&format!("line {at}: ")),
            "{instead}: {said}"
        );
        assert!(said.contains(expected), "{instead}: {said}");
    }
}

#[test]
fn what_is_left_out_is_told() {
    for (line, expected) in [
        (2, "-- projection: NAME"),
        (3, "-- version: NUMBER"),
        (4, "-- events: TYPE"),
        (6, "-- key: NAME TYPE"),
    ] {
        assert!(said_of(line, "--").contains(expected), "{line}");
    }
    let huge = format!("{GOOD}{}", " ".repeat(SOURCE_BYTES_MAX));
    assert!(Header::read(&huge).expect_err("large").0.contains("65536"));
}

#[test]
fn every_event_type_is_on_a_kind_of_stream_that_exists() {
    let kinds = [
        "activity_log",
        "admins",
        "api_key",
        "competition",
        "deployment",
        "entry",
        "environment",
        "fleet",
        "incident",
        "log_batch",
        "log_person",
        "log_source",
        "rejected_record",
        "session",
        "keys",
        "slo",
        "tenant",
        "token",
        "track",
        "user",
        "vehicle",
    ];
    for (event_type, _) in VOCABULARY {
        assert!(kinds.contains(&stream_of(event_type)), "{event_type}");
    }
}
