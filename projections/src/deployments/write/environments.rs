//! Environments and their freezes: how a delta gets into their tables.

use std::collections::HashMap;

use domain::environment::Freeze;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::Target;
use crate::deployments::EnvironmentChange;
use crate::latest::{Latest, last, said_at};
use crate::upsert::{Column, Rows, Said, in_key_order};

const ENVIRONMENTS: Rows = Rows {
    key: &[("environment_id", "text")],
    said: &[
        Said {
            position: "defined_pos",
            columns: &[("project", "text"), ("name", "text"), ("tier", "text")],
        },
        Said {
            position: "policy_pos",
            columns: &[("policy", "jsonb")],
        },
    ],
    sums: &[],
    greatest: &["stream_version", "position"],
};

const FREEZES: Rows = Rows {
    key: &[("environment_id", "text"), ("freeze_id", "text")],
    said: &[Said {
        position: "position",
        columns: &[("entry", "jsonb")],
    }],
    sums: &[],
    greatest: &[],
};

pub(super) async fn environments(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<String, EnvironmentChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    sqlx::query(&ENVIRONMENTS.upsert(&target.table("environments")))
        .bind(target.tenant)
        .bind(column.keys())
        .bind(column.of(|c| last(&c.defined).map(|d| d.project.clone())))
        .bind(column.of(|c| last(&c.defined).map(|d| d.name.clone())))
        .bind(column.of(|c| last(&c.defined).map(|d| d.tier)))
        .bind(column.of(|c| said_at(&c.defined)))
        .bind(column.of(|c| last(&c.policy).cloned()))
        .bind(column.of(|c| said_at(&c.policy)))
        .bind(column.of(|c| c.seen.version))
        .bind(column.of(|c| c.seen.position))
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn freezes(
    conn: &mut PgConnection,
    target: &Target<'_>,
    freezes: HashMap<(String, String), Latest<Option<Freeze>>>,
) -> Result<(), sqlx::Error> {
    if freezes.is_empty() {
        return Ok(());
    }
    let freezes = in_key_order(freezes);
    let column = Column(&freezes);
    sqlx::query(&FREEZES.upsert(&target.table("environment_freezes")))
        .bind(target.tenant)
        .bind(column.first_keys())
        .bind(column.second_keys())
        .bind(column.of(|f| f.value.clone().map(Json)))
        .bind(column.of(|f| f.position))
        .execute(conn)
        .await?;
    Ok(())
}
