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
