//! One socket from its opening to its close: a single task that hears, asks the operations under way and
//! sends, whichever is ready.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{SplitSink, SplitStream};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use metrics::counter;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::message::{self, Close, Heard};
use super::operations::{Operations, Said, Stage};
use super::outbox::Outbox;
use super::pace::Pace;
use crate::api::fault::{Fault, FaultCode};
use crate::api::feed::Mark;
use crate::api::telling::Telling;
use crate::auth::{Admission, Caller};
use crate::http::accept::Held;
use crate::http::context::Id;
use crate::http::graphql::Transport;
use crate::http::graphql::body::Asked;
use crate::http::graphql::engine::{Credentials, Wanted, turned_away};
use crate::http::graphql::quota::{Seat, Ticket};
use crate::http::meter::Meter;
use crate::ops::metrics as names;

/// What a socket is opened with.
pub struct Opening {
    /// The handshake's ids.
    pub id: Id,
    /// What the handshake shows of who it is.
    pub shown: Credentials,
    /// Its place among all sockets.
    pub seat: Seat,
    /// Its place among all connections.
    pub connection: Option<Held>,
}

type Stream = WebSocketStream<TokioIo<Upgraded>>;

/// A stream's two directions.
type Halves = (SplitSink<Stream, Message>, SplitStream<Stream>);

/// How many bytes may wait before operations are left alone: what is taken from a feed is on its way and
/// grows old, so little is taken at a time.
const AHEAD_BYTES: usize = 16 * 1024;

/// How much of what a closed socket's other side still sends is thrown away at a time, in bytes.
const REST_BYTES: usize = 4 * 1024;

/// Serves the socket until either side closes it.
pub async fn serve(transport: Transport, stream: Stream, opening: Opening) {
    let (mut sink, mut source) = stream.split();
    let (mut session, places) = Session::new(transport, opening);
    let stopping = session.transport.shutdown().clone();
    let mut stopping = Box::pin(async move { stopping.soft().await });
    let mut alarm = Box::pin(sleep_until(session.next_alarm()));
    let end = loop {
        let on = tokio::select! {
            heard = source.next() => session.hear(heard),
            (id, said) = session.operations.next(),
                if session.outbox.is_empty() && !session.operations.is_empty() =>
            {
                session.say_all(&id, said);
                Ok(())
            }
            sent = session.outbox.send(&mut sink), if !session.outbox.is_empty() => {
                sent.map_err(|_| End::Gone)
            }
            found = found_out(&mut session.asking), if session.asking.is_some() => {
                session.admitted(found).map_err(End::Closed)
            }
            () = &mut alarm => session.wake(alarm.as_mut()),
            () = &mut stopping, if !session.stopping => session.stop(),
        };
        let over = session.stopping && session.operations.is_empty() && session.outbox.is_empty();
        match on {
            Err(end) => break end,
            Ok(()) if over => break End::Closed(message::GOING_AWAY),
            Ok(()) => session.hasten(alarm.as_mut()),
        }
    };
    let linger = session.transport.settings().sockets.close_timeout;
    // Dropped first: what was asked for is not carried on for nobody.
    let farewell = session.leave(end);
    // Boxed: what parting takes is no part of a socket's task before.
    Box::pin(part((sink, source), farewell, linger)).await;
    drop(places);
}

/// What is being found out, once it is.
async fn found_out(
    asking: &mut Option<BoxFuture<'static, Result<Arc<Caller>, Fault>>>,
) -> Result<Arc<Caller>, Fault> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Why a socket is over.
enum End {
    /// We close it.
    Closed(Close),
    /// The other side closed it, or is not there any more.
    Gone,
}

/// What is said last.
struct Farewell {
    /// Messages before the close.
    last: Outbox,
    /// None if the other side has closed, or is not there any more.
    close: Option<CloseFrame>,
}

