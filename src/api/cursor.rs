//! Cursors: opaque places in a list, good only for the query and the tenant they were given out for.

use std::fmt::Write as _;
use std::sync::Arc;

use async_graphql::connection::CursorType;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::fault::{Fault, FaultCode};

/// Raised when what cursors hold changes: older ones are then refused, not misread.
const VERSION: u8 = 1;
/// Longest cursor read, in bytes.
const CURSOR_BYTES_MAX: usize = 1_024;

/// The list a cursor belongs to: whose it is, and every argument that decides its order and content.
///
/// The seal is a checksum, not a secret: a cursor says only where to go on, and the query behind it
/// is confined to the tenant whatever the cursor says.
#[derive(Clone, Debug)]
pub struct List(Arc<Sha256>);

/// A place in a list, which is made a cursor where somebody asks for it: most pages are read for their nodes.
#[derive(Clone, Debug)]
pub struct Sealable {
    list: List,
    place: Vec<u8>,
}

impl List {
    /// The list that `query` with these arguments (`first` and `after` left out) gives `tenant`.
    pub fn new(tenant: &str, query: &str, arguments: &impl std::fmt::Debug) -> List {
        let mut digest = Sha256::new();
        for part in [tenant, query, &format!("{arguments:?}")] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        List(Arc::new(digest))
    }

    /// What will be a cursor for the place.
    pub fn at(&self, place: &impl Serialize) -> Sealable {
        Sealable {
            list: self.clone(),
            place: serde_json::to_vec(place).expect("places are texts and numbers"),
        }
    }

    /// The place a cursor names.
    pub fn open<T: DeserializeOwned>(&self, cursor: &str) -> Result<T, Fault> {
        self.try_open(cursor)
            .ok_or_else(|| Fault::of(FaultCode::BadCursor))
    }

    fn try_open<T: DeserializeOwned>(&self, cursor: &str) -> Option<T> {
        if cursor.len() > CURSOR_BYTES_MAX {
            return None;
        }
        let bytes = unhex(cursor)?;
        let (version, rest) = bytes.split_first()?;
        let (seal, place) = rest.split_at_checked(8)?;
        if *version != VERSION || seal != self.digest(place) {
            return None;
        }
        serde_json::from_slice(place).ok()
    }

    fn digest(&self, place: &[u8]) -> [u8; 8] {
        let digest = Sha256::clone(&self.0).chain_update(place).finalize();
        digest.first_chunk().copied().expect("SHA-256 has 32 bytes")
    }
}

impl CursorType for Sealable {
    type Error = Fault;

    /// Nobody reads a cursor without its list: [`List::open`] does.
    fn decode_cursor(_: &str) -> Result<Sealable, Fault> {
        Err(Fault::of(FaultCode::BadCursor))
    }

    fn encode_cursor(&self) -> String {
        let seal = self.list.digest(&self.place);
        let bytes = [VERSION].into_iter().chain(seal);
        let bytes = bytes.chain(self.place.iter().copied());
        let mut cursor = String::with_capacity(2 * (1 + seal.len() + self.place.len()));
        for byte in bytes {
            // A text takes whatever is written to it.
            let _ = write!(cursor, "{byte:02x}");
        }
        cursor
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .filter(|_| !b.is_ascii_uppercase())
    };
    let pair = |p: &[u8]| Some((digit(p[0])? * 16 + digit(*p.get(1)?)?) as u8);
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_alone() {
        let list = List::new("a", "vehicles", &(1, "x"));
        let cursor = list.at(&("2417", 7)).encode_cursor();
        assert_eq!(
            list.open::<(String, i64)>(&cursor),
            Ok(("2417".to_owned(), 7))
        );
        for other in [
            List::new("b", "vehicles", &(1, "x")),
            List::new("a", "fleets", &(1, "x")),
            List::new("a", "vehicles", &(2, "x")),
            List::new("av", "ehicles", &(1, "x")),
        ] {
            assert!(other.open::<(String, i64)>(&cursor).is_err());
        }
    }

    #[test]
    fn a_cursor_that_was_touched_is_refused() {
        let list = List::new("a", "vehicles", &());
        let cursor = list.at(&"2417").encode_cursor();
        for at in 0..cursor.len() {
            let mut touched = cursor.clone().into_bytes();
            touched[at] = if touched[at] == b'0' { b'1' } else { b'0' };
            let touched = String::from_utf8(touched).expect("digits");
            assert!(list.open::<String>(&touched).is_err(), "digit {at}");
        }
        for bad in [
            "",
            "0",
            "01",
            "zz",
            "é",
            &cursor[..cursor.len() - 1],
            &cursor.to_uppercase(),
            &"0".repeat(5_000),
        ] {
            assert!(list.open::<String>(bad).is_err(), "{bad:.20}");
        }
        assert!(list.open::<i64>(&cursor).is_err(), "another shape");
    }
}
