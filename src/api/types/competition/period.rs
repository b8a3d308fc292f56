//! Periods of a competition, and what has become of their boards.

use async_graphql::SimpleObject;
use chrono::{DateTime as Instant, Utc};
use domain::competition::PrizesCalculated;
use domain::period::{ALL_TIME_KEY, Calendar, Period};
use projections::Page;
use projections::competitions::{self, ClosedRow, CompetitionRow, PeriodRow};

use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::scalars::{DateTime, Position, Score};
use crate::api::types::int;

/// A period of a competition, and what has become of its board.
#[derive(SimpleObject)]
pub struct BoardPeriod {
    /// What it is called.
    pub key: String,
    /// Its first moment.
    pub start: DateTime,
    /// The first moment after it; null: it goes on.
    end: Option<DateTime>,
    /// Since when it takes no scores; null: it takes some yet.
    sealed_at: Option<DateTime>,
    /// Position of the event that says so: what stands before it in the log counts.
    sealed_position: Option<Position>,
    /// Its board, once it is frozen.
    closed: Option<ClosedBoard>,
    /// What its prizes come to, once that is known.
    prizes: Option<PrizeTotals>,
}

/// A board that is frozen.
#[derive(SimpleObject)]
pub struct ClosedBoard {
    /// How far the log was read for it.
    as_of_position: Position,
    /// How many are on it.
    entries: i32,
    /// SHA-256 of it, lower-case hexadecimal; of which text is told in `docs/competitions.md`.
    standings_hash: String,
    /// Since when it is frozen.
    at: DateTime,
    /// Position of the event that says so.
    position: Position,
}

/// What the prizes of a period come to.
#[derive(SimpleObject)]
pub struct PrizeTotals {
    /// What is given, such as `EUR`.
    currency: String,
    /// What there was to give.
    pool: Score,
    /// What is given in all; equal scores may be given more than the pool, if its rules say so.
    total: Score,
    /// To how many.
    winners: i32,
}

/// The period that goes on at a moment. The one period of a competition that has no other goes on always.
pub fn present(row: &CompetitionRow, now: Instant<Utc>) -> Option<Period> {
    let frame = row.rules.frame(row.ends_at(None));
    match row.rules.periods {
        Calendar::AllTime => frame.period_by_key(ALL_TIME_KEY),
        _ => frame.period_of(now),
    }
}

/// The periods that have begun by now, the latest first, those that begin before `before`.
pub async fn begun(
    operation: &Operation,
    row: &CompetitionRow,
    before: Option<Instant<Utc>>,
    first: u32,
) -> Result<Page<BoardPeriod>, Fault> {
    let frame = row.rules.frame(row.ends_at(None));
    let now = operation.parts.clock.now() + chrono::TimeDelta::nanoseconds(1);
    let mut begin = before.unwrap_or(now);
    let mut periods = Vec::new();
    while periods.len() <= first as usize
        && let Some(period) = frame.last_beginning_before(begin)
    {
        begin = period.start;
        periods.push(period);
    }
    let has_next = periods.len() > first as usize;
    periods.truncate(first as usize);
    let keys: Vec<&str> = periods.iter().map(|period| period.key.as_str()).collect();
    let mut snapshot = operation.read(&[competitions::NAME]).await?;
    let as_of = snapshot.position(&[competitions::NAME]);
    let known = competitions::periods_of(&mut snapshot, &row.id, &keys).await;
    let (as_of, mut known) = snapshot.answer(as_of.and_then(|as_of| Ok((as_of, known?))))?;
    let items = periods.into_iter().map(|period| {
        let at = known.iter().position(|row| row.period == period.key);
        BoardPeriod::new(period, at.map(|at| known.swap_remove(at)))
    });
    Ok(Page {
        items: items.collect(),
        has_next,
        as_of,
    })
}

impl BoardPeriod {
    /// Of a period, and what is known of its end.
    pub fn new(period: Period, row: Option<PeriodRow>) -> BoardPeriod {
        let sealed = row
            .as_ref()
            .map(|row| (DateTime(row.sealed_at), Position(row.sealed_position)));
        let (sealed_at, sealed_position) = sealed.unzip();
        let (closed, prizes) = row.map_or((None, None), |row| (row.closed, row.prizes));
        BoardPeriod {
            key: period.key,
            start: DateTime(period.start),
            end: period.end.map(DateTime),
            sealed_at,
            sealed_position,
            closed: closed.map(ClosedBoard::from),
            prizes: prizes.map(PrizeTotals::from),
        }
    }

    /// Of a period, with what is known of its end.
    pub async fn read(
        operation: &Operation,
        competition: &str,
        period: Period,
    ) -> Result<BoardPeriod, Fault> {
        let mut snapshot = operation.read(&[competitions::NAME]).await?;
        let row = competitions::period(&mut snapshot, competition, &period.key).await;
        Ok(BoardPeriod::new(period, snapshot.answer(row)?))
    }
}

impl From<ClosedRow> for ClosedBoard {
    fn from(row: ClosedRow) -> ClosedBoard {
        ClosedBoard {
            as_of_position: Position(row.as_of),
            entries: int(i64::try_from(row.entries).unwrap_or(i64::MAX)),
            standings_hash: row.standings_hash,
            at: DateTime(row.at),
            position: Position(row.position),
        }
    }
}

impl From<PrizesCalculated> for PrizeTotals {
    fn from(prizes: PrizesCalculated) -> PrizeTotals {
        PrizeTotals {
            currency: prizes.currency,
            pool: Score::of_units(prizes.pool, prizes.decimals),
            total: Score::of_units(prizes.total, prizes.decimals),
            winners: int(i64::try_from(prizes.winners).unwrap_or(i64::MAX)),
        }
    }
}
