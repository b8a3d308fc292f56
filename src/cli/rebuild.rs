//! `daybook rebuild`: folds the log into a new generation of a read model beside the one that
//! answers, and swaps them when it has caught up; or as of a position, to be asked beside it.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{bail, ensure};
use clap::ValueEnum;
use domain::Position;
use domain::values::timestamp;
use projections::AnyProjection;
use tokio::sync::Semaphore;

use super::import::summary::thousands;
use super::operator;
use super::progress::Progress;
use crate::app::{self, Log};
use crate::config::Settings;
use crate::consumers::{
    self, Decider, Mode, RANGE_EVENTS, RebuildError, RebuildOptions, Rebuilt, WORKERS_MAX,
};
use crate::store::Store;

/// Rebuilds read models from the log while the old ones answer.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook rebuild heatmap
  daybook rebuild --all --workers 4 --compare
  daybook rebuild deployments --mode scratch --up-to 2026-01-31T23:59:59Z
  daybook rebuild heatmap --detach --reason 'after incident 12'

May run beside a serving process. Interrupted, it goes on where it was when it is run again, or when \
a process serves; until the swap the old generation answers. Detached, it is recorded, and a process \
that serves carries it out. `daybook projection` shows, pauses, cancels and rolls back.")]
pub struct RebuildArgs {
    /// Which read model
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    projection: Option<String>,
    /// Every read model, one after the other
    #[arg(long)]
    all: bool,
    /// What becomes of the new generation
    #[arg(long, value_enum, default_value_t = Becomes::Replace)]
    mode: Becomes,
    /// As of which position, or which time (RFC 3339); with --mode scratch
    #[arg(long, value_name = "POSITION|TIME")]
    up_to: Option<String>,
    /// How many ranges of the log are folded at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=WORKERS_MAX as i64))]
    workers: u16,
    /// At most so many events in a range
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(i64).range(RANGE_EVENTS))]
    range: i64,
    /// Compare the new generation with the old before the swap; if they differ, the old one stays
    #[arg(long)]
    compare: bool,
    /// Only ask for it: a process that serves carries it out
    #[arg(long)]
    detach: bool,
    /// Why; kept
    #[arg(long)]
    reason: Option<String>,
    /// Who asks for it; kept
    #[arg(long, default_value_t = operator())]
    by: String,
    /// Whose log
    #[arg(long, default_value = "default")]
    tenant: String,
}

/// What becomes of a new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Becomes {
    /// It takes the place of the one that answers
    Replace,
    /// It is kept beside the one that answers, as of --up-to
    Scratch,
}

