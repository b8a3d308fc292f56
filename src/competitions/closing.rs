//! How a period is closed: sealed, read as of the seal, frozen.
//!
//! Each of these steps finds out by itself what is done already. So whoever comes next goes on where another
//! stopped, be it in another process, and two who close at once close once.

use std::sync::Arc;
use std::time::Duration;

use domain::Position;
use domain::competition::{Competition, CompetitionCommand, Metric};
use domain::standing::canonical_text;
use projections::competitions::{self, Among, Board};
use projections::{Reader, activities};
use sha2::{Digest, Sha256};

use super::CompetitionsError;
use crate::commands::{CommandContext, Door, Receipt};
use crate::consumers::Consumers;

/// How long one statement may take that reads the board of a period that is closed.
const BOARD_STATEMENT_MAX: Duration = Duration::from_secs(300);

/// Closes periods. Cheap to clone.
#[derive(Clone)]
pub struct Closer {
    door: Door,
    reader: Reader,
    consumers: Consumers,
    wait: Duration,
}

impl Closer {
    /// Through this door. A board is waited for so long that its read models lack something of.
    pub fn new(door: Door, (reader, consumers): (Reader, Consumers), wait: Duration) -> Closer {
        Closer {
            door,
            reader,
            consumers,
            wait,
        }
    }

    /// Closes a period of a competition: freezes its board and awards its prizes.
    ///
    /// `PERIOD_OPEN`: it still takes scores, or another one is to be closed first. `PERIOD_CLOSED`: it was
    /// closed before, by whomever.
    pub async fn close(
        &self,
        ctx: &CommandContext,
        id: &str,
        period: &str,
    ) -> Result<Receipt, CompetitionsError> {
        // A step of the command, not the command: its receipt is not the caller's.
        let step = CommandContext {
            command_id: None,
            ..ctx.clone()
        };
        let seal = CompetitionCommand::SealPeriod {
            period: period.to_owned(),
            now: ctx.now,
        };
        let sealed = self.door.execute::<Competition>(&step, id, seal).await?;
        let close = self.frozen(&ctx.tenant, (id, period), sealed.position);
        let close = close.await?;
        Ok(self.door.execute::<Competition>(ctx, id, close).await?)
    }

    /// The command that freezes the board of a period that was sealed at or before a position.
    async fn frozen(
        &self,
        tenant: &Arc<str>,
        (id, period): (&str, &str),
        at_least: Position,
    ) -> Result<CompetitionCommand, CompetitionsError> {
        let (known, _): (Competition, _) = self.door.load(tenant, id).await?;
        let handed_in = known
            .rules
            .is_some_and(|rules| rules.metric == Metric::Submitted);
        let models: &[&'static str] = match handed_in {
            true => &[competitions::NAME],
            false => &[competitions::NAME, activities::NAME],
        };
        let waited = self
            .consumers
            .wait_for(tenant, models, at_least, self.wait)
            .await;
        if let Err(stale) = waited {
            let reached = stale.reached.iter().map(|(_, at)| *at).min();
            return Err(behind(reached, at_least));
        }
        let mut snapshot = self.reader.snapshot(tenant).await?;
        // A board as of then is made of all that was ever told of it.
        snapshot.allow(BOARD_STATEMENT_MAX).await?;
        let reached = snapshot.position(models)?;
        if reached < at_least {
            // This process knows more than the database does, as after a crash of the server.
            self.consumers.look_again(tenant).await;
            return Err(behind(Some(reached), at_least));
        }
        let competition = competitions::competition(&mut snapshot, id).await?;
        let sealed = competitions::period(&mut snapshot, id, period).await?;
        let Some((competition, sealed)) = competition.zip(sealed) else {
            return Err(behind(Some(reached), at_least));
        };
        let as_of = sealed.sealed_position;
        let standings = match &sealed.closed {
            // It is refused for that.
            Some(_) => Vec::new(),
            None => {
                let board = Board {
                    period: period.to_owned(),
                    among: Among::Everybody,
                    as_of: Some(as_of),
                };
                competitions::everybody(&mut snapshot, &competition, &board).await?
            }
        };
        let digest = Sha256::digest(canonical_text(id, period, as_of, &standings));
        Ok(CompetitionCommand::ClosePeriod {
            period: period.to_owned(),
            sealed_at: as_of,
            as_of,
            standings: standings.into(),
            standings_hash: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

fn behind(reached: Option<Position>, head: Position) -> CompetitionsError {
    let reached = reached.unwrap_or_default();
    CompetitionsError::Behind { reached, head }
}
