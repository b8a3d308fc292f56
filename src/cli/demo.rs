//! `daybook demo`: serves with a small real sample in it, and says what to ask.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use domain::{Metadata, Position};
use projections::ReadError;
use projections::summary::summary;
use projections::trends::Scope;
use serde_json::json;

use super::import::catch_up::catch_up;
use super::import::mapping::{Mapping, MappingArgs, Preset};
use super::import::run::{Inflow, import_rows};
use super::import::source::Source;
use super::import::summary::thousands;
use super::import::total_bytes;
use super::progress::Progress;
use super::serve::ServeArgs;
use crate::app::{self, App};
use crate::auth::{Grant, Role};
use crate::config::Settings;
use crate::ops::{Shutdown, on_signals};
use crate::store::{EventFilter, PageLimits};

/// Serves with a small real sample in it: two days of the buses of Austin, Texas.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(after_help = "\
The sample is imported if the log is empty; a second run goes on with what is there. It is part \
of the program: positions of Capital Metro buses as kept by CapMetrics, MIT \
(data/capmetro/NOTICE).")]
pub struct DemoArgs {
    #[command(flatten)]
    pub(super) serve: ServeArgs,
}

/// The sample, a file a service day. One is a header and nothing else, as such days are.
const SAMPLE: &[(&str, &[u8])] = &[
    (
        "2016-08-02.csv.gz",
        include_bytes!("../../data/capmetro/2016-08-02.csv.gz"),
    ),
    (
        "2016-09-05.csv.gz",
        include_bytes!("../../data/capmetro/2016-09-05.csv.gz"),
    ),
    (
        "2016-11-24.csv.gz",
        include_bytes!("../../data/capmetro/2016-11-24.csv.gz"),
    ),
    (
        "2016-11-25.csv.gz",
        include_bytes!("../../data/capmetro/2016-11-25.csv.gz"),
    ),
];

/// How many fixes of the sample are kept: one of each vehicle and instant.
const SAMPLE_FIXES: i64 = 56_637;

/// The span of the sample's fixes, from (included) and to (excluded).
const SAMPLE_SPAN: [&str; 2] = ["2016-08-02T00:00:00Z", "2016-11-27T00:00:00Z"];

/// Ties the sample's events together, and tells a log that began with it from any other.
const SAMPLE_ID: &str = "demo-sample";

/// Whose log.
const TENANT: &str = "default";

/// How long the token it prints is good for.
const TOKEN_TTL: Duration = Duration::from_secs(12 * 3_600);

/// What to ask of the sample: what it tells, and the GraphQL that does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "the buses nearest to 6th and Congress at noon on the day after Thanksgiving",
        "{ latestPositions(near: {lat: 30.2682, lon: -97.7428, radiusM: 1000}, \
         at: {time: \"2016-11-25T18:00:00Z\", window: \"PT10M\"}, first: 3) \
         { nodes { vehicleId distanceM fixTime speedMps attributes } } }",
    ),
    (
        "where the buses were that day, and two of the fixes that each figure is made of",
        "{ heatmap(from: \"2016-11-25T06:00:00Z\", to: \"2016-11-26T06:00:00Z\", resolution: 8, \
         limit: 3) { cells { cell fixes vehicles densityPerKm2 meanSpeedMps \
         evidence(first: 2) { nodes { vehicleId fixTime position index } } } } }",
    ),
    (
        "how many buses were out, Thanksgiving and the day after",
        "{ trend(metric: VEHICLES, bucket: DAY, zone: \"America/Chicago\", \
         from: \"2016-11-24T06:00:00Z\", to: \"2016-11-26T06:00:00Z\") \
         { points { start value previous changePercent } } }",
    ),
    (
        "events, as they are in the log",
        "{ events(types: [\"vehicle.registered\"], first: 2) \
         { nodes { position type aggregateId recordedAt payload metadata { actor } } } }",
    ),
];

/// Starts, imports the sample if the log is empty, serves until a signal.
pub async fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let (trigger, shutdown) = Shutdown::new();
    tokio::spawn(on_signals(trigger, settings.http.drain_hard));
    let listener = app::listen(&settings).await?;
    let address = listener.local_addr()?;
    let app = App::start(&settings).await?;
    let served = match prepare(&app, &shutdown).await {
        Ok(_) if shutdown.is_soft() => Ok(()),
        Ok(sample) => {
            let admin = app.first_admin().await?;
            say(&app, address, &sample, &admin)?;
            app.serve(listener, shutdown.clone()).await
        }
        Err(e) => Err(e),
    };
    tokio::select! {
        () = app.stop() => {}
        () = shutdown.hard() => {}
    }
    served.map(|()| ExitCode::SUCCESS)
}

/// Brings the sample in where it belongs and is not whole; says in one line what there is.
async fn prepare(app: &App, shutdown: &Shutdown) -> anyhow::Result<String> {
    let tenant: Arc<str> = TENANT.into();
    if !is_for_sample(app, &tenant).await? {
        return Ok("left out: the log has events of its own".to_owned());
    }
    if !has_sample(app).await? {
        import_sample(app, &tenant, shutdown).await?;
    }
    let fixes = thousands(SAMPLE_FIXES.unsigned_abs());
    Ok(format!(
        "{fixes} positions of the buses of Austin, Texas, 2016-11-24 and 2016-11-25 \
         (Capital Metro by CapMetrics, MIT)"
    ))
}

