//! The words and signs of an analyst's SQL, read so narrowly that PostgreSQL and the parser of the first wall read
//! the same. What is run is these, each between spaces: no sign can become part of its neighbour, and whatever the
//! two of them could read differently is refused here.

use super::Refused;

/// Most words and signs of one text. A chain of operators is a tree as deep as it is long, which is walked by
/// recursion: this bounds it, whatever it is made of.
const TOKENS_MAX: usize = 4_000;

/// Most UNION, INTERSECT and EXCEPT of one text.
const SET_OPERATIONS_MAX: usize = 32;

/// PostgreSQL cuts names off beyond so many bytes.
const NAME_BYTES_MAX: usize = 63;

/// What signs are made of.
const SIGN_CHARS: &str = "+-*/<>=~!@#%^&|`?";

/// The signs, beside brackets, commas and dots.
const SIGNS: &[&str] = &[
    "!", "!=", "!~", "!~*", "!~~", "!~~*", "#", "#-", "#>", "#>>", "%", "&", "&&", "*", "+", "-",
    "->", "->>", "-|-", "/", "<", "<<", "<=", "<>", "<@", "=", "=>", ">", ">=", ">>", "?", "?&",
    "?|", "@", "@>", "@?", "@@", "^", "^@", "|", "||", "~", "~*", "~~", "~~*",
];

/// Words that may stand before a bracket without calling anything.
const BEFORE_BRACKETS: &[&str] = &[
    "all",
    "and",
    "any",
    "array",
    "as",
    "between",
    "by",
    "case",
    "cast",
    "character",
    "cube",
    "decimal",
    "distinct",
    "else",
    "escape",
    "except",
    "exists",
    "extract",
    "filter",
    "from",
    "group",
    "having",
    "ilike",
    "in",
    "intersect",
    "interval",
    "is",
    "join",
    "lateral",
    "like",
    "limit",
    "materialized",
    "not",
    "numeric",
    "offset",
    "on",
    "or",
    "over",
    "overlay",
    "partition",
    "position",
    "precision",
    "rollup",
    "select",
    "sets",
    "similar",
    "some",
    "substring",
    "symmetric",
    "then",
    "to",
    "trim",
    "union",
    "using",
    "values",
    "varchar",
    "varying",
    "when",
    "where",
    "with",
    "within",
    "zone",
];

/// Words that are calls without brackets.
const BARE_CALLS: &[&str] = &[
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "system_user",
    "user",
];

/// Schemas of others. Nothing is named through them.
const SCHEMAS: &[&str] = &["information_schema", "public", "read"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or keyword.
    Word,
    /// A name within double quotes.
    Quoted,
    /// A text within single quotes.
    Text,
    Number,
    /// $1
    Parameter,
    Sign,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    /// As it was written.
    pub text: String,
}

impl Token {
    fn is(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    /// The name it may be, as PostgreSQL reads it.
    fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_ascii_lowercase()),
            Kind::Quoted => Some(self.inner().replace("\"\"", "\"")),
            _ => None,
        }
    }

    /// What stands between the quotes.
    pub(super) fn inner(&self) -> &str {
        &self.text[1..self.text.len() - 1]
    }
}

/// What a text might call, judged by its words alone, whatever a parser makes of them.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Words before a bracket.
    pub calls: Vec<String>,
    /// Words that are calls without brackets.
    pub bare: Vec<String>,
    /// Words behind a dot: `x.f` is `f(x)` where there is no column f.
    pub attributes: Vec<String>,
}

/// Takes a text apart. A semicolon at its end is left out.
pub(super) fn read(source: &str) -> Result<Vec<Token>, Refused> {
    let is_odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    if source.contains(is_odd) {
        return Err(Refused::new(
            "the SQL cannot be read: it has a control character",
        ));
    }
    let (mut tokens, mut rest) = (Vec::<Token>::new(), source);
    loop {
        rest = past_blanks(rest)?;
        let Some(first) = rest.chars().next() else {
            break;
        };
        if tokens.len() == TOKENS_MAX {
            return Err(Refused::new(format!(
                "the SQL has more than {TOKENS_MAX} words and signs"
            )));
        }
        let (kind, length) = one(rest, first)?;
        let (text, after) = rest.split_at(length);
        if kind == Kind::Text && tokens.last().is_some_and(|t| t.kind == Kind::Text) {
            return Err(Refused::new(format!(
                "the SQL cannot be read: two texts stand side by side at {text}; join them with ||"
            )));
        }
        tokens.push(Token {
            kind,
            text: text.to_owned(),
        });
        rest = after;
    }
    while tokens.last().is_some_and(|t| t.is(";")) {
        tokens.pop();
    }
    balanced(&tokens)?;
    Ok(tokens)
}

