//! What the server's process and this one take while a run goes on.

use std::time::Duration;

use crate::resources::{Taken, Usage, usage};

/// Looks at both from time to time.
pub struct Meter {
    server: Option<Watched>,
    own: Option<Watched>,
}

struct Watched {
    pid: u32,
    before: Usage,
    /// When the load was as it shall be for the first time, and what had been used by then.
    from: Option<(Duration, f64)>,
    resident_max_mib: f64,
    last: Option<(Duration, f64)>,
}

impl Meter {
    /// Of a server's process, which must be there, and of this one, where the system tells.
    pub fn start(pid: Option<u32>) -> anyhow::Result<Meter> {
        let server = pid.map(Watched::start).transpose()?;
        Ok(Meter {
            server,
            own: Watched::start(std::process::id()).ok(),
        })
    }

    /// Looks, so long after the beginning.
    pub fn look(&mut self, at: Duration, is_measured: bool) {
        for watched in [&mut self.server, &mut self.own].into_iter().flatten() {
            if let Ok(usage) = usage(watched.pid) {
                watched.look(at, is_measured, usage);
            }
        }
    }

    /// What the server took, and this program.
    pub fn taken(&self) -> (Option<Taken>, Option<Taken>) {
        let taken = |watched: &Option<Watched>| watched.as_ref().map(Watched::taken);
        (taken(&self.server), taken(&self.own))
    }
}

impl Watched {
    fn start(pid: u32) -> anyhow::Result<Watched> {
        let before = usage(pid)?;
        Ok(Watched {
            pid,
            before,
            from: None,
            resident_max_mib: before.resident_mib,
            last: None,
        })
    }

    fn look(&mut self, at: Duration, is_measured: bool, usage: Usage) {
        self.resident_max_mib = self.resident_max_mib.max(usage.resident_mib);
        if is_measured {
            self.from.get_or_insert((at, usage.cpu_s));
            self.last = Some((at, usage.cpu_s));
        }
    }

    fn taken(&self) -> Taken {
        let (cpu_s, seconds) = match (self.from, self.last) {
            (Some((from, before)), Some((to, after))) => {
                (after - before, to.saturating_sub(from).as_secs_f64())
            }
            _ => (0.0, 0.0),
        };
        Taken {
            resident_before_mib: self.before.resident_mib,
            resident_max_mib: self.resident_max_mib,
            cpu_s,
            cores: if seconds > 0.0 { cpu_s / seconds } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(resident_mib: f64, cpu_s: f64) -> Usage {
        Usage {
            resident_mib,
            cpu_s,
        }
    }

    #[test]
    fn processor_time_counts_from_when_it_is_measured_and_memory_always() {
        let mut watched = Watched {
            pid: 1,
            before: usage(10.0, 1.0),
            from: None,
            resident_max_mib: 10.0,
            last: None,
        };
        let s = Duration::from_secs;
        watched.look(s(1), false, usage(90.0, 3.0));
        watched.look(s(2), true, usage(50.0, 4.0));
        watched.look(s(6), true, usage(60.0, 6.0));
        assert_eq!(
            watched.taken(),
            Taken {
                resident_before_mib: 10.0,
                resident_max_mib: 90.0,
                cpu_s: 2.0,
                cores: 0.5,
            }
        );
    }
}
