//! How a delta gets into the tables of competitions.

mod boards;
mod entries;
mod periods;

use std::collections::HashMap;

use sqlx::PgConnection;
use sqlx::types::Json;

use super::{CompetitionChange, Delta};
use crate::Target;
use crate::latest::{last, said_at};
use crate::upsert::{Column, Rows, Said, in_key_order};

const COMPETITIONS: Rows = Rows {
    key: &[("competition_id", "text")],
    said: &[
        Said {
            position: "rules_pos",
            columns: &[("rules", "jsonb")],
        },
        Said {
            position: "prizes_pos",
            columns: &[("prizes", "jsonb")],
        },
        Said {
            position: "status_pos",
            columns: &[("status", "text")],
        },
        Said {
            position: "created_pos",
            columns: &[("created_at", "timestamptz")],
        },
        Said {
            position: "opened_pos",
            columns: &[("opened_at", "timestamptz")],
        },
        Said {
            position: "cut_pos",
            columns: &[("cut_at", "timestamptz")],
        },
        Said {
            position: "ended_pos",
            columns: &[("ended_at", "timestamptz")],
        },
        Said {
            position: "reason_pos",
            columns: &[("reason", "text")],
        },
    ],
    sums: &["entries", "excluded", "invited"],
    greatest: &["stream_version", "position"],
};

/// Writes the tables in one order, each in key order, so that two writers cannot wait for each other.
pub(super) async fn delta(
    conn: &mut PgConnection,
    target: &Target<'_>,
    delta: Delta,
) -> Result<(), sqlx::Error> {
    competitions(conn, target, delta.competitions).await?;
    entries::entries(conn, target, delta.entries).await?;
    entries::memberships(conn, target, delta.memberships).await?;
    boards::scores(conn, target, delta.scores).await?;
    boards::tallies(conn, target, delta.tallies).await?;
    boards::held(conn, target, delta.held).await?;
    periods::periods(conn, target, delta.periods).await?;
    periods::awards(conn, target, delta.awards).await
}

async fn competitions(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<String, CompetitionChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    sqlx::query(&COMPETITIONS.upsert(&target.table("competitions")))
        .bind(target.tenant)
        .bind(column.keys())
        .bind(column.of(|c| last(&c.rules).map(|rules| Json(rules.clone()))))
        .bind(column.of(|c| said_at(&c.rules)))
        .bind(column.of(|c| last(&c.prizes).cloned().flatten().map(Json)))
        .bind(column.of(|c| said_at(&c.prizes)))
        .bind(column.of(|c| last(&c.status).map(|status| status.as_str())))
        .bind(column.of(|c| said_at(&c.status)))
        .bind(column.of(|c| last(&c.created_at).copied()))
        .bind(column.of(|c| said_at(&c.created_at)))
        .bind(column.of(|c| last(&c.opened_at).copied()))
        .bind(column.of(|c| said_at(&c.opened_at)))
        .bind(column.of(|c| last(&c.cut_at).copied()))
        .bind(column.of(|c| said_at(&c.cut_at)))
        .bind(column.of(|c| last(&c.ended_at).copied()))
        .bind(column.of(|c| said_at(&c.ended_at)))
        .bind(column.of(|c| last(&c.reason).cloned().flatten()))
        .bind(column.of(|c| said_at(&c.reason)))
        .bind(column.of(|c| c.entries))
        .bind(column.of(|c| c.excluded))
        .bind(column.of(|c| c.invited))
        .bind(column.of(|c| c.seen.version))
        .bind(column.of(|c| c.seen.position))
        .execute(conn)
        .await?;
    Ok(())
}
