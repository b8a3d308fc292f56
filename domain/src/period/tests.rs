//! Periods tile time, whatever clocks do.

use proptest::prelude::*;

use super::*;
use crate::values::parse_timestamp;

fn time(text: &str) -> DateTime<Utc> {
    parse_timestamp(text).expect("a time")
}

fn frame<'f>(calendar: &'f Calendar, zone: &str) -> Frame<'f> {
    Frame {
        calendar,
        zone: Zone::of_name(zone).expect("a zone"),
        starts_at: time("1971-01-01T00:00:00Z"),
        ends_at: None,
    }
}

/// The period of `at`: its key, its start and how many minutes it lasts.
fn check(calendar: &Calendar, zone: &str, at: &str, key: &str, start: &str, minutes: i64) {
    let frame = frame(calendar, zone);
    let period = frame.period_of(time(at)).expect("a period");
    assert_eq!(period.key, key, "{at} in {zone}");
    assert_eq!(period.start, time(start), "{key} in {zone}");
    let end = period.end.expect("an end");
    assert_eq!(
        (end - period.start).num_minutes(),
        minutes,
        "{key} in {zone}"
    );
    assert_eq!(frame.next_reset(time(at)), Some(end));
    assert_eq!(frame.period_by_key(key), Some(period));
}

const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;

#[test]
fn days_are_those_of_the_zone() {
    let day = Calendar::Daily;
    let berlin = "Europe/Berlin";
    check(
        &day,
        berlin,
        "2026-11-22T22:59:59.999999Z",
        "2026-11-22",
        "2026-11-21T23:00:00Z",
        DAY,
    );
    check(
        &day,
        berlin,
        "2026-11-22T23:00:00Z",
        "2026-11-23",
        "2026-11-22T23:00:00Z",
        DAY,
    );
    // Clocks are put forward, and back.
    check(
        &day,
        berlin,
        "2026-03-29T12:00:00Z",
        "2026-03-29",
        "2026-03-28T23:00:00Z",
        23 * HOUR,
    );
    check(
        &day,
        berlin,
        "2026-10-25T12:00:00Z",
        "2026-10-25",
        "2026-10-24T22:00:00Z",
        25 * HOUR,
    );
    // A zone that is put forward by half an hour.
    let howe = "Australia/Lord_Howe";
    check(
        &day,
        howe,
        "2026-10-04T00:00:00Z",
        "2026-10-04",
        "2026-10-03T13:30:00Z",
        DAY - 30,
    );
    check(
        &day,
        "Asia/Kathmandu",
        "2026-11-22T18:15:00Z",
        "2026-11-23",
        "2026-11-22T18:15:00Z",
        DAY,
    );
}

#[test]
fn a_day_without_midnight_begins_where_clocks_go_on() {
    let day = Calendar::Daily;
    let start = "2018-11-04T03:00:00Z";
    check(
        &day,
        "America/Sao_Paulo",
        "2018-11-04T12:00:00Z",
        "2018-11-04",
        start,
        23 * HOUR,
    );
    // From 0:00:00 to 0:44:30, so it lasts for 23:15:30.
    let monrovia = "Africa/Monrovia";
    let start = "1972-01-07T00:44:30Z";
    check(
        &day,
        monrovia,
        "1972-01-07T00:44:30Z",
        "1972-01-07",
        start,
        DAY - 45,
    );
    // Samoa had no 30 December 2011.
    let apia = "Pacific/Apia";
    check(
        &day,
        apia,
        "2011-12-30T09:59:59Z",
        "2011-12-29",
        "2011-12-29T10:00:00Z",
        DAY,
    );
    check(
        &day,
        apia,
        "2011-12-30T10:00:00Z",
        "2011-12-31",
        "2011-12-30T10:00:00Z",
        DAY,
    );
    let calendar = Calendar::Daily;
    assert_eq!(frame(&calendar, apia).period_by_key("2011-12-30"), None);
}

