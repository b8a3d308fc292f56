//! How a batch of fixes is stored: by column, times in microseconds, what is absent left out.

use chrono::{DateTime, Utc};
use serde::de::Error as _;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Fix, PositionsReported};
use crate::attributes::Attributes;
use crate::values::MICROS_END;

/// The stored shape, version 1. An optional column is left out when all its values are absent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Packed {
    vehicle_id: String,
    /// Microseconds since 1970.
    fix_time_us: Vec<i64>,
    lat: Vec<f64>,
    lon: Vec<f64>,
    #[serde(default)]
    fix_id: Option<Vec<Option<String>>>,
    /// Microseconds since 1970.
    #[serde(default)]
    device_time_us: Option<Vec<Option<i64>>>,
    #[serde(default)]
    altitude_m: Option<Vec<Option<f64>>>,
    #[serde(default)]
    speed_mps: Option<Vec<Option<f64>>>,
    #[serde(default)]
    course_deg: Option<Vec<Option<f64>>>,
    #[serde(default)]
    accuracy_m: Option<Vec<Option<f64>>>,
    #[serde(default)]
    satellites: Option<Vec<Option<u16>>>,
    #[serde(default)]
    hdop: Option<Vec<Option<f64>>>,
    /// `[first index, attributes]`: these hold from that fix on, until the next entry.
    #[serde(default)]
    attributes: Vec<(usize, Attributes)>,
}

/// Serialises one column straight from the fixes.
struct Column<'a, F>(&'a [Fix], F);

impl<T: Serialize, F: Fn(&Fix) -> T> Serialize for Column<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(&self.1))
    }
}

impl Serialize for PositionsReported {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fixes = self.fixes.as_slice();
        let mut out = serializer.serialize_struct("PositionsReported", 13)?;
        out.serialize_field("vehicleId", &self.vehicle_id)?;
        out.serialize_field(
            "fixTimeUs",
            &Column(fixes, |f: &Fix| f.fix_time.timestamp_micros()),
        )?;
        out.serialize_field("lat", &Column(fixes, |f: &Fix| f.lat))?;
        out.serialize_field("lon", &Column(fixes, |f: &Fix| f.lon))?;
        macro_rules! optional {
            ($name:literal, $value:expr) => {
                if fixes.iter().any(|f| $value(f).is_some()) {
                    out.serialize_field($name, &Column(fixes, $value))?;
                } else {
                    out.skip_field($name)?;
                }
            };
        }
        if fixes.iter().any(|f| f.fix_id.is_some()) {
            let ids: Vec<Option<&str>> = fixes.iter().map(|f| f.fix_id.as_deref()).collect();
            out.serialize_field("fixId", &ids)?;
        }
        optional!("deviceTimeUs", |f: &Fix| f
            .device_time
            .map(|t| t.timestamp_micros()));
        optional!("altitudeM", |f: &Fix| f.altitude_m);
        optional!("speedMps", |f: &Fix| f.speed_mps);
        optional!("courseDeg", |f: &Fix| f.course_deg);
        optional!("accuracyM", |f: &Fix| f.accuracy_m);
        optional!("satellites", |f: &Fix| f.satellites);
        optional!("hdop", |f: &Fix| f.hdop);
        let runs = runs(fixes);
        if !runs.is_empty() {
            out.serialize_field("attributes", &runs)?;
        }
        out.end()
    }
}

/// Where the attributes change, and to what. Starting from none, so that no attributes is no run.
fn runs(fixes: &[Fix]) -> Vec<(usize, &Attributes)> {
    let none = Attributes::default();
    let mut current = &none;
    let mut runs = Vec::new();
    for (index, fix) in fixes.iter().enumerate() {
        if fix.attributes != *current {
            runs.push((index, &fix.attributes));
            current = &fix.attributes;
        }
    }
    runs
}

