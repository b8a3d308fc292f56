//! What waits to be sent on one socket: bounded, and given up if nothing leaves for too long.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use futures::{Sink, SinkExt as _};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Messages in order.
pub struct Outbox {
    waiting: VecDeque<Message>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
    /// Something was handed over and may still be on its way.
    unflushed: bool,
    /// Since when nothing has left; none if nothing waits.
    since: Option<Instant>,
}

impl Outbox {
    /// Nothing waits.
    pub fn new(messages_max: usize, bytes_max: usize) -> Outbox {
        Outbox {
            waiting: VecDeque::new(),
            bytes: 0,
            messages_max,
            bytes_max,
            unflushed: false,
            since: None,
        }
    }

    /// Has everything left?
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !self.unflushed
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when nothing has left.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Puts a message at the end, room or not: what was taken of an operation must not get lost, and no
    /// more is taken while much waits.
    pub fn push(&mut self, message: Message) {
        self.bytes += message.len();
        self.waiting.push_back(message);
        self.since.get_or_insert_with(Instant::now);
    }

    /// Puts a message at the end; false if there is no room. A message alone always has room.
    #[must_use]
    pub fn put(&mut self, message: Message) -> bool {
        let bytes = self.bytes + message.len();
        let over = self.waiting.len() >= self.messages_max || bytes > self.bytes_max;
        if over && !self.waiting.is_empty() {
            return false;
        }
        self.push(message);
        true
    }

    /// Sends until everything has left. May be dropped and called again at any time.
    pub async fn send<S>(&mut self, sink: &mut S) -> Result<(), Error>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        std::future::poll_fn(|cx| self.poll(sink, cx)).await
    }

    fn poll<S>(&mut self, sink: &mut S, cx: &mut Context<'_>) -> Poll<Result<(), Error>>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        while !self.waiting.is_empty() {
            ready!(sink.poll_ready_unpin(cx))?;
            if let Some(message) = self.waiting.pop_front() {
                self.bytes -= message.len();
                sink.start_send_unpin(message)?;
                self.unflushed = true;
                self.since = Some(Instant::now());
            }
        }
        ready!(sink.poll_flush_unpin(cx))?;
        self.unflushed = false;
        self.since = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_by_messages_and_bytes() {
        let text = |bytes: usize| Message::Text("x".repeat(bytes).into());
        let mut few = Outbox::new(3, 1_000);
        assert_eq!((0..5).filter(|_| few.put(text(1))).count(), 3);
        let mut small = Outbox::new(100, 1_000);
        assert_eq!((0..5).filter(|_| small.put(text(400))).count(), 2);
        let mut alone = Outbox::new(100, 1_000);
        assert!(
            alone.put(text(5_000)),
            "one message goes out whatever its size"
        );
        assert!(!alone.put(text(1)));
    }
}
