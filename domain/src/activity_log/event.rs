//! What can have happened to a month of activities.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::activity::{Activity, ActivityFlag, ActivityRef, ActivityRules};

/// What happened to a month of activities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ActivityLogEvent {
    /// A source told something new.
    #[serde(rename = "activity_log.synced")]
    ActivitiesSynced(ActivitiesSynced),
}

/// Told of. At least one of the lists is not empty, and no activity is in two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActivitiesSynced {
    /// Whose, by id.
    pub user: String,
    /// By what they were flagged.
    pub rules: ActivityRules,
    /// Not known before, or taken back before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<RecordedActivity>,
    /// Told otherwise: these count instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amended: Vec<RecordedActivity>,
    /// Taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<ActivityRef>,
}

/// An activity as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordedActivity {
    /// What its source says.
    pub activity: Activity,
    /// How often it was told otherwise, from 1.
    pub revision: u32,
    /// Why it is hard to believe.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub flags: BTreeSet<ActivityFlag>,
}
