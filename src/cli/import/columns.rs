//! Columns of a source: found by name, read as text, numbers, times and words of closed lists.

use chrono::{DateTime, Utc};
use csv::ByteRecord;
use domain::values::timestamp;
use domain::{Code, Refusal};

/// A column's name as it is looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its name in the header.
    pub column: String,
    /// Must it be there?
    pub required: bool,
}

impl Wanted {
    /// The column a flag names, which must then be there, or the usual one, if there is one.
    pub fn flag_or(flag: &Option<String>, usual: &str) -> Wanted {
        Wanted {
            column: flag.clone().unwrap_or_else(|| usual.to_owned()),
            required: flag.is_some(),
        }
    }
}

/// A value that all rows have in common, or the column it stands in: by name, and by place once found.
#[derive(Clone, Debug, PartialEq)]
pub enum Given<P = String> {
    /// The value.
    Value(String),
    /// The column.
    Column(P),
}

impl Given {
    /// A value that a flag names, else a column that a flag names, else a preset's value, else the usual
    /// column.
    pub fn flags(
        value: &Option<String>,
        column: &Option<String>,
        preset: Option<&str>,
        usual: &str,
    ) -> Given {
        match (value, column, preset) {
            (Some(value), ..) => Given::Value(value.clone()),
            (None, Some(column), _) => Given::Column(column.clone()),
            (None, None, Some(preset)) => Given::Value(preset.to_owned()),
            (None, None, None) => Given::Column(usual.to_owned()),
        }
    }

    /// With the column's place, which must be there.
    pub fn find(&self, find: &mut Finder<'_>) -> Given<usize> {
        match self {
            Given::Value(value) => Given::Value(value.clone()),
            Given::Column(column) => Given::Column(find.needed(column)),
        }
    }
}

impl Given<usize> {
    /// The value for a row.
    pub fn text<'a>(&'a self, row: &'a ByteRecord, field: &str) -> Result<&'a str, Refusal> {
        match self {
            Given::Value(value) => Ok(value),
            Given::Column(place) => text(row, *place, field),
        }
    }
}

/// Names of columns that a mapping asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    /// Those that must be there.
    pub required: Vec<String>,
    /// Those that are used if they are.
    pub optional: Vec<String>,
}

/// Finds the places of columns in a header, and remembers what was asked for and is missing.
pub struct Finder<'h> {
    header: &'h ByteRecord,
    asked: Names,
    missing: Vec<String>,
}

impl<'h> Finder<'h> {
    /// Looks in this header.
    pub fn of(header: &'h ByteRecord) -> Finder<'h> {
        Finder {
            header,
            asked: Names::default(),
            missing: Vec::new(),
        }
    }

    /// The place of a column that must be there.
    pub fn needed(&mut self, name: &str) -> usize {
        self.asked.required.push(name.to_owned());
        self.place(name).unwrap_or_else(|| {
            self.missing.push(name.to_owned());
            0
        })
    }

    /// The place of a column that need not be there, unless it was named.
    pub fn optional(&mut self, wanted: &Wanted) -> Option<usize> {
        if wanted.required {
            return Some(self.needed(&wanted.column));
        }
        self.asked.optional.push(wanted.column.clone());
        self.place(&wanted.column)
    }

    /// The columns, if all that must be there are, or which are missing.
    pub fn finish<C>(self, columns: C) -> Result<C, String> {
        if self.missing.is_empty() {
            return Ok(columns);
        }
        let there = self.header.iter().map(String::from_utf8_lossy);
        let there: Vec<_> = there.collect();
        Err(format!(
            "no column {}; it has {}",
            self.missing.join(", "),
            there.join(", ")
        ))
    }

    /// What was asked for.
    pub fn into_names(self) -> Names {
        self.asked
    }

    fn place(&self, name: &str) -> Option<usize> {
        let mut names = self.header.iter();
        names.position(|h| h.trim_ascii() == name.as_bytes())
    }
}

/// Refuses a row that is not as long as its header.
pub fn must_be_whole(row: &ByteRecord, columns: usize) -> Result<(), Refusal> {
    if row.len() == columns {
        return Ok(());
    }
    let message = format!("the row has {} columns, the header {columns}", row.len());
    Err(Refusal::new(Code::Validation, message)
        .with("limit", columns)
        .with("actual", row.len()))
}

/// What stands in a column; `field` is what a refusal calls it.
pub fn text<'r>(row: &'r ByteRecord, place: usize, field: &str) -> Result<&'r str, Refusal> {
    let bytes = row.get(place).unwrap_or_default().trim_ascii();
    std::str::from_utf8(bytes)
        .map_err(|_| Refusal::new(Code::BadText, format!("{field} is not UTF-8")).at([field]))
}

/// What stands in a column that may be absent or empty.
pub fn optional<'r>(
    row: &'r ByteRecord,
    place: Option<usize>,
    field: &str,
) -> Result<Option<&'r str>, Refusal> {
    let Some(place) = place else { return Ok(None) };
    text(row, place, field).map(|value| Some(value).filter(|v| !v.is_empty()))
}

/// A number in a column that may be absent or empty.
pub fn number(row: &ByteRecord, place: Option<usize>, field: &str) -> Result<Option<f64>, Refusal> {
    let Some(value) = optional(row, place, field)? else {
        return Ok(None);
    };
    value
        .parse()
        .map(Some)
        .map_err(|_| Refusal::new(Code::Validation, format!("{field} is not a number")).at([field]))
}

/// A time in a column that may be absent or empty.
pub fn time(
    row: &ByteRecord,
    place: Option<usize>,
    field: &str,
) -> Result<Option<DateTime<Utc>>, Refusal> {
    let value = optional(row, place, field)?;
    value.map(|value| timestamp(value, field)).transpose()
}

/// A word of a closed list in a column that may be absent or empty.
pub fn word<T>(
    row: &ByteRecord,
    place: Option<usize>,
    field: &str,
    of_word: fn(&str) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    let Some(value) = optional(row, place, field)? else {
        return Ok(None);
    };
    let none = || Refusal::new(Code::Validation, format!("{field} is none of its words"));
    let found = of_word(value).ok_or_else(|| none().at([field]));
    found.map(Some)
}
