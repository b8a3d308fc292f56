//! What a rebuild knows about the rows it has written so far: new rows need no upsert.
//!
//! A row known to be new goes in by COPY, at about a third of what an upsert costs the server. The
//! knowledge is a Bloom filter: a row it calls new was never written; one it does not may be new all
//! the same and is upserted. So it is bounded whatever the size of the tables.

use std::sync::{Mutex, PoisonError};

use sqlx::{Connection, PgConnection};

use crate::copy::CopyRows;

/// Words of the filter: 16 MiB. Of 10 million rows one in a hundred is mistaken for an old one, of
/// 50 million every other.
const WORDS: usize = 1 << 21;

/// Bits of one word that stand for a row.
const BITS: u32 = 4;

/// The rows of one generation of one tenant, written from nothing by one process.
pub struct Filling(Mutex<Vec<u64>>);

impl Default for Filling {
    fn default() -> Filling {
        Filling(Mutex::new(vec![0; WORDS]))
    }
}

impl Filling {
    /// Takes the new ones out of `rows`, each with a hash of its key, and knows them from here on.
    /// Keeps the order of both.
    pub(crate) fn take_new<T>(&self, rows: &mut Vec<T>, hash: impl Fn(&T) -> u64) -> Vec<T> {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.extract_if(.., |row| is_new(&mut words, hash(row)))
            .collect()
    }
}

fn is_new(words: &mut [u64], hash: u64) -> bool {
    let mask = (0..BITS).fold(0, |mask, n| mask | 1 << (hash >> (6 * n) & 63));
    let word = &mut words[(hash >> (6 * BITS)) as usize % WORDS];
    let new = *word & mask != mask;
    *word |= mask;
    new
}

/// Sends new rows to a table. False if one of them was there all the same (another writer was
/// faster): then none of them was written.
pub(crate) async fn copy_new(
    conn: &mut PgConnection,
    rows: CopyRows,
    table: &str,
    columns: &str,
) -> Result<bool, sqlx::Error> {
    if rows.len() == 0 {
        return Ok(true);
    }
    let mut attempt = conn.begin().await?;
    match rows.send(&mut attempt, table, columns).await {
        Ok(()) => attempt.commit().await.map(|()| true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            attempt.rollback().await.map(|()| false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;
    use crate::hash::FastMap;

    #[test]
    fn what_was_written_is_never_new_and_what_was_not_mostly_is() {
        let hasher = FastMap::<i64, ()>::default();
        let hash = |key: &i64| hasher.hasher().hash_one(key);
        let filling = Filling::default();
        let mut first: Vec<i64> = (0..100_000).collect();
        let mut again = first.clone();
        let new = filling.take_new(&mut first, hash);
        assert!(new.len() > 99_000, "{}", new.len());
        assert!(new.is_sorted());
        assert_eq!(new.len() + first.len(), 100_000);
        assert!(filling.take_new(&mut again, hash).is_empty());
        assert_eq!(again.len(), 100_000);
    }
}
