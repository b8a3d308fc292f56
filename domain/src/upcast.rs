//! Old payloads become today's, one function per step.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::event::DecodeError;

/// One step from a version to the next.
struct Step {
    event_type: &'static str,
    from: &'static str,
    to: &'static str,
    upcast: fn(Value) -> Result<Value, String>,
}

/// Every step ever needed, oldest first. No released event has changed its shape yet.
const STEPS: &[Step] = &[];

/// Walks the steps from `version` to `today`, then decodes.
pub(crate) fn decode_old<T: DeserializeOwned>(
    event_type: &str,
    version: &str,
    today: &str,
    payload: &str,
) -> Result<T, DecodeError> {
    let value = walk(STEPS, event_type, version, today, payload)?;
    serde_json::from_value(value).map_err(|e| unreadable(event_type, e))
}

fn walk(
    steps: &[Step],
    event_type: &str,
    version: &str,
    today: &str,
    payload: &str,
) -> Result<Value, DecodeError> {
    let mut value: Value = serde_json::from_str(payload).map_err(|e| unreadable(event_type, e))?;
    let mut at = version;
    while at != today {
        let step = steps
            .iter()
            .find(|s| s.event_type == event_type && s.from == at)
            .ok_or_else(|| DecodeError::UnknownVersion {
                event_type: event_type.to_owned(),
                event_version: version.to_owned(),
            })?;
        value = (step.upcast)(value).map_err(|reason| unreadable(event_type, reason))?;
        at = step.to;
    }
    Ok(value)
}

fn unreadable(event_type: &str, reason: impl ToString) -> DecodeError {
    DecodeError::Payload {
        event_type: event_type.to_owned(),
        reason: reason.to_string(),
    }
}
