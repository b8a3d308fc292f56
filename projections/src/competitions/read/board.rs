//! Boards: pages by rank, somebody and who is around them, among all or some, now or as of a position.
//!
//! The rank of a line depends on the lines before it alone, so a page costs as much as is read up to its
//! end, in order of an index; a board of activities, or as of a position, costs the whole of it.

use chrono::{DateTime, Utc};
use domain::Position;
use domain::competition::Metric;
use domain::score::{Operator, Score, Sort};
use domain::standing::{Standing, TiePolicy};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

use super::entries::score;
use super::list::CompetitionRow;
use super::measured;
use crate::columns::number;
use crate::competitions::NAME;
use crate::{Page, ReadError, Snapshot, activities};

/// Which board of a competition.
#[derive(Clone, Debug, PartialEq)]
pub struct Board {
    /// Of which period, by key.
    pub period: String,
    /// Who is ranked.
    pub among: Among,
    /// What the log said up to there; `None`: up to where the read model is. A closed period's board is
    /// as of [`super::ClosedRow::as_of`]: who is excluded later is still on it.
    pub as_of: Option<Position>,
}

/// Who is ranked: ranks are among these alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Among {
    /// Everybody who takes part and is not excluded.
    #[default]
    Everybody,
    /// Those of a group, by key.
    Group(String),
    /// These, by id, as far as they take part; such as somebody and their friends.
    Users(Vec<String>),
}

/// A question about a board of scores that were handed in.
type Sql = QueryBuilder<'static, Postgres>;

/// The lines of a board from the one that has `before` lines before it, at most `first`.
pub async fn page(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    board: &Board,
    before: u32,
    first: u32,
) -> Result<Page<Standing>, ReadError> {
    let as_of = known(snap, competition, board)?;
    let more = first.saturating_add(1);
    let lines = lines(snap, competition, board, before, Some(more)).await?;
    Ok(Page::cut(lines, first, as_of))
}

/// Where somebody stands, if they are on the board.
pub async fn standing(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    board: &Board,
    user: &str,
) -> Result<Option<Standing>, ReadError> {
    Ok(around(snap, competition, board, user, 0).await?.pop())
}

/// The line of somebody, with so many before it and so many behind it, as far as there are; empty if
/// they are not on the board.
pub async fn around(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    board: &Board,
    user: &str,
    each_side: u32,
) -> Result<Vec<Standing>, ReadError> {
    let Some(place) = place(snap, competition, board, user).await? else {
        return Ok(Vec::new());
    };
    let before = place.saturating_sub(each_side);
    let first = (place - before).saturating_add(1).saturating_add(each_side);
    lines(snap, competition, board, before, Some(first)).await
}

/// How many lines stand before the first of a rank, or of a greater one where nobody has it.
pub async fn before_rank(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    board: &Board,
    rank: u32,
) -> Result<u32, ReadError> {
    if competition.rules.metric != Metric::Submitted {
        let all = measured::board(snap, competition, board).await?;
        let before = all.partition_point(|line| line.rank < rank.into());
        return Ok(u32::try_from(before).unwrap_or(u32::MAX));
    }
    let window = self::rank(competition);
    let mut sql = QueryBuilder::new(format!(
        "select count(*) as lines from (select {window} as rank from ("
    ));
    push_contenders(&mut sql, snap, competition, board)?;
    // Ranks ascend, so the window is read up to there and no further.
    sql.push(") c) r where rank < ").push_bind(i64::from(rank));
    let row = sql.build().fetch_one(snap.connection()).await?;
    Ok(number(&row, "lines")?)
}

/// Positions of the events behind somebody's line, ascending, those after `after`, at most `first`: those
/// that say what their score came to, or what they did that counts.
pub async fn evidence(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    board: &Board,
    user: &str,
    (after, first): (Option<Position>, u32),
) -> Result<Page<Position>, ReadError> {
    let as_of = known(snap, competition, board)?;
    let after = after.unwrap_or_default();
    let positions = if competition.rules.metric == Metric::Submitted {
        let table = snap.name(NAME, "competition_tallies")?;
        let mut sql = QueryBuilder::new(format!("select position from {table} where tenant = "));
        sql.push_bind(snap.tenant().to_owned());
        sql.push(" and competition_id = ")
            .push_bind(competition.id.clone());
        sql.push(" and period = ").push_bind(board.period.clone());
        sql.push(" and user_id = ").push_bind(user.to_owned());
        sql.push(" and position > ").push_bind(after.0);
        sql.push(" and position <= ").push_bind(as_of.0);
        sql.push(" order by position limit ")
            .push_bind(i64::from(first) + 1);
        let rows = sql.build().fetch_all(snap.connection()).await?;
        let positions = rows.iter().map(|row| row.try_get("position").map(Position));
        positions.collect::<Result<Vec<_>, _>>()?
    } else {
        let all = measured::evidence(snap, competition, board, user).await?;
        let behind = all.into_iter().filter(|position| *position > after);
        behind.take(count(first.saturating_add(1))).collect()
    };
    Ok(Page::cut(positions, first, as_of))
}

