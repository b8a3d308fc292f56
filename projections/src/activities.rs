//! Activities: what sources say somebody did, each as it was told last, and as it was told before.
//!
//! Every word about an activity is a fact of its own, keyed by position, and the last one holds. So *as of
//! a position* is a filter, and ranges of the log may arrive in any order. What of them counts, where two
//! sources tell of one time, depends on who asks: see `domain::activity`.

mod write;
mod read;
#[cfg(test)]
mod tests;

pub use read::{ActivityCursor, ActivityRow, DayTotal, activities, activity, day_totals};
pub(crate) use read::{Span, Told, told_of};

use std::collections::{BTreeSet, HashMap};

use domain::activity::{Activity, ActivityFlag};
use domain::activity_log::{ActivityLogEvent, RecordedActivity};
use domain::{Event, Recorded};
use sqlx::PgConnection;

use crate::{Poison, Projection, Target};

/// The read model's name.
pub const NAME: &str = "activities";

/// See the file's first lines.
pub(crate) struct Activities;

/// What was said of which activity.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delta {
    facts: HashMap<Key, Fact>,
}

/// (user, source, external id, position).
type Key = (String, String, String, i64);

/// What one event says of an activity; `None`: it was taken back.
type Fact = Option<Said>;

#[derive(Debug, PartialEq)]
struct Said {
    activity: Activity,
    revision: u32,
    flags: BTreeSet<ActivityFlag>,
}

impl Projection for Activities {
    const NAME: &'static str = NAME;
    const VERSION: i32 = 1;
    const AGGREGATES: &'static [&'static str] = &["activity_log"];
    const TABLES: &'static [&'static str] = &["activities"];
    type Delta = Delta;

    fn ddl(target: &Target<'_>) -> Vec<String> {
        let (table, generation) = (target.table("activities"), target.generation);
        vec![
            format!(
                r#"create table if not exists {table} (
                    tenant      text collate "C" not null, -- whose
                    user_id     text collate "C" not null, -- who did it
                    source      text collate "C" not null, -- who tells of it
                    external_id text collate "C" not null, -- what it is called there
                    position    bigint not null, -- position that said so: of one activity the last holds
                    start_at    timestamptz, -- when it began; null: it was taken back
                    revision    bigint, -- how often it was told otherwise, from 1; likewise
                    activity    jsonb, -- what its source says; likewise
                    flags       jsonb, -- why it is hard to believe; likewise
                    primary key (tenant, user_id, source, external_id, position))"#
            ),
            format!(
                "create index if not exists activities_g{generation}_start on {table}
                 (tenant, user_id, start_at, source, external_id) where start_at is not null"
            ),
        ]
    }

    fn fold(delta: &mut Delta, event: &Recorded<Event>) -> Result<(), Poison> {
        let Event::ActivityLog(ActivityLogEvent::ActivitiesSynced(e)) = &event.event else {
            return Ok(());
        };
        let mut say = |source: &str, external_id: &str, fact: Fact| {
            let named = (source.to_owned(), external_id.to_owned());
            let key = (e.user.clone(), named.0, named.1, event.position.0);
            delta.facts.insert(key, fact);
        };
        for removed in &e.removed {
            say(&removed.source, &removed.external_id, None);
        }
        for recorded in e.recorded.iter().chain(&e.amended) {
            let RecordedActivity {
                activity,
                revision,
                flags,
            } = recorded;
            let said = Said {
                activity: activity.clone(),
                revision: *revision,
                flags: flags.clone(),
            };
            say(&activity.source, &activity.external_id, Some(said));
        }
        Ok(())
    }

    fn merge(into: &mut Delta, from: Delta) {
        into.facts.extend(from.facts);
    }

    fn rows(delta: &Delta) -> usize {
        delta.facts.len()
    }

    async fn write<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Delta,
    ) -> Result<(), sqlx::Error> {
        write::delta(conn, target, delta).await
    }
}
