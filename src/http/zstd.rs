//! What is packed with zstd, from wherever it is read: frame after frame, each with its checksum.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The longest window that is kept, in bytes: what every decoder is told to support (RFC 8878,
/// 3.1.1.1.2), and what `zstd` needs up to level 19.
pub const ZSTD_WINDOW_BYTES_MAX: u64 = 8 << 20;

/// How a frame begins.
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How a note begins that decoders pass over (RFC 8878, 3.1.2), but for the low half of its first byte.
const NOTE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// Is this how something packed with zstd begins? Some programs leave a note before the first frame.
pub fn is_zstd(first: &[u8]) -> bool {
    let is_note = |first: &[u8]| first[0] & 0xf0 == NOTE[0] && first[1..4] == NOTE[1..];
    first.len() >= 4 && (first.starts_with(&FRAME) || is_note(first))
}

/// One frame after the other, as files that were put together have them.
pub struct Frames<R> {
    packed: R,
    decoder: FrameDecoder,
    /// Within a frame, or before the next one?
    open: bool,
}

impl<R: BufRead> Frames<R> {
    /// Before the first frame.
    pub fn new(packed: R) -> Frames<R> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW_BYTES_MAX);
        Frames {
            packed,
            decoder,
            open: false,
        }
    }

    /// Goes on to the next frame; `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => {
                    self.open = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let note = &mut (&mut self.packed).take(length.into());
                    if io::copy(note, &mut io::sink())? < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(broken(&error.to_string())),
            }
        }
        Ok(false)
    }

    /// The frame that ends here is what was packed, if it says so.
    fn check(&self) -> io::Result<()> {
        let said = self.decoder.get_checksum_from_data();
        match said.is_some() && said != self.decoder.get_calculated_checksum() {
            true => Err(broken("a checksum is not that of what stands before it")),
            false => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.open && !self.next()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                let decoded = self.decoder.decode_blocks(&mut self.packed, one);
                decoded.map_err(|error| broken(&error.to_string()))?;
            }
            let read = self.decoder.read(buf)?;
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            self.check()?;
            self.open = false;
        }
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        compress_to_vec(plain, CompressionLevel::Fastest)
    }

    fn read(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        Frames::new(packed).read_to_end(&mut plain).map(|_| plain)
    }

    /// A note of five bytes, as `pzstd` leaves them.
    fn note(kind: u8) -> Vec<u8> {
        [&[kind, 0x2a, 0x4d, 0x18, 5, 0, 0, 0][..], b"12345"].concat()
    }

    #[test]
    fn notes_may_stand_anywhere() {
        let frame = packed(b"hi");
        let notes = [note(0x50), note(0x5f)];
        let all = [&notes[0], &frame, &notes[1], &frame, &notes[0]];
        let all = all.map(Vec::as_slice).concat();
        assert_eq!(read(&all).ok().as_deref(), Some(&b"hihi"[..]));
        assert!(is_zstd(&all) && is_zstd(&frame) && is_zstd(&notes[1]));
        for other in [&b"{\"a\":1}"[..], b"P", b"", &[0x60, 0x2a, 0x4d, 0x18]] {
            assert!(!is_zstd(other), "{other:?}");
        }
        assert!(read(&notes[0][..10]).is_err(), "it is cut off");
    }

    /// What was packed is what comes out, or nothing is believed of it.
    #[test]
    fn a_byte_that_was_flipped_is_found_by_the_checksum() {
        // Too short to be packed any smaller: the text stands in the frame as it is.
        let frame = packed(b"0123456789abcdef");
        let at = frame
            .iter()
            .position(|byte| *byte == b'7')
            .expect("as it is");
        let mut flipped = frame.clone();
        flipped[at] = b'8';
        assert!(read(&frame).is_ok());
        let error = read(&flipped).expect_err("another text");
        assert!(error.to_string().contains("checksum"), "{error}");
        let error = read(&[frame, flipped].concat()).expect_err("another text");
        assert!(error.to_string().contains("checksum"), "{error}");
    }
}
