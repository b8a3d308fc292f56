//! What waits for one subscriber of the feed: bounded, and honest about what it could not hold.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::consumers::LogEvent;

/// How much waits for one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Every event, up to these bounds; beyond them all are dropped and the subscriber is told.
    Every {
        /// Events.
        events_max: usize,
        /// Memory of those, in bytes (estimated).
        bytes_max: usize,
    },
    /// The latest alone: it is enough to know that something happened.
    Latest,
}

/// What a subscriber of the feed is handed.
#[derive(Clone, Debug)]
pub enum Handed {
    /// The next event that concerns it.
    Event(Arc<LogEvent>),
    /// It was too slow: events are missing here. [`super::Subscription::restart`] tells from where
    /// on there are none missing again.
    Lost,
    /// The process stops.
    Closed,
}

/// Filled by the feed, emptied by one subscriber.
pub(super) struct Inbox {
    keep: Keep,
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Default)]
struct Inner {
    events: VecDeque<Arc<LogEvent>>,
    bytes: usize,
    lost: bool,
    closed: bool,
}

impl Inbox {
    pub fn new(keep: Keep) -> Inbox {
        Inbox {
            keep,
            inner: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// Puts an event in, unless it, and all that waits, has to be dropped.
    pub fn put(&self, event: &Arc<LogEvent>) {
        let mut inner = self.lock();
        if inner.lost || inner.closed {
            return;
        }
        match self.keep {
            Keep::Latest => inner.empty(),
            Keep::Every {
                events_max,
                bytes_max,
            } => {
                let bytes = inner.bytes + event.weight_bytes;
                let alone = inner.events.is_empty();
                if inner.events.len() >= events_max || (bytes > bytes_max && !alone) {
                    inner.empty();
                    inner.lost = true;
                }
            }
        }
        if !inner.lost {
            inner.bytes += event.weight_bytes;
            inner.events.push_back(event.clone());
        }
        drop(inner);
        self.news.notify_one();
    }

    /// Drops what waits: the subscriber must begin anew.
    pub fn lose(&self) {
        let mut inner = self.lock();
        inner.empty();
        inner.lost = true;
        drop(inner);
        self.news.notify_one();
    }

    pub fn close(&self) {
        let mut inner = self.lock();
        (inner.closed, inner.lost) = (true, false);
        drop(inner);
        self.news.notify_one();
    }

    /// Begins anew: nothing waits, nothing is lost.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.empty();
        inner.lost = false;
    }

    /// What waits, if anything does.
    pub fn take(&self) -> Option<Handed> {
        let mut inner = self.lock();
        if inner.lost {
            return Some(Handed::Lost);
        }
        match inner.events.pop_front() {
            Some(event) => {
                inner.bytes -= event.weight_bytes;
                Some(Handed::Event(event))
            }
            None => inner.closed.then_some(Handed::Closed),
        }
    }

    /// Waits for something to take. Nothing is lost when the wait is given up.
    pub async fn next(&self) -> Handed {
        loop {
            let news = self.news.notified();
            if let Some(handed) = self.take() {
                return handed;
            }
            news.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn empty(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::joined;
    use super::*;

    fn put(inbox: &Inbox, positions: impl IntoIterator<Item = i64>) {
        positions
            .into_iter()
            .for_each(|at| inbox.put(&joined(at, "v", "f")));
    }

    fn taken(inbox: &Inbox) -> Vec<i64> {
        let taken = std::iter::from_fn(|| match inbox.take() {
            Some(Handed::Event(event)) => Some(event.position.0),
            _ => None,
        });
        taken.collect()
    }

    const THREE: Keep = Keep::Every {
        events_max: 3,
        bytes_max: usize::MAX,
    };

    #[test]
    fn beyond_its_bounds_all_is_dropped_and_told() {
        let inbox = Inbox::new(THREE);
        put(&inbox, 1..=3);
        assert_eq!(taken(&inbox), [1, 2, 3]);
        put(&inbox, 4..=8);
        assert!(matches!(inbox.take(), Some(Handed::Lost)));
        put(&inbox, [9]);
        assert!(
            matches!(inbox.take(), Some(Handed::Lost)),
            "until begun anew"
        );
        inbox.clear();
        put(&inbox, [10]);
        assert_eq!(taken(&inbox), [10]);
    }

    #[test]
    fn one_event_is_taken_whatever_it_weighs() {
        let inbox = Inbox::new(Keep::Every {
            events_max: 9,
            bytes_max: 1,
        });
        put(&inbox, [1]);
        assert_eq!(taken(&inbox), [1]);
        put(&inbox, [2, 3]);
        assert!(matches!(inbox.take(), Some(Handed::Lost)));
    }

    #[test]
    fn the_latest_alone_is_never_too_much() {
        let inbox = Inbox::new(Keep::Latest);
        put(&inbox, 1..=100);
        assert_eq!(taken(&inbox), [100]);
    }

    #[test]
    fn what_waits_is_taken_before_the_end() {
        let inbox = Inbox::new(THREE);
        put(&inbox, [1]);
        inbox.close();
        put(&inbox, [2]);
        assert_eq!(taken(&inbox), [1]);
        assert!(matches!(inbox.take(), Some(Handed::Closed)));
    }
}
