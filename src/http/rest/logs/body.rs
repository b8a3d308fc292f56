//! A body of log records: its type, its encoding, how much it may come to, and the room it takes.

use std::io::Read;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use flate2::bufread::MultiGzDecoder;

use crate::api::fault::{Fault, FaultCode};
use crate::api::no_log_room;
use crate::commands::Room;
use crate::http::{Edge, Frames, ZSTD_WINDOW_BYTES_MAX, graphql};

/// From this many bytes on a body is read on a thread of its own: meanwhile this one answers others.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// What any request takes, however little it carries: what is said of it, and its answer.
const REQUEST_BYTES: usize = 16 << 10;

/// How many times its bytes the records of a body may take in memory, of a body as large as allowed.
const HELD_FACTOR_MAX: usize = 8;

/// A body that is smaller may take as much as one of so many bytes.
const HELD_OF_BYTES_MIN: usize = 1 << 20;

/// How much is expanded at once.
const STEP_BYTES: usize = 64 << 10;

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json,
    Ndjson,
    Protobuf,
}

/// What a body is wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Media {
    fn of(headers: &HeaderMap) -> Result<Media, Fault> {
        let said = only(headers, &CONTENT_TYPE)?.unwrap_or_default();
        let mut parts = said.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let utf8 = |part: &str| {
            let part = part.to_ascii_lowercase();
            ["charset=utf-8", "charset=\"utf-8\""].contains(&&*part)
        };
        match (&*kind, parts.all(utf8)) {
            ("application/json", true) => Ok(Media::Json),
            ("application/x-ndjson" | "application/jsonl", true) => Ok(Media::Ndjson),
            ("application/x-protobuf", _) => Ok(Media::Protobuf),
            _ => Err(Fault::of(FaultCode::UnsupportedMediaType)),
        }
    }

    /// Is it one that is read here?
    pub fn must_be(self, taken: &[Media]) -> Result<(), Fault> {
        match taken.contains(&self) {
            true => Ok(()),
            false => Err(Fault::of(FaultCode::UnsupportedMediaType)),
        }
    }
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Encoding, Fault> {
        let said = only(headers, &CONTENT_ENCODING)?.unwrap_or("identity");
        match &*said.to_ascii_lowercase() {
            "identity" => Ok(Encoding::Identity),
            "gzip" => Ok(Encoding::Gzip),
            "zstd" => Ok(Encoding::Zstd),
            _ => Err(Fault::of(FaultCode::UnsupportedMediaType)),
        }
    }
}

/// What the header says; it is not there twice.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Fault> {
    let mut said = headers.get_all(name).iter();
    let first = said.next().map(|value| value.to_str()).transpose();
    match (first, said.next()) {
        (Ok(first), None) => Ok(first),
        _ => Err(Fault::of(FaultCode::UnsupportedMediaType)),
    }
}

/// The room that what is made of a body takes.
pub struct Took {
    room: Room,
    /// The body itself, packed and expanded.
    body: usize,
    /// Its records.
    held: usize,
    held_max: usize,
}

impl Took {
    /// Takes room for records, or for what is kept in their place.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Fault> {
        self.held += bytes;
        if self.held > self.held_max {
            let limit = self.held_max;
            let why =
                "the records of the body take too much memory: they have too many small values";
            return Err(Fault::new(FaultCode::PayloadTooLarge, why).with("limit", limit));
        }
        self.resize()
    }

    fn be_of(&mut self, body: usize) -> Result<(), Fault> {
        self.body = body;
        self.resize()
    }

    fn resize(&mut self) -> Result<(), Fault> {
        let bytes = REQUEST_BYTES + self.body + self.held;
        self.room.resize(bytes).map_err(no_log_room)
    }
}

/// Reads a body whole, no larger expanded than allowed, and makes of it what `read_as` says. Room is taken
/// for its bytes before the first of them is read, for what they are expanded to and for the records as
/// those are made, and given back with what is made: who hangs up meanwhile frees nothing.
pub async fn read<T: Send + 'static>(
    edge: &Edge,
    headers: &HeaderMap,
    body: Body,
    read_as: impl FnOnce(Media, &[u8], &mut Took) -> Result<T, Fault> + Send + 'static,
) -> Result<(T, Took), Fault> {
    let (media, encoding) = (Media::of(headers)?, Encoding::of(headers)?);
    let limit = edge.settings.http.log_body_bytes_max.len();
    let expected = graphql::content_length(headers).unwrap_or(limit).min(limit);
    let room = edge.api.parts().door.log_room(REQUEST_BYTES + expected);
    let mut took = Took {
        room: room.map_err(no_log_room)?,
        body: expected,
        held: 0,
        held_max: HELD_FACTOR_MAX * limit.max(HELD_OF_BYTES_MIN),
    };
    let bytes = graphql::collect_body(&edge.settings.http, headers, body, limit).await?;
    let small = encoding == Encoding::Identity && bytes.len() <= INLINE_BYTES_MAX;
    let work = move || {
        took.be_of(bytes.len())?;
        let expanded = match encoding {
            Encoding::Identity => None,
            _ => Some(expand(encoding, &bytes, limit, &mut |bytes| {
                took.be_of(bytes)
            })?),
        };
        let read = read_as(media, expanded.as_deref().unwrap_or(&bytes), &mut took)?;
        drop((bytes, expanded));
        took.be_of(0)?;
        Ok((read, took))
    };
    match small {
        true => work(),
        false => {
            let done = tokio::task::spawn_blocking(work).await;
            done.unwrap_or_else(|_| Err(Fault::of(FaultCode::Internal)))
        }
    }
}

