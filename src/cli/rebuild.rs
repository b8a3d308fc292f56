//! `daybook rebuild`: folds the log into a new generation of a read model beside the one that
//! answers, and swaps them when it has caught up.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use projections::AnyProjection;

use super::import::summary::thousands;
use super::progress::Progress;
use crate::app::{self, Log};
use crate::config::Settings;
use crate::consumers::{self, RebuildError, RebuildOptions, Rebuilt};
use crate::store::Store;

/// Rebuilds read models from the log while the old ones answer.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook rebuild heatmap
  daybook rebuild --all --workers 4 --compare

May run beside a serving process. Interrupted, it goes on where it was when it is run again; \
until the swap the old generation answers.")]
pub struct RebuildArgs {
    /// Which read model
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    projection: Option<String>,
    /// Every read model, one after the other
    #[arg(long)]
    all: bool,
    /// How many ranges of the log are folded at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Compare the new generation with the old before the swap; if they differ, the old one stays
    #[arg(long)]
    compare: bool,
    /// Whose log
    #[arg(long, default_value = "default")]
    tenant: String,
}

/// Rebuilds what `args` name, and says what came of it. Fails if one of them could not be rebuilt.
pub async fn run(args: RebuildArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    let log = Log::open(&settings).await?;
    let chosen = match all(&settings, log.store(), &args.tenant).await {
        Ok(all) => chosen(all, &args),
        Err(error) => Err(error),
    };
    let chosen = match chosen {
        Ok(chosen) => chosen,
        Err(error) => {
            log.close().await;
            return Err(error);
        }
    };
    let options = RebuildOptions {
        workers: args.workers.into(),
        compare: args.compare,
        slowdown_max: settings.consumers.rebuild_slowdown_max,
        ..RebuildOptions::default()
    };
    let done = rebuild(log.store(), chosen, &args.tenant, &options).await;
    log.close().await;
    Ok(if done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All read models of the tenant, its own too.
async fn all(
    settings: &Settings,
    store: &Store,
    tenant: &str,
) -> anyhow::Result<Vec<Arc<dyn AnyProjection>>> {
    let analysts = app::analysts(settings, store)?;
    Ok(consumers::models(&analysts, tenant).await?)
}

/// True if all of them came about.
async fn rebuild(
    store: &Store,
    chosen: Vec<Arc<dyn AnyProjection>>,
    tenant: &str,
    options: &RebuildOptions,
) -> bool {
    let mut done = true;
    for projection in chosen {
        let name = projection.name();
        match rebuild_one(store, &projection, tenant, options).await {
            Ok(rebuilt) => println!("{}", describe(name, &rebuilt, options.compare)),
            Err(e) => {
                done = false;
                eprintln!("{name}: {e}; the old generation still answers");
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

fn describe(name: &str, rebuilt: &Rebuilt, compared: bool) -> String {
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
        Some(digest) if compared => format!(", equal to the old one (digest {digest})"),
        _ => String::new(),
    };
    let (events, rate) = (thousands(*events), thousands(rate));
    format!(
        "{name}: generation {generation} answers from position {position}: \
         {events} events in {seconds:.1} s ({rate} events/s){equal}"
    )
}
