//! How much those who read the past hold of it, of all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What was read and is not told yet, counted. A reader takes its items at its own pace, so what it keeps
/// meanwhile is bounded here: above half of the room nobody keeps anything between two items, which leaves
/// the other half to those who are at work.
pub struct Room {
    held: AtomicUsize,
    bytes_max: usize,
    freed: Notify,
}

/// A reader's share; given back when dropped.
pub struct Held {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    /// Empty.
    pub fn new(bytes_max: usize) -> Arc<Room> {
        Arc::new(Room {
            held: AtomicUsize::new(0),
            bytes_max,
            freed: Notify::new(),
        })
    }

    /// How many bytes are held.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Waits until more may be read.
    pub async fn wait(&self) {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.held() < self.bytes_max {
                return;
            }
            freed.await;
        }
    }

    /// Is it too full to keep what is not told at once?
    pub fn is_scarce(&self) -> bool {
        self.held() > self.bytes_max / 2
    }

    /// Takes so much of it.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> Held {
        let mut held = Held {
            room: self.clone(),
            bytes: 0,
        };
        held.set(bytes);
        held
    }
}

impl Held {
    /// Holds so much from now on.
    pub fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes >= before {
            self.room.held.fetch_add(bytes - before, Ordering::Relaxed);
        } else {
            self.room.held.fetch_sub(before - bytes, Ordering::Relaxed);
            self.room.freed.notify_waiters();
        }
    }

    /// Is there too little room to keep what is not told at once?
    pub fn is_scarce(&self) -> bool {
        self.room.is_scarce()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn whoever_holds_much_leaves_half_of_the_room_and_nobody_reads_where_there_is_none() {
        let room = Room::new(10);
        let mut first = room.hold(5);
        assert!(!room.is_scarce());
        let second = room.hold(1);
        assert!(room.is_scarce() && room.wait().now_or_never().is_some());
        first.set(9);
        assert_eq!(room.held(), 10);
        let mut waiting = Box::pin(room.wait());
        assert!((&mut waiting).now_or_never().is_none());
        drop(second);
        assert!(waiting.now_or_never().is_some());
        first.set(2);
        assert_eq!((room.held(), first.is_scarce()), (2, false));
        drop(first);
        assert_eq!(room.held(), 0);
    }
}
