//! Names that other programs and platforms use for our settings.

/// A value given under another name.
pub struct Alias {
    /// The variable that was set.
    pub name: String,
    /// The setting it means.
    pub key: &'static str,
    /// Its value, in our notation.
    pub value: String,
}

/// Variables that mean one setting, weakest first: where two are set, the later one wins.
pub const NAMES: &[(&str, &str)] = &[
    ("BOLT_SERVER_PORT", "http.port"),
    ("PORT", "http.port"),
    ("BOLT_SERVER_READ_TIMEOUT", "http.body_timeout"),
    ("DB_MAX_OPEN_CONNS", "database.pool_max"),
    ("DB_MAX_IDLE_CONNS", "database.pool_min"),
    ("DB_CONN_MAX_LIFETIME", "database.connection_lifetime"),
    ("BOLT_JWT_ACCESS_TOKEN_EXPIRY", "auth.access_ttl"),
    ("API_KEYS", "auth.api_keys"),
    ("BOLT_OBSERVABILITY_LOG_FORMAT", "log.format"),
    ("BOLT_MONITORING_LOG_LEVEL", "log.level"),
    ("LOG_LEVEL", "log.level"),
    ("RUST_LOG", "log.level"),
];

/// Variables that mean a whole address and win over its parts.
pub const ADDRESSES: &[(&str, &str)] =
    &[("DATABASE_URL", "database.url"), ("REDIS_URL", "redis.url")];

/// Variables that each hold a part of an address: their common prefix, the setting.
pub const PARTS: &[(&str, &str)] = &[
    ("BOLT_DATABASE_", "database.url"),
    ("DB_", "database.url"),
    ("BOLT_REDIS_", "redis.url"),
];

/// What the environment sets under other names, weakest first. An empty value sets nothing.
pub fn assigned(environment: &[(String, String)]) -> Vec<Alias> {
    let value = |name: &str| {
        let found = environment.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    };
    let parts = PARTS.iter().filter_map(|(prefix, key)| {
        let part = |name: &str| value(&format!("{prefix}{name}"));
        let host = part("HOST")?;
        Some(Alias {
            name: format!("{prefix}HOST"),
            key,
            value: address(key, host, part),
        })
    });
    let names = NAMES.iter().chain(ADDRESSES).filter_map(|(name, key)| {
        // One of the sources writes `:8000`.
        let value = value(name)?.trim_start_matches(':').to_owned();
        Some(Alias {
            name: (*name).to_owned(),
            key,
            value,
        })
    });
    parts.chain(names).collect()
}

fn address<'a>(key: &str, host: &str, part: impl Fn(&str) -> Option<&'a str>) -> String {
    let password = part("PASSWORD").map(escaped).unwrap_or_default();
    if key == "redis.url" {
        let (port, database) = (part("PORT").unwrap_or("6379"), part("DB").unwrap_or("0"));
        let secret = if password.is_empty() {
            password
        } else {
            format!(":{password}@")
        };
        return format!("redis://{secret}{host}:{port}/{database}");
    }
    let user = escaped(part("USER").unwrap_or("postgres"));
    let secret = if password.is_empty() {
        password
    } else {
        format!(":{password}")
    };
    let (port, name) = (
        part("PORT").unwrap_or("5432"),
        part("NAME").unwrap_or("daybook"),
    );
    format!("postgres://{user}{secret}@{host}:{port}/{}", escaped(name))
}

/// Percent-encodes what may not stand in a part of a URL (RFC 3986, unreserved characters).
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}