/// The text that is parsed, and run.
pub(super) fn written(tokens: &[Token]) -> String {
    let texts: Vec<&str> = tokens.iter().map(|t| &*t.text).collect();
    texts.join(" ")
}

/// Brackets that close what was opened, and not too many set operations.
fn balanced(tokens: &[Token]) -> Result<(), Refused> {
    let mut open = Vec::new();
    for token in tokens.iter().filter(|t| t.kind == Kind::Sign) {
        let is_closed = match &*token.text {
            "(" | "[" => {
                open.push(if token.text == "(" { ")" } else { "]" });
                true
            }
            ")" | "]" => open.pop() == Some(&token.text),
            _ => true,
        };
        if !is_closed {
            return Err(Refused::new(
                "the SQL cannot be read: a bracket closes that was not opened",
            ));
        }
    }
    if !open.is_empty() {
        return Err(Refused::new(
            "the SQL cannot be read: a bracket is not closed",
        ));
    }
    let is_set = |t: &&Token| {
        let name = t.name().unwrap_or_default();
        t.kind == Kind::Word && matches!(&*name, "union" | "intersect" | "except")
    };
    match tokens.iter().filter(is_set).count() {
        0..=SET_OPERATIONS_MAX => Ok(()),
        count => Err(Refused::new(format!(
            "the SQL has {count} UNION, INTERSECT and EXCEPT; {SET_OPERATIONS_MAX} are allowed"
        ))),
    }
}

fn unread(what: &str) -> Refused {
    let shown: String = what.chars().take(20).collect();
    Refused::new(format!("the SQL cannot be read at {shown:?}"))
}

/// Behind spaces and comments.
fn past_blanks(mut rest: &str) -> Result<&str, Refused> {
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        if rest.starts_with("--") {
            rest = rest.find(['\n', '\r']).map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = past_comment(rest)?;
        } else {
            return Ok(rest);
        }
    }
}

/// Behind a comment that may hold others.
fn past_comment(rest: &str) -> Result<&str, Refused> {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Ok(&rest[at..]);
        }
    }
    Err(Refused::new(
        "the SQL cannot be read: a comment is not closed",
    ))
}

/// What the first token is, and how long.
fn one(rest: &str, first: char) -> Result<(Kind, usize), Refused> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let while_word = |from: usize| {
        let end = rest[from..].find(|c| !word(c));
        end.map_or(rest.len(), |end| from + end)
    };
    match first {
        'a'..='z' | 'A'..='Z' | '_' => {
            let end = while_word(1);
            let after = &rest[end..];
            let is_prefix = after.starts_with('\'')
                || rest[..end].eq_ignore_ascii_case("u")
                    && (after.starts_with("&'") || after.starts_with("&\""));
            if is_prefix {
                return Err(Refused::new(format!(
                    "the SQL cannot be read: texts are written as plain '...', without {} before them",
                    &rest[..end]
                )));
            }
            match end <= NAME_BYTES_MAX && !after.starts_with('$') {
                true => Ok((Kind::Word, end)),
                false => Err(unread(rest)),
            }
        }
        '0'..='9' => number(rest).map(|end| (Kind::Number, end)),
        '\'' => quoted(rest, '\'').map(|end| (Kind::Text, end)),
        '"' => match quoted(rest, '"')? {
            end if (3..=NAME_BYTES_MAX + 2).contains(&end) => Ok((Kind::Quoted, end)),
            _ => Err(unread(rest)),
        },
        '$' => {
            let end = while_word(1);
            match end > 1 && rest[1..end].bytes().all(|b| b.is_ascii_digit()) {
                true => Ok((Kind::Parameter, end)),
                false => Err(Refused::new(
                    "the SQL cannot be read: texts are written as plain '...', not within dollar signs",
                )),
            }
        }
        ':' if rest.starts_with("::") => Ok((Kind::Sign, 2)),
        '(' | ')' | '[' | ']' | ',' | ';' | '.' | ':' => Ok((Kind::Sign, 1)),
        _ => sign(rest).map(|end| (Kind::Sign, end)),
    }
}

