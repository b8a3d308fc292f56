//! P5: what readers see of what was acknowledged, under full load.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use daybook::store::{PageLimits, Store};
use domain::fleet::{Fleet, FleetEvent, FleetRenamed};
use domain::{Event, Position};
use tokio::task::JoinSet;

use super::fleets::{Fleets, context, door, rename};
use super::report::{Figure, Goal, Row};
use super::stand::Stand;

/// How long commands are sent.
const LOAD: Duration = Duration::from_secs(60);

/// Who sends them, over two pools as two processes would have.
const WRITERS: usize = 64;

/// Few enough fleets that callers meet.
const FLEETS: Fleets = Fleets {
    prefix: "fleet-",
    count: 48,
    events: 1,
};

/// The longest page of each reader.
const PAGES: [i64; 4] = [1, 16, 250, 1_000];

/// What a reader saw: at which position which command's event lies, and what was wrong.
#[derive(Default)]
struct Seen {
    commands: HashMap<i64, u64>,
    numbers: HashSet<u64>,
    flaws: usize,
}

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, database) = stand.store().await?;
    let other = Store::connect(database.clone(), Default::default()).await?;
    let tenant: Arc<str> = "default".into();
    FLEETS.seed(&store, &tenant).await?;
    let from = store.head(&tenant).await?;
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for events_max in PAGES {
        let (store, tenant, done) = (store.clone(), tenant.clone(), done.clone());
        readers.spawn(async move { read(&store, &tenant, from, events_max, &done).await });
    }
    let time = if stand.is_quick() {
        stand.round()
    } else {
        LOAD
    };
    let acknowledged = write(&[store.clone(), other.clone()], &tenant, time).await?;
    done.store(true, Ordering::Release);
    let mut flaws = 0;
    while let Some(seen) = readers.join_next().await {
        let seen = seen??;
        let missed = acknowledged
            .iter()
            .filter(|(position, n)| seen.commands.get(&position.0) != Some(n));
        flaws += seen.flaws + missed.count();
    }
    for store in [store, other] {
        store.pool().close().await;
    }
    stand.drop_database(&database).await?;
    Ok(vec![Row {
        what: format!(
            "events lost, doubled or out of order for {} readers, of {} acknowledged to {WRITERS} callers \
             in {} s",
            PAGES.len(),
            acknowledged.len(),
            time.as_secs(),
        ),
        unit: "events",
        ours: Figure {
            value: flaws as f64,
            ..Figure::default()
        },
        reference: None,
        ratio: None,
        goal: Goal::OursAtMost(0.0),
    }])
}

/// Sends commands until the time is over: what was acknowledged.
async fn write(
    stores: &[Store; 2],
    tenant: &Arc<str>,
    time: Duration,
) -> anyhow::Result<Vec<(Position, u64)>> {
    let (until, next) = (Instant::now() + time, Arc::new(AtomicU64::new(0)));
    let doors = stores.each_ref().map(door);
    let mut writers = JoinSet::new();
    for caller in 0..WRITERS {
        let (door, tenant, next) = (doors[caller % 2].clone(), tenant.clone(), next.clone());
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            while Instant::now() < until {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let id = FLEETS.id(caller + acknowledged.len());
                let context = context(&tenant);
                let receipt = door.execute::<Fleet>(&context, &id, rename(n)).await?;
                acknowledged.push((receipt.position, n));
            }
            anyhow::Ok(acknowledged)
        });
    }
    let mut acknowledged = Vec::new();
    while let Some(ended) = writers.join_next().await {
        acknowledged.extend(ended??);
    }
    Ok(acknowledged)
}

/// Follows the log as a consumer does, to its end.
async fn read(
    store: &Store,
    tenant: &Arc<str>,
    from: Position,
    events_max: i64,
    done: &AtomicBool,
) -> anyhow::Result<Seen> {
    let (mut seen, mut after) = (Seen::default(), from);
    let limits = PageLimits {
        events_max,
        ..PageLimits::default()
    };
    loop {
        // Looked at before the page: an empty one after that is the log's end.
        let is_last = done.load(Ordering::Acquire);
        let page = store.read_log(tenant, after, limits).await?;
        if page.is_empty() {
            if is_last {
                return Ok(seen);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        for stored in page {
            if stored.position.0 != after.0 + 1 {
                seen.flaws += 1;
            }
            after = stored.position;
            let known = stored.decode().context("an event of this program")?;
            if let Event::Fleet(FleetEvent::FleetRenamed(FleetRenamed { name })) = known.event {
                let n = name.split(' ').find_map(|word| word.parse().ok());
                let n = n.context("its number")?;
                seen.commands.insert(after.0, n);
                // A command that was appended twice.
                seen.flaws += usize::from(!seen.numbers.insert(n));
            }
        }
    }
}
