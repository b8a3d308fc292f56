//! A fix as it was said, and what must hold before it is believed.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::Fix;
use crate::attributes::Attributes;
use crate::refusal::{Code, Refusal};
use crate::values::{self, TextRule, TimeFault, excerpt, number, text};

/// One fix as reported, unchecked: what [`judge`] turns into a [`Fix`] or a refusal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix_id: Option<String>,
    /// RFC 3339 with a zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_time: Option<String>,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altitude_m: Option<f64>,
    /// Metres per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_mps: Option<f64>,
    /// Degrees clockwise from north.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course_deg: Option<f64>,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_m: Option<f64>,
    /// Count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub satellites: Option<u16>,
    /// Ratio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hdop: Option<f64>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "attributes_empty")]
    pub attributes: Attributes,
}

fn attributes_empty(attributes: &Attributes) -> bool {
    attributes.is_empty()
}

/// What a fix may say. Settings; the defaults suit vehicles on roads, rails, water and in the air.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixRules {
    /// How far a fix time may be ahead of the server's clock. Default 24 hours: devices with a wrong
    /// zone are kept, devices with a wrong year are not.
    pub future_max: Duration,
    /// How far it may be behind. Default none: positions may come however late.
    pub age_max: Option<Duration>,
    /// Metres per second. Default 350, faster than any airliner.
    pub speed_max_mps: f64,
    /// Metres above the ellipsoid, lowest and highest. Default -12,000 (the deepest sea) to 100,000.
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
/// Checked in this order, each with the path of its field and both values in the details: `vehicle`,
/// `fixTime` (`BAD_TIMESTAMP`, `FIX_TOO_OLD`, `FIX_IN_FUTURE`), `lat` and `lon`
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
