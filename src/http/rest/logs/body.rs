//! A body of log records: its type, its encoding, how much it may come to, and the room it takes.

use std::io::{self, Read as _};

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::api::fault::{Fault, FaultCode};
use crate::api::no_log_room;
use crate::commands::Room;
use crate::http::{Edge, graphql};

/// From this many bytes on a body is read on a thread of its own: meanwhile this one answers others.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// The longest window of zstd that is kept: what every decoder is told to support (RFC 8878, 3.1.1.1.2).
const ZSTD_WINDOW_BYTES_MAX: u64 = 8 << 20;

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

/// Reads a body whole, no larger expanded than allowed, and makes of it what `read_as` says. The room it
/// takes is taken before the first byte is read.
pub async fn read<T: Send + 'static>(
    edge: &Edge,
    headers: &HeaderMap,
    body: Body,
    read_as: impl FnOnce(Media, &[u8]) -> Result<T, Fault> + Send + 'static,
) -> Result<(T, Room), Fault> {
    let (media, encoding) = (Media::of(headers)?, Encoding::of(headers)?);
    let limit = edge.settings.http.log_body_bytes_max.len();
    let declared = graphql::content_length(headers);
    let expected = declared.filter(|_| encoding == Encoding::Identity);
    let door = &edge.api.parts().door;
    let room = door.log_room(expected.unwrap_or(limit).min(limit));
    let mut room = room.map_err(no_log_room)?;
    let bytes = graphql::collect_body(&edge.settings.http, headers, body, limit).await?;
    let small = encoding == Encoding::Identity && bytes.len() <= INLINE_BYTES_MAX;
    let work = move || {
        let expanded = match encoding {
            Encoding::Identity => None,
            _ => Some(expand(encoding, &bytes, limit)?),
        };
        let bytes = expanded.as_deref().unwrap_or(&bytes);
        Ok((read_as(media, bytes)?, bytes.len()))
    };
    let (read, bytes) = match small {
        true => work()?,
        false => {
            let done = tokio::task::spawn_blocking(work).await;
            done.unwrap_or_else(|_| Err(Fault::of(FaultCode::Internal)))?
        }
    };
    room.resize(bytes).map_err(no_log_room)?;
    Ok((read, room))
}

/// What a body is when unwrapped, as long as that is no more than `limit` bytes.
fn expand(encoding: Encoding, body: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let done = match encoding {
        Encoding::Identity => out.write_all_of(body, limit),
        Encoding::Gzip => out.write_all_of(MultiGzDecoder::new(body), limit),
        Encoding::Zstd => unzstd(body, &mut out, limit),
    };
    match done {
        Ok(()) if out.len() > limit => {
            Err(Fault::of(FaultCode::PayloadTooLarge).with("limit", limit))
        }
        Ok(()) => Ok(out),
        Err(_) => {
            let message = "the body cannot be expanded: it is cut off, or not what it says it is";
            Err(Fault::new(FaultCode::BadRequest, message))
        }
    }
}

/// Frame after frame.
fn unzstd(mut rest: &[u8], out: &mut Vec<u8>, limit: usize) -> io::Result<()> {
    while !rest.is_empty() && out.len() <= limit {
        let frame = StreamingDecoder::new_with_max_window_size(&mut rest, ZSTD_WINDOW_BYTES_MAX)
            .map_err(|error| io::Error::other(error.to_string()))?;
        out.write_all_of(frame, limit)?;
    }
    Ok(())
}

/// Reading that stops where it is too much.
trait Bounded {
    /// Takes on what the source gives, until it has one byte more than the limit.
    fn write_all_of(&mut self, source: impl io::Read, limit: usize) -> io::Result<()>;
}

impl Bounded for Vec<u8> {
    fn write_all_of(&mut self, source: impl io::Read, limit: usize) -> io::Result<()> {
        let left = (limit + 1).saturating_sub(self.len());
        source.take(left as u64).read_to_end(self).map(drop)
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
        expand(encoding, body, limit).map_or_else(|fault| fault.code(), |_| "ok")
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
                expand(encoding, &body, plain.len()).ok(),
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
}
