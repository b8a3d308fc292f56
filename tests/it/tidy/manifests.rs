//! What the manifests may say: dependencies of the pure crates, owners of all others, one integration binary.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::layering::{FREE, MODULES};
use super::source::{self, Source};
use super::{Offence, assert_none, assert_places, lexer};

/// What the crates below the process may depend on. No async runtime, no driver in `domain`.
const PURE: &[(&str, &[&str])] = &[
    (
        "domain",
        &[
            "chrono",
            "chrono-tz",
            "geo",
            "h3o",
            "hashbrown",
            "serde",
            "serde_json",
            "thiserror",
            "unicode-normalization",
            "uuid",
        ],
    ),
    (
        "projections",
        &[
            "chrono",
            "domain",
            "h3o",
            "serde",
            "serde_json",
            "sqlx",
            "thiserror",
            "tokio",
            "uuid",
        ],
    ),
];

/// What the load tool may depend on: what a client is made of. It measures the process from outside, so it
/// knows nothing of it, and a database is none of its business.
const OUTSIDE: &[(&str, &[&str])] = &[(
    "daybook-load",
    &[
        "anyhow",
        "bytes",
        "chrono",
        "clap",
        "hyper",
        "hyper-util",
        "rustix",
        "serde",
        "serde_json",
        "tokio",
    ],
)];

/// Features that would hand the pure crates a clock, a source of randomness or an outside world.
const IMPURE_FEATURES: &[(&str, &[&str])] = &[
    ("chrono", &["clock", "now", "default"]),
    ("tokio", &["full", "time", "net", "fs", "process", "signal"]),
    ("uuid", &["v1", "v4", "v6", "v7", "rng", "fast-rng"]),
];

/// A package outside the workspace, with a lock file of its own: what the workspace must not be built
/// with. What it depends on, and which of that nothing of ours names.
const APART: (&str, &[&str], &[&str]) = (
    "benches/peers/Cargo.toml",
    &[
        "anyhow",
        "esrs",
        "serde",
        "serde_json",
        "sqlx",
        "thiserror",
        "tokio",
        "uuid",
    ],
    &["esrs"],
);

#[test]
fn what_the_bench_is_held_against_stays_outside_the_workspace() {
    let (manifest, ..) = APART;
    assert_none(&apart_offences(
        &metadata("Cargo.toml"),
        &metadata(manifest),
    ));
}

#[test]
fn pure_crates_depend_on_the_allowed_crates_only() {
    assert_none(&pure_offences(&metadata("Cargo.toml")));
}

#[test]
fn the_load_tool_depends_on_the_allowed_crates_only() {
    assert_none(&outside_offences(&metadata("Cargo.toml")));
}

#[test]
fn every_dependency_of_the_process_has_an_owner_and_a_use() {
    assert_none(&dependency_offences(
        &metadata("Cargo.toml"),
        &source::all(),
    ));
}

#[test]
fn there_is_one_integration_binary() {
    assert_none(&integration_offences(&metadata("Cargo.toml")));
}

/// The root files of all targets, of the workspace and of what is apart from it.
pub(super) fn target_roots() -> Vec<String> {
    let all = ["Cargo.toml", APART.0].map(metadata);
    let targets = all
        .iter()
        .flat_map(packages)
        .flat_map(|package| list(&package["targets"]));
    targets
        .map(|target| source::relative(text(&target["src_path"]).as_ref()))
        .collect()
}

/// `cargo metadata` of the packages that belong to a manifest.
fn metadata(manifest: &str) -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
            "--manifest-path",
            manifest,
        ])
        .current_dir(source::root())
        .output()
        .expect("cargo runs: it started this test");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    list(&metadata["packages"])
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Dependencies the product is built with.
fn dependencies(package: &Value) -> impl Iterator<Item = &Value> {
    list(&package["dependencies"]).filter(|d| text(&d["kind"]) != "dev")
}

