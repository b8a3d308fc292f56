//! Base 64, as tokens and PEM files have it.

const COMMON: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// For URLs, without padding.
pub fn base64url(bytes: &[u8]) -> String {
    encoded(bytes, "-_")
}

/// A PEM block.
pub fn pem(label: &str, bytes: &[u8]) -> String {
    let mut text = encoded(bytes, "+/");
    text += &"=".repeat((4 - text.len() % 4) % 4);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

fn encoded(bytes: &[u8], last: &str) -> String {
    let digits: Vec<char> = COMMON.chars().chain(last.chars()).collect();
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        out.extend(
            (0..=chunk.len()).map(|place| digits[(group >> (18 - 6 * place) & 63) as usize]),
        );
    }
    out
}
