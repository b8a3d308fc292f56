//! What can be asked of the tool.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::pacing::{OVERRUN_MAX, Pace};
use crate::scenario::Scenario;

/// Where it is asked if nothing is said.
pub const URL: &str = "http://127.0.0.1:8080";

/// The longest run, ramp-up included, each.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// The greatest rate, requests a second.
const RATE_MAX: f64 = 1_000_000.0;

/// Asks a running Daybook for a while, as many users would, and tells how it did.
///
/// Every answer is looked at: its status, GraphQL's errors, and refusals that are data. What failed is
/// counted by its code and never sent again.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "daybook-load",
    version,
    after_help = "\
Examples:
  daybook-load --token \"$(daybook token)\" --scenario mixed
  daybook-load --server target/release/daybook --scenario s2 --users 1000 --rate 1200/s --report s2.md
  daybook-load --token \"$(daybook token)\" --scenario subscriptions --users 1000 --rate 50/s

A token of an administrator is needed, since vehicles, people and competitions are made first, under ids that
begin with `load-` and the seed; they stay. Use a database for it that may be thrown away.
A server counts what one caller asks: docs/load.md tells which settings to raise, and several tokens take turns.

Ctrl-C or SIGTERM ends a run early, and what was counted is printed; a second one ends at once.

Exit codes: 0 done; 1 more failed than --max-failures allows, or nothing could be asked; 2 the command line
cannot be used."
)]
pub struct Options {
    /// Where the server listens: http://HOST:PORT
    #[arg(long, default_value = URL)]
    pub url: String,
    /// Start this `daybook` for the run instead, on a private database that is thrown away; it needs no token
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["url", "pid"])]
    pub server: Option<PathBuf>,
    /// Who asks: what `daybook token` prints; given several times, workers and sockets take turns
    #[arg(
        long,
        env = "DAYBOOK_TOKEN",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub token: Vec<String>,
    /// What is asked
    #[arg(long, value_enum, default_value = "mixed")]
    pub scenario: Scenario,
    /// Over how many vehicles and people what is asked is spread; of `subscriptions`: how many sockets
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub users: u32,
    /// How many requests may be under way at once, each on a connection of its own
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub concurrency: u32,
    /// How long the load grows; what is asked meanwhile is told apart: 500ms, 10s, 1m
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = time)]
    pub ramp_up: Duration,
    /// How long is measured after that
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = time)]
    pub duration: Duration,
    /// Requests a second, due whether or not earlier ones were answered, their time counted from when they
    /// were due; what is left at the end is sent for 10 s more, and what then is left has failed (NOT_SENT).
    /// Without it each worker asks again once it was answered
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub rate: Option<f64>,
    /// What data and choices follow from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where the report goes, by its ending: .json or .md; may be given more than once
    #[arg(long, value_name = "FILE", value_parser = report)]
    pub report: Vec<PathBuf>,
    /// Which share of the requests may fail
    #[arg(long, default_value = "1%", value_name = "SHARE", value_parser = share)]
    pub max_failures: f64,
    /// The server's process on this machine, whose memory and CPU are told
    #[arg(long)]
    pub pid: Option<u32>,
    /// Of `subscriptions`: what each socket subscribes to; given several times, they take turns
    #[arg(long, value_name = "DOCUMENT")]
    pub query: Vec<String>,
    /// Threads of this program; it shares the processors with the server
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// Print no progress
    #[arg(long)]
    pub quiet: bool,
}

impl Options {
    /// When requests are due.
    pub fn pace(&self) -> Pace {
        Pace {
            ramp_up: self.ramp_up,
            duration: self.duration,
            rate: self.rate,
            overrun_max: OVERRUN_MAX,
        }
    }
}

/// A time: a number and its unit, `ms`, `s` or `m`.
fn time(text: &str) -> Result<Duration, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("is a number with ms, s or m, such as 30s".to_owned()),
    };
    let number: f64 = text[..text.len() - unit.len()]
        .parse()
        .map_err(|_| "is a number with ms, s or m, such as 30s".to_owned())?;
    let time = Duration::try_from_secs_f64(number * seconds).unwrap_or(Duration::MAX);
    match time <= LONGEST {
        true => Ok(time),
        false => Err(format!("is at most {} h", LONGEST.as_secs() / 3_600)),
    }
}

/// A rate: `1200/s`, or `1200`.
fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse();
    match number {
        Ok(rate) if rate > 0.0 && rate <= RATE_MAX => Ok(rate),
        _ => Err(format!(
            "is a number of requests a second above 0, at most {RATE_MAX}, such as 1200/s"
        )),
    }
}

/// A share: `1%`, or `0.01`.
fn share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    match share {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("is a share from 0% to 100%, such as 1% or 0.01".to_owned()),
    }
}

/// A file of a kind that can be written.
fn report(text: &str) -> Result<PathBuf, String> {
    match text.ends_with(".json") || text.ends_with(".md") {
        true => Ok(text.into()),
        false => Err("ends with .json or .md".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once("daybook-load").chain(words.split_whitespace()))
    }

    #[test]
    fn the_command_is_made_as_clap_wants_it() {
        <Options as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn what_is_said_is_taken() {
        let options = parsed(
            "--url http://h:1 --token a --token b,c --scenario s3 --users 7 --concurrency 3 --ramp-up 500ms
             --duration 1.5m --rate 1200/s --seed 9 --report a.json --report b.md --max-failures 0.5%",
        )
        .unwrap();
        assert_eq!(options.token, ["a", "b", "c"]);
        assert_eq!(options.scenario, Scenario::S3);
        assert_eq!(
            options.pace(),
            Pace {
                ramp_up: Duration::from_millis(500),
                duration: Duration::from_secs(90),
                rate: Some(1_200.0),
                overrun_max: OVERRUN_MAX,
            }
        );
        assert_eq!(options.report, [PathBuf::from("a.json"), "b.md".into()]);
        assert_eq!(options.max_failures, 0.005);
        assert_eq!(
            (options.users, options.concurrency, options.seed),
            (7, 3, 9)
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        for (words, named) in [
            ("--users 0", "--users"),
            ("--users 1000000", "--users"),
            ("--concurrency 0", "--concurrency"),
            ("--ramp-up 5", "--ramp-up"),
            ("--ramp-up=-5s", "--ramp-up"),
            ("--duration 25h", "--duration"),
            ("--duration 2000m", "--duration"),
            ("--duration 1.2.3s", "--duration"),
            ("--rate 0/s", "--rate"),
            ("--rate nan", "--rate"),
            ("--rate many", "--rate"),
            ("--max-failures 101%", "--max-failures"),
            ("--max-failures=-1", "--max-failures"),
            ("--report figures.txt", "--report"),
            ("--scenario s9", "--scenario"),
            ("--server daybook --url http://h:1", "--url"),
        ] {
            let refused = parsed(words).expect_err(words).to_string();
            assert!(refused.contains(named), "{words}: {refused}");
        }
    }

    #[test]
    fn how_long_is_sent_after_the_end_is_told() {
        let help = <Options as clap::CommandFactory>::command()
            .render_long_help()
            .to_string();
        let told = format!("{} s more", OVERRUN_MAX.as_secs());
        assert!(help.contains(&told), "{help}");
    }

    #[test]
    fn times_rates_and_shares_are_read() {
        assert_eq!(time("0s"), Ok(Duration::ZERO));
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(rate("0.5"), Ok(0.5));
        assert_eq!(share("0.01"), Ok(0.01));
        assert_eq!(share("100%"), Ok(1.0));
    }
}
