//! Questions about boards: pages, who is around somebody, where one stands oneself.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, OneofObject, Result};
use chrono::{DateTime, Utc};
use domain::period::Period;
use domain::standing::Standing;
use domain::{Code, Refusal};
use projections::Page;
use projections::competitions::{self, Among, Board, CompetitionRow, PeriodRow};
use serde::{Deserialize, Serialize};

use super::deployment::AsOfInput;
use super::dora::known_at;
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::competitions_fault;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::types::competition::{
    BoardPeriod, LeaderboardAround, LeaderboardLine, LeaderboardOf, MyRank, Shown, present,
};
use crate::api::types::span::invalid;
use crate::auth::{Credential, Role};

/// How many lines are told on each side of somebody at most.
const EACH_SIDE_MAX: i32 = 100;

/// How many are told if it is not said.
const EACH_SIDE: i32 = 5;

/// Who is ranked: ranks are among these alone.
#[derive(Clone, Debug, OneofObject)]
pub enum AmongInput {
    /// Those of a group, by key.
    Group(String),
    /// These, as far as they take part, such as somebody and their friends; at most 200.
    Users(Vec<ID>),
}

/// Which board is meant.
struct Meant {
    competition: ID,
    /// By key; the present one if not said.
    period: Option<String>,
    among: Option<AmongInput>,
    as_of: Option<AsOfInput>,
}

/// Where a page goes on. Behind its first page a list is as of the position of that, so that nobody is told
/// twice or left out, whatever happens meanwhile.
#[derive(Clone, Serialize, Deserialize)]
struct Place {
    /// So many lines stand before.
    before: u32,
    /// The period, by key.
    period: String,
    /// What the log said up to there.
    as_of: i64,
}

/// Questions about boards.
#[derive(Default)]
pub struct LeaderboardQueries;

