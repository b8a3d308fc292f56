//! Many sockets of graphql-transport-ws in one thread: each subscribes, and what comes is counted.
//!
//! A socket costs a task and its descriptor: all read into one buffer, one after the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail, ensure};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::frames::{self, Frames};
use super::handshake::{Order, open};
use crate::clock;

/// How many sockets are opened at once.
const OPENING: usize = 64;

/// What is read at a time, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// What is kept of each delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// Nothing: they are counted.
    #[default]
    Count,
    /// Its position in the log, and when it came.
    Places,
    /// How long after its `recordedAt` it came.
    Lags,
}

/// A delivery: `extensions.position` or a field of that name, and when it came in microseconds.
pub type Place = (u64, u64);

/// What came since the last [`Swarm::begin`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Heard {
    keep: Keep,
    /// Results.
    pub deliveries: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// When the last came, in microseconds.
    pub last_us: u64,
    /// Of each delivery, if they are kept.
    pub places: Vec<Place>,
    /// Of each delivery, in microseconds, if they are kept.
    pub lags_us: Vec<u32>,
}

/// The sockets.
pub struct Swarm {
    shared: Arc<Shared>,
    sockets: JoinSet<()>,
}

struct Shared {
    order: Order,
    inner: Mutex<Inner>,
}

struct Inner {
    buffer: Vec<u8>,
    heard: Heard,
    /// Sockets that have had a delivery since they were opened.
    reached: usize,
    /// What each had since the last beginning, in the order of their numbers.
    each: Vec<u64>,
    /// Why the first socket that ended did.
    ended: Option<String>,
}

/// Now, in microseconds, on a clock that all processes of the machine share.
pub fn now_us() -> u64 {
    clock::now().timestamp_micros().unsigned_abs()
}

impl Swarm {
    /// Opens so many sockets, each of which subscribes.
    pub async fn open(order: Order, count: usize) -> anyhow::Result<Swarm> {
        ensure!(!order.queries.is_empty(), "nothing to subscribe to");
        let shared = Arc::new(Shared {
            order,
            inner: Mutex::new(Inner {
                buffer: vec![0; BUFFER_BYTES],
                heard: Heard::default(),
                reached: 0,
                each: vec![0; count],
                ended: None,
            }),
        });
        let (mut opening, mut sockets) = (JoinSet::new(), JoinSet::new());
        for n in 0..count + OPENING {
            if n < count {
                let shared = shared.clone();
                opening.spawn(async move { (n, open(&shared.order, n).await) });
            }
            if n >= OPENING.min(count)
                && let Some(opened) = opening.join_next().await
            {
                let (n, opened) = opened?;
                let (stream, frames) = opened.context("a socket could not be opened")?;
                sockets.spawn(listen(shared.clone(), n, stream, frames));
            }
        }
        Ok(Swarm { shared, sockets })
    }

    /// Forgets what came; from now on keeps this.
    pub fn begin(&self, keep: Keep) {
        let mut inner = self.shared.lock();
        inner.each.fill(0);
        inner.heard = Heard {
            keep,
            ..Heard::default()
        };
    }

    /// What came since; what was kept is handed out once.
    pub fn take(&self) -> Heard {
        let mut inner = self.shared.lock();
        let keep = inner.heard.keep;
        let next = Heard {
            keep,
            deliveries: inner.heard.deliveries,
            bytes: inner.heard.bytes,
            last_us: inner.heard.last_us,
            ..Heard::default()
        };
        std::mem::replace(&mut inner.heard, next)
    }

    /// How many deliveries came since the last beginning.
    pub fn deliveries(&self) -> u64 {
        self.shared.lock().heard.deliveries
    }

    /// Looks at what each socket had since the last beginning; the n-th subscribed to the n-th document.
    pub fn each<T>(&self, look: impl FnOnce(&[u64]) -> T) -> T {
        look(&self.shared.lock().each)
    }

    /// How many sockets have had a delivery since they were opened.
    pub fn reached(&self) -> usize {
        self.shared.lock().reached
    }

