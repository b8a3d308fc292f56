//! Where the reader of a journal is: behind an event, or behind a record of one that carries many.

use std::fmt;

use domain::Position;

use crate::api::scalars;

/// A place in a journal: everything up to it has been told. Written as a position, or as `position:index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The event.
    pub position: Position,
    /// The last of its records that was told; of a whole event more than there can be.
    last: i32,
}

const WHOLE: i32 = i32::MAX;

impl Mark {
    /// Behind a record of an event.
    pub fn record(position: Position, index: i32) -> Mark {
        Mark {
            position,
            last: index,
        }
    }

    /// Behind the whole event?
    pub fn is_whole(self) -> bool {
        self.last == WHOLE
    }

    /// The position behind which the log is read on from here.
    pub fn before(self) -> Position {
        match self.is_whole() {
            true => self.position,
            false => Position(self.position.0 - 1),
        }
    }

    /// Is it behind some of what an item tells that begins with this record of this event, though not
    /// behind all of it?
    pub fn is_within(self, position: Position, first: i32) -> bool {
        self.position == position && !self.is_whole() && self.last >= first
    }

    /// Has this record been told?
    pub fn is_behind(self, position: Position, index: i32) -> bool {
        Mark::record(position, index) <= self
    }

    /// Reads what is written. Events are numbered from 1, records from 0.
    pub fn read(text: &str) -> Option<Mark> {
        let Some((position, index)) = text.split_once(':') else {
            return scalars::position(text).map(Mark::from);
        };
        let (position, index) = (scalars::position(position)?, scalars::position(index)?);
        let index = i32::try_from(index.0).ok().filter(|index| *index < WHOLE)?;
        (position > Position::START).then_some(Mark::record(position, index))
    }
}

impl Default for Mark {
    fn default() -> Mark {
        Position::START.into()
    }
}

impl From<Position> for Mark {
    fn from(position: Position) -> Mark {
        Mark {
            position,
            last: WHOLE,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_whole() {
            true => self.position.fmt(f),
            false => write!(f, "{}:{}", self.position, self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_written_one_way() {
        for text in ["0", "7", "7:0", "9223372036854775807:2147483646"] {
            let mark = Mark::read(text).map(|mark| mark.to_string());
            assert_eq!(mark.as_deref(), Some(text));
        }
        for bad in [
            "",
            ":",
            "7:",
            ":7",
            "0:1",
            "7:-1",
            "7:01",
            "07:1",
            "7:1:1",
            "7: 1",
            "7:2147483647",
            "9223372036854775808",
        ] {
            assert_eq!(Mark::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_event_is_behind_its_records() {
        let marks = ["6", "7:0", "7:1", "7", "8:0", "8"].map(|text| Mark::read(text).expect("one"));
        assert!(marks.is_sorted());
        assert_eq!(
            (marks[1].before(), marks[3].before()),
            (Position(6), Position(7))
        );
        assert!(marks[2].is_behind(Position(7), 1) && !marks[1].is_behind(Position(7), 1));
        assert!(marks[3].is_behind(Position(7), 99) && !marks[0].is_behind(Position(7), 0));
    }
}
