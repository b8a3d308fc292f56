//! WebSocket frames as a client sees them: what a server sends is looked at where it lies, not copied.

/// A text frame.
pub const TEXT: u8 = 1;
/// A close frame.
pub const CLOSE: u8 = 8;
/// A ping.
pub const PING: u8 = 9;
/// A pong.
const PONG: u8 = 10;

/// The longest frame a server may send, in bytes.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// What a server sends on one socket; keeps a frame's beginning until its end has come.
#[derive(Default)]
pub struct Frames {
    rest: Vec<u8>,
}

impl Frames {
    /// Passes every whole frame on, as its kind and what it holds. False if these are no frames.
    #[must_use]
    pub fn take(&mut self, read: &[u8], mut each: impl FnMut(u8, &[u8])) -> bool {
        if self.rest.is_empty() {
            let Some(taken) = whole(read, &mut each) else {
                return false;
            };
            self.rest.extend_from_slice(&read[taken..]);
            return true;
        }
        self.rest.extend_from_slice(read);
        let rest = std::mem::take(&mut self.rest);
        let Some(taken) = whole(&rest, &mut each) else {
            return false;
        };
        self.rest.extend_from_slice(&rest[taken..]);
        true
    }
}

/// Passes the whole frames on and tells how many bytes they are.
fn whole(bytes: &[u8], each: &mut impl FnMut(u8, &[u8])) -> Option<usize> {
    let mut at = 0;
    while let [first, second, rest @ ..] = &bytes[at..] {
        // A server does not mask, and none of those measured breaks a message into several frames.
        if second & 0x80 != 0 || first & 0x80 == 0 {
            return None;
        }
        let (head, len) = match (second, rest) {
            (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
            (127, [_, _, _, _, a, b, c, d, ..]) => {
                (10, u32::from_be_bytes([*a, *b, *c, *d]) as usize)
            }
            (126 | 127, _) => break,
            (short, _) => (2, usize::from(*short)),
        };
        if len > FRAME_BYTES_MAX {
            return None;
        }
        let Some(payload) = bytes[at..].get(head..head + len) else {
            break;
        };
        each(first & 0x0f, payload);
        at += head + len;
    }
    Some(at)
}

/// A text frame of a client.
pub fn text(text: &str) -> Vec<u8> {
    frame(TEXT, text.as_bytes())
}

/// The answer to a ping.
pub fn pong(payload: &[u8]) -> Vec<u8> {
    frame(PONG, payload)
}

/// Masked, as a client must, with a mask of zeroes: what is measured is the server.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | kind];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        middle @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
