//! Activities: from flags and presets to what one row says that somebody did.

use chrono::{DateTime, NaiveDate, Utc};
use clap::{Args, ValueEnum};
use csv::ByteRecord;
use domain::activity::{Activity, Measures};
use domain::activity_log::SYNC_RECORDS_MAX;
use domain::period::{Calendar, Frame};
use domain::{Code, Refusal, Zone, decimal, values};

use super::batch::{Columned, Key, Keyed};
use super::columns::{Finder, Given, Wanted, must_be_whole, optional, text, time, word};

/// Who tells of activities that name no source.
const SOURCE: &str = "import";

/// Names of columns. Without a preset a flag's own name is its column.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Columns")]
pub struct ActivityArgs {
    /// Columns and units of a known source; single flags still win
    #[arg(long, value_enum)]
    pub preset: Option<ActivityPreset>,
    /// Who tells of them: an id means something within it only [default: import]
    #[arg(long, value_name = "NAME", help_heading = "Values")]
    pub source: Option<String>,
    /// What all of them were, such as walking, in place of a column
    #[arg(long, value_name = "NAME", help_heading = "Values")]
    pub kind: Option<String>,
    /// Whose midnights days begin and end at: a zone of the IANA database [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = zone, help_heading = "Values")]
    pub zone: Option<Zone>,
    /// Unit of the distance column [default: m]
    #[arg(long, value_enum, help_heading = "Values")]
    pub distance_unit: Option<DistanceUnit>,
    /// Column of whose it is: the id of an account, or what another system calls them
    #[arg(long, value_name = "COLUMN")]
    pub user: Option<String>,
    /// Column of what the source calls it; with days the day itself, unless this names a column
    #[arg(long, value_name = "COLUMN")]
    pub id: Option<String>,
    /// Column of what it was, where --kind says nothing
    #[arg(long, value_name = "COLUMN")]
    pub kind_column: Option<String>,
    /// Column of when it began
    #[arg(long, value_name = "COLUMN", conflicts_with = "day")]
    pub start: Option<String>,
    /// Column of when it was over
    #[arg(long, value_name = "COLUMN", conflicts_with = "day")]
    pub end: Option<String>,
    /// Column of a whole day, such as 2016-04-12, in place of start and end
    #[arg(long, value_name = "COLUMN")]
    pub day: Option<String>,
    /// Column of the steps
    #[arg(long, value_name = "COLUMN")]
    pub steps: Option<String>,
    /// Column of the distance; rounded to whole millimetres
    #[arg(long, value_name = "COLUMN")]
    pub distance: Option<String>,
    /// Column of the kilocalories; rounded to whole ones
    #[arg(long, value_name = "COLUMN")]
    pub calories: Option<String>,
    /// Column of minutes of activity; repeatable, they add up
    #[arg(long, value_name = "COLUMN")]
    pub active_minutes: Vec<String>,
    /// Column of the device that measured it
    #[arg(long, value_name = "COLUMN")]
    pub device: Option<String>,
    /// Column of whether it was entered by hand: true or false
    #[arg(long, value_name = "COLUMN")]
    pub manual: Option<String>,
    /// Keep a column of whole numbers as a measure, under its own or another name; repeatable
    #[arg(long, value_name = "COLUMN[=NAME]")]
    pub measure: Vec<String>,
}

/// Sources whose columns are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ActivityPreset {
    /// Days of Fitbit as its export has them: Id, ActivityDate (M/D/YYYY), TotalSteps, TotalDistance in
    /// kilometres, Calories; active are VeryActiveMinutes and FairlyActiveMinutes
    Fitbit,
}

/// What a distance column counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DistanceUnit {
    /// Metres
    #[default]
    M,
    /// Kilometres
    Km,
    /// Miles
    Mi,
}

impl DistanceUnit {
    fn millimetres(self) -> u32 {
        match self {
            DistanceUnit::M => 1_000,
            DistanceUnit::Km => 1_000_000,
            DistanceUnit::Mi => 1_609_344,
        }
    }
}

