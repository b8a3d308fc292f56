//! How a batch of records is stored: by column, what is absent left out, what lasts written once.

use chrono::{DateTime, Utc};
use serde::de::Error as _;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{LogBatchAccepted, LogObject, LogPriority, LogRecord};
use crate::log_source::LogType;
use crate::personal::Personal;
use crate::values::MICROS_END;

/// What holds from a record on, until the next entry: `[index, value]`.
type Runs<T> = Vec<(usize, T)>;

/// The stored shape, version 1. An optional column is left out when all its values are absent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Packed {
    source_id: String,
    /// Microseconds since 1970.
    timestamp_us: Vec<i64>,
    /// The first entry is the first record's.
    event_type: Runs<LogType>,
    event_name: Vec<String>,
    #[serde(default)]
    event_id: Option<Vec<Option<String>>>,
    /// Normal before the first entry.
    #[serde(default)]
    priority: Runs<LogPriority>,
    /// A pseudonym.
    #[serde(default)]
    user_id: Option<Vec<Option<String>>>,
    #[serde(default)]
    session_id: Option<Vec<Option<String>>>,
    /// None before the first entry.
    #[serde(default)]
    app_version: Runs<Option<String>>,
    #[serde(default)]
    sequence_number: Option<Vec<Option<i64>>>,
    /// None before the first entry.
    #[serde(default)]
    device_info: Runs<LogObject>,
    #[serde(default)]
    properties: Option<Vec<LogObject>>,
    #[serde(default)]
    personal: Option<Vec<Option<Personal>>>,
}

/// Serialises one column straight from the records.
struct Column<'a, F>(&'a [LogRecord], F);

fn column<'a, T, F: Fn(&'a LogRecord) -> T>(records: &'a [LogRecord], of: F) -> Column<'a, F> {
    Column(records, of)
}

impl<'a, T: Serialize, F: Fn(&'a LogRecord) -> T> Serialize for Column<'a, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(&self.1))
    }
}

impl Serialize for LogBatchAccepted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let records = self.records.as_slice();
        let mut out = serializer.serialize_struct("LogBatchAccepted", 13)?;
        out.serialize_field("sourceId", &self.source_id)?;
        let micros = column(records, |r| r.timestamp.timestamp_micros());
        out.serialize_field("timestampUs", &micros)?;
        let types = runs(records, None, |r| Some(r.event_type));
        out.serialize_field("eventType", &types)?;
        let names = column(records, |r| r.event_name.as_str());
        out.serialize_field("eventName", &names)?;
        macro_rules! optional {
            ($name:literal, $field:ident, $view:ident) => {
                if records.iter().any(|r| r.$field.is_some()) {
                    out.serialize_field($name, &column(records, |r| r.$field.$view()))?;
                } else {
                    out.skip_field($name)?;
                }
            };
        }
        macro_rules! run {
            ($name:literal, $first:expr, $value:expr) => {
                let runs = runs(records, $first, $value);
                if runs.is_empty() {
                    out.skip_field($name)?;
                } else {
                    out.serialize_field($name, &runs)?;
                }
            };
        }
        optional!("eventId", event_id, as_deref);
        run!("priority", LogPriority::Normal, |r| r.priority);
        optional!("userId", user_id, as_deref);
        optional!("sessionId", session_id, as_deref);
        run!("appVersion", None, |r| r.app_version.as_deref());
        optional!("sequenceNumber", sequence_number, as_ref);
        let none = LogObject::default();
        run!("deviceInfo", &none, |r| &r.device_info);
        if records.iter().any(|r| !r.properties.is_empty()) {
            let properties = column(records, |r| &r.properties);
            out.serialize_field("properties", &properties)?;
        } else {
            out.skip_field("properties")?;
        }
        optional!("personal", personal, as_ref);
        out.end()
    }
}

