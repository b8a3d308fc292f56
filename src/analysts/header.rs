//! What an analyst's file says of itself: the comment lines at its beginning.

use domain::event::VOCABULARY;

use super::Refused;

/// Longest file, in bytes.
pub(super) const SOURCE_BYTES_MAX: usize = 64 << 10;

/// Longest name of a projection or a column, in characters.
const NAME_CHARS_MAX: usize = 40;

/// Most columns of a projection, keys and values together.
const COLUMNS_MAX: usize = 32;

/// Columns that every table has beside those of the analyst.
const OWN_COLUMNS: [&str; 2] = ["tenant", "position"];

/// Behind the name of a value kept by position: where it was said.
pub(super) const SAID_AT: &str = "_said_at";

/// What the header lines may be called.
const LINES: &str = "projection, version, events, key and value";

/// What a projection is, as its file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Raised with every change.
    pub version: i32,
    /// The stored types of events it folds.
    pub events: Vec<&'static str>,
    /// What tells its rows apart.
    pub keys: Vec<Column>,
    /// What is merged.
    pub values: Vec<Value>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, a plain word.
    pub name: String,
    /// Its type.
    pub ty: Type,
}

/// A column that is merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its name and type.
    pub column: Column,
    /// How two values of one key become one.
    pub merge: Merge,
}

/// How two values of one key become one. Each rule is associative and commutative, so that it does not matter
/// how the log is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Both together.
    Sum,
    /// The lower.
    Min,
    /// The higher.
    Max,
    /// What was said at the lower position.
    First,
    /// What was said at the higher position.
    Last,
}

impl Merge {
    /// Does it need to know where a value was said?
    pub fn by_position(self) -> bool {
        matches!(self, Merge::First | Merge::Last)
    }

    fn of(word: &str) -> Option<Merge> {
        Some(match word {
            "sum" => Merge::Sum,
            "min" => Merge::Min,
            "max" => Merge::Max,
            "first" => Merge::First,
            "last" => Merge::Last,
            _ => return None,
        })
    }

    /// Has it a meaning for this type, and one that does not depend on the order of merging?
    fn takes(self, ty: Type) -> bool {
        match self {
            // floats are not added alike in every order
            Merge::Sum => matches!(ty, Type::Bigint | Type::Numeric),
            Merge::Min | Merge::Max => !matches!(ty, Type::Boolean | Type::Uuid | Type::Jsonb),
            Merge::First | Merge::Last => true,
        }
    }
}

/// One line per type: variant, what the file and PostgreSQL call it.
macro_rules! types {
    ($($variant:ident $word:literal;)*) => {
        /// What a column holds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Type { $(#[doc = $word] $variant,)* }

        impl Type {
            /// PostgreSQL's word for it.
            pub fn word(self) -> &'static str {
                match self { $(Type::$variant => $word,)* }
            }

            fn of(word: &str) -> Option<Type> {
                match word { $($word => Some(Type::$variant),)* _ => None }
            }
        }

        const TYPES: &[&str] = &[$($word,)*];
    };
}

types! {
    Bigint "bigint";
    Numeric "numeric";
    Double "double precision";
    Text "text";
    Boolean "boolean";
    Date "date";
    Timestamptz "timestamptz";
    Uuid "uuid";
    Jsonb "jsonb";
}

impl Type {
    /// May it tell rows apart? Equal keys must have equal texts.
    fn is_key(self) -> bool {
        !matches!(self, Type::Double | Type::Jsonb)
    }
}

impl Header {
    /// Reads the header lines of a file.
    pub fn read(source: &str) -> Result<Header, Refused> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(Refused::new(format!(
                "the file has {} bytes; {SOURCE_BYTES_MAX} are allowed",
                source.len()
            )));
        }
        let mut draft = Draft::default();
        for (at, line) in source.lines().enumerate() {
            let line = line.trim();
            let Some(comment) = line.strip_prefix("--") else {
                if line.is_empty() {
                    continue;
                }
                break;
            };
            if let Some((word, said)) = labelled(comment) {
                draft
                    .take(word, said.trim())
                    .map_err(|problem| Refused::new(format!("line {}: {problem}", at + 1)))?;
            }
        }
        draft.finish().map_err(Refused::new)
    }

    /// The kinds of streams whose events it folds.
    pub fn streams(&self) -> Vec<&'static str> {
        let mut streams: Vec<_> = self.events.iter().map(|e| stream_of(e)).collect();
        streams.sort_unstable();
        streams.dedup();
        streams
    }

    /// All columns that the SQL has to yield, in the order of the file.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        let values = self.values.iter().map(|v| &v.column);
        self.keys.iter().chain(values)
    }

    /// Must the SQL say at which position a row was said?
    pub fn by_position(&self) -> bool {
        self.values.iter().any(|v| v.merge.by_position())
    }
}

/// The kind of stream events of a type are on.
fn stream_of(event_type: &'static str) -> &'static str {
    match event_type
        .split_once('.')
        .map_or(event_type, |(kind, _)| kind)
    {
        "signing_key" => "keys",
        kind => kind,
    }
}

/// `word: said` behind the dashes; anything else is a comment for people.
fn labelled(comment: &str) -> Option<(&str, &str)> {
    let (word, said) = comment.trim().split_once(':')?;
    let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    is_word.then_some((word, said))
}

/// A header that is being read.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    version: Option<i32>,
    events: Vec<&'static str>,
    keys: Vec<Column>,
    values: Vec<Value>,
}

