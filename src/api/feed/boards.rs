//! `leaderboardChanged`: the first lines of a board, and each of them again whenever it is another, so often a
//! second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::Position;
use domain::standing::Standing;
use tokio::time::{Instant, sleep, sleep_until};

use super::RETRY;
use super::groups::{Group, Groups};
use super::latest::{Change, TooMuch};
use super::rendering::{Item, Rendering};
use crate::api::failure::store_fault;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::query::leaderboard::{BoardAsked, BoardRead};
use crate::api::types::competition::LeaderboardChange;
use crate::consumers::feed::{Handed, Interest, Keep, Subscription};

/// What a caller asks of `leaderboardChanged`.
pub struct BoardPlan {
    /// Which board.
    pub asked: BoardAsked,
    /// How many of its lines, from the first.
    pub first: u32,
    /// Least time between two looks at it.
    pub interval: Duration,
}

/// The lines that are told, by user, each with the board it was told of.
type Told = HashMap<Arc<str>, (Arc<BoardRead>, Standing)>;

/// Fills a group; tells why it ended.
pub(super) async fn fill(
    groups: &Groups,
    group: &Arc<Group>,
    mut rendering: Rendering,
    plan: BoardPlan,
) -> Fault {
    let operation = rendering.operation().clone();
    let interest = Interest::Board(plan.asked.competition.as_str().into());
    let feed = groups
        .feed
        .subscribe(operation.tenant(), interest, Keep::Latest);
    let feed = match feed.await {
        Ok(feed) => feed,
        Err(error) => return store_fault(error),
    };
    let (mut told, mut is_first) = (Told::new(), true);
    loop {
        let began = Instant::now();
        let read = board(groups, &feed, &operation, &plan, !is_first).await;
        let shown = match read {
            Ok(read) => show(group, &mut rendering, &mut told, read).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = shown {
            return fault;
        }
        is_first = false;
        group.open();
        if let Handed::Closed = feed.next().await {
            return Fault::of(FaultCode::Resume);
        }
        sleep_until(began + plan.interval).await;
    }
}

/// The board as of what has been handed over. One that is told of already may take its time: its read
/// model may stand still for longer than a query waits.
async fn board(
    groups: &Groups,
    feed: &Subscription,
    operation: &Operation,
    plan: &BoardPlan,
    patient: bool,
) -> Result<BoardRead, Fault> {
    let mut attempts = groups.feed.settings().attempts_max;
    loop {
        operation.insist_on(feed.restart()).await;
        let read = plan.asked.read(operation, plan.first).await;
        operation.renew().await;
        match read {
            Err(fault) if patient && fault.code() == FaultCode::StaleRead.as_str() => {
                sleep(RETRY).await;
            }
            Err(fault) if patient && fault.is_passing() && attempts > 1 => {
                attempts -= 1;
                sleep(RETRY).await;
            }
            read => return read,
        }
    }
}

/// Tells of the lines that are others than were told, and of those that are not among the first any more.
async fn show(
    group: &Arc<Group>,
    rendering: &mut Rendering,
    told: &mut Told,
    read: BoardRead,
) -> Result<(), Fault> {
    let read = Arc::new(read);
    let mut gone = std::mem::take(told);
    for standing in &read.page.items {
        let user: Arc<str> = standing.user.as_str().into();
        let before = gone.remove(&user);
        let is_told = before.is_some_and(|(before, line)| {
            before.shown.board.period == read.shown.board.period && line == *standing
        });
        told.insert(user, (read.clone(), standing.clone()));
        if !is_told {
            tell(group, rendering, (&read, standing), None).await?;
        }
    }
    let mut gone: Vec<(Arc<BoardRead>, Standing)> = gone.into_values().collect();
    gone.sort_unstable_by(|(_, a), (_, b)| (a.rank, &a.user).cmp(&(b.rank, &b.user)));
    for (before, standing) in &gone {
        tell(group, rendering, (before, standing), Some(read.page.as_of)).await?;
    }
    group.tell();
    Ok(())
}

/// Tells of a line of a board, or that it left at a position.
async fn tell(
    group: &Arc<Group>,
    rendering: &mut Rendering,
    (read, standing): (&BoardRead, &Standing),
    left: Option<Position>,
) -> Result<(), Fault> {
    let as_of = left.unwrap_or(read.page.as_of);
    let change = LeaderboardChange::new(&read.shown, standing, left.is_some(), as_of);
    let item = rendering
        .render(Item::Board(Box::new(change)), as_of)
        .await?;
    let change = Change {
        item,
        recorded_at: None,
        left: left.is_some(),
    };
    let set = group.latest.set(&standing.user.as_str().into(), change);
    set.map_err(|TooMuch| Fault::new(FaultCode::CostLimit, "the board is too large to be kept"))
}
