//! Clients that write at random and remember what they were told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use daybook::commands::{
    CommandContext, CommandError, Door, DoorSettings, FixOutcome, ReportPositions,
};
use daybook::store::{Append, AppendError, Store};
use domain::track::FixReport;
use domain::vehicle::Vehicle;
use domain::{Code, Refusal};
use uuid::Uuid;

use super::journal::{Journal, Line, Wish, unknown};
use super::scene::{ctx, declared, event, named, now, register, rename, tenant, write};
use crate::support::Dice;

/// How many times as long as usual: `DAYBOOK_TORTURE=soak` for a night, or a number.
pub fn size() -> usize {
    match std::env::var("DAYBOOK_TORTURE").as_deref() {
        Ok("soak") => 200,
        Ok(number) => number.parse().unwrap(),
        Err(_) => 1,
    }
}

/// A process over the log, as far as its clients see.
#[derive(Clone)]
pub struct Process {
    pub store: Store,
    pub door: Door,
}

impl Process {
    pub fn new(store: Store) -> Process {
        let door = Door::new(store.clone(), DoorSettings::default());
        Process { store, door }
    }
}

/// Hot streams, so that clients get in each other's way.
const STREAMS: u64 = 50;

/// Vehicles that are renamed and that report.
const VEHICLES: u64 = 8;

/// Registers the vehicles; these commands are in no journal.
pub async fn prepare(process: &Process) {
    for n in 0..VEHICLES {
        let id = format!("bus{n}");
        let ctx = declared(&format!("prepare {n}"));
        process
            .door
            .execute::<Vehicle>(&ctx, &id, register(None))
            .await
            .unwrap();
    }
}

/// One client: wishes at random, one after the other, each pursued until its outcome is known.
pub struct Client {
    pub process: Process,
    pub journal: Arc<Journal>,
    pub dice: Dice,
    /// Versions it believes in.
    versions: Vec<i64>,
    reports: i64,
}

impl Client {
    pub fn new(process: &Process, journal: &Arc<Journal>, dice: &mut Dice) -> Client {
        Client {
            process: process.clone(),
            journal: journal.clone(),
            dice: Dice::from_seed(dice.next()),
            versions: vec![0; STREAMS as usize],
            // Microseconds of some twelve days: no two clients of any process report the same instant.
            reports: (dice.next() >> 24) as i64,
        }
    }

    pub async fn run(&mut self, wishes: usize) {
        for _ in 0..wishes {
            let wish = self.wish();
            let op = Uuid::now_v7();
            self.journal.write(&Line::Invoke(op, wish.clone()));
            let outcome = pursue(&self.process, &self.journal, op, &wish, false).await;
            self.learn(&wish, &outcome);
            if self.dice.below(4) == 0 {
                tokio::time::sleep(self.dice.pause(3)).await;
            }
        }
    }

    fn wish(&mut self) -> Wish {
        match self.dice.below(10) {
            0 => Wish::Rename {
                vehicle: format!("bus{}", self.dice.below(VEHICLES)),
            },
            1 => {
                self.reports += 1;
                Wish::Report {
                    number: self.reports,
                    fixes: 6,
                }
            }
            _ => {
                let stream = self.dice.below(STREAMS);
                let belief = self.versions[stream as usize];
                let error = i64::from(self.dice.below(10) == 0);
                Wish::Append {
                    stream: format!("s{stream}"),
                    expected: belief + error,
                    events: 1 + self.dice.below(3) as i64,
                }
            }
        }
    }

    fn learn(&mut self, wish: &Wish, outcome: &Known) {
        let Wish::Append { stream, .. } = wish else {
            return;
        };
        let stream: usize = stream[1..].parse().unwrap();
        match outcome {
            Known::Version(version) => self.versions[stream] = *version,
            Known::Nothing => {}
        }
    }
}

/// What a client learns about a stream's version.
enum Known {
    Version(i64),
    Nothing,
}

/// Sends again what clients that were killed had sent, and whose outcome nobody knows.
pub async fn resolve(process: &Process, path: &Path) -> usize {
    let open = unknown(&Journal::read(path));
    let journal = Journal::open(path);
    for (op, wish) in &open {
        pursue(process, &journal, *op, wish, true).await;
    }
    open.len()
}

