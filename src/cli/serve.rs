//! `daybook serve`: everything in one process, until it is told to stop.

use std::process::ExitCode;

use crate::app;
use crate::app::live::{self, Changing};
use crate::config::{Override, Settings, Sources, Watch};
use crate::ops::telemetry::Levels;
use crate::ops::{Shutdown, on_signals};

/// Serves GraphQL, the REST routes and health until SIGTERM or Ctrl-C.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(after_help = "\
Examples:
  daybook                                     serve on 127.0.0.1:8080, data in ./.daybook
  daybook serve --port 9000                   on another port
  DATABASE_URL=postgres://db/daybook REDIS_URL=redis://cache daybook serve
  DAYBOOK_LIMITS__DEPTH_MAX=8 daybook serve   any setting can be given so

The first signal finishes what was begun; a second one stops at once. Settings marked Live in
docs/configuration.md are taken from the file while it runs; SIGHUP takes them at once.")]
pub struct ServeArgs {
    /// Listen on this port (setting `http.port`)
    #[arg(long, short, value_name = "PORT")]
    port: Option<String>,
    /// Listen on this address (setting `http.address`)
    #[arg(long, value_name = "IP")]
    address: Option<String>,
}

impl ServeArgs {
    /// The settings these flags mean.
    pub fn overrides(&self) -> Vec<Override> {
        let flags = [
            ("http.port", "--port", &self.port),
            ("http.address", "--address", &self.address),
        ];
        let given = flags.into_iter().filter_map(|(key, flag, value)| {
            Some(Override {
                key,
                flag,
                value: value.clone()?,
            })
        });
        given.collect()
    }
}

/// Serves until a signal.
pub async fn run(settings: Settings, sources: Sources, levels: Levels) -> anyhow::Result<ExitCode> {
    let (trigger, shutdown) = Shutdown::new();
    tokio::spawn(on_signals(trigger, settings.http.drain_hard));
    let watch = Watch::new(sources, settings.clone());
    let stopping = shutdown.clone();
    app::serve(&settings, shutdown, |app, address, admin| {
        let changing = Changing {
            limiter: app.limiter.clone(),
            sources: app.sources.clone(),
            levels,
        };
        let every = app.settings.process.config_recheck;
        tokio::spawn(live::follow(watch, changing, every, stopping));
        for line in app.start_lines(address).iter().chain(&admin) {
            println!("{line}");
        }
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}
