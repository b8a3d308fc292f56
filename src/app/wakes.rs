//! Wake-ups by Redis: what the store says to other processes is said there too, and what is heard there is
//! told to the store, which looks for itself.

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::cache::{Bell, Cache};
use crate::store::Store;

/// Starts passing them on, if there is a Redis; ends with the returned set.
pub fn start(store: &Store, cache: &Cache) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    if let Some(bell) = cache.bell() {
        tasks.spawn(say(store.clone(), bell.clone()));
        let store = store.clone();
        tasks.spawn(async move {
            bell.listen(|tenant, head| store.hint_head(tenant, head))
                .await;
        });
    }
    tasks
}

async fn say(store: Store, bell: Bell) {
    let mut said = store.watch_said();
    loop {
        match said.recv().await {
            Ok((tenant, head)) => bell.ring(&tenant, head).await,
            // Redis was slow; later heads say all that the missed ones said.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
