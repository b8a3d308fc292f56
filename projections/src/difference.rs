//! The first row by which two generations of a read model differ, for whoever has to find out why.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use crate::{AnyProjection, Target};

/// A value is kept up to this many characters.
const VALUE_CHARS_MAX: usize = 200;

/// One row that two generations tell differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Base name of the table.
    pub table: String,
    /// The row's key, without the tenant; the whole row where the table has none.
    pub key: Vec<Cell>,
    /// The columns that differ; all of them where a generation lacks the row.
    pub columns: Vec<Change>,
}

/// A column's value as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The column.
    pub column: String,
    /// Its value.
    pub value: Option<String>,
}

/// What a column says before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The column.
    pub column: String,
    /// In the old generation; `None` where it lacks the row, or says nothing.
    pub before: Option<String>,
    /// In the new one.
    pub after: Option<String>,
}

/// The first difference between an old and a new generation, in the order of the read model's tables and of
/// their keys; `None` if there is none. Rows are compared by their text, as digests are.
pub async fn first_difference(
    conn: &mut PgConnection,
    projection: &dyn AnyProjection,
    (old, new): (&Target<'_>, &Target<'_>),
) -> Result<Option<Difference>, sqlx::Error> {
    for base in projection.tables() {
        let tables = (old.table(base), new.table(base));
        let key = key(conn, &tables.1).await?;
        let Some((before, after)) = first_row(conn, &tables, &key, old.tenant).await? else {
            continue;
        };
        return Ok(Some(between(base, &key, &before, &after)));
    }
    Ok(None)
}

/// The columns of a table's primary key; none if it has none.
async fn key(conn: &mut PgConnection, table: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select a.attname::text from pg_index i
         cross join lateral unnest(i.indkey::int2[]) with ordinality k (number, place)
         join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
         where i.indrelid = $1::regclass and i.indisprimary order by k.place",
    )
    .bind(table)
    .fetch_all(conn)
    .await
}

type Side = Option<Map<String, Value>>;

/// Both sides of the first row that differs, in the order of the key.
async fn first_row(
    conn: &mut PgConnection,
    (old, new): &(String, String),
    key: &[String],
    tenant: &str,
) -> Result<Option<(Side, Side)>, sqlx::Error> {
    let rows = |table: &str| match key {
        // Rows that are the same as often as they are.
        [] => format!(
            "(select t.*, t::text as whole, row_number() over (partition by t::text) as nth
              from {table} t where tenant = $1)"
        ),
        _ => format!("(select t.*, t::text as whole from {table} t where tenant = $1)"),
    };
    let (same, order) = match key {
        [] => (
            "a.whole = b.whole and a.nth = b.nth".to_owned(),
            "coalesce(a.whole, b.whole)".to_owned(),
        ),
        key => {
            let each = |f: &dyn Fn(&String) -> String| key.iter().map(f).collect::<Vec<_>>();
            (
                each(&|column| format!("a.\"{column}\" = b.\"{column}\"")).join(" and "),
                each(&|column| format!("coalesce(a.\"{column}\", b.\"{column}\")")).join(", "),
            )
        }
    };
    let sql = format!(
        "select to_jsonb(a) - 'whole' - 'nth', to_jsonb(b) - 'whole' - 'nth'
         from {} a full join {} b on {same}
         where a.whole is distinct from b.whole order by {order} limit 1",
        rows(old),
        rows(new)
    );
    let row = sqlx::query(&sql).bind(tenant).fetch_optional(conn).await?;
    let side = |row: &sqlx::postgres::PgRow, at: usize| {
        let json: Option<Json<Map<String, Value>>> = row.get(at);
        json.map(|json| json.0)
    };
    Ok(row.map(|row| (side(&row, 0), side(&row, 1))))
}

fn between(base: &str, key: &[String], before: &Side, after: &Side) -> Difference {
    let of = |side: &Side, column: &str| side.as_ref().and_then(|row| text(row.get(column)?));
    let whole = before.as_ref().or(after.as_ref());
    let columns: Vec<&String> = whole.into_iter().flat_map(Map::keys).collect();
    let key_columns: Vec<&String> = match key {
        [] => columns.clone(),
        key => key.iter().collect(),
    };
    let cell = |column: &String| Cell {
        value: of(before, column).or_else(|| of(after, column)),
        column: column.clone(),
    };
    let change = |column: &String| Change {
        before: of(before, column),
        after: of(after, column),
        column: column.clone(),
    };
    let is_key = |column: &String| column == "tenant" || key.contains(column);
    let differs = |column: &String| {
        let same = before.as_ref().and_then(|row| row.get(column))
            == after.as_ref().and_then(|row| row.get(column));
        !same || before.is_none() || after.is_none()
    };
    Difference {
        table: base.to_owned(),
        key: key_columns
            .into_iter()
            .filter(|column| *column != "tenant")
            .map(cell)
            .collect(),
        columns: columns
            .into_iter()
            .filter(|column| !is_key(column) && differs(column))
            .map(change)
            .collect(),
    }
}

/// A value as text, cut.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some(match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    })
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{}", self.table)?;
        for cell in &self.key {
            write!(f, " {}={}", cell.column, said(&cell.value))?;
        }
        for (n, change) in self.columns.iter().enumerate() {
            let between = if n == 0 { ":" } else { "," };
            let (before, after) = (said(&change.before), said(&change.after));
            write!(f, "{between} {} was {before}, is {after}", change.column)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(value: Value) -> Side {
        value.as_object().cloned()
    }

    #[test]
    fn a_difference_names_the_row_and_what_its_columns_say() {
        let key = ["tenant".to_owned(), "fleet".to_owned()];
        let before = row(json!({ "tenant": "t", "fleet": "f1", "n": 1, "name": "Buses" }));
        let after = row(json!({ "tenant": "t", "fleet": "f1", "n": 2, "name": "Buses" }));
        let found = between("tally", &key, &before, &after);
        assert_eq!(found.to_string(), "tally fleet=f1: n was 1, is 2");
        let gone = between("tally", &key, &before, &None);
        let expect = "tally fleet=f1: n was 1, is nothing, name was Buses, is nothing";
        assert_eq!(gone.to_string(), expect);
        let without_key = between("lines", &[], &None, &after);
        assert_eq!(without_key.key.len(), 3);
        let long = row(json!({ "tenant": "t", "fleet": "f1", "name": "x".repeat(900) }));
        let cut = between("tally", &key, &long, &after);
        assert_eq!(
            cut.columns[0].before.as_ref().map(|v| v.chars().count()),
            Some(201)
        );
    }
}
