//! A record as it was said, and what must hold before it is believed.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{LogObject, LogPersonal, LogPriority, LogRecord, nothing, properties, secrets};
use crate::log_source::{LogLimits, LogType, PersonalFields, PersonalPath, PersonalRule};
use crate::personal::Personal;
use crate::refusal::{Code, Refusal};
use crate::values::{self, TextRule, TimeFault, optional_text, text, too_large};

/// Greatest number within a session: a JSON number carries it without loss.
const SEQUENCE_NUMBER_MAX: i64 = (1 << 53) - 1;

/// One record as handed in, unchecked: what [`judge`] turns into a [`LogRecord`] or a refusal.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogReport {
    /// See [`LogRecord::event_id`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// RFC 3339 with a zone.
    pub timestamp: String,
    /// A word of [`LogType`].
    pub event_type: String,
    /// What happened.
    pub event_name: String,
    /// A word of [`LogPriority`]; `normal` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// The user's id, in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Which session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Which version of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    /// Its number within its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_number: Option<i64>,
    /// What the program ran on.
    #[serde(skip_serializing_if = "nothing")]
    pub device_info: LogObject,
    /// Anything else.
    #[serde(skip_serializing_if = "nothing")]
    pub properties: LogObject,
}

/// What records are judged by.
#[derive(Clone, Copy)]
pub struct LogRules<'r> {
    /// What the records of their source may be.
    pub limits: &'r LogLimits,
    /// What in them is personal.
    pub personal_fields: &'r PersonalFields,
    /// The time.
    pub now: DateTime<Utc>,
    /// Records may be however old. The future stays out.
    pub backfill: bool,
    /// What a user's id is stored as: the same for the same id, and nothing that leads back to it
    /// without a key.
    pub pseudonym: &'r (dyn Fn(&str) -> String + Sync),
}

/// A record that is believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// As it will be stored.
    pub record: LogRecord,
    /// Where a secret was taken out, such as `properties.password`.
    pub redacted: Vec<String>,
}

impl LogReport {
    /// How many bytes it says: texts by their own, objects by those of their JSON.
    pub fn bytes(&self) -> usize {
        let objects = [&self.device_info, &self.properties];
        objects.into_iter().map(object_bytes).sum::<usize>() + self.text_bytes()
    }

    pub(super) fn text_bytes(&self) -> usize {
        let optional = [
            &self.event_id,
            &self.priority,
            &self.user_id,
            &self.session_id,
            &self.app_version,
        ];
        let optional = optional.into_iter().flatten().map(String::len);
        let said = [&self.timestamp, &self.event_type, &self.event_name];
        optional.sum::<usize>() + said.map(String::len).iter().sum::<usize>()
    }
}

fn object_bytes(object: &LogObject) -> usize {
    match object.is_empty() {
        true => 0,
        false => object.json_bytes(),
    }
}

