//! Log files: what they are written in, whose they are, and what is wrong with one that is not.

use std::io;
use std::sync::OnceLock;

use chrono::FixedOffset;
use clap::{Args, ValueEnum};
use domain::log_format::{LogFormat, LogReader};
use domain::values;
use tokio::sync::mpsc;

use super::batch::{Listener, ReadError, Supply};
use super::lines::{self, Lines, LogLines};
use super::source::Source;

/// How many lines of a file are looked at before anything is imported.
const LOOK_LINES_MAX: usize = 64;

/// How many bytes they may have in all.
const LOOK_BYTES_MAX: usize = 1 << 20;

/// What log files are.
#[derive(Args, Clone, Debug, Default)]
pub struct LogArgs {
    /// Format and source of a known set; single flags still win
    #[arg(long, value_enum)]
    pub preset: Option<LogPreset>,
    /// What their lines are written in
    #[arg(long, value_enum, required_unless_present = "preset")]
    pub format: Option<LineFormat>,
    /// The log source they are of; registered if it is not known
    #[arg(long, value_name = "NAME", required_unless_present = "preset")]
    pub source: Option<String>,
    /// The zone of times that name none, such as +02:00 [default: +00:00]
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    pub zone: Option<FixedOffset>,
}

/// Formats of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LineFormat {
    /// One record a line, as JSON with the names of the API
    Ndjson,
    /// An access log of a web server, common or combined format
    Combined,
    /// [date time,millis] LEVEL message (logger), and lines that go on with it
    Log4j,
    /// One GitHub event a line, as its API and GH Archive give it
    Github,
    /// One GitHub event a line, in the reduced form of min-gharchive
    Gharchive,
}

/// Sets whose format is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogPreset {
    /// A web server's access log: combined, source apache
    Apache,
    /// Logs of Kafka's brokers: log4j, source kafka
    Kafka,
    /// Hours of GitHub's public events in min-gharchive's form: gharchive, source gharchive
    Gharchive,
    /// Whole GitHub events of the Kubernetes organisation: github, source kubernetes
    Kubernetes,
}

impl LogPreset {
    fn of(self) -> (LineFormat, &'static str) {
        match self {
            LogPreset::Apache => (LineFormat::Combined, "apache"),
            LogPreset::Kafka => (LineFormat::Log4j, "kafka"),
            LogPreset::Gharchive => (LineFormat::Gharchive, "gharchive"),
            LogPreset::Kubernetes => (LineFormat::Github, "kubernetes"),
        }
    }
}

impl LineFormat {
    fn read_as(self) -> LogFormat {
        match self {
            LineFormat::Ndjson => LogFormat::Ndjson,
            LineFormat::Combined => LogFormat::Combined,
            LineFormat::Log4j => LogFormat::Log4j,
            LineFormat::Github => LogFormat::GithubEvents,
            LineFormat::Gharchive => LogFormat::GhArchive,
        }
    }

