//! Who may import whom: modules of `src/` by rank, foreign crates by owner.

use super::lexer::{self, Token};
use super::source::{self, InlineModules, Source};
use super::{Offence, assert_none, assert_places};

/// A module of `src/`, how high it stands, and which foreign crates it may name.
pub(super) struct Module {
    pub(super) name: &'static str,
    /// It imports lower ranks only.
    pub(super) rank: u8,
    pub(super) owns: &'static [&'static str],
}

/// Every module of `src/`, once. Settings are the floor; telemetry and the clock stand on them.
pub(super) const MODULES: &[Module] = &[
    module("config", 0, &["figment"]),
    module(
        "ops",
        1,
        &[
            "tracing_subscriber",
            "opentelemetry",
            "opentelemetry_sdk",
            "metrics_exporter_prometheus",
            "rustix",
        ],
    ),
    module(
        "store",
        2,
        &["sqlx", "cqrs_es", "postgres_es", "rustix", "libc"],
    ),
    module("cache", 2, &["redis", "moka"]),
    module(
        "fetch",
        2,
        &["hyper", "hyper_util", "tokio_rustls", "webpki_roots"],
    ),
    module("vault", 3, &["sqlx", "chacha20poly1305", "hmac"]),
    module("limits", 3, &["arc_swap"]),
    module("commands", 4, &[]),
    module("analysts", 4, &["sqlx", "sqlparser"]),
    module(
        "auth",
        5,
        &[
            "argon2",
            "base64ct",
            "crc32fast",
            "jsonwebtoken",
            "sqlx",
            "subtle",
            "zxcvbn",
        ],
    ),
    module("consumers", 5, &["sqlx"]),
    module("intake", 5, &["base64ct", "hmac"]),
    module("deployments", 6, &[]),
    module("slos", 6, &[]),
    module("competitions", 6, &[]),
    module("leaderboards", 6, &[]),
    module("seals", 6, &["ed25519_dalek", "sqlx"]),
    module("export", 7, &["parquet", "sqlx"]),
    module("api", 7, &["async_graphql"]),
    module(
        "http",
        8,
        &[
            "axum",
            "async_graphql",
            "async_graphql_axum",
            "flate2",
            "http_body",
            "hyper",
            "hyper_util",
            "ruzstd",
            "tokio_tungstenite",
        ],
    ),
    module("app", 9, &["anyhow"]),
    module(
        "cli",
        10,
        &["anyhow", "clap", "indicatif", "csv", "flate2", "ruzstd"],
    ),
    module("main", 11, &["anyhow", "libmimalloc_sys", "mimalloc"]),
];

/// Foreign crates any module may name: words rather than outside systems.
/// Of `tracing` and `metrics` that means the macros; what collects them belongs to `ops`.
pub(super) const FREE: &[&str] = &[
    "bytes",
    "chrono",
    "chrono_tz",
    "domain",
    "futures",
    "metrics",
    "projections",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "tokio",
    "tracing",
    "uuid",
];

/// Within its owner, a crate that only some files may name: (owner, crate, files that begin so).
const WITHIN: &[(&str, &str, &str)] = &[
    ("http", "async_graphql", "src/http/graphql"),
    ("http", "async_graphql_axum", "src/http/graphql"),
    ("http", "tokio_tungstenite", "src/http/graphql"),
    ("export", "parquet", "src/export/columnar"),
];

const fn module(name: &'static str, rank: u8, owns: &'static [&'static str]) -> Module {
    Module { name, rank, owns }
}

#[test]
fn modules_import_lower_ranks_only() {
    assert_none(&rank_offences(&process_sources()));
}

#[test]
fn foreign_crates_are_named_by_their_owners_only() {
    assert_none(&owner_offences(&process_sources()));
}

#[test]
fn the_table_of_modules_matches_the_tree() {
    assert_none(&table_offences(&process_sources()));
}

/// The sources of the process, without its crate root, which only lists modules.
fn process_sources() -> Vec<Source> {
    source::all()
        .into_iter()
        .filter(|s| s.path.starts_with("src/"))
        .collect()
}

fn row(name: &str) -> Option<&'static Module> {
    MODULES.iter().find(|m| m.name == name)
}

