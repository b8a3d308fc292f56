//! Documents name what is there: files, links and make targets; every target says what it does.

use std::collections::BTreeSet;

use super::source::{self, Source};
use super::{Offence, assert_none, assert_places};

/// Documents at the root; those of `docs/` are found.
const ROOT_DOCUMENTS: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

/// What a path in a document begins with, if it means a place in this repository.
const FOLDERS: &[&str] = &[
    ".ci/",
    "benches/",
    "data/",
    "docs/",
    "domain/",
    "load/",
    "migrations/",
    "ops/",
    "projections/",
    "scripts/",
    "src/",
    "tests/",
];

#[test]
fn documents_name_places_that_exist() {
    let exists = |path: &str| source::root().join(path).exists();
    let documents = documents();
    assert_none(
        &documents
            .iter()
            .flat_map(|d| place_offences(d, exists))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn documents_name_make_targets_that_exist() {
    let makefile = makefile();
    let targets: BTreeSet<&str> = targets(&makefile.text).map(|(_, name, _)| name).collect();
    let documents = documents();
    assert_none(
        &documents
            .iter()
            .flat_map(|d| target_offences(d, &targets))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_make_target_says_what_it_does() {
    assert_none(&description_offences(&makefile()));
}

fn makefile() -> Source {
    Source {
        path: "Makefile".to_owned(),
        text: source::read(&source::root().join("Makefile")),
    }
}

fn documents() -> Vec<Source> {
    let mut paths: Vec<_> = ROOT_DOCUMENTS
        .iter()
        .map(|name| source::root().join(name))
        .collect();
    source::collect(&source::root().join("docs"), "md", &mut paths);
    paths.sort();
    let paths = paths.iter();
    paths
        .map(|p| Source {
            path: source::relative(p),
            text: source::read(p),
        })
        .collect()
}

/// What stands between back-quotes on a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Where the links of a line lead, without anchors.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let ends = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    ends.map(|link| link.split('#').next().unwrap_or_default())
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
}

fn place_offences(document: &Source, exists: impl Fn(&str) -> bool) -> Vec<Offence> {
    let folder = document
        .path
        .rfind('/')
        .map_or("", |end| &document.path[..=end]);
    let mut offences = Vec::new();
    for (number, line) in document.text.lines().enumerate() {
        let places = quoted(line)
            .filter(|text| FOLDERS.iter().any(|f| text.starts_with(f)))
            .filter(|text| !text.contains(['*', '<', '{', ' ']));
        for place in places.filter(|place| !exists(place)) {
            let advice = format!("`{place}` does not exist: correct the path");
            offences.push(Offence::at(&document.path, number + 1, advice));
        }
        for link in links(line).filter(|link| !exists(&format!("{folder}{link}"))) {
            let advice = format!("the link to {link} leads nowhere: correct it");
            offences.push(Offence::at(&document.path, number + 1, advice));
        }
    }
    offences
}

fn target_offences(document: &Source, targets: &BTreeSet<&str>) -> Vec<Offence> {
    let mut offences = Vec::new();
    for (number, line) in document.text.lines().enumerate() {
        let commands = quoted(line).chain([line.trim_start()]);
        let named = commands.filter_map(|command| command.strip_prefix("make "));
        let named = named.filter_map(|rest| rest.split_whitespace().next());
        let named: BTreeSet<&str> = named.filter(|name| !name.contains('`')).collect();
        for name in named.into_iter().filter(|name| !targets.contains(name)) {
            let advice = format!("`make {name}` is no target of the Makefile: correct it");
            offences.push(Offence::at(&document.path, number + 1, advice));
        }
    }
    offences
}

/// The targets of a Makefile: line, name, what follows the colon.
fn targets(makefile: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    makefile.lines().enumerate().filter_map(|(number, line)| {
        let (name, rest) = line.split_once(':')?;
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        (plain && !rest.starts_with('=')).then_some((number + 1, name, rest))
    })
}

fn description_offences(makefile: &Source) -> Vec<Offence> {
    let silent = targets(&makefile.text).filter(|(_, _, rest)| !rest.contains("## "));
    silent
        .map(|(line, name, _)| {
            let advice = format!("end the line of `{name}` with `## what it does`");
            Offence::at(&makefile.path, line, advice)
        })
        .collect()
}

#[test]
fn a_place_that_is_not_there_is_found() {
    let planted = Source::planted(
        "docs/a.md",
        "`src/here.rs`, `src/*.rs`\n`src/gone.rs`\n[b](b.md), [c](../README.md#x), [d](#e)\n\
         [f](https://example.com/g)\n[h](h.md)",
    );
    let exists = |path: &str| ["src/here.rs", "docs/b.md", "docs/../README.md"].contains(&path);
    assert_places(
        &place_offences(&planted, exists),
        &["docs/a.md:2", "docs/a.md:5"],
    );
}

#[test]
fn a_target_that_is_not_there_is_found() {
    let planted = Source::planted(
        "a.md",
        "`make demo`\n    make gone\nto make it so\n`make lost X=1`",
    );
    let found = target_offences(&planted, &BTreeSet::from(["demo"]));
    assert_places(&found, &["a.md:2", "a.md:4"]);
}

#[test]
fn a_silent_target_is_found() {
    let planted = Source::planted(
        "Makefile",
        "A := 1\n.PHONY: a\na: b ## says so\n\tdo: it\nb-c:\n\tdo it\n",
    );
    assert_places(&description_offences(&planted), &["Makefile:5"]);
}