fn zone(name: &str) -> Result<Zone, String> {
    Zone::of_name(name).ok_or_else(|| format!("{name} is no zone of the IANA database"))
}

/// When an activity was: by names of columns, and by places once found.
#[derive(Clone, Debug, PartialEq)]
enum When<P = String> {
    /// From one time to another.
    Span { start: P, end: P },
    /// On a whole day, written so.
    Day { day: P, format: &'static str },
}

/// Column names as they will be looked for, and what all rows have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityMapping {
    source: String,
    zone: Option<Zone>,
    distance_unit: DistanceUnit,
    user: String,
    id: Option<String>,
    kind: Given,
    when: When,
    steps: Wanted,
    distance: Wanted,
    calories: Wanted,
    active_minutes: Vec<Wanted>,
    device: Wanted,
    manual: Wanted,
    measures: Vec<(String, String)>,
}

impl ActivityMapping {
    /// Flags over preset over defaults.
    pub fn from_args(args: &ActivityArgs) -> ActivityMapping {
        let fitbit = args.preset == Some(ActivityPreset::Fitbit);
        let usual = |usual: &'static str, preset: &'static str| if fitbit { preset } else { usual };
        let named = |flag: &Option<String>, default, preset| {
            let usual = || usual(default, preset).to_owned();
            flag.clone().unwrap_or_else(usual)
        };
        let wanted = |flag: &Option<String>, default, preset| {
            let wanted = Wanted::flag_or(flag, usual(default, preset));
            Wanted {
                // Without them a row tells something else.
                required: wanted.required || fitbit,
                ..wanted
            }
        };
        let minutes: Vec<_> = args.active_minutes.iter().cloned().map(Some).collect();
        let active_minutes = match (minutes.is_empty(), fitbit) {
            (false, _) => minutes.iter().map(|flag| wanted(flag, "", "")).collect(),
            (true, true) => ["VeryActiveMinutes", "FairlyActiveMinutes"]
                .map(|column| wanted(&None, column, column))
                .into(),
            (true, false) => vec![wanted(&None, "active_minutes", "")],
        };
        let unit = if fitbit {
            DistanceUnit::Km
        } else {
            DistanceUnit::M
        };
        let (value, column) = (&args.kind, &args.kind_column);
        let when = when(args, fitbit);
        ActivityMapping {
            source: named(&args.source, SOURCE, "fitbit"),
            zone: args.zone,
            distance_unit: args.distance_unit.unwrap_or(unit),
            user: named(&args.user, "user", "Id"),
            id: match &when {
                When::Span { .. } => Some(named(&args.id, "id", "id")),
                When::Day { .. } => args.id.clone(),
            },
            kind: Given::flags(value, column, fitbit.then_some("day"), "kind"),
            when,
            steps: wanted(&args.steps, "steps", "TotalSteps"),
            distance: wanted(&args.distance, "distance", "TotalDistance"),
            calories: wanted(&args.calories, "calories", "Calories"),
            active_minutes,
            device: Wanted::flag_or(&args.device, "device"),
            manual: Wanted::flag_or(&args.manual, "manual"),
            measures: args.measure.iter().map(|m| measure(m)).collect(),
        }
    }
}

fn when(args: &ActivityArgs, fitbit: bool) -> When {
    let iso = "%Y-%m-%d";
    match (&args.day, args.start.is_some() || args.end.is_some()) {
        (Some(day), _) => When::Day {
            day: day.clone(),
            format: iso,
        },
        (None, false) if fitbit => When::Day {
            day: "ActivityDate".to_owned(),
            format: "%m/%d/%Y",
        },
        (None, _) => {
            let named =
                |flag: &Option<String>, usual: &str| flag.clone().unwrap_or(usual.to_owned());
            When::Span {
                start: named(&args.start, "start"),
                end: named(&args.end, "end"),
            }
        }
    }
}

fn measure(flag: &str) -> (String, String) {
    let (column, name) = flag.split_once('=').unwrap_or((flag, flag));
    (column.to_owned(), name.to_owned())
}

