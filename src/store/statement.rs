//! The append: one statement that guards, numbers and stores a whole group, and what it answers.
//!
//! Lock order, always: command ids, claims, the head row, then streams and events. Everything after the
//! head is serialised by it. The statement's own snapshot decides who is kept; unique keys and the
//! versions re-read under lock catch every other process that was faster (SQLSTATE 23505 or 40001),
//! and the statement is run again.

use domain::{Position, StreamKey};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::StoreError;
use super::append::{Append, AppendError, Appended};
use super::executor::lost;
use super::group::{Columns, columns};
use super::plain;

/// The append statement. A test reads its plan: on fresh tables the planner must not scan.
pub(super) const APPEND: &str = include_str!("append.sql");

/// What became of one command of a group.
pub(super) type Outcome = Result<Appended, AppendError>;

/// How a group is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By the short statement: the group is plain.
    Plain,
    /// Command by command.
    Apart,
    /// The same after an attempt of which nobody knows whether it was kept.
    Again,
    /// Not at all: after such an attempt it is only asked what was kept. Of what was not nothing is known:
    /// the server may still be at it.
    Asked,
}

/// Runs one statement once. Outcomes are in the group's order.
pub(super) async fn append_group(
    conn: &mut PgConnection,
    tenant: &str,
    group: &[&Append],
    way: Way,
) -> Result<Vec<Outcome>, sqlx::Error> {
    let columns = columns(group);
    if way == Way::Plain {
        return plain::append_plain(conn, tenant, group, &columns).await;
    }
    let mut outcomes = Vec::with_capacity(group.len());
    if way == Way::Asked {
        for append in group {
            let kept = kept_before(conn, tenant, append).await?;
            let unknown = StoreError::Unavailable(sqlx::Error::WorkerCrashed);
            outcomes.push(kept.unwrap_or(Err(AppendError::Store(unknown))));
        }
        return Ok(outcomes);
    }
    let rows = run(conn, tenant, &columns).await?;
    for (append, row) in group.iter().zip(&rows) {
        // By now the group may be kept.
        let outcome = outcome_of(conn, tenant, append, (&columns, row), way);
        outcomes.push(outcome.await.map_err(lost)?);
    }
    Ok(outcomes)
}

