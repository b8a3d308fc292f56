//! How long work shows how far it is: a bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::import::summary::thousands;

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How often a bar is drawn, times a second.
const DRAWS_PER_SECOND_MAX: u8 = 8;

/// Progress of one piece of work on standard error.
pub struct Progress {
    what: &'static str,
    unit: &'static str,
    began: Instant,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
    Nothing,
}

struct Lines {
    done: u64,
    total: Option<u64>,
    next: Instant,
}

impl Progress {
    /// Begins to show `what` (`importing`), which counts `unit` (`rows`). `total` is in the steps
    /// that [`Progress::at`] is told, which need not be that unit; without it there is no bar, only
    /// a count.
    pub fn new(what: &'static str, unit: &'static str, total: Option<u64>) -> Progress {
        let began = Instant::now();
        let shown = if std::io::stderr().is_terminal() {
            let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND_MAX);
            let bar = ProgressBar::with_draw_target(total, target);
            let template = match total {
                Some(_) => "{prefix} [{bar:32}] {percent:>3}% {msg} {elapsed_precise}",
                None => "{prefix} {spinner} {msg} {elapsed_precise}",
            };
            let style = ProgressStyle::with_template(template).expect("the template is valid");
            bar.set_style(style.progress_chars("=> "));
            bar.set_prefix(what);
            Shown::Bar(bar)
        } else {
            Shown::Lines(Mutex::new(Lines {
                done: 0,
                total,
                next: began + LINE_EVERY,
            }))
        };
        Progress {
            what,
            unit,
            began,
            shown,
        }
    }

    /// Shows nothing.
    pub fn silent() -> Progress {
        Progress {
            what: "",
            unit: "",
            began: Instant::now(),
            shown: Shown::Nothing,
        }
    }

    /// `done` steps of the total are done, which is `counted` of the unit in all.
    pub fn at(&self, done: u64, counted: u64) {
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(self.rate(counted));
            }
            Shown::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(|e| e.into_inner());
                lines.done = done;
                if Instant::now() >= lines.next {
                    lines.next = Instant::now() + LINE_EVERY;
                    eprintln!("{}{} {}", self.what, lines.percent(), self.rate(counted));
                }
            }
            Shown::Nothing => {}
        }
    }

    /// Sets another total, as it becomes known.
    pub fn set_total(&self, total: u64) {
        match &self.shown {
            Shown::Bar(bar) => bar.set_length(total),
            Shown::Lines(lines) => {
                lines.lock().unwrap_or_else(|e| e.into_inner()).total = Some(total);
            }
            Shown::Nothing => {}
        }
    }

    /// The work is over; the bar goes away.
    pub fn finish(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    fn rate(&self, counted: u64) -> String {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let per_second = (counted as f64 / seconds) as u64;
        format!(
            "{} {} ({}/s)",
            thousands(counted),
            self.unit,
            thousands(per_second)
        )
    }
}

impl Lines {
    fn percent(&self) -> String {
        match self.total {
            Some(total) if total > 0 => format!(" {}%", (self.done * 100 / total).min(100)),
            _ => String::new(),
        }
    }
}
