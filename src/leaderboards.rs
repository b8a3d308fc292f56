//! Boards of competitions: from where they are kept in the order of their ranks, or from the read model.
//!
//! A board of scores that are handed in is kept by whoever is asked for it: in Redis, for all processes, or
//! in memory where there is none. It is made of the read model and moved on by it, row by row, so it is as of
//! a position and says what the read model says there; a test holds all three against each other. Boards
//! of some, of the past, or of activities are the read model's affair.

mod kept;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use domain::Position;
use domain::competition::Metric;
use domain::score::{Operator, Score, Sort};
use domain::standing::{Standing, TiePolicy};
use metrics::counter;
use projections::competitions::{self, Among, Board, CompetitionRow};
use projections::{Page, ReadError, Reader, Snapshot};

use crate::cache::{Cache, Lines};
use crate::config;
use crate::ops::metrics as names;
use kept::Kept;
use shared::Shared;

/// Where boards are read. Cheap to clone.
#[derive(Clone)]
pub struct Leaderboards(Arc<Inner>);

struct Inner {
    kept: Kept,
    shared: Option<Shared>,
}

/// Lines of a board.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// In order; as of where the snapshot is, or later.
    pub page: Page<Standing>,
    /// How many lines the whole board has, if that is known beside.
    pub size: Option<u64>,
    /// Where they were read.
    pub source: Source,
}

/// Where a board was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In Redis.
    Redis,
    /// In this process's memory.
    Memory,
    /// In the read model's tables.
    Tables,
}

/// How long one statement may take that reads a part of a board to be kept.
const LOAD_STATEMENT_MAX: Duration = Duration::from_secs(60);

/// Which board is kept: of a tenant, a competition and a period.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    tenant: Arc<str>,
    competition: Arc<str>,
    period: Arc<str>,
}

/// What of a competition's rules says who is where. It stays once the competition is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ranking {
    sort: Sort,
    ties: TiePolicy,
    operator: Operator,
    start: Option<Score>,
}

impl Ranking {
    fn of(competition: &CompetitionRow) -> Ranking {
        let rules = &competition.rules;
        Ranking {
            sort: rules.sort,
            ties: rules.ties,
            operator: rules.operator,
            start: rules.start_score,
        }
    }
}

impl Leaderboards {
    /// Boards that `reader` reads.
    pub fn new(settings: &config::Leaderboards, cache: &Cache, reader: Reader) -> Leaderboards {
        let shared = cache.ranks(settings.idle);
        let shared = shared.map(|ranks| Shared::new(ranks, settings.clone(), reader.clone()));
        Leaderboards(Arc::new(Inner {
            kept: Kept::new(settings.clone(), reader),
            shared,
        }))
    }

    /// The lines of a board from the one that has `before` lines before it, at most `first`.
    pub async fn page(
        &self,
        snap: &mut Snapshot,
        (competition, board): (&CompetitionRow, &Board),
        before: u32,
        first: u32,
    ) -> Result<Shown, ReadError> {
        let limit = first.saturating_add(1);
        let lines = Lines::Page { before, limit };
        if let Some(mut shown) = self.quickly(snap, (competition, board), lines).await? {
            let first = first as usize;
            shown.page.has_next = shown.page.items.len() > first;
            shown.page.items.truncate(first);
            return Ok(shown);
        }
        let page = competitions::page(snap, competition, board, before, first).await?;
        Ok(counted((page, None), Source::Tables))
    }

    /// Somebody's line, with at most `each_side` before it and behind it; empty if they are not on the board.
    pub async fn around(
        &self,
        snap: &mut Snapshot,
        (competition, board): (&CompetitionRow, &Board),
        user: &str,
        each_side: u32,
    ) -> Result<Shown, ReadError> {
        let lines = Lines::Around { user, each_side };
        if let Some(shown) = self.quickly(snap, (competition, board), lines).await? {
            return Ok(shown);
        }
        let page = Page {
            items: competitions::around(snap, competition, board, user, each_side).await?,
            has_next: false,
            as_of: competitions::known(snap, competition, board)?,
        };
        Ok(counted((page, None), Source::Tables))
    }

    /// How many are on a board, and what that is as of.
    pub async fn size(
        &self,
        snap: &mut Snapshot,
        (competition, board): (&CompetitionRow, &Board),
    ) -> Result<(u64, Position), ReadError> {
        let none = Lines::Page {
            before: 0,
            limit: 0,
        };
        let shown = self.quickly(snap, (competition, board), none).await?;
        if let Some(Shown { page, size, .. }) = shown
            && let Some(size) = size
        {
            return Ok((size, page.as_of));
        }
        let size = competitions::size(snap, competition, board).await?;
        Ok((size, competitions::known(snap, competition, board)?))
    }

    /// From where the board is kept, if it is.
    async fn quickly(
        &self,
        snap: &mut Snapshot,
        (competition, board): (&CompetitionRow, &Board),
        lines: Lines<'_>,
    ) -> Result<Option<Shown>, ReadError> {
        let whole = board.as_of.is_none() && board.among == Among::Everybody;
        if !whole || competition.rules.metric != Metric::Submitted {
            return Ok(None);
        }
        let key = Key {
            tenant: snap.tenant().into(),
            competition: competition.id.as_str().into(),
            period: board.period.as_str().into(),
        };
        let Inner { kept, shared } = &*self.0;
        if let Some(shared) = shared {
            let asked = shared.ask(snap, competition, &key, lines).await?;
            // Lost: as if there were none.
            if let Ok(page) = asked {
                return Ok(page.map(|page| counted(page, Source::Redis)));
            }
        }
        let page = kept.ask(snap, competition, key, lines).await?;
        Ok(page.map(|page| counted(page, Source::Memory)))
    }
}

/// Lines, and how many the board has.
type Found = (Page<Standing>, Option<u64>);

fn counted((page, size): Found, source: Source) -> Shown {
    let label = match source {
        Source::Redis => "redis",
        Source::Memory => "memory",
        Source::Tables => "tables",
    };
    counter!(names::BOARDS_TOTAL, "source" => label).increment(1);
    Shown { page, size, source }
}

fn found(items: Vec<Standing>, size: u64, as_of: Position) -> Found {
    let page = Page {
        items,
        has_next: false,
        as_of,
    };
    (page, Some(size))
}
