//! Bulk: position fixes of any vehicles, judged and told apart one by one, appended in one transaction.

mod cells;
mod deciding;
mod receipt;

use std::collections::HashSet;

use domain::track::{FIX_ID_SCOPE, FIXES_MAX, FixReport, Track};
use domain::vehicle::{EXTERNAL_ID_SCOPE, Vehicle};
use domain::{Code, Refusal, StreamKey};
use serde::Serialize;

use super::decide::{Turn, conflict, fault, lost_race};
use super::envelope::Envelope;
use super::{CommandContext, CommandError, Door, Receipt};
use crate::store::{AppendError, Pending};
use cells::{Cells, Judged};
use deciding::Deciding;

/// Where refused records say they came from.
const SOURCE: &str = "reportPositions";

/// Position fixes as they came, of any vehicles; 1 to [`FIXES_MAX`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportPositions {
    /// In the caller's order.
    pub fixes: Vec<FixReport>,
    /// May unknown external ids register their vehicles?
    pub may_register: bool,
}

/// What became of a report, fix by fix.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionsReceipt {
    /// As for any command; `version` is 0 when the report wrote several streams.
    pub receipt: Receipt,
    /// One per reported fix, in the caller's order.
    pub outcomes: Vec<FixOutcome>,
}

/// What became of one fix.
#[derive(Clone, Debug, PartialEq)]
pub enum FixOutcome {
    /// It is in the log.
    Accepted,
    /// One like it was accepted before (or earlier in this report).
    Duplicate {
        /// The content is not the same as that of the first.
        differs: bool,
    },
    /// It is not in the log, and why.
    Rejected(Refusal),
}

impl Door {
    /// Takes in position fixes of any vehicles, all of the report in one transaction.
    ///
    /// A bad fix is rejected alone; the rest is kept. Fixes that were rejected, and duplicates that
    /// differ from the first, are kept with the rejected records. Fails as a whole only where the report
    /// itself is unusable (no fixes, too many, a reused `commandId`).
    pub async fn report_positions(
        &self,
        ctx: &CommandContext,
        report: ReportPositions,
    ) -> Result<PositionsReceipt, CommandError> {
        check_size(ctx, &report)?;
        let envelope = Envelope::new(ctx, SOURCE, &report)?;
        if let Some(first) = self.receipts.find(&ctx.tenant, &envelope) {
            return Ok(receipt::read(&first?, report.fixes.len()));
        }
        // One question to the log spares a retry the judging and loading of a whole report.
        if let Some(first) = self.first_receipt(ctx, &envelope).await? {
            return Ok(receipt::read(&first, report.fixes.len()));
        }
        let judged = self.judge_all(ctx, &report);
        let mut claimed = HashSet::new();
        let mut turn = Turn::new(self.settings.attempts_max);
        loop {
            let cells = self.report_cells(ctx, &judged).await?;
            let elsewhere = &claimed | &cells.ids_on_two_days();
            let Some(sent) =
                self.decide_report(ctx, &envelope, &report, &judged, &cells, &elsewhere)?
            else {
                let refusal = conflict(&StreamKey::of::<Track>(SOURCE), None);
                turn.wait(refusal).await?;
                continue;
            };
            let (pending, outcomes) = sent;
            match pending.outcome().await {
                Ok(kept) if kept.replayed => {
                    self.receipts.keep(&ctx.tenant, &envelope, &kept);
                    return Ok(receipt::read(&kept, report.fixes.len()));
                }
                Ok(kept) => {
                    self.receipts.keep(&ctx.tenant, &envelope, &kept);
                    return Ok(PositionsReceipt {
                        receipt: Receipt::from(&kept),
                        outcomes,
                    });
                }
                Err(AppendError::Claimed { scope, .. }) if scope == FIX_ID_SCOPE => {
                    claimed = self.fix_ids_elsewhere(ctx, &cells).await?;
                    turn.next(conflict(&StreamKey::of::<Track>(SOURCE), None))
                        .await?;
                }
                // Somebody has just registered a vehicle under this external id: resolve it anew.
                Err(AppendError::Claimed { scope, .. }) if scope == EXTERNAL_ID_SCOPE => {
                    turn.next(conflict(&StreamKey::of::<Vehicle>(SOURCE), None))
                        .await?;
                }
                Err(error) => {
                    let refusal = lost_race(error, &StreamKey::of::<Track>(SOURCE))?;
                    turn.next(refusal).await?;
                }
            }
        }
    }

    /// Decides the whole report under the locks of all it touches, and puts it in its lane. `None` if a
    /// state went away meanwhile.
    fn decide_report(
        &self,
        ctx: &CommandContext,
        envelope: &Envelope,
        report: &ReportPositions,
        judged: &Judged,
        cells: &Cells<'_>,
        elsewhere: &HashSet<usize>,
    ) -> Result<Option<(Pending, Vec<FixOutcome>)>, CommandError> {
        // In the order of ids, vehicles before tracks: two reports never wait for each other in a ring.
        let mut vehicles: Vec<_> = cells.vehicles.values().map(|v| v.cell.lock()).collect();
        let mut tracks: Vec<_> = cells.tracks.values().map(|t| t.cell.lock()).collect();
        if vehicles.iter().any(|v| v.is_none()) || tracks.iter().any(|t| t.is_none()) {
            return Ok(None);
        }
        let mut deciding = Deciding::new(report, judged, elsewhere);
        for ((id, part), slot) in cells
            .vehicles
            .iter()
            .zip(vehicles.iter_mut().flat_map(|v| v.as_mut()))
        {
            deciding.vehicle(id, part, slot);
        }
        for ((key, part), slot) in cells
            .tracks
            .iter()
            .zip(tracks.iter_mut().flat_map(|t| t.as_mut()))
        {
            deciding.track(key, part, slot);
        }
        self.states.grew(deciding.grown_bytes);
        let (append, outcomes) = deciding.finish(envelope, self.settings.rejected_record_bytes_max);
        match self.store.submit(&ctx.tenant, append) {
            Ok(pending) => Ok(Some((pending, outcomes))),
            Err(error) => {
                // Those before it are on their way and stand; nobody has seen these states yet.
                vehicles.iter_mut().for_each(|slot| **slot = None);
                tracks.iter_mut().for_each(|slot| **slot = None);
                Err(fault(error))
            }
        }
    }
}

fn check_size(ctx: &CommandContext, report: &ReportPositions) -> Result<(), Refusal> {
    let n = report.fixes.len();
    if n == 0 {
        return Err(Refusal::new(Code::Validation, "a report has at least one fix").at(["fixes"]));
    }
    if n > FIXES_MAX {
        return Err(Refusal::new(
            Code::TooLarge,
            format!("a report has at most {FIXES_MAX} fixes"),
        )
        .at(["fixes"])
        .with("limit", FIXES_MAX)
        .with("actual", n));
    }
    if ctx.expected_version.is_some() {
        let why = "a report writes many streams and takes no expectedVersion";
        return Err(Refusal::new(Code::Validation, why).at(["expectedVersion"]));
    }
    Ok(())
}

fn at(i: usize) -> [String; 2] {
    ["fixes".to_owned(), i.to_string()]
}
