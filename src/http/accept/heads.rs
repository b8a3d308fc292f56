//! Heads as they come in: one that tells two lengths of its body is spoiled, so that it is refused.
//!
//! Where `Content-Length` stands beside `Transfer-Encoding`, hyper believes the latter and drops the
//! former before anybody can see it; whoever forwarded the request may have believed the other one. So
//! the colon of the second of the two is overwritten on its way in: no name holds a NUL, and hyper
//! answers 400 and closes, in its turn and whatever else is on the connection.

/// Follows the requests of one connection.
pub struct Heads {
    at: At,
    /// The name of the header that is being read, in lower case, as far as it can be one of ours.
    name: [u8; NAME_BYTES],
    name_len: usize,
    length: Option<u64>,
    chunked: bool,
}

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before a request: line breaks mean nothing.
    Start,
    /// In the request's first line.
    Request,
    /// In a header's name, or in the empty line that ends the head.
    Name,
    /// In the value of `Content-Length`.
    Length,
    /// In any other value.
    Value,
    /// In a body of which so many bytes are missing.
    Body(u64),
    /// Behind the last head that is read: a chunked body ends its connection, as what is refused does.
    Rest,
}

const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";
const NAME_BYTES: usize = TRANSFER_ENCODING.len();

impl Heads {
    /// Of a new connection.
    pub fn new() -> Heads {
        Heads {
            at: At::Start,
            name: [0; NAME_BYTES],
            name_len: 0,
            length: None,
            chunked: false,
        }
    }

    /// Looks at what came, and spoils a head that must not be believed.
    pub fn read(&mut self, bytes: &mut [u8]) {
        let mut next = 0;
        while let Some(byte) = bytes.get_mut(next) {
            match self.at {
                At::Rest => return,
                At::Body(missing) => {
                    let here = usize::try_from(missing).unwrap_or(usize::MAX);
                    let here = here.min(bytes.len() - next);
                    next += here;
                    self.at = match missing - here as u64 {
                        0 => At::Start,
                        missing => At::Body(missing),
                    };
                    continue;
                }
                // Most of a head is of no interest.
                At::Request | At::Value => {
                    let line_break = bytes[next..].iter().position(|byte| *byte == b'\n');
                    let Some(rest) = line_break else { return };
                    next += rest;
                    (self.at, self.name_len) = (At::Name, 0);
                }
                _ => self.step(byte),
            }
            next += 1;
        }
    }

    fn step(&mut self, byte: &mut u8) {
        self.at = match (self.at, *byte) {
            (At::Start, b'\r' | b'\n') => At::Start,
            (At::Start, _) => {
                (self.length, self.chunked) = (None, false);
                At::Request
            }
            (At::Name, b'\n') if self.is_blank() => match (self.chunked, self.length) {
                (true, _) => At::Rest,
                (false, Some(bytes @ 1..)) => At::Body(bytes),
                (false, _) => At::Start,
            },
            (_, b'\n') => {
                self.name_len = 0;
                At::Name
            }
            (At::Name, b':') => self.named(byte),
            (At::Name, other) => {
                if let Some(place) = self.name.get_mut(self.name_len) {
                    *place = other.to_ascii_lowercase();
                }
                // One more than fits is as good as any.
                self.name_len = (self.name_len + 1).min(NAME_BYTES + 1);
                At::Name
            }
            (At::Length, digit @ b'0'..=b'9') => {
                let so_far = self.length.unwrap_or_default();
                self.length = Some(
                    so_far
                        .saturating_mul(10)
                        .saturating_add((digit - b'0').into()),
                );
                At::Length
            }
            // Anything else that is no length is refused by hyper.
            (at, _) => at,
        };
    }

    /// A header's name is complete.
    fn named(&mut self, colon: &mut u8) -> At {
        let at = match self.name.get(..self.name_len) {
            Some(CONTENT_LENGTH) => {
                self.length = Some(0);
                At::Length
            }
            Some(TRANSFER_ENCODING) => {
                self.chunked = true;
                At::Value
            }
            _ => At::Value,
        };
        if self.chunked && self.length.is_some() {
            *colon = 0;
            return At::Rest;
        }
        at
    }

    fn is_blank(&self) -> bool {
        matches!(self.name.get(..self.name_len), Some(b"" | b"\r"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is spoiled, however the bytes are cut: whole, by ones, by sevens.
    fn spoiled(text: &str) -> usize {
        let of = |size: usize| {
            let (mut heads, mut bytes) = (Heads::new(), text.as_bytes().to_vec());
            bytes.chunks_mut(size).for_each(|part| heads.read(part));
            bytes.iter().filter(|byte| **byte == 0).count()
        };
        let counts = [of(text.len()), of(1), of(7)];
        assert_eq!(counts, [counts[0]; 3], "{text:?}");
        counts[0]
    }

    #[test]
    fn a_head_with_two_lengths_is_spoiled_and_no_other() {
        let chunked = "Transfer-Encoding: chunked\r\n";
        let post = "POST /a:b HTTP/1.1\r\nhost: x\r\n";
        for (text, expect) in [
            (format!("{post}content-length: 3\r\n{chunked}\r\nabc"), 1),
            (format!("{post}{chunked}Content-LENGTH:3\r\n\r\nabc"), 1),
            (
                format!("{post}{chunked}x: y\r\ncontent-length: 3\r\n\r\n"),
                1,
            ),
            (format!("{post}content-length: 3\n{chunked}\n"), 1),
            (format!("{post}{chunked}\r\n3\r\nabc\r\n0\r\n\r\n"), 0),
            (
                format!("{post}content-length: 3\r\ncontent-length: 3\r\n\r\nabc"),
                0,
            ),
            (format!("{post}x: content-length: 3\r\n{chunked}\r\n"), 0),
            (format!("{post}x-content-length: 3\r\n{chunked}\r\n"), 0),
            (format!("{post}content-lengths: 3\r\n{chunked}\r\n"), 0),
            (format!("content-length: 3\r\n{chunked}\r\n"), 0),
        ] {
            assert_eq!(spoiled(&text), expect, "{text:?}");
        }
    }

    #[test]
    fn a_body_is_no_head_and_what_follows_it_is() {
        let bad = "POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n";
        let sent = |body: &str| {
            let length = body.len();
            format!("\r\nPOST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{body}")
        };
        let none = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        for (text, expect) in [
            (sent(bad), 0),
            (sent(bad) + none, 0),
            (sent(bad) + bad, 1),
            (sent("") + bad, 1),
            (none.to_owned() + none + bad, 1),
            (bad.to_owned() + bad, 1),
        ] {
            assert_eq!(spoiled(&text), expect, "{text:?}");
        }
    }
}