#[Object]
impl LeaderboardQueries {
    /// The board of a period, best first; null if there is no such competition. For those who take part, and
    /// for everybody who may see what there is. The board of a closed period stays as it was frozen. Behind
    /// a cursor the list goes on as of the position of its first page.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is an argument of the schema"
    )]
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::CompetitionsRead)))]
    async fn leaderboard(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The competition.")] competition: ID,
        #[graphql(desc = "The period, by key; the one that goes on now if not said.")]
        period: Option<String>,
        #[graphql(desc = "Who is ranked; everybody if not said.")] among: Option<AmongInput>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Those of this rank and behind it, from 1; not with `after`.")]
        rank: Option<i32>,
        #[graphql(desc = "As it was known then; as it is if not said.")] as_of: Option<AsOfInput>,
    ) -> Result<Option<Paged<LeaderboardLine, LeaderboardOf>>> {
        let operation = Operation::of(ctx);
        let rank = from_rank(rank, after.as_deref())?;
        let list = (&competition, &period, &among, &as_of);
        let ask = Ask::<Place>::read(operation, "leaderboard", &list, first, after.as_deref())?;
        let mut meant = Meant {
            competition,
            period,
            among,
            as_of,
        };
        if let Some(place) = &ask.after {
            meant.period = Some(place.period.clone());
            meant.as_of = None;
        }
        let Some((mut shown, period)) = meant.find(operation).await? else {
            return Ok(None);
        };
        let mut before = 0;
        if let Some(place) = &ask.after {
            let pinned = domain::Position(place.as_of);
            operation.show(pinned).await;
            let reached = operation.read(shown.models()).await?;
            let reached = reached.position(shown.models());
            // A board of now is read faster than one of then, where it is the same.
            let is_now = reached.is_ok_and(|reached| reached == pinned);
            shown.board.as_of = (!is_now).then_some(pinned);
            before = place.before;
        }
        let mut shown = Arc::new(shown);
        if let Some(rank) = rank {
            let Shown { competition, board } = &*shown;
            let mut snapshot = operation.read(shown.models()).await?;
            let found = competitions::before_rank(&mut snapshot, competition, board, rank).await;
            before = snapshot.answer(found)?;
        }
        let page = match (rank, &ask.after) {
            // Of the moment that the rank was looked up in.
            (Some(_), _) => as_read(operation, &shown, before, ask.first).await?,
            (None, after) => {
                let page = lines(operation, &shown, before, ask.first).await?;
                let pinned = after.as_ref().map(|place| place.as_of);
                if pinned.is_none_or(|pinned| pinned == page.as_of.0) {
                    page
                } else {
                    // It has been moved on meanwhile.
                    let pinned = pinned.map(domain::Position);
                    shown = Arc::new(shown.as_of(pinned));
                    lines(operation, &shown, before, ask.first).await?
                }
            }
        };
        let as_of = page.as_of;
        let numbered = (before.saturating_add(1)..).zip(page.items);
        let page = Page {
            items: numbered.collect(),
            has_next: page.has_next,
            as_of,
        };
        let place = |(number, _): &(u32, _)| Place {
            before: *number,
            period: shown.board.period.clone(),
            as_of: as_of.0,
        };
        let of = LeaderboardOf::new(&shown, period, as_of);
        let node = |(_, standing)| LeaderboardLine::new(&shown, standing);
        Ok(Some(ask.connection(page, of, place, node)))
    }

    /// Somebody's line, and those around it; null if there is no such competition. For whom `leaderboard`
    /// is.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is an argument of the schema"
    )]
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::CompetitionsRead)))]
    async fn leaderboard_around(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The competition.")] competition: ID,
        #[graphql(desc = "Who; oneself if not said.")] user: Option<ID>,
        #[graphql(desc = "The period, by key; the one that goes on now if not said.")]
        period: Option<String>,
        #[graphql(desc = "Who is ranked; everybody if not said.")] among: Option<AmongInput>,
        #[graphql(
            desc = "At most this many on each side, 0 to 100.",
            default_with = "EACH_SIDE"
        )]
        each_side: i32,
        #[graphql(desc = "As it was known then; as it is if not said.")] as_of: Option<AsOfInput>,
    ) -> Result<Option<LeaderboardAround>> {
        let operation = Operation::of(ctx);
        if !(0..=EACH_SIDE_MAX).contains(&each_side) {
            return Err(Fault::of(FaultCode::PageLimit)
                .with("limit", EACH_SIDE_MAX)
                .into());
        }
        let user = match user {
            Some(user) => user.0,
            None => own(operation).await?,
        };
        let meant = Meant {
            competition,
            period,
            among,
            as_of,
        };
        let Some((shown, period)) = meant.find(operation).await? else {
            return Ok(None);
        };
        let shown = Arc::new(shown);
        let page = around(operation, &shown, &user, each_side.unsigned_abs()).await?;
        Ok(Some(LeaderboardAround::new(&shown, &user, page, period)))
    }

    /// Where one stands oneself, and whether one is on the board at all; null if there is no such
    /// competition.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::CompetitionsRead)))]
    async fn my_rank(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The competition.")] competition: ID,
        #[graphql(desc = "The period, by key; the one that goes on now if not said.")]
        period: Option<String>,
    ) -> Result<Option<MyRank>> {
        let operation = Operation::of(ctx);
        let user = own(operation).await?;
        let Some(row) = competition_row(operation, &competition).await? else {
            return Ok(None);
        };
        let mut snapshot = operation.read(&[competitions::NAME]).await?;
        let entry = competitions::entry(&mut snapshot, &row.id, &user).await;
        let entry = snapshot.answer(entry)?;
        let (shown, period) = board_of(operation, row, period, (Among::Everybody, None)).await?;
        let shown = Arc::new(shown);
        let mut page = around(operation, &shown, &user, 0).await?;
        let line = page.items.pop();
        let line = line.map(|standing| LeaderboardLine::new(&shown, standing));
        let of = LeaderboardOf::new(&shown, period, page.as_of);
        Ok(Some(MyRank::new(user, entry, line, of)))
    }
}

/// The lines of a board behind so many.
async fn lines(
    operation: &Operation,
    shown: &Shown,
    before: u32,
    first: u32,
) -> Result<Page<Standing>, Fault> {
    let mut snapshot = operation.read(shown.models()).await?;
    let board = (&shown.competition, &shown.board);
    let leaderboards = &operation.parts.leaderboards;
    let found = leaderboards.page(&mut snapshot, board, before, first).await;
    let page = snapshot.answer(found)?.page;
    operation.showed(competitions::NAME, page.as_of).await;
    Ok(page)
}

