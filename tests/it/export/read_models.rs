//! Read models as files: one moment, one tenant, every type that a column may have.

use std::sync::Arc;

use daybook::consumers::{Mode, RebuildOptions, rebuild};
use daybook::export::{ExportError, Format, ReadModelExport, export_read_model};
use serde_json::{Value, json};
use sqlx::Executor as _;

use super::Log;

/// A read model of a table with a column of each type, rows of two tenants in it.
async fn odd(log: &Log) {
    let make = "
        insert into generations (tenant, projection, generation, version, tables, state, position)
        values ('default', 'odd', 2, 1, '{odd_things,odd_bare}', 'live', 41),
               ('default', 'odd', 3, 1, '{odd_things}', 'building', 7);
        create table read.odd_bare_g2 (id bigint);
        create table read.odd_things_g2 (
            tenant text not null, id bigint not null, small smallint, whole integer, near real, double double precision,
            exact numeric, yes boolean, at timestamptz, since timestamptz not null, local timestamp, day date,
            uid uuid, raw bytea, data json, list bigint[], words text[], \"od\"\"d\" interval);
        insert into read.odd_things_g2 values
            ('default', 1, -2, 3, 1.5, -0.25, 123456789012345678901234567890.10, true, '1969-12-31T23:59:59.999999Z',
             '2026-01-01Z', '2026-01-01 12:00', '1969-12-31', '07070707-0707-0707-0707-070707070707', '\\x00ff',
             E'{\"a\":\\n1}', '{1,null}', '{\"ü\",\"\"}', '1 day'),
            ('default', 2, null, null, null, null, null, null, 'infinity', '-infinity', null, 'infinity',
             null, null, null, null, null, null),
            ('other', 3, 1, 1, 1, 1, 1, false, now(), now(), null, null, null, null, null, null, null, null);
        grant select on read.odd_bare_g2, read.odd_things_g2 to daybook_app";
    log.db.pool().execute(make).await.unwrap();
}

fn wanted(log: &Log, name: &str, tables: &[&str], format: Format) -> ReadModelExport {
    ReadModelExport {
        tenant: Arc::from("default"),
        name: name.to_owned(),
        tables: tables.iter().map(|table| (*table).to_owned()).collect(),
        format,
        out: log.dir.path().join("out"),
    }
}

#[tokio::test]
async fn a_tenants_rows_of_the_live_generation_are_exported() {
    let log = Log::open().await;
    odd(&log).await;
    let what = wanted(&log, "odd", &["odd_things"], Format::Ndjson);
    let done = export_read_model(&log.store, &what, |_| ()).await.unwrap();
    assert_eq!((done.generation, done.position), (2, 41));
    assert_eq!(done.tables, [("odd_things".to_owned(), 2)]);
    let lines = std::fs::read_to_string(what.out.join("odd_things.ndjson")).unwrap();
    let rows: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["data"], json!({"a": 1}));
    assert_eq!(rows[0]["at"], "1969-12-31T23:59:59.999999+00:00");
    assert_eq!(rows[1]["small"], Value::Null);
    // Parquet, of the same: read back by programs that know the format, see docs/export.md.
    let what = wanted(&log, "odd", &["odd_things"], Format::Parquet);
    let done = export_read_model(&log.store, &what, |_| ()).await.unwrap();
    assert_eq!(done.tables, [("odd_things".to_owned(), 2)]);
    let file = std::fs::read(what.out.join("odd_things.parquet")).unwrap();
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
    let says = |text: &str| {
        file.windows(text.len())
            .any(|bytes| bytes == text.as_bytes())
    };
    assert!(says("daybook.position") && says("daybook.generation") && says("odd"));
    assert!(says("123456789012345678901234567890.10") && says("[1,null]"));
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let log = Log::open().await;
    odd(&log).await;
    let asked = async |name: &str, tables: &[&str]| {
        let what = wanted(&log, name, tables, Format::Parquet);
        export_read_model(&log.store, &what, |_| ())
            .await
            .unwrap_err()
    };
    assert!(matches!(
        asked("even", &[]).await,
        ExportError::NoReadModel(_)
    ));
    let said = asked("odd", &["odd_thing"]).await;
    assert!(matches!(said, ExportError::NoTable { .. }), "{said}");
    assert!(said.to_string().contains("odd_bare, odd_things"), "{said}");
    // A table that does not say whose its rows are is nobody's.
    assert!(matches!(asked("odd", &[]).await, ExportError::NoTenant(_)));
    let to_output = log.run(&["export", "projection", "odd", "--out", "-"]);
    let said = String::from_utf8(to_output.stderr).unwrap();
    assert!(said.contains("name one of odd_bare, odd_things"), "{said}");
}

#[tokio::test]
async fn every_read_model_can_be_exported() {
    let log = Log::sealed(20).await;
    for projection in projections::all() {
        let name = projection.name();
        log.run_well(&["rebuild", name]);
        for format in ["parquet", "ndjson"] {
            log.run_well(&[
                "export",
                "projection",
                name,
                "--out",
                "models",
                "--format",
                format,
            ]);
        }
    }
    let folder = log.dir.path().join("models");
    let fleets = std::fs::read_to_string(folder.join("fleets.ndjson")).unwrap();
    assert_eq!(fleets.lines().count(), 20);
    assert!(folder.join("fleets.parquet").is_file());
}

#[tokio::test]
async fn a_generation_that_was_rolled_back_to_is_exported_from_the_tables_it_has() {
    let log = Log::sealed(20).await;
    let all = projections::all();
    let fleets = all.iter().find(|model| model.tables().contains(&"fleets"));
    let fleets = fleets.unwrap();
    let tenant: Arc<str> = "default".into();
    for (mode, generation) in [(Mode::Replace, 2), (Mode::RollBack, 3)] {
        let options = RebuildOptions {
            mode,
            ..RebuildOptions::default()
        };
        let rebuilt = rebuild(&log.store, fleets, &tenant, options, |_| {}).await;
        assert_eq!(rebuilt.unwrap().generation, generation);
        let what = wanted(&log, fleets.name(), &["fleets"], Format::Ndjson);
        let done = export_read_model(&log.store, &what, |_| ()).await.unwrap();
        assert_eq!(
            (done.generation, done.tables),
            (generation, vec![("fleets".to_owned(), 20)])
        );
    }
}
