//! Refused records: as they are told again to a retry, and as they are kept.

use domain::{Code, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A refusal of one record of a bulk command, in its stored receipt.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredRefusal {
    index: usize,
    code: String,
    message: String,
    path: Vec<String>,
    details: Map<String, Value>,
}

impl StoredRefusal {
    /// Of the record at this index.
    pub fn of(index: usize, refusal: &Refusal) -> StoredRefusal {
        StoredRefusal {
            index,
            code: refusal.code.as_str().to_owned(),
            message: refusal.message.clone(),
            path: refusal.path.clone(),
            details: refusal.details.clone(),
        }
    }

    /// The index and the refusal.
    pub fn read(self) -> (usize, Refusal) {
        let code = Code::of_word(&self.code).unwrap_or(Code::Validation);
        let mut refusal = Refusal::new(code, self.message).at(self.path);
        refusal.details = self.details;
        (self.index, refusal)
    }
}
