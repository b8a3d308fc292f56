//! Ids that are mostly sixteen bytes: kept as such where their text is one way of writing them, else as text.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};
use uuid::Uuid;

use crate::copy::CopyRows;

/// The number of bytes of a user of a day, if no pseudonym stands there.
const PSEUDONYM_BYTES: usize = 16;

/// An id as it is stored: in one of two columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Id<T> {
    Bytes(Uuid),
    /// Any other text.
    Text(T),
}

/// The two columns of a record's user.
pub(super) const USER: (&str, &str) = ("user_id", "user_text");
/// The two columns of the id that its source declared.
const EVENT: (&str, &str) = ("event_id", "event_text");

/// What the index of users holds.
pub(super) const USER_HASH: &str = "coalesce(uuid_hash(user_id), hashtext(user_text))";
/// A record is about somebody. The index of users says so too.
pub(super) const OF_USER: &str = "(user_id is not null or user_text is not null)";

/// Seconds of what the index of users tells times apart by.
const HOUR_S: i64 = 3_600;
/// In which hour a record happened, counted from 1970. Of a user's records the index leads to those of a few
/// hours, and of one hour it still keeps little more than where they are.
pub(super) const HOUR: &str =
    "(floor(date_part('epoch', happened_at at time zone interval '0') / 3600)::integer)";

/// The number of the hour of a moment, or of the last one that has a number.
pub(super) fn hour(at: DateTime<Utc>) -> i32 {
    let hour = at.timestamp().div_euclid(HOUR_S);
    i32::try_from(hour).unwrap_or(if hour < 0 { i32::MIN } else { i32::MAX })
}

impl<'a> Id<&'a str> {
    /// A user: a pseudonym is 32 hexadecimal digits.
    pub(super) fn user(text: &'a str) -> Id<&'a str> {
        let mut written = [0; 32];
        Id::of(text, |uuid| {
            uuid.simple().encode_lower(&mut written) == text
        })
    }

    /// An id that a source declared: they are often UUIDs.
    pub(super) fn declared(text: &'a str) -> Id<&'a str> {
        let mut written = [0; 36];
        Id::of(text, |uuid| {
            uuid.hyphenated().encode_lower(&mut written) == text
        })
    }

    /// The same text has to come back: others may be read as the same bytes.
    fn of(text: &'a str, is_written_so: impl FnOnce(Uuid) -> bool) -> Id<&'a str> {
        let uuid = Uuid::try_parse(text).ok();
        match uuid.filter(|uuid| is_written_so(*uuid)) {
            Some(uuid) => Id::Bytes(uuid),
            None => Id::Text(text),
        }
    }

    /// Its two columns in a row; neither has anything if there is none.
    pub(super) fn copy(id: Option<Id<&str>>, rows: &mut CopyRows) {
        let (uuid, text) = match id {
            None => (None, None),
            Some(Id::Bytes(uuid)) => (Some(uuid), None),
            Some(Id::Text(text)) => (None, Some(text)),
        };
        rows.uuid_or_null(uuid);
        rows.text_or_null(text);
    }

    pub(super) fn owned(self) -> Id<String> {
        match self {
            Id::Bytes(uuid) => Id::Bytes(uuid),
            Id::Text(text) => Id::Text(text.to_owned()),
        }
    }

    /// A condition on its column.
    pub(super) fn push_equal(self, sql: &mut QueryBuilder<'_, Postgres>) {
        let (uuid_column, text_column) = USER;
        match self {
            Id::Bytes(uuid) => sql.push(format!(" and {uuid_column} = ")).push_bind(uuid),
            Id::Text(text) => sql
                .push(format!(" and {text_column} = "))
                .push_bind(text.to_owned()),
        };
    }

    /// What the index of users holds of it.
    pub(super) fn push_hash(self, sql: &mut QueryBuilder<'_, Postgres>) {
        match self {
            Id::Bytes(uuid) => sql.push("uuid_hash(").push_bind(uuid),
            Id::Text(text) => sql.push("hashtext(").push_bind(text.to_owned()),
        };
        sql.push(")");
    }
}

impl Id<String> {
    /// As a user of a day: the bytes of a pseudonym, or a text behind as many zeros, one or two, as make it
    /// longer or shorter than those. No text begins with one.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Id::Bytes(uuid) => uuid.as_bytes().to_vec(),
            Id::Text(text) => {
                let mut bytes = vec![0];
                if 1 + text.len() == PSEUDONYM_BYTES {
                    bytes.push(0);
                }
                bytes.extend_from_slice(text.as_bytes());
                bytes
            }
        }
    }
}

/// The user of a record that was read.
pub(super) fn read_user(row: &PgRow) -> Result<Option<String>, sqlx::Error> {
    read(row, USER, |uuid| uuid.simple().to_string())
}

/// The id that was declared of a record that was read.
pub(super) fn read_declared(row: &PgRow) -> Result<Option<String>, sqlx::Error> {
    read(row, EVENT, |uuid| uuid.hyphenated().to_string())
}

fn read(
    row: &PgRow,
    (uuid_column, text_column): (&str, &str),
    write: fn(Uuid) -> String,
) -> Result<Option<String>, sqlx::Error> {
    let uuid: Option<Uuid> = row.try_get(uuid_column)?;
    match uuid {
        Some(uuid) => Ok(Some(write(uuid))),
        None => row.try_get(text_column),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_id_is_bytes_only_if_they_say_all_of_it() {
        let pseudonym = "0123456789abcdef0123456789abcdef";
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        assert!(matches!(Id::user(pseudonym), Id::Bytes(_)));
        assert!(matches!(Id::declared(uuid), Id::Bytes(_)));
        let [upper, braced, urn] = [
            pseudonym.to_uppercase(),
            format!("{{{uuid}}}"),
            format!("urn:uuid:{uuid}"),
        ];
        for text in ["", "user-1", &pseudonym[1..], uuid, &upper, &braced, &urn] {
            assert_eq!(Id::user(text), Id::Text(text));
        }
        let upper = uuid.to_uppercase();
        for text in ["", "e-1", pseudonym, &upper, &braced, &urn] {
            assert_eq!(Id::declared(text), Id::Text(text));
        }
    }

    #[test]
    fn users_of_a_day_are_told_apart() {
        // As bytes the first is the text that comes next.
        let texts = [
            "61626364656667686162636465666768",
            "abcdefghabcdefgh",
            "bcdefghabcdefgh",
            "",
            "cdefghabcdefgh",
            "a",
        ];
        let kept: BTreeSet<Vec<u8>> = texts
            .iter()
            .map(|text| Id::user(text).owned().to_bytes())
            .collect();
        assert_eq!(kept.len(), texts.len());
        let raw = kept.iter().filter(|bytes| bytes.len() == PSEUDONYM_BYTES);
        assert_eq!(raw.count(), 1);
    }
}
