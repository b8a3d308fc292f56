//! Who takes part, and what people decided about them.

use std::collections::{BTreeSet, HashMap};

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::Target;
use crate::competitions::{Decision, EntryChange, EntryKey, Member, Membership, Resolution, Words};
use crate::latest::{Latest, last, said_at};
use crate::upsert::{Column, Rows, Said, in_key_order};

const ENTRIES: Rows = Rows {
    key: &[("competition_id", "text"), ("user_id", "text")],
    said: &[
        Said {
            position: "member_pos",
            columns: &[
                ("joined_at", "timestamptz"),
                ("left_at", "timestamptz"),
                ("groups", "jsonb"),
                ("place", "bigint"),
                ("consent", "boolean"),
            ],
        },
        Said {
            position: "excluded_pos",
            columns: &[
                ("excluded_at", "timestamptz"),
                ("excluded_by", "text"),
                ("excluded_why", "text"),
                ("excluded_event", "uuid"),
            ],
        },
        Said {
            position: "reinstated_pos",
            columns: &[
                ("reinstated_at", "timestamptz"),
                ("reinstated_by", "text"),
                ("reinstated_why", "text"),
                ("reinstated_event", "uuid"),
            ],
        },
        Said {
            position: "disputed_pos",
            columns: &[
                ("disputed_at", "timestamptz"),
                ("statement", "text"),
                ("statement_event", "uuid"),
            ],
        },
        Said {
            position: "resolved_pos",
            columns: &[
                ("outcome", "text"),
                ("resolved_at", "timestamptz"),
                ("resolved_by", "text"),
                ("resolved_why", "text"),
                ("resolved_event", "uuid"),
            ],
        },
    ],
    sums: &[],
    greatest: &["stream_version", "position"],
};

/// Groups as they stand in a table: none is null.
fn stored(groups: &BTreeSet<String>) -> Option<Json<BTreeSet<String>>> {
    (!groups.is_empty()).then(|| Json(groups.clone()))
}

fn joined<T>(change: &EntryChange, value: impl Fn(&Member) -> Option<T>) -> Option<T> {
    last(&change.member).and_then(value)
}

fn decided<T>(
    said: &Option<Latest<Decision>>,
    value: impl Fn(&Decision) -> Option<T>,
) -> Option<T> {
    last(said).and_then(value)
}

fn resolved<T>(change: &EntryChange, value: impl Fn(&Resolution) -> Option<T>) -> Option<T> {
    last(&change.resolved).and_then(value)
}

fn sealed(words: &Words) -> String {
    words.sealed.clone()
}

pub(super) async fn entries(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<EntryKey, EntryChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    let why = |d: &Decision| d.reason.as_ref().map(sealed);
    let event = |d: &Decision| d.reason.as_ref().map(|words| words.event);
    sqlx::query(&ENTRIES.upsert(&target.table("competition_entries")))
        .bind(target.tenant)
        .bind(column.first_keys())
        .bind(column.second_keys())
        .bind(column.of(|c| joined(c, Member::joined_at)))
        .bind(column.of(|c| joined(c, Member::left_at)))
        .bind(column.of(|c| joined(c, |m| m.groups().and_then(stored))))
        .bind(column.of(|c| joined(c, Member::place)))
        .bind(column.of(|c| joined(c, Member::consent)))
        .bind(column.of(|c| said_at(&c.member)))
        .bind(column.of(|c| decided(&c.excluded, |d| Some(d.at))))
        .bind(column.of(|c| decided(&c.excluded, |d| Some(d.by.clone()))))
        .bind(column.of(|c| decided(&c.excluded, why)))
        .bind(column.of(|c| decided(&c.excluded, event)))
        .bind(column.of(|c| said_at(&c.excluded)))
        .bind(column.of(|c| decided(&c.reinstated, |d| Some(d.at))))
        .bind(column.of(|c| decided(&c.reinstated, |d| Some(d.by.clone()))))
        .bind(column.of(|c| decided(&c.reinstated, why)))
        .bind(column.of(|c| decided(&c.reinstated, event)))
        .bind(column.of(|c| said_at(&c.reinstated)))
        .bind(column.of(|c| last(&c.disputed).map(|d| d.at)))
        .bind(column.of(|c| last(&c.disputed).map(|d| sealed(&d.statement))))
        .bind(column.of(|c| last(&c.disputed).map(|d| d.statement.event)))
        .bind(column.of(|c| said_at(&c.disputed)))
        .bind(column.of(|c| resolved(c, |r| Some(r.outcome.as_str()))))
        .bind(column.of(|c| resolved(c, |r| Some(r.decision.at))))
        .bind(column.of(|c| resolved(c, |r| Some(r.decision.by.clone()))))
        .bind(column.of(|c| resolved(c, |r| why(&r.decision))))
        .bind(column.of(|c| resolved(c, |r| event(&r.decision))))
        .bind(column.of(|c| said_at(&c.resolved)))
        .bind(column.of(|c| c.seen.version))
        .bind(column.of(|c| c.seen.position))
        .execute(conn)
        .await?;
    Ok(())
}

/// A fact is an event, so it is never there already.
pub(super) async fn memberships(
    conn: &mut PgConnection,
    target: &Target<'_>,
    facts: HashMap<(EntryKey, i64), Membership>,
) -> Result<(), sqlx::Error> {
    if facts.is_empty() {
        return Ok(());
    }
    let facts = in_key_order(facts);
    let column = Column(&facts);
    let keys = || facts.iter().map(|(key, _)| key);
    let competitions: Vec<&str> = keys().map(|((id, _), _)| id.as_str()).collect();
    let users: Vec<&str> = keys().map(|((_, user), _)| user.as_str()).collect();
    let positions: Vec<i64> = keys().map(|(_, position)| *position).collect();
    let statement = format!(
        "insert into {} (tenant, competition_id, user_id, position, member, joined_at, groups, excluded)
         select $1, n.* from unnest($2::text[], $3::text[], $4::bigint[], $5::boolean[],
                                    $6::timestamptz[], $7::jsonb[], $8::boolean[]) n",
        target.table("competition_memberships")
    );
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(competitions)
        .bind(users)
        .bind(positions)
        .bind(column.of(|f| f.member))
        .bind(column.of(|f| f.joined_at))
        .bind(column.of(|f| stored(&f.groups)))
        .bind(column.of(|f| f.excluded))
        .execute(conn)
        .await?;
    Ok(())
}
