//! Settings that are lists: names of fields, networks, origins, API keys.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::value::Setting;

/// Names of fields of the schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldNames(Vec<String>);

/// Networks, by their first address and the length of what their addresses have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// Origins of pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// These, each as a browser sends it.
    Listed(Vec<String>),
    /// Whichever.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

/// API keys as other programs have them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ApiKeys(Vec<String>);

/// Secrets are not shown.
impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// The shortest API key, in characters.
const API_KEY_CHARS_MIN: usize = 16;

impl ApiKeys {
    /// The keys themselves.
    pub fn expose(&self) -> &[String] {
        &self.0
    }
}

impl Setting for ApiKeys {
    const KIND: &'static str = "API keys of 16 to 200 visible characters separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        let good = |key: &&str| {
            (API_KEY_CHARS_MIN..=200).contains(&key.len())
                && key.bytes().all(|b| b.is_ascii_graphic())
        };
        let keys: Vec<&str> = items(text).collect();
        match keys.iter().all(good) {
            true => Ok(ApiKeys(keys.into_iter().map(str::to_owned).collect())),
            // What was written is a secret.
            false => Err(format!("is not a list of {}", Self::KIND)),
        }
    }
}

impl FieldNames {
    /// Is this one of them?
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|own| own == name)
    }
}

impl Setting for FieldNames {
    const KIND: &'static str = "names of fields separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        let is_name = |name: &&str| {
            !name.starts_with(|c: char| c.is_ascii_digit())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let names: Vec<&str> = items(text).collect();
        match names.iter().all(is_name) {
            true => Ok(FieldNames(names.into_iter().map(str::to_owned).collect())),
            false => Err(format!("is not a list of {}", Self::KIND)),
        }
    }
}

impl Networks {
    /// Is the address in one of them? One of version 4 that is written as one of version 6 is meant as
    /// what it is.
    pub fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.holds(address))
    }
}

impl Network {
    fn holds(self, address: IpAddr) -> bool {
        let differing = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        differing >= self.prefix_bits
    }

    fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = prefix.map_or(Some(most), |prefix| prefix.parse().ok())?;
        (prefix_bits <= most).then_some(Network {
            address,
            prefix_bits,
        })
    }
}

impl Setting for Networks {
    const KIND: &'static str = "networks such as 10.0.0.0/8 separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        let networks: Option<Vec<Network>> = items(text).map(Network::parse).collect();
        let networks = networks.ok_or_else(|| format!("is not a list of {}", Self::KIND))?;
        Ok(Networks(networks))
    }
}

impl Origins {
    /// Is this, as a browser sent it, one of them? To the letter.
    pub fn have(&self, origin: &[u8]) -> bool {
        match self {
            Origins::Listed(own) => own.iter().any(|own| own.as_bytes() == origin),
            Origins::All => true,
        }
    }

    /// Whichever it is?
    pub fn are_all(&self) -> bool {
        *self == Origins::All
    }

    /// None at all?
    pub fn are_none(&self) -> bool {
        matches!(self, Origins::Listed(own) if own.is_empty())
    }
}

impl Setting for Origins {
    const KIND: &'static str = "origins such as https://app.example separated by commas, or `*`";

    fn parse(text: &str) -> Result<Self, String> {
        let origins: Vec<&str> = items(text).collect();
        match origins.as_slice() {
            ["*"] => Ok(Origins::All),
            origins if origins.iter().all(|origin| is_origin(origin)) => {
                let own = origins.iter().map(|origin| (*origin).to_owned());
                Ok(Origins::Listed(own.collect()))
            }
            _ => Err(
                "is not a list of origins as browsers send them: `https://app.example` or \
                 `https://app.example:8443`, in lower case, without a path or the usual port"
                    .to_owned(),
            ),
        }
    }
}

/// Could a browser send it? What it would not send would never be let in, and nobody would know why.
fn is_origin(text: &str) -> bool {
    let (host, usual_port) = match text.split_once("://") {
        Some(("https", host)) => (host, "443"),
        Some(("http", host)) => (host, "80"),
        _ => return false,
    };
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let port_is_sane = port.is_none_or(|port| {
        let number = port.parse::<u16>().ok().filter(|number| *number > 0);
        port != usual_port && number.is_some_and(|number| number.to_string() == port)
    });
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    let address = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    let name_is_sane = match address {
        Some(address) => address
            .parse::<Ipv6Addr>()
            .is_ok_and(|a| a.to_string() == address),
        None => !name.is_empty() && !name.ends_with('.') && name.bytes().all(plain),
    };
    port_is_sane && name_is_sane
}

/// The items of a list; an empty text is an empty list.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    let items = text.split(',').map(str::trim);
    items.filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_addresses_of_their_own_version() {
        let networks = Networks::parse("10.0.0.0/8, 203.0.113.7,fc00::/7 , ::1").expect("good");
        for (address, expect) in [
            ("10.255.0.1", true),
            ("::ffff:10.1.2.3", true),
            ("11.0.0.1", false),
            ("203.0.113.7", true),
            ("203.0.113.6", false),
            ("fdff::1", true),
            ("fe00::1", false),
            ("::1", true),
            ("::2", false),
            ("0.0.0.1", false),
        ] {
            assert_eq!(
                networks.hold(address.parse().expect("one")),
                expect,
                "{address}"
            );
        }
        let all = Networks::parse("0.0.0.0/0").expect("good");
        assert!(all.hold("198.51.100.1".parse().expect("one")));
        assert!(!all.hold("2001:db8::1".parse().expect("one")));
        assert_eq!(Networks::parse(""), Ok(Networks::default()));
        for bad in [
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/-1",
            "here",
            "10.0.0.0 /8",
        ] {
            assert!(Networks::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_are_as_browsers_send_them() {
        let text = "https://app.example, http://localhost:3000,https://[::1]:8443";
        let origins = Origins::parse(text).expect("good");
        for (origin, expect) in [
            ("https://app.example", true),
            ("http://localhost:3000", true),
            ("https://[::1]:8443", true),
            ("http://app.example", false),
            ("https://app.example:8443", false),
            ("https://app.example.", false),
            ("https://APP.example", false),
            ("https://evil-app.example", false),
            ("https://app.example.evil.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(origins.have(origin.as_bytes()), expect, "{origin}");
        }
        assert!(Origins::parse("*").expect("good").have(b"null"));
        assert!(Origins::parse("").expect("good").are_none());
        for bad in [
            "app.example",
            "null",
            "https://",
            "https://app.example/",
            "https://App.example",
            "https://app.example:443",
            "http://app.example:80",
            "https://app.example:0443",
            "https://app.example:0",
            "https://app.example:99999",
            "https://app.example.",
            "https://ann@app.example",
            "https://[::1",
            "https://[0:0::1]",
            "wss://app.example",
            "https://*.app.example",
            "*, https://app.example",
        ] {
            assert!(Origins::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_fields() {
        let names = FieldNames::parse("login, refreshSession").expect("good");
        assert!(names.has("login") && names.has("refreshSession") && !names.has("Login"));
        assert_eq!(FieldNames::parse(""), Ok(FieldNames::default()));
        for bad in ["log in", "1st", "a-b", "a{b}"] {
            assert!(FieldNames::parse(bad).is_err(), "{bad}");
        }
    }
}
