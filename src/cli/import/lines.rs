//! Lines of log files become batches of records, the same ones in every run, each record with an id.
//!
//! A record that declares no id is given one that follows from where it stands and from what is written
//! there: the number of its first line, and a digest of the file's first line, that number and its own
//! first line. So it is the same whatever the file is called, packed in or followed by, and while other
//! lines but the first are mended; and it is another one once lines are put in or taken out before it. Of
//! an entry of several lines the first decides: one that was still being written is not taken in again
//! when it is whole. A last line that has no end yet, and could be read all the same, is left for when it
//! has one.

use std::io::{self, BufRead, Read};

use chrono::FixedOffset;
use domain::Refusal;
use domain::log_batch::{LogReport, RECORDS_MAX};
use domain::log_format::{ENTRY_BYTES_MAX, LogEntry, LogFormat, LogReader};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::batch::{Listener, ReadError};
use super::source::Source;
use super::unpack::{BytesRead, Unpacked};
use crate::store::digest;

/// How many bytes the lines of one batch may have in all, but for the entry that is one too many. There
/// are some fifteen batches in memory at once.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Records of one source, in the order of their file.
#[derive(Debug, Default)]
pub struct LogLines {
    /// Which file of the import, counted from 0.
    pub source: usize,
    /// At most [`RECORDS_MAX`]: what was said, or why it cannot be read.
    pub records: Vec<Result<LogReport, Refusal>>,
    /// The first line of each.
    pub lines: Vec<u64>,
    /// How much of the file they stand for, in bytes before inflating.
    pub bytes: u64,
}

/// The lines of one file, read one by one and as entries.
pub struct Lines {
    text: Box<dyn BufRead + Send>,
    bytes_read: BytesRead,
    line: Vec<u8>,
    number: u64,
    /// Is a line without an end left for when it has one?
    must_end: bool,
}

impl Lines {
    /// Opens a file.
    pub fn open(source: &Source) -> io::Result<Lines> {
        source.open_text().map(Lines::of)
    }

    fn of(opened: Unpacked) -> Lines {
        Lines {
            text: opened.text,
            bytes_read: opened.bytes_read,
            line: Vec::new(),
            number: 0,
            must_end: false,
        }
    }

    /// Opens a file in this format. Where it may still grow, and a line that is cut off can be taken for
    /// a whole one, reading ends before a last line that has no end. What is cut off of JSON is none.
    fn of_whole_lines(source: &Source, format: LogFormat) -> io::Result<Lines> {
        let opened = source.open_text()?;
        let must_end = match format {
            LogFormat::Combined | LogFormat::Log4j => opened.is_plain,
            LogFormat::Ndjson | LogFormat::GhArchive | LogFormat::GithubEvents => false,
        };
        Ok(Lines {
            must_end,
            ..Lines::of(opened)
        })
    }

    /// The next line without its end. Of one that is longer than any entry may be a little more than that
    /// is given, and the rest of it is passed over.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let most = ENTRY_BYTES_MAX as u64 + 1;
        let read = (&mut self.text)
            .take(most)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        let is_ended = match self.line.pop_if(|byte| *byte == b'\n') {
            Some(_) => true,
            None => read as u64 == most && self.pass_over()?,
        };
        if self.must_end && !is_ended {
            let why = "the last line has no end: it comes in when it has one";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        self.number += 1;
        Ok(Some(&self.line))
    }

