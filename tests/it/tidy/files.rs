//! What every Rust file is like: it says what lives in it, it is short, and something compiles it.

use std::collections::BTreeSet;
use std::io::Write;

use super::source::{self, Reached, Source};
use super::{Offence, assert_none, assert_places, manifests};

/// Lines a file may have beside its tests; aim at 150.
const FILE_LINES_MAX: usize = 500;

/// Lines a file of tests may have.
const TEST_FILE_LINES_MAX: usize = 1_000;

#[test]
fn every_file_opens_with_what_lives_here() {
    assert_none(&opening_offences(&source::all()));
}

#[test]
fn no_file_is_long() {
    let sources = source::all();
    let reached = source::reached(&sources, &manifests::target_roots());
    let is_test_file = |s: &Source| s.in_test_folder() || reached.test.contains(&s.path);
    let product = sources.iter().filter(|s| !is_test_file(s));
    let mut lengths: Vec<usize> = product.map(lines_without_tests).collect();
    lengths.sort_unstable();
    let at = |percent: usize| lengths[(lengths.len() - 1) * percent / 100];
    let line = format!(
        "tidy: {} Rust files that ship, lines without tests: median {}, p90 {}, longest {}\n",
        lengths.len(),
        at(50),
        at(90),
        at(100)
    );
    // Written past the capture of test output: the figures are wanted when all is well.
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("stderr takes a line");
    assert_none(&length_offences(&sources, is_test_file));
}

#[test]
fn every_file_is_compiled() {
    let sources = source::all();
    let reached = source::reached(&sources, &manifests::target_roots());
    assert_none(&dead_offences(&sources, &reached));
}

fn opening_offences(sources: &[Source]) -> Vec<Offence> {
    let silent = sources.iter().filter(|s| !s.text.starts_with("//! "));
    silent
        .map(|s| Offence::at(&s.path, 1, "open with one `//!` line: what lives here"))
        .collect()
}

/// How long a file is beside its test items.
fn lines_without_tests(source: &Source) -> usize {
    let (tokens, tests) = source.tokens();
    let mut test_lines = 0;
    let mut i = 0;
    while i < tokens.len() {
        let length = tests[i..]
            .iter()
            .take_while(|test| **test == tests[i])
            .count();
        if tests[i] {
            test_lines += tokens[i + length - 1].line - tokens[i].line + 1;
        }
        i += length;
    }
    source.text.lines().count() - test_lines
}

fn length_offences(sources: &[Source], is_test_file: impl Fn(&Source) -> bool) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in sources {
        let (lines, most, what) = if is_test_file(source) {
            (source.text.lines().count(), TEST_FILE_LINES_MAX, "of tests")
        } else {
            (lines_without_tests(source), FILE_LINES_MAX, "without tests")
        };
        if lines > most {
            let advice = format!("{lines} lines {what}, at most {most}: split it by subject");
            offences.push(Offence::of(&source.path, advice));
        }
    }
    offences
}

fn dead_offences(sources: &[Source], reached: &Reached) -> Vec<Offence> {
    let alive: BTreeSet<&String> = reached.product.union(&reached.test).collect();
    let dead = sources.iter().filter(|s| !alive.contains(&s.path));
    dead.map(|s| Offence::of(&s.path, "no `mod` line reaches it: delete it or declare it"))
        .collect()
}

#[test]
fn a_silent_file_is_found() {
    let planted = [
        Source::planted("src/a.rs", "//! Says so.\n"),
        Source::planted("src/b.rs", "use a;\n"),
        Source::planted("src/c.rs", "//!\n//! Late.\n"),
    ];
    assert_places(&opening_offences(&planted), &["src/b.rs:1", "src/c.rs:1"]);
}

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let body = "fn a() {}\n".repeat(FILE_LINES_MAX);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{body}}}\n");
    let planted = [
        Source::planted("src/a.rs", &format!("{body}{tests}")),
        Source::planted("src/b.rs", &format!("{body}//\n")),
        Source::planted("tests/it/c.rs", &tests),
        Source::planted("tests/it/d.rs", &format!("{tests}{body}")),
    ];
    let found = length_offences(&planted, Source::in_test_folder);
    assert_places(&found, &["src/b.rs", "tests/it/d.rs"]);
}

#[test]
fn a_dead_file_is_found() {
    let planted = [
        Source::planted("src/lib.rs", "mod a;"),
        Source::planted("src/b.rs", ""),
    ];
    let reached = source::reached(&planted, &["src/lib.rs".to_owned()]);
    assert_places(&dead_offences(&planted, &reached), &["src/b.rs"]);
}
