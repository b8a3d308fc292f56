//! Servers whose events go to subscribers on real sockets: ours, and a stock one.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use daybook_load::sockets::{Keep, now_us, text_of};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use super::drive::Driven;
use super::measure::{Round, Watch};
use super::served::{Connection, Served, request, token};
use super::stand::Stand;
use super::traffic::{Bus, report_of};

/// Sockets a server of ours allows, where production allows fewer of one caller.
const SOCKETS_MAX: &str = "12000";

/// Who writes at once, where events come as fast as they can.
const CALLERS: usize = 32;

/// How often a first event is written before sockets that it does not reach are given up.
const PROBES_MAX: usize = 100;

const REGISTER: &str = "mutation($input: RegisterVehicleInput!) {
  registerVehicle(input: $input) { receipt { position } } }";

/// Starts ours with room for every socket; and a token for it.
pub async fn serve(
    data_dir: &Path,
    database: &PgConnectOptions,
) -> anyhow::Result<(Served, String)> {
    let settings = [
        ("DAYBOOK_HTTP__CONNECTIONS_MAX", SOCKETS_MAX),
        ("DAYBOOK_SOCKETS__TOTAL_MAX", SOCKETS_MAX),
        ("DAYBOOK_SOCKETS__PER_CALLER_MAX", SOCKETS_MAX),
        ("DAYBOOK_FEEDS__MEMBERS_MAX", SOCKETS_MAX),
    ];
    let served = Served::start(data_dir, Some(database), &settings).await?;
    Ok((served, token(data_dir, Some(database)).await?))
}

/// How an event is written.
pub enum Way {
    /// As the mutation `registerVehicle`.
    Register,
    /// As a report of one fix of the next of these.
    Report(Vec<Bus>),
    /// With a stock server, which keeps nothing.
    Publish,
}

/// A server and those who subscribe to it.
pub struct Publisher {
    address: String,
    pid: u32,
    token: String,
    way: Way,
    sockets: Driven,
    written: usize,
}

impl Publisher {
    /// Opens so many sockets, which take turns in what they subscribe to.
    pub async fn open(
        (address, pid): (&str, u32),
        token: &str,
        way: Way,
        count: usize,
        queries: &[String],
    ) -> anyhow::Result<Publisher> {
        let sockets = Driven::open(address, token, count, queries).await?;
        let mut publisher = Publisher {
            address: address.to_owned(),
            pid,
            token: token.to_owned(),
            way,
            sockets,
            written: 0,
        };
        publisher.reach_all().await?;
        Ok(publisher)
    }

    /// A subscription is not acknowledged: events are written until every socket has had one.
    async fn reach_all(&mut self) -> anyhow::Result<()> {
        let mut connection = Connection::open(&self.address).await?;
        let kinds = match &self.way {
            Way::Report(buses) => buses.len(),
            Way::Register | Way::Publish => 1,
        };
        for _ in 0..PROBES_MAX {
            for _ in 0..kinds {
                let request = self.next();
                connection.ask(&request).await?;
            }
            sleep(Duration::from_millis(200)).await;
            if self.sockets.reached().await? == self.sockets.count {
                // What is still on its way belongs to nobody's round.
                sleep(Duration::from_secs(1)).await;
                return Ok(());
            }
        }
        anyhow::bail!("{} sockets were reached", self.sockets.reached().await?)
    }

    /// The bytes that write another event.
    fn next(&mut self) -> Vec<u8> {
        let (n, address) = (self.written, &self.address);
        self.written += 1;
        let (path, body) = match &mut self.way {
            Way::Register => {
                let input = json!({ "id": format!("vehicle-{n:07}") });
                let body = json!({ "query": REGISTER, "variables": { "input": input } });
                ("/graphql", body.to_string())
            }
            Way::Report(buses) => {
                let turn = n % buses.len();
                let fix = buses[turn].fix();
                let body = json!({ "fixes": [report_of(&buses[turn].id, &fix)] });
                ("/api/vehicles/positions", body.to_string())
            }
            Way::Publish => ("/publish", format!("vehicle-{n:07}")),
        };
        request(path, address, &self.token, body.as_bytes())
    }

    /// So many events as fast as they come, until each socket has had each.
    pub async fn rate(&mut self, stand: &Stand, events: usize) -> anyhow::Result<Round> {
        let mut requests = vec![Vec::new(); CALLERS.min(events)];
        for n in 0..events {
            let turn = n % requests.len();
            requests[turn].push(self.next());
        }
        let mut connections = Vec::new();
        for requests in requests {
            connections.push((Connection::open(&self.address).await?, requests));
        }
        self.sockets.begin(Keep::Count).await?;
        let watch = Watch::start(self.pid, stand.postmaster());
        let mut callers = JoinSet::new();
        for (mut connection, requests) in connections {
            callers.spawn(async move {
                for request in requests {
                    connection.ask(&request).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        let deliveries = (events * self.sockets.count) as u64;
        self.sockets.wait(deliveries).await?;
        Ok(watch.stop(deliveries as f64, Vec::new()))
    }

    /// So many events, evenly: how long after its writer was told of each it is at each of its
    /// `recipients`. One that comes before has no lag.
    pub async fn lag(
        &mut self,
        stand: &Stand,
        per_second: u32,
        recipients: usize,
    ) -> anyhow::Result<Round> {
        let time_ms = 2 * stand.round().as_millis() as usize;
        let events = (time_ms * per_second as usize / 1_000).max(1);
        let mut connection = Connection::open(&self.address).await?;
        self.sockets.begin(Keep::Places).await?;
        let watch = Watch::start(self.pid, stand.postmaster());
        let mut ticks = interval(Duration::from_secs(1) / per_second);
        let mut told = HashMap::new();
        for _ in 0..events {
            ticks.tick().await;
            let request = self.next();
            let answer = connection.ask(&request).await?;
            let position = text_of(&answer, b"\"position\":\"").context("a position")?;
            told.insert(position.parse::<u64>()?, now_us());
        }
        let heard = self.sockets.wait((events * recipients) as u64).await?;
        let mut lags_us = Vec::with_capacity(heard.places.len());
        for (position, at) in heard.places {
            let told = told.get(&position).context("somebody else's event")?;
            lags_us.push(at.saturating_sub(*told) as u32);
        }
        ensure!(!lags_us.is_empty(), "nothing came");
        Ok(watch.stop(lags_us.len() as f64, lags_us))
    }
}