/// 1, 1.5, 1e-3: nothing else, and nothing directly behind it.
fn number(rest: &str) -> Result<usize, Refused> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        let after = digits(end + 1);
        if after == end + 1 {
            return Err(unread(rest));
        }
        end = after;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let after = digits(end + 1 + signed);
        if after == end + 1 + signed {
            return Err(unread(rest));
        }
        end = after;
    }
    match bytes.get(end) {
        Some(b) if b.is_ascii_alphanumeric() || b"_.$".contains(b) => Err(unread(rest)),
        _ => Ok(end),
    }
}

/// Up to the closing quote; a doubled one is part of what is quoted. A backslash is a character like any other.
fn quoted(rest: &str, quote: char) -> Result<usize, Refused> {
    let mut at = 1;
    while let Some(end) = rest[at..].find(quote) {
        at += end + 1;
        if !rest[at..].starts_with(quote) {
            return Ok(at);
        }
        at += 1;
    }
    Err(Refused::new(format!(
        "the SQL cannot be read: a {quote} is not closed"
    )))
}

/// The sign at the beginning. As in PostgreSQL it is as long as can be, and no + or - is taken to its end.
fn sign(rest: &str) -> Result<usize, Refused> {
    let mut run = &rest[..rest.find(|c| !SIGN_CHARS.contains(c)).unwrap_or(rest.len())];
    for comment in ["--", "/*"] {
        run = run.find(comment).map_or(run, |at| &run[..at]);
    }
    loop {
        if SIGNS.contains(&run) {
            return Ok(run.len());
        }
        run = match run.strip_suffix(['+', '-']) {
            Some(shorter) if !shorter.is_empty() => shorter,
            _ => return Err(unread(rest)),
        };
    }
}

/// Looks for what might be called, and refuses names that are nobody's here.
pub(super) fn named(tokens: &[Token]) -> Result<Named, Refused> {
    let mut named = Named::default();
    let at = |n: usize| tokens.get(n);
    for (n, token) in tokens.iter().enumerate() {
        let Some(name) = token.name() else { continue };
        let is_before = |sign| at(n + 1).is_some_and(|t| t.is(sign));
        let last = n.checked_sub(1).and_then(at);
        let is_behind = |sign| last.is_some_and(|t| t.is(sign));
        let is_keyword = |words: &[&str]| token.kind == Kind::Word && words.contains(&&*name);
        let is_ours = name == "pg_catalog" && is_before(".");
        let is_theirs = SCHEMAS.contains(&&*name) && is_before(".");
        if is_theirs || name.starts_with("pg_") && !is_before("(") && !is_ours {
            return Err(Refused::new(format!("there is no relation {name} here")));
        }
        if name == "xml" {
            return Err(Refused::new(
                "xml is not allowed: what reads it cannot be ended",
            ));
        }
        if is_before("(") && is_behind("::") {
            modifiers(tokens, n + 1)?;
        } else if is_before("(") && is_keyword(&["operator"]) {
            return Err(Refused::new("operators are written without OPERATOR()"));
        } else if is_before("(") && !is_keyword(BEFORE_BRACKETS) {
            let schema = n.checked_sub(2).and_then(at).and_then(Token::name);
            if is_behind(".") && schema.as_deref() != Some("pg_catalog") {
                return Err(Refused::new(format!(
                    "{name} is not a function that may be called here"
                )));
            }
            named.calls.push(name);
        } else if is_behind(".") {
            named.attributes.push(name);
        } else if is_keyword(BARE_CALLS) && last.and_then(Token::name).as_deref() != Some("as") {
            named.bare.push(name);
        }
    }
    Ok(named)
}

/// Behind a type there are numbers alone.
fn modifiers(tokens: &[Token], open: usize) -> Result<(), Refused> {
    for token in &tokens[open + 1..] {
        if token.is(")") {
            return Ok(());
        }
        if token.kind != Kind::Number && !token.is(",") {
            break;
        }
    }
    Err(Refused::new("behind a type there may be numbers alone"))
}
