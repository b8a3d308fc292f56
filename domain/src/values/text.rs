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
    /// A key from another register (plate, VIN, external id, kind): 1 to [`KEY_MAX`] after
    /// trimming.
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

/// The id of an object that is one part of a stream's key, as it will be stored: without `/`, which
/// separates the parts.
pub fn key_part(value: &str, field: &str) -> Result<String, Refusal> {
    text(TextRule::VehicleId, value, field).map(str::to_owned)
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
        let accepted = if rule.is_id() {
            !is_bad(c) && !is_shaping(c) && (!c.is_whitespace() || c == ' ')
        } else {
            !is_bad(c) && (!is_shaping(c) || shapes(before, c, rest.peek().copied()))
        };
        if !accepted {
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

/// Joiners and variation selectors: invisible themselves, they shape their neighbours in emoji
/// and in Persian, Indic and Japanese texts.
fn is_shaping(c: char) -> bool {
    is_joiner(c) || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Does this shaping character shape anything here? A joiner stands between two characters beyond
/// ASCII, a selector follows a character; anywhere else it is an invisible trick.
fn shapes(before: Option<char>, c: char, after: Option<char>) -> bool {
    let Some(before) = before.filter(|b| !is_joiner(*b)) else {
        return false;
    };
    if is_joiner(c) {
        return !before.is_ascii() && after.is_some_and(|a| !a.is_ascii() && !is_shaping(a));
    }
    !is_shaping(before) && !before.is_whitespace()
}

/// Controls, invisible characters, overrides of the reading direction, and what is no character.
#[rustfmt::skip]
pub(super) fn is_bad(c: char) -> bool {
    c.is_control()
        || (c as u32) & 0xfffe == 0xfffe
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fdd0}'..='\u{fdef}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}')
}

fn invalid(field: &str, what: &str) -> Refusal {
    Refusal::new(Code::Validation, format!("{field} {what}")).at([field])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(rule: TextRule, value: &str) -> Option<Code> {
        text(rule, value, "name").err().map(|refusal| {
            assert_eq!(refusal.path, ["name"]);
            assert!(refusal.message.chars().count() <= 200);
            refusal.code
        })
    }

    const RULES: [TextRule; 5] = [
        TextRule::Id,
        TextRule::VehicleId,
        TextRule::Key,
        TextRule::Name,
        TextRule::Reason,
    ];

    /// J3, J15, J16: refused whatever the text is for.
    #[test]
    fn tricks_are_refused_in_every_text() {
        let cases = [
            ("a\0b", Code::BadText),
            ("a\u{1}b", Code::BadText),
            ("a\tb", Code::BadText),
            ("a\nb", Code::BadText),
            ("a\u{7f}b", Code::BadText),
            ("a\u{85}b", Code::BadText),
            ("a\u{9b}b", Code::BadText),
            ("a\u{200b}b", Code::BadText),
            ("\u{200b}", Code::BadText),
            ("a\u{200d}b", Code::BadText),
            ("\u{feff}abc", Code::BadText),
            ("a\u{2060}b", Code::BadText),
            ("a\u{ad}b", Code::BadText),
            ("a\u{fe0f}\u{fe0f}", Code::BadText),
            ("evil\u{202e}txt.exe", Code::BadText),
            ("a\u{2066}b\u{2069}", Code::BadText),
            ("a\u{200f}b", Code::BadText),
            ("a\u{61c}b", Code::BadText),
            ("a\u{2028}b", Code::BadText),
            ("\u{3164}", Code::BadText),
            ("\u{2800}", Code::BadText),
            ("a\u{fffd}b", Code::BadText),
            ("a\u{ffff}b", Code::BadText),
            ("a\u{e0041}b", Code::BadText),
            ("caf\u{65}\u{301}", Code::BadText), // J16: NFD
            ("\u{212b}", Code::BadText),         // the Angstrom sign, whose NFC is a letter
            ("", Code::Validation),
            (" ", Code::Validation),
            ("     ", Code::Validation),
        ];
        for rule in RULES {
            for (value, expected) in cases {
                assert_eq!(code(rule, value), Some(expected), "{rule:?} {value:?}");
            }
        }
        assert_eq!(
            code(TextRule::Name, "\u{a0}\u{3000}"),
            Some(Code::Validation)
        );
        assert_eq!(code(TextRule::Id, "\u{a0}\u{3000}"), Some(Code::BadText));
    }

    #[test]
    fn people_may_write_as_they_write() {
        let names = [
            "Linie 2",
            "Caf\u{e9}",
            "\u{130}stanbul",
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
            "\u{2764}\u{fe0f}",
            "\u{2764}\u{fe0f}\u{200d}\u{1f525}",
            "1\u{fe0f}\u{20e3}",
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            "\u{845b}\u{e0100}",
            "'; drop table events;--",
            "<script>alert(1)</script>",
            "__proto__",
        ];
        for name in names {
            assert_eq!(text(TextRule::Name, name, "name"), Ok(name));
        }
        assert_eq!(text(TextRule::Name, "  Linie 2 ", "name"), Ok("Linie 2"));
        assert_eq!(
            text(TextRule::Key, " W-1234 X\u{a0}", "plate"),
            Ok("W-1234 X")
        );
    }

    #[test]
    fn ids_have_one_spelling() {
        for value in ["2417", "bus 12", "Wien-O-7", "\u{130}", "a.b:c"] {
            assert_eq!(id(value, "id"), Ok(value.to_owned()));
        }
        for value in [" 2417", "2417 ", "\u{2417}\u{a0}"] {
            assert!(id(value, "id").is_err(), "{value:?}");
        }
        for value in [
            "a\u{a0}b",
            "a\u{3000}b",
            "\u{2764}\u{fe0f}",
            "\u{1f468}\u{200d}\u{1f469}",
        ] {
            assert_eq!(code(TextRule::Id, value), Some(Code::BadText), "{value:?}");
        }
        assert_eq!(code(TextRule::Id, "depot/7"), None);
        assert_eq!(code(TextRule::VehicleId, "depot/7"), Some(Code::Validation));
    }

    /// J17, J18: limits count scalar values, and both figures are told.
    #[test]
    fn lengths_are_counted_in_scalar_values() {
        for rule in RULES {
            let limit = rule.limit();
            for character in ["x", "\u{e9}", "\u{1f68c}"] {
                assert_eq!(code(rule, &character.repeat(limit)), None, "{rule:?}");
                let refusal =
                    text(rule, &character.repeat(limit + 1), "name").expect_err("one too many");
                assert_eq!(refusal.code, Code::TooLarge);
                assert_eq!(refusal.details["limit"], limit);
                assert_eq!(refusal.details["actual"], limit + 1);
            }
            assert_eq!(code(rule, &"x".repeat(1 << 20)), Some(Code::TooLarge));
        }
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        assert_eq!(code(TextRule::Name, &family.repeat(NAME_MAX / 5)), None);
        assert_eq!(
            code(TextRule::Name, &family.repeat(NAME_MAX / 5 + 1)),
            Some(Code::TooLarge)
        );
    }

    /// J20: absent is absent; empty is not absent.
    #[test]
    fn an_optional_text_is_absent_or_good() {
        assert_eq!(optional_text(TextRule::Key, None, "vin"), Ok(None));
        assert_eq!(
            optional_text(TextRule::Key, Some("A1"), "vin"),
            Ok(Some("A1".to_owned()))
        );
        assert!(optional_text(TextRule::Key, Some(""), "vin").is_err());
    }

    proptest! {
        /// What was accepted is in its final form: accepted again, unchanged, and NFC.
        #[test]
        fn accepted_texts_are_canonical(value in any::<String>(), rule in 0..RULES.len()) {
            if let Ok(accepted) = text(RULES[rule], &value, "name") {
                prop_assert_eq!(text(RULES[rule], accepted, "name"), Ok(accepted));
                prop_assert!(is_nfc(accepted) && !accepted.chars().any(is_bad));
                prop_assert!((1..=RULES[rule].limit()).contains(&accepted.chars().count()));
            }
        }
    }
}
