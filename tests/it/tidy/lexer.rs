//! Just enough of Rust's lexical grammar to tell code from comments and strings.

/// A word, a mark of one character, or a literal. Comments and blanks are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Token<'a> {
    /// Counted from 1.
    pub(super) line: usize,
    /// As written. A string literal begins with a quote or its prefix (`"`, `r#"`, `b"`).
    pub(super) text: &'a str,
}

/// The tokens of a source text, in order.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let rest = &text[at..];
        let piece = &rest[..piece_length(rest)];
        let blank = piece.starts_with(char::is_whitespace);
        if !blank && !piece.starts_with("//") && !piece.starts_with("/*") {
            found.push(Token { line, text: piece });
        }
        line += piece.matches('\n').count();
        at += piece.len();
    }
    found
}

/// Where `pattern` (itself lexed) occurs: the indexes of its first tokens.
pub(super) fn occurrences(tokens: &[Token<'_>], pattern: &str) -> Vec<usize> {
    let pattern: Vec<&str> = self::tokens(pattern).iter().map(|t| t.text).collect();
    tokens
        .windows(pattern.len())
        .enumerate()
        .filter(|(_, window)| window.iter().map(|t| t.text).eq(pattern.iter().copied()))
        .map(|(i, _)| i)
        .collect()
}

/// Is this token an identifier, a keyword or a number?
pub(super) fn is_word(text: &str) -> bool {
    text.starts_with(is_word_char) && !text.ends_with(['"', '\'', '#'])
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn piece_length(rest: &str) -> usize {
    let first = rest.chars().next().map_or(1, char::len_utf8);
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        block_comment_length(rest)
    } else if let Some(length) = string_length(rest) {
        length
    } else if let Some(after) = rest.strip_prefix('\'') {
        quote_length(after)
    } else if rest.starts_with(is_word_char) {
        word_length(rest)
    } else {
        first
    }
}

fn word_length(rest: &str) -> usize {
    rest.find(|c| !is_word_char(c)).unwrap_or(rest.len())
}

/// Block comments nest.
fn block_comment_length(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if here.starts_with(b"*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of a plain, byte, C or raw string literal, if one begins here.
fn string_length(rest: &str) -> Option<usize> {
    let mark = rest.find(|c| !matches!(c, 'b' | 'c' | 'r' | '#'))?;
    if !rest[mark..].starts_with('"') {
        return None;
    }
    let prefix = &rest[..mark];
    let letters = prefix.trim_end_matches('#');
    let hashes = prefix.len() - letters.len();
    let raw = letters.ends_with('r');
    if !["", "b", "c", "r", "br", "cr"].contains(&letters) || (hashes > 0 && !raw) {
        return None;
    }
    let body = &rest[mark + 1..];
    if raw {
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(
            body.find(&end)
                .map_or(rest.len(), |i| mark + 1 + i + end.len()),
        );
    }
    let mut escaped = false;
    for (i, byte) in body.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(mark + 1 + i + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// A character literal or a lifetime; `after` follows the opening quote.
fn quote_length(after: &str) -> usize {
    let mut chars = after.char_indices();
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((second, _))) => {
            let body = &after[second + 1..];
            body.find('\'').map_or(after.len() + 1, |i| second + i + 3)
        }
        (Some(_), Some((second, '\''))) => second + 2,
        _ => 1 + word_length(after),
    }
}

fn texts(source: &str) -> Vec<&str> {
    tokens(source).iter().map(|t| t.text).collect()
}

#[test]
fn comments_and_strings_are_not_code() {
    let cases: &[(&str, &[&str])] = &[
        ("a::b // c\nd", &["a", ":", ":", "b", "d"]),
        ("/* a /* b */ c */ d", &["d"]),
        (r#"x("a \" b")"#, &["x", "(", r#""a \" b""#, ")"]),
        ("r#\"a \" b\"# c", &["r#\"a \" b\"#", "c"]),
        (
            "&'a str '\\'' 'x' '\\u{1f}'",
            &["&", "'a", "str", "'\\''", "'x'", "'\\u{1f}'"],
        ),
        ("b\"x\" r#type", &["b\"x\"", "r", "#", "type"]),
    ];
    for (source, expected) in cases {
        assert_eq!(texts(source), *expected, "{source}");
    }
}

#[test]
fn lines_are_counted_through_strings_and_comments() {
    let found = tokens("a\n\"x\ny\"\n/*\n*/ b");
    assert_eq!(found.iter().map(|t| t.line).collect::<Vec<_>>(), [1, 2, 5]);
}

#[test]
fn a_pattern_is_found_whatever_its_spacing() {
    let source = tokens("x . unwrap ( ) ; y.unwrap_or(1)");
    assert_eq!(occurrences(&source, ".unwrap()"), [1]);
}
