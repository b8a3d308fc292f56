//! Positions of vehicles: from flags and presets to one row's fix.

use clap::{Args, ValueEnum};
use csv::ByteRecord;
use domain::track::{FIXES_MAX, FixReport};
use domain::{Code, Refusal};
use serde_json::{Map, Value};

use super::batch::{Columned, Key, Keyed};
use super::columns::{Finder, Wanted, must_be_whole, number, optional, text};

/// Names of columns. Without a preset a flag's own name is its column.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Columns")]
pub struct MappingArgs {
    /// Columns, units and attributes of a known source; single flags still win
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// Column of the vehicle's id or external id
    #[arg(long, value_name = "COLUMN")]
    pub vehicle: Option<String>,
    /// Column of the fix time: RFC 3339 with a zone
    #[arg(long, value_name = "COLUMN")]
    pub time: Option<String>,
    /// Column of the latitude in degrees
    #[arg(long, value_name = "COLUMN")]
    pub lat: Option<String>,
    /// Column of the longitude in degrees
    #[arg(long, value_name = "COLUMN")]
    pub lon: Option<String>,
    /// Column of the speed over ground
    #[arg(long, value_name = "COLUMN")]
    pub speed: Option<String>,
    /// Unit of the speed column
    #[arg(long, value_enum, default_value_t = SpeedUnit::Mps)]
    pub speed_unit: SpeedUnit,
    /// Column of the course over ground in degrees clockwise from north
    #[arg(long, value_name = "COLUMN")]
    pub course: Option<String>,
    /// Column of the altitude in metres
    #[arg(long, value_name = "COLUMN")]
    pub altitude: Option<String>,
    /// Column of the accuracy in metres
    #[arg(long, value_name = "COLUMN")]
    pub accuracy: Option<String>,
    /// Column of the reporter's own id of a fix
    #[arg(long, value_name = "COLUMN")]
    pub fix_id: Option<String>,
    /// Column of the time the device sent the fix
    #[arg(long, value_name = "COLUMN")]
    pub device_time: Option<String>,
    /// Keep a column as an attribute of the fix, under its own or another name; repeatable
    #[arg(long, value_name = "COLUMN[=NAME]")]
    pub attribute: Vec<String>,
}

/// Sources whose columns are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Capital Metro buses as kept by CapMetrics: vehicle_id, timestamp, latitude, longitude, speed
    /// (as published, taken as metres per second), attributes route_id, trip_id, trip_headsign
    Capmetro,
}

/// What a speed column counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SpeedUnit {
    /// Metres per second
    #[default]
    Mps,
    /// Kilometres per hour
    Kmh,
    /// Miles per hour
    Mph,
    /// Nautical miles per hour
    Knots,
}

impl SpeedUnit {
    fn in_mps(self, speed: f64) -> f64 {
        match self {
            SpeedUnit::Mps => speed,
            SpeedUnit::Kmh => speed / 3.6,
            SpeedUnit::Mph => speed * 0.447_04,
            SpeedUnit::Knots => speed * 1_852.0 / 3_600.0,
        }
    }
}

/// Column names as they will be looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    vehicle: String,
    time: String,
    lat: String,
    lon: String,
    speed: Wanted,
    speed_unit: SpeedUnit,
    course: Wanted,
    altitude: Wanted,
    accuracy: Wanted,
    fix_id: Wanted,
    device_time: Wanted,
    attributes: Vec<(String, String)>,
}

