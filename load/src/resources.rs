//! What a process on this machine takes, as `/proc` tells it.

use std::fs;

use anyhow::Context;
use serde::Serialize;

/// Ticks a second in `/proc/<pid>/stat`: 100 on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// What a process holds and has used at some moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Resident memory, MiB.
    pub resident_mib: f64,
    /// Processor time so far, seconds.
    pub cpu_s: f64,
}

/// What a process took over a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// Resident memory at the beginning, MiB.
    pub resident_before_mib: f64,
    /// The most of it that was seen, MiB.
    pub resident_max_mib: f64,
    /// Processor time, seconds.
    pub cpu_s: f64,
    /// Processor time by time: 1 is one core, all the while.
    pub cores: f64,
}

/// What a process holds and has used so far.
pub fn usage(pid: u32) -> anyhow::Result<Usage> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        fs::read_to_string(&path).with_context(|| {
            format!("--pid {pid}: {path} cannot be read; is there such a process here, on Linux?")
        })
    };
    let (stat, status) = (read("stat")?, read("status")?);
    parse(&stat, &status).with_context(|| format!("--pid {pid}: /proc/{pid} is not understood"))
}

fn parse(stat: &str, status: &str) -> Option<Usage> {
    // The name stands in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |n: usize| -> Option<f64> { fields.get(n)?.parse().ok() };
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = resident.split_whitespace().next()?.parse().ok()?;
    Some(Usage {
        resident_mib: kib / 1_024.0,
        cpu_s: (ticks(11)? + ticks(12)?) / TICKS_PER_S,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        let stat = "17 (day) book (x) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 9 0 1 0 0";
        let status = "Name:\tdaybook\nVmPeak:\t 9999 kB\nVmRSS:\t   20480 kB\nThreads:\t9\n";
        assert_eq!(
            parse(stat, status),
            Some(Usage {
                resident_mib: 20.0,
                cpu_s: 3.0,
            })
        );
        assert_eq!(parse("17 S", status), None);
        assert_eq!(parse(stat, "Name:\tzombie\n"), None);
    }

    #[test]
    fn a_process_that_is_not_there_is_told_by_its_option() {
        let told = usage(u32::MAX).unwrap_err().to_string();
        assert!(told.contains("--pid"), "{told}");
    }
}
