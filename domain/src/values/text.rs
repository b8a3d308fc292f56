//! Texts: lengths in Unicode scalar values, no invisible or direction-changing characters, one
//! canonical spelling.

use unicode_normalization::is_nfc;

use super::too_large;
use crate::refusal::{Code, Refusal};

/// How many characters an id of an object may have.
pub const ID_MAX: usize = 128;
/// How many characters a plate, a VIN, an external id or a kind may have.
pub const KEY_MAX: usize = 64;
/// How many characters a name may have.
pub const NAME_MAX: usize = 200;
/// How many characters a reason may have.
pub const REASON_MAX: usize = 500;

/// What one kind of text must be. A character is a Unicode scalar value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRule {
    /// Names an object: 1 to [`ID_MAX`] characters, nothing to trim, no space but U+0020.
    Id,
    /// As [`TextRule::Id`], and without `/`, which separates the parts of a track's key.
    VehicleId,
    /// A key from another register (plate, VIN, external id, kind): 1 to [`KEY_MAX`] after trimming.
    Key,
    /// For people: 1 to [`NAME_MAX`] after trimming.
    Name,
    /// A sentence for people: 1 to [`REASON_MAX`] after trimming.
    Reason,
}

impl TextRule {
    /// The most characters the text may have.
    pub fn limit(self) -> usize {
        match self {
            TextRule::Id | TextRule::VehicleId => ID_MAX,
            TextRule::Key => KEY_MAX,
            TextRule::Name => NAME_MAX,
            TextRule::Reason => REASON_MAX,
        }
    }

    fn is_id(self) -> bool {
        matches!(self, TextRule::Id | TextRule::VehicleId)
    }
}

/// The id of an object, as it will be stored.
pub fn id(value: &str, field: &str) -> Result<String, Refusal> {
    text(TextRule::Id, value, field).map(str::to_owned)
}

/// The id of a vehicle, as it will be stored.
pub fn vehicle_id(value: &str, field: &str) -> Result<String, Refusal> {
    text(TextRule::VehicleId, value, field).map(str::to_owned)
}

/// A text that may be absent. Absent stays absent; empty is refused.
pub fn optional_text(
    rule: TextRule,
    value: Option<&str>,
    field: &str,
) -> Result<Option<String>, Refusal> {
    value
        .map(|v| text(rule, v, field).map(str::to_owned))
        .transpose()
}

/// The text in its canonical form: trimmed, except ids, which must come without anything to trim.
///
/// Checked in this order: length (`TOO_LARGE`), characters and canonical form (`BAD_TEXT`), spaces
/// at the ends of an id, `/` in a vehicle id and emptiness (`VALIDATION`). Texts that are not in
/// Unicode's form NFC are refused, not normalised: what is stored is what was sent.
pub fn text<'a>(rule: TextRule, value: &'a str, field: &str) -> Result<&'a str, Refusal> {
    let limit = rule.limit();
    if value.len() > limit {
        let actual = value.chars().count();
        if actual > limit {
            return Err(too_large(actual, limit, "characters", field));
        }
    }
    refuse_bad_characters(rule, value, field)?;
    let trimmed = value.trim();
    if trimmed.is_empty() {
        return Err(invalid(field, "is empty"));
    }
    if !rule.is_id() {
        return Ok(trimmed);
    }
    if trimmed.len() != value.len() {
        return Err(invalid(field, "begins or ends with a space"));
    }
    if rule == TextRule::VehicleId && value.contains('/') {
        return Err(invalid(field, "contains a slash"));
    }
    Ok(value)
}

fn refuse_bad_characters(rule: TextRule, value: &str, field: &str) -> Result<(), Refusal> {
    if value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Ok(());
    }
    let mut before = None;
    let mut rest = value.chars().peekable();
    while let Some(c) = rest.next() {
        let joins = !rule.is_id() && joins(before, c, rest.peek().copied());
        let foreign_space = rule.is_id() && c.is_whitespace() && c != ' ';
        if (is_bad(c) && !joins) || foreign_space {
            let message = format!("{field} holds a character that is not accepted");
            return Err(Refusal::new(Code::BadText, message)
                .at([field])
                .with("character", format!("U+{:04X}", c as u32)));
        }
        before = Some(c);
    }
    if !is_nfc(value) {
        let message = format!("{field} is not in Unicode normalization form C");
        return Err(Refusal::new(Code::BadText, message)
            .at([field])
            .with("form", "NFC"));
    }
    Ok(())
}

/// Joiners are letters' business (emoji sequences, Persian, Indic scripts): fine between two
/// characters beyond ASCII, an invisible trick anywhere else.
fn joins(before: Option<char>, c: char, after: Option<char>) -> bool {
    let visible = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && !is_bad(c));
    matches!(c, '\u{200c}' | '\u{200d}') && visible(before) && visible(after)
}

/// Controls, invisible characters, overrides of the reading direction, and what is no character.
fn is_bad(c: char) -> bool {
    c.is_control()
        || (c as u32) & 0xfffe == 0xfffe
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fdd0}'..='\u{fdef}'
            | '\u{fff0}'..='\u{fffd}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn invalid(field: &str, what: &str) -> Refusal {
    Refusal::new(Code::Validation, format!("{field} {what}")).at([field])
}