/// The module a file of `src/` belongs to: `src/store/append.rs` belongs to `store`.
fn module_of(path: &str) -> &str {
    let below = path.strip_prefix("src/").unwrap_or(path);
    let end = below.find(['/', '.']).unwrap_or(below.len());
    &below[..end]
}

fn rank_offences(sources: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in sources {
        let own = module_of(&source.path);
        let rank = row(own).map(|m| m.rank);
        for (line, name) in imports(source) {
            let advice = match (rank, row(name)) {
                _ if name == own => continue,
                (Some(rank), Some(other)) if other.rank < rank => continue,
                (Some(rank), Some(other)) => format!(
                    "`{own}` (rank {rank}) imports `{name}` (rank {}): move what both need down, \
                     or pass it in from above",
                    other.rank
                ),
                (None, _) if own == "lib" => "lib.rs lists modules and imports nothing".to_owned(),
                _ => format!(
                    "`{own}` names `crate::{name}`, which is no module of the table: name the \
                     module that owns the item"
                ),
            };
            offences.push(Offence::at(&source.path, line, advice));
        }
    }
    offences
}

/// The first segments below the crate's root that a file names, by `crate::`, `daybook::` or `super::`.
fn imports(source: &Source) -> Vec<(usize, &str)> {
    let tokens = lexer::tokens(&source.text);
    let file_depth = match source.path.strip_prefix("src/") {
        Some("lib.rs" | "main.rs") | None => 0,
        Some(below) => below.split('/').count(),
    };
    let mut inline = InlineModules::default();
    let mut found = Vec::new();
    for i in 0..tokens.len() {
        inline.step(&tokens, i);
        if i >= 2 && tokens[i - 1].text == ":" {
            continue; // not the first segment of a path
        }
        let segments = match tokens[i].text {
            "crate" => i + 1,
            "daybook" if source.path == "src/main.rs" => i + 1,
            "super" => {
                let count = leading_supers(&tokens[i..]);
                if count < file_depth + inline.names().count() {
                    continue;
                }
                i + 3 * count - 2
            }
            _ => continue,
        };
        let heads = heads(&tokens, segments);
        found.extend(
            heads
                .into_iter()
                .map(|head| (tokens[head].line, tokens[head].text)),
        );
    }
    found
}

