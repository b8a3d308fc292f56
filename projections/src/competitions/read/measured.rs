//! Boards of activities: made when they are asked for.
//!
//! A sync of one user may touch every competition they are in, and which of their activities count
//! depends on what other sources tell of the same time. So nothing is kept for a board: what its users
//! did is read from [`crate::activities`], and `domain::activity::tallies` says what it comes to.
//!
//! What counts of a period can depend on what lies before and behind it, where activities overlap across
//! its ends. They are read in a wider and wider span until none reaches out of it, so that a period's
//! board is that of the whole competition, and costs what was done within and near it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use domain::Position;
use domain::activity::{ACTIVITY_DAYS_MAX, counting, tallies};
use domain::period::Period;
use domain::score::Tally;
use domain::standing::Standing;
use sqlx::{QueryBuilder, Row};

use super::board::{Among, Board, push_among, push_members_then};
use super::list::CompetitionRow;
use crate::activities::{Span, Told, told_of};
use crate::competitions::NAME;
use crate::{ReadError, Snapshot};

/// How many users' activities are in memory at once.
const USERS_AT_ONCE: usize = 100;

/// The whole board of a period; nobody is on that of a period that the competition has not.
pub(super) async fn board(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    board: &Board,
) -> Result<Vec<Standing>, ReadError> {
    let ends_at = competition.ends_at(board.as_of);
    let frame = competition.rules.frame(ends_at);
    let Some(period) = frame.period_by_key(&board.period) else {
        return Ok(Vec::new());
    };
    let members = members(snap, competition, board).await?;
    let mut come_to: Vec<(String, Tally)> = Vec::new();
    for some in members.chunks(USERS_AT_ONCE) {
        let users: Vec<&str> = some.iter().map(|(user, _)| user.as_str()).collect();
        let told = near(snap, competition, &period, &users, board.as_of).await?;
        for (user, joined_at) in some {
            let Some(told) = told.get(user) else { continue };
            let told = told.iter().map(|told| (&told.activity, told.is_flagged()));
            let mut of_user = tallies(told, &competition.rules, *joined_at, ends_at);
            let tally = of_user.remove(&period.key);
            come_to.extend(tally.map(|tally| (user.clone(), tally)));
        }
    }
    Ok(competition.rules.board(come_to))
}

/// Positions of the events that tell last what of somebody's doings counts in a period, ascending.
pub(super) async fn evidence(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    board: &Board,
    user: &str,
) -> Result<BTreeSet<Position>, ReadError> {
    let frame = competition.rules.frame(competition.ends_at(board.as_of));
    let Some(period) = frame.period_by_key(&board.period) else {
        return Ok(BTreeSet::new());
    };
    // Whose line it is on a board is on it: of the others nothing has to be known.
    let alone = Board {
        among: Among::Users(vec![user.to_owned()]),
        ..board.clone()
    };
    let members = members(snap, competition, &alone).await?;
    let Some((_, joined_at)) = members.into_iter().next() else {
        return Ok(BTreeSet::new());
    };
    let told = near(snap, competition, &period, &[user], board.as_of).await?;
    let told = told.get(user).map_or(&[][..], Vec::as_slice);
    let positions: HashMap<_, _> = told
        .iter()
        .map(|told| (told.activity.named(), told.position))
        .collect();
    let told = told.iter().map(|told| (&told.activity, told.is_flagged()));
    let counted = counting(told, &competition.rules, joined_at);
    let within = |at| at >= period.start && period.end.is_none_or(|end| at < end);
    let counted = counted.into_iter().filter(|a| within(a.start));
    Ok(counted
        .filter_map(|activity| positions.get(&activity.named()).copied())
        .collect())
}

/// Who is on the boards, and since when they take part.
async fn members(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    board: &Board,
) -> Result<Vec<(String, DateTime<Utc>)>, ReadError> {
    let mut sql = QueryBuilder::new("");
    match board.as_of {
        Some(as_of) => push_members_then(&mut sql, snap, competition, &board.among, as_of)?,
        None => {
            let entries = snap.name(NAME, "competition_entries")?;
            sql.push(format!(
                "select user_id, joined_at from {entries}
                 where joined_at is not null and excluded_pos <= reinstated_pos and tenant = "
            ))
            .push_bind(snap.tenant().to_owned());
            sql.push(" and competition_id = ")
                .push_bind(competition.id.clone());
            push_among(&mut sql, &board.among, "user_id", "groups");
        }
    }
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let members = rows
        .iter()
        .map(|row| Ok((row.try_get("user_id")?, row.try_get("joined_at")?)));
    Ok(members.collect::<Result<_, sqlx::Error>>()?)
}

/// What users did in a period, and all that can decide on what of it counts.
async fn near(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    period: &Period,
    users: &[&str],
    as_of: Option<Position>,
) -> Result<BTreeMap<String, Vec<Told>>, ReadError> {
    let starts_at = competition.rules.starts_at;
    // Most of what crosses an end of a period does so by less than a day.
    let mut reach = TimeDelta::days(ACTIVITY_DAYS_MAX + 1);
    loop {
        let from = period.start.checked_sub_signed(reach);
        let span = Span {
            from: from.map_or(starts_at, |from| from.max(starts_at)),
            to: period.end.and_then(|end| end.checked_add_signed(reach)),
        };
        let told = told_of(snap, users, &span, as_of).await?;
        let is_whole = |told: &Vec<Told>| holds_what_decides(told, period, &span, starts_at);
        if told.values().all(is_whole) {
            return Ok(told);
        }
        reach = reach.checked_mul(2).unwrap_or(TimeDelta::MAX);
    }
}

/// Of activities in order of their start: does everything that reaches into the period, directly or
/// through others that overlap, lie within the span?
fn holds_what_decides(
    told: &[Told],
    period: &Period,
    span: &Span,
    starts_at: DateTime<Utc>,
) -> bool {
    // Whatever began a week before is over.
    let safe_from = if span.from <= starts_at {
        DateTime::<Utc>::MIN_UTC
    } else {
        span.from + TimeDelta::days(ACTIVITY_DAYS_MAX)
    };
    let within = |at: DateTime<Utc>| at >= period.start && period.end.is_none_or(|end| at < end);
    islands(told).into_iter().all(|island| {
        let decides = told[island.clone()]
            .iter()
            .any(|told| within(told.activity.start));
        let first = told[island.start].activity.start;
        let ends = told[island].iter().map(|told| told.activity.end).max();
        let in_span = span.to.is_none_or(|to| ends.is_none_or(|end| end <= to));
        !decides || (first >= safe_from && in_span)
    })
}

/// Runs of activities, in order of their start, that overlap or touch.
fn islands(told: &[Told]) -> Vec<std::ops::Range<usize>> {
    let mut islands: Vec<std::ops::Range<usize>> = Vec::new();
    let mut over: Option<DateTime<Utc>> = None;
    for (index, told) in told.iter().enumerate() {
        let activity = &told.activity;
        match islands.last_mut() {
            Some(island) if over.is_some_and(|over| activity.start <= over) => {
                island.end = index + 1;
            }
            _ => islands.push(index..index + 1),
        }
        over = over.max(Some(activity.end));
    }
    islands
}
