//! Reading sessions: whose, since when, until when, and how they ended.

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::{Sealed, sealed};
use crate::accounts::NAME;
use crate::{Page, ReadError, Snapshot};

/// A session that has begun.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRow {
    /// Its id.
    pub id: String,
    /// Whose.
    pub user_id: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When a token was last given, the first one included.
    pub last_used_at: DateTime<Utc>,
    /// When it runs out if it is not used again, like [`domain::session::Session::ends_at`].
    pub ends_at: DateTime<Utc>,
    /// What the client said it is; `None` if it said nothing, and once the user is erased.
    pub user_agent: Option<String>,
    /// The client's address, field `ip`; `None` if it is not known, and once the user is erased.
    pub ip: Option<Sealed>,
    /// When it was ended; `None` if it was not, though it may have run out.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why: a word of [`domain::session::RevokeReason`], or [`crate::accounts::REUSED`].
    pub ended_why: Option<String>,
    /// Good for nothing although nobody has ended it: its user changed the password, or was
    /// deactivated or erased, after signing in.
    pub outdated: bool,
    /// Version of its stream.
    pub version: i64,
    /// Position of its last event.
    pub position: Position,
}

/// What [`domain::session::Session::ends_at`] says, in SQL.
const ENDS_AT: &str = "least(s.last_used_at + s.sliding_s * interval '1 second',
                             s.started_at + s.absolute_s * interval '1 second')";
/// Is the session good for another epoch than its user's? As it is for refreshing.
const OUTDATED: &str = "u.session_epoch is distinct from s.epoch";

/// One session by id.
pub async fn session(snap: &mut Snapshot, id: &str) -> Result<Option<SessionRow>, ReadError> {
    let mut sql = select(snap)?;
    sql.push(" and s.session_id = ").push_bind(id);
    let row = sql.build().fetch_optional(snap.connection()).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// A user's sessions, the newest first, those older than `after` (start and id of the last one seen),
/// at most `first`. With a time, only those that can be refreshed at that time.
pub async fn sessions(
    snap: &mut Snapshot,
    user_id: &str,
    only_live_at: Option<DateTime<Utc>>,
    after: Option<(DateTime<Utc>, &str)>,
    first: u32,
) -> Result<Page<SessionRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select(snap)?;
    sql.push(" and s.user_id = ").push_bind(user_id);
    if let Some(now) = only_live_at {
        sql.push(format!(
            " and s.ended_at is null and not ({OUTDATED}) and {ENDS_AT} > "
        ));
        sql.push_bind(now);
    }
    if let Some((started_at, id)) = after {
        sql.push(" and (s.started_at, s.session_id) < (")
            .push_bind(started_at)
            .push(", ")
            .push_bind(id)
            .push(")");
    }
    sql.push(" order by s.started_at desc, s.session_id desc limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let sessions = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(sessions, first, as_of))
}

fn select<'q>(snap: &Snapshot) -> Result<QueryBuilder<'q, Postgres>, ReadError> {
    let sessions = snap.name(NAME, "accounts_sessions")?;
    let users = snap.name(NAME, "accounts_users")?;
    let mut sql = QueryBuilder::new(format!(
        "select s.session_id, s.user_id, s.started_at, s.last_used_at, {ENDS_AT} as ends_at,
                s.user_agent, s.ip_sealed, s.ip_event, s.ended_at, s.ended_why,
                {OUTDATED} as outdated, s.version, s.position
         from {sessions} s
         left join {users} u on u.tenant = s.tenant and u.user_id = s.user_id
         where s.started_at is not null and s.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

fn read(row: &PgRow) -> Result<SessionRow, sqlx::Error> {
    Ok(SessionRow {
        id: row.try_get("session_id")?,
        user_id: row.try_get("user_id")?,
        started_at: row.try_get("started_at")?,
        last_used_at: row.try_get("last_used_at")?,
        ends_at: row.try_get("ends_at")?,
        user_agent: row.try_get("user_agent")?,
        ip: sealed(row, "ip_sealed", "ip_event")?,
        ended_at: row.try_get("ended_at")?,
        ended_why: row.try_get("ended_why")?,
        outdated: row.try_get("outdated")?,
        version: row.try_get("version")?,
        position: Position(row.try_get("position")?),
    })
}
