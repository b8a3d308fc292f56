//! Boards: lines, who is around somebody, and where one stands oneself.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject};
use domain::competition::Metric;
use domain::standing::Standing;
use projections::competitions::{self, Board, CompetitionRow};
use projections::{Page, activities};

use super::{BoardPeriod, Exclusion};
use crate::api::access::Scope;
use crate::api::failure::competitions_fault;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{DateTime, Position, Score};
use crate::api::types::behind::Events;
use crate::api::types::event::Event;
use crate::api::types::int;
use crate::auth::{Caller, Credential, Role};

/// A board that somebody is shown.
pub struct Shown {
    /// The competition.
    pub competition: CompetitionRow,
    /// Which board of it.
    pub board: Board,
}

/// Which board it is.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct LeaderboardOf {
    /// The competition.
    competition_id: ID,
    /// The period.
    period: BoardPeriod,
    /// The position in the log the board is as of. That of a closed period is the one it was frozen at.
    as_of_position: Position,
    #[graphql(skip)]
    shown: Arc<Shown>,
}

/// One line of a board.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct LeaderboardLine {
    /// From 1, by the competition's policy for ties, among those who are ranked.
    rank: i32,
    /// Who: the id of a user, or what another system calls somebody without an account.
    user_id: ID,
    /// What they have come to in the period.
    score: Score,
    /// Tells equal scores apart.
    sub_score: Score,
    /// When that was first reached: of equal scores the earlier one stands before.
    achieved_at: DateTime,
    #[graphql(skip)]
    shown: Arc<Shown>,
}

/// An event behind a line of a board.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct LeaderboardEvidence {
    /// Its place in the log.
    position: Position,
    #[graphql(skip)]
    events: Events,
}

/// Somebody, and who stands before and behind them.
#[derive(SimpleObject)]
pub struct LeaderboardAround {
    /// Their own line; null if they are not on the board.
    line: Option<LeaderboardLine>,
    /// Their own line among those around it; empty if they are not on the board.
    lines: Vec<LeaderboardLine>,
    #[graphql(flatten)]
    of: LeaderboardOf,
}

/// Where one stands oneself.
#[derive(SimpleObject)]
pub struct MyRank {
    /// Who.
    user_id: ID,
    /// Since when they take part; null: they do not.
    joined_at: Option<DateTime>,
    /// Why they are on no board, if they are excluded.
    exclusion: Option<Exclusion>,
    /// Their line; null if they are not on the board.
    line: Option<LeaderboardLine>,
    #[graphql(flatten)]
    of: LeaderboardOf,
}

/// A line of a board that is another, or not among the first any more.
#[derive(SimpleObject)]
pub struct LeaderboardChange {
    /// The period of the board, by key.
    period: String,
    /// From 1, by the competition's policy for ties, among those who are ranked; of a line that has left what
    /// it was.
    rank: i32,
    /// Who: the id of a user, or what another system calls somebody without an account.
    user_id: ID,
    /// What they have come to in the period.
    score: Score,
    /// Tells equal scores apart.
    sub_score: Score,
    /// When that was first reached.
    achieved_at: DateTime,
    /// It is not among the first lines any more.
    left: bool,
    /// The position in the log the board is as of.
    as_of_position: Position,
}

impl LeaderboardChange {
    /// Of a board's line.
    pub fn new(
        shown: &Shown,
        standing: &Standing,
        left: bool,
        as_of: domain::Position,
    ) -> LeaderboardChange {
        let decimals = shown.competition.rules.decimals;
        let text = |score: domain::score::Score| Score::of_units(score.units(), decimals);
        LeaderboardChange {
            period: shown.board.period.clone(),
            rank: int(i64::try_from(standing.rank).unwrap_or(i64::MAX)),
            user_id: ID(standing.user.clone()),
            score: text(standing.score),
            sub_score: text(standing.sub_score),
            achieved_at: DateTime(standing.achieved_at),
            left,
            as_of_position: Position(as_of),
        }
    }
}

impl Shown {
    /// The same board as it was known at a position.
    pub fn as_of(&self, as_of: Option<domain::Position>) -> Shown {
        let board = Board {
            as_of,
            ..self.board.clone()
        };
        Shown {
            competition: self.competition.clone(),
            board,
        }
    }

    /// The read models its board is made of.
    pub fn models(&self) -> &'static [&'static str] {
        match self.competition.rules.metric {
            Metric::Submitted => &[competitions::NAME],
            _ => &[competitions::NAME, activities::NAME],
        }
    }
}

impl LeaderboardOf {
    /// The board of a period, as of a position.
    pub fn new(shown: &Arc<Shown>, period: BoardPeriod, as_of: domain::Position) -> LeaderboardOf {
        LeaderboardOf {
            competition_id: ID(shown.competition.id.clone()),
            period,
            as_of_position: Position(as_of),
            shown: shown.clone(),
        }
    }
}