/// The same from the read model itself.
async fn as_read(
    operation: &Operation,
    shown: &Shown,
    before: u32,
    first: u32,
) -> Result<Page<Standing>, Fault> {
    let mut snapshot = operation.read(shown.models()).await?;
    let Shown { competition, board } = shown;
    let page = competitions::page(&mut snapshot, competition, board, before, first).await;
    snapshot.answer(page)
}

/// Somebody's line among others.
async fn around(
    operation: &Operation,
    shown: &Shown,
    user: &str,
    each_side: u32,
) -> Result<Page<Standing>, Fault> {
    let mut snapshot = operation.read(shown.models()).await?;
    let board = (&shown.competition, &shown.board);
    let leaderboards = &operation.parts.leaderboards;
    let found = leaderboards.around(&mut snapshot, board, user, each_side);
    let found = found.await;
    let page = snapshot.answer(found)?.page;
    operation.showed(competitions::NAME, page.as_of).await;
    Ok(page)
}

fn from_rank(rank: Option<i32>, after: Option<&str>) -> Result<Option<u32>, Fault> {
    let Some(rank) = rank else { return Ok(None) };
    if after.is_some() {
        return Err(invalid(
            "rank",
            "the cursor says already where the page begins",
        ));
    }
    match u32::try_from(rank) {
        Ok(rank @ 1..) => Ok(Some(rank)),
        _ => {
            let refusal = Refusal::new(Code::OutOfRange, "ranks begin at 1").at(["rank"]);
            Err(refusal.with("min", 1).with("actual", rank).into())
        }
    }
}

/// The user the caller acts for.
async fn own(operation: &Operation) -> Result<String, Fault> {
    let competitions = &operation.parts.competitions;
    let user = competitions.whom(&operation.caller, None, Role::Viewer);
    user.await.map_err(competitions_fault)
}

impl Meant {
    /// The board that is meant, if there is such a competition and the caller may see it.
    async fn find(self, operation: &Operation) -> Result<Option<(Shown, BoardPeriod)>, Fault> {
        let known = match self.as_of {
            None => None,
            Some(as_of) => Some(known_at(operation, as_of).await?),
        };
        let Some(row) = competition_row(operation, &self.competition).await? else {
            return Ok(None);
        };
        must_see(operation, &row.id).await?;
        let among = match self.among {
            None => Among::Everybody,
            Some(AmongInput::Group(group)) => Among::Group(group),
            Some(AmongInput::Users(users)) => {
                Among::Users(users.into_iter().map(|user| user.0).collect())
            }
        };
        let found = board_of(operation, row, self.period, (among, known)).await?;
        Ok(Some(found))
    }
}

/// The board somebody subscribes to.
pub struct BoardAsked {
    /// Of which competition, by id.
    pub competition: ID,
    /// By key; the present one, whichever that is, if not said.
    pub period: Option<String>,
    /// Who is ranked; everybody if not said.
    pub among: Option<AmongInput>,
}

/// What a look at a board found.
pub struct BoardRead {
    /// Which board.
    pub shown: Shown,
    /// Its first lines.
    pub page: Page<Standing>,
    /// When another period is the present one, if that is what was asked for.
    pub until: Option<DateTime<Utc>>,
}

impl BoardAsked {
    /// The first lines of it, if there is such a competition and the caller may see its boards. Where no
    /// period goes on any more it is the `last` one.
    pub async fn read(
        &self,
        operation: &Operation,
        first: u32,
        last: Option<&str>,
    ) -> Result<BoardRead, Fault> {
        let (mut period, mut until) = (self.period.clone(), None);
        if period.is_none()
            && let Some(row) = competition_row(operation, &self.competition).await?
        {
            let present = present(&row, operation.parts.clock.now());
            until = present.as_ref().and_then(|present| present.end);
            period = present.map(|present| present.key);
            period = period.or_else(|| last.map(str::to_owned));
        }
        let meant = Meant {
            competition: self.competition.clone(),
            period,
            among: self.among.clone(),
            as_of: None,
        };
        let missing = || Refusal::new(Code::NotFound, "no such competition").at(["competition"]);
        let (shown, _) = meant.find(operation).await?.ok_or_else(missing)?;
        let mut snapshot = operation.read(shown.models()).await?;
        let asked = (&shown.competition, &shown.board);
        let leaderboards = &operation.parts.leaderboards;
        let found = leaderboards.page(&mut snapshot, asked, 0, first).await;
        let page = snapshot.answer(found)?.page;
        Ok(BoardRead { shown, page, until })
    }
}

