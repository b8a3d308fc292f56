//! Health: what each part says of itself, asked at most every few seconds.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::future::join_all;
use serde::Serialize;
use tokio::sync::Mutex;

use super::Clock;

/// How a part is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, slower or in part.
    Degraded,
    /// It does not work.
    Down,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// How it is doing.
    pub state: State,
    /// Why, one line without secrets.
    pub detail: Option<String>,
}

/// One part of the process that can be asked how it is doing.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    needed: bool,
    probe: Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Probed> + Send>> + Send + Sync>,
}

/// What all parts said at one moment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The worst of a needed part; a part that is not needed degrades at most.
    pub state: State,
    /// Every needed part works: requests may be sent here.
    pub ready: bool,
    /// The version of this build.
    pub version: &'static str,
    /// When the parts were asked.
    pub checked_at: DateTime<Utc>,
    /// In the order in which they were named.
    pub components: Vec<ComponentReport>,
}

/// What one part said.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentReport {
    /// Which part.
    pub name: &'static str,
    /// How it is doing.
    pub state: State,
    /// How long it took to say so, milliseconds.
    pub response_ms: f64,
    /// Why, one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Asks all parts, at most once per [`REPORT_TTL`] however many callers there are.
#[derive(Clone)]
pub struct Health {
    checks: Arc<[Check]>,
    ttl: Duration,
    last: Arc<Mutex<Option<Asked>>>,
}

/// When the parts were asked last, and what they said.
type Asked = (Instant, Arc<Report>);

/// How long a report is given again.
pub const REPORT_TTL: Duration = Duration::from_secs(5);

/// How long a part may take to answer before it counts as down.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

impl Probed {
    /// As it should be.
    pub fn ok() -> Probed {
        Probed {
            state: State::Ok,
            detail: None,
        }
    }

    /// In some other state, and why.
    pub fn because(state: State, detail: impl Into<String>) -> Probed {
        Probed {
            state,
            detail: Some(detail.into()),
        }
    }
}

impl Check {
    /// A part without which (`needed`) requests cannot be answered, or one whose loss degrades.
    pub fn new<F>(
        name: &'static str,
        needed: bool,
        probe: impl Fn() -> F + Send + Sync + 'static,
    ) -> Check
    where
        F: Future<Output = Probed> + Send + 'static,
    {
        Check {
            name,
            needed,
            probe: Arc::new(move || Box::pin(probe())),
        }
    }

    async fn ask(&self) -> ComponentReport {
        let begun = Instant::now();
        let answer = tokio::time::timeout(PROBE_TIMEOUT, (self.probe)()).await;
        let probed = answer.unwrap_or_else(|_| {
            let seconds = PROBE_TIMEOUT.as_secs();
            Probed::because(State::Down, format!("no answer within {seconds} s"))
        });
        let response_ms = (begun.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        let Probed { state, detail } = probed;
        ComponentReport {
            name: self.name,
            state,
            response_ms,
            detail,
        }
    }
}

impl Health {
    /// Asks these parts.
    pub fn new(checks: Vec<Check>) -> Health {
        Health {
            checks: checks.into(),
            ttl: REPORT_TTL,
            last: Arc::default(),
        }
    }

    /// The report of the last few seconds, or a new one.
    pub async fn report(&self) -> Arc<Report> {
        let mut last = self.last.lock().await;
        if let Some((at, report)) = &*last
            && at.elapsed() < self.ttl
        {
            return report.clone();
        }
        let report = Arc::new(self.ask_all().await);
        *last = Some((Instant::now(), report.clone()));
        report
    }

    async fn ask_all(&self) -> Report {
        let components = join_all(self.checks.iter().map(Check::ask)).await;
        let worst = |needed: bool| {
            let pairs = self.checks.iter().zip(&components);
            let states = pairs
                .filter(|(check, _)| check.needed == needed)
                .map(|(_, c)| c.state);
            states.max().unwrap_or(State::Ok)
        };
        Report {
            state: worst(true).max(worst(false).min(State::Degraded)),
            ready: worst(true) < State::Down,
            version: super::VERSION,
            checked_at: Clock::system().now(),
            components,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn check(name: &'static str, needed: bool, state: State) -> Check {
        Check::new(name, needed, move || async move {
            Probed {
                state,
                detail: None,
            }
        })
    }

    #[tokio::test]
    async fn the_state_is_the_worst_that_matters() {
        use State::{Degraded, Down, Ok};
        // needed part, other part, state, ready
        let cases = [
            (Ok, Ok, Ok, true),
            (Ok, Degraded, Degraded, true),
            (Ok, Down, Degraded, true),
            (Degraded, Ok, Degraded, true),
            (Down, Ok, Down, false),
            (Down, Down, Down, false),
        ];
        for (needed, other, state, ready) in cases {
            let checks = vec![
                check("postgres", true, needed),
                check("redis", false, other),
            ];
            let report = Health::new(checks).report().await;
            assert_eq!(
                (report.state, report.ready),
                (state, ready),
                "{needed:?} {other:?}"
            );
        }
    }

    #[tokio::test]
    async fn parts_are_asked_once_for_many_callers_and_again_when_the_report_is_old() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let probe = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            async { Probed::ok() }
        };
        let mut health = Health::new(vec![Check::new("postgres", true, probe)]);
        join_all((0..50).map(|_| health.report())).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        health.ttl = Duration::ZERO;
        health.report().await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