/// Says goodbye and waits until it was heard: a connection closed with unread bytes is reset, and what
/// was sent last is lost.
async fn part((mut sink, source): Halves, mut farewell: Farewell, linger: Duration) {
    let code = match &farewell.close {
        None => "gone".to_owned(),
        Some(frame) => u16::from(frame.code).to_string(),
    };
    counter!(names::SOCKET_CLOSES_TOTAL, "code" => code).increment(1);
    let goodbye = async {
        let Some(frame) = farewell.close else {
            // The library has the reply to a close ready, and sends it with whatever is flushed.
            let mut stream = sink.reunite(source).ok()?;
            return stream.flush().await.ok();
        };
        farewell.last.send(&mut sink).await.ok()?;
        sink.send(Message::Close(Some(frame))).await.ok()?;
        let mut stream = sink.reunite(source).ok()?;
        let io = stream.get_mut();
        io.shutdown().await.ok()?;
        let mut rest = vec![0; REST_BYTES];
        while io.read(&mut rest).await.ok()? > 0 {}
        Some(())
    };
    let _ = timeout(linger, goodbye).await;
}

struct Session {
    transport: Transport,
    id: Id,
    /// What it shows of who it is: in the handshake, or when it introduces itself.
    shown: Credentials,
    caller: Option<(Arc<Caller>, Ticket)>,
    /// Being found out: who it is, or whether it still may.
    asking: Option<BoxFuture<'static, Result<Arc<Caller>, Fault>>>,
    /// When it is to be found out again.
    recheck: Option<Instant>,
    operations: Operations,
    outbox: Outbox,
    pace: Pace,
    meter: Meter,
    telling: Telling,
    opened: Instant,
    heard: Instant,
    pinged: Instant,
    expires: Option<Instant>,
    stopping: bool,
    /// When the alarm goes off.
    alarm: Instant,
}

impl Session {
    fn new(transport: Transport, opening: Opening) -> (Session, (Seat, Option<Held>)) {
        let now = Instant::now();
        let settings = &transport.settings().sockets;
        let session = Session {
            outbox: Outbox::new(settings.queue_messages_max, settings.queue_bytes_max.len()),
            pace: Pace::new(settings.messages_per_second, settings.messages_burst, now),
            telling: transport.telling(&opening.id),
            meter: transport.meters().meter(opening.shown.address),
            id: opening.id,
            shown: opening.shown,
            caller: None,
            asking: None,
            recheck: None,
            operations: Operations::default(),
            opened: now,
            heard: now,
            pinged: now,
            expires: None,
            stopping: false,
            alarm: now,
            transport,
        };
        (session, (opening.seat, opening.connection))
    }

    fn hear(&mut self, heard: Option<Result<Message, Error>>) -> Result<(), End> {
        let message = match heard {
            None => return Err(End::Gone),
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(broken(&error)),
        };
        self.heard = Instant::now();
        if !self.pace.take(self.heard) {
            return Err(End::Closed(message::TOO_MANY_MESSAGES));
        }
        match message {
            Message::Text(text) => message::read(&text)
                .and_then(|heard| self.act(heard))
                .map_err(End::Closed),
            Message::Binary(_) => Err(End::Closed(message::INVALID)),
            Message::Close(_) => Err(End::Gone),
            // The library answers pings by itself.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    fn act(&mut self, heard: Heard) -> Result<(), Close> {
        match heard {
            Heard::Init(token) => self.introduce(token),
            Heard::Ping(payload) => self.put(message::pong(payload)),
            Heard::Pong => Ok(()),
            Heard::Subscribe(id, asked) => self.begin(id, asked),
            Heard::Complete(id) => {
                self.operations.end(&id);
                Ok(())
            }
        }
    }

    fn introduce(&mut self, token: Option<String>) -> Result<(), Close> {
        if self.caller.is_some() || self.asking.is_some() {
            return Err(message::SECOND_INIT);
        }
        if let Some(token) = token {
            let before = self.shown.bearer.as_ref();
            // As in a request: of two, nobody can tell which is meant.
            if self.shown.api_key.is_some() || before.is_some_and(|before| *before != token) {
                return Err(message::FORBIDDEN);
            }
            self.shown.bearer = Some(token);
        }
        let known = match self.transport.engine().admit(self.shown.shown()) {
            Admission::Known(known) => Some(known.map_err(turned_away)),
            Admission::Asking(_) => None,
        };
        match known {
            Some(known) => self.admitted(known),
            None => {
                self.asking = Some(self.ask_again());
                Ok(())
            }
        }
    }

    fn ask_again(&self) -> BoxFuture<'static, Result<Arc<Caller>, Fault>> {
        self.transport.engine().admit_later(self.shown.clone())
    }

