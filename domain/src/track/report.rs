//! A fix as it was said, and what must hold before it is believed.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::Fix;
use crate::attributes::Attributes;
use crate::refusal::{Code, Refusal};
use crate::values::{self, TextRule, TimeFault, excerpt, number, text};

/// One fix as reported, unchecked: what [`judge`] turns into a [`Fix`] or a refusal.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FixReport {
    /// The vehicle's id, or its external id.
    pub vehicle: String,
    /// RFC 3339 with a zone.
    pub fix_time: String,
    /// Degrees.
    pub lat: f64,
    /// Degrees.
    pub lon: f64,
    /// See [`Fix::fix_id`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix_id: Option<String>,
    /// RFC 3339 with a zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_time: Option<String>,
    /// Metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub altitude_m: Option<f64>,
    /// Metres per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_mps: Option<f64>,
    /// Degrees clockwise from north.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub course_deg: Option<f64>,
    /// Metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy_m: Option<f64>,
    /// Count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub satellites: Option<u16>,
    /// Ratio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hdop: Option<f64>,
    /// Anything else.
    #[serde(skip_serializing_if = "attributes_empty")]
    pub attributes: Attributes,
}

fn attributes_empty(attributes: &Attributes) -> bool {
    attributes.is_empty()
}

/// What a fix may say. Settings; the defaults suit vehicles on roads, rails, water and in the air.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixRules {
    /// How far a fix time may be ahead of the server's clock. Default 24 hours: devices with a
    /// wrong zone are kept, devices with a wrong year are not.
    pub future_max: Duration,
    /// How far it may be behind. Default none: positions may come however late.
    pub age_max: Option<Duration>,
    /// Metres per second. Default 350, faster than any airliner.
    pub speed_max_mps: f64,
    /// Metres above the ellipsoid, lowest and highest. Default -12,000 (the deepest sea) to
    /// 100,000.
    pub altitude_m: (f64, f64),
    /// Metres. Default 1,000,000: such a fix says a continent.
    pub accuracy_max_m: f64,
    /// Satellites. Default 200, more than all systems have in sight.
    pub satellites_max: u16,
    /// Dilution of precision. Default 100: receivers say 99.99 without a usable geometry.
    pub hdop_max: f64,
}

impl Default for FixRules {
    fn default() -> FixRules {
        FixRules {
            future_max: Duration::from_secs(24 * 60 * 60),
            age_max: None,
            speed_max_mps: 350.0,
            altitude_m: (-12_000.0, 100_000.0),
            accuracy_max_m: 1_000_000.0,
            satellites_max: 200,
            hdop_max: 100.0,
        }
    }
}

impl FixRules {
    /// For imports and backfills: however old. The future stays out.
    pub fn backfill(self) -> FixRules {
        FixRules {
            age_max: None,
            ..self
        }
    }
}

/// What was said becomes a fix, or the first thing wrong with it.
///
/// Checked in this order, each with the path of its field and both values in the details:
/// `vehicle`, `fixTime` (`BAD_TIMESTAMP`, `FIX_TOO_OLD`, `FIX_IN_FUTURE`), `lat` and `lon`
/// (`INVALID_COORDINATES`, then `NULL_ISLAND`), `fixId`, `deviceTime` (`BAD_TIMESTAMP`), `speedMps`
/// (`INVALID_SPEED`), `courseDeg` (`INVALID_COURSE`; 360 becomes 0), `altitudeM`, `accuracyM`,
/// `satellites`, `hdop` (`OUT_OF_RANGE`), `attributes`. Texts answer `BAD_TEXT`, `TOO_LARGE` or
/// `VALIDATION`.
pub fn judge(report: &FixReport, rules: &FixRules, now: DateTime<Utc>) -> Result<Fix, Refusal> {
    text(TextRule::Id, &report.vehicle, "vehicle")?;
    let fix_time = fix_time(&report.fix_time, rules, now)?;
    let lat = number(report.lat, -90.0, 90.0, Code::InvalidCoordinates, "lat")?;
    let lon = number(report.lon, -180.0, 180.0, Code::InvalidCoordinates, "lon")?;
    if lat == 0.0 && lon == 0.0 {
        let message = "latitude and longitude are both exactly 0: the receiver had no fix";
        return Err(Refusal::new(Code::NullIsland, message)
            .at(["lat"])
            .with("lat", lat)
            .with("lon", lon));
    }
    let optional = |value: Option<f64>, min, max, code, field| {
        value.map(|v| number(v, min, max, code, field)).transpose()
    };
    let fix_id = values::optional_text(TextRule::Id, report.fix_id.as_deref(), "fixId")?;
    let device_time = report
        .device_time
        .as_deref()
        .map(|t| values::timestamp(t, "deviceTime"))
        .transpose()?;
    let fastest = rules.speed_max_mps;
    let speed_mps = optional(
        report.speed_mps,
        0.0,
        fastest,
        Code::InvalidSpeed,
        "speedMps",
    )?;
    let course_deg = optional(
        report.course_deg,
        0.0,
        360.0,
        Code::InvalidCourse,
        "courseDeg",
    )?;
    let (lowest, highest) = rules.altitude_m;
    let range = Code::OutOfRange;
    Ok(Fix {
        fix_time,
        lat,
        lon,
        fix_id,
        device_time,
        speed_mps,
        course_deg: course_deg.map(|deg| if deg == 360.0 { 0.0 } else { deg }),
        altitude_m: optional(report.altitude_m, lowest, highest, range, "altitudeM")?,
        accuracy_m: optional(
            report.accuracy_m,
            0.0,
            rules.accuracy_max_m,
            range,
            "accuracyM",
        )?,
        satellites: report
            .satellites
            .map(|n| satellites(n, rules))
            .transpose()?,
        hdop: optional(report.hdop, 0.0, rules.hdop_max, range, "hdop")?,
        attributes: values::attributes(&report.attributes, "attributes")?,
    })
}

