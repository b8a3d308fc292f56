//! Periods that have ended, and what was awarded for them.

use std::collections::HashMap;

use domain::competition::{PeriodClosed, PrizesCalculated};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::boards::columns;
use crate::Target;
use crate::competitions::{Awarded, PeriodChange, ScoreKey, SealedPeriod};
use crate::latest::{Latest, last, said_at};
use crate::upsert::{Column, Rows, Said, in_key_order};

const PERIODS: Rows = Rows {
    key: &[("competition_id", "text"), ("period", "text")],
    said: &[
        Said {
            position: "sealed_pos",
            columns: &[
                ("start_at", "timestamptz"),
                ("end_at", "timestamptz"),
                ("sealed_at", "timestamptz"),
            ],
        },
        Said {
            position: "closed_pos",
            columns: &[
                ("as_of", "bigint"),
                ("entries", "bigint"),
                ("standings_hash", "text"),
                ("top", "jsonb"),
                ("closed_at", "timestamptz"),
            ],
        },
        Said {
            position: "prizes_pos",
            columns: &[
                ("currency", "text"),
                ("decimals", "bigint"),
                ("pool", "bigint"),
                ("total", "bigint"),
                ("winners", "bigint"),
            ],
        },
    ],
    sums: &[],
    greatest: &[],
};

const AWARDS: Rows = Rows {
    key: &[
        ("competition_id", "text"),
        ("period", "text"),
        ("user_id", "text"),
    ],
    said: &[Said {
        position: "position",
        columns: &[("rank", "bigint"), ("amount", "bigint")],
    }],
    sums: &[],
    greatest: &[],
};

fn sealed<T>(change: &PeriodChange, value: impl Fn(&SealedPeriod) -> T) -> Option<T> {
    last(&change.sealed).map(value)
}

fn closed<T>(change: &PeriodChange, value: impl Fn(&PeriodClosed) -> T) -> Option<T> {
    last(&change.closed).map(|(_, closed)| value(closed))
}

fn prizes<T>(change: &PeriodChange, value: impl Fn(&PrizesCalculated) -> T) -> Option<T> {
    last(&change.prizes).map(value)
}

/// Of a board there are far fewer.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) async fn periods(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<(String, String), PeriodChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    sqlx::query(&PERIODS.upsert(&target.table("competition_periods")))
        .bind(target.tenant)
        .bind(column.first_keys())
        .bind(column.second_keys())
        .bind(column.of(|c| sealed(c, |s| s.start)))
        .bind(column.of(|c| sealed(c, |s| s.end)))
        .bind(column.of(|c| sealed(c, |s| s.at)))
        .bind(column.of(|c| said_at(&c.sealed)))
        .bind(column.of(|c| closed(c, |p| p.as_of.0)))
        .bind(column.of(|c| closed(c, |p| stored(p.entries))))
        .bind(column.of(|c| closed(c, |p| p.standings_hash.clone())))
        .bind(column.of(|c| closed(c, |p| Json(p.top.clone()))))
        .bind(column.of(|c| last(&c.closed).map(|(at, _)| *at)))
        .bind(column.of(|c| said_at(&c.closed)))
        .bind(column.of(|c| prizes(c, |p| p.currency.clone())))
        .bind(column.of(|c| prizes(c, |p| i64::from(p.decimals))))
        .bind(column.of(|c| prizes(c, |p| p.pool)))
        .bind(column.of(|c| prizes(c, |p| p.total)))
        .bind(column.of(|c| prizes(c, |p| stored(p.winners))))
        .bind(column.of(|c| said_at(&c.prizes)))
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn awards(
    conn: &mut PgConnection,
    target: &Target<'_>,
    awards: HashMap<ScoreKey, Latest<Awarded>>,
) -> Result<(), sqlx::Error> {
    if awards.is_empty() {
        return Ok(());
    }
    let awards = in_key_order(awards);
    let column = Column(&awards);
    let [competitions, periods, users] = columns(awards.iter().map(|(key, _)| key));
    sqlx::query(&AWARDS.upsert(&target.table("competition_awards")))
        .bind(target.tenant)
        .bind(competitions)
        .bind(periods)
        .bind(users)
        .bind(column.of(|a| stored(a.value.rank)))
        .bind(column.of(|a| a.value.amount))
        .bind(column.of(|a| a.position))
        .execute(conn)
        .await?;
    Ok(())
}
