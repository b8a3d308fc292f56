//! What came of an import, whatever its rows were: counted, with examples of what was refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::{Position, Refusal};

/// How many refused rows are named for each reason.
pub const EXAMPLES_MAX: usize = 3;

/// What came of an import so far.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Rows that were decided on: the sum of accepted, duplicate and rejected.
    pub rows: u64,
    /// Rows that are in the log now.
    pub accepted: u64,
    /// Rows the log had already, or that came earlier in the same input.
    pub duplicate: u64,
    /// Duplicates that do not say the same as what was kept, as far as that is looked at.
    pub differing: u64,
    /// The first few of these in input order, where it is known which rows they are: source and line.
    pub differing_rows: Vec<(usize, u64)>,
    /// Rows of batches that an earlier run had brought in; also counted above, as it was told then.
    pub earlier: u64,
    /// Rows that are not in the log, by code.
    pub rejected: BTreeMap<&'static str, Rejections>,
    /// Sources that could not be read, or not to their end, and why.
    pub unreadable: Vec<String>,
    /// True if it was stopped before the end.
    pub interrupted: bool,
    /// Sources read.
    pub sources: usize,
    /// Position of the last event, as far as the receipts tell.
    pub position: Position,
    /// How long it took.
    pub elapsed: Duration,
}

/// Rows refused for one reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rejections {
    /// How many.
    pub count: u64,
    /// The first few in input order: source, line, and what was said.
    pub examples: Vec<(usize, u64, String)>,
}

impl Summary {
    /// Adds rows that are in the log now, by an append at this position.
    pub fn add_accepted(&mut self, rows: u64, position: Position) {
        self.rows += rows;
        self.accepted += rows;
        self.position = self.position.max(position);
    }

    /// Adds rows that the log had already.
    pub fn add_duplicate(&mut self, rows: u64) {
        self.rows += rows;
        self.duplicate += rows;
    }

    /// Notes of a duplicate that it does not say the same as what was kept.
    pub fn add_differing(&mut self, source: usize, line: u64) {
        self.differing += 1;
        keep_first(&mut self.differing_rows, (source, line), |row| *row);
    }

    /// Adds a row that was refused.
    pub fn add_refused(&mut self, source: usize, line: u64, refusal: &Refusal) {
        self.rows += 1;
        let of_code = self.rejected.entry(refusal.code.as_str()).or_default();
        of_code.count += 1;
        let example = (source, line, refusal.message.clone());
        keep_first(&mut of_code.examples, example, |e| (e.0, e.1));
    }

    /// Rows that are not in the log, whatever the reason.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().map(|r| r.count).sum()
    }

    /// The text of a finished import of `unit` (`rows`); `names` are the sources' names.
    pub fn describe<'a>(
        &'a self,
        names: &'a [Arc<str>],
        unit: &'static str,
    ) -> impl fmt::Display + 'a {
        Described {
            summary: self,
            names,
            unit,
        }
    }
}

/// Keeps the first few examples in input order.
fn keep_first<T>(examples: &mut Vec<T>, example: T, row: impl Fn(&T) -> (usize, u64)) {
    let at = examples.partition_point(|e| row(e) < row(&example));
    if at < EXAMPLES_MAX {
        examples.insert(at, example);
        examples.truncate(EXAMPLES_MAX);
    }
}

struct Described<'a> {
    summary: &'a Summary,
    names: &'a [Arc<str>],
    unit: &'static str,
}

