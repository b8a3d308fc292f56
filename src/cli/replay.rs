//! `daybook replay`: writes the history of a log out, event by event, in the order in which it happened.

mod bookmark;
mod written;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use domain::values::timestamp;
use domain::{Metadata, Position};
use tokio::sync::mpsc;

use super::progress::Progress;
use crate::app::Log;
use crate::commands::{History, StateBounds};
use crate::config::Settings;
use crate::export::{archive_files, read_archived};
use crate::store::{EventFilter, PageLimits, Store, StoreError, StoredEvent};
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
  daybook replay --aggregate vehicle/2417 --states --format table
  daybook replay --archive /archive > everything.ndjson

Conditions add up. Personal values stay sealed. With --bookmark a replay that was interrupted, or that \
came to the end, goes on behind the last event it wrote when it is run again; one that was killed may \
write its last events again, which their positions tell.

With --states each event tells what it made of its stream: the state after it, and what differs from the \
state before, as aggregateHistory tells it. States hold no personal values. Those of 10,000 streams are held \
at once, and no more than come to 64 MiB of JSON; one that had to make room is folded from its stream's \
first event again, which takes time where more streams than that go on side by side.")]
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
    /// Tell with each event the state it led to, and what it changed in it
    #[arg(long)]
    states: bool,
    /// How events are written: a table for people is what a terminal gets
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Keep in this file how far this replay has come, and go on from there
    #[arg(long, value_name = "FILE")]
    bookmark: Option<PathBuf>,
    /// Read what was archived from the files in this folder, and go on in the log
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Whose log
    #[arg(long, default_value = "default")]
    tenant: String,
}

/// Which events are written.
struct Wanted {
    filter: EventFilter,
    /// From when, and before when.
    times: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
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
    ensure!(
        !args.states || args.archive.is_none(),
        "--states is told of streams that are in the log whole, not of an archive: put it back first \
         (`daybook archive restore`), or leave one of both out"
    );
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
    let mut writer = Writer::new((format, args.states), std::io::stdout().lock());
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
    let history = |tenant| History::new(store.clone(), tenant, StateBounds::default());
    let mut replay = Replay {
        store,
        history: args.states.then(|| history(tenant.clone())),
        tenant,
        wanted: args.wanted(times),
        writer,
        bookmark,
        began: after,
        bar,
        events: 0,
    };
    if let Some(folder) = &args.archive {
        after = replay.archived(folder, after, to).await?;
    }
    while after < to {
        let limits = PageLimits {
            up_to: to.min(Position(after.0.saturating_add(LOOKED_AT))),
            ..PageLimits::default()
        };
        let filter = &replay.wanted.filter;
        let page = store
            .read_filtered(&replay.tenant, filter, after, limits)
            .await?;
        after = page.up_to;
        replay.write(&page.events, after).await?;
    }
    let Replay { bar, events, .. } = replay;
    bar.finish();
    Ok(Looked {
        events,
        up_to: after.min(to),
    })
}

/// A replay under way.
struct Replay<'a> {
    store: &'a Store,
    tenant: Arc<str>,
    /// What events made of their streams, if it is told.
    history: Option<History>,
    wanted: Wanted,
    writer: Writer<std::io::StdoutLock<'static>>,
    bookmark: Option<Bookmark>,
    began: Position,
    bar: Progress,
    events: u64,
}

