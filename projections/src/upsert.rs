//! What read models of few, changing rows share in writing: changes become one array for each column,
//! and one statement upserts all of them.

use std::collections::HashMap;

/// In key order, so that two writers cannot wait for each other.
pub(crate) fn in_key_order<K: Ord, V>(changes: HashMap<K, V>) -> Vec<(K, V)> {
    let mut changes: Vec<(K, V)> = changes.into_iter().collect();
    changes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    changes
}

/// SQL that takes `columns` and their position from the new row where that position is later.
pub(crate) fn keep_later(table: &str, said: &str, columns: &[&str]) -> String {
    let mut sets: Vec<String> = columns
        .iter()
        .map(|column| {
            format!(
                "{column} = case when excluded.{said} > {table}.{said}
                 then excluded.{column} else {table}.{column} end"
            )
        })
        .collect();
    sets.push(format!(
        "{said} = greatest({table}.{said}, excluded.{said})"
    ));
    sets.join(", ")
}

/// Columns, each with its type, that are taken together from whatever was said at the later position.
pub(crate) struct Said {
    /// The column that holds the position; it begins at 0, where nothing was said.
    pub(crate) position: &'static str,
    /// What was said there.
    pub(crate) columns: &'static [(&'static str, &'static str)],
}

/// A table whose rows are upserted, written down once: the order here is that of binding.
pub(crate) struct Rows {
    /// The primary key behind the tenant.
    pub(crate) key: &'static [(&'static str, &'static str)],
    /// What is taken by position.
    pub(crate) said: &'static [Said],
    /// Columns that add up.
    pub(crate) sums: &'static [&'static str],
    /// Columns of which the greatest counts.
    pub(crate) greatest: &'static [&'static str],
}

impl Rows {
    /// The statement: the tenant is bound first, then one array for each column.
    pub(crate) fn upsert(&self, table: &str) -> String {
        let said = self.said.iter().flat_map(|said| {
            let columns = said.columns.iter().copied();
            columns.chain([(said.position, "bigint")])
        });
        let numbers = self.sums.iter().chain(self.greatest);
        let columns = self.key.iter().copied().chain(said);
        let columns: Vec<_> = columns
            .chain(numbers.map(|name| (*name, "bigint")))
            .collect();
        let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        let arrays = (2..).zip(&columns);
        let arrays: Vec<_> = arrays
            .map(|(n, (_, kind))| format!("${n}::{kind}[]"))
            .collect();
        let key: Vec<_> = self.key.iter().map(|(name, _)| *name).collect();
        let later = self.said.iter().map(|said| {
            let columns: Vec<_> = said.columns.iter().map(|(name, _)| *name).collect();
            keep_later("t", said.position, &columns)
        });
        let sums = self
            .sums
            .iter()
            .map(|c| format!("{c} = t.{c} + excluded.{c}"));
        let greatest = self.greatest.iter();
        let greatest = greatest.map(|c| format!("{c} = greatest(t.{c}, excluded.{c})"));
        let sets: Vec<_> = later.chain(sums).chain(greatest).collect();
        format!(
            "insert into {table} as t (tenant, {})
             select $1, n.* from unnest({}) n
             on conflict (tenant, {}) do update set {}",
            names.join(", "),
            arrays.join(", "),
            key.join(", "),
            sets.join(", ")
        )
    }
}

/// Changes turned into one array for each column.
pub(crate) struct Column<'a, K, V>(pub(crate) &'a [(K, V)]);

impl<K, V> Column<'_, K, V> {
    pub(crate) fn of<T>(&self, value: impl Fn(&V) -> T) -> Vec<T> {
        self.0.iter().map(|(_, change)| value(change)).collect()
    }
}

impl<V> Column<'_, String, V> {
    pub(crate) fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(key, _)| key.as_str()).collect()
    }
}

impl<V> Column<'_, (String, String), V> {
    pub(crate) fn first_keys(&self) -> Vec<&str> {
        self.0.iter().map(|((key, _), _)| key.as_str()).collect()
    }

    pub(crate) fn second_keys(&self) -> Vec<&str> {
        self.0.iter().map(|((_, key), _)| key.as_str()).collect()
    }
}