#[ComplexObject]
impl LeaderboardOf {
    /// How many are on the board.
    async fn size(&self, ctx: &Context<'_>) -> Result<i32> {
        let operation = Operation::of(ctx);
        let leaderboards = &operation.parts.leaderboards;
        let mut snapshot = operation.read(self.shown.models()).await?;
        let board = (&self.shown.competition, &self.shown.board);
        let size = leaderboards.size(&mut snapshot, board).await;
        let (size, as_of) = snapshot.answer(size)?;
        operation.showed(competitions::NAME, as_of).await;
        Ok(int(i64::try_from(size).unwrap_or(i64::MAX)))
    }
}

impl LeaderboardLine {
    /// A line of a board.
    pub fn new(shown: &Arc<Shown>, standing: Standing) -> LeaderboardLine {
        let decimals = shown.competition.rules.decimals;
        let text = |score: domain::score::Score| Score::of_units(score.units(), decimals);
        LeaderboardLine {
            rank: int(i64::try_from(standing.rank).unwrap_or(i64::MAX)),
            user_id: ID(standing.user),
            score: text(standing.score),
            sub_score: text(standing.sub_score),
            achieved_at: DateTime(standing.achieved_at),
            shown: shown.clone(),
        }
    }
}

#[ComplexObject]
impl LeaderboardLine {
    /// The events that the score is made of, by position: scores that were taken in, or syncs that tell of
    /// activities which count. For whoever the line is about, for auditors, and for whoever may hand in
    /// activities of others; to others FORBIDDEN. At most 200 lines of one operation can be asked for theirs.
    async fn evidence(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Option<Paged<LeaderboardEvidence>>> {
        let operation = Operation::of(ctx);
        operation.spend_evidence()?;
        must_look_behind(operation, &self.user_id).await?;
        let Shown { competition, board } = &*self.shown;
        let list = (&competition.id, board, &self.user_id);
        let ask = Ask::<i64>::read(
            operation,
            "leaderboardEvidence",
            &list,
            first,
            after.as_deref(),
        )?;
        let part = (ask.after.map(domain::Position), ask.first);
        let mut snapshot = operation.read(self.shown.models()).await?;
        let page = competitions::evidence(&mut snapshot, competition, board, &self.user_id, part);
        let page = page.await;
        let page = snapshot.answer(page)?;
        let events = Events::of(&page.items);
        let as_of = page.as_of.into();
        let node = |position| LeaderboardEvidence {
            position: Position(position),
            events: events.clone(),
        };
        Ok(Some(ask.connection(page, as_of, |at| at.0, node)))
    }
}

#[ComplexObject]
impl LeaderboardEvidence {
    /// The event.
    async fn event(&self, ctx: &Context<'_>) -> Result<Option<Event>> {
        Ok(self.events.at(ctx, &[self.position]).await?.pop())
    }
}

/// What somebody did is their own business: others than they need more to look behind their score.
async fn must_look_behind(operation: &Operation, user: &str) -> Result<(), Fault> {
    if may_look_behind(&operation.caller) {
        return Ok(());
    }
    let own = operation.parts.auth.person(&operation.caller).await;
    if own
        .map_err(|error| competitions_fault(error.into()))?
        .as_deref()
        == Some(user)
    {
        return Ok(());
    }
    Err(Fault::of(FaultCode::Forbidden).with("role", Role::Ingest.as_str()))
}

fn may_look_behind(caller: &Caller) -> bool {
    let scopes = [Scope::ScoresWrite, Scope::AuditRead];
    match caller.credential {
        Credential::ApiKey => scopes.iter().any(|scope| caller.has_scope(scope.as_str())),
        _ => caller.may(Role::Ingest) || caller.may(Role::Auditor),
    }
}

impl LeaderboardAround {
    /// A user's line among others.
    pub fn new(
        shown: &Arc<Shown>,
        user: &str,
        page: Page<Standing>,
        period: BoardPeriod,
    ) -> LeaderboardAround {
        let own = page.items.iter().find(|line| line.user == user).cloned();
        let lines = page.items.into_iter();
        LeaderboardAround {
            line: own.map(|line| LeaderboardLine::new(shown, line)),
            lines: lines
                .map(|line| LeaderboardLine::new(shown, line))
                .collect(),
            of: LeaderboardOf::new(shown, period, page.as_of),
        }
    }
}

impl MyRank {
    /// A user's entry, if they ever joined, and their line.
    pub fn new(
        user: String,
        entry: Option<competitions::EntryRow>,
        line: Option<LeaderboardLine>,
        of: LeaderboardOf,
    ) -> MyRank {
        let joined_at = entry.as_ref().and_then(|entry| entry.joined_at);
        let exclusion = entry.and_then(|entry| entry.exclusion);
        MyRank {
            exclusion: exclusion.map(|decision| Exclusion::new(&user, decision)),
            user_id: ID(user),
            joined_at: joined_at.map(DateTime),
            line,
            of,
        }
    }
}
