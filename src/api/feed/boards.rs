//! `leaderboardChanged`: the first lines of a board, and each of them again whenever it is another, so often a
//! second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use domain::Position;
use domain::competition::Metric;
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

/// A board whose period ends some time is looked at again after so long.
const LOOK_MAX: Duration = Duration::from_secs(3_600);

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
    let competition: Arc<str> = plan.asked.competition.as_str().into();
    let interested = |activities| Interest::Board {
        competition: competition.clone(),
        activities,
    };
    let subscribe = async |interest| {
        let feed = groups
            .feed
            .subscribe(operation.tenant(), interest, Keep::Latest);
        feed.await.map_err(store_fault)
    };
    // Only a look at it tells that activities have nothing to do with it.
    let (mut of_activities, mut told, mut last) = (true, Told::new(), None);
    let mut feed = match subscribe(interested(true)).await {
        Ok(feed) => feed,
        Err(fault) => return fault,
    };
    loop {
        let began = Instant::now();
        let read = board(groups, &feed, (&operation, &plan), last.as_deref()).await;
        let read = match read {
            Ok(read) => read,
            Err(fault) => return fault,
        };
        let handed_in = read.shown.competition.rules.metric == Metric::Submitted;
        if handed_in && std::mem::take(&mut of_activities) {
            feed = match subscribe(interested(false)).await {
                Ok(feed) => feed,
                Err(fault) => return fault,
            };
            continue;
        }
        last = Some(read.shown.board.period.clone());
        let until = read.until.map(|until| until - operation.parts.clock.now());
        let until = until.filter(|left| *left > TimeDelta::zero());
        if let Err(fault) = show(group, &mut rendering, &mut told, read).await {
            return fault;
        }
        group.open();
        tokio::select! {
            handed = feed.next() => if let Handed::Closed = handed {
                return Fault::of(FaultCode::Resume);
            },
            () = over(until) => {}
        }
        sleep_until(began + plan.interval).await;
    }
}

/// Waits until a period is over.
async fn over(until: Option<TimeDelta>) {
    match until {
        // Whatever the clocks are up to, it is looked at once in a while.
        Some(until) => sleep(until.to_std().unwrap_or_default().min(LOOK_MAX)).await,
        None => std::future::pending().await,
    }
}

/// The board as of what has been handed over. One that is told of already may take its time: its read
/// model may stand still for longer than a query waits.
async fn board(
    groups: &Groups,
    feed: &Subscription,
    (operation, plan): (&Operation, &BoardPlan),
    last: Option<&str>,
) -> Result<BoardRead, Fault> {
    let patient = last.is_some();
    let mut attempts = groups.feed.settings().attempts_max;
    loop {
        operation.insist_on(feed.restart()).await;
        let read = plan.asked.read(operation, plan.first, last).await;
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
