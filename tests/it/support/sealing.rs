//! A vault for a test's database.

use std::path::Path;
use std::time::Duration;

use daybook::config;
use daybook::vault::Vault;

use super::TestDb;

/// A vault with its master key in `keys`, which remembers a key for five seconds.
pub fn vault(db: &TestDb, keys: &Path) -> Vault {
    let settings = config::Vault {
        key_ttl: Duration::from_secs(5),
        ..config::Settings::default().vault
    };
    Vault::open(&settings, keys, db.pool().clone()).unwrap()
}
