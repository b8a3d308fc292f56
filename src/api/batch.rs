//! One look-up for all items of a page: the first item to ask loads for its neighbours too.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::fault::Fault;

/// What the items of a page may each look up by key. Shared by them, loaded once.
pub struct Batch<K, V> {
    keys: Vec<K>,
    found: OnceCell<HashMap<K, V>>,
}

impl<K: Eq + Hash, V: Clone> Batch<K, V> {
    /// A batch for these keys.
    pub fn of(keys: impl IntoIterator<Item = K>) -> Arc<Batch<K, V>> {
        Arc::new(Batch {
            keys: keys.into_iter().collect(),
            found: OnceCell::new(),
        })
    }

    /// The value of `key`, loading all keys' if nobody has yet.
    pub async fn get<'b, F>(
        &'b self,
        key: &K,
        load: impl FnOnce(&'b [K]) -> F,
    ) -> Result<Option<V>, Fault>
    where
        F: Future<Output = Result<HashMap<K, V>, Fault>>,
    {
        // A field's future is as large as the largest of its type, and there is one for each field of each item:
        // what is run once a page stands apart.
        let found = self
            .found
            .get_or_try_init(|| Box::pin(load(&self.keys)))
            .await?;
        Ok(found.get(key).cloned())
    }
}
