//! What production demands of secrets: that they are there, that nobody could guess them, and that others cannot
//! read them.

use std::net::IpAddr;
use std::path::Path;

use super::secret_file::SecretFile;
use super::{Settings, WebUrl};

/// The shortest password taken, characters.
const PASSWORD_CHARS_MIN: usize = 12;

/// Different characters of a password, at least.
const PASSWORD_VARIETY_MIN: usize = 5;

/// Different bytes of a key of 32, at least: random ones have 30, and fewer than this once in 10^15 keys.
const KEY_VARIETY_MIN: usize = 16;

/// The shortest secret of a webhook: 24 bytes in base 64, 16 in hexadecimal.
const HOOK_SECRET_CHARS_MIN: usize = 32;

/// Different characters of one, at least: 64 hexadecimal digits have 14 or more.
const HOOK_SECRET_VARIETY_MIN: usize = 8;

/// What passwords are made of that are tried first, longer words before those within them.
const COMMON_WORDS: [&str; 26] = [
    "administrator",
    "placeholder",
    "postgresql",
    "1234567890",
    "production",
    "correcthorse",
    "changeit",
    "changeme",
    "password",
    "passw0rd",
    "postgres",
    "12345678",
    "example",
    "daybook",
    "default",
    "letmein",
    "welcome",
    "123456",
    "qwerty",
    "secret",
    "admin",
    "redis",
    "guest",
    "root",
    "test",
    "user",
];

/// Refuses each secret that would not do, by the name of its setting.
pub fn check(settings: &Settings, refuse: &mut impl FnMut(&'static str, String)) {
    if let Some(problem) = master_key(settings) {
        refuse("vault.master_key_file", problem);
    }
    let database = settings.database.url.as_ref();
    let redis = settings.redis.url.as_ref();
    for (key, url) in [
        ("database.url", database.map(|url| url.expose())),
        ("redis.url", redis.map(|url| url.expose())),
    ] {
        if let Some(problem) = url.and_then(|url| Login::of(url).problem()) {
            refuse(key, problem);
        }
    }
    for source in settings.intake.sources.iter() {
        for secret in &source.secrets {
            if let Some(problem) = hook_secret(&secret.file) {
                refuse("intake.sources", problem);
            }
        }
    }
    for (key, url) in [
        ("oidc.issuer", &settings.oidc.issuer),
        ("oidc.jwks_url", &settings.oidc.jwks_url),
    ] {
        if url.as_ref().is_some_and(|url| !WebUrl::is_secure(url)) {
            refuse(key, "must be https:// in production".to_owned());
        }
    }
}

fn master_key(settings: &Settings) -> Option<String> {
    let Some(path) = &settings.vault.master_key_file else {
        return Some(
            "must be set in production: with a key made on the spot and lost, every personal value \
             in the log is lost. Make one with `openssl rand -hex 32 > FILE`, and keep a copy apart \
             from the database's"
                .to_owned(),
        );
    };
    let shown = path.display();
    match SecretFile::MASTER_KEY.read(path) {
        Err(error) => Some(format!("{shown} cannot be used: {error}")),
        Ok(text) => weak_key(&text).map(|problem| {
            format!("{shown} {problem}: make one with `openssl rand -hex 32 > FILE`")
        }),
    }
}

fn hook_secret(path: &Path) -> Option<String> {
    let shown = path.display();
    match SecretFile::WEBHOOK.read(path) {
        Err(error) => Some(format!("{shown} cannot be used: {error}")),
        Ok(text) => weak_hook_secret(&text).map(|problem| {
            format!("{shown} {problem}: make one with `openssl rand -hex 32 > FILE`")
        }),
    }
}

/// What is wrong with a secret that deliveries are signed with. Whoever has one of them can try as many as
/// they like at home.
fn weak_hook_secret(text: &str) -> Option<&'static str> {
    let secret = text.strip_prefix("whsec_").unwrap_or(text);
    if secret.chars().count() < HOOK_SECRET_CHARS_MIN {
        return Some("holds a secret of fewer than 32 characters");
    }
    let dull = is_common(secret) || variety(secret.chars()) < HOOK_SECRET_VARIETY_MIN;
    dull.then_some("holds a placeholder, not a secret")
}