#[test]
fn a_midnight_that_is_shown_twice_begins_its_day_once() {
    let day = Calendar::Daily;
    let (havana, start) = ("America/Havana", "2026-11-01T04:00:00Z");
    check(
        &day,
        havana,
        "2026-11-01T04:30:00Z",
        "2026-11-01",
        start,
        25 * HOUR,
    );
    check(
        &day,
        havana,
        "2026-11-01T05:30:00Z",
        "2026-11-01",
        start,
        25 * HOUR,
    );
    // Clocks went from one past midnight back to 23:01 of a day that was over.
    let (johns, start) = ("America/St_Johns", "2006-10-29T02:30:00Z");
    check(
        &day,
        johns,
        "2006-10-29T02:30:30Z",
        "2006-10-29",
        start,
        25 * HOUR,
    );
    check(
        &day,
        johns,
        "2006-10-29T02:45:00Z",
        "2006-10-29",
        start,
        25 * HOUR,
    );
    check(
        &day,
        johns,
        "2006-10-29T02:29:59Z",
        "2006-10-28",
        "2006-10-28T02:30:00Z",
        DAY,
    );
}

#[test]
fn weeks_are_iso_and_months_are_months() {
    let week = Calendar::Weekly;
    check(
        &week,
        "UTC",
        "2026-11-22T23:59:59Z",
        "2026-W47",
        "2026-11-16T00:00:00Z",
        7 * DAY,
    );
    check(
        &week,
        "UTC",
        "2027-01-03T12:00:00Z",
        "2026-W53",
        "2026-12-28T00:00:00Z",
        7 * DAY,
    );
    check(
        &week,
        "UTC",
        "2024-12-30T00:00:00Z",
        "2025-W01",
        "2024-12-30T00:00:00Z",
        7 * DAY,
    );
    let berlin = "Europe/Berlin";
    check(
        &week,
        berlin,
        "2026-03-25T12:00:00Z",
        "2026-W13",
        "2026-03-22T23:00:00Z",
        7 * DAY - HOUR,
    );
    let month = Calendar::Monthly;
    check(
        &month,
        "UTC",
        "2024-02-29T12:00:00Z",
        "2024-02",
        "2024-02-01T00:00:00Z",
        29 * DAY,
    );
    check(
        &month,
        berlin,
        "2026-10-31T22:59:59Z",
        "2026-10",
        "2026-09-30T22:00:00Z",
        31 * DAY + HOUR,
    );
}

#[test]
fn a_key_means_a_period_to_the_letter() {
    let of = |calendar: Calendar, key: &str| frame(&calendar, "UTC").period_by_key(key).is_some();
    assert!(of(Calendar::AllTime, "all"));
    for key in ["", "ALL", "2026", "2026-11-22"] {
        assert!(!of(Calendar::AllTime, key), "{key}");
    }
    for key in [
        "2026-11-31",
        "2026-1-1",
        " 2026-11-22",
        "+2026-11-22",
        "2026-11",
        "1969-12-31",
    ] {
        assert!(!of(Calendar::Daily, key), "{key}");
    }
    for key in [
        "2026-W54", "2026-W00", "2026-w47", "2026-W7", "2025-W53", "2026-47",
    ] {
        assert!(!of(Calendar::Weekly, key), "{key}");
    }
    for key in ["2026-13", "2026-00", "2026-1", "2026-11-01", "99999-01"] {
        assert!(!of(Calendar::Monthly, key), "{key}");
    }
}

#[test]
fn a_key_at_the_end_of_time_is_no_period() {
    let of = |calendar: Calendar, key: &str| frame(&calendar, "Europe/Berlin").period_by_key(key);
    for key in [
        "-262143-01-01",
        "+262142-12-31",
        "262142-12-31",
        "10000-01-01",
        "0000-01-01",
    ] {
        assert_eq!(of(Calendar::Daily, key), None, "{key}");
        assert_eq!(of(Calendar::Monthly, &key[..key.len() - 3]), None, "{key}");
    }
    for key in [
        "-262143-W02",
        "262142-W52",
        "+262142-W01",
        "2147483647-W01",
        "-2147483648-W01",
    ] {
        assert_eq!(of(Calendar::Weekly, key), None, "{key}");
    }
}

