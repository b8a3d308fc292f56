//! `projectionProgress`: how far the newest rebuild of each read model is, whenever that has changed.
//!
//! Whoever works at a rebuild tells its figures once a second, in the database, whatever process that is.
//! They are looked at once for all who subscribe to the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::Position;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::RETRY;
use super::groups::{Group, Groups};
use super::latest::{Change, TooMuch};
use super::rendering::{Item, Rendering};
use crate::api::failure::{consumer_fault, store_fault};
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::types::rebuild::Rebuild;
use crate::consumers::RebuildStatus;

/// How often it is looked, in milliseconds: at most five items a second and read model.
const LOOK_MS: u64 = 250;

/// What a caller asks of `projectionProgress`.
pub struct ProgressPlan {
    /// Of this read model; of all if there is none.
    pub name: Option<String>,
}

/// Fills a group; tells why it ended.
pub(super) async fn fill(
    groups: &Groups,
    group: &Arc<Group>,
    mut rendering: Rendering,
    plan: ProgressPlan,
) -> Fault {
    let operation = rendering.operation().clone();
    let mut looks = interval(Duration::from_millis(LOOK_MS));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = HashMap::new();
    let mut is_open = false;
    loop {
        looks.tick().await;
        let looked = look(groups, &operation, &plan, is_open).await;
        let shown = match looked {
            Ok((at, rows)) => show(group, &mut rendering, &mut told, at, rows).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = shown {
            return fault;
        }
        is_open = true;
        group.open();
    }
}

/// The newest rebuilds, and where the log ends. Once something was told, faults of the database are waited
/// out a few times.
async fn look(
    groups: &Groups,
    operation: &Operation,
    plan: &ProgressPlan,
    patient: bool,
) -> Result<(Position, Vec<RebuildStatus>), Fault> {
    let mut attempts = groups.feed.settings().attempts_max;
    loop {
        let (parts, tenant) = (&operation.parts, operation.tenant());
        let read = async {
            let head = parts.store.head(tenant).await.map_err(store_fault)?;
            let rows = parts
                .consumers
                .newest_rebuilds(tenant, plan.name.as_deref());
            Ok((head, rows.await.map_err(consumer_fault)?))
        };
        match read.await {
            Err::<_, Fault>(fault) if patient && fault.is_passing() && attempts > 1 => {
                attempts -= 1;
                sleep(RETRY).await;
            }
            read => return read,
        }
    }
}

/// Tells of the rebuilds that are further than was told, or others.
async fn show(
    group: &Arc<Group>,
    rendering: &mut Rendering,
    told: &mut HashMap<String, RebuildStatus>,
    at: Position,
    rows: Vec<RebuildStatus>,
) -> Result<(), Fault> {
    for row in rows {
        if told.get(&row.projection) == Some(&row) {
            continue;
        }
        told.insert(row.projection.clone(), row.clone());
        let key: Arc<str> = row.projection.as_str().into();
        let item = rendering
            .render(Item::Rebuild(Box::new(Rebuild(row))), at)
            .await?;
        let change = Change {
            item,
            recorded_at: None,
            left: false,
        };
        let set = group.latest.set(&key, change);
        set.map_err(|TooMuch| Fault::new(FaultCode::CostLimit, "there is too much to be told"))?;
        group.tell();
    }
    Ok(())
}
