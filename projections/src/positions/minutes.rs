//! The newest fix that was recorded in each minute, of all vehicles: how fresh the feed was, minute by
//! minute.
//!
//! A fix that lies after the end of its minute tells of a clock that is ahead, not of a fresh feed; such
//! fixes are kept beside.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use domain::track::Fix;
use domain::{Event, Recorded};
use sqlx::PgConnection;

use crate::Target;

/// What was recorded, by the end of the minute.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Minutes(BTreeMap<DateTime<Utc>, Minute>);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Minute {
    /// The newest fix up to the minute's end.
    newest: Option<Said>,
    /// The newest fix beyond it.
    ahead: Option<Said>,
}

/// A fix's time, and the position that said so: of two that say the same the earlier.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Said {
    time: DateTime<Utc>,
    position: i64,
}

pub(super) fn ddl(target: &Target<'_>) -> [String; 2] {
    let (table, generation) = (target.table("position_minutes"), target.generation);
    [
        format!(
            r#"create table if not exists {table} (
                tenant     text collate "C" not null, -- whose log
                minute     timestamptz not null, -- end of the minute in which was recorded
                newest     timestamptz, -- the newest fix that lies before or at that end
                newest_pos bigint, -- position of the event that carries it
                ahead      timestamptz, -- the newest fix that lies after it: a clock is ahead
                ahead_pos  bigint, -- position of the event that carries it
                primary key (tenant, minute))"#
        ),
        // What was newest before a minute.
        format!(
            "create index if not exists position_minutes_g{generation}_newest
             on {table} (tenant, newest desc, newest_pos) where newest is not null"
        ),
    ]
}

impl Minutes {
    pub(super) fn look(&mut self, event: &Recorded<Event>, fixes: &[Fix]) {
        let minute = TimeDelta::minutes(1);
        // What is recorded at a full minute was not known when that was looked at.
        let Ok(began) = event.recorded_at.duration_trunc(minute) else {
            return;
        };
        let end = began + minute;
        let (position, kept) = (event.position.0, self.0.entry(end).or_default());
        for time in fixes.iter().map(|fix| fix.fix_time) {
            let place = if time <= end {
                &mut kept.newest
            } else {
                &mut kept.ahead
            };
            keep(place, Some(Said { time, position }));
        }
    }

    pub(super) fn merge(&mut self, from: Minutes) {
        for (end, minute) in from.0 {
            let kept = self.0.entry(end).or_default();
            keep(&mut kept.newest, minute.newest);
            keep(&mut kept.ahead, minute.ahead);
        }
    }

    pub(super) async fn write(
        self,
        conn: &mut PgConnection,
        target: &Target<'_>,
    ) -> Result<(), sqlx::Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let table = target.table("position_minutes");
        let sets = ["newest", "ahead"].map(|what| {
            format!(
                "({what}, {what}_pos) = (select v.said, v.pos
                 from (values (m.{what}, m.{what}_pos), (excluded.{what}, excluded.{what}_pos))
                      v (said, pos)
                 order by v.said desc nulls last, v.pos limit 1)"
            )
        });
        let statement = format!(
            "insert into {table} as m (tenant, minute, newest, newest_pos, ahead, ahead_pos)
             select $1, n.* from unnest($2::timestamptz[], $3::timestamptz[], $4::bigint[],
                                        $5::timestamptz[], $6::bigint[]) n
             on conflict (tenant, minute) do update set {}",
            sets.join(", ")
        );
        let column = |of: fn(&Minute) -> Option<Said>| {
            let said = self.0.values().map(of);
            let split = said.map(|said| (said.map(|s| s.time), said.map(|s| s.position)));
            split.unzip::<_, _, Vec<_>, Vec<_>>()
        };
        let (newest, newest_pos) = column(|minute| minute.newest);
        let (ahead, ahead_pos) = column(|minute| minute.ahead);
        sqlx::query(&statement)
            .bind(target.tenant)
            .bind(self.0.keys().copied().collect::<Vec<_>>())
            .bind(newest)
            .bind(newest_pos)
            .bind(ahead)
            .bind(ahead_pos)
            .execute(conn)
            .await?;
        Ok(())
    }
}

fn keep(kept: &mut Option<Said>, said: Option<Said>) {
    let Some(said) = said else { return };
    let later = |kept: &Said| (kept.time, -kept.position) < (said.time, -said.position);
    if kept.as_ref().is_none_or(later) {
        *kept = Some(said);
    }
}
