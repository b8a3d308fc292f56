//! What clients saw of the log, line by line, and whether the log and its readers agree with that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use sqlx::PgPool;
use uuid::Uuid;

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A client is about to send this operation.
    Invoke(Uuid, Wish),
    /// It was told that it is kept, where it ends, and how many facts it put into the log.
    Ok {
        op: Uuid,
        position: i64,
        version: i64,
        facts: i64,
    },
    /// It was told that nothing was kept.
    Fail(Uuid),
    /// It does not know.
    Info(Uuid),
}

/// What an operation asks for. A client that does not know the outcome asks for the very same again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// So many events on a stream, if it is at this version.
    Append {
        stream: String,
        expected: i64,
        events: i64,
    },
    /// One event on a vehicle, whatever its version.
    Rename { vehicle: String },
    /// So many position fixes, of several vehicles.
    Report { number: i64, fixes: i64 },
}

/// A file of lines. Its kernel keeps what a killed process has written, and puts the lines of all
/// processes in one order: a line stands before another only if it was written before.
#[derive(Debug)]
pub struct Journal(File);

impl Journal {
    pub fn open(path: &Path) -> Journal {
        Journal(
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .unwrap(),
        )
    }

    /// In one write, so that lines never mix.
    pub fn write(&self, line: &Line) {
        let text = match line {
            Line::Invoke(
                op,
                Wish::Append {
                    stream,
                    expected,
                    events,
                },
            ) => {
                format!("invoke {op} append {stream} {expected} {events}\n")
            }
            Line::Invoke(op, Wish::Rename { vehicle }) => format!("invoke {op} rename {vehicle}\n"),
            Line::Invoke(op, Wish::Report { number, fixes }) => {
                format!("invoke {op} report {number} {fixes}\n")
            }
            Line::Ok {
                op,
                position,
                version,
                facts,
            } => {
                format!("ok {op} {position} {version} {facts}\n")
            }
            Line::Fail(op) => format!("fail {op}\n"),
            Line::Info(op) => format!("info {op}\n"),
        };
        (&self.0).write_all(text.as_bytes()).unwrap();
    }

    /// All lines of all processes. One that a kill cut short was never relied on.
    pub fn read(path: &Path) -> Vec<Line> {
        let text = std::fs::read_to_string(path).unwrap();
        let whole = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole
            .map(|line| parse(line).unwrap_or_else(|| panic!("{line:?}")))
            .collect()
    }
}

fn parse(line: &str) -> Option<Line> {
    let mut words = line.split_whitespace();
    let mut next = || words.next();
    let (kind, op) = (next()?, next()?.parse().ok()?);
    Some(match kind {
        "invoke" => Line::Invoke(
            op,
            match next()? {
                "append" => Wish::Append {
                    stream: next()?.to_owned(),
                    expected: next()?.parse().ok()?,
                    events: next()?.parse().ok()?,
                },
                "rename" => Wish::Rename {
                    vehicle: next()?.to_owned(),
                },
                "report" => Wish::Report {
                    number: next()?.parse().ok()?,
                    fixes: next()?.parse().ok()?,
                },
                _ => return None,
            },
        ),
        "ok" => Line::Ok {
            op,
            position: next()?.parse().ok()?,
            version: next()?.parse().ok()?,
            facts: next()?.parse().ok()?,
        },
        "fail" => Line::Fail(op),
        "info" => Line::Info(op),
        _ => return None,
    })
}

/// Operations whose outcome nobody knows, in the order they were sent.
pub fn unknown(journal: &[Line]) -> Vec<(Uuid, Wish)> {
    let known: HashSet<Uuid> = journal
        .iter()
        .filter_map(|line| match line {
            Line::Ok { op, .. } | Line::Fail(op) => Some(*op),
            _ => None,
        })
        .collect();
    let open = journal.iter().filter_map(|line| match line {
        Line::Invoke(op, wish) if !known.contains(op) => Some((*op, wish.clone())),
        _ => None,
    });
    open.collect()
}

/// An event as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub position: i64,
    pub stream: String,
    pub sequence: i64,
    pub event: Uuid,
    /// The operation it comes from; none if no client of the journal sent it.
    pub op: Option<Uuid>,
    pub facts: i64,
}

/// The whole log by a plain query, in position order.
pub async fn committed(pool: &PgPool) -> Vec<Entry> {
    let rows: Vec<(i64, String, i64, Uuid, String, i64)> = sqlx::query_as(
        "select position, aggregate_type || '/' || aggregate_id, sequence, event_id,
                metadata->>'command_id',
                case event_type when 'track.positions_reported'
                    then json_array_length(payload->'fixTimeUs') else 1 end::bigint
         from events where tenant = 'default' order by position",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let entry = |(position, stream, sequence, event, op, facts): (_, _, _, _, String, _)| Entry {
        position,
        stream,
        sequence,
        event,
        op: op.parse().ok(),
        facts,
    };
    rows.into_iter().map(entry).collect()
}

/// What a reader was given, in the order it was given it.
pub type Read = Vec<(i64, Uuid)>;

/// Everything that is wrong, in words; nothing, if every promise was kept. One pass over each list.
pub fn check(journal: &[Line], log: &[Entry], readers: &[Read]) -> Vec<String> {
    let mut wrong = Wrong::default();
    check_log(log, &mut wrong);
    check_journal(journal, log, &mut wrong);
    for (nth, read) in readers.iter().enumerate() {
        check_reader(nth, read, log, &mut wrong);
    }
    wrong.0
}

/// The first few of each kind are enough to look at.
#[derive(Default)]
struct Wrong(Vec<String>, HashMap<String, usize>);