/// Where a value changes, and to what, beginning from what needs no entry.
fn runs<'r, T: PartialEq + Copy>(
    records: &'r [LogRecord],
    mut current: T,
    value: impl Fn(&'r LogRecord) -> T,
) -> Runs<T> {
    let mut runs = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let value = value(record);
        if value != current {
            runs.push((index, value));
            current = value;
        }
    }
    runs
}

impl<'de> Deserialize<'de> for LogBatchAccepted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        unpack(Packed::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn unpack(p: Packed) -> Result<LogBatchAccepted, String> {
    let rows = p.timestamp_us.len();
    let Some((0, event_type)) = p.event_type.first().copied() else {
        return Err("no type for the first record".to_owned());
    };
    if p.event_name.len() != rows {
        return Err(uneven("eventName", p.event_name.len(), rows));
    }
    let mut records = Vec::with_capacity(rows);
    for (us, event_name) in p.timestamp_us.into_iter().zip(p.event_name) {
        records.push(bare(time(us)?, event_type, event_name));
    }
    fill("eventId", p.event_id, &mut records, |r, v| r.event_id = v)?;
    fill("userId", p.user_id, &mut records, |r, v| r.user_id = v)?;
    fill("sessionId", p.session_id, &mut records, |r, v| {
        r.session_id = v
    })?;
    fill("sequenceNumber", p.sequence_number, &mut records, |r, v| {
        r.sequence_number = v
    })?;
    fill("properties", p.properties, &mut records, |r, v| {
        r.properties = v
    })?;
    fill("personal", p.personal, &mut records, |r, v| r.personal = v)?;
    spread("eventType", p.event_type, &mut records, |r, v| {
        r.event_type = *v
    })?;
    spread("priority", p.priority, &mut records, |r, v| r.priority = *v)?;
    spread("appVersion", p.app_version, &mut records, |r, v| {
        r.app_version.clone_from(v)
    })?;
    spread("deviceInfo", p.device_info, &mut records, |r, v| {
        r.device_info = v.clone()
    })?;
    if let Some(record) = records
        .iter()
        .find(|r| r.sequence_number.is_some_and(|n| n < 0))
    {
        return Err(format!("sequence number {:?}", record.sequence_number));
    }
    let source_id = p.source_id;
    Ok(LogBatchAccepted { source_id, records })
}

fn fill<T>(
    name: &str,
    column: Option<Vec<T>>,
    records: &mut [LogRecord],
    set: impl Fn(&mut LogRecord, T),
) -> Result<(), String> {
    let Some(column) = column else {
        return Ok(());
    };
    if column.len() != records.len() {
        return Err(uneven(name, column.len(), records.len()));
    }
    records
        .iter_mut()
        .zip(column)
        .for_each(|(record, value)| set(record, value));
    Ok(())
}

fn uneven(name: &str, values: usize, rows: usize) -> String {
    format!("column {name} has {values} values for {rows} records")
}

fn spread<T>(
    name: &str,
    runs: Runs<T>,
    records: &mut [LogRecord],
    set: impl Fn(&mut LogRecord, &T),
) -> Result<(), String> {
    let rows = records.len();
    let ends: Vec<usize> = runs.iter().skip(1).map(|run| run.0).chain([rows]).collect();
    for ((start, value), end) in runs.into_iter().zip(ends) {
        let run = records.get_mut(start..end).filter(|run| !run.is_empty());
        let run = run.ok_or_else(|| format!("{name} from {start} to {end} is no run"))?;
        run.iter_mut().for_each(|record| set(record, &value));
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

fn bare(timestamp: DateTime<Utc>, event_type: LogType, event_name: String) -> LogRecord {
    LogRecord {
        event_id: None,
        timestamp,
        event_type,
        event_name,
        priority: LogPriority::Normal,
        user_id: None,
        session_id: None,
        app_version: None,
        sequence_number: None,
        device_info: LogObject::default(),
        properties: LogObject::default(),
        personal: None,
    }
}
