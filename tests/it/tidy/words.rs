//! Words that are not written here, and why.

use super::lexer;
use super::source::{self, Source};
use super::{Offence, assert_none, assert_places, manifests};

/// Where a word is not written.
#[derive(Clone, Copy, PartialEq)]
enum Where {
    /// In no Rust file.
    Anywhere,
    /// Not in code that ships; tests may.
    Product,
    /// Not in the crates without I/O: `domain`, and what folds in `projections`.
    Pure,
    /// Not in `domain`.
    Domain,
}

/// A piece of code, where it is unwanted, and what to write instead.
const UNWANTED: &[(&str, Where, &str)] = &[
    ("todo!", Where::Anywhere, "finish it or leave it out"),
    (
        "unimplemented!",
        Where::Anywhere,
        "finish it or leave it out",
    ),
    ("dbg!", Where::Anywhere, "use `tracing`"),
    (
        "#[ignore",
        Where::Anywhere,
        "a test that does not run is not a test: mend or delete it",
    ),
    (
        "#[should_panic",
        Where::Anywhere,
        "assert on the error value",
    ),
    (
        "#[allow(",
        Where::Anywhere,
        "use `#[expect(lint, reason = \"...\")]`",
    ),
    (
        "#![allow(",
        Where::Anywhere,
        "use `#![expect(lint, reason = \"...\")]`",
    ),
    (
        "#[path",
        Where::Anywhere,
        "put the file where its module is",
    ),
    ("include!(", Where::Anywhere, "make it a module"),
    (
        ".unwrap()",
        Where::Product,
        "use `?`, or `expect(\"why it cannot happen\")`",
    ),
    ("Utc::now", Where::Pure, "time comes in as an argument"),
    ("SystemTime", Where::Pure, "time comes in as an argument"),
    (
        "Instant::now",
        Where::Domain,
        "time comes in as an argument",
    ),
    ("Uuid::new_v4", Where::Pure, "ids come in as arguments"),
    ("Uuid::now_v7", Where::Pure, "ids come in as arguments"),
    ("async fn", Where::Domain, "deciding is a plain function"),
    ("std::env", Where::Pure, "settings come in as arguments"),
    ("std::fs", Where::Pure, "no I/O here"),
    ("std::net", Where::Pure, "no I/O here"),
    ("std::process", Where::Pure, "no I/O here"),
    ("std::thread", Where::Pure, "no threads here"),
    ("println!", Where::Pure, "no output here"),
    ("eprintln!", Where::Pure, "no output here"),
];

#[test]
fn unwanted_words_are_not_written() {
    let sources = source::all();
    let reached = source::reached(&sources, &manifests::target_roots());
    assert_none(&offences(&sources, |path| reached.test.contains(path)));
}

fn offences(sources: &[Source], is_test_file: impl Fn(&str) -> bool) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in sources {
        let (tokens, tests) = source.tokens();
        let whole = source.in_test_folder() || is_test_file(&source.path);
        for (pattern, scope, advice) in UNWANTED.iter().filter(|(_, s, _)| applies(*s, source)) {
            let found = lexer::occurrences(&tokens, pattern).into_iter();
            let counts = |i: &usize| *scope == Where::Anywhere || !(whole || tests[*i]);
            offences.extend(found.filter(counts).map(|i| {
                Offence::at(
                    &source.path,
                    tokens[i].line,
                    format!("`{pattern}`: {advice}"),
                )
            }));
        }
    }
    offences
}

fn applies(scope: Where, source: &Source) -> bool {
    match scope {
        Where::Anywhere | Where::Product => true,
        Where::Pure => ["domain/", "projections/"]
            .iter()
            .any(|p| source.path.starts_with(p)),
        Where::Domain => source.path.starts_with("domain/"),
    }
}

#[test]
fn each_unwanted_word_is_found_once_planted() {
    for (pattern, _, _) in UNWANTED {
        let planted = [Source::planted(
            "domain/src/a.rs",
            &format!("//! A.\nfn f() {{ {pattern} }}"),
        )];
        assert_places(&offences(&planted, |_| false), &["domain/src/a.rs:2"]);
    }
}

#[test]
fn tests_comments_and_strings_may_say_more() {
    let planted = [
        Source::planted(
            "src/a.rs",
            "// x.unwrap()\n\"todo!\";\n#[test] fn f() { x.unwrap() }",
        ),
        Source::planted("src/a/tests.rs", "fn g() { x.unwrap() }"),
        Source::planted("tests/it/a.rs", "fn g() { x.unwrap(); std::fs::read(p) }"),
        Source::planted(
            "src/b.rs",
            "fn h() { x.unwrap_or(1); std::fs::read(p); Utc::now() }",
        ),
        Source::planted("tests/it/b.rs", "#[ignore = \"slow\"]\n#[test]\nfn i() {}"),
    ];
    let found = offences(&planted, |path| path == "src/a/tests.rs");
    assert_places(&found, &["tests/it/b.rs:1"]);
}
