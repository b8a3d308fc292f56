//! Part of a profile: what changes, and what stays as it is.

use serde::{Serialize, Serializer};

use super::VehicleProfile;

/// What becomes of one field of a profile. Left out and cleared are two different things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change {
    /// It stays as it is.
    #[default]
    Keep,
    /// It becomes unknown.
    Clear,
    /// It becomes this.
    Set(String),
}

impl Change {
    fn is_keep(&self) -> bool {
        *self == Change::Keep
    }

    fn apply(&self, field: &mut Option<String>) {
        match self {
            Change::Keep => {}
            Change::Clear => *field = None,
            Change::Set(value) => *field = Some(value.clone()),
        }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Change::Keep | Change::Clear => serializer.serialize_none(),
            Change::Set(value) => serializer.serialize_some(value),
        }
    }
}

/// What becomes of a vehicle's profile, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileChanges {
    /// See [`VehicleProfile::external_id`].
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub external_id: Change,
    /// See [`VehicleProfile::vin`].
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub vin: Change,
    /// See [`VehicleProfile::plate`].
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub plate: Change,
    /// See [`VehicleProfile::name`].
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub name: Change,
    /// See [`VehicleProfile::kind`].
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub kind: Change,
}

impl ProfileChanges {
    /// The profile after the changes.
    pub fn applied_to(&self, profile: &VehicleProfile) -> VehicleProfile {
        let mut after = profile.clone();
        self.external_id.apply(&mut after.external_id);
        self.vin.apply(&mut after.vin);
        self.plate.apply(&mut after.plate);
        self.name.apply(&mut after.name);
        self.kind.apply(&mut after.kind);
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_stays_and_what_is_cleared_goes() {
        let profile = VehicleProfile {
            vin: Some("V".to_owned()),
            plate: Some("P".to_owned()),
            ..VehicleProfile::default()
        };
        let changes = ProfileChanges {
            plate: Change::Clear,
            name: Change::Set("N".to_owned()),
            ..ProfileChanges::default()
        };
        let after = VehicleProfile {
            vin: Some("V".to_owned()),
            name: Some("N".to_owned()),
            ..VehicleProfile::default()
        };
        assert_eq!(changes.applied_to(&profile), after);
        let written = serde_json::to_string(&changes).expect("texts");
        assert_eq!(
            written, r#"{"plate":null,"name":"N"}"#,
            "a retry has the same words"
        );
    }
}