/// What a body is when unwrapped, as long as that is no more than `limit` bytes, and as there is room for
/// what it takes with the body itself.
fn expand(
    encoding: Encoding,
    body: &[u8],
    limit: usize,
    hold: &mut dyn FnMut(usize) -> Result<(), Fault>,
) -> Result<Vec<u8>, Fault> {
    let window_max = match encoding {
        Encoding::Zstd => usize::try_from(ZSTD_WINDOW_BYTES_MAX).unwrap_or(usize::MAX),
        Encoding::Identity | Encoding::Gzip => 0,
    };
    let mut source: Box<dyn Read + '_> = match encoding {
        Encoding::Identity => Box::new(body),
        Encoding::Gzip => Box::new(MultiGzDecoder::new(body)),
        Encoding::Zstd => Box::new(Frames::new(body)),
    };
    let mut out = Vec::new();
    loop {
        hold(body.len() + out.capacity() + STEP_BYTES + out.len().min(window_max))?;
        let read = source
            .by_ref()
            .take(STEP_BYTES as u64)
            .read_to_end(&mut out);
        let read = read.map_err(|_| {
            let message = "the body cannot be expanded: it is cut off, or not what it says it is";
            Fault::new(FaultCode::BadRequest, message)
        })?;
        if out.len() > limit {
            return Err(Fault::of(FaultCode::PayloadTooLarge).with("limit", limit));
        }
        if read == 0 {
            return Ok(out);
        }
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
        let mut out = GzEncoder::new(Vec::new(), Compression::best());
        out.write_all(plain).expect("memory");
        out.finish().expect("memory")
    }

    fn code(encoding: Encoding, body: &[u8], limit: usize) -> &'static str {
        expand(encoding, body, limit, &mut |_| Ok(())).map_or_else(|fault| fault.code(), |_| "ok")
    }

    /// H2, and bodies that are cut off anywhere.
    #[test]
    fn what_is_expanded_is_whole_and_bounded() {
        let plain = vec![b'a'; 3 << 20];
        let zstd = |plain: &[u8]| compress_to_vec(plain, CompressionLevel::Fastest);
        for (encoding, body) in [
            (Encoding::Gzip, gzip(&plain)),
            (Encoding::Zstd, zstd(&plain)),
        ] {
            assert!(body.len() < 64 << 10, "it is a bomb: {}", body.len());
            assert_eq!(
                expand(encoding, &body, plain.len(), &mut |_| Ok(())).ok(),
                Some(plain.clone())
            );
            assert_eq!(code(encoding, &body, plain.len() - 1), "PAYLOAD_TOO_LARGE");
            assert_eq!(code(encoding, &body, 1_000), "PAYLOAD_TOO_LARGE");
            let twice = [body.clone(), body.clone()].concat();
            assert_eq!(code(encoding, &twice, 2 * plain.len()), "ok");
            assert_eq!(
                code(encoding, &twice, 2 * plain.len() - 1),
                "PAYLOAD_TOO_LARGE"
            );
            for cut in [1, 5, body.len() / 2, body.len() - 1] {
                assert_eq!(
                    code(encoding, &body[..cut], plain.len()),
                    "BAD_REQUEST",
                    "{cut}"
                );
            }
            assert_eq!(code(encoding, b"no such thing", 100), "BAD_REQUEST");
        }
    }

    /// A bomb is expanded as far as there is room, and no further.
    #[test]
    fn what_is_expanded_takes_room_as_it_grows() {
        let plain = vec![b'a'; 3 << 20];
        let zstd = compress_to_vec(&plain[..], CompressionLevel::Fastest);
        for (encoding, body) in [(Encoding::Gzip, gzip(&plain)), (Encoding::Zstd, zstd)] {
            let mut most = 0;
            let told = expand(encoding, &body, plain.len(), &mut |bytes| {
                most = bytes;
                match bytes > 1 << 20 {
                    true => Err(Fault::of(FaultCode::RateLimited)),
                    false => Ok(()),
                }
            });
            assert_eq!(told.map_err(|fault| fault.code()), Err("RATE_LIMITED"));
            assert!(most < 3 << 20, "{most}");
            let mut last = 0;
            let whole = expand(encoding, &body, plain.len(), &mut |bytes| {
                last = bytes;
                Ok(())
            });
            assert!(whole.is_ok() && last >= body.len() + plain.len(), "{last}");
        }
    }

    /// H2: a note before a frame is passed over, a byte that was flipped is found.
    #[test]
    fn frames_of_zstd_are_read_as_they_are_written() {
        let frame = compress_to_vec(&b"0123456789abcdef"[..], CompressionLevel::Fastest);
        let note = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, b'x'];
        assert_eq!(
            code(Encoding::Zstd, &[&note[..], &frame].concat(), 100),
            "ok"
        );
        let mut flipped = frame;
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        assert_eq!(code(Encoding::Zstd, &flipped, 100), "BAD_REQUEST");
    }
}