impl Columned for ActivityMapping {
    type Columns = ActivityColumns;

    fn find(&self, find: &mut Finder<'_>, count: usize) -> ActivityColumns {
        ActivityColumns {
            count,
            source: self.source.clone(),
            zone: self.zone,
            distance_unit: self.distance_unit,
            user: find.needed(&self.user),
            id: self.id.as_ref().map(|id| find.needed(id)),
            kind: self.kind.find(find),
            when: match &self.when {
                When::Span { start, end } => When::Span {
                    start: find.needed(start),
                    end: find.needed(end),
                },
                When::Day { day, format } => When::Day {
                    day: find.needed(day),
                    format,
                },
            },
            steps: find.optional(&self.steps),
            distance: find.optional(&self.distance),
            calories: find.optional(&self.calories),
            active_minutes: self
                .active_minutes
                .iter()
                .filter_map(|wanted| find.optional(wanted))
                .collect(),
            device: find.optional(&self.device),
            manual: find.optional(&self.manual),
            measures: self
                .measures
                .iter()
                .map(|(column, name)| (find.needed(column), name.clone()))
                .collect(),
        }
    }
}

/// Places of the mapped columns in one source.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityColumns {
    count: usize,
    source: String,
    zone: Option<Zone>,
    distance_unit: DistanceUnit,
    user: usize,
    id: Option<usize>,
    kind: Given<usize>,
    when: When<usize>,
    steps: Option<usize>,
    distance: Option<usize>,
    calories: Option<usize>,
    active_minutes: Vec<usize>,
    device: Option<usize>,
    manual: Option<usize>,
    measures: Vec<(usize, String)>,
}

/// By user: a sync takes in many activities of one.
impl Keyed for ActivityColumns {
    const BATCH_ROWS_MAX: usize = SYNC_RECORDS_MAX;
    const TOGETHER: bool = true;

    fn key<'r>(&self, row: &'r ByteRecord) -> Key<'r> {
        [row.get(self.user).unwrap_or_default(), b"", b""]
    }
}

/// When a row says that it was, and what it is called where nothing else says so.
struct Moment {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    named: Option<String>,
}

impl ActivityColumns {
    /// Whose activity a row tells of, and what it says; or what is wrong with the row itself. Whether it is
    /// acceptable is not decided here.
    pub fn activity(&self, row: &ByteRecord) -> Result<(String, Activity), Refusal> {
        must_be_whole(row, self.count)?;
        let user = values::key_part(text(row, self.user, "user")?, "user")?;
        let Moment { start, end, named } = self.moment(row)?;
        let external_id = match (self.id, named) {
            (Some(place), _) => text(row, place, "id")?.to_owned(),
            (None, named) => named.unwrap_or_default(),
        };
        let activity = Activity {
            source: self.source.clone(),
            external_id,
            device: optional(row, self.device, "device")?.map(str::to_owned),
            kind: self.kind.text(row, "kind")?.to_owned(),
            start,
            end,
            offset_minutes: None,
            manual: word(row, self.manual, "manual", truth)?.unwrap_or(false),
            measures: self.measures(row)?,
        };
        Ok((user, activity))
    }

    fn moment(&self, row: &ByteRecord) -> Result<Moment, Refusal> {
        match &self.when {
            When::Span { start, end } => Ok(Moment {
                start: must_be(time(row, Some(*start), "start")?, "start")?,
                end: must_be(time(row, Some(*end), "end")?, "end")?,
                named: None,
            }),
            When::Day { day, format } => {
                let said = text(row, *day, "day")?;
                let day = NaiveDate::parse_from_str(said, format).map_err(|_| no_day())?;
                let named = day.to_string();
                let utc = || Zone::of_name("UTC").ok_or_else(no_day);
                let days = Frame {
                    calendar: &Calendar::Daily,
                    zone: self.zone.map_or_else(utc, Ok)?,
                    starts_at: DateTime::<Utc>::MIN_UTC,
                    ends_at: None,
                };
                let period = days.period_by_key(&named).ok_or_else(no_day)?;
                Ok(Moment {
                    start: period.start,
                    end: period.end.ok_or_else(no_day)?,
                    named: Some(named),
                })
            }
        }
    }

