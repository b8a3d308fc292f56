//! Checking an exported range against its proof, with nothing but the two files and the public key.

use std::path::Path;

use super::ExportError;
use super::leaves::LeafReader;
use super::rows::read_rows;
use crate::seals::{ProofError, RangeFold, RangeProof, event_leaf};
use crate::store::StoredRow;

/// What came of checking an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is what was sealed.
    Holds {
        /// In a sentence.
        shows: String,
        /// How many events.
        events: u64,
        /// The key that signed, in hexadecimal.
        public_key: String,
    },
    /// It is not.
    Differs {
        /// The first position that cannot be right; of a proof that is not right itself, a guess.
        position: i64,
        /// What is wrong there.
        doubt: Doubt,
        /// The proof's own list of leaves leads to the signed root: the position is certain.
        certain: bool,
    },
    /// The proof itself shows nothing.
    Worthless(String),
}

/// What is wrong with an exported event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// It is another one.
    #[error("the event is not the one that was sealed")]
    Changed,
    /// It is not in the file.
    #[error("the event is missing")]
    Missing,
    /// The file goes on behind the range.
    #[error("there are events behind the last one")]
    Extra,
    /// It cannot be read.
    #[error("the file cannot be read from there on: {0}")]
    Unreadable(String),
    /// The events are as the proof lists them, and lead to another root than the signed one.
    #[error("the events do not lead to the root that was signed")]
    Unrooted,
}

/// The walk through both files.
struct Walk<'a> {
    proof: &'a RangeProof,
    leaves: LeafReader,
    /// Over the leaves that the proof lists; `None` once one of them cannot be read.
    listed: Option<RangeFold>,
    /// Over the events; `None` as long as it is the same, and once an event is not in its place.
    own: Option<RangeFold>,
    /// The position that is due.
    at: i64,
    found: Option<(i64, Doubt)>,
    /// Each position has had its event so far.
    in_place: bool,
}

/// Why reading ended early.
enum Ended {
    /// An event is not in its place.
    Found,
    /// The file's own fault.
    Fault(ExportError),
    /// That of whoever is handed the events.
    Theirs(ExportError),
}

impl From<ExportError> for Ended {
    fn from(error: ExportError) -> Ended {
        Ended::Fault(error)
    }
}

/// Checks exported events against their proof; with `trusted`, only if one of these keys has signed. No
/// database is asked. Every event is also handed to `each` as it is read, before anything is known of it.
pub fn check_export(
    data: &Path,
    proof: &Path,
    trusted: Option<&[[u8; 32]]>,
    mut each: impl FnMut(&StoredRow<'_>) -> Result<(), ExportError>,
) -> Result<Checked, ExportError> {
    let Some((proof, leaves)) = LeafReader::open(proof)? else {
        return Ok(Checked::Worthless("it is no proof of a range".to_owned()));
    };
    let listed = match proof.begin(trusted) {
        Ok(fold) => fold,
        Err(error @ (ProofError::Seal(_) | ProofError::NoEvent(_))) => return Err(error.into()),
        Err(error) => return Ok(Checked::Worthless(error.to_string())),
    };
    let mut walk = Walk {
        at: proof.from(),
        proof: &proof,
        leaves,
        listed: Some(listed),
        own: None,
        found: None,
        in_place: true,
    };
    let read = read_rows(data, |tenant, row| {
        walk.take(tenant, &row)?;
        each(&row).map_err(Ended::Theirs)
    });
    match read {
        Ok(()) | Err(Ended::Found) => {}
        Err(Ended::Fault(error)) => walk.misplaced(walk.at, Doubt::Unreadable(error.to_string())),
        Err(Ended::Theirs(error)) => return Err(error),
    }
    walk.conclude()
}

impl Walk<'_> {
    fn take(&mut self, tenant: &str, row: &StoredRow<'_>) -> Result<(), Ended> {
        let (at, proof) = (self.at, self.proof);
        if at > proof.to() {
            self.misplaced(at, Doubt::Extra);
            return Err(Ended::Found);
        }
        if row.position != at {
            let doubt = match row.position > at {
                true => Doubt::Missing,
                false => Doubt::Changed,
            };
            self.misplaced(at, doubt);
            return Err(Ended::Found);
        }
        // A leaf names its tenant: that of another log leads nowhere.
        let leaf = event_leaf(tenant, row);
        let listed = self.leaves.next()?;
        if self.own.is_none() && listed != Some(leaf) {
            self.own = self.listed.clone();
            if self.found.is_none() {
                self.found = Some((at, Doubt::Changed));
            }
        }
        if let Some(own) = &mut self.own {
            own.push(leaf);
        }
        self.list(listed);
        self.at += 1;
        Ok(())
    }

    fn list(&mut self, leaf: Option<[u8; 32]>) {
        match leaf {
            Some(leaf) => {
                if let Some(fold) = &mut self.listed {
                    fold.push(leaf);
                }
            }
            None => self.listed = None,
        }
    }

    fn misplaced(&mut self, position: i64, doubt: Doubt) {
        self.in_place = false;
        if self.found.is_none() {
            self.found = Some((position, doubt));
        }
    }

    fn conclude(mut self) -> Result<Checked, ExportError> {
        let proof = self.proof;
        if self.in_place && self.at <= proof.to() {
            self.misplaced(self.at, Doubt::Missing);
        }
        let own = self.own.take().or_else(|| self.listed.clone());
        if self.in_place && own.is_some_and(|own| own.leads_to(proof)) {
            return Ok(Checked::Holds {
                shows: proof.shows(),
                events: (proof.to() - proof.from()).unsigned_abs() + 1,
                public_key: proof.public_key(),
            });
        }
        // The rest of the list: does it lead to the root, so that what it differs in can be named?
        for _ in self.at..=proof.to() {
            if self.listed.is_none() {
                break;
            }
            let leaf = self.leaves.next()?;
            self.list(leaf);
        }
        let certain = self.listed.is_some_and(|listed| listed.leads_to(proof));
        let (position, doubt) = self.found.unwrap_or((proof.from(), Doubt::Unrooted));
        Ok(Checked::Differs {
            position,
            doubt,
            certain,
        })
    }
}
