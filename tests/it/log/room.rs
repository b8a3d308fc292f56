//! Connections that the server does not have, or the pool: whoever finds none is told what to look at.

use std::io::Read as _;

use daybook::commands::CommandError;
use daybook::store::StoreSettings;
use rustix::process::Signal;

use super::scene::{settings, store_with, tenant, vehicle};
use crate::support::{Scratch, Served, TestDb};

#[tokio::test]
async fn who_finds_no_connection_is_told_of_both_reasons() {
    let db = TestDb::create().await;
    let settings = StoreSettings {
        pool_max: 4,
        pool_min: 0,
        acquire_timeout_ms: 2_000,
        ..settings()
    };
    let store = store_with(db.options(), settings).await;
    let mut taken = Vec::new();
    // The store looks at its heads over the same connections, so one of them may be away for a moment.
    let error = loop {
        taken.extend(store.pool().acquire().await);
        assert!(taken.len() <= 4, "the pool is bounded");
        if let Err(error) = store.stream_version(&tenant(), &vehicle("a")).await {
            break error;
        }
    };
    assert!(error.is_unavailable());
    let told = error.to_string();
    assert!(told.contains("database.pool_max"), "{told}");
    assert!(told.contains("max_connections"), "{told}");
    // Who signs in or commands asks over the door, whose errors are logged in their own words.
    assert_eq!(CommandError::from(error).to_string(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_fill_the_pool_is_told_of_at_the_start() {
    let (dir, db) = (Scratch::new(), TestDb::create().await);
    let url = db.url();
    for (pool_max, warned) in [("4", false), ("1000", true)] {
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
            ("DAYBOOK_DATABASE__POOL_MAX", pool_max),
            ("DAYBOOK_DATABASE__POOL_MIN", "0"),
        ];
        let mut served = Served::start(dir.path(), &environment);
        served.signal(Signal::TERM);
        let mut said = String::new();
        let stderr = served.child.stderr.take();
        stderr.unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(
            said.contains("of database.pool_max: raise"),
            warned,
            "{said}"
        );
    }
}