    fn measures(&self, row: &ByteRecord) -> Result<Measures, Refusal> {
        let scaled = |place, times: u32, field: &str| {
            let said = optional(row, place, field)?;
            said.map(|said| decimal::scaled(said, times, field))
                .transpose()
        };
        let whole = |place, field: &str| {
            let said = optional(row, place, field)?;
            said.map(|said| decimal::parse(said, 0, field)).transpose()
        };
        let mut active_minutes: Option<i64> = None;
        for place in &self.active_minutes {
            if let Some(minutes) = whole(Some(*place), "activeMinutes")? {
                active_minutes = Some(active_minutes.unwrap_or(0).saturating_add(minutes));
            }
        }
        let mut measures = Measures {
            steps: whole(self.steps, "steps")?,
            distance_mm: scaled(self.distance, self.distance_unit.millimetres(), "distance")?,
            calories_kcal: scaled(self.calories, 1, "calories")?,
            active_minutes,
            ..Measures::default()
        };
        for (place, name) in &self.measures {
            if let Some(value) = whole(Some(*place), name)? {
                measures.custom.insert(name.clone(), value);
            }
        }
        Ok(measures)
    }
}

fn truth(said: &str) -> Option<bool> {
    match said {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn must_be<T>(found: Option<T>, field: &str) -> Result<T, Refusal> {
    found.ok_or_else(|| Refusal::new(Code::Validation, format!("{field} is empty")).at([field]))
}

fn no_day() -> Refusal {
    Refusal::new(Code::BadTimestamp, "day is no day of the zone's calendar").at(["day"])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The user and the activity of a row, or why there is none.
    fn check(args: &ActivityArgs, row: &[(&str, &str)]) -> Result<Value, String> {
        let header: ByteRecord = row.iter().map(|(name, _)| *name).collect::<Vec<_>>().into();
        let fields: ByteRecord = row
            .iter()
            .map(|(_, value)| *value)
            .collect::<Vec<_>>()
            .into();
        let columns = ActivityMapping::from_args(args).columns(&header)?;
        let (user, activity) = columns.activity(&fields).map_err(|refusal| {
            let path = refusal.path.join(".");
            format!("{} {path}", refusal.code.as_str())
        })?;
        let mut told = serde_json::to_value(activity).unwrap();
        told["user"] = json!(user);
        Ok(told)
    }

    fn fitbit() -> ActivityArgs {
        ActivityArgs {
            preset: Some(ActivityPreset::Fitbit),
            zone: Zone::of_name("America/New_York"),
            ..ActivityArgs::default()
        }
    }

    const DAY: [(&str, &str); 8] = [
        ("Id", "1503960366"),
        ("ActivityDate", "4/13/2016"),
        ("TotalSteps", "10735"),
        ("TotalDistance", "6.96999979019165"),
        ("TrackerDistance", "1"),
        ("VeryActiveMinutes", "21"),
        ("FairlyActiveMinutes", "19"),
        ("Calories", "1797"),
    ];

    #[test]
    fn the_preset_reads_days() {
        let want = json!({
            "user": "1503960366", "source": "fitbit", "externalId": "2016-04-13", "kind": "day",
            "start": "2016-04-13T04:00:00Z", "end": "2016-04-14T04:00:00Z", "manual": false,
            "measures": { "steps": 10_735, "distanceMm": 6_970_000, "caloriesKcal": 1_797,
                          "activeMinutes": 40 },
        });
        assert_eq!(check(&fitbit(), &DAY), Ok(want));
        // A day that lacks an hour.
        let spring = DAY.map(|(name, value)| match name {
            "ActivityDate" => (name, "3/13/2016"),
            "TotalSteps" | "VeryActiveMinutes" | "FairlyActiveMinutes" => (name, ""),
            _ => (name, value),
        });
        let told = check(&fitbit(), &spring).unwrap();
        assert_eq!(told["start"], "2016-03-13T05:00:00Z");
        assert_eq!(told["end"], "2016-03-14T04:00:00Z");
        let measured = json!({ "distanceMm": 6_970_000, "caloriesKcal": 1_797 });
        assert_eq!(told["measures"], measured, "what is empty was not measured");
        let missing = check(&fitbit(), &DAY[..3]).unwrap_err();
        let want = "no column TotalDistance, Calories, VeryActiveMinutes, FairlyActiveMinutes; \
                    it has Id, ActivityDate, TotalSteps";
        assert_eq!(missing, want);
        for (column, value, want) in [
            ("ActivityDate", "2016-04-13", "BAD_TIMESTAMP day"),
            ("ActivityDate", "2/30/2016", "BAD_TIMESTAMP day"),
            ("ActivityDate", "4/13/2016 1:00:00 AM", "BAD_TIMESTAMP day"),
            ("Id", "", "VALIDATION user"),
            ("Id", "a/b", "VALIDATION user"),
            ("TotalSteps", "1.5", "VALIDATION steps"),
            ("TotalSteps", "-1", "OUT_OF_RANGE steps"),
            ("TotalDistance", "1E-05", "VALIDATION distance"),
            ("VeryActiveMinutes", "NaN", "VALIDATION activeMinutes"),
        ] {
            let row = DAY.map(|(name, old)| (name, if name == column { value } else { old }));
            assert_eq!(check(&fitbit(), &row), Err(want.to_owned()), "{value}");
        }
    }

    #[test]
    fn any_columns_are_read_by_their_names_or_by_flags() {
        let args = ActivityArgs {
            source: Some("watch".to_owned()),
            kind: Some("running".to_owned()),
            distance_unit: Some(DistanceUnit::Mi),
            active_minutes: vec!["brisk".to_owned(), "fast".to_owned()],
            measure: vec!["floors".to_owned(), "hr=heart_rate".to_owned()],
            ..ActivityArgs::default()
        };
        let row = [
            ("user", "ada"),
            ("id", "7"),
            ("start", "2024-05-01T10:00:00+02:00"),
            ("end", "2024-05-01T08:30:00Z"),
            ("distance", "3.1"),
            ("calories", "250.5"),
            ("brisk", "5"),
            ("fast", "20"),
            ("floors", "3"),
            ("hr", ""),
            ("device", "w2"),
            ("manual", "true"),
        ];
        let want = json!({
            "user": "ada", "source": "watch", "externalId": "7", "kind": "running", "device": "w2",
            "start": "2024-05-01T08:00:00Z", "end": "2024-05-01T08:30:00Z", "manual": true,
            "measures": { "distanceMm": 4_988_966, "caloriesKcal": 251, "activeMinutes": 25,
                          "custom": { "floors": 3 } },
        });
        assert_eq!(check(&args, &row), Ok(want));
        for (column, value, want) in [
            ("start", "", "VALIDATION start"),
            ("end", "noon", "BAD_TIMESTAMP end"),
            ("manual", "perhaps", "VALIDATION manual"),
            ("floors", "3.5", "VALIDATION floors"),
        ] {
            let row = row.map(|(name, old)| (name, if name == column { value } else { old }));
            assert_eq!(check(&args, &row), Err(want.to_owned()), "{value}");
        }
        let days = ActivityArgs {
            day: Some("date".to_owned()),
            ..ActivityArgs::default()
        };
        let row = [
            ("user", "ada"),
            ("kind", "day"),
            ("date", "2024-05-01"),
            ("steps", "9"),
        ];
        let told = check(&days, &row).unwrap();
        let when = [&told["externalId"], &told["start"], &told["end"]];
        let want = ["2024-05-01", "2024-05-01T00:00:00Z", "2024-05-02T00:00:00Z"];
        assert_eq!(when, want);
        let missing = check(&ActivityArgs::default(), &row).unwrap_err();
        assert_eq!(
            missing,
            "no column id, start, end; it has user, kind, date, steps"
        );
    }
}
