//! How old a feed's newest fix is, looked at on each full minute.
//!
//! A look at a moment knows the fixes that were recorded before it, and of these the newest that does not
//! lie after it: a report that comes late makes a feed stale, however soon after the fix it was sent. Before
//! the first fix there is nothing to look at. A minute in which a fix was recorded that lies after its end
//! has a negative sample beside: somebody's clock is ahead.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use sqlx::{Postgres, QueryBuilder};

use super::SloQuery;
use crate::positions::NAME;
use crate::{ReadError, Snapshot};

/// Adds a select of the looks at a time with `from` <= time < the window's end that had been by the time
/// known. One row of the read model is read for each minute, and one look-up tells what was newest before.
pub(super) fn push_looks(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &SloQuery,
    from: DateTime<Utc>,
) -> Result<(), ReadError> {
    let minutes = snap.name(NAME, "position_minutes")?;
    let tenant = snap.tenant().to_owned();
    let minute = TimeDelta::minutes(1);
    let first = from.duration_round_up(minute).unwrap_or(from);
    let last = match query.known_at {
        // The window's end is not looked at, the moment that is known is.
        Some(known) => query.at.min(known.at + TimeDelta::microseconds(1)),
        None => query.at,
    };
    sql.push(
        "select l.ended, l.position, l.position as began_pos, null::text as deployment_id, l.began
         from (select r.at as ended, r.began,
                      first_value(r.newest_pos) over (partition by r.began order by r.at) as position
               from (select g.at, k.newest_pos, max(k.newest) over (order by g.at) as began
                     from generate_series(",
    );
    sql.push_bind(first - minute).push("::timestamptz, ");
    sql.push_bind(last - TimeDelta::microseconds(1))
        .push("::timestamptz, interval '1 minute') g (at) left join ((select ");
    sql.push_bind(first - minute)
        .push(format!(
            "::timestamptz as at, newest, newest_pos from {minutes} where tenant = "
        ))
        .push_bind(tenant.clone());
    sql.push(" and newest < ").push_bind(first);
    sql.push(" and minute < ").push_bind(first);
    sql.push(format!(
        " order by newest desc, newest_pos limit 1)
          union all select minute, newest, newest_pos from {minutes} where tenant = "
    ));
    sql.push_bind(tenant.clone());
    sql.push(" and minute >= ").push_bind(first);
    sql.push(" and minute < ").push_bind(last);
    sql.push(") k on k.at = g.at) r) l where l.began is not null and l.ended >= ");
    sql.push_bind(first);
    sql.push(format!(
        " union all select minute, ahead_pos, ahead_pos, null, ahead from {minutes}
          where ahead is not null and tenant = "
    ));
    sql.push_bind(tenant);
    sql.push(" and minute >= ").push_bind(first);
    sql.push(" and minute < ").push_bind(last);
    Ok(())
}
