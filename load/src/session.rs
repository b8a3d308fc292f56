//! A whole session: who is asked, what must be there, the run, and the report of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::call::Call;
use crate::client::Client;
use crate::clock;
use crate::descriptors;
use crate::meter::Meter;
use crate::options::{Options, URL};
use crate::report;
use crate::run::{Run, Stop, Tick};
use crate::scenario::Scenario;
use crate::server::Server;
use crate::setup::{self, advice};
use crate::subscribers::{self, Subscribers};
use crate::summary::{Outcome, Summary};
use crate::target::Target;
use crate::world::World;

/// How often it is told how things go, and looked at what processes take.
const TICK: Duration = Duration::from_secs(1);

/// The gauge of connections that a server holds open for queries.
const CONNECTIONS: &str = r#"daybook_database_connections{state="open"}"#;

/// What is told who ends a run before it has begun.
const EARLY: &str = "ended before anything was asked";

/// Does what the options say, until it is over or `stop` comes about; then tells what came of it.
pub async fn run(
    options: &Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<Summary> {
    options
        .report
        .iter()
        .try_for_each(|path| report::check(path))?;
    let connections = connections(options);
    if let Some(possible) = descriptors::fewer_than(connections) {
        bail!(
            "{connections} connections are too many: {possible} files can be open here; raise `ulimit -n`"
        );
    }
    let (told, stopped) = watch::channel(None);
    let waiting = tokio::spawn(async move {
        stop.await;
        told.send_replace(Some(Instant::now()));
        // Whoever waits for it must not find that nobody can tell.
        told.closed().await;
    });
    let (summary, left) = match &options.server {
        None => {
            let asked = asked(options, &options.url, &options.token, options.pid, stopped);
            (asked.await, Ok(()))
        }
        Some(program) => served(options, program, connections, stopped).await,
    };
    waiting.abort();
    report::write_all(&options.report, summary, left)
}

/// How many connections there are at once.
fn connections(options: &Options) -> u64 {
    let sockets = match options.scenario {
        Scenario::Subscriptions => options.users,
        _ => 0,
    };
    u64::from(options.concurrency) + u64::from(sockets)
}

/// Asks a server of our own; what came of it, and of stopping the server.
async fn served(
    options: &Options,
    program: &Path,
    connections: u64,
    mut stopped: Stop,
) -> (anyhow::Result<Summary>, anyhow::Result<()>) {
    say(options, "starting a server");
    let started = tokio::select! {
        started = Server::start(program, connections) => started,
        _ = stopped.wait_for(Option::is_some) => Err(anyhow!(EARLY)),
    };
    let server = match started {
        Ok(server) => server,
        Err(error) => return (Err(error), Ok(())),
    };
    let url = format!("http://{}", server.address);
    let summary = match server.token().await {
        Ok(token) => asked(options, &url, &[token], Some(server.pid), stopped).await,
        Err(error) => Err(error),
    };
    (summary, server.stop().await)
}

/// Asks this server.
async fn asked(
    options: &Options,
    url: &str,
    tokens: &[String],
    pid: Option<u32>,
    mut stopped: Stop,
) -> anyhow::Result<Summary> {
    let target = Arc::new(Target::parse(url)?);
    let token = |n: usize| tokens.get(n % tokens.len().max(1)).map(String::as_str);
    let mut client = Client::new(target.clone(), token(0));
    let users = match options.scenario {
        Scenario::Subscriptions => subscribers::VEHICLES,
        _ => options.users as usize,
    };
    let world = World::new(options.seed, users, clock::now());
    let prepared = async {
        greet(&mut client, url, token(0).is_some()).await?;
        say(options, "making what is needed");
        setup::prepare(&mut client, options.scenario, &world).await?;
        match options.scenario {
            Scenario::Subscriptions => {
                say(options, "opening sockets");
                let (documents, count) = (&options.query, options.users as usize);
                let opening =
                    Subscribers::open(&target, tokens, documents, count, &world, &mut client);
                opening.await.map(Some)
            }
            _ => Ok(None),
        }
    };
    let subscribers = tokio::select! {
        prepared = prepared => prepared?,
        _ = stopped.wait_for(Option::is_some) => bail!(EARLY),
    };
    let meter = Meter::start(pid)?;
    let clients = (0..options.concurrency as usize)
        .map(|n| Client::new(target.clone(), token(n)))
        .collect();
    let began = clock::text(clock::now());
    let run = Run::begin(world, options.scenario, options.pace(), stopped);
    let outcome = watched(options, &run, clients, subscribers, meter).await;
    Ok(Summary::of(
        options,
        Outcome {
            began,
            url: url.to_owned(),
            database_connections: database_connections(&mut client).await,
            ..outcome
        },
    ))
}

/// How many connections to its database the server says it holds for queries; nothing where it does not tell.
async fn database_connections(client: &mut Client) -> Option<f64> {
    let figures = Call::get("figures", "/metrics".to_owned());
    let reply = client.reply(&figures).await.ok()?;
    gauge(std::str::from_utf8(&reply.body).ok()?, CONNECTIONS)
}

/// The value of a gauge among figures in Prometheus' text format.
fn gauge(figures: &str, name: &str) -> Option<f64> {
    let value = figures.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().parse().ok()
}

/// Is there a server, and does it take the token?
async fn greet(client: &mut Client, url: &str, has_token: bool) -> anyhow::Result<()> {
    client.connect().await.with_context(|| {
        let default = if url == URL { " (--url names another)" } else { "" };
        format!(
            "there is no server at {url}{default}; `make demo` starts one, and --server PROGRAM starts one for this run"
        )
    })?;
    let me = Call::query("setup", "{ me { id tenant roles } }", &json!({}));
    let reply = client.reply(&me).await;
    let reply = reply.map_err(|code| anyhow!("{url} does not answer: {code}"))?;
    let told: serde_json::Value = serde_json::from_slice(&reply.body)
        .with_context(|| format!("{url} does not speak GraphQL; is it a Daybook?"))?;
    match told["errors"][0]["extensions"]["code"].as_str() {
        None => ensure!(
            told["data"]["me"].is_object(),
            "{url} does not know `me`; is it a Daybook?"
        ),
        Some("UNAUTHENTICATED") if !has_token => bail!(
            "no token was given: --token \"$(daybook token)\", run where the server's data directory is"
        ),
        Some(code) => bail!("the token is refused: {code}{}", advice(code)),
    }
    Ok(())
}

/// Has the workers ask, and tells how it goes.
async fn watched(
    options: &Options,
    run: &Arc<Run>,
    clients: Vec<Client>,
    mut subscribers: Option<Subscribers>,
    mut meter: Meter,
) -> Outcome {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_measured = false;
    {
        let (work, grown) = (run.work(clients, options.seed), sleep(options.ramp_up));
        tokio::pin!(work, grown);
        loop {
            tokio::select! {
                () = &mut work => break,
                // Looked at here too, so that what came while the load grew is in no figure.
                () = &mut grown, if !is_measured => {
                    subscribers.iter_mut().for_each(Subscribers::measure);
                    is_measured = true;
                    meter.look(run.elapsed(), is_measured);
                }
                _ = ticks.tick() => {
                    subscribers.iter_mut().for_each(|subscribers| { subscribers.take(); });
                    meter.look(run.elapsed(), is_measured && !is_late(run));
                    progress(options, run);
                }
            }
        }
    }
    let (ended_early, took) = (run.is_stopped(), run.measured());
    meter.look(run.elapsed(), is_measured && !is_late(run));
    let (ramp_up, measured, changes) = {
        let counted = &mut *run.counted();
        (
            std::mem::take(&mut counted.ramp_up),
            std::mem::take(&mut counted.measured),
            std::mem::take(&mut counted.changes),
        )
    };
    let deliveries = match subscribers {
        Some(subscribers) => Some(subscribers.end(&changes, took).await),
        None => None,
    };
    let (server, own) = meter.taken();
    Outcome {
        ramp_up,
        measured,
        took,
        ended_early,
        began: String::new(),
        url: String::new(),
        deliveries,
        server,
        own,
        database_connections: None,
    }
}

/// Is it over but for what is still waited for? Whoever rests meanwhile must not look idle.
fn is_late(run: &Run) -> bool {
    run.elapsed() > run.end() + TICK
}

/// One line of how it goes.
fn progress(options: &Options, run: &Run) {
    let Tick { took, failed } = std::mem::take(&mut run.counted().tick);
    if options.quiet || (took.count() == 0 && failed == 0) {
        return;
    }
    let p99 = took.percentile_us(99.0).map_or("-".to_owned(), |us| {
        format!("{:.1} ms", us as f64 / 1_000.0)
    });
    let growing = if run.is_measured(run.elapsed()) {
        ""
    } else {
        "  (growing)"
    };
    eprintln!(
        "{:>5.0} s  {:>7} answered  p99 {p99:>10}  {failed} failed{growing}",
        run.elapsed().as_secs_f64(),
        took.count() + failed,
    );
}

fn say(options: &Options, what: &str) {
    if !options.quiet {
        eprintln!("{what} ...");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn users_have_connections_of_their_own_only_where_they_are_sockets() {
        let of = |scenario: &str| {
            let words = "daybook-load --users 90000 --concurrency 8 --scenario";
            let words = words.split_whitespace().chain([scenario]);
            connections(&Options::parse_from(words))
        };
        assert_eq!(of("mixed"), 8);
        assert_eq!(of("subscriptions"), 90_008);
    }

    #[test]
    fn a_gauge_is_found_by_its_name_and_labels() {
        let figures = "# TYPE daybook_database_connections gauge\n\
                       daybook_database_connections{state=\"idle\"} 3\n\
                       daybook_database_connections{state=\"open\"} 12\n";
        assert_eq!(gauge(figures, CONNECTIONS), Some(12.0));
        assert_eq!(gauge("", CONNECTIONS), None);
    }
}
