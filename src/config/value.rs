//! What a setting may be: how each type is read from text, compared with its bounds and described.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A type a knob can have.
pub trait Setting: Sized {
    /// How the reference describes a value.
    const KIND: &'static str;
    /// Must never be repeated in a message.
    const SECRET: bool = false;

    /// Reads a value; the error says what would have been right.
    fn parse(text: &str) -> Result<Self, String>;

    /// Compares with a bound; `None` where the type has no order.
    fn order(&self, _bound: &Self) -> Option<Ordering> {
        None
    }
}

/// A size in bytes: `512KiB`, `64MiB`, `1GiB` or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub struct Bytes(pub u64);

impl Bytes {
    /// As a length in memory.
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// No byte at all.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The address of a PostgreSQL server, with its password: not shown when printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

/// The address of a Redis server, with its password: not shown when printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

/// How strict the process is about its own set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A key is made on the spot, a development token is offered.
    Development,
    /// Nothing is made up: a secret that is missing, weak or open to others is refused.
    Production,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Host names, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNames(Vec<String>);

impl HostNames {
    /// Is this one of them, whatever its case?
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

impl Setting for HostNames {
    const KIND: &'static str = "host names separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(|name| name.trim().to_ascii_lowercase());
        let names: Vec<String> = names.collect();
        let sane = |name: &String| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._[:]".contains(&b))
        };
        if !names.iter().all(sane) {
            return Err(
                "is not a list of host names without ports, separated by commas".to_owned(),
            );
        }
        Ok(HostNames(names))
    }
}

macro_rules! whole_number {
    ($($type:ty)*) => {$(
        impl Setting for $type {
            const KIND: &'static str = "a whole number";

            fn parse(text: &str) -> Result<Self, String> {
                let digits: String = text.chars().filter(|c| *c != '_').collect();
                digits.parse().map_err(|_| format!("is not a whole number up to {}", <$type>::MAX))
            }

            fn order(&self, bound: &Self) -> Option<Ordering> {
                Some(self.cmp(bound))
            }
        }
    )*};
}
whole_number!(u16 u32 u64 usize);

impl Setting for f64 {
    const KIND: &'static str = "a number";

    fn parse(text: &str) -> Result<Self, String> {
        let number = text.parse::<f64>().ok().filter(|n| n.is_finite());
        number.ok_or_else(|| "is not a number".to_owned())
    }

    fn order(&self, bound: &Self) -> Option<Ordering> {
        self.partial_cmp(bound)
    }
}

impl Setting for bool {
    const KIND: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "is neither true nor false".to_owned())
    }
}

impl Setting for String {
    const KIND: &'static str = "a text";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err("is empty or holds a control character".to_owned());
        }
        Ok(text.to_owned())
    }
}

impl Setting for PathBuf {
    const KIND: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("is not a path".to_owned());
        }
        Ok(PathBuf::from(text))
    }
}

impl Setting for IpAddr {
    const KIND: &'static str = "an IP address";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "is not an IP address such as 127.0.0.1, 0.0.0.0 or ::".to_owned())
    }
}

impl Setting for Duration {
    const KIND: &'static str = "a duration";

    fn parse(text: &str) -> Result<Self, String> {
        duration(text).ok_or_else(|| {
            "is not a duration: write a number and ms, s, m, h or d, such as 250ms, 15m, 1h30m, 7d"
                .to_owned()
        })
    }

    fn order(&self, bound: &Self) -> Option<Ordering> {
        Some(self.cmp(bound))
    }
}

impl Setting for Bytes {
    const KIND: &'static str = "a size";

    fn parse(text: &str) -> Result<Self, String> {
        size(text).ok_or_else(|| {
            "is not a size: write a number of bytes, or one with KiB, MiB or GiB".to_owned()
        })
    }

    fn order(&self, bound: &Self) -> Option<Ordering> {
        self.partial_cmp(bound)
    }
}

impl Setting for Environment {
    const KIND: &'static str = "development or production";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "development" => Ok(Environment::Development),
            "production" => Ok(Environment::Production),
            _ => Err(format!("is not {}", Self::KIND)),
        }
    }
}

impl Setting for LogFormat {
    const KIND: &'static str = "auto, json or text";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(LogFormat::Auto),
            "json" => Ok(LogFormat::Json),
            "text" => Ok(LogFormat::Text),
            _ => Err(format!("is not {}", Self::KIND)),
        }
    }
}

/// Which log lines are written: a level, or levels by module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// Warnings and worse.
    pub fn warnings() -> LogFilter {
        LogFilter("warn".to_owned())
    }

    /// As tracing's `EnvFilter` reads it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for LogFilter {
    const KIND: &'static str =
        "a level (error, warn, info, debug, trace, off) or `module=level,...`";

    fn parse(text: &str) -> Result<Self, String> {
        let level = |word: &str| {
            let word = word.trim().to_ascii_lowercase();
            ["error", "warn", "info", "debug", "trace", "off"].contains(&word.as_str())
        };
        // A bare word is a level: a misspelt one must not pass for a module's name.
        let known = text
            .split(',')
            .all(|part| level(part.rsplit('=').next().unwrap_or(part)));
        if known {
            Ok(LogFilter(text.to_owned()))
        } else {
            Err(format!("is not {}", Self::KIND))
        }
    }
}

macro_rules! url {
    ($type:ident, $kind:literal, $schemes:expr) => {
        impl Setting for $type {
            const KIND: &'static str = $kind;
            const SECRET: bool = true;

            fn parse(text: &str) -> Result<Self, String> {
                let known = $schemes
                    .iter()
                    .any(|scheme: &&str| text.starts_with(scheme));
                if !known || text.chars().any(|c| c.is_control() || c == ' ') {
                    return Err(format!("does not begin with {}", $schemes.join(" or ")));
                }
                Ok($type(text.to_owned()))
            }
        }

        impl $type {
            /// The whole address, password included.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        /// Shows the address without user and password.
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
                let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                // Parameters may hold secrets too (sslpassword, password).
                write!(
                    f,
                    "{scheme}://{}",
                    place.split('?').next().unwrap_or_default()
                )
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
url!(
    PostgresUrl,
    "a URL postgres://user:password@host:port/name",
    ["postgres://", "postgresql://"]
);
url!(
    RedisUrl,
    "a URL redis://host:port/database",
    ["redis://", "redis+unix://", "unix://"]
);

/// Not set when empty.
impl<T: Setting> Setting for Option<T> {
    const KIND: &'static str = T::KIND;
    const SECRET: bool = T::SECRET;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(None)
        } else {
            T::parse(text).map(Some)
        }
    }

    fn order(&self, bound: &Self) -> Option<Ordering> {
        self.as_ref()?.order(bound.as_ref()?)
    }
}

/// One or more `<number><unit>`, in any order.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let unit_len = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let part = Duration::from_millis(number.checked_mul(milliseconds)?);
        total = total.checked_add(part)?;
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

fn size(text: &str) -> Option<Bytes> {
    let (number, unit) = leading_number(text)?;
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor).map(Bytes)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let len = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..len].parse().ok()?, &text[len..]))
}