fn pure_offences(metadata: &Value) -> Vec<Offence> {
    let mut offences = Vec::new();
    for (name, allowed) in PURE {
        let manifest = format!("{name}/Cargo.toml");
        let package = packages(metadata).find(|p| p["name"] == *name);
        for dependency in package.into_iter().flat_map(dependencies) {
            let krate = text(&dependency["name"]);
            if !allowed.contains(&krate) {
                let advice = format!(
                    "`{name}` may not depend on `{krate}`: what needs it belongs to the process"
                );
                offences.push(Offence::of(&manifest, advice));
            }
            for feature in impure_features(dependency) {
                let advice = format!(
                    "`{name}` takes `{krate}` with `{feature}`: time and ids come in as arguments"
                );
                offences.push(Offence::of(&manifest, advice));
            }
        }
    }
    offences
}

fn outside_offences(metadata: &Value) -> Vec<Offence> {
    let mut offences = Vec::new();
    for (name, allowed) in OUTSIDE {
        let package = packages(metadata).find(|p| p["name"] == *name);
        let names = package
            .into_iter()
            .flat_map(dependencies)
            .map(|d| text(&d["name"]));
        for krate in names.filter(|krate| !allowed.contains(krate)) {
            let advice = format!("`{name}` may not depend on `{krate}`: it asks from outside");
            offences.push(Offence::of("load/Cargo.toml", advice));
        }
    }
    offences
}

fn apart_offences(workspace: &Value, apart: &Value) -> Vec<Offence> {
    let (manifest, allowed, foreign) = APART;
    let mut offences = Vec::new();
    for dependency in packages(apart).flat_map(|p| list(&p["dependencies"])) {
        let krate = text(&dependency["name"]);
        if !allowed.contains(&krate) {
            let advice = format!("`{krate}` is not among what the table of manifests.rs allows");
            offences.push(Offence::of(manifest, advice));
        }
    }
    for package in packages(workspace) {
        let names = list(&package["dependencies"]).map(|d| text(&d["name"]));
        for krate in names.filter(|name| foreign.contains(name)) {
            let advice = format!("`{krate}` belongs to {manifest}: tests would be built with it");
            offences.push(Offence::of("Cargo.toml", advice));
        }
        if packages(apart).any(|p| p["name"] == package["name"]) {
            let advice = "it is a member of the workspace: tests would be built with it";
            offences.push(Offence::of(manifest, advice));
        }
    }
    offences
}

fn impure_features(dependency: &Value) -> Vec<&'static str> {
    let krate = text(&dependency["name"]);
    let Some((_, banned)) = IMPURE_FEATURES.iter().find(|(name, _)| *name == krate) else {
        return Vec::new();
    };
    let default = dependency["uses_default_features"] == true;
    let named: BTreeSet<&str> = list(&dependency["features"]).map(text).collect();
    let taken = |f: &&&str| named.contains(**f) || (default && **f == "default");
    banned.iter().filter(taken).copied().collect()
}

/// Kept without a use: the house is built on it by agreement. Its handlers are not served, since the
/// transport is our own; `ARCHITECTURE.md` says why.
const AGREED: &str = "async_graphql_axum";

fn dependency_offences(metadata: &Value, sources: &[Source]) -> Vec<Offence> {
    let owned: BTreeSet<&str> = MODULES
        .iter()
        .flat_map(|m| m.owns)
        .chain(FREE)
        .copied()
        .collect();
    let product: Vec<&Source> = sources
        .iter()
        .filter(|s| s.path.starts_with("src/"))
        .collect();
    let words: BTreeSet<&str> = product
        .iter()
        .flat_map(|s| lexer::tokens(&s.text))
        .map(|t| t.text)
        .collect();
    let process = packages(metadata).find(|p| p["name"] == "daybook");
    let mut offences = Vec::new();
    for dependency in process.into_iter().flat_map(dependencies) {
        let krate = text(&dependency["name"]).replace('-', "_");
        if !owned.contains(krate.as_str()) {
            let advice = format!("`{krate}` has no owner: give it one in the table of layering.rs");
            offences.push(Offence::of("Cargo.toml", advice));
        }
        if !words.contains(krate.as_str()) && krate != AGREED {
            let advice = format!("nothing in src/ names `{krate}`: drop the dependency");
            offences.push(Offence::of("Cargo.toml", advice));
        }
    }
    let all = process
        .into_iter()
        .flat_map(|package| list(&package["dependencies"]));
    let depended: BTreeSet<String> = all.map(|d| text(&d["name"]).replace('-', "_")).collect();
    for krate in owned.iter().filter(|krate| !depended.contains(**krate)) {
        let advice =
            format!("`{krate}` is owned or free but no dependency: drop it from the table");
        offences.push(Offence::of("tests/it/tidy/layering.rs", advice));
    }
    offences
}