/// What is wrong with a key of 32 bytes in hexadecimal; nothing if it looks like chance.
fn weak_key(text: &str) -> Option<&'static str> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    let is_hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let Some(bytes) = bytes.filter(|_| is_hex) else {
        return Some("does not hold 64 hexadecimal digits");
    };
    if bytes.iter().all(|b| b.is_ascii_graphic() || *b == b' ') {
        return Some("holds a text, not a key made by chance");
    }
    let steps = bytes.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let is_dull = variety(&bytes) < KEY_VARIETY_MIN || variety(steps) == 1;
    is_dull.then_some("holds a placeholder, not a key")
}

/// How many different ones there are.
fn variety<T: Ord>(items: impl IntoIterator<Item = T>) -> usize {
    let items: std::collections::BTreeSet<T> = items.into_iter().collect();
    items.len()
}

/// Who signs in where, as an address says it.
struct Login {
    user: String,
    password: String,
    /// Reached on this machine: by a socket of files, or by an address that leads nowhere else.
    local: bool,
    /// A certificate says who it is.
    certified: bool,
}

impl Login {
    fn of(url: &str) -> Login {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let parameter = |name: &str| {
            let pairs = parameters.split('&').rev();
            let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(own, _)| *own == name);
            found.map(|(_, value)| unescaped(value))
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (user, password) = (unescaped(user), unescaped(password));
        let host = match place.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => place,
        };
        let named = parameter("hostaddr").or_else(|| parameter("host"));
        Login {
            user: parameter("user").unwrap_or(user),
            password: parameter("password")
                .or(parameter("pass"))
                .unwrap_or(password),
            local: scheme.ends_with("unix") || is_local(&named.unwrap_or(unescaped(host))),
            certified: parameter("sslcert").is_some() && parameter("sslkey").is_some(),
        }
    }

    fn problem(&self) -> Option<String> {
        let what = match self.password.as_str() {
            "" if self.local || self.certified => return None,
            "" => "has no password, and is not on this machine",
            password => weak_password(password, &self.user)?,
        };
        Some(format!("{what}: make one with `openssl rand -hex 24`"))
    }
}

fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare
        .parse::<IpAddr>()
        .is_ok_and(|a| a.to_canonical().is_loopback());
    host.is_empty() || host.starts_with('/') || host == "localhost" || loopback
}

/// What is wrong with a password; nothing if it is not among those that are tried first.
fn weak_password(password: &str, user: &str) -> Option<&'static str> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Some("has a password of fewer than 12 characters");
    }
    if password.eq_ignore_ascii_case(user) || is_common(password) {
        return Some("has a password of the kind that is tried first");
    }
    let dull = variety(password.chars()) < PASSWORD_VARIETY_MIN;
    dull.then_some("has a password of few different characters")
}

/// Is it nothing but common words, perhaps with figures and marks?
fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    let plain: String = lower.chars().filter(|c| c.is_alphanumeric()).collect();
    let left = COMMON_WORDS
        .iter()
        .fold(plain.clone(), |left, word| left.replace(word, ""));
    left != plain && left.chars().all(|c| c.is_ascii_digit())
}

