//! `daybook serve`: everything in one process, until it is told to stop.

use std::process::ExitCode;

use crate::app;
use crate::config::{Override, Settings};
use crate::ops::{Shutdown, on_signals};

/// Serves GraphQL, the REST routes and health until SIGTERM or Ctrl-C.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(after_help = "\
Examples:
  daybook                                     serve on 127.0.0.1:8080, data in ./.daybook
  daybook serve --port 9000                   on another port
  DATABASE_URL=postgres://db/daybook REDIS_URL=redis://cache daybook serve
  DAYBOOK_LIMITS__DEPTH_MAX=8 daybook serve   any setting can be given so

The first signal finishes what was begun; a second one stops at once.")]
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
pub async fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let (trigger, shutdown) = Shutdown::new();
    tokio::spawn(on_signals(trigger, settings.http.drain_hard));
    app::serve(&settings, shutdown, |app, address, admin| {
        for line in app.start_lines(address).iter().chain(&admin) {
            println!("{line}");
        }
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}
