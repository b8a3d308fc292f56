//! Objectives: what each says and said before, what does not count, and which alerts are up.
//!
//! An objective is defined and retired once at most, so each is a column of its one row; revisions, spans
//! that are left out and alerts come again, so each word about them is a fact of its own, keyed by
//! position. So *as known at a position* is a filter, and ranges of the log may arrive in any order.

mod fold;
mod tables;
mod write;
mod read;
#[cfg(test)]
mod tests;

pub use read::{AlertRow, ExclusionRow, RevisionRow, SloFilter, SloRow};
pub use read::{exclusions, revisions, slo, slos};

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::slo::{BurnRates, BurnRule, Objective};
use domain::{Event, Recorded};
use sqlx::PgConnection;

use crate::latest::{Latest, keep_last};
use crate::{Poison, Projection, Target};

/// The read model's name.
pub const NAME: &str = "slos";

/// See the file's first lines.
pub(crate) struct Slos;

/// What changed about which objective.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delta {
    slos: HashMap<String, SloChange>,
    /// By (objective, position), as all facts are.
    revisions: HashMap<(String, i64), Fact<Revision>>,
    exclusions: HashMap<(String, i64), Fact<Exclusion>>,
    alerts: HashMap<(String, i64), Fact<Alert>>,
}

#[derive(Debug, Default, PartialEq)]
struct SloChange {
    /// What lists are filtered by.
    objective: Option<Latest<Objective>>,
    defined_at: Option<Latest<DateTime<Utc>>>,
    retired: Option<Latest<Retired>>,
    /// Version and position of its last event.
    version: i64,
    position: i64,
}

#[derive(Debug, PartialEq)]
struct Retired {
    at: DateTime<Utc>,
    reason: Option<String>,
}

/// What one event said.
#[derive(Debug, PartialEq)]
struct Fact<T> {
    /// Version of the stream from then on.
    version: i64,
    /// When it was recorded.
    at: DateTime<Utc>,
    told: T,
}

#[derive(Debug, PartialEq)]
struct Revision {
    number: u32,
    objective: Objective,
}

#[derive(Debug, PartialEq)]
struct Exclusion {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    reason: String,
}

#[derive(Debug, PartialEq)]
struct Alert {
    /// Did it go up?
    raised: bool,
    revision: u32,
    rule: BurnRule,
    rates: BurnRates,
}

impl Projection for Slos {
    const NAME: &'static str = NAME;
    const VERSION: i32 = 1;
    const AGGREGATES: &'static [&'static str] = &["slo"];
    const TABLES: &'static [&'static str] =
        &["slos", "slo_revisions", "slo_exclusions", "slo_alerts"];
    // One stream is one objective, and every row names its objective.
    const BY_STREAM: bool = true;
    type Delta = Delta;

    fn ddl(target: &Target<'_>) -> Vec<String> {
        tables::ddl(target)
    }

    fn fold(delta: &mut Delta, event: &Recorded<Event>) -> Result<(), Poison> {
        if let Event::Slo(what) = &event.event {
            fold::slo(delta, event, what);
        }
        Ok(())
    }

    fn merge(into: &mut Delta, from: Delta) {
        for (id, change) in from.slos {
            into.slos.entry(id).or_default().merge(change);
        }
        into.revisions.extend(from.revisions);
        into.exclusions.extend(from.exclusions);
        into.alerts.extend(from.alerts);
    }

    fn rows(delta: &Delta) -> usize {
        delta.slos.len() + delta.revisions.len() + delta.exclusions.len() + delta.alerts.len()
    }

    async fn write<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Delta,
    ) -> Result<(), sqlx::Error> {
        write::delta(conn, target, delta).await
    }
}

impl SloChange {
    fn merge(&mut self, from: SloChange) {
        keep_last(&mut self.objective, from.objective);
        keep_last(&mut self.defined_at, from.defined_at);
        keep_last(&mut self.retired, from.retired);
        self.version = self.version.max(from.version);
        self.position = self.position.max(from.position);
    }
}
