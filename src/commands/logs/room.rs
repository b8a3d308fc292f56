//! Room for log records on their way in: who finds none is told to come later, before memory grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::commands::{CommandError, Door};

/// When to try again where there is no room.
const RETRY_AFTER_MS: u64 = 1_000;

/// What is taken at the least: a request that waits takes more than its records.
const BYTES_MIN: usize = 16 << 10;

/// What all that is on its way may take.
pub(in crate::commands) struct Rooms {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Rooms {
    pub fn new(bytes_max: usize) -> Rooms {
        Rooms {
            bytes: AtomicUsize::new(0),
            bytes_max,
        }
    }
}

/// Room that somebody's records take, until this is dropped.
pub struct Room {
    rooms: Arc<Rooms>,
    bytes: usize,
}

impl Door {
    /// Room for records that may come to so many bytes.
    pub fn log_room(&self, bytes: usize) -> Result<Room, CommandError> {
        let mut room = Room {
            rooms: self.log_rooms.clone(),
            bytes: 0,
        };
        room.resize(bytes)?;
        Ok(room)
    }
}

impl Room {
    /// Takes what is needed now instead of what was taken before.
    pub fn resize(&mut self, bytes: usize) -> Result<(), CommandError> {
        let bytes = bytes.max(BYTES_MIN);
        if bytes <= self.bytes {
            let less = self.bytes - bytes;
            self.rooms.bytes.fetch_sub(less, Ordering::Relaxed);
            self.bytes = bytes;
            return Ok(());
        }
        let more = bytes - self.bytes;
        let before = self.rooms.bytes.fetch_add(more, Ordering::Relaxed);
        // One alone is always let in: else what may be sent could be more than ever fits.
        if before > self.bytes && before + more > self.rooms.bytes_max {
            self.rooms.bytes.fetch_sub(more, Ordering::Relaxed);
            return Err(CommandError::Overloaded {
                retry_after_ms: RETRY_AFTER_MS,
            });
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.rooms.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(rooms: &Arc<Rooms>, bytes: usize) -> Option<Room> {
        let rooms = rooms.clone();
        let mut room = Room { rooms, bytes: 0 };
        room.resize(bytes).ok().map(|()| room)
    }

    #[test]
    fn there_is_room_for_so_much_and_for_one_alone() {
        let kib = |n: usize| n << 10;
        let rooms = Arc::new(Rooms::new(kib(100)));
        let mut first = room(&rooms, kib(60)).expect("it fits");
        assert!(room(&rooms, kib(41)).is_none());
        let second = room(&rooms, kib(40)).expect("it fits");
        assert!(first.resize(kib(61)).is_err());
        drop(second);
        first.resize(kib(500)).expect("it is alone");
        assert!(room(&rooms, 1).is_none());
        first.resize(kib(84)).expect("it is less");
        assert!(room(&rooms, 1).is_some());
        drop(first);
        assert_eq!(rooms.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_smallest_take_room_too() {
        let rooms = Arc::new(Rooms::new(10 * BYTES_MIN));
        let all: Vec<Room> = (0..20).map_while(|_| room(&rooms, 1)).collect();
        assert_eq!(all.len(), 10);
    }
}