    fn name(self) -> String {
        let named = self.to_possible_value();
        named.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Log files of one source.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFiles {
    /// The id of the log source.
    pub source: String,
    format: LineFormat,
    zone: FixedOffset,
    /// Its version when the run began.
    pub(super) version: OnceLock<i64>,
}

impl LogFiles {
    /// Flags over preset.
    pub fn from_args(args: &LogArgs) -> anyhow::Result<LogFiles> {
        let preset = args.preset.map(LogPreset::of).unzip();
        let format = args.format.or(preset.0);
        let source = args.source.clone();
        let source = source.or_else(|| preset.1.map(str::to_owned));
        let utc = FixedOffset::east_opt(0).expect("no offset is one");
        match (format, source) {
            (Some(format), Some(source)) => Ok(LogFiles {
                source: values::id(&source, "source")?,
                format,
                zone: args.zone.unwrap_or(utc),
                version: OnceLock::new(),
            }),
            _ => anyhow::bail!("--format and --source are needed where there is no --preset"),
        }
    }

    /// What the lines are read as.
    pub fn format(&self) -> LogFormat {
        self.format.read_as()
    }

    /// How many of these lines can be read in a format, and what is wrong with the first that cannot.
    fn look(&self, lines: &[Vec<u8>], format: LineFormat) -> (usize, Option<String>) {
        let mut reader = LogReader::new(format.read_as(), self.zone);
        let mut entries: Vec<_> = lines.iter().filter_map(|line| reader.line(line)).collect();
        entries.extend(reader.finish());
        let read = entries.iter().filter(|entry| entry.read.is_ok()).count();
        let wrong = entries
            .into_iter()
            .find_map(|e| Some((e.line, e.read.err()?)));
        let wrong = wrong.map(|(line, refusal)| format!("line {line}: {}", refusal.message));
        (read, wrong)
    }
}

/// The first lines of a file that say anything, as far as they are looked at.
fn first_lines(source: &Source) -> io::Result<Vec<Vec<u8>>> {
    let mut file = Lines::open(source)?;
    let (mut first, mut bytes) = (Vec::new(), 0);
    while first.len() < LOOK_LINES_MAX && bytes < LOOK_BYTES_MAX {
        let Some(line) = file.next_line()? else { break };
        bytes += line.len();
        first.push(line.to_vec());
    }
    Ok(first)
}

impl Supply for LogFiles {
    type Batch = LogLines;

    /// A file none of whose first lines is in the format is in another one, and it is told in which.
    fn check(&self, source: &Source) -> Result<(), String> {
        let lines = first_lines(source).map_err(|e| e.to_string())?;
        let (read, wrong) = self.look(&lines, self.format);
        let Some(wrong) = wrong.filter(|_| read == 0) else {
            return Ok(());
        };
        let others = LineFormat::value_variants().iter();
        let seen = others.map(|format| (self.look(&lines, *format).0, *format));
        let best = seen.max_by_key(|(read, _)| *read);
        let hint = match best.filter(|(read, _)| *read > 0) {
            Some((_, other)) => format!("; it looks like --format {}", other.name()),
            None => String::new(),
        };
        let format = self.format.name();
        Err(format!("it is not in the format {format}: {wrong}{hint}"))
    }

    fn read(
        &self,
        index: usize,
        source: &Source,
        lanes: &[mpsc::Sender<LogLines>],
        told: &Listener<'_>,
    ) -> Result<(), ReadError> {
        lines::read((index, source), (self.format(), self.zone), lanes, told)
    }

    fn bytes(batch: &LogLines) -> u64 {
        batch.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(format: LineFormat) -> LogFiles {
        let args = LogArgs {
            format: Some(format),
            source: Some("s".to_owned()),
            ..LogArgs::default()
        };
        LogFiles::from_args(&args).unwrap()
    }

    fn check(format: LineFormat, text: &'static str) -> Result<(), String> {
        files(format).check(&Source::from_memory("x", text.as_bytes()))
    }

    const ACCESS: &str =
        "10.0.0.1 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 7 \"-\" \"agent\"\n";

    #[test]
    fn a_file_in_another_format_is_named_with_it() {
        assert_eq!(check(LineFormat::Combined, ACCESS), Ok(()));
        let said = check(LineFormat::Log4j, ACCESS);
        let want = "it is not in the format log4j: line 1: the line goes on with an entry that does \
                    not begin; it looks like --format combined";
        assert_eq!(said, Err(want.to_owned()));
        let said = check(LineFormat::Ndjson, "\n\nnonsense\n");
        let want = "it is not in the format ndjson: line 3: the text is no JSON";
        assert_eq!(said, Err(want.to_owned()));
    }

    #[test]
    fn a_file_that_is_empty_or_begins_badly_is_none() {
        assert_eq!(check(LineFormat::Log4j, ""), Ok(()));
        assert_eq!(check(LineFormat::Log4j, "\n\n"), Ok(()));
        let text = format!("cut off\n{ACCESS}").leak();
        assert_eq!(check(LineFormat::Combined, text), Ok(()));
    }

    #[test]
    fn flags_win_over_a_preset() {
        let args = LogArgs {
            preset: Some(LogPreset::Kafka),
            zone: Some("-05:00".parse().unwrap()),
            ..LogArgs::default()
        };
        let kafka = LogFiles::from_args(&args).unwrap();
        assert_eq!(
            (&*kafka.source, kafka.format()),
            ("kafka", LogFormat::Log4j)
        );
        assert_eq!(kafka.zone.local_minus_utc(), -5 * 3_600);
        let args = LogArgs {
            source: Some("broker-7".to_owned()),
            ..args
        };
        assert_eq!(LogFiles::from_args(&args).unwrap().source, "broker-7");
        let nameless = LogArgs {
            source: Some(" ".to_owned()),
            ..args
        };
        for wrong in [nameless, LogArgs::default()] {
            assert!(LogFiles::from_args(&wrong).is_err(), "{wrong:?}");
        }
    }
}