/// How many `super`s a path begins with.
fn leading_supers(tokens: &[Token<'_>]) -> usize {
    tokens
        .chunks(3)
        .take_while(|segment| segment[0].text == "super")
        .count()
}

/// The segments that follow the `::` at `at`: one, or several in braces.
fn heads(tokens: &[Token<'_>], at: usize) -> Vec<usize> {
    let text = |i: usize| tokens.get(i).map_or("", |t| t.text);
    if text(at) != ":" || text(at + 1) != ":" {
        return Vec::new();
    }
    if text(at + 2) != "{" {
        return vec![at + 2];
    }
    let (mut found, mut depth, mut i) = (Vec::new(), 0, at + 2);
    while i < tokens.len() {
        match text(i) {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && ["{", ","].contains(&text(i)) && !["}", ""].contains(&text(i + 1)) {
            found.push(i + 1);
        }
        i += 1;
    }
    found
}

fn owner_offences(sources: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in sources {
        let own = module_of(&source.path);
        let owns = row(own).map_or(&[][..], |m| m.owns);
        for (line, name) in foreign_crates(source) {
            let within = WITHIN
                .iter()
                .find(|(owner, krate, _)| *owner == own && *krate == name);
            let advice = match within {
                Some((_, _, place)) if !source.path.starts_with(place) => {
                    format!("`{own}` names `{name}` in `{place}` only: move this there")
                }
                None if !owns.contains(&name) => {
                    let owners: Vec<&str> = MODULES
                        .iter()
                        .filter(|m| m.owns.contains(&name))
                        .map(|m| m.name)
                        .collect();
                    format!(
                        "`{own}` names `{name}`, which belongs to {}: ask the owner for what is \
                         needed in words of ours",
                        owners.join(", ")
                    )
                }
                _ => continue,
            };
            offences.push(Offence::at(&source.path, line, advice));
        }
    }
    offences
}

/// The owned foreign crates a file names: as the head of a path, or in a `use` of their own.
fn foreign_crates(source: &Source) -> Vec<(usize, &'static str)> {
    let tokens = lexer::tokens(&source.text);
    let text = |i: usize| tokens.get(i).map_or("", |t| t.text);
    let owned: Vec<&'static str> = MODULES.iter().flat_map(|m| m.owns).copied().collect();
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let Some(name) = owned.iter().find(|name| **name == token.text) else {
            continue;
        };
        let before = |n: usize| i.checked_sub(n).map_or("", |at| tokens[at].text);
        let colons_before = before(1) == ":" && before(2) == ":";
        let absolute = colons_before && before(3) == "use";
        let leads = absolute || !colons_before;
        let heads_path = text(i + 1) == ":" && text(i + 2) == ":";
        let used = absolute || ["use", "crate"].contains(&before(1));
        if leads && (heads_path || used) {
            found.push((token.line, *name));
        }
    }
    found
}

fn table_offences(sources: &[Source]) -> Vec<Offence> {
    let named = |name: &str| sources.iter().any(|s| module_of(&s.path) == name);
    let table = "tests/it/tidy/layering.rs";
    let stale = MODULES.iter().filter(|m| !named(m.name)).map(|m| {
        Offence::of(
            table,
            format!("`{}` is in the table but not in src/: drop its row", m.name),
        )
    });
    let unlisted = sources.iter().filter(|s| {
        let name = module_of(&s.path);
        name != "lib" && row(name).is_none() && s.path.matches('/').count() == 1
    });
    let unlisted = unlisted.map(|s| {
        Offence::of(
            &s.path,
            "give the module a rank and its foreign crates in the table of layering.rs",
        )
    });
    stale.chain(unlisted).collect()
}

#[test]
fn an_import_of_a_higher_rank_is_found() {
    let planted = [
        Source::planted(
            "src/store.rs",
            "use crate::config::Settings;\nuse crate::api::Schema; // crate::http\nuse super::cli;",
        ),
        Source::planted(
            "src/store/append.rs",
            "use super::Store;\nuse crate::{ops::clock, commands::{Door, ops}, store};\n\
             use super::super::auth;\nmod inner { use super::super::Store; }",
        ),
        Source::planted("src/cache.rs", "fn f() { crate::store::g() }"),
        Source::planted("src/api.rs", "use crate::Everything;"),
        Source::planted("src/app.rs", "use crate::cli;"),
        Source::planted(
            "src/main.rs",
            "use daybook::app; fn main() { daybook::cli::run() }",
        ),
    ];
    assert_places(
        &rank_offences(&planted),
        &[
            "src/store.rs:2",
            "src/store.rs:3",
            "src/store/append.rs:2",
            "src/store/append.rs:3",
            "src/cache.rs:1",
            "src/api.rs:1",
            "src/app.rs:1",
        ],
    );
}

#[test]
fn a_foreign_crate_in_the_wrong_module_is_found() {
    let planted = [
        Source::planted("src/store.rs", "use sqlx::PgPool;\nuse rustix as os;"),
        Source::planted(
            "src/api.rs",
            "use sqlx::{PgPool};\nuse ::redis;\n#[derive(sqlx::FromRow)]",
        ),
        Source::planted(
            "src/http.rs",
            "use axum::Router;\nuse async_graphql::Request;",
        ),
        Source::planted("src/http/graphql.rs", "use async_graphql::Request;"),
        Source::planted(
            "src/consumers.rs",
            "use crate::store::redis::X; // redis::Y\nlet csv = 1;",
        ),
        Source::planted("src/app.rs", "use {clap::Parser, tokio::sync};"),
    ];
    assert_places(
        &owner_offences(&planted),
        &[
            "src/api.rs:1",
            "src/api.rs:2",
            "src/api.rs:3",
            "src/http.rs:2",
            "src/app.rs:1",
        ],
    );
}

#[test]
fn a_module_without_a_rank_is_found() {
    let planted: Vec<Source> = MODULES
        .iter()
        .filter(|m| m.name != "cache")
        .map(|m| Source::planted(&format!("src/{}.rs", m.name), ""))
        .chain([
            Source::planted("src/lib.rs", ""),
            Source::planted("src/helpers.rs", ""),
        ])
        .collect();
    assert_places(
        &table_offences(&planted),
        &["tests/it/tidy/layering.rs", "src/helpers.rs"],
    );
}