impl Described<'_> {
    fn name(&self, source: usize) -> &str {
        self.names.get(source).map_or("?", |name| name)
    }

    fn duplicates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (duplicate, differing) = (self.summary.duplicate, self.summary.differing);
        write!(f, "Duplicate  {:>12}", thousands(duplicate))?;
        if differing > 0 {
            let differing = thousands(differing);
            write!(f, ", {differing} of them unlike what was kept")?;
        }
        writeln!(f)?;
        let named = &self.summary.differing_rows;
        for (source, line) in named {
            writeln!(f, "    {}:{line}", self.name(*source))?;
        }
        if !named.is_empty() && differing > named.len() as u64 {
            writeln!(f, "    ...")?;
        }
        Ok(())
    }

    fn rejections(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = thousands(self.summary.rejected_total());
        writeln!(f, "Rejected   {total:>12}")?;
        for (code, rejections) in &self.summary.rejected {
            writeln!(f, "  {code} {}", thousands(rejections.count))?;
            for (source, line, message) in &rejections.examples {
                writeln!(f, "    {}:{line}: {message}", self.name(*source))?;
            }
            if rejections.count > rejections.examples.len() as u64 {
                writeln!(f, "    ...")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            rows,
            accepted,
            duplicate,
            earlier,
            ..
        } = self.summary;
        let seconds = self.summary.elapsed.as_secs_f64();
        let rate = if seconds > 0.0 {
            (*rows as f64 / seconds) as u64
        } else {
            *rows
        };
        let files = match self.summary.sources {
            1 => "1 file".to_owned(),
            n => format!("{n} files"),
        };
        let (rows, rate, unit) = (thousands(*rows), thousands(rate), self.unit);
        writeln!(
            f,
            "Read       {rows:>12} {unit} of {files} in {seconds:.1} s ({rate} {unit}/s)"
        )?;
        writeln!(f, "Accepted   {:>12}", thousands(*accepted))?;
        self.duplicates(f)?;
        self.rejections(f)?;
        if *earlier > 0 {
            let earlier = thousands(*earlier);
            writeln!(
                f,
                "{earlier} of these {unit} came in with an earlier run; nothing changed."
            )?;
        } else if *accepted == 0 && *duplicate > 0 {
            writeln!(
                f,
                "All that could be kept was in the log already; nothing changed."
            )?;
        }
        for problem in &self.summary.unreadable {
            writeln!(f, "Not read to its end: {problem}")?;
        }
        if self.summary.interrupted {
            writeln!(
                f,
                "Stopped before the end. Run the same command again to go on."
            )?;
        }
        Ok(())
    }
}

/// `439,349`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use domain::Code;

    use super::*;

    #[test]
    fn says_what_came_of_the_rows() {
        let null_island = || Refusal::new(Code::NullIsland, "the receiver had no fix");
        let mut summary = Summary {
            sources: 2,
            differing: 1,
            earlier: 4,
            ..Summary::default()
        };
        summary.add_accepted(1, Position(9));
        summary.add_duplicate(1);
        for line in [9, 8, 5, 7, 6] {
            summary.add_refused(1, line, &null_island());
        }
        summary.add_refused(0, 4, &Refusal::new(Code::Validation, "lat is empty"));
        summary.elapsed = Duration::from_secs(2);
        let want = "\
Read                  8 rows of 2 files in 2.0 s (4 rows/s)
Accepted              1
Duplicate             1, 1 of them unlike what was kept
Rejected              6
  NULL_ISLAND 5
    b.csv:5: the receiver had no fix
    b.csv:6: the receiver had no fix
    b.csv:7: the receiver had no fix
    ...
  VALIDATION 1
    a.csv:4: lat is empty
4 of these rows came in with an earlier run; nothing changed.
";
        assert_eq!(
            summary
                .describe(&["a.csv".into(), "b.csv".into()], "rows")
                .to_string(),
            want
        );
    }

    #[test]
    fn names_the_first_rows_that_differ() {
        let mut summary = Summary::default();
        summary.add_duplicate(5);
        for line in [9, 3, 5, 7] {
            summary.add_differing(0, line);
        }
        let said = summary.describe(&["a.csv".into()], "rows").to_string();
        let want = "\
Duplicate             5, 4 of them unlike what was kept
    a.csv:3
    a.csv:5
    a.csv:7
    ...
Rejected              0
";
        assert!(said.contains(want), "{said}");
    }

    #[test]
    fn says_that_nothing_changed() {
        let mut summary = Summary::default();
        summary.add_duplicate(7);
        let said = summary.describe(&[], "rows").to_string();
        let last = "All that could be kept was in the log already; nothing changed.";
        assert_eq!(said.lines().last(), Some(last), "{said}");
        summary.add_accepted(1, Position(1));
        assert!(!summary.describe(&[], "rows").to_string().contains(last));
    }

    #[test]
    fn groups_digits() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (439_349, "439,349"),
        ];
        for (n, want) in cases {
            assert_eq!(thousands(n), want);
        }
        assert_eq!(thousands(1_234_567_890), "1,234,567,890");
    }
}
