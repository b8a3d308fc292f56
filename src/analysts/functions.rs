//! Which functions an analyst's SQL may call: those PostgreSQL itself says depend on their arguments alone, and
//! a few more that are named here.

use sqlx::PgPool;

use super::Refused;
use super::sql::{Checked, Purpose};

/// Syntax that looks like a call.
const SYNTAX: &[&str] = &["coalesce", "greatest", "grouping", "least", "nullif", "row"];

/// Depend on settings beside their arguments (time zone, formats), which are the same on every connection of an
/// analyst.
const SETTLED: &[&str] = &[
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "date",
    "date_part",
    "date_trunc",
    "generate_series",
    "json_agg",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "make_timestamptz",
    "row_to_json",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
];

/// What time it is: a question may ask.
const CLOCKS: &[&str] = &["current_date", "current_timestamp", "localtimestamp", "now"];

/// Answer as much as an argument says, in one value: no bound on rows or time holds that.
const SWELLING: &[&str] = &["array_fill", "lpad", "repeat", "rpad"];

/// Read documents by a library that neither a limit on time nor a cancellation ends.
const ENDLESS: &[&str] = &["xml", "xpath"];

/// A function of the catalogue, as far as it matters here.
#[derive(sqlx::FromRow)]
struct Entry {
    proname: String,
    /// Fewest arguments it takes.
    fewest: i16,
    /// Most arguments it takes.
    most: i16,
    immutable: bool,
}

/// Looks up the functions of a checked text.
pub(super) async fn check(
    pool: &PgPool,
    checked: &Checked,
    purpose: Purpose,
) -> Result<Result<(), Refused>, sqlx::Error> {
    let called = checked.functions.iter().map(|(name, _)| name);
    let others = checked.doubtful.iter().chain(&checked.attributes);
    let names: Vec<&str> = called.chain(others).map(|name| &**name).collect();
    let entries: Vec<Entry> = sqlx::query_as(
        "select proname::text, (pronargs - pronargdefaults)::smallint as fewest,
                case when provariadic = 0 then pronargs else 32767 end::smallint as most,
                provolatile = 'i' as immutable
         from pg_catalog.pg_proc
         where pronamespace = 'pg_catalog'::regnamespace and prokind in ('f', 'a', 'w')
           and proname = any($1)",
    )
    .bind(&names)
    .fetch_all(pool)
    .await?;
    let calls = checked.functions.iter().map(|(name, args)| (name, *args));
    let is_there = |name: &str| entries.iter().any(|e| e.proname == name);
    // a name of no function cannot be called by mistake
    let doubtful = checked.doubtful.iter().map(|name| (name, None));
    let attributes = checked.attributes.iter().map(|name| (name, Some(1)));
    let others = doubtful
        .chain(attributes)
        .filter(|(name, args)| match args {
            Some(args) => entries
                .iter()
                .any(|e| e.proname == **name && e.takes(*args)),
            None => is_there(name),
        });
    Ok(calls
        .chain(others)
        .try_for_each(|(name, args)| judge(name, args, purpose, &entries)))
}

impl Entry {
    fn takes(&self, args: i16) -> bool {
        (self.fewest..=self.most).contains(&args)
    }
}

fn judge(
    name: &str,
    args: Option<i16>,
    purpose: Purpose,
    entries: &[Entry],
) -> Result<(), Refused> {
    if SWELLING.contains(&name) {
        return Err(Refused::new(format!(
            "{name}() is not allowed: it answers as much as it is told to"
        )));
    }
    if ENDLESS.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(Refused::new(format!(
            "{name}() is not allowed: it cannot be ended"
        )));
    }
    let clock = purpose == Purpose::Question && CLOCKS.contains(&name);
    if clock || SYNTAX.contains(&name) || SETTLED.contains(&name) {
        return Ok(());
    }
    let named = entries.iter().filter(|e| e.proname == name);
    let mut meant = named.filter(|e| args.is_none_or(|n| e.takes(n))).peekable();
    if meant.peek().is_none() {
        return Err(Refused::new(format!(
            "there is no function {name} that may be called so"
        )));
    }
    match meant.all(|e| e.immutable) {
        true => Ok(()),
        false => Err(Refused::new(format!(
            "{name}() is not allowed: what it answers or does depends on more than its arguments"
        ))),
    }
}
