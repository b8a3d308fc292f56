//! What may be kept of a record that was rejected, where nothing is sealed.

use serde_json::{Map, Value};

use super::{LogReport, LogRules, secrets};
use crate::attributes::Attributes;
use crate::log_source::PersonalPath;

/// What stands in the place of what is personal.
pub const PERSONAL: &str = "[personal]";

/// The record as it was said, but for secrets and for what its source declares personal; its user is
/// the pseudonym. So it can be looked at, and judged again with pseudonyms left as they are.
pub fn to_keep(report: &LogReport, rules: &LogRules<'_>) -> LogReport {
    let mut kept = LogReport {
        user_id: report.user_id.as_deref().map(rules.pseudonym),
        ..report.clone()
    };
    for (path, _) in rules.personal_fields.iter() {
        match path {
            PersonalPath::UserId => {}
            PersonalPath::Property(name) => hide(&mut kept.properties, name),
            PersonalPath::Device(name) => hide(&mut kept.device_info, name),
        }
    }
    let mut paths = Vec::new();
    kept.properties = secrets::redact(&kept.properties, "properties", &mut paths);
    kept.device_info = secrets::redact(&kept.device_info, "deviceInfo", &mut paths);
    kept
}

fn hide(object: &mut Attributes, name: &str) {
    if object.get(name).is_some_and(|value| !value.is_null()) {
        let mut map: Map<String, Value> = (**object).clone();
        map.insert(name.to_owned(), PERSONAL.into());
        *object = map.into();
    }
}
