//! What is refused before any route sees it: requests that could be read in two ways, or are meant for
//! somebody else.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::header::{ALLOW, CONNECTION, FORWARDED, HOST, HeaderValue, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;

use super::context::Id;
use super::cors;
use super::problem::problem;
use crate::api::fault::{Fault, FaultCode};
use crate::config::Http;

/// Refuses what is ambiguous and passes the rest on.
pub async fn shield(settings: &Http, request: Request, next: Next) -> Response {
    let chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let (mut answer, close) = match check(settings, &request) {
        Ok(()) => match cors::preflight(settings, &request) {
            Some(answer) => (answer, chunked),
            None => (next.run(request).await, chunked),
        },
        Err(fault) => {
            let mut answer = problem(&fault, &Id::of(&request));
            if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
                let headers = answer.headers_mut();
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            }
            (answer, true)
        }
    };
    if close {
        // Where a chunked body ends, and the next head begins, nobody but hyper knows: what follows is not
        // looked at by `accept::heads`, and must not be read as a request (RFC 9112, 6.1).
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

fn check(settings: &Http, request: &Request) -> Result<(), Fault> {
    let headers = request.headers();
    if [Method::TRACE, Method::CONNECT].contains(request.method()) {
        return Err(Fault::of(FaultCode::MethodNotAllowed));
    }
    let uri = request.uri();
    let length = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let limit = settings.uri_bytes_max.len();
    if length > limit {
        return Err(Fault::of(FaultCode::UriTooLong).with("limit", limit));
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let host = host.to_str().map_err(|_| Fault::of(FaultCode::BadHost))?;
            Some(host)
        }
        (None, None) if request.version() < Version::HTTP_11 => None,
        _ => return Err(Fault::of(FaultCode::BadHost)),
    };
    match (&settings.hosts, host) {
        (Some(own), Some(host)) if !own.has(name(host)) => Err(Fault::of(FaultCode::Misdirected)),
        _ => cors::check_socket(settings, headers),
    }
}

/// The host without its port.
fn name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Does the request come from beside the process rather than from outside: directly, from an address
/// that is not routed? What a proxy passes on comes from outside.
pub fn is_from_inside(request: &Request) -> bool {
    let peer = request.extensions().get::<SocketAddr>();
    peer.is_some_and(|peer| is_local(peer.ip())) && !is_forwarded(request.headers())
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(FORWARDED)
}

fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_ports() {
        for (host, expect) in [
            ("daybook.example", "daybook.example"),
            ("daybook.example:8080", "daybook.example"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(name(host), expect);
        }
    }

    #[test]
    fn what_is_inside() {
        for (address, expect) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("192.168.0.9", true),
            ("::ffff:127.0.0.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("8.8.8.8", false),
            ("100.64.0.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_local(address.parse().unwrap()), expect, "{address}");
        }
    }
}
