//! Reading competitions: what they are, who takes part, and their boards.

mod board;
mod entries;
mod list;
mod measured;
mod moderation;
mod moved;
mod periods;

pub use board::{
    Among, Board, around, before_rank, everybody, evidence, known, page, size, standing,
};
pub use entries::{DecisionRow, EntryRow, PlayedRow, entries, entries_of_user, entry, played};
pub use list::{CompetitionRow, competition, competitions};
pub use moderation::{DisputeRow, HeldRow, held_scores, open_disputes};
pub use moved::{Contenders, Moved, moved};
pub use periods::{
    AwardCursor, AwardRow, ClosedRow, PeriodRow, awards, awards_of_user, period, periods,
    periods_of,
};

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::accounts::Sealed;

/// Sealed words and the event that holds them, if there are any.
fn sealed(row: &PgRow, text: &str, event: &str) -> Result<Option<Sealed>, sqlx::Error> {
    let text: Option<String> = row.try_get(text)?;
    let event = row.try_get(event)?;
    Ok(text
        .zip(event)
        .map(|(text, event_id)| Sealed { text, event_id }))
}