/// Does the read model count all of it? Not so after a first run that was cut short.
async fn has_sample(app: &App) -> anyhow::Result<bool> {
    let [from, to] = SAMPLE_SPAN.map(|t| t.parse().expect("a constant in RFC 3339"));
    let mut snapshot = app.reader.snapshot(TENANT).await?;
    match summary(&mut snapshot, &Scope::All, from, to).await {
        Ok(totals) => Ok(totals.summary.fixes >= SAMPLE_FIXES),
        Err(ReadError::NotBuilt(_)) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// What an earlier run brought in is not brought in again.
async fn import_sample(app: &App, tenant: &Arc<str>, shutdown: &Shutdown) -> anyhow::Result<()> {
    let preset = MappingArgs {
        preset: Some(Preset::Capmetro),
        ..MappingArgs::default()
    };
    let sources: Vec<_> = SAMPLE
        .iter()
        .map(|(name, bytes)| Source::from_memory(name, bytes))
        .collect();
    let progress = Progress::new("importing the sample", "rows", total_bytes(&sources));
    let inflow = Inflow {
        tenant: tenant.clone(),
        sources,
        mapping: Mapping::from_args(&preset),
        correlation_id: SAMPLE_ID.to_owned(),
        clock: app.clock.clone(),
    };
    import_rows(&app.door, inflow, progress, shutdown).await?;
    let head = app.log.store().head(tenant).await?;
    for behind in catch_up(&app.consumers, tenant, head, shutdown).await? {
        eprintln!("{behind}");
    }
    Ok(())
}

/// Are there no vehicles in the log, or does it begin with those of the sample?
async fn is_for_sample(app: &App, tenant: &Arc<str>) -> anyhow::Result<bool> {
    let limits = PageLimits {
        events_max: 1,
        ..PageLimits::default()
    };
    let vehicles = EventFilter {
        aggregate_type: Some("vehicle".to_owned()),
        ..EventFilter::default()
    };
    let store = app.log.store();
    let first = store.read_filtered(tenant, &vehicles, Position::START, limits);
    let first = first.await?;
    let Some(first) = first.events.first() else {
        return Ok(true);
    };
    let metadata: Metadata = serde_json::from_str(&first.metadata)?;
    Ok(metadata.correlation_id.as_deref() == Some(SAMPLE_ID))
}

fn say(app: &App, address: SocketAddr, sample: &str, admin: &[String]) -> anyhow::Result<()> {
    let token = app.auth.mint(&Grant {
        subject: "dev".to_owned(),
        tenant: TENANT.to_owned(),
        roles: vec![Role::Admin],
        scopes: Vec::new(),
        ttl: Some(TOKEN_TTL),
        session: None,
    })?;
    for line in app.start_lines(address).iter().chain(admin) {
        println!("{line}");
    }
    println!("  sample   {sample}");
    println!(
        "\nA token for the next {} hours:\n",
        TOKEN_TTL.as_secs() / 3_600
    );
    println!("TOKEN={token}\n");
    println!("Ask it something. Paste the token's line, then any of these:");
    for (tells, query) in EXAMPLES {
        println!("\n# {tells}\n{}", curl(address, query));
    }
    println!("\nCtrl-C stops it. What is in it stays: `daybook demo` goes on with it.");
    Ok(())
}

fn curl(address: SocketAddr, query: &str) -> String {
    let body = json!({ "query": query });
    format!(
        "curl -s http://{address}/graphql -H \"Authorization: Bearer $TOKEN\" \
         -H 'Content-Type: application/json' -d '{body}'"
    )
}

#[cfg(test)]
mod tests {
    use super::super::import::batch::Columned;
    use super::super::import::columns::Names;
    use super::super::import::source::Row;
    use super::*;

    #[test]
    fn examples_can_be_pasted_into_a_shell() {
        for (tells, query) in EXAMPLES {
            let line = curl(([127, 0, 0, 1], 8080).into(), query);
            assert!(!query.contains('\'') && !tells.contains('\n'), "{tells}");
            assert!(
                !line.contains('\n') && line.matches('\'').count() == 4,
                "{line}"
            );
        }
    }

    #[test]
    fn the_sample_is_readable_and_small() {
        let preset = MappingArgs {
            preset: Some(Preset::Capmetro),
            ..MappingArgs::default()
        };
        let mapping = Mapping::from_args(&preset);
        let mut kept = std::collections::HashSet::new();
        for (name, bytes) in SAMPLE {
            let mut rows = Source::from_memory(name, bytes)
                .open(&Names::default())
                .unwrap();
            let columns = mapping.columns(&rows.header).unwrap();
            let mut row = csv::ByteRecord::new();
            while rows.read(&mut row).unwrap() == Row::Read {
                let fix = columns.report(&row).unwrap();
                kept.insert((fix.vehicle, fix.fix_time));
            }
        }
        assert_eq!(kept.len() as i64, SAMPLE_FIXES);
        let of = |i: usize| {
            SAMPLE_SPAN[i]
                .parse::<chrono::DateTime<chrono::Utc>>()
                .unwrap()
        };
        let inside = |(_, at): &(String, String)| {
            let at: chrono::DateTime<chrono::Utc> = at.parse().unwrap();
            of(0) <= at && at < of(1)
        };
        assert!(kept.iter().all(inside));
        assert!(SAMPLE.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() < 1 << 20);
    }
}
