//! Settings: what is accepted, which layer wins, and what a refused value's author is told.

mod hooks;
mod production;

use std::path::PathBuf;
use std::time::Duration;

use daybook::config::{self, Environment, Override, Settings, Sources};

fn environment(pairs: &[(&str, &str)]) -> Sources {
    let environment = pairs
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect();
    Sources {
        environment,
        ..Sources::default()
    }
}

fn file(content: &str) -> (Sources, PathBuf) {
    let name = format!(
        "daybook-config-{}-{}.toml",
        std::process::id(),
        uuid::Uuid::now_v7()
    );
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, content).unwrap();
    (
        Sources {
            file: Some(path.clone()),
            ..Sources::default()
        },
        path,
    )
}

fn refusal(sources: &Sources) -> String {
    config::load(sources)
        .map(|_| ())
        .expect_err("a refusal")
        .to_string()
}

#[test]
fn every_default_is_accepted() {
    let settings = Settings::default();
    assert_eq!(settings.http.port, 8080);
    assert_eq!(settings.http.address.to_string(), "127.0.0.1");
    assert_eq!(settings.database.pool_max, 25);
    assert_eq!(
        settings.commands.idempotency_retention,
        Duration::from_secs(86_400)
    );
    assert_eq!(settings.redis.budget, Duration::from_millis(100));
    assert_eq!(settings.limits.query_bytes_max.0, 16 * 1024);
    assert_eq!(settings.database.url, None);
    assert_eq!(settings.process.env, Environment::Development);
}

#[test]
fn good_values_are_read_in_every_notation() {
    type Check = fn(&Settings) -> bool;
    let cases: &[(&str, &str, Check)] = &[
        ("DAYBOOK_HTTP__PORT", "0", |s| s.http.port == 0),
        ("DAYBOOK_HTTP__ADDRESS", "::", |s| {
            s.http.address.is_unspecified()
        }),
        ("DAYBOOK_AUTH__ACCESS_TTL", "7d", |s| {
            s.auth.access_ttl.as_secs() == 604_800
        }),
        ("DAYBOOK_AUTH__ACCESS_TTL", "1h30m", |s| {
            s.auth.access_ttl.as_secs() == 5_400
        }),
        ("DAYBOOK_REDIS__BUDGET", "250ms", |s| {
            s.redis.budget.as_millis() == 250
        }),
        ("DAYBOOK_CACHE__BYTES_MAX", "1 GiB", |s| {
            s.cache.bytes_max.0 == 1 << 30
        }),
        ("DAYBOOK_CACHE__BYTES_MAX", "2097152", |s| {
            s.cache.bytes_max.0 == 2 << 20
        }),
        ("DAYBOOK_LIMITS__COST_MAX", "10_000", |s| {
            s.limits.cost_max == 10_000
        }),
        ("DAYBOOK_FIXES__AGE_MAX", "", |s| s.fixes.age_max.is_none()),
        ("DAYBOOK_FIXES__AGE_MAX", "30d", |s| {
            s.fixes.age_max.is_some()
        }),
        ("DAYBOOK_DATA_DIR", "/var/lib/d", |s| {
            s.process.data_dir.as_os_str() == "/var/lib/d"
        }),
        ("DAYBOOK_LOG__LEVEL", "warn,daybook=debug", |s| {
            s.log.level.as_str().ends_with("debug")
        }),
        ("PORT", "9000", |s| s.http.port == 9000),
        ("PORT", ":8000", |s| s.http.port == 8000),
        ("PORT", "", |s| s.http.port == 8080),
        ("DATABASE_URL", "", |s| s.database.url.is_none()),
        ("RUST_LOG", "debug", |s| s.log.level.as_str() == "debug"),
        ("DB_MAX_OPEN_CONNS", "40", |s| s.database.pool_max == 40),
        ("BOLT_JWT_ACCESS_TOKEN_EXPIRY", "15m", |s| {
            s.auth.access_ttl.as_secs() == 900
        }),
        ("DAYBOOK_PORT", "tcp://10.0.0.1:8080", |s| {
            s.http.port == 8080
        }),
        ("DAYBOOK_SERVICE_HOST", "10.0.0.1", |s| s.http.port == 8080),
        ("DAYBOOK_TEST_ANYTHING", "1", |s| s.http.port == 8080),
        ("DAYBOOKER", "1", |s| s.http.port == 8080),
    ];
    for (name, value, holds) in cases {
        let settings = config::load(&environment(&[(name, value)])).unwrap();
        assert!(holds(&settings), "{name}={value}");
    }
}