    /// It was found out who it is, or that it may not any more, or may do less.
    fn admitted(&mut self, found: Result<Arc<Caller>, Fault>) -> Result<(), Close> {
        self.asking = None;
        let settings = &self.transport.settings().sockets;
        self.recheck = Some(Instant::now() + settings.recheck);
        let unavailable = |fault: &Fault| fault.code() == FaultCode::Unavailable.as_str();
        let caller = match (found, &self.caller) {
            // Nothing can be read while the database is away; it is looked at again.
            (Err(fault), Some(_)) if unavailable(&fault) => return Ok(()),
            (Err(fault), None) if unavailable(&fault) => return Err(message::TRY_AGAIN_LATER),
            (Err(_), _) => return Err(message::FORBIDDEN),
            (Ok(caller), Some((before, _))) if !caller.covers(before) => {
                return Err(message::FORBIDDEN);
            }
            (Ok(caller), _) => caller,
        };
        if let Some((known, _)) = &mut self.caller {
            *known = caller;
            return Ok(());
        }
        if !caller.is_known() {
            return Err(message::FORBIDDEN);
        }
        let ticket = self.transport.0.quota.ticket(&caller);
        let ticket = ticket.map_err(|_| message::TOO_MANY_SOCKETS)?;
        // A token good for longer than a clock can count expires far enough away.
        self.expires = Instant::now().checked_add(self.transport.expiry(&caller));
        self.caller = Some((caller, ticket));
        self.put(message::ack())
    }

    fn begin(&mut self, id: String, asked: Result<Asked, Fault>) -> Result<(), Close> {
        let Some((caller, _)) = &self.caller else {
            return Err(message::UNAUTHORIZED);
        };
        if self.operations.has(&id) {
            return Err(message::DUPLICATE_ID);
        }
        let limit = self.transport.settings().sockets.operations_max;
        let asked = if self.stopping {
            Err(Fault::of(FaultCode::Unavailable))
        } else if self.operations.len() >= limit {
            Err(Fault::of(FaultCode::TooManySubscriptions).with("limit", limit))
        } else {
            asked
        };
        let own = self.id.next();
        let order = self.meter.request(caller).and(asked).and_then(|asked| {
            let payer = (caller.clone(), &self.meter);
            self.transport.order(payer, asked, Wanted::default(), &own)
        });
        match order {
            Err(fault) => self.put(message::error(&id, &[self.telling.fault(&fault)])),
            Ok(order) => {
                let transport = self.transport.clone();
                let stage = if order.is_subscription() {
                    Stage::Opening(async move { transport.subscribe(order, None).await }.boxed())
                } else {
                    Stage::Once(async move { transport.carry_out(order).await }.boxed())
                };
                self.operations.begin(id, stage);
                Ok(())
            }
        }
    }

    /// Passes on what an operation says, and what others have to say by now.
    fn say_all(&mut self, id: &str, said: Said) {
        self.say(id, said);
        while self.outbox.bytes() < AHEAD_BYTES {
            match self.operations.ready() {
                Some((id, said)) => self.say(&id, said),
                None => break,
            }
        }
    }

    fn say(&mut self, id: &str, said: Said) {
        match said {
            Said::Next(payload) => self.push_next(id, &payload),
            Said::Whole(payload) => {
                self.push_next(id, &payload);
                self.outbox.push(message::complete(id));
            }
            Said::Refused(errors) => self.outbox.push(message::error(id, &errors)),
            Said::Failed(fault) => self.push_fault(id, &fault),
            Said::Complete => self.outbox.push(message::complete(id)),
        }
    }

    fn push_next(&mut self, id: &str, payload: &Bytes) {
        match message::next(id, payload) {
            Some(message) => self.outbox.push(message),
            None => {
                self.operations.end(id);
                tracing::error!("a result was no text");
                self.push_fault(id, &Fault::of(FaultCode::Internal));
            }
        }
    }

