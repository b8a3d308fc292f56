//! The file beside a sealed range: a line that proves it, then the hashes of its leaves, which tell an event
//! that is not the sealed one from its neighbours.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ExportError;
use super::target::{Target, WRITE_BYTES};
use crate::seals::{Hash, RangeProof};
use crate::vault::{hex, unhex};

/// Leaves of a line.
const LINE_LEAVES_MAX: usize = 1_024;

/// Bytes of a line: that many hashes, or a proof, which has two hashes for each bit of a position.
const LINE_BYTES_MAX: u64 = 128 << 10;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "camelCase")]
enum Head {
    Range(RangeProof),
}

/// Writes such a file.
pub(super) struct LeafWriter {
    to: BufWriter<Target>,
    in_line: usize,
}

impl LeafWriter {
    pub(super) fn new(path: &Path, proof: &RangeProof) -> Result<LeafWriter, ExportError> {
        let mut to = BufWriter::with_capacity(WRITE_BYTES, Target::open(path)?);
        let head = serde_json::to_string(&Head::Range(proof.clone()));
        writeln!(to, "{}", head.map_err(std::io::Error::from)?)?;
        Ok(LeafWriter { to, in_line: 0 })
    }

    pub(super) fn push(&mut self, leaf: &Hash) -> Result<(), ExportError> {
        if self.in_line == LINE_LEAVES_MAX {
            self.to.write_all(b"\n")?;
            self.in_line = 0;
        }
        self.to.write_all(hex(leaf).as_bytes())?;
        self.in_line += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), ExportError> {
        self.to.write_all(b"\n")?;
        let target = self.to.into_inner().map_err(|error| error.into_error())?;
        Ok(target.finish()?)
    }
}

/// Reads such a file.
pub(super) struct LeafReader {
    from: BufReader<File>,
    line: Vec<u8>,
    /// Where in the line the next hash begins.
    at: usize,
}

impl LeafReader {
    /// The proof, and what reads the leaves behind it. `None`: it is not such a file.
    pub(super) fn open(path: &Path) -> Result<Option<(RangeProof, LeafReader)>, ExportError> {
        let mut reader = LeafReader {
            from: BufReader::new(File::open(path)?),
            line: Vec::new(),
            at: 0,
        };
        reader.next_line()?;
        let head = serde_json::from_slice(&reader.line);
        reader.at = reader.line.len();
        Ok(head.ok().map(|Head::Range(proof)| (proof, reader)))
    }

    /// The next leaf; `None` behind the last one that can be read.
    pub(super) fn next(&mut self) -> Result<Option<Hash>, ExportError> {
        if self.at >= self.line.len() {
            self.next_line()?;
        }
        let digits = self.line.get(self.at..self.at + 64).unwrap_or_default();
        self.at += 64;
        let leaf = std::str::from_utf8(digits).ok().and_then(unhex);
        Ok(leaf.and_then(|leaf| leaf.try_into().ok()))
    }

    fn next_line(&mut self) -> Result<(), ExportError> {
        (self.at, self.line) = (0, Vec::new());
        let mut bounded = self.from.by_ref().take(LINE_BYTES_MAX);
        bounded.read_until(b'\n', &mut self.line)?;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        }
        Ok(())
    }
}
