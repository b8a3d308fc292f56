//! Boards: the one place where ranks are looked up, so that everybody is told the same order.

use domain::Position;
use domain::standing::Standing;
use projections::competitions::{self, Board, CompetitionRow};
use projections::{Page, ReadError, Snapshot};

/// Who is where on boards. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Leaderboards {}

impl Leaderboards {
    /// Boards as the read model has them.
    pub fn new() -> Leaderboards {
        Leaderboards::default()
    }

    /// The lines of a board from the one that has `before` lines before it, at most `first`.
    pub async fn page(
        &self,
        snap: &mut Snapshot,
        (competition, board): (&CompetitionRow, &Board),
        before: u32,
        first: u32,
    ) -> Result<Page<Standing>, ReadError> {
        competitions::page(snap, competition, board, before, first).await
    }

    /// How many lines stand before the first of a rank, or of a greater one where nobody has it.
    pub async fn before_rank(
        &self,
        snap: &mut Snapshot,
        (competition, board): (&CompetitionRow, &Board),
        rank: u32,
    ) -> Result<u32, ReadError> {
        competitions::before_rank(snap, competition, board, rank).await
    }

    /// Somebody's line, with at most `each_side` before it and behind it; empty if they are not on the
    /// board.
    pub async fn around(
        &self,
        snap: &mut Snapshot,
        (competition, board): (&CompetitionRow, &Board),
        user: &str,
        each_side: u32,
    ) -> Result<Vec<Standing>, ReadError> {
        competitions::around(snap, competition, board, user, each_side).await
    }

    /// Where somebody stands, if they are on the board.
    pub async fn standing(
        &self,
        snap: &mut Snapshot,
        (competition, board): (&CompetitionRow, &Board),
        user: &str,
    ) -> Result<Option<Standing>, ReadError> {
        competitions::standing(snap, competition, board, user).await
    }

    /// How many are on the board.
    pub async fn size(
        &self,
        snap: &mut Snapshot,
        (competition, board): (&CompetitionRow, &Board),
    ) -> Result<u64, ReadError> {
        competitions::size(snap, competition, board).await
    }

    /// Positions of the events behind somebody's line, ascending, those after `after`, at most `first`.
    pub async fn evidence(
        &self,
        snap: &mut Snapshot,
        (competition, board): (&CompetitionRow, &Board),
        user: &str,
        part: (Option<Position>, u32),
    ) -> Result<Page<Position>, ReadError> {
        competitions::evidence(snap, competition, board, user, part).await
    }
}
