//! The bytes of a source as text, whatever they are packed in: gzip, zstd or nothing. Which it is tell the
//! first bytes, whatever the name says.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::http::{Frames, is_zstd};

/// How much packed input is read at once, in bytes.
const READ_BYTES: usize = 64 * 1024;

const GZIP: &[u8] = &[0x1f, 0x8b];

/// A source being read.
pub struct Unpacked {
    /// What it says.
    pub text: Box<dyn BufRead + Send>,
    /// How much of it was read.
    pub bytes_read: BytesRead,
    /// Is it as it was written, so that it may still grow?
    pub is_plain: bool,
}

/// Bytes taken from a source so far, before inflating.
#[derive(Clone, Debug, Default)]
pub struct BytesRead(Arc<AtomicU64>);

impl BytesRead {
    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Unpacked {
    /// Begins to read.
    pub fn new(raw: Box<dyn Read + Send>) -> io::Result<Unpacked> {
        let bytes_read = BytesRead::default();
        let counted = Counted {
            inner: raw,
            bytes_read: bytes_read.clone(),
        };
        let mut packed = BufReader::with_capacity(READ_BYTES, counted);
        let first = packed.fill_buf()?;
        let (gzip, zstd) = (first.starts_with(GZIP), is_zstd(first));
        let text: Box<dyn BufRead + Send> = if gzip {
            Box::new(BufReader::new(MultiGzDecoder::new(packed)))
        } else if zstd {
            Box::new(BufReader::with_capacity(READ_BYTES, Frames::new(packed)))
        } else {
            Box::new(packed)
        };
        Ok(Unpacked {
            text,
            bytes_read,
            is_plain: !gzip && !zstd,
        })
    }
}

struct Counted<R> {
    inner: R,
    bytes_read: BytesRead,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.bytes_read.0.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(plain).unwrap();
        out.finish().unwrap()
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        compress_to_vec(plain, CompressionLevel::Fastest)
    }

    /// What is read, and whether that was all.
    fn check(packed: Vec<u8>) -> (Vec<u8>, bool) {
        let bytes = packed.len() as u64;
        let mut unpacked = Unpacked::new(Box::new(io::Cursor::new(packed))).unwrap();
        let mut text = Vec::new();
        let whole = unpacked.text.read_to_end(&mut text).is_ok();
        assert_eq!(whole, unpacked.bytes_read.get() == bytes && whole);
        (text, whole)
    }

    fn plain() -> Vec<u8> {
        let lines = (0..40_000).map(|n: u32| format!("{} line\n", n.wrapping_mul(7_919)));
        lines.collect::<String>().into_bytes()
    }

    #[test]
    fn it_is_the_same_text_whatever_it_is_packed_in() {
        let plain = plain();
        let (head, tail) = plain.split_at(100_001);
        // A note of five bytes, as `pzstd` leaves them.
        let note = [&[0x50, 0x2a, 0x4d, 0x18, 5, 0, 0, 0][..], b"12345"].concat();
        let packed = [
            plain.clone(),
            gzip(&plain),
            [gzip(head), gzip(tail)].concat(),
            zstd(&plain),
            [zstd(head), note.clone(), zstd(b""), zstd(tail)].concat(),
            [note, zstd(&plain)].concat(),
        ];
        for packed in packed {
            assert!(check(packed) == (plain.clone(), true));
        }
        assert_eq!(check(Vec::new()), (Vec::new(), true));
        assert_eq!(check(zstd(b"")), (Vec::new(), true));
    }

    #[test]
    fn what_is_cut_off_gives_what_it_holds_and_then_fails() {
        let plain = plain();
        for mut packed in [gzip(&plain), zstd(&plain)] {
            packed.truncate(packed.len() - 1_000);
            let (text, whole) = check(packed);
            assert!(!whole);
            assert!(
                text.len() > 100_000 && plain.starts_with(&text),
                "{}",
                text.len()
            );
        }
    }
}
