//! Whatever a reporter says beside the fields Daybook knows.

use std::io;
use std::ops::Deref;
use std::sync::{Arc, LazyLock, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// A JSON object, shared: consecutive fixes of one trip mostly carry the very same one, so a copy
/// is a count, none at all is nothing, and what was found out by walking it is not looked for again.
#[derive(Clone, Debug, Default)]
pub struct Attributes(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    map: Map<String, Value>,
    /// Set once it was found within all limits.
    sound: OnceLock<()>,
    digest: OnceLock<u64>,
}

static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

impl Attributes {
    /// How many bytes it takes as JSON.
    pub fn json_bytes(&self) -> usize {
        let mut counted = ByteCount(0);
        serde_json::to_writer(&mut counted, &**self).expect("counting cannot fail");
        counted.0
    }

    /// Checks it, unless it passed before. There is one rule for attributes, so one mark is enough.
    pub(crate) fn check_once(
        &self,
        check: impl FnOnce(&Attributes) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        match &self.0 {
            None => Ok(()),
            Some(shared) if shared.sound.get().is_some() => Ok(()),
            Some(shared) => check(self).map(|()| *shared.sound.get_or_init(|| ())),
        }
    }

    /// Its digest, made once; `None` if there are no attributes.
    pub(crate) fn digest_once(
        &self,
        digest: impl FnOnce(&Map<String, Value>) -> u64,
    ) -> Option<u64> {
        let shared = self.0.as_deref()?;
        Some(*shared.digest.get_or_init(|| digest(&shared.map)))
    }

    /// Is it surely the same without looking inside?
    pub fn is_shared_with(&self, other: &Attributes) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Deref for Attributes {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Map<String, Value> {
        self.0.as_deref().map_or(&NONE, |shared| &shared.map)
    }
}

impl From<Map<String, Value>> for Attributes {
    fn from(map: Map<String, Value>) -> Attributes {
        let shared = |map| Shared {
            map,
            sound: OnceLock::new(),
            digest: OnceLock::new(),
        };
        Attributes((!map.is_empty()).then(|| Arc::new(shared(map))))
    }
}

impl FromIterator<(String, Value)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Attributes {
        Map::from_iter(entries).into()
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Attributes) -> bool {
        self.is_shared_with(other) || **self == **other
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Attributes, D::Error> {
        Map::deserialize(deserializer).map(Attributes::from)
    }
}

struct ByteCount(usize);

impl io::Write for ByteCount {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
