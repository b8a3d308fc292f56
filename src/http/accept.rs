//! Accepting connections until told to stop: each bounded in number, and in the time it may take.

mod heads;
mod patience;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics::{counter, gauge};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::config::{Http, Networks};
use crate::ops::{Shutdown, metrics as names};
use patience::{Patience, Patient};

/// Whoever holds it keeps its connection's place: a socket goes on after HTTP has ended.
#[derive(Clone)]
pub struct Held(#[expect(dead_code, reason = "held, not read")] Arc<Place>);

/// One place among all connections; given back when dropped.
struct Place {
    _of_all: OwnedSemaphorePermit,
    /// Whose cap it counts for, if anybody's.
    address: Option<IpAddr>,
    by_address: Arc<ByAddress>,
}

/// How many connections each address has, where that is bounded.
struct ByAddress {
    max: usize,
    uncapped: Networks,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// What a peer is told when there are too many connections.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How long nothing is accepted after the system has refused, for want of file descriptors most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// The part of an address of version 6 that names its network.
const NETWORK_BITS: u128 = !(u64::MAX as u128);

/// What is read of a connection at a time grows up to this, in bytes.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Serves `router` on `listener`: takes no new work after a soft stop and returns when what was begun is
/// finished and sockets are closed, at once after a hard stop.
pub async fn serve(router: Router, settings: &Http, listener: TcpListener, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(settings.connections_max));
    let by_address = Arc::new(ByAddress {
        max: settings.connections_per_address_max,
        uncapped: settings.uncapped_networks.clone(),
        open: Mutex::default(),
    });
    let builder = builder(settings);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.soft() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let Some(place) = Place::take(&places, &by_address, peer.ip()) else {
            counter!(names::HTTP_CONNECTIONS_REFUSED_TOTAL).increment(1);
            let _ = stream.try_write(TOO_MANY);
            continue;
        };
        gauge!(names::HTTP_CONNECTIONS)
            .set((settings.connections_max - places.available_permits()) as f64);
        // Answers are written whole: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            router: router.clone(),
            builder: builder.clone(),
            patience: Patience::new(settings.header_timeout, settings.write_timeout),
            peer,
            held: Held(Arc::new(place)),
        };
        tokio::spawn(connection.serve(stream, shutdown.clone()));
    }
    drop(listener);
    let all = u32::try_from(settings.connections_max).unwrap_or(u32::MAX);
    tokio::select! {
        _ = places.acquire_many(all) => {}
        () = shutdown.hard() => {}
    }
}

fn builder(settings: &Http) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // From the end of a request to the end of the next head; the head's own time is kept below.
        .header_read_timeout(settings.idle_timeout.max(settings.header_timeout))
        .max_headers(settings.headers_max)
        .max_header_size(settings.header_bytes_max.len())
        .max_buf_size(BUFFER_BYTES_MAX);
    builder
}

/// A failed connection attempt is the peer's affair; anything else takes time to pass.
async fn pause_after(error: &io::Error) {
    let kinds = [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
    ];
    if !kinds.contains(&error.kind()) {
        tracing::warn!(%error, "a connection could not be accepted: {error}");
        sleep(PAUSE).await;
    }
}

struct Connection {
    router: Router,
    builder: http1::Builder,
    patience: Patience,
    peer: SocketAddr,
    held: Held,
}

impl Connection {
    async fn serve(self, stream: TcpStream, shutdown: Shutdown) {
        let Connection {
            router,
            builder,
            patience,
            peer,
            held,
        } = self;
        let io = TokioIo::new(Patient::new(stream, patience.clone()));
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let under_way = patience.begin();
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(held.clone());
            request.extensions_mut().insert(peer);
            let answer = hyper::service::Service::call(&router, request);
            async move {
                answer
                    .await
                    .map(|answer: Response| under_way.accompany(answer))
            }
        });
        let connection = builder.serve_connection(io, service).with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.soft() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = shutdown.hard() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early: {error}");
        }
    }
}

impl Place {
    fn take(
        places: &Arc<Semaphore>,
        by_address: &Arc<ByAddress>,
        address: IpAddr,
    ) -> Option<Place> {
        let of_all = places.clone().try_acquire_owned().ok()?;
        let address = by_address.counted(address);
        if let Some(address) = address {
            let mut open = by_address.open();
            let held = open.entry(address).or_default();
            if *held >= by_address.max {
                return None;
            }
            *held += 1;
        }
        Some(Place {
            _of_all: of_all,
            address,
            by_address: by_address.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else {
            return;
        };
        let mut open = self.by_address.open();
        if let Some(held) = open.get_mut(&address) {
            *held -= 1;
            if *held == 0 {
                open.remove(&address);
            }
        }
    }
}

impl ByAddress {
    /// What an address is counted as: of version 6 its network, since whoever has one address there has
    /// all of it. None if it has no cap.
    fn counted(&self, address: IpAddr) -> Option<IpAddr> {
        if self.max == 0 || self.uncapped.hold(address) {
            return None;
        }
        Some(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & NETWORK_BITS).into(),
            v4 => v4,
        })
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_of_a_public_address_or_network() {
        let settings = crate::config::Settings::default().http;
        let by_address = ByAddress {
            max: settings.connections_per_address_max,
            uncapped: settings.uncapped_networks,
            open: Mutex::default(),
        };
        for (address, expect) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("::ffff:203.0.113.7", Some("203.0.113.7")),
            ("2001:db8:1:2:3:4:5:6", Some("2001:db8:1:2::")),
            ("2001:db8:1:2:ffff::", Some("2001:db8:1:2::")),
            ("127.0.0.1", None),
            ("::1", None),
            ("10.244.0.17", None),
            ("::ffff:192.168.1.1", None),
            ("100.64.0.1", None),
            ("fd00::1", None),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            let expect = expect.map(|expect| expect.parse::<IpAddr>().expect("an address"));
            assert_eq!(by_address.counted(address), expect, "{address}");
        }
        let places = Arc::new(Semaphore::new(1_000));
        let by_address = Arc::new(by_address);
        let take =
            |address: &str| Place::take(&places, &by_address, address.parse().expect("an address"));
        let mut held: Vec<_> = (0..100).map(|_| take("203.0.113.7")).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(take("203.0.113.7").is_none(), "the 101st of one address");
        assert!(take("203.0.113.8").is_some() && take("10.0.0.1").is_some());
        held.pop();
        assert!(take("203.0.113.7").is_some(), "a place that was given back");
        held.clear();
        assert!(
            by_address.open().is_empty(),
            "nothing is remembered of those who left"
        );
    }
}
