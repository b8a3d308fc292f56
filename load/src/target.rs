//! Where the server is.

use anyhow::{Context, bail};

/// A server that speaks plain HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// `host:port`.
    pub address: String,
}

impl Target {
    /// Of a URL `http://HOST[:PORT]`.
    pub fn parse(url: &str) -> anyhow::Result<Target> {
        if url.starts_with("https://") {
            bail!(
                "--url {url}: TLS is not spoken here; ask the server itself, in front of whatever speaks TLS for it"
            );
        }
        let rest = url
            .strip_prefix("http://")
            .with_context(|| format!("--url {url}: a URL looks like http://HOST:PORT"))?;
        let address = rest.strip_suffix('/').unwrap_or(rest);
        if address.is_empty() || address.contains(['/', '?', '#', '@', ' ']) {
            bail!("--url {url}: a URL looks like http://HOST:PORT, without a path");
        }
        let has_port = address
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Ok(Target {
            address: match has_port {
                true => address.to_owned(),
                false => format!("{address}:80"),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_a_url() {
        for (url, address) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://localhost:1/", "localhost:1"),
            ("http://there", "there:80"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(Target::parse(url).unwrap().address, address);
        }
    }

    #[test]
    fn what_is_no_such_url_is_refused_and_told_how_one_looks() {
        for url in [
            "localhost:8080",
            "ftp://h",
            "http://",
            "http://h/graphql",
            "http://a@h",
        ] {
            let refused = Target::parse(url).unwrap_err().to_string();
            assert!(refused.contains("http://HOST:PORT"), "{refused}");
        }
        let secure = Target::parse("https://h").unwrap_err().to_string();
        assert!(secure.contains("TLS"), "{secure}");
    }
}
