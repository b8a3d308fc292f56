//! Waits until the read models have come as far as the log, and says which will not.

use std::sync::Arc;
use std::time::Duration;

use domain::Position;

use crate::cli::progress::Progress;
use crate::consumers::{Consumers, ProjectionStatus, Status};
use crate::ops::Shutdown;

/// How often the read models are asked how far they are.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Waits until every read model that runs has reached `head`, or until `shutdown`. Returns one line
/// for each that has not.
pub async fn catch_up(
    consumers: &Consumers,
    tenant: &Arc<str>,
    head: Position,
    shutdown: &Shutdown,
) -> anyhow::Result<Vec<String>> {
    let mut began = None;
    let progress = Progress::new("updating read models", "events", Some(0));
    loop {
        let rows = consumers.status(tenant).await?;
        let behind: Vec<_> = rows.iter().filter(|row| row.position < head).collect();
        let slowest = behind
            .iter()
            .filter(|row| advances(row))
            .map(|row| row.position)
            .min();
        let Some(slowest) = slowest.filter(|_| !shutdown.is_soft()) else {
            progress.finish();
            return Ok(behind.into_iter().map(describe).collect());
        };
        let began = *began.get_or_insert(slowest);
        let (done, total) = (slowest.0 - began.0, head.0 - began.0);
        progress.set_total(total.unsigned_abs());
        progress.at(done.unsigned_abs(), done.unsigned_abs());
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn advances(row: &ProjectionStatus) -> bool {
    matches!(row.status, Status::Running | Status::NotStarted)
}

fn describe(row: &ProjectionStatus) -> String {
    let ProjectionStatus {
        name,
        position,
        head,
        status,
        ..
    } = row;
    let why = row
        .error
        .as_ref()
        .map(|e| format!(": {e}"))
        .unwrap_or_default();
    format!(
        "{name} is {} at position {position} of {head}{why}",
        status.as_str()
    )
}