impl Mapping {
    /// Flags over preset over defaults.
    pub fn from_args(args: &MappingArgs) -> Mapping {
        let capmetro = args.preset == Some(Preset::Capmetro);
        let named = |flag: &Option<String>, default: &str, preset: &str| {
            flag.clone()
                .unwrap_or_else(|| if capmetro { preset } else { default }.to_owned())
        };
        let mut attributes: Vec<(String, String)> = Vec::new();
        if capmetro {
            let kept = ["route_id", "trip_id", "trip_headsign"];
            attributes.extend(kept.map(|name| (name.to_owned(), name.to_owned())));
        }
        attributes.extend(args.attribute.iter().map(|a| match a.split_once('=') {
            Some((column, name)) => (column.to_owned(), name.to_owned()),
            None => (a.clone(), a.clone()),
        }));
        Mapping {
            vehicle: named(&args.vehicle, "vehicle", "vehicle_id"),
            time: named(&args.time, "time", "timestamp"),
            lat: named(&args.lat, "lat", "latitude"),
            lon: named(&args.lon, "lon", "longitude"),
            speed: Wanted::flag_or(&args.speed, "speed"),
            speed_unit: args.speed_unit,
            course: Wanted::flag_or(&args.course, "course"),
            altitude: Wanted::flag_or(&args.altitude, "altitude"),
            accuracy: Wanted::flag_or(&args.accuracy, "accuracy"),
            fix_id: Wanted::flag_or(&args.fix_id, "fix_id"),
            device_time: Wanted::flag_or(&args.device_time, "device_time"),
            attributes,
        }
    }
}

impl Columned for Mapping {
    type Columns = Columns;

    fn find(&self, find: &mut Finder<'_>, count: usize) -> Columns {
        Columns {
            count,
            vehicle: find.needed(&self.vehicle),
            time: find.needed(&self.time),
            lat: find.needed(&self.lat),
            lon: find.needed(&self.lon),
            speed: find.optional(&self.speed),
            speed_unit: self.speed_unit,
            course: find.optional(&self.course),
            altitude: find.optional(&self.altitude),
            accuracy: find.optional(&self.accuracy),
            fix_id: find.optional(&self.fix_id),
            device_time: find.optional(&self.device_time),
            attributes: self
                .attributes
                .iter()
                .map(|(c, name)| (find.needed(c), name.clone()))
                .collect(),
        }
    }
}

/// Places of the mapped columns in one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    count: usize,
    vehicle: usize,
    time: usize,
    lat: usize,
    lon: usize,
    speed: Option<usize>,
    speed_unit: SpeedUnit,
    course: Option<usize>,
    altitude: Option<usize>,
    accuracy: Option<usize>,
    fix_id: Option<usize>,
    device_time: Option<usize>,
    attributes: Vec<(usize, String)>,
}

/// By vehicle: a track takes in many fixes as one event.
impl Keyed for Columns {
    const BATCH_ROWS_MAX: usize = FIXES_MAX;
    const TOGETHER: bool = true;

    fn key<'r>(&self, row: &'r ByteRecord) -> Key<'r> {
        [row.get(self.vehicle).unwrap_or_default(), b"", b""]
    }
}

impl Columns {
    /// The fix a row reports, or what is wrong with the row itself. Whether the fix is acceptable
    /// is not decided here.
    pub fn report(&self, row: &ByteRecord) -> Result<FixReport, Refusal> {
        must_be_whole(row, self.count)?;
        let owned = |place| optional(row, place, "text").map(|t| t.map(str::to_owned));
        let mut attributes = Map::new();
        for (place, name) in &self.attributes {
            let value = text(row, *place, name)?;
            if !value.is_empty() {
                attributes.insert(name.clone(), Value::String(value.to_owned()));
            }
        }
        Ok(FixReport {
            vehicle: text(row, self.vehicle, "vehicle")?.to_owned(),
            fix_time: text(row, self.time, "fixTime")?.to_owned(),
            lat: coordinate(row, self.lat, "lat")?,
            lon: coordinate(row, self.lon, "lon")?,
            fix_id: owned(self.fix_id)?,
            device_time: owned(self.device_time)?,
            altitude_m: number(row, self.altitude, "altitudeM")?,
            speed_mps: number(row, self.speed, "speedMps")?.map(|s| self.speed_unit.in_mps(s)),
            course_deg: number(row, self.course, "courseDeg")?,
            accuracy_m: number(row, self.accuracy, "accuracyM")?,
            attributes: attributes.into(),
            ..FixReport::default()
        })
    }
}