/// How many are on the board.
pub async fn size(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    board: &Board,
) -> Result<u64, ReadError> {
    if competition.rules.metric != Metric::Submitted {
        return Ok(measured::board(snap, competition, board).await?.len() as u64);
    }
    let mut sql = QueryBuilder::new("select count(*) as lines from (");
    push_contenders(&mut sql, snap, competition, board)?;
    sql.push(") c");
    let row = sql.build().fetch_one(snap.connection()).await?;
    Ok(number(&row, "lines")?)
}

/// The whole board, however long: what a period is closed with.
pub async fn everybody(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    board: &Board,
) -> Result<Vec<Standing>, ReadError> {
    lines(snap, competition, board, 0, None).await
}

/// How far the log is known for an answer.
pub fn known(
    snap: &Snapshot,
    competition: &CompetitionRow,
    board: &Board,
) -> Result<Position, ReadError> {
    let read = match competition.rules.metric {
        Metric::Submitted => snap.position(&[NAME])?,
        _ => snap.position(&[NAME, activities::NAME])?,
    };
    Ok(board.as_of.map_or(read, |as_of| as_of.min(read)))
}

async fn lines(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    board: &Board,
    before: u32,
    first: Option<u32>,
) -> Result<Vec<Standing>, ReadError> {
    if competition.rules.metric != Metric::Submitted {
        let all = measured::board(snap, competition, board).await?;
        let first = first.map_or(usize::MAX, count);
        return Ok(all.into_iter().skip(count(before)).take(first).collect());
    }
    let order = order(competition.rules.sort);
    let rank = rank(competition);
    let mut sql = QueryBuilder::new(format!("select c.*, {rank} as rank from (select * from ("));
    push_contenders(&mut sql, snap, competition, board)?;
    sql.push(format!(") b order by {order}"));
    if let Some(first) = first {
        sql.push(" limit ")
            .push_bind(i64::from(before) + i64::from(first));
    }
    sql.push(format!(") c order by {order} offset "))
        .push_bind(i64::from(before));
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let lines = rows.iter().map(|row| {
        Ok(Standing {
            rank: number(row, "rank")?,
            user: row.try_get("user_id")?,
            score: score(row, "score")?,
            sub_score: score(row, "sub_score")?,
            achieved_at: row.try_get("achieved_at")?,
        })
    });
    Ok(lines.collect::<Result<Vec<_>, sqlx::Error>>()?)
}

fn count(lines: u32) -> usize {
    usize::try_from(lines).expect("a u32 fits a usize on every supported platform")
}

/// How many lines stand before somebody's; `None` if they are not on the board.
async fn place(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    board: &Board,
    user: &str,
) -> Result<Option<u32>, ReadError> {
    if competition.rules.metric != Metric::Submitted {
        let all = measured::board(snap, competition, board).await?;
        let place = all.iter().position(|line| line.user == user);
        return Ok(place.map(|place| u32::try_from(place).unwrap_or(u32::MAX)));
    }
    let mut sql = QueryBuilder::new("select * from (");
    push_contenders(&mut sql, snap, competition, board)?;
    sql.push(") c where user_id = ").push_bind(user.to_owned());
    let row = sql.build().fetch_optional(snap.connection()).await?;
    let Some(row) = row else { return Ok(None) };
    let mut sql = QueryBuilder::new("select count(*) as lines from (");
    push_contenders(&mut sql, snap, competition, board)?;
    push_before(&mut sql, competition.rules.sort, &row)?;
    let row = sql.build().fetch_one(snap.connection()).await?;
    Ok(Some(number(&row, "lines")?))
}

/// Adds the condition that a line stands before this one.
fn push_before(sql: &mut Sql, sort: Sort, row: &PgRow) -> Result<(), sqlx::Error> {
    let (score, sub_score): (i64, i64) = (row.try_get("score")?, row.try_get("sub_score")?);
    let achieved_at: DateTime<Utc> = row.try_get("achieved_at")?;
    let user: String = row.try_get("user_id")?;
    let better = match sort {
        Sort::Descending => '>',
        Sort::Ascending => '<',
    };
    sql.push(format!(") c where (score, sub_score) {better} ("))
        .push_bind(score);
    sql.push(", ").push_bind(sub_score);
    sql.push(") or score = ").push_bind(score);
    sql.push(" and sub_score = ").push_bind(sub_score);
    sql.push(" and (achieved_at, user_id) < (")
        .push_bind(achieved_at);
    sql.push(", ").push_bind(user).push(")");
    Ok(())
}

/// The order of a board, as `domain::standing` has it.
fn order(sort: Sort) -> &'static str {
    match sort {
        Sort::Descending => "score desc, sub_score desc, achieved_at, user_id",
        Sort::Ascending => "score, sub_score, achieved_at, user_id",
    }
}

