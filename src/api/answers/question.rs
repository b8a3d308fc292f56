//! A query whose answer can be kept: what it asks, as a digest, and which read models it may ask.

use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{Value, Variables};
use domain::Position;
use sha2::{Digest, Sha256};

use super::touch::{self, Models};
use crate::api::Access;
use crate::api::operation_of;

/// A query that was checked, and whose answer is a function of the states of some read models.
#[derive(Clone, Debug)]
pub struct Question {
    /// Of document, operation name and variables, and of what the answer is written as.
    pub(super) digest: [u8; 32],
    /// What it may ask.
    pub(super) models: Models,
    /// The position that was asked for in the request itself.
    pub at_least: Option<Position>,
    /// What asking it costs, points.
    pub cost: u64,
    /// Who may ask it.
    pub access: Access,
}

impl Question {
    /// The question that an operation of a document asks, if its answer can be kept. `shape` tells
    /// what the answer is written as: the same question has other bytes in another shape.
    pub fn of(
        shape: &str,
        text: &str,
        document: &ExecutableDocument,
        operation_name: Option<&str>,
        variables: &Variables,
    ) -> Option<Question> {
        let operation = operation_of(document, operation_name).ok()?;
        let models = touch::models(document, operation)?;
        let mut hash = Sha256::new();
        part(&mut hash, b'd', shape.as_bytes());
        part(&mut hash, b'd', text.as_bytes());
        part(
            &mut hash,
            b'd',
            operation_name.unwrap_or_default().as_bytes(),
        );
        for (name, value) in variables.iter() {
            part(&mut hash, b'k', name.as_bytes());
            feed(&mut hash, value);
        }
        Some(Question {
            digest: hash.finalize().into(),
            models,
            at_least: None,
            cost: 1,
            access: Access::default(),
        })
    }
}

/// What it is, how long it is, the bytes: no two lists of parts look the same.
fn part(hash: &mut Sha256, kind: u8, bytes: &[u8]) {
    hash.update([kind]);
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

/// A value, the members of objects by name: in which order they were sent makes no difference.
fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => part(hash, b'0', b""),
        Value::Boolean(value) => part(hash, b'b', &[u8::from(*value)]),
        Value::Number(number) => part(hash, b'n', number.to_string().as_bytes()),
        Value::String(text) => part(hash, b's', text.as_bytes()),
        Value::Enum(name) => part(hash, b'e', name.as_bytes()),
        Value::Binary(bytes) => part(hash, b'x', bytes),
        Value::List(items) => {
            part(hash, b'l', &(items.len() as u64).to_be_bytes());
            items.iter().for_each(|item| feed(hash, item));
        }
        Value::Object(members) => {
            part(hash, b'o', &(members.len() as u64).to_be_bytes());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            for (name, value) in members {
                part(hash, b'k', name.as_bytes());
                feed(hash, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::*;

    fn digest(text: &str, name: Option<&str>, variables: serde_json::Value) -> [u8; 32] {
        let document = parse_query(text).expect("it is GraphQL");
        let variables = Variables::from_json(variables);
        let question = Question::of("graphql", text, &document, name, &variables);
        question.expect("its answer can be kept").digest
    }

    #[test]
    fn whatever_makes_another_answer_makes_another_question() {
        const TWO: &str =
            "query A { vehicles { nodes { id } } } query B { fleets { nodes { id } } }";
        const ONE: &str = "query($a: X) { vehicles(filter: $a) { nodes { id } } }";
        let object = json!({ "a": { "x": 1, "y": [1, "2", null] } });
        let questions = [
            digest(TWO, Some("A"), json!({})),
            digest(TWO, Some("B"), json!({})),
            digest(ONE, None, json!({})),
            digest(&format!("{ONE} "), None, json!({})),
            digest(ONE, None, json!({ "a": null })),
            digest(ONE, None, json!({ "a": 1 })),
            digest(ONE, None, json!({ "a": "1" })),
            digest(ONE, None, json!({ "a": true })),
            digest(ONE, None, json!({ "a": [] })),
            digest(ONE, None, json!({ "a": {} })),
            digest(ONE, None, json!({ "a": [[1], 2] })),
            digest(ONE, None, json!({ "a": [[1, 2]] })),
            digest(ONE, None, json!({ "a": "", "b": "" })),
            digest(ONE, None, json!({ "a": "b" })),
            digest(ONE, None, object.clone()),
            digest(ONE, None, json!({ "a": { "x": [1, "2", null], "y": 1 } })),
        ];
        for (n, question) in questions.iter().enumerate() {
            let twin = questions[..n].iter().position(|other| other == question);
            assert_eq!(twin, None, "{n}");
        }
        let turned = json!({ "a": { "y": [1, "2", null], "x": 1 } });
        assert_eq!(digest(ONE, None, object), digest(ONE, None, turned));
    }
}