/// What was said becomes a record, or the first thing wrong with it.
///
/// Checked in this order, each with the path of its field and both values in the details: `eventId`,
/// `timestamp` (`BAD_TIMESTAMP`, `TIMESTAMP_TOO_OLD`, `TIMESTAMP_IN_FUTURE`), `eventType`
/// (`UNKNOWN_EVENT_TYPE`), `eventName`, `priority`, `userId`, `sessionId`, `appVersion`,
/// `sequenceNumber` (`OUT_OF_RANGE`), the record's size (`TOO_LARGE`), `deviceInfo`, `properties`,
/// and its personal fields (`PERSONAL_DATA_REFUSED`). Texts answer `BAD_TEXT`, `TOO_LARGE` or
/// `VALIDATION`. Of what is refused no secret is shown, and none is within what is believed.
pub fn judge(report: &LogReport, rules: &LogRules<'_>) -> Result<Judged, Refusal> {
    let text_of =
        |value: &Option<String>, rule, field| optional_text(rule, value.as_deref(), field);
    let event_id = text_of(&report.event_id, TextRule::Id, "eventId")?;
    let timestamp = timestamp(&report.timestamp, rules)?;
    let event_type = event_type(&report.event_type)?;
    let event_name = text(TextRule::Name, &report.event_name, "eventName")?.to_owned();
    let priority = priority(report.priority.as_deref())?;
    let user_id = text_of(&report.user_id, TextRule::Id, "userId")?;
    let session_id = text_of(&report.session_id, TextRule::Id, "sessionId")?;
    let app_version = text_of(&report.app_version, TextRule::Key, "appVersion")?;
    let sequence_number = report.sequence_number.map(sequence_number).transpose()?;
    within_size(report, rules.limits.record_bytes_max)?;
    let mut redacted = Vec::new();
    let device_info = checked(&report.device_info, "deviceInfo", &mut redacted)?;
    let properties = checked(&report.properties, "properties", &mut redacted)?;
    let mut record = LogRecord {
        event_id,
        timestamp,
        event_type,
        event_name,
        priority,
        user_id,
        session_id,
        app_version,
        sequence_number,
        device_info,
        properties,
        personal: None,
    };
    let texts = [
        ("eventName", Some(&mut record.event_name)),
        ("sessionId", record.session_id.as_mut()),
        ("appVersion", record.app_version.as_mut()),
    ];
    secrets::clean(texts, &mut redacted);
    secrets::clean_id(record.event_id.as_mut(), rules.pseudonym, &mut redacted);
    set_apart(&mut record, rules.personal_fields)?;
    record.user_id = record.user_id.as_deref().map(rules.pseudonym);
    Ok(Judged { record, redacted })
}

fn timestamp(said: &str, rules: &LogRules<'_>) -> Result<DateTime<Utc>, Refusal> {
    let refuse = |code: Code, message: &str| {
        let now = rules.now.to_rfc3339_opts(SecondsFormat::Millis, true);
        Refusal::new(code, message)
            .at(["timestamp"])
            .with("timestamp", secrets::shown(said))
            .with("now", now)
    };
    let in_future = || {
        let message = "the record's time is too far ahead of the server's clock";
        refuse(Code::TimestampInFuture, message)
            .with("limitSeconds", rules.limits.ahead_seconds_max)
    };
    let at = match values::parse_timestamp(said) {
        Ok(at) => at,
        Err(TimeFault::After9999) => return Err(in_future()),
        Err(TimeFault::Before1970) => {
            let message = "the record's time is before 1970";
            let refusal = refuse(Code::TimestampTooOld, message);
            return Err(refusal.with("limit", "1970-01-01T00:00:00Z"));
        }
        Err(TimeFault::Malformed) => {
            return values::timestamp(&secrets::without(said), "timestamp");
        }
    };
    let seconds = |seconds: u32| chrono::TimeDelta::seconds(seconds.into());
    let ahead = at.signed_duration_since(rules.now);
    if ahead > seconds(rules.limits.ahead_seconds_max) {
        return Err(in_future());
    }
    if !rules.backfill && -ahead > seconds(rules.limits.age_seconds_max) {
        let message = "the record is older than its source allows";
        let refusal = refuse(Code::TimestampTooOld, message);
        return Err(refusal.with("limitSeconds", rules.limits.age_seconds_max));
    }
    Ok(at)
}

fn event_type(said: &str) -> Result<LogType, Refusal> {
    LogType::of_word(said).ok_or_else(|| {
        let accepted: Vec<&str> = LogType::ALL.iter().map(|word| word.as_str()).collect();
        Refusal::new(Code::UnknownEventType, "there is no such type of records")
            .at(["eventType"])
            .with("actual", secrets::shown(said))
            .with("accepted", accepted)
    })
}