impl Replay<'_> {
    /// Writes those of these events that are wanted; all up to `up_to` was looked through.
    async fn write(&mut self, events: &[StoredEvent], up_to: Position) -> anyhow::Result<()> {
        for event in events.iter().filter(|event| self.wanted.passes(event)) {
            let metadata: Option<Metadata> = serde_json::from_str(&event.metadata).ok();
            let told = match &mut self.history {
                None => None,
                Some(history) => match history.after(event).await {
                    Ok(told) => Some(told),
                    Err(error) => {
                        let at = event.position;
                        self.reached(Position(at.0 - 1))?;
                        return Err(error).with_context(|| {
                            format!(
                                "the state after the event at {at} is not known; without --states \
                                 the event can be told"
                            )
                        });
                    }
                },
            };
            self.writer.write(event, metadata.as_ref(), told.as_ref())?;
            self.events += 1;
        }
        self.reached(up_to)?;
        let looked = (up_to.0 - self.began.0).unsigned_abs();
        self.bar.at(looked, self.events);
        Ok(())
    }

    /// All up to here is told.
    fn reached(&mut self, up_to: Position) -> anyhow::Result<()> {
        self.writer.flush()?;
        match &mut self.bookmark {
            Some(bookmark) => bookmark.put(up_to),
            None => Ok(()),
        }
    }

    /// Replays what the files of a folder have of what comes next, and tells where the log goes on.
    async fn archived(
        &mut self,
        folder: &Path,
        mut after: Position,
        to: Position,
    ) -> anyhow::Result<Position> {
        let name = folder.display();
        let files = archive_files(folder, &self.tenant);
        for file in files.with_context(|| format!("{name} cannot be read"))? {
            let (from, last) = (file.proof.from(), file.proof.to().min(to.0));
            if from > after.0 + 1 || last <= after.0 {
                continue;
            }
            let (send, batches) = mpsc::channel(1);
            let reading = read_archived(self.store, &file, (after.0, last), send);
            let writing = async {
                // Gone with this block: whoever reads for nobody ends.
                let mut batches = batches;
                while let Some(events) = batches.recv().await {
                    if let Some(end) = events.last().map(|event| event.position) {
                        self.write(&events, end).await?;
                    }
                }
                Ok::<_, anyhow::Error>(())
            };
            let (read, written) = tokio::join!(reading, writing);
            written?;
            read.with_context(|| format!("{} cannot be replayed", file.data_path.display()))?;
            after = Position(last);
        }
        Ok(after)
    }
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
    // Where a time was reached the log may not hold any more: then the events' own times tell.
    let reached = async |time| match store.reached_by(tenant, before(time)).await {
        Err(StoreError::Archived { .. }) if args.archive.is_some() => Ok(None),
        reached => reached.map(Some),
    };
    if let Some(since) = since {
        after = after.max(reached(since).await?.unwrap_or(after));
    }
    if let Some(until) = until {
        to = to.min(reached(until).await?.unwrap_or(to));
    }
    Ok((after, to))
}

impl ReplayArgs {
    fn wanted(&self, times: (Option<DateTime<Utc>>, Option<DateTime<Utc>>)) -> Wanted {
        let (kind, id) = match self
            .aggregate
            .as_deref()
            .map(|of| of.split_once('/').unwrap_or((of, "")))
        {
            None => (None, None),
            Some((kind, "")) => (Some(kind.to_owned()), None),
            Some((kind, id)) => (Some(kind.to_owned()), Some(id.to_owned())),
        };
        let filter = EventFilter {
            aggregate_type: kind,
            aggregate_id: id,
            event_types: (!self.types.is_empty()).then(|| self.types.clone()),
            actor: self.actor.clone(),
            correlation_id: self.correlation.clone(),
        };
        Wanted { filter, times }
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
            states,
            format,
            tenant,
            // How far, and where that is kept.
            up_to: _,
            until: _,
            bookmark: _,
            // Where from: it is the same history.
            archive: _,
        } = self;
        let format = format.map(|format| format!("{format:?}"));
        let log = (database, tenant);
        let of = serde_json::json!([
            log,
            aggregate,
            types,
            actor,
            correlation,
            after,
            since,
            format
        ]);
        // As it was written before there were states to tell.
        match states {
            true => format!("{of} with states"),
            false => of.to_string(),
        }
    }
}

impl Wanted {
    fn passes(&self, event: &StoredEvent) -> bool {
        let (since, until) = self.times;
        let at = event.recorded_at;
        let in_time = since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until);
        in_time && self.filter.matches(event)
    }
}
