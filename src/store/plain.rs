//! The short way for the common group: commands that add events, kept all together or not at all.
//!
//! The statement that tells every command's fate apart has a fixed cost that a small group feels. Most
//! groups need none of that: every command new, every stream where it was thought to be. For them this
//! one does; where it raises, [`super::statement::append_group`] decides command by command.

use std::collections::HashSet;

use domain::Position;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::append::{Append, Appended, StreamWrite};
use super::group::Columns;
use super::statement::Outcome;

/// The statement. A test reads its plan.
pub(super) const APPEND_PLAIN: &str = include_str!("append_plain.sql");

/// Does every command of the group add events, and do nothing else but rely on streams there are?
pub(super) fn suits(group: &[&Append]) -> bool {
    let adds = |write: &StreamWrite| !write.events.is_empty();
    group.iter().all(|append| {
        append.claims.is_empty()
            && append.rejected.is_empty()
            && append.writes.iter().any(adds)
            && append.writes.iter().all(|w| adds(w) || w.expected > 0)
    })
}

/// Streams as the statement's columns.
#[derive(Default)]
struct Streams<'a> {
    aggregate_type: Vec<&'a str>,
    aggregate_id: Vec<&'a str>,
    expected: Vec<i64>,
    events: Vec<i32>,
    first_event: Vec<i32>,
    last_event: Vec<i32>,
}

/// What becomes of the streams of a group.
#[derive(Default)]
struct Split<'a> {
    /// Those that exist: they go on, or must be where they are.
    known: Streams<'a>,
    /// Those that begin here.
    new: Streams<'a>,
}

impl<'a> Split<'a> {
    fn of(columns: &Columns<'a>) -> Split<'a> {
        let mut split = Split::default();
        let all = &columns.streams;
        // One that many rely on, each for itself, is looked at once.
        let mut relied = HashSet::new();
        for (i, expected) in all.expected.iter().enumerate() {
            let only_relied = all.events[i] == 0;
            if only_relied && !relied.insert((all.aggregate_type[i], all.aggregate_id[i])) {
                continue;
            }
            let side = match expected {
                0 => &mut split.new,
                _ => &mut split.known,
            };
            side.aggregate_type.push(all.aggregate_type[i]);
            side.aggregate_id.push(all.aggregate_id[i]);
            side.expected.push(*expected);
            side.events.push(all.events[i]);
            side.first_event.push(all.first_event[i]);
            side.last_event.push(all.last_event[i]);
        }
        split
    }
}

/// Appends a group that [`suits`]. Fails with 23505 or 40001 if not every command can be kept.
pub(super) async fn append_plain(
    conn: &mut PgConnection,
    tenant: &str,
    group: &[&Append],
    columns: &Columns<'_>,
) -> Result<Vec<Outcome>, sqlx::Error> {
    let base = run(conn, tenant, columns).await?;
    let kept = |(i, append): (usize, &&Append)| {
        Ok(Appended {
            position: Position(base + i64::from(columns.commands.last_event[i])),
            version: columns.commands.version[i],
            replayed: false,
            receipt: append.receipt.clone(),
        })
    };
    Ok(group.iter().enumerate().map(kept).collect())
}

/// The position before the group's first event.
async fn run(
    conn: &mut PgConnection,
    tenant: &str,
    columns: &Columns<'_>,
) -> Result<i64, sqlx::Error> {
    let (c, e) = (&columns.commands, &columns.events);
    let Split { known, new } = Split::of(columns);
    let ids: &[Uuid] = &c.id;
    let row = sqlx::query(APPEND_PLAIN)
        .bind(tenant)
        .bind(ids)
        .bind(&c.fingerprint)
        .bind(&c.aggregate_type)
        .bind(&c.aggregate_id)
        .bind(&c.sequence)
        .bind(&c.events)
        .bind(&c.version)
        .bind(&c.receipt)
        .bind(e.sequence.len() as i64)
        .bind(&known.aggregate_type)
        .bind(&known.aggregate_id)
        .bind(&known.expected)
        .bind(&known.events)
        .bind(&known.last_event)
        .bind(&new.aggregate_type)
        .bind(&new.aggregate_id)
        .bind(&new.events)
        .bind(&new.first_event)
        .bind(&new.last_event)
        .bind(&e.aggregate_type)
        .bind(&e.aggregate_id)
        .bind(&e.sequence)
        .bind(&e.event_type)
        .bind(&e.event_version)
        .bind(&e.event_id)
        .bind(&e.payload)
        .bind(&e.metadata)
        .bind(&c.remembered)
        .fetch_one(conn)
        .await?;
    row.try_get("base")
}
