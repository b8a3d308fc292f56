//! Migrations: forward only, never edited once frozen, a sentence for every table and column.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::source::{self, Source};
use super::{Offence, assert_none, assert_places};

/// One line per frozen migration: SHA-256, two blanks, file name, as `sha256sum` prints it.
const CHECKSUMS: &str = "migrations/checksums.txt";

/// First words of a line inside `create table (...)` that does not declare a column.
const NOT_COLUMNS: &[&str] = &[
    "primary",
    "unique",
    "check",
    "foreign",
    "constraint",
    "exclude",
    "like",
    ")",
];

#[test]
fn migrations_are_frozen_and_unchanged() {
    let frozen = source::read(&source::root().join(CHECKSUMS));
    assert_none(&checksum_offences(&migrations(), &frozen));
}

#[test]
fn migrations_are_named_by_time_and_subject() {
    assert_none(&name_offences(&migrations()));
}

#[test]
fn every_table_and_column_has_its_sentence() {
    let migrations = migrations();
    assert!(!migrations.is_empty(), "no migrations found");
    assert_none(
        &migrations
            .iter()
            .flat_map(comment_offences)
            .collect::<Vec<_>>(),
    );
}

fn migrations() -> Vec<Source> {
    let mut paths = Vec::new();
    source::collect(&source::root().join("migrations"), "sql", &mut paths);
    paths.sort();
    let sources = paths.iter();
    sources
        .map(|p| Source {
            path: source::relative(p),
            text: source::read(p),
        })
        .collect()
}

fn file_name(source: &Source) -> &str {
    source.path.rsplit('/').next().unwrap_or_default()
}

fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes any text");
            hex
        })
}

fn checksum_offences(migrations: &[Source], frozen: &str) -> Vec<Offence> {
    let mut frozen: BTreeMap<&str, &str> = frozen
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sum, name)| (name, sum))
        .collect();
    let mut offences = Vec::new();
    for migration in migrations {
        let advice = match frozen.remove(file_name(migration)) {
            Some(sum) if sum == sha256_hex(&migration.text) => continue,
            Some(_) => "frozen and edited: restore it and write a new migration",
            None => "not frozen yet: when it is final, run `make freeze-migrations`",
        };
        offences.push(Offence::of(&migration.path, advice));
    }
    let gone = frozen.into_keys().map(|name| {
        Offence::of(
            CHECKSUMS,
            format!("`{name}` was frozen and is gone: restore it"),
        )
    });
    offences.extend(gone);
    offences
}

fn name_offences(migrations: &[Source]) -> Vec<Offence> {
    let well_named = |name: &str| {
        let stem = name.strip_suffix(".sql")?;
        let (time, subject) = stem.split_once('_')?;
        let digits = time.len() == 14 && time.bytes().all(|b| b.is_ascii_digit());
        let words = subject
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b));
        (digits && words && !subject.is_empty()).then_some(())
    };
    let ill = migrations
        .iter()
        .filter(|m| well_named(file_name(m)).is_none());
    ill.map(|m| Offence::of(&m.path, "name it YYYYMMDDhhmmss_what_it_brings.sql"))
        .collect()
}

/// Tables and columns without a comment. Only statements at the start of a line count: what a
/// function executes is not a declaration.
fn comment_offences(migration: &Source) -> Vec<Offence> {
    let mut offences = Vec::new();
    let mut in_table = false;
    let mut previous = "";
    for (number, line) in migration.text.lines().enumerate() {
        let code = line.split("--").next().unwrap_or_default().trim();
        let says = line
            .split_once("--")
            .is_some_and(|(_, comment)| !comment.trim().is_empty());
        let mut tell = |what: &str| {
            offences.push(Offence::at(
                &migration.path,
                number + 1,
                format!("say what {what}"),
            ));
        };
        if line.starts_with("create table ") {
            in_table = !code.ends_with(';');
            if !previous.starts_with("--") {
                tell("the table holds, in a `--` line above it");
            }
        } else if in_table {
            let first = code.split([' ', '(']).next().unwrap_or_default();
            let column =
                !first.is_empty() && !NOT_COLUMNS.contains(&first) && line.starts_with(' ');
            if column && !says {
                tell(&format!("`{first}` holds, in a `--` comment on its line"));
            }
            in_table = !code.ends_with(';');
        } else if code.starts_with("alter table") && code.contains(" add column ") && !says {
            tell("the new column holds, in a `--` comment on its line");
        }
        previous = line;
    }
    offences
}

#[test]
fn an_edited_or_lost_migration_is_found() {
    let planted = [
        Source::planted("migrations/1_a.sql", "select 1;"),
        Source::planted("migrations/2_b.sql", "select 2;"),
        Source::planted("migrations/3_c.sql", "select 3;"),
    ];
    let sum = sha256_hex("select 1;");
    let frozen = format!("# comment\n{sum}  1_a.sql\n{sum}  2_b.sql\n{sum}  0_lost.sql\n");
    assert_places(
        &checksum_offences(&planted, &frozen),
        &["migrations/2_b.sql", "migrations/3_c.sql", CHECKSUMS],
    );
    assert_eq!(
        sha256_hex("abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn an_ill_named_migration_is_found() {
    let planted = [
        Source::planted("migrations/20261121000001_log.sql", ""),
        Source::planted("migrations/20261121_log.sql", ""),
        Source::planted("migrations/20261121000001.sql", ""),
    ];
    assert_eq!(name_offences(&planted).len(), 2);
}

#[test]
fn a_silent_table_or_column_is_found() {
    let planted = Source::planted(
        "migrations/a.sql",
        "create table a (
    b text not null, -- says so
    c text not null,
    d text, --
    check (b > c),
    primary key (b)
) with (fillfactor = 80);
-- Has a sentence.
create table e (
    f text -- says so
);
alter table e add column g text;
create function h() returns void language plpgsql as $$
begin
    execute format('create table %I (like e)', i);
end $$;
",
    );
    assert_places(
        &comment_offences(&planted),
        &[
            "migrations/a.sql:1",
            "migrations/a.sql:3",
            "migrations/a.sql:4",
            "migrations/a.sql:12",
        ],
    );
}
