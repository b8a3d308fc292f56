//! The statements of an analyst's projection: its table, its fold, and how rows are merged into what stands there.

use std::fmt::Write as _;

use super::header::{Header, Merge, SAID_AT, Type, Value};
use super::login::ROLE;
use super::sql::EVENTS;

/// The columns of the relation of events: name, and type of its array.
const EVENT_COLUMNS: [(&str, &str); 10] = [
    ("position", "bigint"),
    ("event_id", "uuid"),
    ("aggregate_type", "text"),
    ("aggregate_id", "text"),
    ("sequence", "bigint"),
    ("event_type", "text"),
    ("event_version", "text"),
    ("recorded_at", "timestamptz"),
    ("payload", "jsonb"),
    ("metadata", "jsonb"),
];

/// A name as SQL takes it whatever it is.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The analyst's SELECT over the events it is given as arrays $1 to $10.
fn over_events(select: &str) -> String {
    let names = EVENT_COLUMNS.map(|(name, _)| name).join(", ");
    let arrays: Vec<String> = (1..=EVENT_COLUMNS.len())
        .map(|n| match EVENT_COLUMNS[n - 1].1 {
            "jsonb" => format!("${n}::text[]"),
            ty => format!("${n}::{ty}[]"),
        })
        .collect();
    let columns = EVENT_COLUMNS.map(|(name, ty)| match ty {
        "jsonb" => format!("{name}::jsonb"),
        _ => name.to_owned(),
    });
    format!(
        "with {EVENTS} as materialized (select {} from unnest({}) e({names})) select * from ({select}) r",
        columns.join(", "),
        arrays.join(", "),
    )
}

/// What is prepared to learn which columns the SELECT yields.
pub(super) fn described(select: &str) -> String {
    over_events(select)
}

/// The fold of a batch: one JSON object a row, cut off where it is longer than `bytes_max`.
pub(super) fn reduce(header: &Header, select: &str, bytes_max: usize) -> String {
    let columns: Vec<String> = header
        .columns()
        .map(|c| {
            let (name, ty) = (quoted(&c.name), c.ty.word());
            // one text for equal values: 1.0 and 1.00, -0 and 0
            match c.ty {
                Type::Numeric => format!("trim_scale({name}::{ty}) as {name}"),
                Type::Double => format!("{name}::{ty} + 0 as {name}"),
                _ => format!("{name}::{ty} as {name}"),
            }
        })
        .chain(
            header
                .by_position()
                .then(|| "position::bigint as position".to_owned()),
        )
        .collect();
    format!(
        "select left(row_to_json(typed)::text, {}) from (select {} from ({}) rows) typed",
        bytes_max + 1,
        columns.join(", "),
        over_events(select)
    )
}

/// The statement that makes a table of the columns.
pub(super) fn table(header: &Header, table: &str) -> String {
    let mut columns = String::new();
    let collated = |ty: Type| match ty {
        Type::Text => " collate \"C\"",
        _ => "",
    };
    for key in &header.keys {
        let (name, ty) = (quoted(&key.name), key.ty);
        let _ = write!(columns, ", {name} {}{} not null", ty.word(), collated(ty));
    }
    for value in &header.values {
        let (name, ty) = (quoted(&value.column.name), value.column.ty);
        let _ = write!(columns, ", {name} {}{}", ty.word(), collated(ty));
        if value.merge.by_position() {
            let _ = write!(columns, ", {} bigint", said_at(value));
        }
    }
    format!(
        "create table if not exists {table} (tenant text not null{columns}, primary key (tenant, {}))",
        keys(header)
    )
}

/// Statements that make one generation's table, readable for analysts of its tenant.
pub(super) fn ddl(header: &Header, table: &str) -> Vec<String> {
    vec![
        self::table(header, table),
        format!("alter table {table} enable row level security"),
        format!("drop policy if exists own_rows on {table}"),
        format!(
            "create policy own_rows on {table} for select to {ROLE} \
             using (tenant = (select public.analyst_tenant()))"
        ),
        format!("grant select on {table} to {ROLE}"),
    ]
}

