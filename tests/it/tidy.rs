//! The rules of the house, held by tests: every check names all offenders and what to do about each.
//!
//! A checker is a plain function from sources to offences. Beside the run over the real tree, each
//! has a test with a planted offender, so that it cannot rot into one that never finds anything.

mod documents;
mod files;
mod layering;
mod lexer;
mod manifests;
mod migrations;
mod source;
mod words;

use std::fmt;

/// One broken rule: where, and what to do about it.
#[derive(Debug, PartialEq)]
struct Offence {
    place: String,
    advice: String,
}

impl Offence {
    /// In a file, at a line counted from 1.
    fn at(path: &str, line: usize, advice: impl Into<String>) -> Offence {
        Offence {
            place: format!("{path}:{line}"),
            advice: advice.into(),
        }
    }

    /// Concerns a whole file.
    fn of(path: &str, advice: impl Into<String>) -> Offence {
        Offence {
            place: path.to_owned(),
            advice: advice.into(),
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.advice)
    }
}

/// Fails with every offence, one a line.
fn assert_none(offences: &[Offence]) {
    let list: Vec<String> = offences.iter().map(Offence::to_string).collect();
    assert!(
        list.is_empty(),
        "{} to put right:\n{}",
        list.len(),
        list.join("\n")
    );
}

/// Asserts that a planted snippet is found in exactly these places.
fn assert_places(offences: &[Offence], places: &[&str]) {
    let found: Vec<&str> = offences.iter().map(|o| o.place.as_str()).collect();
    assert_eq!(found, places, "{offences:#?}");
}