fn priority(said: Option<&str>) -> Result<LogPriority, Refusal> {
    let Some(said) = said else {
        return Ok(LogPriority::Normal);
    };
    LogPriority::of_word(said).ok_or_else(|| {
        let accepted: Vec<&str> = LogPriority::ALL.iter().map(|word| word.as_str()).collect();
        Refusal::new(Code::Validation, "there is no such priority")
            .at(["priority"])
            .with("actual", secrets::shown(said))
            .with("accepted", accepted)
    })
}

fn sequence_number(said: i64) -> Result<i64, Refusal> {
    if (0..=SEQUENCE_NUMBER_MAX).contains(&said) {
        return Ok(said);
    }
    let why = "sequenceNumber is not within 0 and what 53 bits hold";
    Err(Refusal::new(Code::OutOfRange, why)
        .at(["sequenceNumber"])
        .with("min", 0)
        .with("max", SEQUENCE_NUMBER_MAX)
        .with("actual", said))
}

/// The object within its bounds and without secrets.
fn checked(
    object: &LogObject,
    field: &str,
    redacted: &mut Vec<String>,
) -> Result<LogObject, Refusal> {
    if object.is_plain() {
        return Ok(object.clone());
    }
    match properties::check(object, field)? {
        true => Ok(secrets::redact(object, field, redacted)),
        false => Ok(object.clone()),
    }
}

/// All that was said, as it was said: texts by their bytes, objects by those of their JSON.
fn within_size(report: &LogReport, limit: u32) -> Result<(), Refusal> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let objects = [
        ("deviceInfo", &report.device_info),
        ("properties", &report.properties),
    ];
    let mut bytes = 0;
    for (field, object) in objects {
        let own = object_bytes(object);
        if own > limit {
            return Err(too_large(own, limit, "bytes", field));
        }
        bytes += own;
    }
    bytes += report.text_bytes();
    if bytes > limit {
        return Err(too_large(bytes, limit, "bytes", "the record").at::<[&str; 0], _>([]));
    }
    Ok(())
}

/// Moves what is to be sealed into the record's personal part; refuses what the source refuses.
fn set_apart(record: &mut LogRecord, fields: &PersonalFields) -> Result<(), Refusal> {
    let mut apart = LogPersonal::default();
    let (mut properties, mut device) = (Map::new(), Map::new());
    for (path, rule) in fields.iter() {
        let (object, name) = match path {
            PersonalPath::UserId => {
                let Some(user_id) = &record.user_id else {
                    continue;
                };
                refuse_if(rule, "userId", None)?;
                apart.user_id = Some(secrets::without(user_id).into_owned());
                continue;
            }
            PersonalPath::Property(name) => (&record.properties, name),
            PersonalPath::Device(name) => (&record.device_info, name),
        };
        if !object.may_have(name) {
            continue;
        }
        let Some(value) = object.get(name).filter(|value| !value.is_null()) else {
            continue;
        };
        let (field, taken) = match path {
            PersonalPath::Device(_) => ("deviceInfo", &mut device),
            _ => ("properties", &mut properties),
        };
        refuse_if(rule, field, Some(name))?;
        taken.insert(name.to_owned(), value.clone());
    }
    record.properties = without(&record.properties, &properties);
    record.device_info = without(&record.device_info, &device);
    apart.properties = properties.into();
    apart.device_info = device.into();
    if apart != LogPersonal::default() {
        let text = serde_json::to_string(&apart).expect("it is plain data");
        record.personal = Some(Personal::Plain(text));
    }
    Ok(())
}

fn refuse_if(rule: PersonalRule, field: &str, name: Option<&str>) -> Result<(), Refusal> {
    match rule {
        PersonalRule::Seal => Ok(()),
        PersonalRule::Refuse => {
            let message = "the source refuses this field: it tells who somebody is";
            let path = [field].into_iter().chain(name);
            Err(Refusal::new(Code::PersonalDataRefused, message).at(path))
        }
    }
}

fn without(object: &LogObject, taken: &Map<String, Value>) -> LogObject {
    if taken.is_empty() {
        return object.clone();
    }
    let kept = object.iter().filter(|(name, _)| !taken.contains_key(*name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
