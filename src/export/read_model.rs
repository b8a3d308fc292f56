//! Exporting a read model: the tables of the generation that answers, all of one moment.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sqlx::{Executor as _, PgConnection, Row as _};
use tokio::sync::mpsc;

use super::columnar::{Cell, Column, Kind, Table};
use super::target::{Target, WRITE_BYTES};
use super::{ExportError, Format};
use crate::consumers::open_connection;
use crate::store::{EPOCH_US, Store, copy_out, quoted, read_fields};

/// Days from 1970 to 2000, PostgreSQL's epoch.
const EPOCH_DAYS: i64 = 10_957;

/// Chunks of rows read ahead of those that are being written.
const CHUNKS_AHEAD_MAX: usize = 4;

/// How often progress is told of.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What is exported, and where to.
#[derive(Clone, Debug)]
pub struct ReadModelExport {
    /// Whose rows.
    pub tenant: Arc<str>,
    /// The read model's name.
    pub name: String,
    /// Only these of its tables; empty: all.
    pub tables: Vec<String>,
    /// How.
    pub format: Format,
    /// The folder that gets a file for each table, or `-` for standard output.
    pub out: PathBuf,
}

/// What was exported of a read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadModelExported {
    /// The generation that answered.
    pub generation: i32,
    /// The position of the log that it is as of.
    pub position: i64,
    /// Its tables, and how many rows of each were written.
    pub tables: Vec<(String, u64)>,
}

/// A column as PostgreSQL has it.
struct Found {
    column: Column,
    /// What is selected for it.
    sql: String,
}

/// A table of a generation.
struct Source<'a> {
    what: &'a ReadModelExport,
    table: &'a str,
    generation: i32,
    /// The number in its tables' names.
    storage: i32,
    position: i64,
}

/// A generation that answers, and those of its tables that are wanted.
struct Live {
    generation: i32,
    /// The number in its tables' names.
    storage: i32,
    position: i64,
    tables: Vec<String>,
}

/// Exports the generation of a read model that answers. `progress` is told now and then how many rows were
/// written in all. Each file has its name once it is whole; a failure may leave the files before.
pub async fn export_read_model(
    store: &Store,
    what: &ReadModelExport,
    mut progress: impl FnMut(u64),
) -> Result<ReadModelExported, ExportError> {
    let mut conn = open_connection(store).await?;
    // Between two tables the transaction is silent for as long as a disk takes a whole file.
    let begin = "set timezone = 'UTC'; set idle_in_transaction_session_timeout = '10min';
                 begin isolation level repeatable read read only";
    conn.execute(begin).await?;
    let Live {
        generation,
        storage,
        position,
        tables,
    } = live(&mut conn, what).await?;
    if what.out.as_os_str() == "-" {
        if tables.len() > 1 {
            return Err(ExportError::ManyTables(tables.join(", ")));
        }
    } else {
        std::fs::create_dir_all(&what.out)?;
    }
    let mut exported = ReadModelExported {
        generation,
        position,
        tables: Vec::new(),
    };
    let mut before = 0;
    for table in tables {
        let source = Source {
            what,
            table: &table,
            generation,
            storage,
            position,
        };
        let rows = source
            .export(&mut conn, |rows| progress(before + rows))
            .await?;
        before += rows;
        exported.tables.push((table, rows));
    }
    Ok(exported)
}

/// The generation that answers, the position it is at, and those of its tables that are wanted; they stay
/// until the transaction ends.
async fn live(conn: &mut PgConnection, what: &ReadModelExport) -> Result<Live, ExportError> {
    let found: Option<(i32, i32, i64, Vec<String>, i32)> = sqlx::query_as(
        "select generation, coalesce(storage, generation), position, tables, parked from generations
         where tenant = $1 and projection = $2 and state = 'live'",
    )
    .bind(&*what.tenant)
    .bind(&what.name)
    .fetch_optional(&mut *conn)
    .await?;
    let Some((generation, storage, position, mut tables, parked)) = found else {
        return Err(ExportError::NoReadModel(what.name.clone()));
    };
    if parked > 0 {
        return Err(ExportError::Parked(what.name.clone(), parked));
    }
    tables.sort();
    if let Some(unknown) = what.tables.iter().find(|table| !tables.contains(table)) {
        return Err(ExportError::NoTable {
            table: unknown.clone(),
            tables: tables.join(", "),
        });
    }
    if !what.tables.is_empty() {
        tables.retain(|table| what.tables.contains(table));
    }
    for table in &tables {
        let name = relation(table, storage);
        let lock = format!("lock table {name} in access share mode");
        conn.execute(lock.as_str()).await?;
    }
    Ok(Live {
        generation,
        storage,
        position,
        tables,
    })
}

/// The name of a generation's table, as SQL has it.
fn relation(table: &str, storage: i32) -> String {
    let name = format!("{table}_g{storage}").replace('"', "\"\"");
    format!("read.\"{name}\"")
}