/// Sends a wish until its outcome is known, and writes down what it is told. `unsure`: it may be on its
/// way already.
async fn pursue(
    process: &Process,
    journal: &Journal,
    op: Uuid,
    wish: &Wish,
    mut unsure: bool,
) -> Known {
    loop {
        match send(process, op, wish).await {
            Told::Kept {
                position,
                version,
                facts,
            } => {
                journal.write(&Line::Ok {
                    op,
                    position,
                    version,
                    facts,
                });
                return Known::Version(version);
            }
            Told::Refused(known) if !unsure || matches!(known, Known::Version(_)) => {
                journal.write(&Line::Fail(op));
                return known;
            }
            // Once unsure, only a stream that has moved on tells that nothing was kept and will be.
            Told::Refused(_) | Told::Unknown => {
                unsure = true;
                journal.write(&Line::Info(op));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

enum Told {
    Kept {
        position: i64,
        version: i64,
        facts: i64,
    },
    Refused(Known),
    Unknown,
}

async fn send(process: &Process, op: Uuid, wish: &Wish) -> Told {
    let ctx = || CommandContext {
        command_id: Some(op.to_string()),
        ..ctx()
    };
    match wish {
        Wish::Append {
            stream,
            expected,
            events,
        } => {
            let append = append(op, stream, *expected, *events);
            match process.store.append(&tenant(), append).await {
                Ok(kept) => Told::Kept {
                    position: kept.position.0,
                    version: kept.version,
                    facts: *events,
                },
                Err(AppendError::Conflict { actual, .. }) => Told::Refused(Known::Version(actual)),
                Err(AppendError::Stale | AppendError::Overloaded) => Told::Refused(Known::Nothing),
                Err(AppendError::Store(e)) if e.is_unavailable() => Told::Unknown,
                Err(e) => panic!("{op}: {e}"),
            }
        }
        Wish::Rename { vehicle } => {
            let command = rename(&op.to_string(), None);
            told(
                process
                    .door
                    .execute::<Vehicle>(&ctx(), vehicle, command)
                    .await,
                1,
            )
        }
        Wish::Report { number, fixes } => {
            let report = report(*number, *fixes);
            match process.door.report_positions(&ctx(), report).await {
                Ok(kept) => {
                    let accepted = |o: &&FixOutcome| **o == FixOutcome::Accepted;
                    let facts = kept.outcomes.iter().filter(accepted).count() as i64;
                    told(Ok(kept.receipt), facts)
                }
                Err(e) => told(Err(e), 0),
            }
        }
    }
}

fn told(outcome: Result<daybook::commands::Receipt, CommandError>, facts: i64) -> Told {
    match outcome {
        Ok(receipt) => Told::Kept {
            position: receipt.position.0,
            version: receipt.version,
            facts,
        },
        Err(CommandError::Unavailable(_)) => Told::Unknown,
        // Too many races, or too much waiting: refused, and nothing kept.
        Err(CommandError::Overloaded { .. })
        | Err(CommandError::Refused(Refusal {
            code: Code::VersionConflict,
            ..
        })) => Told::Refused(Known::Nothing),
        Err(e) => panic!("{e}: {e:?}"),
    }
}

/// The same for the same wish, but for its events' own ids.
pub fn append(op: Uuid, stream: &str, expected: i64, events: i64) -> Append {
    let mut write = write(stream, expected, 0);
    write.events = (0..events).map(|i| event(&format!("{op} {i}"))).collect();
    named(op, 0, vec![write])
}

/// Fixes of three vehicles on two days, at instants that no other report names.
fn report(number: i64, fixes: i64) -> ReportPositions {
    let fix = |i: i64| {
        let at = now() - TimeDelta::days(20) + TimeDelta::microseconds(number);
        let at = at + TimeDelta::days(i / 3);
        FixReport {
            vehicle: format!("bus{}", i % 3),
            fix_time: at.to_rfc3339_opts(SecondsFormat::Micros, true),
            lat: 30.0,
            lon: -97.0,
            ..FixReport::default()
        }
    };
    ReportPositions {
        fixes: (0..fixes).map(fix).collect(),
        may_register: false,
    }
}