impl<'de> Deserialize<'de> for PositionsReported {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        unpack(Packed::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn unpack(p: Packed) -> Result<PositionsReported, String> {
    let rows = p.fix_time_us.len();
    if rows == 0 {
        return Err("no fixes".to_owned());
    }
    let same = |name: &str, len: Option<usize>| match len {
        Some(len) if len != rows => Err(format!("column {name} has {len} values for {rows} fixes")),
        _ => Ok(()),
    };
    same("lat", Some(p.lat.len()))?;
    same("lon", Some(p.lon.len()))?;
    let mut fixes = Vec::with_capacity(rows);
    for ((us, lat), lon) in p.fix_time_us.into_iter().zip(p.lat).zip(p.lon) {
        if !(lat.abs() <= 90.0 && lon.abs() <= 180.0) {
            return Err(format!("{lat}, {lon} is no place on earth"));
        }
        fixes.push(bare(time(us)?, lat, lon));
    }
    macro_rules! fill {
        ($name:literal, $column:expr, $set:expr) => {
            if let Some(column) = $column {
                same($name, Some(column.len()))?;
                for (fix, value) in fixes.iter_mut().zip(column) {
                    $set(fix, value);
                }
            }
        };
    }
    fill!("fixId", p.fix_id, |f: &mut Fix, v| f.fix_id = v);
    fill!("altitudeM", p.altitude_m, |f: &mut Fix, v| f.altitude_m = v);
    fill!("speedMps", p.speed_mps, |f: &mut Fix, v| f.speed_mps = v);
    fill!("courseDeg", p.course_deg, |f: &mut Fix, v| f.course_deg = v);
    fill!("accuracyM", p.accuracy_m, |f: &mut Fix, v| f.accuracy_m = v);
    fill!("satellites", p.satellites, |f: &mut Fix, v| f.satellites =
        v);
    fill!("hdop", p.hdop, |f: &mut Fix, v| f.hdop = v);
    if let Some(column) = p.device_time_us {
        same("deviceTimeUs", Some(column.len()))?;
        for (fix, us) in fixes.iter_mut().zip(column) {
            fix.device_time = us.map(time).transpose()?;
        }
    }
    spread(p.attributes, &mut fixes)?;
    Ok(PositionsReported {
        vehicle_id: p.vehicle_id,
        fixes,
    })
}

fn spread(runs: Vec<(usize, Attributes)>, fixes: &mut [Fix]) -> Result<(), String> {
    let mut ends = runs
        .iter()
        .skip(1)
        .map(|run| run.0)
        .chain([fixes.len()])
        .collect::<Vec<_>>();
    for ((start, attributes), end) in runs.into_iter().zip(ends.drain(..)) {
        let run = fixes.get_mut(start..end).filter(|run| !run.is_empty());
        for fix in run.ok_or_else(|| format!("attributes from {start} to {end} are no run"))? {
            fix.attributes = attributes.clone();
        }
    }
    Ok(())
}

fn time(us: i64) -> Result<DateTime<Utc>, String> {
    let within = (0..MICROS_END).contains(&us);
    let time = within
        .then(|| DateTime::from_timestamp_micros(us))
        .flatten();
    time.ok_or_else(|| format!("{us} is no time within 1970 to 9999"))
}

fn bare(fix_time: DateTime<Utc>, lat: f64, lon: f64) -> Fix {
    Fix {
        fix_time,
        lat,
        lon,
        fix_id: None,
        device_time: None,
        altitude_m: None,
        speed_mps: None,
        course_deg: None,
        accuracy_m: None,
        satellites: None,
        hdop: None,
        attributes: Attributes::default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::tests::{any_fix, fix};
    use super::*;

    fn event(fixes: Vec<Fix>) -> PositionsReported {
        PositionsReported {
            vehicle_id: "2228".to_owned(),
            fixes,
        }
    }

    #[test]
    fn absent_columns_take_no_room() {
        let stored = serde_json::to_string(&event(vec![fix(0), fix(1)])).expect("JSON");
        let expected = concat!(
            r#"{"vehicleId":"2228","fixTimeUs":[1425744000000000,1425744030000000],"#,
            r#""lat":[30.25,30.25],"lon":[-97.75,-97.75]}"#
        );
        assert_eq!(stored, expected);
    }

    #[test]
    fn attributes_are_stored_where_they_change() {
        let trip = |n: i64| Attributes::from_iter([("tripId".to_owned(), Value::from(n))]);
        let none = Attributes::default;
        let spoken = [none(), none(), trip(1), trip(1), none(), trip(2), trip(1)];
        let fixes = spoken.into_iter().enumerate().map(|(n, attributes)| {
            let n = i64::try_from(n).expect("small");
            Fix {
                attributes,
                ..fix(n)
            }
        });
        let event = event(fixes.collect());
        let stored = serde_json::to_value(&event).expect("JSON");
        let runs = json!([
            [2, {"tripId": 1}], [4, {}], [5, {"tripId": 2}], [6, {"tripId": 1}]
        ]);
        assert_eq!(stored["attributes"], runs);
        let read: PositionsReported = serde_json::from_value(stored).expect("an event");
        assert_eq!(read, event);
        assert!(
            read.fixes[2]
                .attributes
                .is_shared_with(&read.fixes[3].attributes)
        );
    }

    #[test]
    fn a_shape_that_is_not_this_one_is_refused() {
        let good = || {
            json!({"vehicleId": "2228", "fixTimeUs": [1, 2], "lat": [1.0, 2], "lon": [3.5, 4.5],
                   "speedMps": [null, 1]})
        };
        assert!(serde_json::from_value::<PositionsReported>(good()).is_ok());
        let bad = [
            ("vehicleId", json!(null)),
            ("fixTimeUs", json!([])),
            ("fixTimeUs", json!([1])),
            ("fixTimeUs", json!([1, 2, 3])),
            ("fixTimeUs", json!([1, -1])),
            ("fixTimeUs", json!([1, 253_402_300_800_000_000_i64])),
            ("fixTimeUs", json!([1, i64::MAX])),
            ("fixTimeUs", json!([1, 2.5])),
            ("lat", json!([1.0])),
            ("lat", json!([1.0, null])),
            ("lat", json!([1.0, 90.5])),
            ("lat", json!(["1.0", 2])),
            ("lon", json!([1.0, 2.0, 3.0])),
            ("lon", json!([1.0, 181])),
            ("speedMps", json!([1.0])),
            ("speedMps", json!([1.0, 2.0, 3.0])),
            ("fixId", json!(["a"])),
            ("fixId", json!([1, 2])),
            ("deviceTimeUs", json!([1, 2, 3])),
            ("deviceTimeUs", json!([1, -5])),
            ("satellites", json!([1, -1])),
            ("satellites", json!([1, 65_536])),
            ("attributes", json!([[2, {}]])),
            ("attributes", json!([[1, {}], [0, {}]])),
            ("attributes", json!([[1, {}], [1, {}]])),
            ("attributes", json!([[0, {}], [9, {}]])),
            ("attributes", json!([[0, 1]])),
            ("unheardOf", json!([1, 2])),
        ];
        for (column, values) in bad {
            let mut stored = good();
            stored[column] = values;
            let read = serde_json::from_str::<PositionsReported>(&stored.to_string());
            assert!(read.is_err(), "{stored}");
        }
        for column in ["vehicleId", "fixTimeUs", "lat", "lon"] {
            let mut stored = good();
            stored.as_object_mut().expect("an object").remove(column);
            assert!(
                serde_json::from_value::<PositionsReported>(stored).is_err(),
                "no {column}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_stored_is_what_was_accepted(fixes in prop::collection::vec(any_fix(), 1..40)) {
            let event = event(fixes);
            let stored = serde_json::to_string(&event).expect("JSON");
            let read: PositionsReported = serde_json::from_str(&stored).expect("an event");
            prop_assert_eq!(&read, &event);
            prop_assert_eq!(serde_json::to_string(&read).expect("JSON"), stored);
        }
    }
}
