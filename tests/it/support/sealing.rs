//! A vault for a test's database, and who may call.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use daybook::auth::{Auth, Foundation};
use daybook::commands::Door;
use daybook::config;
use daybook::limits::Limiter;
use daybook::ops::Clock;
use daybook::store::Store;
use daybook::vault::Vault;

use super::{Scratch, TestDb};

/// A vault with its master key in `keys`, which remembers a key for five seconds.
pub fn vault(db: &TestDb, keys: &Path) -> Vault {
    let settings = config::Vault {
        key_ttl: Duration::from_secs(5),
        ..config::Settings::default().vault
    };
    Vault::open(&settings, keys, db.pool().clone()).unwrap()
}

/// The vault of nodes that are built by hand: all of this process have one master key.
pub fn shared_vault(db: &TestDb) -> Vault {
    static KEYS: LazyLock<Scratch> = LazyLock::new(Scratch::new);
    vault(db, KEYS.path())
}

/// Who calls, for nodes that are built by hand.
pub async fn auth(db: &TestDb, store: &Store, door: &Door) -> Auth {
    let (settings, clock) = (config::Settings::default(), Clock::system());
    let foundation = Foundation {
        door: door.clone(),
        store: store.clone(),
        vault: shared_vault(db),
        limiter: Limiter::start(&settings.limits, None, [0; 32], clock.clone()),
        clock,
    };
    Auth::start(&settings, foundation).await.unwrap()
}