/// A competition as it stands.
pub async fn competition_row(
    operation: &Operation,
    id: &str,
) -> Result<Option<CompetitionRow>, Fault> {
    let mut snapshot = operation.read(&[competitions::NAME]).await?;
    let row = competitions::competition(&mut snapshot, id).await;
    snapshot.answer(row)
}

/// Boards are for those who take part, and for everybody who may see what there is.
pub async fn must_see(operation: &Operation, competition: &str) -> Result<(), Fault> {
    let caller = &operation.caller;
    // A key was let in by its scope.
    if caller.credential == Credential::ApiKey || caller.may(Role::Viewer) {
        return Ok(());
    }
    let person = operation.parts.auth.person(caller).await;
    let person = person.map_err(|error| competitions_fault(error.into()))?;
    if let Some(user) = person {
        let mut snapshot = operation.read(&[competitions::NAME]).await?;
        let entry = competitions::entry(&mut snapshot, competition, &user).await;
        let entry = snapshot.answer(entry)?;
        if entry.is_some_and(|entry| entry.joined_at.is_some()) {
            return Ok(());
        }
    }
    Err(Fault::of(FaultCode::Forbidden).with("role", Role::Viewer.as_str()))
}

/// The period that is meant: by its key, or the one that goes on now.
pub fn period_meant(
    operation: &Operation,
    row: &CompetitionRow,
    key: Option<&str>,
) -> Result<Period, Fault> {
    if let Some(key) = key {
        let frame = row.rules.frame(row.ends_at(None));
        let none = || Refusal::new(Code::NotFound, "the competition has no such period");
        let period = frame.period_by_key(key);
        return Ok(period.ok_or_else(|| none().at(["period"]))?);
    }
    let present = present(row, operation.parts.clock.now());
    present.ok_or_else(|| invalid("period", "none goes on now: say which one"))
}

/// A board of a competition, as it was known at a position. Once its period is closed it is as it was frozen,
/// unless it is asked for as of before that.
async fn board_of(
    operation: &Operation,
    row: CompetitionRow,
    period: Option<String>,
    (among, known): (Among, Option<domain::Position>),
) -> Result<(Shown, BoardPeriod), Fault> {
    let period = period_meant(operation, &row, period.as_deref())?;
    let mut snapshot = operation.read(&[competitions::NAME]).await?;
    let ended = competitions::period(&mut snapshot, &row.id, &period.key).await;
    let ended = snapshot.answer(ended)?;
    let board = Board {
        period: period.key.clone(),
        among,
        as_of: frozen_at(ended.as_ref(), known),
    };
    let shown = Shown {
        competition: row,
        board,
    };
    Ok((shown, BoardPeriod::new(period, ended)))
}

fn frozen_at(
    ended: Option<&PeriodRow>,
    known: Option<domain::Position>,
) -> Option<domain::Position> {
    let closed = ended.and_then(|ended| ended.closed.as_ref());
    let closed = closed.filter(|closed| known.is_none_or(|known| known >= closed.position));
    closed.map(|closed| closed.as_of).or(known)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::Position;
    use projections::competitions::ClosedRow;

    use super::*;

    fn closed(as_of: i64, position: i64) -> PeriodRow {
        let at = DateTime::UNIX_EPOCH;
        PeriodRow {
            period: "all".to_owned(),
            start: at,
            end: at,
            sealed_at: at,
            sealed_position: Position(as_of),
            closed: Some(ClosedRow {
                as_of: Position(as_of),
                entries: 0,
                standings_hash: String::new(),
                top: Vec::new(),
                at,
                position: Position(position),
            }),
            prizes: None,
        }
    }

    #[test]
    fn a_closed_board_is_as_it_was_frozen_and_before_that_as_it_was_then() {
        let ended = closed(7, 9);
        for (ended, known, expect) in [
            (None, None, None),
            (None, Some(5), Some(5)),
            (Some(&ended), None, Some(7)),
            (Some(&ended), Some(5), Some(5)),
            (Some(&ended), Some(8), Some(8)),
            (Some(&ended), Some(9), Some(7)),
            (Some(&ended), Some(50), Some(7)),
        ] {
            let told = frozen_at(ended, known.map(Position));
            assert_eq!(told, expect.map(Position), "{known:?}");
        }
    }
}
