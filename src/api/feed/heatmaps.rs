//! `heatmapChanged`: the map, and the map again whenever its figures have changed, so often a second.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use projections::GRAIN_S;
use projections::heatmap::HeatmapQuery;
use tokio::time::{Instant, sleep, sleep_until};

use super::RETRY;
use super::groups::{Group, Groups};
use super::latest::{Change, TooMuch};
use super::rendering::{Item, Rendering};
use crate::api::failure::store_fault;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::query::figures;
use crate::api::types::heatmap::{Heatmap, Kept};
use crate::consumers::feed::{Handed, Interest, Keep, Subscription};

/// What a caller asks of `heatmapChanged`.
pub struct HeatmapPlan {
    /// Which map.
    pub question: HeatmapQuery,
    /// Least time between two maps.
    pub interval: Duration,
}

/// Fills a group; tells why it ended.
pub(super) async fn fill(
    groups: &Groups,
    group: &Arc<Group>,
    mut rendering: Rendering,
    plan: HeatmapPlan,
) -> Fault {
    let question = &plan.question;
    // The read model cuts spans outwards to its grain.
    let grain = TimeDelta::seconds(GRAIN_S);
    let interest = Interest::Counted {
        from: question
            .from
            .checked_sub_signed(grain)
            .unwrap_or(question.from),
        to: question.to.checked_add_signed(grain).unwrap_or(question.to),
        resolution: question.resolution,
        area: question.area,
    };
    let operation = rendering.operation().clone();
    let feed = match groups
        .feed
        .subscribe(operation.tenant(), interest, Keep::Latest)
        .await
    {
        Ok(feed) => feed,
        Err(error) => return store_fault(error),
    };
    let mut shown: Option<Kept> = None;
    loop {
        let began = Instant::now();
        let read = map(groups, &feed, &operation, question, shown.is_some()).await;
        let told = match read {
            Ok(map) if shown.as_ref().is_some_and(|shown| shown.tells_what(&map)) => Ok(()),
            Ok(map) => {
                shown = Some(map.clone());
                show(group, &mut rendering, question, map).await
            }
            Err(fault) => Err(fault),
        };
        if let Err(fault) = told {
            return fault;
        }
        group.open();
        if let Handed::Closed = feed.next().await {
            return Fault::of(FaultCode::Resume);
        }
        sleep_until(began + plan.interval).await;
    }
}

/// The map as of what has been handed over. One that is shown already may take its time: its read
/// model may stand still for longer than a query waits.
async fn map(
    groups: &Groups,
    feed: &Subscription,
    operation: &Operation,
    question: &HeatmapQuery,
    patient: bool,
) -> Result<Kept, Fault> {
    let mut attempts = groups.feed.settings().attempts_max;
    loop {
        operation.insist_on(feed.restart()).await;
        let map = figures::heat(operation, question).await;
        operation.renew().await;
        match map {
            Err(fault) if patient && fault.code() == FaultCode::StaleRead.as_str() => {
                sleep(RETRY).await;
            }
            Err(fault) if patient && fault.is_passing() && attempts > 1 => {
                attempts -= 1;
                sleep(RETRY).await;
            }
            map => return map,
        }
    }
}

async fn show(
    group: &Arc<Group>,
    rendering: &mut Rendering,
    question: &HeatmapQuery,
    map: Kept,
) -> Result<(), Fault> {
    let position = map.as_of();
    let map = Box::new(Heatmap::new(question, map));
    let item = rendering.render(Item::Heatmap(map), position).await?;
    let only: Arc<str> = "".into();
    let set = group.latest.set(
        &only,
        Change {
            item,
            recorded_at: None,
            left: false,
        },
    );
    set.map_err(|TooMuch| Fault::new(FaultCode::CostLimit, "the map is too large to be kept"))?;
    group.tell();
    Ok(())
}
