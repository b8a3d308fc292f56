//! CPU time and memory of processes, from `/proc`.

use std::ops::{Add, Sub};

use anyhow::Context;

/// Ticks a second in `/proc/<pid>/stat`: 100 on every Linux.
const TICK_US: f64 = 10_000.0;

/// CPU of our side and of PostgreSQL's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent<T> {
    /// Our process: the code measured and, where they share a process, whoever calls it.
    pub own: T,
    /// The postmaster and all its children, those that have ended included.
    pub postgres: T,
}

/// Microseconds of CPU so far.
pub type Cpu = Spent<f64>;

impl Cpu {
    /// What the process `own` and the server of `postmaster` have used so far. Zero where there is no
    /// `/proc`.
    pub fn of(own: u32, postmaster: Option<u32>) -> Cpu {
        let stat = |pid| Stat::read(pid).unwrap_or_default();
        let postgres = postmaster.map_or(0.0, |postmaster| {
            let alive: f64 = pids()
                .filter_map(Stat::read)
                .filter(|s| s.parent == postmaster)
                .map(|s| s.used_us)
                .sum();
            let main = stat(postmaster);
            main.used_us + main.children_us + alive
        });
        Cpu {
            own: stat(own).used_us,
            postgres,
        }
    }

    /// Per unit of work.
    pub fn per(self, units: f64) -> Spent<f64> {
        Spent {
            own: self.own / units,
            postgres: self.postgres / units,
        }
    }
}

impl Sub for Cpu {
    type Output = Cpu;

    fn sub(self, before: Cpu) -> Cpu {
        Cpu {
            own: self.own - before.own,
            postgres: self.postgres - before.postgres,
        }
    }
}

impl Add for Cpu {
    type Output = Cpu;

    fn add(self, other: Cpu) -> Cpu {
        Cpu {
            own: self.own + other.own,
            postgres: self.postgres + other.postgres,
        }
    }
}

/// What `/proc/<pid>/stat` says.
#[derive(Clone, Copy, Debug, Default)]
struct Stat {
    parent: u32,
    used_us: f64,
    /// Of children that have ended and were waited for.
    children_us: f64,
}

impl Stat {
    fn read(pid: u32) -> Option<Stat> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; what follows it are numbers.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
        Some(Stat {
            parent: fields.get(1)?.parse().ok()?,
            used_us: (ticks(11)? + ticks(12)?) * TICK_US,
            children_us: (ticks(13)? + ticks(14)?) * TICK_US,
        })
    }
}

/// The resident set of a process.
pub fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    memory_mib(pid, "VmRSS:")
}

/// The largest resident set of a process since [`forget_peak`].
pub fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    memory_mib(pid, "VmHWM:")
}

/// What a process holds now counts as the most it ever held.
pub fn forget_peak(pid: u32) -> anyhow::Result<()> {
    // proc(5), clear_refs: 5 resets the peak.
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn memory_mib(pid: u32, figure: &'static str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|l| l.starts_with(figure))
        .context(figure)?;
    let kib: f64 = line
        .split_whitespace()
        .nth(1)
        .context("a number")?
        .parse()?;
    Ok(kib / 1_024.0)
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
