//! Parameters of a URL as variables of a question.

use axum::extract::Query;
use axum::http::Uri;
use domain::{Code, Refusal};
use serde_json::{Map, Value, json};

use crate::api::fault::{Fault, FaultCode};

/// A parameter an alias takes.
pub struct Param {
    name: &'static str,
    kind: Kind,
    needed: bool,
}

/// How a parameter is written.
#[derive(Clone, Copy)]
pub enum Kind {
    /// As it is; the schema says what it must be.
    Text,
    /// A whole number.
    Whole,
    /// `true` or `false`.
    Flag,
    /// Ids with commas between them.
    Ids,
    /// `west,south,east,north`, degrees: the order of RFC 7946.
    Bbox,
    /// `lat,lon,radiusM`.
    Near,
    /// A position of the log, or a time.
    AsOf,
}

impl Param {
    /// One that may be left out.
    pub const fn may(name: &'static str, kind: Kind) -> Param {
        Param {
            name,
            kind,
            needed: false,
        }
    }

    /// One that must be there.
    pub const fn must(name: &'static str, kind: Kind) -> Param {
        Param {
            name,
            kind,
            needed: true,
        }
    }
}

/// Reads the parameters of a URL: those the alias takes, each once.
pub fn read(uri: &Uri, params: &[Param]) -> Result<Map<String, Value>, Fault> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Fault::new(FaultCode::BadRequest, "the query string cannot be read"))?;
    let mut variables = Map::new();
    for (name, value) in pairs {
        if name.contains('\0') || value.contains('\0') {
            return Err(Fault::of(FaultCode::BadText));
        }
        let Some(param) = params.iter().find(|param| param.name == name) else {
            let known: Vec<&str> = params.iter().map(|param| param.name).collect();
            return Err(invalid("query", "a parameter is not known here").with("known", known));
        };
        let Some(read) = param.kind.read(&value) else {
            return Err(invalid(param.name, &format!("not {}", param.kind.shape())));
        };
        if variables.insert(name, read).is_some() {
            return Err(invalid(param.name, "given twice"));
        }
    }
    match params
        .iter()
        .find(|param| param.needed && !variables.contains_key(param.name))
    {
        Some(missing) => Err(invalid(missing.name, "missing")),
        None => Ok(variables),
    }
}

fn invalid(param: &str, message: &str) -> Fault {
    Refusal::new(Code::Validation, format!("{param}: {message}"))
        .at([param])
        .into()
}

impl Kind {
    fn read(self, text: &str) -> Option<Value> {
        match self {
            Kind::Text => Some(text.into()),
            Kind::Whole => text.parse::<i32>().ok().map(Value::from),
            Kind::Flag => text.parse::<bool>().ok().map(Value::from),
            Kind::Ids => Some(text.split(',').map(Value::from).collect()),
            Kind::Bbox => {
                let [west, south, east, north] = numbers(text)?;
                Some(json!({ "west": west, "south": south, "east": east, "north": north }))
            }
            Kind::Near => {
                let [lat, lon, radius_m] = numbers(text)?;
                Some(json!({ "lat": lat, "lon": lon, "radiusM": radius_m }))
            }
            Kind::AsOf if text.bytes().all(|b| b.is_ascii_digit()) => {
                Some(json!({ "position": text }))
            }
            Kind::AsOf => Some(json!({ "time": text })),
        }
    }

    fn shape(self) -> &'static str {
        match self {
            Kind::Text => "a text",
            Kind::Whole => "a whole number",
            Kind::Flag => "true or false",
            Kind::Ids => "ids with commas between them",
            Kind::Bbox => "west,south,east,north",
            Kind::Near => "lat,lon,radiusM",
            Kind::AsOf => "a position or a time",
        }
    }
}

fn numbers<const N: usize>(text: &str) -> Option<[f64; N]> {
    let numbers: Option<Vec<f64>> = text
        .split(',')
        .map(|n| n.parse().ok().filter(|n: &f64| n.is_finite()))
        .collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expect: &str) {
        let params = [
            Param::must("from", Kind::Text),
            Param::may("first", Kind::Whole),
            Param::may("bbox", Kind::Bbox),
            Param::may("ids", Kind::Ids),
            Param::may("as_of", Kind::AsOf),
        ];
        let uri = format!("/x?{query}").parse().expect("a URI");
        let got = match read(&uri, &params) {
            Ok(variables) => Value::from(variables).to_string(),
            Err(fault) => fault.code().to_owned(),
        };
        assert_eq!(got, expect, "{query}");
    }

    #[test]
    fn parameters_become_variables() {
        check(
            "from=2016-01-01T00%3A00%3A00Z&first=5",
            r#"{"first":5,"from":"2016-01-01T00:00:00Z"}"#,
        );
        check(
            "from=x&bbox=-98,30,-97.5,31&ids=a,b",
            r#"{"bbox":{"east":-97.5,"north":31.0,"south":30.0,"west":-98.0},"from":"x","ids":["a","b"]}"#,
        );
        check(
            "from=x&as_of=17",
            r#"{"as_of":{"position":"17"},"from":"x"}"#,
        );
        check(
            "from=x&as_of=2016-01-01T00:00:00Z",
            r#"{"as_of":{"time":"2016-01-01T00:00:00Z"},"from":"x"}"#,
        );
        for bad in [
            "",
            "first=1",
            "from=x&first=1e2",
            "from=x&first=5&first=6",
            "from=x&sort=y",
            "from=x&bbox=1,2,3",
            "from=x&bbox=1,2,3,NaN",
            "from=x&first=",
        ] {
            check(bad, "VALIDATION");
        }
        check("from=a%00b", "BAD_TEXT");
    }
}