impl Source<'_> {
    async fn export(
        &self,
        conn: &mut PgConnection,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, ExportError> {
        let columns = self.columns(conn).await?;
        let target = match self.what.out.as_os_str() == "-" {
            true => Target::open(&self.what.out)?,
            false => Target::open(&self.file())?,
        };
        let rows = Arc::new(AtomicU64::new(0));
        let (send, chunks) = mpsc::channel(CHUNKS_AHEAD_MAX);
        let sql = self.select(&columns);
        let mut writing = {
            let (rows, notes) = (rows.clone(), self.notes());
            let columns: Vec<Column> = columns.into_iter().map(|found| found.column).collect();
            let format = self.what.format;
            tokio::task::spawn_blocking(move || match format {
                Format::Parquet => write_table(target, &columns, &notes, chunks, &rows),
                Format::Ndjson => write_lines(target, chunks, &rows),
            })
        };
        let reading = async {
            let send = send;
            copy_out(conn, &sql, &send, Some).await?;
            // A writer that is gone has failed, and says so itself.
            let _ = send.send(None).await;
            Ok::<_, ExportError>(())
        };
        tokio::pin!(reading);
        let mut read = None;
        let mut ticks = tokio::time::interval(TELL_EVERY);
        let written = loop {
            tokio::select! {
                done = &mut reading, if read.is_none() => read = Some(done),
                done = &mut writing => break done,
                _ = ticks.tick() => progress(rows.load(Ordering::Relaxed)),
            }
        };
        let written = written.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        match (written, read) {
            (Err(ExportError::Cut), Some(Err(error))) => Err(error),
            (written, _) => written.map(|()| rows.load(Ordering::Relaxed)),
        }
    }

    fn file(&self) -> PathBuf {
        let end = match self.what.format {
            Format::Parquet => "parquet",
            Format::Ndjson => "ndjson",
        };
        self.what
            .out
            .join(Path::new(&format!("{}.{end}", self.table)))
    }

    fn notes(&self) -> Vec<(&'static str, String)> {
        vec![
            ("daybook.tenant", self.what.tenant.to_string()),
            ("daybook.read_model", self.what.name.clone()),
            ("daybook.generation", self.generation.to_string()),
            ("daybook.position", self.position.to_string()),
        ]
    }

    /// Its columns in their order. A table that does not say whose its rows are is not told to anybody.
    async fn columns(&self, conn: &mut PgConnection) -> Result<Vec<Found>, ExportError> {
        let rows = sqlx::query(
            "select a.attname::text as name, t.typname::text as type, a.attnotnull as filled,
                    t.typcategory = 'A' as is_array
             from pg_attribute a join pg_type t on t.oid = a.atttypid
             where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum",
        )
        .bind(relation(self.table, self.storage))
        .fetch_all(conn)
        .await?;
        let mut columns = Vec::with_capacity(rows.len());
        for row in rows {
            let (name, of): (String, String) = (row.try_get("name")?, row.try_get("type")?);
            let (filled, is_array) = (row.try_get("filled")?, row.try_get("is_array")?);
            columns.push(Found::new(name, &of, filled, is_array));
        }
        match columns.iter().any(|found| found.column.name == "tenant") {
            true => Ok(columns),
            false => Err(ExportError::NoTenant(self.table.to_owned())),
        }
    }

    fn select(&self, columns: &[Found]) -> String {
        let from = relation(self.table, self.storage);
        let tenant = quoted(&self.what.tenant);
        let list: Vec<&str> = columns.iter().map(|found| found.sql.as_str()).collect();
        let selected = match self.what.format {
            Format::Parquet => list.join(", "),
            Format::Ndjson => "row_to_json(t)::text".to_owned(),
        };
        format!(
            "copy (select {selected} from {from} t where t.tenant = {tenant}) to stdout (format binary)"
        )
    }
}

impl Found {
    /// How a column of this type is exported.
    fn new(name: String, of: &str, filled: bool, is_array: bool) -> Found {
        let own = format!("t.\"{}\"", name.replace('"', "\"\""));
        let (kind, sql) = match of {
            _ if is_array => (Kind::Json, format!("to_json({own})::text")),
            "text" | "varchar" => (Kind::Text, own),
            "json" | "jsonb" => (Kind::Json, format!("{own}::text")),
            "bytea" => (Kind::Bytes, own),
            "uuid" => (Kind::Uuid, own),
            "int2" => (Kind::Int16, own),
            "int4" => (Kind::Int32, own),
            "int8" => (Kind::Int64, own),
            "float4" => (Kind::Float32, own),
            "float8" => (Kind::Float64, own),
            "bool" => (Kind::Bool, own),
            "timestamptz" => (Kind::Micros, own),
            "timestamp" => (Kind::Micros, format!("{own} at time zone 'UTC'")),
            "date" => (Kind::Date, own),
            // Numbers of any length among them: no figure is rounded.
            _ => (Kind::Text, format!("{own}::text")),
        };
        // What is infinite in PostgreSQL has no value in a file.
        let nullable = !filled || matches!(kind, Kind::Micros | Kind::Date);
        Found {
            column: Column {
                name,
                kind,
                nullable,
            },
            sql,
        }
    }
}

