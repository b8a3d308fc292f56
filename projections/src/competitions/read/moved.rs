//! Boards kept elsewhere: everybody who is on one, and what has moved on it since.

use domain::Position;
use domain::score::Operator;
use domain::standing::Contender;
use sqlx::postgres::PgRow;
use sqlx::{QueryBuilder, Row};

use super::board::{Among, Board, push_contenders};
use super::entries::score;
use super::list::CompetitionRow;
use crate::competitions::NAME;
use crate::{ReadError, Snapshot};

/// What has become of somebody on a board.
#[derive(Clone, Debug, PartialEq)]
pub enum Moved {
    /// They are on it, with this.
    Here(Contender),
    /// They are not, by id.
    Gone(String),
}

/// Everybody who is on a board, a part at a time, in no order. One snapshot has one at a time.
pub struct Contenders(());

impl Contenders {
    /// Those of a period of scores that are handed in, as the snapshot sees them.
    pub async fn open(
        snap: &mut Snapshot,
        competition: &CompetitionRow,
        period: &str,
    ) -> Result<Contenders, ReadError> {
        let board = Board {
            period: period.to_owned(),
            among: Among::Everybody,
            as_of: None,
        };
        let mut sql = QueryBuilder::new("declare contenders no scroll cursor for ");
        push_contenders(&mut sql, snap, competition, &board)?;
        sql.build().execute(snap.connection()).await?;
        Ok(Contenders(()))
    }

    /// The next of them, at most so many; nobody: that was all.
    pub async fn next(
        &mut self,
        snap: &mut Snapshot,
        at_most: u32,
    ) -> Result<Vec<Contender>, ReadError> {
        let rows = sqlx::query(&format!("fetch forward {at_most} from contenders"))
            .fetch_all(snap.connection())
            .await?;
        let contenders = rows.iter().map(contender);
        Ok(contenders.collect::<Result<Vec<_>, sqlx::Error>>()?)
    }
}

/// What of a board of scores that are handed in may have moved behind a position, each user once; `None`:
/// more than `at_most` users.
pub async fn moved(
    snap: &mut Snapshot,
    competition: &CompetitionRow,
    period: &str,
    behind: Position,
    at_most: u32,
) -> Result<Option<Vec<Moved>>, ReadError> {
    let scores = snap.name(NAME, "competition_scores")?;
    let entries = snap.name(NAME, "competition_entries")?;
    let memberships = snap.name(NAME, "competition_memberships")?;
    let rules = &competition.rules;
    let start = rules.start_score.unwrap_or_default();
    let (score, most) = match rules.operator {
        Operator::Decrement => ("$5 - m.score", start.units()),
        _ => ("m.score + 0 * $5", i64::MAX),
    };
    // On the first day of a table nothing is known of how its values are spread, and all indexes look alike:
    // that of what has moved is asked for so that no other fits, and each user is looked up by the whole key.
    let statement = format!(
        "select m.user_id, {score} as score, m.sub_score, m.achieved_at,
                coalesce(e.joined_at is not null and e.excluded_pos <= e.reinstated_pos
                         and m.score <= $6, false) as here
         from (select user_id, score, sub_score, achieved_at from {scores}
               where hashtext(tenant) = hashtext($1) and tenant is not distinct from $1
                 and competition_id = $2 and period = $3 and position > $4
               union
               select j.user_id, s.score, s.sub_score, s.achieved_at
               from (select distinct user_id from {memberships}
                     where tenant = $1 and competition_id = $2 and position > $4) j
               left join lateral (select score, sub_score, achieved_at from {scores}
                                  where tenant = $1 and competition_id = $2
                                    and user_id = j.user_id and period is not distinct from $3
                                  limit 1) s on true
               limit $7) m
         left join lateral (select joined_at, excluded_pos, reinstated_pos from {entries}
                            where tenant = $1 and competition_id = $2 and user_id = m.user_id
                            limit 1) e on true"
    );
    let tenant = snap.tenant().to_owned();
    let rows = sqlx::query(&statement)
        .bind(tenant)
        .bind(&competition.id)
        .bind(period)
        .bind(behind.0)
        .bind(start.units())
        .bind(most)
        .bind(i64::from(at_most) + 1)
        .fetch_all(snap.connection())
        .await?;
    if rows.len() as u64 > u64::from(at_most) {
        return Ok(None);
    }
    let moved = rows.iter().map(|row| match row.try_get("here")? {
        true => Ok(Moved::Here(contender(row)?)),
        false => Ok(Moved::Gone(row.try_get("user_id")?)),
    });
    Ok(Some(moved.collect::<Result<Vec<_>, sqlx::Error>>()?))
}

fn contender(row: &PgRow) -> Result<Contender, sqlx::Error> {
    Ok(Contender {
        user: row.try_get("user_id")?,
        score: score(row, "score")?,
        sub_score: score(row, "sub_score")?,
        achieved_at: row.try_get("achieved_at")?,
    })
}