/// Undoes percent-encoding; what is none stays.
fn unescaped(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_by_chance() {
        let good = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert_eq!(weak_key(good), None);
        assert_eq!(weak_key(&good.to_uppercase()), None);
        let ascending: String = (0..32).map(|n| format!("{n:02x}")).collect();
        let descending: String = (0..32).map(|n| format!("{:02x}", 255 - 3 * n)).collect();
        let text: String = b"a long sentence that somebody ty"
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        for (bad, problem) in [
            ("", "64 hexadecimal"),
            (&good[2..], "64 hexadecimal"),
            (&format!("{good}00"), "64 hexadecimal"),
            (&good.replacen('9', "g", 1), "64 hexadecimal"),
            (&good.replacen("9f", "+f", 1), "64 hexadecimal"),
            (&"00".repeat(32), "placeholder"),
            (&"ff".repeat(32), "placeholder"),
            (&"deadbeef".repeat(8), "placeholder"),
            (&"0123456789abcdef".repeat(4), "placeholder"),
            (&ascending, "placeholder"),
            (&descending, "placeholder"),
            (&text, "a text"),
        ] {
            let said = weak_key(bad).expect(bad);
            assert!(said.contains(problem), "{bad}: {said}");
        }
    }

    #[test]
    fn a_webhooks_secret_is_long_and_made_by_chance() {
        for good in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        ] {
            assert_eq!(weak_hook_secret(good), None, "{good}");
        }
        for (bad, problem) in [
            ("", "fewer than 32"),
            ("mysecret", "fewer than 32"),
            ("whsec_C2FVsBQIhrscChlQIMV", "fewer than 32"),
            (&"ab".repeat(32), "placeholder"),
            (&"changeme-".repeat(6), "placeholder"),
        ] {
            let said = weak_hook_secret(bad).expect(bad);
            assert!(said.contains(problem), "{bad}: {said}");
        }
    }

    #[test]
    fn a_password_is_not_among_those_tried_first() {
        for good in [
            "3f9c1be07a52d486",
            "daybook-7f3k9x2q",
            "tr0ub4dor&3 horse",
            "8471920365127",
        ] {
            assert_eq!(weak_password(good, "daybook"), None, "{good}");
        }
        for (bad, problem) in [
            ("postgres", "fewer than 12"),
            ("changeme", "fewer than 12"),
            ("3f9c1be07a5", "fewer than 12"),
            ("changeme-2024!", "tried first"),
            ("Daybook_Password1", "tried first"),
            ("postgrespostgres", "tried first"),
            ("123456789012", "tried first"),
            ("PASSWORD-password", "tried first"),
            ("aaaaaaaaaaaaaaaa", "few different"),
            ("abababababab", "few different"),
        ] {
            let said = weak_password(bad, "daybook").expect(bad);
            assert!(said.contains(problem), "{bad}: {said}");
        }
        let said = weak_password("lovelace-of-ockham", "Lovelace-of-Ockham");
        assert!(said.expect("weak").contains("tried first"));
    }

    #[test]
    fn a_login_is_read_out_of_its_address() {
        for (url, user, password, local) in [
            (
                "postgres://ann:p%40ss@db.example:5432/x",
                "ann",
                "p@ss",
                false,
            ),
            ("postgresql://ann@db.example/x", "ann", "", false),
            (
                "postgres://db.example/x?user=ann&password=p",
                "ann",
                "p",
                false,
            ),
            (
                "postgres://ann:p:q@[2001:db8::1]:5432/x",
                "ann",
                "p:q",
                false,
            ),
            ("postgres://ann@localhost/x", "ann", "", true),
            ("postgres://ann@127.0.0.1:5432/x", "ann", "", true),
            ("postgres://ann@[::1]/x", "ann", "", true),
            ("postgres://ann@%2Frun%2Fpostgresql/x", "ann", "", true),
            (
                "postgres://ann@db.example/x?host=/run/postgresql",
                "ann",
                "",
                true,
            ),
            (
                "postgres://ann@localhost/x?host=db.example",
                "ann",
                "",
                false,
            ),
            ("postgres:///x", "", "", true),
            ("redis://:p@cache.example:6379/0", "", "p", false),
            ("redis://cache.example", "", "", false),
            ("redis://127.0.0.1/", "", "", true),
            ("redis+unix:///run/redis.sock?pass=p", "", "p", true),
            ("unix:///run/redis.sock", "", "", true),
        ] {
            let login = Login::of(url);
            assert_eq!(
                (login.user.as_str(), login.password.as_str(), login.local),
                (user, password, local),
                "{url}"
            );
        }
    }
}