/// What became of one command of a group that was appended command by command.
async fn outcome_of(
    conn: &mut PgConnection,
    tenant: &str,
    append: &Append,
    (columns, row): (&Columns<'_>, &PgRow),
    way: Way,
) -> Result<Outcome, sqlx::Error> {
    let outcome = outcome(conn, tenant, append, columns, row).await?;
    // One whose id is kept was found by it.
    if way == Way::Again
        && outcome.is_err()
        && !append.is_remembered()
        && let Some(kept) = kept_before(conn, tenant, append).await?
    {
        return Ok(kept);
    }
    Ok(outcome)
}

async fn run(
    conn: &mut PgConnection,
    tenant: &str,
    columns: &Columns<'_>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let (c, s, e) = (&columns.commands, &columns.streams, &columns.events);
    let (q, r) = (&columns.claims, &columns.rejected);
    sqlx::query(APPEND)
        .bind(tenant)
        .bind(&c.id)
        .bind(&c.fingerprint)
        .bind(&c.component)
        .bind(&c.aggregate_type)
        .bind(&c.aggregate_id)
        .bind(&c.sequence)
        .bind(&c.events)
        .bind(&c.version)
        .bind(&c.receipt)
        .bind(&c.last_event)
        .bind(&s.component)
        .bind(&s.aggregate_type)
        .bind(&s.aggregate_id)
        .bind(&s.expected)
        .bind(&s.events)
        .bind(&s.first_event)
        .bind(&s.last_event)
        .bind(&e.component)
        .bind(&e.aggregate_type)
        .bind(&e.aggregate_id)
        .bind(&e.sequence)
        .bind(&e.event_type)
        .bind(&e.event_version)
        .bind(&e.event_id)
        .bind(&e.payload)
        .bind(&e.metadata)
        .bind(&q.component)
        .bind(&q.command)
        .bind(&q.nth)
        .bind(&q.scope)
        .bind(&q.value_hash)
        .bind(&q.aggregate_id)
        .bind(&q.release)
        .bind(&r.component)
        .bind(&r.id)
        .bind(&r.source)
        .bind(&r.command_id)
        .bind(&r.code)
        .bind(&r.record)
        .bind(&r.details)
        .bind(&columns.links.command)
        .bind(&columns.links.stream)
        .bind(&r.log_source)
        .bind(&c.remembered)
        .fetch_all(conn)
        .await
}

async fn outcome(
    conn: &mut PgConnection,
    tenant: &str,
    append: &Append,
    columns: &Columns<'_>,
    row: &PgRow,
) -> Result<Outcome, sqlx::Error> {
    let status: &str = row.try_get("status")?;
    Ok(match status {
        "kept" => Ok(Appended {
            position: Position(row.try_get("position")?),
            version: row.try_get("version")?,
            replayed: false,
            receipt: append.receipt.clone(),
        }),
        "seen" => first_receipt(conn, tenant, append).await?,
        "reused" => Err(AppendError::KeyReused),
        "conflict" => {
            let moved: Vec<i64> = row.try_get("moved")?;
            let stream = usize::try_from(moved[0] - 1).expect("streams are numbered from 1");
            Err(AppendError::Conflict {
                stream: StreamKey {
                    aggregate_type: columns.streams.aggregate_type[stream],
                    aggregate_id: columns.streams.aggregate_id[stream].into(),
                },
                actual: moved[1],
            })
        }
        "claimed" => {
            let index = usize::try_from(row.try_get::<i32, _>("claim")?).unwrap_or_default();
            Err(AppendError::Claimed {
                scope: append.claims[index].scope.clone(),
                index,
                holder: row.try_get("holder")?,
            })
        }
        _neighbour => Err(AppendError::Stale),
    })
}

/// The receipt of a command that was kept before, if its content was the same.
///
/// It may have been kept a moment ago by this very attempt, whose answer was lost: then the first event
/// is ours, and the command is no replay.
async fn first_receipt(
    conn: &mut PgConnection,
    tenant: &str,
    append: &Append,
) -> Result<Outcome, sqlx::Error> {
    let mut events = append.writes.iter().flat_map(|w| &w.events);
    let ours = events.next().map(|e| e.event_id);
    let found = find(conn, tenant, append.command_id, &append.fingerprint, ours).await?;
    Ok(found.unwrap_or(Err(AppendError::Stale)))
}

/// What became of an append if an attempt whose answer was lost has kept it: its id is there, or its first
/// event is where it was to go, with its own id.
async fn kept_before(
    conn: &mut PgConnection,
    tenant: &str,
    append: &Append,
) -> Result<Option<Outcome>, sqlx::Error> {
    let mut writing = append.writes.iter().filter(|w| !w.events.is_empty());
    let first = match writing.next() {
        Some(first) if !append.is_remembered() => first,
        first => {
            let ours = first.map(|w| w.events[0].event_id);
            return find(conn, tenant, append.command_id, &append.fingerprint, ours).await;
        }
    };
    let events: usize = append.writes.iter().map(|w| w.events.len()).sum();
    let position: Option<i64> = sqlx::query_scalar(KEPT)
        .bind(tenant)
        .bind(first.stream.aggregate_type)
        .bind(&*first.stream.aggregate_id)
        .bind(first.expected + 1)
        .bind(first.events[0].event_id)
        .fetch_optional(conn)
        .await?;
    let kept = |position| Appended {
        position: Position(position + events as i64 - 1),
        version: append.version(),
        replayed: false,
        receipt: append.receipt.clone(),
    };
    Ok(position.map(|position| Ok(kept(position))))
}

/// What the log knows of a command id: nothing, its receipt, or that it was used for something else.
pub(super) async fn seen(
    conn: &mut PgConnection,
    tenant: &str,
    command_id: Uuid,
    fingerprint: &[u8; 16],
) -> Result<Option<Outcome>, sqlx::Error> {
    find(conn, tenant, command_id, fingerprint, None).await
}

/// The receipt of a command, whatever it said.
pub(super) async fn receipt_of(
    conn: &mut PgConnection,
    tenant: &str,
    command_id: Uuid,
) -> Result<Option<Appended>, sqlx::Error> {
    let row = sqlx::query(SEEN)
        .bind(tenant)
        .bind(command_id)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|row| appended(&row, true)))
}

