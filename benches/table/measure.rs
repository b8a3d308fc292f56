//! Rounds: ours and the reference in turn, and what comes of them.

use std::time::Instant;

use super::cpu::{Cpu, Spent};
use super::report::{Figure, Goal, Row};

/// One round of one side.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// How much work was done.
    pub units: f64,
    /// In which time, in seconds.
    pub seconds: f64,
    /// At which cost.
    pub cpu: Cpu,
    /// How long each unit took, if that is measured: microseconds.
    pub latencies_us: Vec<u32>,
}

impl Round {
    /// Units a second.
    pub fn rate(&self) -> f64 {
        self.units / self.seconds
    }

    /// A percentile of the latencies, in milliseconds.
    pub fn latency_ms(&self, percent: f64) -> f64 {
        percentile(&self.latencies_us, percent) / 1_000.0
    }
}

/// The value below which `percent` of the values lie.
pub fn percentile(values: &[u32], percent: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    f64::from(sorted[rank.clamp(1, sorted.len()) - 1])
}

/// The middle value; the mean of the two middle ones.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// Rounds of both sides, in turn.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// Ours.
    pub ours: Vec<Round>,
    /// The reference's.
    pub reference: Vec<Round>,
}

impl Rounds {
    /// A row of one figure of each round. The ratio is the median of the rounds' own ratios: what
    /// disturbs the machine for longer than a round disturbs both sides of it.
    pub fn row(
        &self,
        what: impl Into<String>,
        unit: &'static str,
        goal: Goal,
        value: impl Fn(&Round) -> f64,
    ) -> Row {
        let ours = figure(&self.ours, &value);
        let reference = figure(&self.reference, &value);
        let ratios: Vec<f64> = ours
            .rounds
            .iter()
            .zip(&reference.rounds)
            .map(|(a, b)| a / b)
            .collect();
        Row {
            what: what.into(),
            unit,
            ratio: (!ratios.is_empty()).then(|| median(&ratios)),
            ours,
            reference: (!self.reference.is_empty()).then_some(reference),
            goal,
        }
    }
}

/// One side's figure over its rounds.
pub fn figure(rounds: &[Round], value: impl Fn(&Round) -> f64) -> Figure {
    let values: Vec<f64> = rounds.iter().map(value).collect();
    let units: f64 = rounds.iter().map(|r| r.units).sum();
    let cpu = rounds.iter().fold(Cpu::default(), |sum, r| sum + r.cpu);
    let measured = cpu.own + cpu.postgres > 0.0 && units > 0.0;
    Figure {
        value: median(&values),
        rounds: values,
        cpu_us: measured.then(|| -> Spent<f64> { cpu.per(units) }),
    }
}

/// A stopwatch over time and CPU.
pub struct Watch {
    began: Instant,
    before: Cpu,
    own: u32,
    postmaster: Option<u32>,
}

impl Watch {
    /// Starts now. `own` is the process whose CPU is ours.
    pub fn start(own: u32, postmaster: Option<u32>) -> Watch {
        Watch {
            before: Cpu::of(own, postmaster),
            own,
            postmaster,
            began: Instant::now(),
        }
    }

    /// Stops: so many units were done meanwhile.
    pub fn stop(self, units: f64, latencies_us: Vec<u32>) -> Round {
        let seconds = self.began.elapsed().as_secs_f64();
        Round {
            units,
            seconds,
            cpu: Cpu::of(self.own, self.postmaster) - self.before,
            latencies_us,
        }
    }
}
