//! Production, O3 of `docs/promises.md`: it does not start with a secret that is missing, weak or open to others, and
//! says which, all of them at once.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use daybook::config;

use super::{environment, refusal};
use crate::support::Scratch;

const GOOD_KEY: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const GOOD_PASSWORD: &str = "3f9c1be07a52d486";

/// A directory of key files.
struct Keys(Scratch);

impl Keys {
    fn new() -> Keys {
        Keys(Scratch::new())
    }

    fn file(&self, content: &str, mode: u32) -> PathBuf {
        let path = self.0.join(format!("{}.key", uuid::Uuid::now_v7()));
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }
}

/// Production with these settings beside, or instead of, good ones; an empty one is left out.
fn production(keys: &Keys, changes: &[(&str, &str)]) -> config::Sources {
    let master = keys.file(GOOD_KEY, 0o600);
    let good = [
        ("DAYBOOK_ENV", "production"),
        ("DAYBOOK_VAULT__MASTER_KEY_FILE", master.to_str().unwrap()),
    ];
    let changed = |name: &str| changes.iter().any(|(own, _)| *own == name);
    let kept = good.iter().filter(|(name, _)| !changed(name));
    let all: Vec<(&str, &str)> = kept.chain(changes).copied().collect();
    let set: Vec<(&str, &str)> = all.into_iter().filter(|(_, v)| !v.is_empty()).collect();
    environment(&set)
}

#[test]
fn good_secrets_are_accepted() {
    let keys = Keys::new();
    let group = keys.file(&format!("{GOOD_KEY}\n"), 0o440);
    let url = |place: &str| format!("postgres://daybook:{GOOD_PASSWORD}@{place}");
    for changes in [
        &[][..],
        &[("DAYBOOK_VAULT__MASTER_KEY_FILE", group.to_str().unwrap())],
        &[("DATABASE_URL", &url("db.example/daybook"))],
        &[(
            "DATABASE_URL",
            "postgres://daybook@%2Frun%2Fpostgresql/daybook",
        )],
        &[(
            "DATABASE_URL",
            "postgres://daybook@localhost/daybook?host=/run/postgresql",
        )],
        &[("DATABASE_URL", "postgres://daybook@127.0.0.1/daybook")],
        &[(
            "DATABASE_URL",
            "postgres://daybook@db.example/x?sslcert=/c.pem&sslkey=/k.pem",
        )],
        &[("REDIS_URL", "redis://127.0.0.1:6379")],
        &[("REDIS_URL", "redis+unix:///run/redis.sock")],
        &[(
            "REDIS_URL",
            &format!("redis://:{GOOD_PASSWORD}@cache.example"),
        )],
        &[
            ("DAYBOOK_OIDC__ISSUER", "https://login.example"),
            ("DAYBOOK_OIDC__AUDIENCE", "daybook"),
        ],
    ] {
        let loaded = config::load(&production(&keys, changes));
        assert!(loaded.is_ok(), "{changes:?}: {}", loaded.unwrap_err());
    }
}

#[test]
fn a_secret_that_would_not_do_is_refused_by_name_with_a_way_out() {
    let keys = Keys::new();
    let file = |content: &str, mode| keys.file(content, mode).to_str().unwrap().to_owned();
    let master = "DAYBOOK_VAULT__MASTER_KEY_FILE";
    let (name, make) = ("vault.master_key_file", "openssl rand -hex 32");
    let database = ("database.url", "openssl rand -hex 24");
    let redis = ("redis.url", "openssl rand -hex 24");
    let issuer = "http://localhost:9000";
    for ((variable, value), (name, say)) in [
        ((master, String::new()), (name, make)),
        ((master, "/nowhere/vault.key".to_owned()), (name, make)),
        ((master, file("", 0o600)), (name, make)),
        ((master, file(&GOOD_KEY[1..], 0o600)), (name, make)),
        (
            (master, file(&GOOD_KEY.repeat(5), 0o600)),
            (name, "too large"),
        ),
        ((master, file(&"0".repeat(64), 0o600)), (name, make)),
        (
            (master, file(&"07".repeat(32), 0o600)),
            (name, "placeholder"),
        ),
        (
            (master, file(&"0123456789abcdef".repeat(4), 0o600)),
            (name, "placeholder"),
        ),
        ((master, file(GOOD_KEY, 0o604)), (name, "chmod 600")),
        ((master, file(GOOD_KEY, 0o646)), (name, "chmod 600")),
        (
            (master, keys.0.path().to_str().unwrap().to_owned()),
            (name, "not a file"),
        ),
        (
            (
                "DATABASE_URL",
                "postgres://daybook@db.example/daybook".to_owned(),
            ),
            database,
        ),
        (
            (
                "DATABASE_URL",
                "postgres://daybook:@db.example/daybook".to_owned(),
            ),
            database,
        ),
        (
            (
                "DATABASE_URL",
                "postgres://daybook:postgres@db.example/daybook".to_owned(),
            ),
            database,
        ),
        (
            (
                "DATABASE_URL",
                "postgres://daybook:postgres@localhost/daybook".to_owned(),
            ),
            database,
        ),
        (
            (
                "DATABASE_URL",
                "postgres://daybook:changeme-2024@db.example/x".to_owned(),
            ),
            database,
        ),
        (
            (
                "DATABASE_URL",
                "postgres://daybook@db.example/x?password=daybook".to_owned(),
            ),
            database,
        ),
        (("REDIS_URL", "redis://cache.example".to_owned()), redis),
        (
            ("REDIS_URL", "redis://:redis@cache.example".to_owned()),
            redis,
        ),
        (
            ("REDIS_URL", "redis://:password@127.0.0.1".to_owned()),
            redis,
        ),
        (
            ("DAYBOOK_OIDC__ISSUER", issuer.to_owned()),
            ("oidc.issuer", "https://"),
        ),
        (
            ("DAYBOOK_OIDC__JWKS_URL", issuer.to_owned()),
            ("oidc.jwks_url", "https://"),
        ),
    ] {
        let changes = [
            (variable, value.as_str()),
            ("DAYBOOK_OIDC__AUDIENCE", "daybook"),
        ];
        let said = refusal(&production(&keys, &changes));
        assert_eq!(said.lines().count(), 2, "{variable}={value}: {said}");
        let told = said.contains(&format!("  {name}: ")) && said.contains(say);
        assert!(told, "{variable}={value}: {said}");
        for secret in [GOOD_KEY, "postgres@", "changeme", "0707"] {
            assert!(!said.contains(secret), "{said}");
        }
        // What is fit for development is not refused there.
        let mut sources = production(&keys, &changes);
        sources
            .environment
            .retain(|(name, _)| name != "DAYBOOK_ENV");
        assert!(config::load(&sources).is_ok(), "{variable}={value}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let said = refusal(&environment(&[
        ("DAYBOOK_ENV", "production"),
        (
            "DATABASE_URL",
            "postgres://postgres:postgres@db.example/daybook",
        ),
        ("REDIS_URL", "redis://cache.example"),
        ("DAYBOOK_DATABASE__POOL_MIN", "900"),
    ]));
    for name in [
        "vault.master_key_file",
        "database.url",
        "redis.url",
        "database.pool_min",
    ] {
        assert!(said.contains(&format!("  {name}: ")), "{name}: {said}");
    }
    assert_eq!(said.lines().count(), 5, "{said}");
}