impl Wrong {
    fn found(&mut self, what: String) {
        let plain = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
        let kind = what.split(' ').filter(plain).collect();
        let seen = self.1.entry(kind).or_default();
        *seen += 1;
        if *seen <= 5 {
            self.0.push(what);
        }
    }
}

/// Positions are 1..n, versions are 1..n in position order, no event stands twice.
fn check_log(log: &[Entry], wrong: &mut Wrong) {
    let mut versions: HashMap<&str, i64> = HashMap::new();
    let mut events = HashSet::new();
    for (entry, position) in log.iter().zip(1..) {
        if entry.position != position {
            wrong.found(format!(
                "position {} where {position} was due",
                entry.position
            ));
        }
        let version = versions.entry(&entry.stream).or_default();
        *version += 1;
        if entry.sequence != *version {
            let Entry {
                stream, sequence, ..
            } = entry;
            wrong.found(format!("{stream} has {sequence} where {version} was due"));
        }
        if !events.insert(entry.event) {
            wrong.found(format!("event {} stands twice", entry.event));
        }
    }
}

/// What one operation has left in the log.
struct Trace<'a> {
    first: &'a Entry,
    last: &'a Entry,
    events: i64,
    facts: i64,
}

/// Kept means: once, whole, where it was said, after everything that was known to be kept before it was
/// sent. Not kept means: nothing of it. Nothing comes from nobody.
fn check_journal(journal: &[Line], log: &[Entry], wrong: &mut Wrong) {
    let mut traces: BTreeMap<Uuid, Trace> = BTreeMap::new();
    for entry in log {
        let Some(op) = entry.op else { continue };
        let trace = traces.entry(op).or_insert(Trace {
            first: entry,
            last: entry,
            events: 0,
            facts: 0,
        });
        trace.last = entry;
        trace.events += 1;
        trace.facts += entry.facts;
    }
    for (op, trace) in &traces {
        if trace.last.position - trace.first.position + 1 != trace.events {
            wrong.found(format!("{op} is torn or stands twice"));
        }
    }
    let mut sent: HashMap<Uuid, (&Wish, i64)> = HashMap::new();
    let mut known_head = 0;
    let mut answered = HashSet::new();
    for line in journal {
        match line {
            Line::Invoke(op, wish) => {
                if sent.insert(*op, (wish, known_head)).is_some() {
                    wrong.found(format!("{op} was sent as another operation before"));
                }
            }
            Line::Ok { op, position, .. } => {
                check_ok(line, sent.get(op).map(|s| s.0), traces.get(op), wrong);
                known_head = known_head.max(*position);
                answered.insert(*op);
            }
            Line::Fail(op) => {
                if traces.contains_key(op) {
                    wrong.found(format!("{op} was refused and stands in the log"));
                }
                answered.insert(*op);
            }
            Line::Info(_) => {}
        }
    }
    for (op, trace) in &traces {
        match sent.get(op) {
            None => wrong.found(format!("{op} stands in the log and was never sent")),
            Some((_, floor)) if trace.first.position <= *floor => {
                wrong.found(format!(
                    "{op} stands before what was kept before it was sent"
                ));
            }
            Some((wish, _)) => check_wish(*op, wish, trace, wrong),
        }
    }
    for op in sent.keys().filter(|op| !answered.contains(*op)) {
        wrong.found(format!("nobody knows what became of {op}"));
    }
}

fn check_ok(line: &Line, wish: Option<&Wish>, trace: Option<&Trace>, wrong: &mut Wrong) {
    let Line::Ok {
        op,
        position,
        version,
        facts,
    } = line
    else {
        return;
    };
    let Some(trace) = trace else {
        wrong.found(format!("{op} was acknowledged and is lost"));
        return;
    };
    if trace.last.position != *position || trace.facts != *facts {
        let Trace {
            last, facts: stand, ..
        } = trace;
        wrong.found(format!(
            "{op} was told {facts} facts up to {position}: {stand} stand up to {}",
            last.position
        ));
    }
    // A report may write several streams, and then speaks of none.
    let whole = !matches!(wish, Some(Wish::Report { .. }));
    if whole && trace.last.sequence != *version {
        wrong.found(format!(
            "{op} was told version {version}: it is {}",
            trace.last.sequence
        ));
    }
}

/// An operation is kept whole, and on the version it was decided on.
fn check_wish(op: Uuid, wish: &Wish, trace: &Trace, wrong: &mut Wrong) {
    let (facts, expected) = match wish {
        Wish::Append {
            events, expected, ..
        } => (*events, Some(*expected)),
        Wish::Rename { .. } => (1, None),
        Wish::Report { fixes, .. } => (*fixes, None),
    };
    if trace.facts != facts {
        wrong.found(format!("{op} has {} facts of {facts}", trace.facts));
    }
    if expected.is_some_and(|expected| trace.first.sequence != expected + 1) {
        wrong.found(format!("{op} overwrote what it had not seen"));
    }
}

/// Every event once, in position order, none missing.
fn check_reader(nth: usize, read: &Read, log: &[Entry], wrong: &mut Wrong) {
    let (mut read, mut log) = (read.iter().peekable(), log.iter().peekable());
    let (mut missed, mut odd) = (0, 0);
    while let Some(entry) = log.peek() {
        match read.peek() {
            Some((position, event)) if (*position, *event) == (entry.position, entry.event) => {
                read.next();
                log.next();
            }
            Some((position, _)) if *position < entry.position => {
                odd += 1;
                read.next();
            }
            _ => {
                missed += 1;
                log.next();
            }
        }
    }
    odd += read.count();
    if missed + odd > 0 {
        wrong.found(format!(
            "reader {nth} missed {missed}, saw {odd} twice or out of order"
        ));
    }
}