/// Rebuilds what `args` name, and says what came of it. Fails if one of them could not be rebuilt.
pub async fn run(args: RebuildArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    ensure!(
        (args.mode == Becomes::Scratch) == args.up_to.is_some(),
        "--mode scratch and --up-to go together"
    );
    ensure!(
        args.mode == Becomes::Replace || !args.compare,
        "--compare is for a generation that takes the place of another"
    );
    let log = Log::open(&settings).await?;
    let done = rebuild_asked(log.store(), &args, &settings).await;
    log.close().await;
    Ok(if done? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Finds what is meant, and rebuilds it. True if all of it came about.
async fn rebuild_asked(
    store: &Store,
    args: &RebuildArgs,
    settings: &Settings,
) -> anyhow::Result<bool> {
    let analysts = app::analysts(settings, store)?;
    let chosen = chosen(consumers::models(&analysts, &args.tenant).await?, args)?;
    let options = options(store, args, settings).await?;
    Ok(rebuild(store, chosen, args, &options).await)
}

async fn options(
    store: &Store,
    args: &RebuildArgs,
    settings: &Settings,
) -> anyhow::Result<RebuildOptions> {
    let mode = match &args.up_to {
        None => Mode::Replace,
        Some(text) => Mode::Scratch {
            up_to: up_to(store, &args.tenant, text).await?,
        },
    };
    Ok(RebuildOptions {
        mode,
        workers: args.workers.into(),
        range_events: args.range,
        compare: args.compare,
        slowdown_max: settings.consumers.rebuild_slowdown_max,
        scratches_max: settings.consumers.scratches_max,
        places: Arc::new(Semaphore::new(settings.consumers.rebuild_workers_max)),
        decider: Some(Decider::of(&args.by).because(args.reason.clone())),
        ..RebuildOptions::default()
    })
}

/// A position, or the last one recorded by a time.
async fn up_to(store: &Store, tenant: &str, text: &str) -> anyhow::Result<Position> {
    if let Ok(position) = text.parse::<i64>() {
        ensure!(position >= 0, "--up-to is a position, 0 or more, or a time");
        return Ok(Position(position));
    }
    let time = match timestamp(text, "--up-to") {
        Ok(time) => time,
        Err(refusal) => bail!(
            "--up-to is neither a position nor a time: {}",
            refusal.message
        ),
    };
    Ok(store.reached_by(tenant, time).await?)
}

/// True if all of them came about.
async fn rebuild(
    store: &Store,
    chosen: Vec<Arc<dyn AnyProjection>>,
    args: &RebuildArgs,
    options: &RebuildOptions,
) -> bool {
    let mut done = true;
    for projection in chosen {
        let name = projection.name();
        let outcome = if args.detach {
            let asked = consumers::ask_rebuild(store, &projection, &args.tenant, options, None);
            asked.await.map(|asked| {
                let (generation, phase) = (asked.generation, asked.phase);
                format!("{name}: generation {generation} is asked for ({phase})")
            })
        } else {
            let rebuilt = rebuild_one(store, &projection, &args.tenant, options).await;
            rebuilt.map(|rebuilt| describe(name, &rebuilt, options))
        };
        match outcome {
            Ok(told) => println!("{told}"),
            Err(e) => {
                done = false;
                eprintln!("{name}: {e}; the old generation still answers");
                if let RebuildError::DigestsDiffer {
                    difference: Some(first),
                    ..
                } = e
                {
                    eprintln!("{name}: the first difference: {first}");
                }
            }
        }
    }
    done
}

async fn rebuild_one(
    store: &Store,
    projection: &Arc<dyn AnyProjection>,
    tenant: &str,
    options: &RebuildOptions,
) -> Result<Rebuilt, RebuildError> {
    let bar = Progress::new("rebuilding", "events", Some(0));
    let rebuilt = consumers::rebuild(store, projection, &tenant.into(), options.clone(), |at| {
        bar.set_total(at.total_events);
        bar.at(at.done_events, at.done_events);
    })
    .await;
    bar.finish();
    rebuilt
}

fn chosen(
    all: Vec<Arc<dyn AnyProjection>>,
    args: &RebuildArgs,
) -> anyhow::Result<Vec<Arc<dyn AnyProjection>>> {
    let Some(wanted) = &args.projection else {
        return Ok(all);
    };
    let names: Vec<_> = all.iter().map(|p| p.name()).collect();
    match all.iter().find(|p| p.name() == wanted) {
        Some(found) => Ok(vec![found.clone()]),
        None => bail!("no read model {wanted:?}; there are {}", names.join(", ")),
    }
}

fn describe(name: &str, rebuilt: &Rebuilt, options: &RebuildOptions) -> String {
    let Rebuilt {
        generation,
        position,
        events,
        digest,
        elapsed,
    } = rebuilt;
    let seconds = elapsed.as_secs_f64();
    let rate = (*events as f64 / seconds.max(0.001)) as u64;
    let equal = match digest {
        Some(digest) if options.compare => format!(", equal to the old one (digest {digest})"),
        _ => String::new(),
    };
    let what = match options.mode {
        Mode::Scratch { .. } => "is as of position",
        Mode::Check => "is what it was compared with, at position",
        Mode::Replace | Mode::RollBack => "answers from position",
    };
    let (events, rate) = (thousands(*events), thousands(rate));
    format!(
        "{name}: generation {generation} {what} {position}: \
         {events} events in {seconds:.1} s ({rate} events/s){equal}"
    )
}