fn satellites(count: u16, rules: &FixRules) -> Result<u16, Refusal> {
    let max = rules.satellites_max;
    number(
        count.into(),
        0.0,
        max.into(),
        Code::OutOfRange,
        "satellites",
    )
    .map(|_| count)
}

fn fix_time(said: &str, rules: &FixRules, now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
    let refuse = |code: Code, message: &str| {
        Refusal::new(code, message)
            .at(["fixTime"])
            .with("fixTime", excerpt(said))
            .with("now", now.to_rfc3339_opts(SecondsFormat::Millis, true))
    };
    let in_future = || {
        refuse(
            Code::FixInFuture,
            "the fix time is too far ahead of the server's clock",
        )
        .with("limitSeconds", rules.future_max.as_secs())
    };
    let at = match values::parse_timestamp(said) {
        Ok(at) => at,
        Err(TimeFault::After9999) => return Err(in_future()),
        Err(TimeFault::Before1970) => {
            return Err(refuse(Code::FixTooOld, "the fix time is before 1970")
                .with("limit", "1970-01-01T00:00:00Z"));
        }
        Err(TimeFault::Malformed) => return values::timestamp(said, "fixTime"),
    };
    let ahead = at.signed_duration_since(now);
    if ahead.to_std().is_ok_and(|ahead| ahead > rules.future_max) {
        return Err(in_future());
    }
    if let Some(age_max) = rules.age_max
        && (-ahead).to_std().is_ok_and(|age| age > age_max)
    {
        return Err(refuse(Code::FixTooOld, "the fix is older than accepted")
            .with("limitSeconds", age_max.as_secs()));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn now() -> DateTime<Utc> {
        values::parse_timestamp("2026-03-01T12:00:00Z").expect("a time")
    }

    fn bus() -> FixReport {
        FixReport {
            vehicle: "2228".to_owned(),
            fix_time: "2026-03-01T05:59:30-06:00".to_owned(),
            lat: 30.231_535,
            lon: -97.733_47,
            speed_mps: Some(12.9),
            ..FixReport::default()
        }
    }

    fn refusal(change: impl Fn(&mut FixReport)) -> Refusal {
        let mut report = bus();
        change(&mut report);
        let refusal = judge(&report, &FixRules::default(), now()).expect_err("a refusal");
        assert!(refusal.message.chars().count() <= 200);
        refusal
    }

    fn check(change: impl Fn(&mut FixReport), code: Code, field: &str) {
        let refusal = refusal(change);
        assert_eq!((refusal.code, refusal.path), (code, vec![field.to_owned()]));
    }

    #[test]
    fn a_good_report_is_a_fix() {
        let report = FixReport {
            fix_id: Some("a-1".to_owned()),
            device_time: Some("2026-03-01T12:00:01.5Z".to_owned()),
            altitude_m: Some(-0.0),
            course_deg: Some(360.0),
            accuracy_m: Some(0.0),
            satellites: Some(12),
            hdop: Some(99.99),
            attributes: serde_json::from_value(json!({"routeId": "320"})).expect("an object"),
            ..bus()
        };
        let fix = judge(&report, &FixRules::default(), now()).expect("a fix");
        assert_eq!(
            fix.fix_time,
            values::parse_timestamp("2026-03-01T11:59:30Z").expect("a time")
        );
        assert_eq!((fix.lat, fix.lon), (30.231_535, -97.733_47));
        assert_eq!(fix.fix_id.as_deref(), Some("a-1"));
        assert_eq!(
            fix.device_time.map(|t| t.timestamp_subsec_millis()),
            Some(500)
        );
        assert_eq!(
            fix.altitude_m.map(f64::to_bits),
            Some(0),
            "there is one zero"
        );
        assert_eq!(fix.course_deg, Some(0.0), "a full circle is north");
        assert_eq!(
            (fix.accuracy_m, fix.satellites, fix.hdop),
            (Some(0.0), Some(12), Some(99.99))
        );
        assert_eq!(fix.speed_mps, Some(12.9));
        assert_eq!(fix.attributes["routeId"], "320");
    }

    /// J10
    #[test]
    fn places_are_on_earth_and_not_null_island() {
        let off = [
            (90.000_1, 0.0),
            (-91.0, 0.0),
            (f64::NAN, 0.0),
            (f64::INFINITY, 0.0),
            (-97.7, 30.2),
        ];
        for (lat, lon) in off {
            check(
                |r| (r.lat, r.lon) = (lat, lon),
                Code::InvalidCoordinates,
                "lat",
            );
        }
        for lon in [181.0, -180.000_1, f64::NAN, f64::NEG_INFINITY] {
            check(|r| r.lon = lon, Code::InvalidCoordinates, "lon");
        }
        for (lat, lon) in [(0.0, 0.0), (-0.0, 0.0), (-0.0, -0.0)] {
            check(|r| (r.lat, r.lon) = (lat, lon), Code::NullIsland, "lat");
        }
        for (lat, lon) in [(0.0, 1e-9), (1e-9, 0.0), (90.0, 180.0), (-90.0, -180.0)] {
            let report = FixReport { lat, lon, ..bus() };
            assert!(
                judge(&report, &FixRules::default(), now()).is_ok(),
                "{lat} {lon}"
            );
        }
        let refused = refusal(|r| r.lat = 90.5);
        assert_eq!(
            (&refused.details["max"], &refused.details["actual"]),
            (&json!(90.0), &json!(90.5))
        );
    }

    /// J7, J11
    #[test]
    fn measurements_are_within_reason() {
        for speed in [-1.0, -1e-9, 1e9, f64::NAN, f64::INFINITY, 350.1] {
            check(
                |r| r.speed_mps = Some(speed),
                Code::InvalidSpeed,
                "speedMps",
            );
        }
        for course in [-0.1, 361.0, 360.000_1, f64::NAN] {
            check(
                |r| r.course_deg = Some(course),
                Code::InvalidCourse,
                "courseDeg",
            );
        }
        for altitude in [-12_001.0, 1e6, f64::NAN] {
            check(
                |r| r.altitude_m = Some(altitude),
                Code::OutOfRange,
                "altitudeM",
            );
        }
        for accuracy in [-1.0, 1e7, f64::INFINITY] {
            check(
                |r| r.accuracy_m = Some(accuracy),
                Code::OutOfRange,
                "accuracyM",
            );
        }
        for hdop in [-1.0, 100.1, f64::NAN] {
            check(|r| r.hdop = Some(hdop), Code::OutOfRange, "hdop");
        }
        check(|r| r.satellites = Some(201), Code::OutOfRange, "satellites");
    }

    /// J12
    #[test]
    fn the_future_is_bounded_and_the_past_is_not() {
        for time in [
            "2026-03-02T12:00:00.000001Z",
            "2036-03-01T12:00:00Z",
            "9999-12-31T23:59:59Z",
        ] {
            check(
                |r| r.fix_time = time.to_owned(),
                Code::FixInFuture,
                "fixTime",
            );
        }
        for time in ["10000-01-01T00:00:00Z", "294277-01-09T04:00:54Z"] {
            let refused = refusal(|r| r.fix_time = time.to_owned());
            assert_eq!(refused.code, Code::FixInFuture);
            assert_eq!(refused.details["fixTime"], time);
            assert_eq!(refused.details["now"], "2026-03-01T12:00:00.000Z");
            assert_eq!(refused.details["limitSeconds"], 86_400);
        }
        for time in ["1969-12-31T23:59:59Z", "0000-01-01T00:00:00Z"] {
            let refused = refusal(|r| r.fix_time = time.to_owned());
            assert_eq!(refused.code, Code::FixTooOld);
            assert_eq!(refused.details["fixTime"], time);
            assert_eq!(refused.details["limit"], "1970-01-01T00:00:00Z");
        }
        for time in [
            "2026-03-02T12:00:00Z",
            "1970-01-01T00:00:00Z",
            "2015-03-07T06:00:22Z",
        ] {
            let report = FixReport {
                fix_time: time.to_owned(),
                ..bus()
            };
            assert!(
                judge(&report, &FixRules::default(), now()).is_ok(),
                "{time}"
            );
        }
    }

    #[test]
    fn an_age_limit_holds_unless_it_is_a_backfill() {
        let week = FixRules {
            age_max: Some(Duration::from_secs(7 * 86_400)),
            ..FixRules::default()
        };
        let report = |time: &str| FixReport {
            fix_time: time.to_owned(),
            ..bus()
        };
        assert!(judge(&report("2026-02-22T12:00:00Z"), &week, now()).is_ok());
        let old = report("2026-02-22T11:59:59.999999Z");
        let refused = judge(&old, &week, now()).expect_err("too old");
        assert_eq!(refused.code, Code::FixTooOld);
        assert_eq!(refused.details["limitSeconds"], 604_800);
        assert_eq!(refused.details["now"], "2026-03-01T12:00:00.000Z");
        assert!(judge(&old, &week.backfill(), now()).is_ok());
        let ahead = report("2027-03-01T12:00:00Z");
        let refused = judge(&ahead, &week.backfill(), now()).expect_err("ahead");
        assert_eq!(
            refused.code,
            Code::FixInFuture,
            "a backfill lifts the past, not the future"
        );
    }

    /// J3, J13, J14, J18, J22: each text and time by its own rule.
    #[test]
    fn texts_and_times_are_checked_where_they_stand() {
        for time in [
            "",
            "2026-02-30T12:00:00Z",
            "2026-03-01T12:00:00",
            "1772366400",
            "a\0b",
        ] {
            check(
                |r| r.fix_time = time.to_owned(),
                Code::BadTimestamp,
                "fixTime",
            );
            check(
                |r| r.device_time = Some(time.to_owned()),
                Code::BadTimestamp,
                "deviceTime",
            );
        }
        check(
            |r| r.device_time = Some("1900-01-01T00:00:00Z".into()),
            Code::BadTimestamp,
            "deviceTime",
        );
        check(|r| r.vehicle = "a\0b".into(), Code::BadText, "vehicle");
        check(|r| r.vehicle = String::new(), Code::Validation, "vehicle");
        check(
            |r| r.vehicle = "x".repeat(10_000),
            Code::TooLarge,
            "vehicle",
        );
        check(
            |r| r.fix_id = Some("a\u{202e}b".into()),
            Code::BadText,
            "fixId",
        );
        check(
            |r| r.fix_id = Some(String::new()),
            Code::Validation,
            "fixId",
        );
        check(
            |r| r.fix_id = Some("x".repeat(129)),
            Code::TooLarge,
            "fixId",
        );
        let attributes =
            |value: Value| serde_json::from_value::<Attributes>(value).expect("an object");
        check(
            |r| r.attributes = attributes(json!({"a": "\0"})),
            Code::BadText,
            "attributes",
        );
        let large = attributes(json!({"a": "x".repeat(65 * 1024)}));
        check(
            |r| r.attributes = large.clone(),
            Code::TooLarge,
            "attributes",
        );
    }

    #[test]
    fn the_first_thing_wrong_is_told() {
        type Break = fn(&mut FixReport);
        let wrong: [(Break, &str); 10] = [
            (|r| r.vehicle = String::new(), "vehicle"),
            (|r| r.fix_time = String::new(), "fixTime"),
            (|r| r.lat = 91.0, "lat"),
            (|r| r.lon = 181.0, "lon"),
            (|r| r.fix_id = Some(String::new()), "fixId"),
            (|r| r.device_time = Some(String::new()), "deviceTime"),
            (|r| r.speed_mps = Some(-1.0), "speedMps"),
            (|r| r.course_deg = Some(-1.0), "courseDeg"),
            (|r| r.altitude_m = Some(f64::NAN), "altitudeM"),
            (|r| r.accuracy_m = Some(-1.0), "accuracyM"),
        ];
        for (first, (_, field)) in wrong.iter().enumerate() {
            let refused = refusal(|r| wrong[first..].iter().for_each(|(break_it, _)| break_it(r)));
            assert_eq!(refused.path, [*field]);
        }
    }
}