    /// Up to the line's end, if it has one.
    fn pass_over(&mut self) -> io::Result<bool> {
        loop {
            let ahead = self.text.fill_buf()?;
            let end = ahead.iter().position(|byte| *byte == b'\n');
            let bytes = end.map_or(ahead.len(), |end| end + 1);
            if bytes == 0 {
                return Ok(false);
            }
            self.text.consume(bytes);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

/// Reads one file to its end and hands its batches to the lanes in turn. Blocks; runs on its own thread.
/// Nothing of a file comes in whose first entries cannot be read, all of the first batch.
pub fn read(
    (index, source): (usize, &Source),
    (format, zone): (LogFormat, FixedOffset),
    lanes: &[mpsc::Sender<LogLines>],
    told: &Listener<'_>,
) -> Result<(), ReadError> {
    let unreadable = |e: io::Error| ReadError::Unreadable(format!("{}: {e}", source.name));
    let mut lines = Lines::of_whole_lines(source, format).map_err(unreadable)?;
    let mut entries = Entries::new(format, zone);
    let mut batches = Batches::new((index, source), format, lanes);
    loop {
        if (told.stopped)() {
            return Err(ReadError::Stopped);
        }
        let entry = match lines.next_line() {
            Ok(Some(line)) => {
                batches.line_bytes += line.len() + 1;
                entries.line(line)
            }
            Ok(None) => {
                if let Some(entry) = entries.finish() {
                    batches.push(entry, &lines)?;
                }
                return batches.send(&lines);
            }
            // What may go on behind the break is left for when the file is whole.
            Err(e) => {
                batches.send(&lines)?;
                let why = format!("{}:{}: {e}", source.name, lines.number + 1);
                return Err(ReadError::Unreadable(why));
            }
        };
        if let Some(entry) = entry {
            batches.push(entry, &lines)?;
        }
    }
}

/// Entries with their ids.
struct Entries {
    reader: LogReader,
    number: u64,
    /// What the file is known by: a digest of its first line.
    file: Option<[u8; 16]>,
    /// The id of the entry that may go on.
    open: Option<String>,
}

impl Entries {
    fn new(format: LogFormat, zone: FixedOffset) -> Entries {
        Entries {
            reader: LogReader::new(format, zone),
            number: 0,
            file: None,
            open: None,
        }
    }

    fn line(&mut self, line: &[u8]) -> Option<LogEntry> {
        self.number += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let file = *self.file.get_or_insert_with(|| digest(&[line]));
        let of_line = id(&file, self.number, line);
        let entry = self.reader.line(line);
        let of_entry = match (&entry, self.reader.open_line()) {
            // The one before is whole by it.
            (_, Some(open)) if open == self.number => self.open.replace(of_line)?,
            (Some(_), _) => of_line,
            (None, _) => return None,
        };
        entry.map(|entry| identified(entry, of_entry))
    }

    fn finish(&mut self) -> Option<LogEntry> {
        let entry = self.reader.finish()?;
        Some(identified(entry, self.open.take()?))
    }
}

fn id(file: &[u8; 16], number: u64, line: &[u8]) -> String {
    let digest = digest(&[file, &number.to_be_bytes(), line]);
    format!("{number}-{}", Uuid::from_bytes(digest).simple())
}

fn identified(mut entry: LogEntry, id: String) -> LogEntry {
    if let Ok(report) = &mut entry.read {
        report.event_id.get_or_insert(id);
    }
    entry
}

/// The batch that is being made, and where batches go.
struct Batches<'l> {
    source: &'l Source,
    format: LogFormat,
    lanes: &'l [mpsc::Sender<LogLines>],
    sent: usize,
    batch: LogLines,
    /// Bytes of the lines read since the last batch.
    line_bytes: usize,
    bytes_before: u64,
}

impl<'l> Batches<'l> {
    fn new(
        (index, source): (usize, &'l Source),
        format: LogFormat,
        lanes: &'l [mpsc::Sender<LogLines>],
    ) -> Batches<'l> {
        Batches {
            source,
            format,
            lanes,
            sent: 0,
            batch: LogLines {
                source: index,
                ..LogLines::default()
            },
            line_bytes: 0,
            bytes_before: 0,
        }
    }

    fn push(&mut self, entry: LogEntry, from: &Lines) -> Result<(), ReadError> {
        self.batch.lines.push(entry.line);
        self.batch.records.push(entry.read);
        let full = self.batch.records.len() >= RECORDS_MAX || self.line_bytes >= BATCH_BYTES_MAX;
        if full { self.send(from) } else { Ok(()) }
    }

    /// Files were looked at before, what comes in by itself was not: many lines that cannot be read would
    /// push out of the store what was refused before them and can be recovered.
    fn must_be_in_format(&self) -> Result<(), ReadError> {
        let unread = |record: &Result<_, Refusal>| record.is_err();
        match (self.sent, &self.batch.records[0]) {
            (0, Err(first)) if self.batch.records.iter().all(unread) => {
                let (name, line) = (&self.source.name, self.batch.lines[0]);
                let (format, why) = (self.format.as_str(), &first.message);
                let told = format!("{name}: it is not in the format {format}: line {line}: {why}");
                Err(ReadError::Unreadable(told))
            }
            _ => Ok(()),
        }
    }

    fn send(&mut self, from: &Lines) -> Result<(), ReadError> {
        let bytes_read = from.bytes_read.get();
        self.line_bytes = 0;
        if self.batch.records.is_empty() {
            return Ok(());
        }
        self.must_be_in_format()?;
        let next = LogLines {
            source: self.batch.source,
            ..LogLines::default()
        };
        let mut batch = std::mem::replace(&mut self.batch, next);
        batch.bytes = bytes_read - std::mem::replace(&mut self.bytes_before, bytes_read);
        let lane = &self.lanes[self.sent % self.lanes.len()];
        self.sent += 1;
        lane.blocking_send(batch).map_err(|_| ReadError::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Vec<Vec<(u64, String)>>;

    /// What is read of a whole text.
    fn check(format: LogFormat, text: &'static [u8]) -> Read {
        let (got, told) = check_part(format, text);
        assert_eq!(told, None);
        got
    }

    /// What is read of a text: lines, ids or codes, by batch; and why no more.
    fn check_part(format: LogFormat, text: &'static [u8]) -> (Read, Option<String>) {
        let zone = FixedOffset::east_opt(0).unwrap();
        let (lane, mut batches) = mpsc::channel(1_000);
        let told = Listener {
            stopped: &|| false,
            refused: &|line, refusal| panic!("{line}: {refusal}"),
        };
        let source = Source::from_memory("x.log", text);
        let ended = match read((3, &source), (format, zone), &[lane], &told) {
            Ok(()) => None,
            Err(ReadError::Unreadable(why)) => Some(why),
            Err(ReadError::Stopped) => panic!("nobody stopped it"),
        };
        let mut got = Vec::new();
        while let Ok(batch) = batches.try_recv() {
            assert_eq!(batch.source, 3);
            let said = batch.records.into_iter().map(|record| match record {
                Ok(report) => report.event_id.unwrap(),
                Err(refusal) => refusal.code.as_str().to_owned(),
            });
            got.push(batch.lines.into_iter().zip(said).collect());
        }
        (got, ended)
    }

    const RECORD: &str = "{\"timestamp\":\"2026-09-21T14:13:20Z\",\"event_type\":\"error\",\"event_name\":\"crash\"}\n";

    const ENTRIES: &str = "\
[2016-12-19 16:31:47,437] INFO one (a.B)
[2016-12-19 16:31:47,437] INFO one (a.B)
[2016-12-19 16:31:48,437] ERROR two (a.B)
java.lang.Exception
\tat a.B
[2016-12-19 16:31:49,437] INFO three (a.B)
";

    fn ids(text: impl Into<String>) -> Vec<String> {
        let text = text.into().leak().as_bytes();
        let all = check(LogFormat::Log4j, text).into_iter().flatten();
        all.map(|(_, id)| id).collect()
    }

    #[test]
    fn an_id_follows_from_the_place_and_what_stands_there() {
        let all = check(LogFormat::Log4j, ENTRIES.as_bytes());
        let lines: Vec<u64> = all[0].iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 6]);
        let first = ids(ENTRIES);
        for (id, line) in first.iter().zip(lines) {
            let (number, digest) = id.split_once('-').unwrap();
            assert_eq!((number, digest.len()), (&*line.to_string(), 32));
        }
        assert_eq!(ids(ENTRIES.replace('\n', "\r\n")), first, "the same lines");

        let mut longer = ids(format!("{ENTRIES}more\n{ENTRIES}"));
        assert_eq!(longer.drain(..4).collect::<Vec<_>>(), first, "it has grown");
        assert!(longer.iter().all(|id| !first.contains(id)));

        let mended = ids(ENTRIES.replace("java.lang.Exception", "java.lang.Error"));
        assert_eq!(mended, first, "the first line decides");
        let mended = ids(ENTRIES.replace("two", "2"));
        assert_ne!(mended[2], first[2]);
        assert_eq!((&mended[..2], &mended[3]), (&first[..2], &first[3]));

        let other = ids(ENTRIES.replacen("one", "1", 1));
        assert!(other.iter().all(|id| !first.contains(id)), "another file");
    }

    #[test]
    fn a_declared_id_stays_and_a_bad_line_has_none() {
        let text = br#"{"event_id":"mine","timestamp":"2026-09-21T14:13:20Z","event_type":"error","event_name":"x"}

nonsense
{"timestamp":"2026-09-21T14:13:20Z","event_type":"error","event_name":"x"}"#;
        let got = check(LogFormat::Ndjson, text);
        assert_eq!(got[0][0], (1, "mine".to_owned()));
        assert_eq!(got[0][1], (3, "UNREADABLE_INPUT".to_owned()));
        assert!(got[0][2].1.starts_with("4-"), "{got:?}");
    }

    /// A line that is still being written would be another record when it is whole: its text is part of
    /// its id.
    #[test]
    fn a_last_line_without_an_end_is_left_for_when_it_has_one() {
        const ACCESS: &str =
            "h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 7 \"-\" \"age";
        let first = "h - - [17/May/2015:10:05:02 +0000] \"GET / HTTP/1.1\" 200 7\n";
        let growing = format!("{first}{ACCESS}").leak();
        let (got, told) = check_part(LogFormat::Combined, growing.as_bytes());
        let why = "x.log:2: the last line has no end: it comes in when it has one";
        assert_eq!(told.as_deref(), Some(why));
        let whole = check(
            LogFormat::Combined,
            format!("{growing}nt\"\n").leak().as_bytes(),
        );
        assert_eq!((got[0].len(), whole[0].len()), (1, 2));
        assert_eq!(got[0][0], whole[0][0]);

        // Of several lines, what may go on waits with it.
        let (got, told) = check_part(LogFormat::Log4j, ENTRIES.trim_end().as_bytes());
        assert!(told.is_some_and(|told| told.starts_with("x.log:6: ")));
        assert_eq!(got[0].len(), 2);
        // A packed file does not grow, and a line of JSON that is cut off is none.
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut packed, growing.as_bytes()).unwrap();
        let packed = packed.finish().unwrap().leak();
        assert_eq!(check(LogFormat::Combined, packed)[0].len(), 2);
        let cut = format!("{RECORD}{}", &RECORD[..30]).leak();
        let got = check(LogFormat::Ndjson, cut.as_bytes());
        assert_eq!(got[0][1], (2, "UNREADABLE_INPUT".to_owned()));
    }

    /// What is not looked at before, standard input, could be anything.
    #[test]
    fn nothing_comes_in_of_what_is_in_another_format() {
        let wrong = "nonsense\n".repeat(2_500).leak();
        let (got, told) = check_part(LogFormat::Ndjson, wrong.as_bytes());
        assert!(got.is_empty(), "{got:?}");
        let why = "x.log: it is not in the format ndjson: line 1: the text is no JSON";
        assert_eq!(told.as_deref(), Some(why));
        let begins_badly = format!("{}{RECORD}", &wrong[..900]).leak();
        assert_eq!(
            check(LogFormat::Ndjson, begins_badly.as_bytes())[0].len(),
            101
        );
        assert_eq!(check(LogFormat::Ndjson, b"\n\n"), Read::new());
    }

    /// The first lines tell files apart: two that begin alike are one where they go on alike.
    #[test]
    fn files_that_begin_alike_share_ids_where_their_lines_are_the_same() {
        let other = ids(ENTRIES.replace("two", "2"));
        let first = ids(ENTRIES);
        let shared = first.iter().zip(&other).map(|(a, b)| a == b);
        assert_eq!(shared.collect::<Vec<_>>(), [true, true, false, true]);
    }

    #[test]
    fn batches_are_bounded_by_records_and_by_bytes() {
        let line = |n: usize| RECORD.replace("crash", &"x".repeat(n));
        let sizes = |text: String| -> Vec<usize> {
            let got = check(LogFormat::Ndjson, text.leak().as_bytes());
            got.iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(line(1).repeat(2_500)), [1_000, 1_000, 500]);
        assert_eq!(sizes(line(200_000).repeat(13)), [6, 6, 1]);
        assert_eq!(sizes(String::new()), [0; 0]);
    }

    #[test]
    fn of_a_line_that_is_too_long_no_more_is_kept_and_the_next_is_read() {
        let text = format!("{}\n{{\"a\":1}}\n{RECORD}", "x".repeat(5 * ENTRY_BYTES_MAX)).leak();
        let got = check(LogFormat::Ndjson, text.as_bytes());
        let codes: Vec<_> = got[0].iter().map(|(line, code)| (*line, &**code)).collect();
        assert_eq!(codes[..2], [(1, "TOO_LARGE"), (2, "VALIDATION")]);
        assert_eq!(codes[2].0, 3);
        let mut lines = Lines::open(&Source::from_memory("x", text.as_bytes())).unwrap();
        let kept = lines.next_line().unwrap().map(<[u8]>::len);
        assert_eq!(kept, Some(ENTRY_BYTES_MAX + 1));
    }
}