#[test]
fn the_first_and_the_last_period_end_with_the_frame() {
    let calendar = Calendar::Weekly;
    let frame = Frame {
        starts_at: time("2026-11-18T09:00:00Z"),
        ends_at: Some(time("2026-11-24T09:00:00Z")),
        ..frame(&calendar, "UTC")
    };
    let of = |at: &str| frame.period_of(time(at));
    assert_eq!(of("2026-11-18T08:59:59Z"), None);
    assert_eq!(of("2026-11-24T09:00:00Z"), None);
    let first = of("2026-11-18T09:00:00Z").expect("the first");
    assert_eq!(
        (first.start, first.end),
        (frame.starts_at, Some(time("2026-11-23T00:00:00Z")))
    );
    let last = of("2026-11-23T00:00:00Z").expect("the last");
    assert_eq!((last.key.as_str(), last.end), ("2026-W48", frame.ends_at));
    assert_eq!(frame.period_by_key("2026-W46"), None);
    assert_eq!(frame.period_by_key("2026-W49"), None);
    assert_eq!(
        frame.first_ending_after(time("2000-01-01T00:00:00Z")),
        Some(first)
    );
    assert_eq!(frame.first_ending_after(time("2026-11-24T09:00:00Z")), None);
}

fn listed(key: &str, start: i64, end: i64) -> CustomPeriod {
    let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("a time");
    CustomPeriod {
        key: key.to_owned(),
        start: at(start),
        end: at(end),
    }
}

#[test]
fn a_list_may_leave_time_out() {
    let list = [
        listed("sprint", 100_000_000, 100_000_010),
        listed("final", 100_000_020, 100_000_030),
    ];
    let calendar = Calendar::Custom(list.to_vec()).checked().expect("a list");
    let frame = frame(&calendar, "UTC");
    let key = |seconds: i64| {
        let at = DateTime::from_timestamp(seconds, 0).expect("a time");
        frame.period_of(at).map(|period| period.key)
    };
    let keys = [
        99_999_999,
        100_000_000,
        100_000_009,
        100_000_010,
        100_000_020,
        100_000_030,
    ]
    .map(key);
    let (sprint, last) = (Some("sprint".to_owned()), Some("final".to_owned()));
    assert_eq!(
        keys,
        [None, sprint.clone(), sprint, None, last.clone(), None]
    );
    let next = frame
        .first_ending_after(list[0].end)
        .map(|period| period.key);
    assert_eq!(next, last);
}

#[test]
fn a_list_is_in_order() {
    let refused = |list: &[CustomPeriod]| {
        let refusal = Calendar::Custom(list.to_vec())
            .checked()
            .expect_err("refused");
        (refusal.code, refusal.path.join("."))
    };
    let travel = |path: &str| (Code::TimeTravel, path.to_owned());
    assert_eq!(refused(&[]), (Code::Validation, "periods".to_owned()));
    assert_eq!(refused(&[listed("a", 5, 5)]), travel("periods.0.end"));
    assert_eq!(
        refused(&[listed("a", 5, 7), listed("b", 6, 8)]),
        travel("periods.1.start")
    );
    assert_eq!(
        refused(&[listed("a", 5, 7), listed("a", 7, 8)]),
        (Code::Validation, "periods.1.key".to_owned())
    );
    let many: Vec<_> = (0..367).map(|n| listed(&n.to_string(), n, n + 1)).collect();
    assert_eq!(refused(&many), (Code::TooLarge, "periods".to_owned()));
}

