//! `daybook export events`.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use domain::values::timestamp;

use super::Format;
use crate::cli::import::summary::thousands;
use crate::cli::progress::Progress;
use crate::export::{EventExport, export_events};
use crate::seals::sealed_to;
use crate::store::{EventFilter, Store};

/// Which events, and where to.
#[derive(clap::Args, Clone, Debug)]
pub struct EventArgs {
    /// The file to write; `-` is standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How it is written; by default what its name ends with
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The first position
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    from: i64,
    /// The last one; by default where the log ends, with --proof where its seals end
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    to: Option<i64>,
    /// Only events recorded at this time or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only events recorded before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
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
    /// Write to this file what proves offline that the events are those that were sealed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["aggregate", "types", "actor", "correlation"])]
    proof: Option<PathBuf>,
}

/// Exports events, and says in a line what was done.
pub(super) async fn run(
    store: &Store,
    tenant: &Arc<str>,
    args: &EventArgs,
) -> anyhow::Result<String> {
    let format = super::format_of(args.format, &args.out)?;
    let is_same = args.proof.as_ref() == Some(&args.out);
    ensure!(!is_same, "--proof and --out name the same file");
    let positions = positions(store, tenant, args).await?;
    let (from, to) = (*positions.start(), *positions.end());
    let what = EventExport {
        tenant: tenant.clone(),
        positions,
        only: args.only(),
        format,
        out: args.out.clone(),
        proof: args.proof.clone(),
    };
    let bar = Progress::new(
        "exporting",
        "events",
        Some((to - from + 1).max(0).unsigned_abs()),
    );
    let done = export_events(store, &what, |position, events| {
        bar.at((position - from + 1).max(0).unsigned_abs(), events);
    });
    let done = done.await;
    bar.finish();
    let name = args.out.display();
    let done = done.with_context(|| format!("nothing was exported to {name}"))?;
    let events = thousands(done.events);
    Ok(match args.proof {
        None => format!("{events} events of positions {from} to {to}"),
        Some(_) => format!("{events} events of positions {from} to {to}, all as they were sealed"),
    })
}

/// The positions that are looked through; none if the log ends before the first.
async fn positions(
    store: &Store,
    tenant: &Arc<str>,
    args: &EventArgs,
) -> anyhow::Result<RangeInclusive<i64>> {
    if let Some(to) = args.to {
        let from = args.from;
        ensure!(from <= to, "--from {from} is behind --to {to}");
    }
    let head = store.head(tenant).await;
    let head = head.with_context(|| format!("no log of {tenant:?}"))?.0;
    let mut to = args.to.unwrap_or(head).min(head);
    let mut from = args.from;
    let before = |time: DateTime<Utc>| time - TimeDelta::microseconds(1);
    if let Some(since) = moment(args.since.as_deref(), "--since")? {
        from = from.max(store.reached_by(tenant, before(since)).await?.0 + 1);
    }
    if let Some(until) = moment(args.until.as_deref(), "--until")? {
        to = to.min(store.reached_by(tenant, before(until)).await?.0);
    }
    if args.proof.is_some() {
        let sealed = sealed_to(store, tenant).await?;
        if args.to.is_none() && args.until.is_none() {
            to = to.min(sealed);
        }
        ensure!(
            from <= to && to <= sealed,
            "the log of {tenant} is sealed up to position {sealed}: positions {from} to {to} cannot be proved yet"
        );
    }
    Ok(from..=to)
}

fn moment(text: Option<&str>, flag: &str) -> anyhow::Result<Option<DateTime<Utc>>> {
    let read = text.map(|text| timestamp(text, flag)).transpose();
    read.map_err(|refusal| anyhow!(refusal.message))
}

impl EventArgs {
    fn only(&self) -> Option<EventFilter> {
        let (kind, id) = match self.aggregate.as_deref() {
            None => (None, None),
            Some(of) => match of.split_once('/') {
                Some((kind, id)) => (Some(kind), Some(id).filter(|id| !id.is_empty())),
                None => (Some(of), None),
            },
        };
        let only = EventFilter {
            aggregate_type: kind.map(str::to_owned),
            aggregate_id: id.map(str::to_owned),
            event_types: (!self.types.is_empty()).then(|| self.types.clone()),
            actor: self.actor.clone(),
            correlation_id: self.correlation.clone(),
        };
        (!only.passes_all()).then_some(only)
    }
}
