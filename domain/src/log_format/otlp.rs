//! Logs as OpenTelemetry's exporters send them over HTTP: OTLP, as JSON or as protobuf.
//!
//! Shapes are those of `opentelemetry/proto/logs/v1/logs.proto`; members that are not known are
//! passed over, as OTLP wants it.

mod json;
mod protobuf;
mod wire;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};

use super::within_size;
use crate::log_batch::{LogObject, LogPriority, LogReport};
use crate::log_source::LogType;
use crate::refusal::{Code, Refusal};
use crate::values::{ID_MAX, KEY_MAX, NAME_MAX, too_large};

/// How many records one export may carry. An empty one takes two bytes on its way and hundreds here.
pub const OTLP_RECORDS_MAX: usize = 10_000;
/// How many bytes what records have in common, their resource and scope, may come to in one export,
/// counted for each of them.
pub const OTLP_COMMON_BYTES_MAX: usize = 64 << 20;
/// Severities from this one on are errors: ERROR is 17 to 20, FATAL 21 to 24.
const SEVERITY_ERROR: i64 = 17;
/// What a record is called that has no name, and whose scope has none.
const NO_NAME: &str = "log";

/// Every record of an export in JSON, in its order; a refusal if it is none, or has too many. A
/// record that cannot be read is refused alone, with its path; so is each of a resource or a scope that
/// cannot be read, or says more than a record may repeat.
///
/// Before a record is kept it is asked whether there is room for so many bytes of memory more; where
/// there is none the export is `TOO_LARGE`.
///
/// Attributes become properties. Those that say what a record has a field for become that field:
/// `log.record.uid`, `user.id` or `enduser.id` (of the record or of its resource), `session.id`, and the
/// resource's `service.version`.
/// What is said of the resource is the device. Body, severity, trace and scope are the properties
/// `body`, `severity`, `severityNumber`, `traceId`, `spanId`, `scope` and `scopeVersion`; attributes
/// that are called so themselves are kept within the property `attributes`.
pub fn otlp_json_reports(body: &[u8], has_room: HasRoom<'_>) -> Result<Vec<Read>, Refusal> {
    let read = json::reports(body, Reports::new(has_room));
    read.map_err(|refusal| refusal.with("format", "otlp"))
}

/// As [`otlp_json_reports`], of an export in protobuf.
pub fn otlp_protobuf_reports(body: &[u8], has_room: HasRoom<'_>) -> Result<Vec<Read>, Refusal> {
    let read = protobuf::reports(body, Reports::new(has_room));
    read.map_err(|refusal| refusal.with("format", "otlp"))
}

/// A record, or why it is refused.
type Read = Result<LogReport, Refusal>;

/// Is there room for so many bytes more?
type HasRoom<'r> = &'r mut dyn FnMut(usize) -> bool;

/// Where records come from: what they have in common.
#[derive(Clone, Default)]
struct Origin {
    device: LogObject,
    device_bytes: usize,
    user_id: Option<String>,
    app_version: Option<String>,
    scope: String,
    scope_version: String,
}

/// What a body is that is none.
const NO_EXPORT: &str = "the body is no OTLP export of logs";

/// The resource, and a scope of it.
fn in_scope(
    resource: &Result<Origin, Refusal>,
    scope: Result<(String, String), Refusal>,
) -> Result<Origin, Refusal> {
    let (name, version) = scope?;
    short(Some(&name), NAME_MAX, "scope.name")?;
    short(Some(&version), KEY_MAX, "scope.version")?;
    let mut origin = resource.clone()?;
    (origin.scope, origin.scope_version) = (name, version);
    Ok(origin)
}

impl Origin {
    /// Of a resource; its version is a field of each record, and so is its user. The device is shared,
    /// the texts are repeated: those are no longer than the fields they become may be.
    fn new(mut resource: Map<String, Value>) -> Result<Origin, Refusal> {
        let app_version = take_text(&mut resource, "service.version");
        let user_id = take_user(&mut resource);
        short(app_version.as_deref(), KEY_MAX, "service.version")?;
        short(user_id.as_deref(), ID_MAX, "user.id")?;
        let device = LogObject::from(resource);
        Ok(Origin {
            device_bytes: device.json_bytes(),
            device,
            user_id,
            app_version,
            ..Origin::default()
        })
    }

    /// How much of each of its records is said once for all of them.
    fn bytes(&self) -> usize {
        let optional = [&self.user_id, &self.app_version].into_iter().flatten();
        let repeated = optional.map(String::len).sum::<usize>();
        self.device_bytes + repeated + 2 * self.scope.len() + self.scope_version.len()
    }
}

fn short(text: Option<&str>, chars_max: usize, field: &str) -> Result<(), Refusal> {
    let text = text.unwrap_or_default();
    match text.len() > chars_max && text.chars().count() > chars_max {
        true => {
            let actual = text.chars().count();
            Err(too_large(actual, chars_max, "characters", field))
        }
        false => Ok(()),
    }
}

/// A record as OTLP has it; numbers and texts that were not said are 0 and empty.
#[derive(Default)]
struct Log {
    time_unix_nano: u64,
    observed_time_unix_nano: u64,
    severity_number: i64,
    severity_text: String,
    event_name: String,
    body: Value,
    attributes: Map<String, Value>,
    /// Hexadecimal.
    trace_id: String,
    span_id: String,
}

/// The records of an export as far as it was read.
struct Reports<'r> {
    read: Vec<Read>,
    /// Bytes of what they have in common.
    common: usize,
    has_room: HasRoom<'r>,
}

