//! Results as events (`text/event-stream`), one operation a request: graphql-sse's distinct connections.
//! An event's id is the position of its item, so that `Last-Event-ID` resumes.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{FutureExt as _, StreamExt as _, stream};
use tokio::time::{Interval, MissedTickBehavior};

use super::Transport;
use super::answer::{Written, event_stream};
use super::engine::Credentials;
use super::quota::{Seat, Ticket};
use crate::api::fault::{Fault, FaultCode};
use crate::api::feed::{FeedStream, Mark};
use crate::api::telling::{self, Telling};
use crate::auth::Caller;

/// The header that says which item was the last one seen.
const LAST_EVENT_ID: &str = "last-event-id";

const COMPLETE: &[u8] = b"event: complete\ndata:\n\n";

/// What a subscription resumes from.
pub fn resume(headers: &HeaderMap) -> Result<Option<Mark>, Fault> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if value.is_empty() => Ok(None),
        (Some(value), None) => value
            .to_str()
            .ok()
            .and_then(Mark::read)
            .map(Some)
            .ok_or_else(|| Fault::of(FaultCode::BadPosition)),
        (Some(_), Some(_)) => Err(Fault::of(FaultCode::BadPosition)),
    }
}

/// One result and the end.
pub fn once(written: Written) -> Response {
    let payload = match written {
        Written::Result { body, .. } => body,
        Written::Refused { errors, .. } => telling::errors_alone(&errors),
    };
    let mut events = BytesMut::from(&*next(&payload, None));
    events.put_slice(COMPLETE);
    event_stream(Body::from(events.freeze()))
}

/// A subscription as it goes on.
struct Events {
    feed: FeedStream,
    telling: Telling,
    keep_alive: Interval,
    /// Ends when the stream must: the caller's token has expired, or the process stops.
    until: Pin<Box<dyn Future<Output = End> + Send>>,
    _places: (Seat, Ticket),
}

#[derive(Clone, Copy)]
enum End {
    Expired,
    Stopping,
}

/// The feed's items as they come. Whoever takes them pulls them.
pub fn stream(
    transport: &Transport,
    (caller, shown): (Arc<Caller>, Credentials),
    feed: FeedStream,
    telling: Telling,
    places: (Seat, Ticket),
) -> Response {
    let expiry = transport.expiry(&caller);
    let turned_away = turned_away(transport.clone(), caller, shown);
    let shutdown = transport.shutdown().clone();
    let until = async move {
        tokio::select! {
            () = tokio::time::sleep(expiry) => End::Expired,
            () = turned_away => End::Expired,
            () = shutdown.soft() => End::Stopping,
        }
    };
    let period = transport.settings().sockets.ping_interval;
    let mut keep_alive = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = Events {
        feed,
        telling,
        keep_alive,
        until: Box::pin(until),
        _places: places,
    };
    // A comment opens the stream, so that the other side knows at once that it is open.
    let open = stream::once(async { Bytes::from_static(b":\n\n") });
    let rest = stream::unfold(Some(events), async |events| events?.step().await);
    event_stream(Body::from_stream(open.chain(rest).map(Ok::<_, Infallible>)))
}

/// Comes back when the caller may not any more, or may do less.
async fn turned_away(transport: Transport, caller: Arc<Caller>, shown: Credentials) {
    loop {
        tokio::time::sleep(transport.settings().sockets.recheck).await;
        match transport.engine().admit_later(shown.clone()).await {
            Ok(now) if now.covers(&caller) => {}
            // Nothing can be read while the database is away; it is looked at again.
            Err(fault) if fault.code() == FaultCode::Unavailable.as_str() => {}
            Ok(_) | Err(_) => return,
        }
    }
}

impl Events {
    async fn step(mut self) -> Option<(Bytes, Option<Events>)> {
        // A panic ends the stream, and says so; what else goes over the connection goes on.
        let item = AssertUnwindSafe(self.feed.next()).catch_unwind();
        tokio::select! {
            item = item => match item {
                Ok(Some(Ok(item))) => Some((next(&item.payload, item.position), Some(self))),
                Ok(Some(Err(fault))) => Some((self.last(&fault), None)),
                Ok(None) => Some((Bytes::from_static(COMPLETE), None)),
                Err(_) => {
                    tracing::error!("a subscription panicked");
                    Some((self.last(&Fault::of(FaultCode::Internal)), None))
                }
            },
            _ = self.keep_alive.tick() => Some((Bytes::from_static(b":\n\n"), Some(self))),
            end = &mut self.until => match end {
                End::Expired => Some((self.last(&Fault::of(FaultCode::Unauthenticated)), None)),
                // Broken off rather than completed: the client comes back with its last id.
                End::Stopping => None,
            },
        }
    }

    fn last(&self, fault: &Fault) -> Bytes {
        let errors = [self.telling.fault(fault)];
        let mut events = BytesMut::from(&*next(&telling::errors_alone(&errors), None));
        events.put_slice(COMPLETE);
        events.freeze()
    }
}

/// A result as an event. JSON as we write it has no line breaks, so that one line of data holds it.
fn next(payload: &[u8], position: Option<Mark>) -> Bytes {
    let id = position.map_or_else(String::new, |position| format!("id: {position}\n"));
    let mut event = BytesMut::with_capacity(payload.len() + id.len() + 22);
    event.put_slice(b"event: next\n");
    event.put_slice(id.as_bytes());
    event.put_slice(b"data: ");
    event.put_slice(payload);
    event.put_slice(b"\n\n");
    event.freeze()
}