    /// An error once a socket has ended.
    pub fn check(&self) -> anyhow::Result<()> {
        match &self.shared.lock().ended {
            Some(why) => bail!("a socket ended: {why}"),
            None => Ok(()),
        }
    }

    /// How many sockets are open.
    pub fn count(&mut self) -> usize {
        while self.sockets.try_join_next().is_some() {}
        self.sockets.len()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts what comes until the socket ends.
async fn listen(shared: Arc<Shared>, n: usize, mut stream: TcpStream, mut frames: Frames) {
    let mut reached = false;
    let why = loop {
        let heard = std::future::poll_fn(|cx| {
            let Inner {
                buffer,
                heard,
                reached: all_reached,
                each,
                ..
            } = &mut *shared.lock();
            let mut buffer = ReadBuf::new(buffer);
            let read = std::pin::Pin::new(&mut stream).poll_read(cx, &mut buffer);
            read.map_ok(|()| {
                let before = heard.deliveries;
                let said = heard.hear(&mut frames, buffer.filled());
                each[n] += heard.deliveries - before;
                if heard.deliveries > before && !std::mem::replace(&mut reached, true) {
                    *all_reached += 1;
                }
                said
            })
        });
        match heard.await {
            Ok(Said::Nothing) => {}
            Ok(Said::Answer(frame)) => {
                if let Err(error) = stream.write_all(&frame).await {
                    break error.to_string();
                }
            }
            Ok(Said::End(why)) => break why,
            Err(error) => break error.to_string(),
        }
    };
    shared.lock().ended.get_or_insert(why);
}

/// What a server says beside results.
enum Said {
    Nothing,
    /// It asks something; this is the answer.
    Answer(Vec<u8>),
    End(String),
}

impl Heard {
    fn hear(&mut self, frames: &mut Frames, read: &[u8]) -> Said {
        if read.is_empty() {
            return Said::End("it hung up".to_owned());
        }
        let (at_us, mut said) = (now_us(), Said::Nothing);
        let are_frames = frames.take(read, |kind, payload| match kind {
            frames::TEXT if is(payload, b"\"type\":\"next\"") => self.delivered(payload, at_us),
            frames::TEXT if is(payload, b"\"type\":\"ping\"") => {
                said = Said::Answer(frames::text("{\"type\":\"pong\"}"));
            }
            frames::PING => said = Said::Answer(frames::pong(payload)),
            frames::TEXT | frames::CLOSE => {
                said = Said::End(String::from_utf8_lossy(payload).into_owned());
            }
            _ => {}
        });
        if are_frames {
            said
        } else {
            Said::End("not a WebSocket".to_owned())
        }
    }

    fn delivered(&mut self, payload: &[u8], at_us: u64) {
        self.deliveries += 1;
        self.bytes += payload.len() as u64;
        self.last_us = at_us;
        match self.keep {
            Keep::Count => {}
            Keep::Places => {
                let position = text_of(payload, b"\"position\":\"").and_then(|p| p.parse().ok());
                self.places.push((position.unwrap_or_default(), at_us));
            }
            Keep::Lags => {
                let recorded = text_of(payload, b"\"recordedAt\":\"");
                let recorded = recorded.and_then(|at| DateTime::parse_from_rfc3339(at).ok());
                if let Some(at) = recorded {
                    let lag = at_us.saturating_sub(at.timestamp_micros().unsigned_abs());
                    self.lags_us.push(lag.min(u64::from(u32::MAX)) as u32);
                }
            }
        }
    }
}

/// Members of a message come in any order, but its kind is near one of its ends.
fn is(payload: &[u8], kind: &[u8]) -> bool {
    let near = payload.len().min(64);
    [&payload[..near], &payload[payload.len() - near..]]
        .iter()
        .any(|end| end.windows(kind.len()).any(|part| part == kind))
}

/// The text that follows the last `name`.
pub fn text_of<'p>(payload: &'p [u8], name: &[u8]) -> Option<&'p str> {
    let from = (0..payload.len().saturating_sub(name.len()))
        .rev()
        .find(|at| payload[*at..].starts_with(name))?
        + name.len();
    let len = payload[from..].iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&payload[from..from + len]).ok()
}

#[cfg(test)]
mod tests;
