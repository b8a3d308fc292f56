//! What may be kept of a record that was rejected, where nothing is sealed.

use serde_json::{Map, Value};

use super::{LogObject, LogReport, LogRules, secrets};
use crate::log_source::{PersonalFields, PersonalPath, PersonalRule};

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
    let texts = [
        ("timestamp", Some(&mut kept.timestamp)),
        ("eventType", Some(&mut kept.event_type)),
        ("eventName", Some(&mut kept.event_name)),
        ("priority", kept.priority.as_mut()),
        ("sessionId", kept.session_id.as_mut()),
        ("appVersion", kept.app_version.as_mut()),
    ];
    secrets::clean(texts, &mut paths);
    secrets::clean_id(kept.event_id.as_mut(), rules.pseudonym, &mut paths);
    kept.properties = secrets::redact(&kept.properties, "properties", &mut paths);
    kept.device_info = secrets::redact(&kept.device_info, "deviceInfo", &mut paths);
    kept
}

/// A record that was kept, as it can be judged again: without what stands in the place of what is
/// personal, unless its source refuses such a record still; and the fields to judge it by. Its user is a
/// pseudonym already, so there is no id to be sealed.
pub fn from_kept(kept: &LogReport, fields: &PersonalFields) -> (LogReport, PersonalFields) {
    let refused = |path: PersonalPath<'_>| {
        let mut declared = fields.iter();
        declared.any(|(at, rule)| at == path && rule == PersonalRule::Refuse)
    };
    let said = |object: &LogObject, path: fn(&str) -> PersonalPath<'_>| -> LogObject {
        let known = object
            .iter()
            .filter(|(name, value)| **value != PERSONAL || refused(path(name)));
        known
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let report = LogReport {
        properties: said(&kept.properties, |name| PersonalPath::Property(name)),
        device_info: said(&kept.device_info, |name| PersonalPath::Device(name)),
        ..kept.clone()
    };
    let mut fields = fields.clone();
    fields
        .0
        .retain(|path, rule| path != "userId" || *rule == PersonalRule::Refuse);
    (report, fields)
}

fn hide(object: &mut LogObject, name: &str) {
    if object.get(name).is_some_and(|value| !value.is_null()) {
        let mut map: Map<String, Value> = (**object).clone();
        map.insert(name.to_owned(), PERSONAL.into());
        *object = map.into();
    }
}
