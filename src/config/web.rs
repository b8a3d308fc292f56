//! Addresses of services on the web, checked before anybody is asked.

use std::fmt;

use super::value::Setting;

/// Where something is asked for by HTTP: by TLS, or on this very machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebUrl {
    text: String,
    secure: bool,
    /// The host, an address of version 6 in brackets, and the port if it is not the usual one.
    authority: String,
    /// Where the authority's host ends.
    host_len: usize,
    port: u16,
}

impl WebUrl {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// By TLS?
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Host and port as `Host` names them.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host's name or address, without brackets.
    pub fn host(&self) -> &str {
        let host = &self.authority[..self.host_len];
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, the usual one included.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and parameters.
    pub fn path(&self) -> &str {
        let scheme_len = if self.secure { 8 } else { 7 };
        match &self.text[scheme_len + self.authority.len()..] {
            "" => "/",
            path => path,
        }
    }

    /// Does it have parameters?
    pub fn has_parameters(&self) -> bool {
        self.text.contains('?')
    }

    /// Its parts; none if it is not such a URL.
    fn read(text: &str) -> Option<WebUrl> {
        let (secure, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let authority = &rest[..end];
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !authority.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, if secure { 443 } else { 80 }),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let is_host = match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(plain),
        };
        // What ends a line or a request's head must not come into it; a fragment is nobody's business.
        let is_path = !text.contains('#') && text.bytes().all(|b| b.is_ascii_graphic());
        let here = host == "localhost" || host == "[::1]" || host.starts_with("127.");
        let slashed = rest[end..].is_empty() || rest[end..].starts_with('/');
        (is_host && is_path && slashed && (secure || here) && port > 0).then(|| WebUrl {
            text: text.to_owned(),
            secure,
            authority: authority.to_owned(),
            host_len: host.len(),
            port,
        })
    }
}

impl Setting for WebUrl {
    const KIND: &'static str = "a URL https://host/path, or http:// on this machine";

    fn parse(text: &str) -> Result<Self, String> {
        WebUrl::read(text).ok_or_else(|| {
            "is not a URL such as https://login.example/path, without a user or a fragment; \
             http:// is for localhost, 127.0.0.1 and [::1] alone"
                .to_owned()
        })
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, authority, host, port, path) in [
            (
                "https://login.example",
                "login.example",
                "login.example",
                443,
                "/",
            ),
            (
                "https://login.example/",
                "login.example",
                "login.example",
                443,
                "/",
            ),
            (
                "https://a.example:8443/x?y=z",
                "a.example:8443",
                "a.example",
                8443,
                "/x?y=z",
            ),
            (
                "https://[2001:db8::1]/x",
                "[2001:db8::1]",
                "2001:db8::1",
                443,
                "/x",
            ),
            (
                "http://localhost:9000/realms/a",
                "localhost:9000",
                "localhost",
                9000,
                "/realms/a",
            ),
            ("http://[::1]:9000", "[::1]:9000", "::1", 9000, "/"),
            ("http://127.0.0.1", "127.0.0.1", "127.0.0.1", 80, "/"),
        ] {
            let url = WebUrl::parse(text).unwrap();
            assert_eq!(
                (url.authority(), url.host(), url.port(), url.path()),
                (authority, host, port, path)
            );
            assert_eq!(url.is_secure(), text.starts_with("https"));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in [
            "",
            "login.example",
            "ftp://login.example",
            "https://",
            "https:///x",
            "https://ann@login.example",
            "https://login.example:0",
            "https://login.example:99999",
            "https://login.example:x",
            "https://login.example#x",
            "https://login.example?x",
            "https://login.example/a b",
            "https://login.example/a\r\nx: y",
            "https://log\u{131}n.example",
            "https://[::1",
            "https://[login]",
            "http://login.example",
            "http://localhost.example",
            "http://10.0.0.1",
        ] {
            assert!(WebUrl::parse(bad).is_err(), "{bad:?}");
        }
    }
}
