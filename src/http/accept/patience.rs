//! A connection's patience: how long a request's head may take to arrive, and how long the peer may take
//! nothing of an answer. What comes in passes [`Heads`] on its way.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::heads::Heads;

/// The times of a connection, and what it is doing. Cheap to clone.
#[derive(Clone)]
pub struct Patience {
    header: Duration,
    write: Duration,
    doing: Arc<AtomicU8>,
}

/// A request's head is arriving; so it is from the first moment on.
const HEAD: u8 = 0;
/// A request is being answered: whoever does that keeps the time.
const BUSY: u8 = 1;
/// Nothing: the next byte begins a head.
const IDLE: u8 = 2;
/// A socket is open: there are no more heads, and whoever serves it keeps the time.
const SOCKET: u8 = 3;

/// What is said of a head that did not arrive in time.
const LATE: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

impl Patience {
    /// For a new connection.
    pub fn new(header: Duration, write: Duration) -> Patience {
        Patience {
            header,
            write,
            doing: Arc::new(AtomicU8::new(HEAD)),
        }
    }

    /// A request's head has arrived.
    pub fn begin(&self) -> UnderWay {
        self.doing.store(BUSY, Ordering::Relaxed);
        UnderWay(Some(self.doing.clone()))
    }
}

/// A request under way; over when dropped.
pub struct UnderWay(Option<Arc<AtomicU8>>);

impl UnderWay {
    /// Goes on until the answer's last byte was taken. A socket never ends being under way.
    pub fn accompany(mut self, answer: Response) -> Response {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            if let Some(doing) = self.0.take() {
                doing.store(SOCKET, Ordering::Relaxed);
            }
            return answer;
        }
        answer.map(|body| {
            Body::new(Accompanied {
                body,
                _under_way: self,
            })
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(doing) = &self.0 {
            doing.store(IDLE, Ordering::Relaxed);
        }
    }
}

/// A body with which its request ends.
struct Accompanied {
    body: Body,
    _under_way: UnderWay,
}

impl http_body::Body for Accompanied {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that fails once its patience is at an end.
pub struct Patient {
    stream: TcpStream,
    patience: Patience,
    heads: Heads,
    /// When the head that is awaited began, or the connection.
    since: Instant,
    /// Has any of that head arrived?
    begun: bool,
    /// Runs while the rest of it is awaited.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs while the peer takes nothing.
    write: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    /// A new connection, whose first head is awaited from now on.
    pub fn new(stream: TcpStream, patience: Patience) -> Patient {
        Patient {
            stream,
            heads: Heads::new(),
            since: Instant::now(),
            begun: false,
            head: None,
            write: None,
            patience,
        }
    }

    /// Has the peer taken too long over a head? Asked after every read. Most heads come whole: no clock
    /// is set for them.
    fn waited_for_head(&mut self, cx: &mut Context<'_>, got_bytes: bool, pending: bool) -> bool {
        let doing = &self.patience.doing;
        if got_bytes && doing.load(Ordering::Relaxed) == IDLE {
            doing.store(HEAD, Ordering::Relaxed);
            self.since = Instant::now();
            self.head = None;
        }
        if doing.load(Ordering::Relaxed) != HEAD {
            (self.begun, self.head) = (false, None);
            return false;
        }
        self.begun |= got_bytes;
        let until = self.since + self.patience.header;
        if !pending {
            return Instant::now() >= until;
        }
        let head = self
            .head
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        head.as_mut().poll(cx).is_ready()
    }

    /// Passes on what came of a write; an error if the peer has taken nothing for too long.
    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.write = None;
            return polled;
        }
        let limit = self.patience.write;
        let write = self.write.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(write.as_mut().poll(cx));
        // Polled again, it fails again.
        write.as_mut().reset(Instant::now());
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let came = &mut buffer.filled_mut()[before..];
        let got_bytes = !came.is_empty();
        if self.patience.doing.load(Ordering::Relaxed) != SOCKET {
            self.heads.read(came);
        }
        if self.waited_for_head(cx, got_bytes, polled.is_pending()) {
            // Nothing is under way, unless the peer has not taken the answer before; and who has said
            // nothing is told nothing.
            if self.begun && self.write.is_none() {
                let _ = self.stream.try_write(LATE);
            }
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