/// Variable, value, and what its author is told.
const BAD: &[(&str, &str, &[&str])] = &[
    (
        "PORT",
        "99999",
        &["http.port", "\"99999\"", "environment variable PORT"],
    ),
    (
        "DAYBOOK_HTTP__PORT",
        "-1",
        &["http.port", "not a whole number"],
    ),
    ("DAYBOOK_HTTP__PORT", "", &["http.port"]),
    (
        "DAYBOOK_HTTP__ADDRESS",
        "localhost",
        &["http.address", "127.0.0.1"],
    ),
    (
        "DAYBOOK_AUTH__ACCESS_TTL",
        "15",
        &["auth.access_ttl", "250ms, 15m"],
    ),
    (
        "DAYBOOK_AUTH__ACCESS_TTL",
        "15 minutes",
        &["auth.access_ttl"],
    ),
    (
        "DAYBOOK_AUTH__ACCESS_TTL",
        "30s",
        &["auth.access_ttl", "outside 1m to 365d"],
    ),
    (
        "DAYBOOK_AUTH__ACCESS_TTL",
        "99999999999999999999d",
        &["auth.access_ttl"],
    ),
    (
        "DAYBOOK_CACHE__BYTES_MAX",
        "64MB",
        &["cache.bytes_max", "KiB, MiB or GiB"],
    ),
    (
        "DAYBOOK_CACHE__BYTES_MAX",
        "99999999999GiB",
        &["cache.bytes_max"],
    ),
    (
        "DAYBOOK_FIXES__SPEED_MAX_MPS",
        "NaN",
        &["fixes.speed_max_mps", "not a number"],
    ),
    (
        "DAYBOOK_LOG__FORMAT",
        "yaml",
        &["log.format", "auto, json or text"],
    ),
    (
        "RUST_LOG",
        "inof",
        &["log.level", "environment variable RUST_LOG"],
    ),
    ("DAYBOOK_ENV", "prod", &["env", "development or production"]),
    (
        "DAYBOOK_DATABASE__POOL_MIN",
        "50",
        &["database.pool_min", "above database.pool_max"],
    ),
    (
        "DAYBOOK_LIMITS__PAGE_DEFAULT",
        "500",
        &["limits.page_default", "limits.page_max"],
    ),
    (
        "DAYBOOK_LIMITS__ACCOUNT_PAUSE_MIN",
        "20m",
        &["limits.account_pause_min", "limits.account_pause_max"],
    ),
    (
        "DAYBOOK_HTTP__TRUSTED_PROXIES",
        "everybody",
        &["http.trusted_proxies", "networks such as"],
    ),
    (
        "DAYBOOK_HTTP__CORS_ORIGINS",
        "https://app.example/",
        &["http.cors_origins", "without a path"],
    ),
    ("DAYBOOK_AUTH__ISSUER", "", &["auth.issuer", "empty"]),
    ("REDIS_URL", "localhost:6379", &["redis.url", "redis://"]),
    (
        "DAYBOOK_HTTP__PROT",
        "1",
        &["no such setting", "DAYBOOK_HTTP__PORT?"],
    ),
    (
        "DAYBOOK_HTTP_PORT",
        "1",
        &["no such setting", "DAYBOOK_HTTP__PORT?"],
    ),
    (
        "DAYBOOK_WHATEVER_ELSE",
        "1",
        &["no such setting", "daybook schema --settings"],
    ),
];

#[test]
fn a_bad_value_is_refused_with_its_name_its_fault_and_its_origin() {
    for (name, value, parts) in BAD {
        let said = refusal(&environment(&[(name, value)]));
        for part in *parts {
            assert!(said.contains(part), "{name}={value} says: {said}");
        }
    }
}