const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "America/Havana",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Africa/Monrovia",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Antarctica/Troll",
];

proptest! {
    #[test]
    fn no_key_is_too_strange(
        key in "[+-]?[0-9]{1,7}-W?[0-9]{1,3}(-[0-9]{1,3})?|\\PC{0,12}",
        calendar in prop::sample::select(vec![Calendar::Daily, Calendar::Weekly, Calendar::Monthly]),
    ) {
        if let Some(period) = frame(&calendar, "Asia/Beirut").period_by_key(&key) {
            prop_assert_eq!(period.key, key);
        }
    }

    /// Every moment is in one period, whose key leads back to it, and the next begins where it ends.
    #[test]
    fn periods_tile_time(
        seconds in 31_536_000i64..4_102_444_800,
        zone in prop::sample::select(ZONES),
        calendar in prop::sample::select(vec![Calendar::Daily, Calendar::Weekly, Calendar::Monthly]),
    ) {
        let at = DateTime::from_timestamp(seconds, 0).expect("a time");
        let frame = frame(&calendar, zone);
        let period = frame.period_of(at).expect("a period");
        let end = period.end.expect("an end");
        prop_assert!(period.start <= at && at < end, "{at} in {period:?}");
        prop_assert_eq!(frame.period_by_key(&period.key), Some(period.clone()));
        prop_assert_eq!(frame.period_of(period.start), Some(period.clone()));
        prop_assert_eq!(frame.period_of(end - TimeDelta::microseconds(1)), Some(period.clone()));
        let next = frame.period_of(end).expect("the next");
        prop_assert_eq!(next.start, end);
        prop_assert_ne!(next.key, period.key);
    }
}

#[test]
fn periods_are_told_backwards() {
    let told = |frame: Frame<'_>, at: &str| {
        let mut keys = Vec::new();
        let mut before = time(at);
        while let Some(period) = frame.last_beginning_before(before) {
            keys.push(period.key);
            before = period.start;
        }
        keys
    };
    let zone = Zone::of_name("Europe/Berlin").expect("a zone");
    let framed = |calendar, starts_at: &str, ends_at: Option<&str>| Frame {
        calendar,
        zone,
        starts_at: time(starts_at),
        ends_at: ends_at.map(time),
    };
    // The day of the 29th has 23 hours; the first day begins with the frame.
    let daily = framed(&Calendar::Daily, "2026-03-28T12:00:00Z", None);
    let days = ["2026-03-30", "2026-03-29", "2026-03-28"];
    assert_eq!(told(daily, "2026-03-29T22:00:01Z"), days);
    assert_eq!(told(daily, "2026-03-29T22:00:00Z"), days[1..]);
    assert_eq!(told(daily, "2026-03-28T12:00:00Z"), Vec::<String>::new());
    let over = framed(
        &Calendar::Daily,
        "2026-03-28T12:00:00Z",
        Some("2026-03-28T22:00:00Z"),
    );
    assert_eq!(told(over, "2026-11-22T00:00:00Z"), days[2..]);
    let all = framed(
        &Calendar::AllTime,
        "2026-03-28T12:00:00Z",
        Some("2026-03-28T22:00:00Z"),
    );
    assert_eq!(told(all, "2026-11-22T00:00:00Z"), ["all"]);
    let listed = |key: &str, start: &str, end: &str| CustomPeriod {
        key: key.to_owned(),
        start: time(start),
        end: time(end),
    };
    let custom = Calendar::Custom(vec![
        listed("before", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        listed("a", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        listed("b", "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"),
    ]);
    let custom = framed(&custom, "2026-03-28T12:00:00Z", None);
    assert_eq!(told(custom, "2026-11-22T00:00:00Z"), ["b", "a"]);
    assert_eq!(told(custom, "2026-04-15T00:00:00Z"), ["a"]);
    assert_eq!(told(custom, "2026-03-28T12:00:00Z"), Vec::<String>::new());
}