impl Draft {
    fn take(&mut self, word: &str, said: &str) -> Result<(), String> {
        match word {
            "projection" if self.name.is_some() => Err("the projection is named twice".to_owned()),
            "projection" => {
                self.name = Some(name(said)?);
                Ok(())
            }
            "version" if self.version.is_some() => Err("the version is said twice".to_owned()),
            "version" => {
                let version = said.parse().ok().filter(|v| *v >= 1);
                let problem = || format!("the version is a whole number from 1 on, not {said:?}");
                self.version = Some(version.ok_or_else(problem)?);
                Ok(())
            }
            "events" => said.split(',').try_for_each(|one| self.events(one.trim())),
            "key" => {
                let column = self.column(said)?;
                if !column.ty.is_key() {
                    let ty = column.ty.word();
                    return Err(format!(
                        "a key cannot be {ty}: equal ones are not written alike"
                    ));
                }
                self.keys.push(column);
                Ok(())
            }
            "value" => {
                let problem = || {
                    format!(
                        "a value is `name type rule`, the rule sum, min, max, first or last, not {said:?}"
                    )
                };
                let (column, rule) = said.rsplit_once(char::is_whitespace).ok_or_else(problem)?;
                let merge = Merge::of(rule).ok_or_else(problem)?;
                let column = self.column(column.trim())?;
                if !merge.takes(column.ty) {
                    let ty = column.ty.word();
                    return Err(format!(
                        "{rule} of {ty} would depend on how the log is cut, or means nothing"
                    ));
                }
                self.values.push(Value { column, merge });
                Ok(())
            }
            word => Err(format!(
                "`{word}` is no line of the header; there are {LINES}"
            )),
        }
    }

    fn events(&mut self, pattern: &str) -> Result<(), String> {
        let before = self.events.len();
        let prefix = pattern.strip_suffix('*').filter(|p| p.ends_with('.'));
        for (event_type, _) in VOCABULARY {
            let is_meant = match prefix {
                Some(prefix) => event_type.starts_with(prefix),
                None => *event_type == pattern,
            };
            if is_meant && self.events[..before].contains(event_type) {
                return Err(format!("{event_type} is named twice"));
            }
            if is_meant {
                self.events.push(event_type);
            }
        }
        match self.events.len() > before {
            true => Ok(()),
            false => Err(format!(
                "there are no events {pattern:?}; a type is such as user.registered, all of a kind user.*"
            )),
        }
    }

    fn column(&self, said: &str) -> Result<Column, String> {
        let problem = || format!("a column is `name type`, not {said:?}");
        let (word, ty) = said.split_once(char::is_whitespace).ok_or_else(problem)?;
        let word = name(word)?;
        let ty = ty.split_whitespace().collect::<Vec<_>>().join(" ");
        let ty = Type::of(&ty).ok_or_else(|| {
            format!(
                "there is no type {ty:?} here; there are {}",
                TYPES.join(", ")
            )
        })?;
        let keys = self.keys.iter();
        let mut taken = keys.chain(self.values.iter().map(|v| &v.column));
        if OWN_COLUMNS.contains(&&*word) || word.ends_with(SAID_AT) {
            return Err(format!(
                "a column cannot be called {word}: the table has one of its own"
            ));
        }
        if taken.any(|c| c.name == word) {
            return Err(format!("there are two columns {word}"));
        }
        if self.keys.len() + self.values.len() == COLUMNS_MAX {
            return Err(format!("there are more than {COLUMNS_MAX} columns"));
        }
        Ok(Column { name: word, ty })
    }

    fn finish(self) -> Result<Header, String> {
        let missing = |line: &str| format!("the file has no line `-- {line}`");
        let header = Header {
            name: self.name.ok_or_else(|| missing("projection: NAME"))?,
            version: self.version.ok_or_else(|| missing("version: NUMBER"))?,
            events: self.events,
            keys: self.keys,
            values: self.values,
        };
        let empty = [
            (header.events.is_empty(), "events: TYPE, ..."),
            (header.keys.is_empty(), "key: NAME TYPE"),
            (header.values.is_empty(), "value: NAME TYPE RULE"),
        ];
        match empty.iter().find(|(is_empty, _)| *is_empty) {
            Some((_, line)) => Err(missing(line)),
            None => Ok(header),
        }
    }
}

/// A plain word: it needs no quotes in SQL, though it is always quoted.
fn name(word: &str) -> Result<String, String> {
    let first = word.starts_with(|c: char| c.is_ascii_lowercase());
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if first && word.chars().all(rest) && word.len() <= NAME_CHARS_MAX {
        return Ok(word.to_owned());
    }
    Err(format!(
        "a name is of a-z, 0-9 and _, begins with a letter and has at most {NAME_CHARS_MAX} characters, \
         unlike {word:?}"
    ))
}

#[cfg(test)]
mod tests;