/// The rank of a line, among those that stand before it.
fn rank(competition: &CompetitionRow) -> String {
    let level = match competition.rules.sort {
        Sort::Descending => "score desc, sub_score desc",
        Sort::Ascending => "score, sub_score",
    };
    match competition.rules.ties {
        TiePolicy::Competition => format!("rank() over (order by {level})"),
        TiePolicy::Dense => format!("dense_rank() over (order by {level})"),
        TiePolicy::Earliest => format!("rank() over (order by {level}, achieved_at)"),
        TiePolicy::Ordinal => {
            format!("row_number() over (order by {level}, achieved_at, user_id)")
        }
    }
}

/// Adds who is on a board, each with the score that ranks.
pub(super) fn push_contenders(
    sql: &mut Sql,
    snap: &Snapshot,
    competition: &CompetitionRow,
    board: &Board,
) -> Result<(), ReadError> {
    let start = competition.rules.start_score.unwrap_or_default();
    let decrements = competition.rules.operator == Operator::Decrement;
    sql.push("select s.user_id, ");
    if decrements {
        sql.push_bind(start.units()).push(" - ");
    }
    sql.push("s.score as score, s.sub_score, s.achieved_at from ");
    match board.as_of {
        None => push_present(sql, snap, competition, board)?,
        Some(as_of) => push_past(sql, snap, competition, board, as_of)?,
    }
    if decrements {
        push_left(sql, start);
    }
    Ok(())
}

/// Of what is left of a score to start from: whoever has more taken away than there was is on no board.
fn push_left(sql: &mut Sql, start: Score) {
    sql.push(" and s.score <= ").push_bind(start.units());
}

/// Scores as they are, of those who are on the board.
fn push_present(
    sql: &mut Sql,
    snap: &Snapshot,
    competition: &CompetitionRow,
    board: &Board,
) -> Result<(), ReadError> {
    let scores = snap.name(NAME, "competition_scores")?;
    let entries = snap.name(NAME, "competition_entries")?;
    sql.push(format!(
        "{scores} s join {entries} e using (tenant, competition_id, user_id)
         where e.joined_at is not null and e.excluded_pos <= e.reinstated_pos and s.tenant = "
    ))
    .push_bind(snap.tenant().to_owned());
    sql.push(" and s.competition_id = ")
        .push_bind(competition.id.clone());
    sql.push(" and s.period = ").push_bind(board.period.clone());
    push_among(sql, &board.among, "s.user_id", "e.groups");
    Ok(())
}

/// What scores had come to at a position, of those who were on the board then.
fn push_past(
    sql: &mut Sql,
    snap: &Snapshot,
    competition: &CompetitionRow,
    board: &Board,
    as_of: Position,
) -> Result<(), ReadError> {
    let tallies = snap.name(NAME, "competition_tallies")?;
    sql.push(format!(
        "(select distinct on (user_id) user_id, score, sub_score, achieved_at from {tallies}
          where tenant = "
    ))
    .push_bind(snap.tenant().to_owned());
    sql.push(" and competition_id = ")
        .push_bind(competition.id.clone());
    sql.push(" and period = ").push_bind(board.period.clone());
    sql.push(" and position <= ").push_bind(as_of.0);
    sql.push(" order by user_id, position desc) s join (");
    push_members_then(sql, snap, competition, &board.among, as_of)?;
    sql.push(") m using (user_id) where true");
    Ok(())
}

/// Adds who was on the boards at a position, and since when they had taken part.
pub(super) fn push_members_then(
    sql: &mut Sql,
    snap: &Snapshot,
    competition: &CompetitionRow,
    among: &Among,
    as_of: Position,
) -> Result<(), ReadError> {
    let memberships = snap.name(NAME, "competition_memberships")?;
    sql.push("select l.user_id, l.joined_at from (");
    sql.push(format!(
        "select user_id,
                (array_agg(member order by position desc) filter (where member is not null))[1]
                    as member,
                (array_agg(joined_at order by position desc) filter (where member is not null))[1]
                    as joined_at,
                (array_agg(groups order by position desc) filter (where member is not null))[1]
                    as groups,
                (array_agg(excluded order by position desc) filter (where excluded is not null))[1]
                    as excluded
         from {memberships} where tenant = "
    ))
    .push_bind(snap.tenant().to_owned());
    sql.push(" and competition_id = ")
        .push_bind(competition.id.clone());
    sql.push(" and position <= ").push_bind(as_of.0);
    sql.push(" group by user_id) l where l.member and l.excluded is not true");
    push_among(sql, among, "l.user_id", "l.groups");
    Ok(())
}

pub(super) fn push_among(sql: &mut Sql, among: &Among, user: &str, groups: &str) {
    match among {
        Among::Everybody => {}
        Among::Group(group) => {
            sql.push(format!(" and {groups} @> "))
                .push_bind(Json([group.clone()]));
        }
        Among::Users(users) => {
            sql.push(format!(" and {user} = any("))
                .push_bind(users.clone())
                .push(")");
        }
    }
}