impl Reports<'_> {
    fn new(has_room: HasRoom<'_>) -> Reports<'_> {
        Reports {
            read: Vec::new(),
            common: 0,
            has_room,
        }
    }

    /// Adds a record that stands at this place: of which resource, of which scope, and which of those.
    fn add(
        &mut self,
        place: [usize; 3],
        origin: &Result<Origin, Refusal>,
        log: impl FnOnce() -> Result<Log, Refusal>,
    ) -> Result<(), Refusal> {
        if self.read.len() >= OTLP_RECORDS_MAX {
            let (actual, limit) = (OTLP_RECORDS_MAX + 1, OTLP_RECORDS_MAX);
            return Err(too_large(actual, limit, "records", "logRecords"));
        }
        let read = match origin {
            Ok(origin) => {
                self.common += origin.bytes();
                if self.common > OTLP_COMMON_BYTES_MAX {
                    let (actual, limit) = (self.common, OTLP_COMMON_BYTES_MAX);
                    return Err(too_large(actual, limit, "bytes", "resource"));
                }
                log().and_then(|log| report(log, origin))
            }
            Err(refusal) => Err(refusal.clone()),
        };
        let lists = ["resourceLogs", "scopeLogs", "logRecords"];
        let path = lists.into_iter().zip(place);
        let path = path.flat_map(|(list, n)| [list.to_owned(), n.to_string()]);
        let read = read.map_err(|refusal| refusal.under(path));
        let shared = match self.read.last() {
            Some(Ok(last)) => read
                .as_ref()
                .is_ok_and(|r| r.device_info.is_shared_with(&last.device_info)),
            _ => false,
        };
        let held = match &read {
            Ok(report) if shared => report.held_without_device(),
            Ok(report) => report.held_bytes(),
            Err(_) => LogReport::default().held_bytes(),
        };
        if !(self.has_room)(held) {
            let message = "the export takes more memory than there is room for";
            return Err(Refusal::new(Code::TooLarge, message).at(["resourceLogs"]));
        }
        self.read.push(read);
        Ok(())
    }
}

fn report(log: Log, origin: &Origin) -> Result<LogReport, Refusal> {
    let mut attributes = log.attributes;
    let user_id = take_user(&mut attributes).or_else(|| origin.user_id.clone());
    let mut take = |name| take_text(&mut attributes, name);
    let event_id = take("log.record.uid");
    let session_id = take("session.id");
    let named = Some(log.event_name).filter(|name| !name.is_empty());
    let named = named.or_else(|| take("event.name"));
    let named = named.or_else(|| Some(origin.scope.clone()).filter(|name| !name.is_empty()));

    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    let hex = |id: &str| id.bytes().any(|b| b != b'0').then(|| Value::from(id));
    let severity = (log.severity_number != 0).then(|| log.severity_number.into());
    let own = [
        ("body", Some(log.body).filter(|body| !body.is_null())),
        ("severity", text(&log.severity_text)),
        ("severityNumber", severity),
        ("traceId", hex(&log.trace_id)),
        ("spanId", hex(&log.span_id)),
        ("scope", text(&origin.scope)),
        ("scopeVersion", text(&origin.scope_version)),
    ];
    let is_error = log.severity_number >= SEVERITY_ERROR;
    let event_type = match is_error {
        true => LogType::Error,
        false => LogType::Observability,
    };
    Ok(LogReport {
        event_id,
        timestamp: time(log.time_unix_nano, log.observed_time_unix_nano)?,
        event_type: event_type.as_str().to_owned(),
        event_name: named.unwrap_or_else(|| NO_NAME.to_owned()),
        priority: is_error.then(|| LogPriority::High.as_str().to_owned()),
        user_id,
        session_id,
        app_version: origin.app_version.clone(),
        device_info: origin.device.clone(),
        properties: with_own(attributes, own).into(),
        ..LogReport::default()
    })
}

/// When it happened, else when somebody first saw it.
fn time(happened: u64, observed: u64) -> Result<String, Refusal> {
    let nanos = if happened == 0 { observed } else { happened };
    let second = i64::try_from(nanos / 1_000_000_000)
        .ok()
        .filter(|_| nanos > 0);
    let below = u32::try_from(nanos % 1_000_000_000).expect("below a billion");
    let time = second.and_then(|second| DateTime::from_timestamp(second, below));
    let time = time.ok_or_else(|| {
        let why = "the record says neither when it happened nor when it was observed";
        Refusal::new(Code::BadTimestamp, why).at(["timeUnixNano"])
    })?;
    Ok(time.to_rfc3339_opts(SecondsFormat::Nanos, true))
}

/// The attributes and what the record says itself; an attribute of such a name gives way.
fn with_own<const N: usize>(
    mut attributes: Map<String, Value>,
    own: [(&str, Option<Value>); N],
) -> Map<String, Value> {
    let mut aside = Map::new();
    for name in own.iter().map(|(name, _)| *name).chain(["attributes"]) {
        let attribute = attributes.remove(name);
        attribute.map(|value| aside.insert(name.to_owned(), value));
    }
    for (name, value) in own {
        value.map(|value| attributes.insert(name.to_owned(), value));
    }
    if !aside.is_empty() {
        attributes.insert("attributes".to_owned(), aside.into());
    }
    attributes
}

/// The user's id, a number or a text, by either name; neither is left where it would stay in the clear.
fn take_user(attributes: &mut Map<String, Value>) -> Option<String> {
    let said = ["user.id", "enduser.id"].map(|name| attributes.remove(name));
    said.into_iter().flatten().find_map(|id| match id {
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

fn take_text(attributes: &mut Map<String, Value>, name: &str) -> Option<String> {
    let text = attributes
        .get(name)?
        .as_str()
        .filter(|text| !text.is_empty());
    let text = text?.to_owned();
    attributes.remove(name);
    Some(text)
}

#[cfg(test)]
mod tests;
