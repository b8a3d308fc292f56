//! P4: what a long history costs a command: 1,000 events against 10.

use std::sync::Arc;
use std::time::Instant;

use daybook::commands::Door;
use domain::fleet::Fleet;

use super::fleets::{Fleets, context, door, rename, stock, stock_tables};
use super::measure::{Round, Rounds};
use super::report::{Goal, Row};
use super::stand::Stand;

/// Fleets of each kind.
const FLEETS: usize = 64;

/// Commands of a round and kind.
const COMMANDS: usize = 640;

const LONG: Fleets = Fleets {
    prefix: "long-",
    count: FLEETS,
    events: 1_000,
};

const SHORT: Fleets = Fleets {
    prefix: "short-",
    count: FLEETS,
    events: 10,
};

/// The line's rows. Long and short take turns command by command, one caller.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let tenant: Arc<str> = "default".into();
    let (store, ours_in) = stand.store().await?;
    let stock_in = stand.database().await?;
    let pool = stand.pool(stock_in.clone(), 2).await?;
    stock_tables(&pool).await?;
    for fleets in [LONG, SHORT] {
        fleets.seed(&store, &tenant).await?;
        fleets.seed_stock(&pool).await?;
    }
    stand.settle().await?;
    let stock = stock(pool.clone());
    let (mut warm, mut first, mut theirs) =
        (Rounds::default(), Rounds::default(), Rounds::default());
    let hot = door(&store);
    for n in 0..=stand.rounds() {
        let commands = stand.size(COMMANDS);
        let by_hot = async |id: String, n: u64| execute(&hot, &tenant, &id, n).await;
        let pair = turns(commands, by_hot).await?;
        // A door that has just been opened has seen nothing: each fleet is touched once.
        let cold = door(&store);
        let by_cold = async |id: String, n: u64| execute(&cold, &tenant, &id, n).await;
        let first_pair = turns(commands.min(FLEETS), by_cold).await?;
        let by_stock = async |id: String, n: u64| Ok(stock.execute(&id, rename(n)).await?);
        let stock_pair = turns(commands / 4, by_stock).await?;
        // The first round warms the door, the connections and the plans.
        if n > 0 || stand.is_quick() {
            for (rounds, (long, short)) in [
                (&mut warm, pair),
                (&mut first, first_pair),
                (&mut theirs, stock_pair),
            ] {
                rounds.ours.push(long);
                rounds.reference.push(short);
            }
        }
    }
    pool.close().await;
    stand.drop_database(&ours_in).await?;
    stand.drop_database(&stock_in).await?;
    let row = |rounds: &Rounds, what, goal| rounds.row(what, "ms", goal, |r| r.latency_ms(50.0));
    Ok(vec![
        row(
            &warm,
            "command p50, history of 1,000 events against 10",
            Goal::AtMost(1.1),
        ),
        row(&first, "the same, first touch", Goal::Shown),
        row(&theirs, "the same, stock postgres-es", Goal::Shown),
    ])
}

async fn execute(door: &Door, tenant: &Arc<str>, id: &str, n: u64) -> anyhow::Result<()> {
    door.execute::<Fleet>(&context(tenant), id, rename(n))
        .await?;
    Ok(())
}

/// Commands on long and short histories in turn; the latencies of each.
async fn turns(
    commands: usize,
    execute: impl AsyncFn(String, u64) -> anyhow::Result<()>,
) -> anyhow::Result<(Round, Round)> {
    let (mut long, mut short) = (Round::default(), Round::default());
    for n in 0..commands.max(1) {
        for (fleets, round) in [(LONG, &mut long), (SHORT, &mut short)] {
            let sent = Instant::now();
            execute(fleets.id(n), unique(&sent)).await?;
            round.latencies_us.push(sent.elapsed().as_micros() as u32);
        }
    }
    Ok((long, short))
}

/// A name that a fleet does not have yet.
fn unique(at: &Instant) -> u64 {
    static ZERO: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    at.duration_since(*ZERO.get_or_init(Instant::now))
        .as_nanos() as u64
}
