//! What the body of a bulk report says: JSON as strict as everywhere, decoded in one pass into fixes.
//!
//! Nothing is built in between, and attributes that are spelled like those of the fix before are the
//! same object. Only a body that is not taken is gone through again, to tell what is wrong with it.

use std::fmt;

use domain::Attributes;
use domain::track::FixReport;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::fault::{Fault, FaultCode};
use crate::http::{graphql, json};

/// Fixes, and the caller's idempotency key.
#[derive(Debug, Default)]
pub struct Body {
    /// In the caller's order.
    pub fixes: Vec<FixReport>,
    /// If it declares one.
    pub command_id: Option<String>,
}

/// Decodes a body, or says what is wrong with it: first with its JSON, then with what it says.
pub fn decode(body: &[u8]) -> Result<Body, Fault> {
    serde_json::from_slice(body).map_err(|error| match json::flaw(body) {
        Some(flaw) => graphql::json_fault(flaw),
        None => Fault::new(FaultCode::BadRequest, error.to_string()),
    })
}

/// Levels of the document above a fix's attributes: body, list, fix.
const ATTRIBUTES_LEVEL: usize = 3;

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Member {
    Fixes,
    CommandId,
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Body, D::Error> {
        source.deserialize_map(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `fixes`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Body, A::Error> {
        let (mut fixes, mut command_id) = (None, None);
        while let Some(member) = source.next_key::<Member>()? {
            let again = match member {
                Member::Fixes => fixes.replace(source.next_value_seed(List)?).is_some(),
                Member::CommandId => command_id.replace(optional_text(&mut source)?).is_some(),
            };
            if again {
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(Body {
            fixes: fixes.ok_or_else(|| A::Error::missing_field("fixes"))?,
            command_id: command_id.flatten(),
        })
    }
}

/// The list of fixes.
struct List;

impl<'de> DeserializeSeed<'de> for List {
    type Value = Vec<FixReport>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Vec<FixReport>, D::Error> {
        source.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List {
    type Value = Vec<FixReport>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of fixes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Vec<FixReport>, A::Error> {
        let (mut fixes, mut last) = (Vec::new(), Spelled::default());
        while let Some(fix) = source.next_element_seed(One(&mut last))? {
            fixes.push(fix);
        }
        Ok(fixes)
    }
}

/// Attributes and how they were spelled.
#[derive(Default)]
struct Spelled<'de> {
    text: &'de str,
    attributes: Attributes,
}

impl<'de> Spelled<'de> {
    /// Reads attributes, unless they are spelled as these.
    fn read<E: serde::de::Error>(&mut self, text: &'de str) -> Result<Attributes, E> {
        if text != self.text {
            let Ok(Value::Object(map)) = json::parse_below(text, ATTRIBUTES_LEVEL) else {
                return Err(E::custom("attributes that are no object"));
            };
            (self.text, self.attributes) = (text, map.into());
        }
        Ok(self.attributes.clone())
    }
}

/// One fix; knows the attributes of the one before.
struct One<'s, 'de>(&'s mut Spelled<'de>);

#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Vehicle,
    FixTime,
    Lat,
    Lon,
    FixId,
    DeviceTime,
    AltitudeM,
    SpeedMps,
    CourseDeg,
    AccuracyM,
    Satellites,
    Hdop,
    Attributes,
}

/// What every fix says.
const REQUIRED: [(Field, &str); 4] = [
    (Field::Vehicle, "vehicle"),
    (Field::FixTime, "fixTime"),
    (Field::Lat, "lat"),
    (Field::Lon, "lon"),
];

impl<'de> DeserializeSeed<'de> for One<'_, 'de> {
    type Value = FixReport;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<FixReport, D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for One<'_, 'de> {
    type Value = FixReport;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fix")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<FixReport, A::Error> {
        let (mut fix, mut said) = (FixReport::default(), 0u16);
        while let Some(field) = source.next_key::<Field>()? {
            let bit = 1 << field as u16;
            if said & bit != 0 {
                return Err(A::Error::custom("a field twice"));
            }
            said |= bit;
            match field {
                Field::Vehicle => fix.vehicle = text(&mut source)?,
                Field::FixTime => fix.fix_time = text(&mut source)?,
                Field::Lat => fix.lat = source.next_value()?,
                Field::Lon => fix.lon = source.next_value()?,
                Field::FixId => fix.fix_id = optional_text(&mut source)?,
                Field::DeviceTime => fix.device_time = optional_text(&mut source)?,
                Field::AltitudeM => fix.altitude_m = source.next_value()?,
                Field::SpeedMps => fix.speed_mps = source.next_value()?,
                Field::CourseDeg => fix.course_deg = source.next_value()?,
                Field::AccuracyM => fix.accuracy_m = source.next_value()?,
                Field::Satellites => fix.satellites = source.next_value()?,
                Field::Hdop => fix.hdop = source.next_value()?,
                Field::Attributes => {
                    fix.attributes = self.0.read(source.next_value::<&RawValue>()?.get())?;
                }
            }
        }
        match REQUIRED
            .iter()
            .find(|(field, _)| said & (1 << *field as u16) == 0)
        {
            Some((_, name)) => Err(A::Error::missing_field(name)),
            None => Ok(fix),
        }
    }
}

/// A text that can be stored.
fn text<'de, A: MapAccess<'de>>(source: &mut A) -> Result<String, A::Error> {
    clean(source.next_value()?)
}

fn optional_text<'de, A: MapAccess<'de>>(source: &mut A) -> Result<Option<String>, A::Error> {
    source
        .next_value::<Option<String>>()?
        .map(clean)
        .transpose()
}

fn clean<E: serde::de::Error>(text: String) -> Result<String, E> {
    match text.contains('\0') {
        true => Err(E::custom("a text with NUL")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIX: &str =
        r#"{"vehicle":"2417","fixTime":"2016-01-04T12:00:00Z","lat":30.25,"lon":-97.75}"#;

    /// A body of one fix that says this too.
    fn and(more: &str) -> String {
        format!("{{\"fixes\":[{},{more}}}]}}", &FIX[..FIX.len() - 1])
    }

    fn check(body: &str, expect: &str) {
        let got = decode(body.as_bytes()).map_or_else(|fault| fault.code(), |_| "ok");
        assert_eq!(got, expect, "{}", &body[..body.len().min(200)]);
    }

    #[test]
    fn every_field_is_read() {
        let body = and(concat!(
            r#""fixId":"a\u0031","deviceTime":"t","altitudeM":1,"speedMps":2.5,"courseDeg":3,"#,
            r#""accuracyM":4,"satellites":5,"hdop":null,"attributes":{"b":[1,{"c":null}],"a":-0.0}"#,
        ));
        let said = decode(body.as_bytes()).expect("a body");
        assert_eq!(said.command_id, None);
        let told = serde_json::to_string(&said.fixes).expect("plain data");
        let expected = concat!(
            r#"[{"vehicle":"2417","fixTime":"2016-01-04T12:00:00Z","lat":30.25,"lon":-97.75,"#,
            r#""fixId":"a1","deviceTime":"t","altitudeM":1.0,"speedMps":2.5,"courseDeg":3.0,"#,
            r#""accuracyM":4.0,"satellites":5,"attributes":{"a":0,"b":[1,{"c":null}]}}]"#,
        );
        assert_eq!(told, expected);
        check("{\"fixes\":[],\"commandId\":null}", "ok");
        let named = decode(br#"{"commandId":"x","fixes":[]}"#).expect("a body");
        assert_eq!(named.command_id.as_deref(), Some("x"));
    }

    #[test]
    fn attributes_are_those_of_their_own_fix() {
        let attributes = [
            r#"{"a":1}"#,
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            "{}",
            r#"{ "a":1}"#,
        ];
        let fixes = attributes.map(|a| format!("{},\"attributes\":{a}}}", &FIX[..FIX.len() - 1]));
        let body = format!("{{\"fixes\":[{},{FIX}]}}", fixes.join(","));
        let said = decode(body.as_bytes()).expect("a body").fixes;
        let told = said
            .iter()
            .map(|fix| fix.attributes.get("a").and_then(Value::as_i64));
        let told: Vec<_> = told.collect();
        assert_eq!(told, [Some(1), Some(1), Some(2), None, Some(1), None]);
    }

    #[test]
    fn json_is_strict_wherever_it_stands() {
        let twice = [
            r#""lat":1"#,
            r#""l\u0061t":1"#,
            r#""attributes":{"x":{"a":1,"a":1}}"#,
            r#""attributes":{"a":1},"attributes":{"a":1}"#,
        ];
        for more in twice {
            check(&and(more), "DUPLICATE_KEY");
        }
        check(r#"{"fixes":[],"fixes":[]}"#, "DUPLICATE_KEY");
        check(
            r#"{"commandId":null,"commandId":null,"fixes":[]}"#,
            "DUPLICATE_KEY",
        );
        let texts = [
            r#""fixId":"\u0000""#,
            r#""deviceTime":"\ud800""#,
            r#""attributes":{"\u0000":1}"#,
            r#""attributes":{"a":"\u0000"}"#,
            r#""attributes":{"a":["\udc00"]}"#,
        ];
        for more in texts {
            check(&and(more), "BAD_TEXT");
        }
        check(r#"{"commandId":"\u0000","fixes":[]}"#, "BAD_TEXT");
        for more in [r#""hdop":1e400"#, r#""attributes":{"a":[-1e999]}"#] {
            check(&and(more), "BAD_NUMBER");
        }
        let deep = |depth: usize| {
            let lists = "[".repeat(depth) + &"]".repeat(depth);
            and(&format!("\"attributes\":{{\"a\":{lists}}}"))
        };
        check(&deep(123), "ok");
        for depth in [124, 125, 60_000] {
            check(&deep(depth), "BAD_JSON");
        }
        for body in [
            "",
            "{",
            "\u{feff}{\"fixes\":[]}",
            "{\"fixes\":[]}x",
            "{\"fixes\":[],}",
        ] {
            check(body, "BAD_JSON");
        }
        assert!(decode(b"{\"fixes\":[\"\xff\"]}").is_err_and(|fault| fault.code() == "BAD_JSON"));
        // What is wrong with the JSON is told before what is wrong with what it says.
        check(r#"{"nobody":1,"fixes":[{"a":1,"a":1}]}"#, "DUPLICATE_KEY");
    }

    #[test]
    fn a_body_says_what_it_must_and_nothing_else() {
        let wrong = [
            r#""heading":3"#,
            r#""fixId":7"#,
            r#""hdop":"1""#,
            r#""satellites":-1"#,
            r#""satellites":2.5"#,
            r#""attributes":null"#,
            r#""attributes":[]"#,
            r#""attributes":"{}""#,
        ];
        for more in wrong {
            check(&and(more), "BAD_REQUEST");
        }
        for (name, value) in [("vehicle", "\"2417\""), ("lat", "30.25"), ("lon", "-97.75")] {
            let member = format!("\"{name}\":{value}");
            for other in ["\"hdop\":1".to_owned(), format!("\"{name}\":null")] {
                check(
                    &format!("{{\"fixes\":[{}]}}", FIX.replace(&member, &other)),
                    "BAD_REQUEST",
                );
            }
        }
        let list = r#"["2417","2016-01-04T12:00:00Z",30.25,-97.75]"#;
        let bodies = [
            "{}".to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
            format!("[[{FIX}]]"),
            format!("{{\"fixes\":[{list}]}}"),
            format!("{{\"fixes\":{FIX}}}"),
            "{\"fixes\":null}".to_owned(),
            "{\"fixes\":[],\"tenant\":\"x\"}".to_owned(),
            "{\"fixes\":[],\"commandId\":7}".to_owned(),
        ];
        for body in bodies {
            check(&body, "BAD_REQUEST");
        }
    }
}