#[test]
fn a_secret_is_never_repeated() {
    let said = refusal(&environment(&[(
        "DATABASE_URL",
        "mysql://root:hunter2@db/x",
    )]));
    assert!(
        said.contains("database.url") && !said.contains("hunter2"),
        "{said}"
    );

    let given = [(
        "DATABASE_URL",
        "postgres://ann:hunter2@db/x?password=hunter2",
    )];
    let settings = config::load(&environment(&given)).unwrap();
    let shown = format!("{settings:?} {}", settings.database.url.clone().unwrap());
    assert!(
        shown.contains("postgres://db/x") && !shown.contains("hunter2"),
        "{shown}"
    );
    assert!(
        settings
            .database
            .url
            .unwrap()
            .expose()
            .contains("ann:hunter2")
    );
}

#[test]
fn later_layers_win() {
    let (mut sources, path) = file("[http]\nport = 1001\n[append]\nqueue_max = 7\n");
    assert_eq!(config::load(&sources).unwrap().http.port, 1001);
    sources
        .environment
        .push(("DAYBOOK_HTTP__PORT".into(), "1002".into()));
    assert_eq!(config::load(&sources).unwrap().http.port, 1002);
    sources.environment.push(("PORT".into(), "1003".into()));
    assert_eq!(config::load(&sources).unwrap().http.port, 1003);
    let value = "1004".to_owned();
    sources.overrides.push(Override {
        key: "http.port",
        flag: "--port",
        value,
    });
    let settings = config::load(&sources).unwrap();
    assert_eq!((settings.http.port, settings.append.queue_max), (1004, 7));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn parts_of_an_address_make_an_address_unless_a_whole_one_is_given() {
    let mut parts = vec![
        ("DB_HOST", "db"),
        ("DB_USER", "ann"),
        ("DB_PASSWORD", "p@ss/w"),
    ];
    let url = |pairs: &[(&str, &str)]| {
        config::load(&environment(pairs))
            .unwrap()
            .database
            .url
            .unwrap()
            .expose()
            .to_owned()
    };
    assert_eq!(url(&parts), "postgres://ann:p%40ss%2Fw@db:5432/daybook");
    parts.push(("DATABASE_URL", "postgres://elsewhere/x"));
    assert_eq!(url(&parts), "postgres://elsewhere/x");

    let redis = environment(&[("BOLT_REDIS_HOST", "cache"), ("BOLT_REDIS_PASSWORD", "x")]);
    let redis = config::load(&redis).unwrap().redis.url.unwrap();
    assert_eq!(redis.expose(), "redis://:x@cache:6379/0");
}

#[test]
fn a_file_is_checked_like_the_environment() {
    let cases: &[(&str, &[&str])] = &[
        (
            "[http]\nprot = 1\n",
            &["http.prot", "did you mean http.port?", ".toml"],
        ),
        ("http = 5\n", &["http"]),
        ("[http.port]\nx = 1\n", &["http.port"]),
        ("[http]\nport = [1, 2]\n", &["http.port", "one value"]),
        (
            "[http]\nport = 70000\n",
            &["http.port", "\"70000\"", ".toml"],
        ),
        ("[nonsense]\nx = 1\n", &["nonsense", "no such setting"]),
        ("[http\n", &["file"]),
    ];
    for (content, parts) in cases {
        let (sources, path) = file(content);
        let said = refusal(&sources);
        for part in *parts {
            assert!(said.contains(part), "{content:?} says: {said}");
        }
        std::fs::remove_file(path).unwrap();
    }
    let absent = Sources {
        file: Some("/nowhere/x.toml".into()),
        ..Sources::default()
    };
    assert!(refusal(&absent).contains("/nowhere/x.toml"));
}

#[test]
fn all_problems_are_told_at_once() {
    let said = refusal(&environment(&[
        ("PORT", "x"),
        ("DAYBOOK_ENV", "x"),
        ("DAYBOOK_LOG__FORMAT", "x"),
        ("DAYBOOK_NO_SUCH", "x"),
    ]));
    assert_eq!(said.lines().count(), 5, "{said}");
}

#[test]
fn an_issuer_is_trusted_with_all_that_it_takes() {
    let issuer = "https://login.example/realms/ops";
    let trusted = |more: &[(&str, &str)]| {
        let mut all = vec![("DAYBOOK_OIDC__ISSUER", issuer)];
        all.extend_from_slice(more);
        environment(&all)
    };
    for (more, parts) in [
        (&[][..], "oidc.audience"),
        (
            &[
                ("DAYBOOK_OIDC__AUDIENCE", "daybook"),
                ("DAYBOOK_AUTH__ISSUER", issuer),
            ],
            "oidc.issuer",
        ),
        (
            &[
                ("DAYBOOK_OIDC__AUDIENCE", "daybook"),
                ("DAYBOOK_OIDC__TENANT", "A b"),
            ],
            "oidc.tenant",
        ),
        (
            &[
                ("DAYBOOK_OIDC__AUDIENCE", "daybook"),
                ("DAYBOOK_OIDC__ROLES_MAP", "x=root"),
            ],
            "admin",
        ),
        (
            &[
                ("DAYBOOK_OIDC__AUDIENCE", "daybook"),
                ("DAYBOOK_OIDC__JWKS_STALE_MAX", "1m"),
            ],
            "oidc.jwks_ttl",
        ),
    ] {
        let said = refusal(&trusted(more));
        assert!(said.contains(parts), "{more:?}: {said}");
    }
    let settings = config::load(&trusted(&[("DAYBOOK_OIDC__AUDIENCE", "daybook")])).unwrap();
    assert_eq!(settings.oidc.issuer.unwrap().as_str(), issuer);
    for bad in [
        "http://login.example",
        "login.example",
        "https://login.example?tenant=a",
        "https://ann:pw@login.example",
    ] {
        let bad = [
            ("DAYBOOK_OIDC__ISSUER", bad),
            ("DAYBOOK_OIDC__AUDIENCE", "daybook"),
        ];
        assert!(
            refusal(&environment(&bad)).contains("oidc.issuer"),
            "{bad:?}"
        );
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let said = refusal(&environment(&[
        ("DAYBOOK_HTTP__CORS_ORIGINS", "*"),
        ("DAYBOOK_HTTP__CORS_CREDENTIALS", "true"),
    ]));
    assert!(said.contains("http.cors_credentials"), "{said}");
    let named = environment(&[
        ("DAYBOOK_HTTP__CORS_ORIGINS", "https://app.example"),
        ("DAYBOOK_HTTP__CORS_CREDENTIALS", "true"),
    ]);
    assert!(config::load(&named).unwrap().http.cors_credentials);
}

#[test]
fn the_page_of_settings_is_as_generated() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == config::reference(),
        "docs/configuration.md is old: daybook schema --settings > docs/configuration.md"
    );
}