    fn push_fault(&mut self, id: &str, fault: &Fault) {
        let error = message::error(id, &[self.telling.fault(fault)]);
        self.outbox.push(error);
    }

    /// Answers a client's message: a client must not make answers wait without bound.
    fn put(&mut self, message: Message) -> Result<(), Close> {
        match self.outbox.put(message) {
            true => Ok(()),
            false => Err(message::TOO_SLOW),
        }
    }

    /// Ends all operations. Who was too slow is told where each of its subscriptions goes on, behind
    /// what was taken of them before; the lowest of these positions is told with the close as well.
    fn leave(mut self, end: End) -> Farewell {
        let settings = &self.transport.settings().sockets;
        let nothing = Outbox::new(settings.queue_messages_max, settings.queue_bytes_max.len());
        let (close, last) = match end {
            End::Gone => (None, nothing),
            End::Closed(close) if close != message::TOO_SLOW => (Some(close.frame(None)), nothing),
            End::Closed(close) => {
                let places: Vec<(&str, Mark)> = self.operations.places().collect();
                for (id, at) in &places {
                    let fault = Fault::of(FaultCode::Resume).with("position", at.to_string());
                    let error = message::error(id, &[self.telling.fault(&fault)]);
                    self.outbox.push(error);
                }
                let lowest = places.iter().map(|(_, at)| *at).min();
                (Some(close.frame(lowest)), self.outbox)
            }
        };
        Farewell { last, close }
    }

    /// No new operations, no subscriptions; what was begun is finished.
    fn stop(&mut self) -> Result<(), End> {
        self.stopping = true;
        self.operations.end_subscriptions();
        Ok(())
    }

    /// When something has to be looked at next, if nothing happens before.
    fn next_alarm(&mut self) -> Instant {
        let settings = &self.transport.settings().sockets;
        let mut next = self.pinged + settings.ping_interval;
        next = next.min(self.heard + settings.silence_max);
        if self.caller.is_none() {
            next = next.min(self.opened + settings.init_timeout);
        }
        for at in [
            self.expires,
            self.recheck,
            self.outbox.since().map(|at| at + settings.write_timeout),
        ] {
            next = at.map_or(next, |at| next.min(at));
        }
        self.alarm = next;
        next
    }

    /// Sets the alarm earlier where it has to be. One that goes off too early does no harm, so that it is
    /// not set again for every message.
    fn hasten(&mut self, alarm: Pin<&mut Sleep>) {
        let set = self.alarm;
        if self.next_alarm() < set {
            alarm.reset(self.alarm);
        } else {
            self.alarm = set;
        }
    }

    fn wake(&mut self, alarm: Pin<&mut Sleep>) -> Result<(), End> {
        let now = Instant::now();
        let settings = self.transport.settings().sockets.clone();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.caller.is_none() && due(Some(self.opened + settings.init_timeout)) {
            return Err(End::Closed(message::INIT_TIMEOUT));
        }
        if due(self.expires) {
            return Err(End::Closed(message::FORBIDDEN));
        }
        if due(self.recheck) {
            self.recheck = None;
            self.asking = Some(self.ask_again());
        }
        if due(self.outbox.since().map(|at| at + settings.write_timeout)) {
            return Err(End::Closed(message::TOO_SLOW));
        }
        if due(Some(self.heard + settings.silence_max)) {
            return Err(End::Gone);
        }
        if due(Some(self.pinged + settings.ping_interval)) {
            self.pinged = now;
            self.put(Message::Ping(Bytes::new())).map_err(End::Closed)?;
        }
        alarm.reset(self.next_alarm());
        Ok(())
    }
}

/// What is wrong with what came.
fn broken(error: &Error) -> End {
    match error {
        Error::Capacity(_) => End::Closed(message::TOO_BIG),
        Error::Utf8(_) => End::Closed(message::BAD_TEXT),
        Error::Protocol(_) => End::Closed(message::PROTOCOL_ERROR),
        _ => End::Gone,
    }
}