async fn find(
    conn: &mut PgConnection,
    tenant: &str,
    command_id: Uuid,
    fingerprint: &[u8; 16],
    ours: Option<Uuid>,
) -> Result<Option<Outcome>, sqlx::Error> {
    let Some(row) = sqlx::query(SEEN)
        .bind(tenant)
        .bind(command_id)
        .fetch_optional(conn)
        .await?
    else {
        return Ok(None);
    };
    if row.get::<&[u8], _>("fingerprint") != fingerprint {
        return Ok(Some(Err(AppendError::KeyReused)));
    }
    let replayed = ours.is_none() || ours != row.get("first_event");
    Ok(Some(Ok(appended(&row, replayed))))
}

fn appended(row: &PgRow, replayed: bool) -> Appended {
    Appended {
        position: Position(row.get("position")),
        version: row.get("version"),
        replayed,
        receipt: row.get("receipt"),
    }
}

/// The versions streams are at, in their order; 0 where there is no such stream.
pub(super) async fn stream_versions(
    conn: &mut PgConnection,
    tenant: &str,
    streams: &[&StreamKey],
) -> Result<Vec<i64>, sqlx::Error> {
    let types: Vec<&str> = streams.iter().map(|s| s.aggregate_type).collect();
    let ids: Vec<&str> = streams.iter().map(|s| &*s.aggregate_id).collect();
    sqlx::query_scalar(
        "select coalesce(s.version, 0)
         from unnest($2::text[], $3::text[]) with ordinality u(aggregate_type, aggregate_id, ord)
         left join streams s on s.tenant = $1 and s.aggregate_type = u.aggregate_type
                            and s.aggregate_id = u.aggregate_id
         order by u.ord",
    )
    .bind(tenant)
    .bind(types)
    .bind(ids)
    .fetch_all(conn)
    .await
}

/// The bounds of the stream are spelled as in [`SEEN`].
const KEPT: &str = "
    select e.position from streams s cross join lateral (
        select e.position, e.event_id from events e
        where e.tenant = s.tenant and e.aggregate_type = s.aggregate_type
          and e.aggregate_id = s.aggregate_id and e.sequence = $4
          and e.position >= s.first_position and e.position <= any(array[s.last_position])) e
    where s.tenant = $1 and s.aggregate_type = $2 and s.aggregate_id = $3 and e.event_id = $5";

/// Positions of one command's events are consecutive, so the last one follows from the first. The bounds of
/// the stream are spelled so that statistics that lag behind do not make a range scan of them.
const SEEN: &str = "
    select k.fingerprint, k.version, k.receipt::text as receipt, e.event_id as first_event,
           coalesce(e.position + k.events - 1,
                    (select l.position from logs l where l.tenant = k.tenant)) as position
    from commands k left join lateral (
        select e.position, e.event_id from streams s join events e
            on e.tenant = s.tenant and e.aggregate_type = s.aggregate_type
           and e.aggregate_id = s.aggregate_id and e.sequence = k.sequence
           and e.position >= s.first_position and e.position <= any(array[s.last_position])
        where s.tenant = k.tenant and s.aggregate_type = k.aggregate_type
          and s.aggregate_id = k.aggregate_id) e on true
    where k.tenant = $1 and k.command_id = $2";