/// Merges rows ($2, a JSON array) into a tenant's ($1).
pub(super) fn upsert(header: &Header, table: &str) -> String {
    let keys = keys(header);
    let mut read: Vec<String> = header
        .columns()
        .map(|c| format!("{} {}", quoted(&c.name), c.ty.word()))
        .collect();
    if header.by_position() {
        read.push("position bigint".to_owned());
    }
    let (mut named, mut merged, mut sets) = (Vec::new(), Vec::new(), Vec::new());
    for value in &header.values {
        let name = quoted(&value.column.name);
        named.push(name.clone());
        merged.push(within(value, &name));
        sets.push(format!("{name} = {}", with_old(value, &name)));
        if value.merge.by_position() {
            let (at, far) = (said_at(value), furthest(value.merge));
            named.push(at.clone());
            merged.push(format!(
                "{}(position) filter (where {name} is not null)",
                far.0
            ));
            sets.push(format!("{at} = {}(old.{at}, excluded.{at})", far.1));
        }
    }
    // in the order of keys: two who write the same rows wait for each other, no more
    format!(
        "insert into {table} as old (tenant, {keys}, {}) \
         select $1, {keys}, {} from jsonb_to_recordset($2::text::jsonb) as said({}) \
         group by {keys} order by {keys} \
         on conflict (tenant, {keys}) do update set {}",
        named.join(", "),
        merged.join(", "),
        read.join(", "),
        sets.join(", ")
    )
}

/// The columns a question sees of a table, beside those of its own: it may be of an older version than the file.
pub(super) const SHOWN: &str = "
    select attname::text from pg_catalog.pg_attribute
    where attrelid = to_regclass($1) and attnum > 0 and not attisdropped
      and attname <> 'tenant' and not starts_with(reverse(attname), reverse($2))
    order by attnum";

/// A table with the columns that are shown of it.
pub(super) fn shown(columns: &[String], table: &str) -> String {
    let names: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    format!("select {} from {table}", names.join(", "))
}

fn keys(header: &Header) -> String {
    let names: Vec<String> = header.keys.iter().map(|k| quoted(&k.name)).collect();
    names.join(", ")
}

fn said_at(value: &Value) -> String {
    quoted(&format!("{}{SAID_AT}", value.column.name))
}

/// The aggregate and the function that choose between positions.
fn furthest(merge: Merge) -> (&'static str, &'static str) {
    match merge {
        Merge::First => ("min", "least"),
        _ => ("max", "greatest"),
    }
}

/// How the values of one key within a batch become one.
fn within(value: &Value, name: &str) -> String {
    let collated = match value.column.ty {
        Type::Text => format!("{name} collate \"C\""),
        _ => name.to_owned(),
    };
    match value.merge {
        // one text for equal sums, as for what is summed
        Merge::Sum if value.column.ty == Type::Numeric => format!("trim_scale(sum({name}))"),
        Merge::Sum => format!("sum({name})::{}", value.column.ty.word()),
        Merge::Min => format!("min({collated})"),
        Merge::Max => format!("max({collated})"),
        Merge::First | Merge::Last => {
            let way = if value.merge == Merge::First {
                "asc"
            } else {
                "desc"
            };
            format!(
                "(array_agg({name} order by position {way}, {name}::text collate \"C\" {way}) \
                 filter (where {name} is not null and position is not null))[1]"
            )
        }
    }
}

/// How a new value and the one that stands there become one. Nulls are passed over.
fn with_old(value: &Value, name: &str) -> String {
    let (old, new) = (format!("old.{name}"), format!("excluded.{name}"));
    match value.merge {
        Merge::Sum if value.column.ty == Type::Numeric => {
            format!("trim_scale(coalesce({old} + {new}, {old}, {new}))")
        }
        Merge::Sum => format!("coalesce({old} + {new}, {old}, {new})"),
        Merge::Min => format!("least({old}, {new})"),
        Merge::Max => format!("greatest({old}, {new})"),
        Merge::First | Merge::Last => {
            let at = said_at(value);
            let than = if value.merge == Merge::First {
                "<"
            } else {
                ">"
            };
            let text = |side: &str| format!("{side}.{name}::text collate \"C\"");
            format!(
                "case when old.{at} is null or excluded.{at} {than} old.{at} \
                 or (excluded.{at} = old.{at} and {} {than} {}) then {new} else {old} end",
                text("excluded"),
                text("old")
            )
        }
    }
}
