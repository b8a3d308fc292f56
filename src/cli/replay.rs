//! `daybook replay`: writes the history of a log out, event by event, in the order in which it happened.

mod bookmark;
mod written;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use domain::values::timestamp;
use domain::{Metadata, Position};

use super::progress::Progress;
use crate::app::Log;
use crate::config::Settings;
use crate::store::{EventFilter, PageLimits, Store};
use bookmark::Bookmark;
use written::{Format, Writer};

/// So many positions are looked through at once: a filter that hardly anything passes is still told of its
/// progress, and no question takes long.
const LOOKED_AT: i64 = 50_000;

/// Writes the history of a log out.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook replay
  daybook replay --aggregate vehicle/2417 --format table
  daybook replay --type deployment.approved --actor user:ann --since 2026-11-01T00:00:00Z
  daybook replay --format csv --bookmark audit.bookmark >> audit.csv

Conditions add up. Personal values stay sealed. With --bookmark a replay that was interrupted, or that \
came to the end, goes on behind the last event it wrote when it is run again; one that was killed may \
write its last events again, which their positions tell.")]
pub struct ReplayArgs {
    /// Only this kind of stream, or this stream of it: `vehicle`, `vehicle/2417`
    #[arg(long, value_name = "KIND[/ID]")]
    aggregate: Option<String>,
    /// Only events of this type, such as `vehicle.registered`; may be given again
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only what this actor caused, such as `user:ann`
    #[arg(long)]
    actor: Option<String>,
    /// Only what one outside request led to
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Only events behind this position
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    after: i64,
    /// Only events up to this position
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    up_to: Option<i64>,
    /// Only events recorded at this time or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only events recorded before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How events are written: a table for people is what a terminal gets
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Keep in this file how far this replay has come, and go on from there
    #[arg(long, value_name = "FILE")]
    bookmark: Option<PathBuf>,
    /// Whose log
    #[arg(long, default_value = "default")]
    tenant: String,
}

/// What was looked through.
struct Looked {
    /// Events that were written.
    events: u64,
    /// Behind here it can be gone on.
    up_to: Position,
}

/// Writes what `args` name to standard output.
pub async fn run(args: ReplayArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    let moment = |text: &Option<String>, flag| match text {
        None => Ok(None),
        Some(text) => timestamp(text, flag).map(Some),
    };
    let since =
        moment(&args.since, "--since").map_err(|refusal| anyhow::anyhow!(refusal.message))?;
    let until =
        moment(&args.until, "--until").map_err(|refusal| anyhow::anyhow!(refusal.message))?;
    let log = Log::open(&settings).await?;
    let looked = replay(log.store(), &args, (since, until)).await;
    log.close().await;
    let Looked { events, up_to } = looked?;
    eprintln!("{events} events; go on with --after {up_to}");
    Ok(ExitCode::SUCCESS)
}

async fn replay(
    store: &Store,
    args: &ReplayArgs,
    times: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
) -> anyhow::Result<Looked> {
    let tenant: Arc<str> = args.tenant.as_str().into();
    let (mut after, to) = bounds(store, &tenant, args, times).await?;
    let mut bookmark = match &args.bookmark {
        None => None,
        Some(path) => Some(Bookmark::open(path, args.what(&store.identity().await?))?),
    };
    if let Some(bookmark) = &bookmark {
        after = after.max(bookmark.position());
    }
    let format = args
        .format
        .unwrap_or_else(|| Format::for_output(std::io::stdout().is_terminal()));
    let mut writer = Writer::new(format, std::io::stdout().lock());
    // Where a bookmark goes on, the names of columns were written before.
    if bookmark.as_ref().is_none_or(Bookmark::is_new) {
        writer.head()?;
        writer.flush()?;
    }
    if let Some(bookmark) = &mut bookmark {
        bookmark.put(after.min(to))?;
    }
    let bar = match std::io::stdout().is_terminal() {
        true => Progress::silent(),
        false => Progress::new(
            "replaying",
            "events",
            Some((to.0 - after.0).max(0).unsigned_abs()),
        ),
    };
    let (began, filter) = (after, args.filter());
    let mut events = 0;
    while after < to {
        let limits = PageLimits {
            up_to: to.min(Position(after.0.saturating_add(LOOKED_AT))),
            ..PageLimits::default()
        };
        let page = store.read_filtered(&tenant, &filter, after, limits).await?;
        for event in &page.events {
            let metadata: Option<Metadata> = serde_json::from_str(&event.metadata).ok();
            writer.write(event, metadata.as_ref())?;
        }
        events += page.events.len() as u64;
        writer.flush()?;
        after = page.up_to;
        if let Some(bookmark) = &mut bookmark {
            bookmark.put(after)?;
        }
        bar.at((after.0 - began.0).unsigned_abs(), events);
    }
    bar.finish();
    Ok(Looked {
        events,
        up_to: after.min(to),
    })
}

/// The positions that are looked through: behind the first, up to the second.
async fn bounds(
    store: &Store,
    tenant: &Arc<str>,
    args: &ReplayArgs,
    (since, until): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
) -> anyhow::Result<(Position, Position)> {
    let head = store.head(tenant).await;
    let mut to = head.with_context(|| format!("no log of {tenant:?}"))?;
    if let Some(up_to) = args.up_to {
        ensure!(
            args.after < up_to,
            "--after {} is not before --up-to {up_to}",
            args.after
        );
        to = to.min(Position(up_to));
    }
    let mut after = Position(args.after);
    let before = |time: DateTime<Utc>| time - TimeDelta::microseconds(1);
    if let Some(since) = since {
        after = after.max(store.reached_by(tenant, before(since)).await?);
    }
    if let Some(until) = until {
        to = to.min(store.reached_by(tenant, before(until)).await?);
    }
    Ok((after, to))
}

impl ReplayArgs {
    fn filter(&self) -> EventFilter {
        let (kind, id) = match self
            .aggregate
            .as_deref()
            .map(|of| of.split_once('/').unwrap_or((of, "")))
        {
            None => (None, None),
            Some((kind, "")) => (Some(kind.to_owned()), None),
            Some((kind, id)) => (Some(kind.to_owned()), Some(id.to_owned())),
        };
        EventFilter {
            aggregate_type: kind,
            aggregate_id: id,
            event_types: (!self.types.is_empty()).then(|| self.types.clone()),
            actor: self.actor.clone(),
            correlation_id: self.correlation.clone(),
        }
    }

    /// What is replayed of which database, but for how far: a bookmark is of one such.
    fn what(&self, database: &str) -> String {
        let ReplayArgs {
            aggregate,
            types,
            actor,
            correlation,
            after,
            since,
            format,
            tenant,
            // How far, and where that is kept.
            up_to: _,
            until: _,
            bookmark: _,
        } = self;
        let format = format.map(|format| format!("{format:?}"));
        let log = (database, tenant);
        serde_json::json!([
            log,
            aggregate,
            types,
            actor,
            correlation,
            after,
            since,
            format
        ])
        .to_string()
    }
}
