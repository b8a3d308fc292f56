//! What scores come to, and those that wait for a moderator.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::entry::ScoreHeld;
use domain::score::Tally;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::Target;
use crate::competitions::{Decision, HeldChange, ScoreKey};
use crate::latest::{Latest, last, said_at};
use crate::upsert::{Column, Rows, Said, in_key_order};

const SCORES: Rows = Rows {
    key: &[
        ("competition_id", "text"),
        ("period", "text"),
        ("user_id", "text"),
    ],
    said: &[Said {
        position: "position",
        columns: &[
            ("score", "bigint"),
            ("sub_score", "bigint"),
            ("achieved_at", "timestamptz"),
            ("attempts", "bigint"),
        ],
    }],
    sums: &[],
    greatest: &[],
};

const HELD: Rows = Rows {
    key: &[
        ("competition_id", "text"),
        ("period", "text"),
        ("user_id", "text"),
        ("attempt", "bigint"),
    ],
    said: &[
        Said {
            position: "held_pos",
            columns: &[
                ("submission", "jsonb"),
                ("rule", "text"),
                ("found", "text"),
                ("held_at", "timestamptz"),
            ],
        },
        Said {
            position: "decided_pos",
            columns: &[
                ("counts", "boolean"),
                ("decided_at", "timestamptz"),
                ("decided_by", "text"),
                ("decided_why", "text"),
                ("decided_event", "uuid"),
            ],
        },
    ],
    sums: &[],
    greatest: &[],
};

/// One array for each part of a key: competitions, periods, users.
pub(super) fn columns<'k>(keys: impl Iterator<Item = &'k ScoreKey> + Clone) -> [Vec<&'k str>; 3] {
    [
        keys.clone().map(|(id, _, _)| id.as_str()).collect(),
        keys.clone().map(|(_, period, _)| period.as_str()).collect(),
        keys.map(|(_, _, user)| user.as_str()).collect(),
    ]
}

pub(super) async fn scores(
    conn: &mut PgConnection,
    target: &Target<'_>,
    scores: HashMap<ScoreKey, Latest<Tally>>,
) -> Result<(), sqlx::Error> {
    if scores.is_empty() {
        return Ok(());
    }
    let scores = in_key_order(scores);
    let column = Column(&scores);
    let [competitions, periods, users] = columns(scores.iter().map(|(key, _)| key));
    sqlx::query(&SCORES.upsert(&target.table("competition_scores")))
        .bind(target.tenant)
        .bind(competitions)
        .bind(periods)
        .bind(users)
        .bind(column.of(|s| s.value.score.units()))
        .bind(column.of(|s| s.value.sub_score.units()))
        .bind(column.of(|s| s.value.achieved_at))
        .bind(column.of(|s| i64::from(s.value.attempts)))
        .bind(column.of(|s| s.position))
        .execute(conn)
        .await?;
    Ok(())
}

/// A fact is an event, so it is never there already.
pub(super) async fn tallies(
    conn: &mut PgConnection,
    target: &Target<'_>,
    facts: HashMap<(ScoreKey, i64), (DateTime<Utc>, Tally)>,
) -> Result<(), sqlx::Error> {
    if facts.is_empty() {
        return Ok(());
    }
    let facts = in_key_order(facts);
    let column = Column(&facts);
    let [competitions, periods, users] = columns(facts.iter().map(|((key, _), _)| key));
    let positions: Vec<i64> = facts.iter().map(|((_, position), _)| *position).collect();
    let statement = format!(
        "insert into {} (tenant, competition_id, period, user_id, position, at, score, sub_score,
                         achieved_at, attempts)
         select $1, n.* from unnest($2::text[], $3::text[], $4::text[], $5::bigint[],
                                    $6::timestamptz[], $7::bigint[], $8::bigint[],
                                    $9::timestamptz[], $10::bigint[]) n",
        target.table("competition_tallies")
    );
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(competitions)
        .bind(periods)
        .bind(users)
        .bind(positions)
        .bind(column.of(|(at, _)| *at))
        .bind(column.of(|(_, tally)| tally.score.units()))
        .bind(column.of(|(_, tally)| tally.sub_score.units()))
        .bind(column.of(|(_, tally)| tally.achieved_at))
        .bind(column.of(|(_, tally)| i64::from(tally.attempts)))
        .execute(conn)
        .await?;
    Ok(())
}

fn waits<T>(change: &HeldChange, value: impl Fn(&ScoreHeld) -> T) -> Option<T> {
    last(&change.held).map(|(_, held)| value(held))
}

fn decided<T>(change: &HeldChange, value: impl Fn(&Decision) -> Option<T>) -> Option<T> {
    last(&change.decided).and_then(|(_, decision)| value(decision))
}

pub(super) async fn held(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<(ScoreKey, i64), HeldChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    let [competitions, periods, users] = columns(changes.iter().map(|((key, _), _)| key));
    let attempts: Vec<i64> = changes.iter().map(|((_, attempt), _)| *attempt).collect();
    let why = |d: &Decision| d.reason.as_ref().map(|words| words.sealed.clone());
    sqlx::query(&HELD.upsert(&target.table("competition_held")))
        .bind(target.tenant)
        .bind(competitions)
        .bind(periods)
        .bind(users)
        .bind(attempts)
        .bind(column.of(|c| waits(c, |held| Json(held.submission.clone()))))
        .bind(column.of(|c| waits(c, |held| held.rule.as_str())))
        .bind(column.of(|c| waits(c, |held| held.reason.clone())))
        .bind(column.of(|c| last(&c.held).map(|(at, _)| *at)))
        .bind(column.of(|c| said_at(&c.held)))
        .bind(column.of(|c| last(&c.decided).map(|(counts, _)| *counts)))
        .bind(column.of(|c| decided(c, |d| Some(d.at))))
        .bind(column.of(|c| decided(c, |d| Some(d.by.clone()))))
        .bind(column.of(|c| decided(c, why)))
        .bind(column.of(|c| decided(c, |d| d.reason.as_ref().map(|words| words.event))))
        .bind(column.of(|c| said_at(&c.decided)))
        .execute(conn)
        .await?;
    Ok(())
}
