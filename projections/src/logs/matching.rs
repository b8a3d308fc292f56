//! The filter of records without a database: the same records as [`super::logs`] finds, told one by one.

use domain::log_batch::LogRecord;
use serde_json::{Map, Number, Value};

use super::fold::json;
use super::read::LogFilter;

impl LogFilter {
    /// Is this record of this source one of those?
    pub fn matches(&self, source_id: &str, record: &LogRecord) -> bool {
        let is = |asked: &Option<String>, found: Option<&str>| {
            asked.is_none() || asked.as_deref() == found
        };
        let types = &self.event_types;
        is(&self.source_id, Some(source_id))
            && (types.is_empty() || types.contains(&record.event_type))
            && is(&self.event_name, Some(&record.event_name))
            && is(&self.user_id, record.user_id.as_deref())
            && is(&self.session_id, record.session_id.as_deref())
            && is(
                &self.app_version,
                record.app_version.as_deref().or(Some("")),
            )
            && self.priority.is_none_or(|asked| asked == record.priority)
            && self.from.is_none_or(|from| record.timestamp >= from)
            && self.to.is_none_or(|to| record.timestamp < to)
            && self.found_in(record)
    }

    /// Is what is searched for in it?
    fn found_in(&self, record: &LogRecord) -> bool {
        let equals = |asked: &super::PropertyEquals| {
            let found = at(&record.properties, &asked.path);
            found.is_some_and(|found| same(found, &asked.value))
        };
        self.properties.iter().all(equals)
            && self
                .text
                .as_ref()
                .is_none_or(|text| says(record, &text.to_ascii_lowercase()))
    }
}

fn says(record: &LogRecord, text: &str) -> bool {
    let holds = |whole: &str| whole.to_ascii_lowercase().contains(text);
    if holds(&record.event_name) {
        return true;
    }
    json(&record.properties).is_some_and(holds)
}

/// What stands at the end of a path: names of objects, numbers of lists, from the end if below 0.
fn at<'v>(properties: &'v Map<String, Value>, path: &[String]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(properties.get(first)?, |value, step| match value {
            Value::Object(object) => object.get(step),
            Value::Array(list) => {
                let n = i64::from(number(step)?);
                let len = i64::try_from(list.len()).ok()?;
                let n = if n < 0 { len + n } else { n };
                list.get(usize::try_from(n).ok()?)
            }
            _ => None,
        })
}

/// The number of a list's item as the database reads it: blanks may come first.
fn number(step: &str) -> Option<i32> {
    let blank = [' ', '\t', '\n', '\u{b}', '\u{c}', '\r'];
    step.trim_start_matches(blank).parse().ok()
}

/// Are they equal as `jsonb`: numbers by value, objects whatever the order of their names?
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let in_b = |(name, a): (&String, &Value)| b.get(name).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(in_b)
        }
        _ => a == b,
    }
}

fn same_number(a: &Number, b: &Number) -> bool {
    a == b || decimal(&a.to_string()) == decimal(&b.to_string())
}

/// A number as the database takes it, by the digits it is written with: its sign, its digits without zeros
/// at either end, and the power of ten of the last.
fn decimal(written: &str) -> (bool, String, i64) {
    let (below, written) = match written.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, written),
    };
    let (digits, power) = written.split_once(['e', 'E']).unwrap_or((written, "0"));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = format!("{whole}{part}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return (false, String::new(), 0);
    }
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    // The power of a float has three digits.
    let power: i64 = power.parse().unwrap_or_default();
    let power = power - length(part) + length(digits) - length(significant);
    (below, significant.to_owned(), power)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_equal_by_what_they_are() {
        for (a, b, expect) in [
            (json!(2), json!(2.0), true),
            (json!(0.1), json!(0.1), true),
            (json!(i64::MAX), json!(i64::MAX - 1), false),
            (
                json!(9_007_199_254_740_993_i64),
                json!(9_007_199_254_740_992.0),
                false,
            ),
            (
                json!(9_007_199_254_740_992_i64),
                json!(9_007_199_254_740_992.0),
                true,
            ),
            (json!(0), json!(-0.0), true),
            (json!(-150), json!(-1.5e2), true),
            (json!(100), json!(1), false),
            (json!(0.25), json!(0.025), false),
            (json!({ "a": 1, "b": 2 }), json!({ "b": 2.0, "a": 1 }), true),
            (json!({ "a": 1 }), json!({ "a": 1, "b": 2 }), false),
            (json!([1, 2]), json!([2, 1]), false),
            (json!("1"), json!(1), false),
            (json!(null), json!(null), true),
        ] {
            assert_eq!(same(&a, &b), expect, "{a} {b}");
        }
    }

    #[test]
    fn a_path_ends_somewhere_or_nowhere() {
        let tree = json!({ "a": { "b": [1, { "c": 2 }] }, "": 3 });
        let tree = tree.as_object().expect("an object");
        let found = |path: &[&str]| {
            let path: Vec<String> = path.iter().map(|p| (*p).to_owned()).collect();
            at(tree, &path).cloned()
        };
        assert_eq!(found(&["a", "b", "1", "c"]), Some(json!(2)));
        assert_eq!(found(&["a", "b", "-2"]), Some(json!(1)));
        assert_eq!(found(&["a", "b", " +0"]), Some(json!(1)));
        assert_eq!(found(&[""]), Some(json!(3)));
        for nowhere in [
            &[][..],
            &["b"],
            &["a", "b", "2"],
            &["a", "b", "-3"],
            &["a", "b", "x"],
            &["a", "b", "0 "],
            &["a", "b", "4294967296"],
            &["", "a"],
        ] {
            assert_eq!(found(nowhere), None, "{nowhere:?}");
        }
    }
}