fn coordinate(row: &ByteRecord, place: usize, field: &str) -> Result<f64, Refusal> {
    let found = number(row, Some(place), field)?;
    let missing = || Refusal::new(Code::Validation, format!("{field} is empty")).at([field]);
    let value = found.ok_or_else(missing)?;
    if value.is_finite() {
        return Ok(value);
    }
    Err(Refusal::new(Code::InvalidCoordinates, format!("{field} is not finite")).at([field]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[&str]) -> ByteRecord {
        ByteRecord::from(fields.to_vec())
    }

    #[test]
    fn the_preset_reads_the_buses() {
        let args = MappingArgs {
            preset: Some(Preset::Capmetro),
            ..Default::default()
        };
        let header = row(&[
            "vehicle_id",
            "timestamp",
            "speed",
            "route_id",
            "trip_id",
            "latitude",
            "longitude",
            "trip_headsign",
        ]);
        let columns = Mapping::from_args(&args).columns(&header).unwrap();
        let fields = [
            "2228",
            "2016-11-24T00:00:51-06:00",
            "12.96",
            "1",
            "",
            "30.2",
            "-97.7",
            "1-Metric",
        ];
        let report = columns.report(&row(&fields)).unwrap();
        assert_eq!(
            (report.lat, report.lon, report.speed_mps),
            (30.2, -97.7, Some(12.96))
        );
        assert_eq!(report.vehicle, "2228");
        assert_eq!(report.fix_time, "2016-11-24T00:00:51-06:00");
        let want = serde_json::json!({"route_id": "1", "trip_headsign": "1-Metric"});
        assert_eq!(serde_json::to_value(&report.attributes).unwrap(), want);
    }

    #[test]
    fn flags_win_and_default_columns_need_not_be_there() {
        let args = MappingArgs {
            vehicle: Some("bus".into()),
            speed: Some("v".into()),
            speed_unit: SpeedUnit::Kmh,
            attribute: vec!["line=route".into()],
            ..Default::default()
        };
        let mapping = Mapping::from_args(&args);
        let columns = mapping
            .columns(&row(&["bus", "time", "lat", "lon", "v", "line"]))
            .unwrap();
        let report = columns
            .report(&row(&["7", "t", "1", "2", "36", "M1"]))
            .unwrap();
        assert_eq!(report.speed_mps, Some(10.0));
        assert_eq!(report.attributes["route"], "M1");
        let problem = mapping
            .columns(&row(&["bus", "time", "lat", "speed"]))
            .unwrap_err();
        assert_eq!(
            problem,
            "no column lon, v, line; it has bus, time, lat, speed"
        );
    }

    #[test]
    fn a_bad_row_says_what_is_wrong_with_it() {
        let mapping = Mapping::from_args(&MappingArgs::default());
        let columns = mapping
            .columns(&row(&["vehicle", "time", "lat", "lon", "speed"]))
            .unwrap();
        let cases: &[(&[&[u8]], Code)] = &[
            (&[b"7", b"t", b"1", b"2"], Code::Validation),
            (&[b"7", b"t", b"1", b"2", b"3", b"4"], Code::Validation),
            (&[b"7", b"t", b"north", b"2", b"3"], Code::Validation),
            (&[b"7", b"t", b"", b"2", b"3"], Code::Validation),
            (&[b"7", b"t", b"1", b"NaN", b"3"], Code::InvalidCoordinates),
            (
                &[b"7", b"t", b"1e999", b"2", b"3"],
                Code::InvalidCoordinates,
            ),
            (&[b"7", b"t", b"1", b"2", b"fast"], Code::Validation),
            (&[b"\xff", b"t", b"1", b"2", b"3"], Code::BadText),
        ];
        for (fields, code) in cases {
            let refusal = columns
                .report(&ByteRecord::from(fields.to_vec()))
                .unwrap_err();
            assert_eq!(refusal.code, *code, "{refusal}");
        }
    }
}