fn write_table(
    target: Target,
    columns: &[Column],
    notes: &[(&str, String)],
    mut chunks: mpsc::Receiver<Option<Vec<u8>>>,
    rows: &AtomicU64,
) -> Result<(), ExportError> {
    let mut table = Table::new(target, columns, notes)?;
    while let Some(chunk) = chunks.blocking_recv().ok_or(ExportError::Cut)? {
        let chunk = Bytes::from(chunk);
        read_fields(&chunk, |fields| {
            let cells = columns
                .iter()
                .zip(fields)
                .map(|(column, field)| match field {
                    None => Cell::Null,
                    Some(field) => cell(column.kind, field, &chunk),
                });
            rows.fetch_add(1, Ordering::Relaxed);
            table.row(cells)
        })?;
    }
    Ok(table.finish()?.finish()?)
}

fn write_lines(
    target: Target,
    mut chunks: mpsc::Receiver<Option<Vec<u8>>>,
    rows: &AtomicU64,
) -> Result<(), ExportError> {
    let mut to = BufWriter::with_capacity(WRITE_BYTES, target);
    while let Some(chunk) = chunks.blocking_recv().ok_or(ExportError::Cut)? {
        read_fields(&chunk, |fields| {
            let line = fields.first().copied().flatten().unwrap_or_default();
            // Between JSON's values, which is where a line end may stand, a blank means the same.
            let mut pieces = line.split(|byte| matches!(byte, b'\n' | b'\r'));
            to.write_all(pieces.next().unwrap_or_default())?;
            for piece in pieces {
                to.write_all(b" ")?;
                to.write_all(piece)?;
            }
            rows.fetch_add(1, Ordering::Relaxed);
            to.write_all(b"\n")
        })?;
    }
    let target = to.into_inner().map_err(|error| error.into_error())?;
    Ok(target.finish()?)
}

/// A field of a binary COPY as the cell it becomes.
fn cell(kind: Kind, field: &[u8], chunk: &Bytes) -> Cell {
    let whole = || match *field {
        [a, b] => i64::from(i16::from_be_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_be_bytes([a, b, c, d])),
        _ => field.try_into().map_or(0, i64::from_be_bytes),
    };
    match kind {
        Kind::Text | Kind::Word | Kind::Json | Kind::Bytes | Kind::Uuid => {
            Cell::Bytes(chunk.slice_ref(field))
        }
        Kind::Int16 | Kind::Int32 | Kind::Int64 => Cell::Int(whole()),
        Kind::Float32 => Cell::Float(field.try_into().map_or(0.0, f32::from_be_bytes).into()),
        Kind::Float64 => Cell::Float(field.try_into().map_or(0.0, f64::from_be_bytes)),
        Kind::Bool => Cell::Bool(field == [1]),
        Kind::Micros => match whole() {
            i64::MAX | i64::MIN => Cell::Null,
            at => at.checked_add(EPOCH_US).map_or(Cell::Null, Cell::Int),
        },
        Kind::Date => match whole() {
            // An infinite date has the ends of 32 bits.
            2_147_483_647 | -2_147_483_648 => Cell::Null,
            day => Cell::Int(day + EPOCH_DAYS),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_becomes_the_value_it_stands_for() {
        let told = |kind, field: &[u8]| {
            let chunk = Bytes::copy_from_slice(field);
            format!("{:?}", cell(kind, &chunk, &chunk))
        };
        for (kind, field, expected) in [
            (Kind::Text, &b"ab"[..], "Bytes(b\"ab\")"),
            (Kind::Int16, &(-2i16).to_be_bytes(), "Int(-2)"),
            (Kind::Int32, &7i32.to_be_bytes(), "Int(7)"),
            (
                Kind::Int64,
                &i64::MIN.to_be_bytes(),
                "Int(-9223372036854775808)",
            ),
            (Kind::Float32, &1.5f32.to_be_bytes(), "Float(1.5)"),
            (Kind::Float64, &(-0.25f64).to_be_bytes(), "Float(-0.25)"),
            (Kind::Bool, &[1], "Bool(true)"),
            (Kind::Bool, &[0], "Bool(false)"),
            (Kind::Micros, &0i64.to_be_bytes(), "Int(946684800000000)"),
            (Kind::Micros, &i64::MAX.to_be_bytes(), "Null"),
            (Kind::Micros, &i64::MIN.to_be_bytes(), "Null"),
            (Kind::Date, &0i32.to_be_bytes(), "Int(10957)"),
            (Kind::Date, &i32::MAX.to_be_bytes(), "Null"),
            (Kind::Date, &(-10_958i32).to_be_bytes(), "Int(-1)"),
        ] {
            assert_eq!(told(kind, field), expected, "{kind:?}");
        }
    }
}