fn integration_offences(metadata: &Value) -> Vec<Offence> {
    let targets = packages(metadata).flat_map(|package| list(&package["targets"]));
    targets
        .filter(|t| list(&t["kind"]).any(|kind| kind == "test") && t["name"] != "it")
        .map(|target| {
            let path = source::relative(text(&target["src_path"]).as_ref());
            Offence::of(
                &path,
                "a second integration binary: make it a module of tests/it/main.rs",
            )
        })
        .collect()
}

#[test]
fn a_forbidden_dependency_or_feature_is_found() {
    let planted = json!({"packages": [{"name": "domain", "dependencies": [
        {"name": "tokio", "kind": null, "features": [], "uses_default_features": true},
        {"name": "chrono", "kind": null, "features": ["clock"], "uses_default_features": true},
        {"name": "uuid", "kind": null, "features": ["v7"], "uses_default_features": false},
        {"name": "proptest", "kind": "dev", "features": [], "uses_default_features": false},
        {"name": "serde", "kind": null, "features": ["derive"], "uses_default_features": true},
    ]}]});
    assert_places(&pure_offences(&planted), &["domain/Cargo.toml"; 4]);
}

#[test]
fn a_load_tool_that_knows_what_it_measures_is_found() {
    let planted = json!({"packages": [{"name": "daybook-load", "dependencies": [
        {"name": "tokio", "kind": null},
        {"name": "daybook", "kind": null},
        {"name": "sqlx", "kind": null},
        {"name": "proptest", "kind": "dev"},
    ]}]});
    assert_places(&outside_offences(&planted), &["load/Cargo.toml"; 2]);
}

#[test]
fn an_unowned_or_unused_dependency_is_found() {
    let owned: Vec<Value> = MODULES
        .iter()
        .flat_map(|m| m.owns)
        .chain(FREE)
        .chain(&["left_pad"])
        .map(|name| json!({"name": name.replace('_', "-"), "kind": null}))
        .collect();
    let planted = json!({"packages": [{"name": "daybook", "dependencies": owned}]});
    let all: Vec<&str> = MODULES
        .iter()
        .flat_map(|m| m.owns)
        .chain(FREE)
        .copied()
        .collect();
    let used = all.join("; ").replace("moka", "mocha") + "; left_pad";
    let sources = [Source::planted("src/app.rs", &used)];
    assert_places(&dependency_offences(&planted, &sources), &["Cargo.toml"; 2]);
    let none = json!({"packages": [{"name": "daybook", "dependencies": []}]});
    assert!(!dependency_offences(&none, &sources).is_empty());
}

#[test]
fn a_second_integration_binary_is_found() {
    let planted = json!({"packages": [{"name": "daybook", "targets": [
        {"name": "it", "kind": ["test"], "src_path": "tests/it/main.rs"},
        {"name": "slow", "kind": ["test"], "src_path": "tests/slow.rs"},
        {"name": "daybook", "kind": ["bin"], "src_path": "src/main.rs"},
    ]}]});
    assert_places(&integration_offences(&planted), &["tests/slow.rs"]);
}

#[test]
fn what_should_be_apart_is_found_in_the_workspace() {
    let peers = json!({"name": "daybook-peers", "dependencies": [{"name": "esrs"}]});
    let apart = json!({"packages": [&peers]});
    let ours = json!({"packages": [{"name": "daybook", "dependencies": []}]});
    assert_none(&apart_offences(&ours, &apart));
    let member = json!({"packages": [&peers]});
    assert_places(
        &apart_offences(&member, &apart),
        &["Cargo.toml", "benches/peers/Cargo.toml"],
    );
    let greedy =
        json!({"packages": [{"name": "daybook-peers", "dependencies": [{"name": "axum"}]}]});
    assert_places(
        &apart_offences(&ours, &greedy),
        &["benches/peers/Cargo.toml"],
    );
}