#[test]
fn every_bound_holds_its_default() {
    // The reference names each knob; a bound that cannot be read or excludes its default makes
    // `Settings::default()` panic, which `every_default_is_accepted` would show.
    let page = config::reference();
    assert!(page.contains("| `http.port` | `DAYBOOK_HTTP__PORT` | `8080` |"));
    assert!(page.contains("| `DATABASE_URL` | `database.url` |"));
    assert!(page.lines().filter(|line| line.starts_with("| `")).count() > 80);
}

/// A knob that nobody reads is a lie, and so is a metric that nobody describes.
#[test]
fn every_setting_is_read_and_every_metric_described() {
    let mut sources = Vec::new();
    collect(
        concat!(env!("CARGO_MANIFEST_DIR"), "/src").as_ref(),
        &mut sources,
    );
    let read = sources
        .iter()
        .filter(|(path, _)| !path.contains("/config/"));
    let code: String = read.map(|(_, text)| text.as_str()).collect();
    let page = config::reference();
    for row in page.lines().filter(|line| line.contains("` | `DAYBOOK_")) {
        let key = row.split('`').nth(1).unwrap();
        let field = format!(".{}", key.rsplit('.').next().unwrap());
        assert!(code.contains(&field), "{key} is not read by anything");
    }
    let described = &sources
        .iter()
        .find(|(path, _)| path.ends_with("/ops/metrics.rs"))
        .unwrap()
        .1;
    for (path, text) in &sources {
        for kind in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
            for call in text.split(kind).skip(1) {
                let name = call.split('"').next().unwrap();
                assert!(
                    described.contains(name),
                    "{path}: {name} is not in ops/metrics.rs"
                );
            }
        }
    }
}

fn collect(dir: &std::path::Path, into: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, into),
            false => into.push((
                path.display().to_string(),
                std::fs::read_to_string(&path).unwrap(),
            )),
        }
    }
}
