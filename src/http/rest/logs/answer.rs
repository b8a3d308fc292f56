//! What became of a batch, written straight as JSON: it has an entry for every record.

use std::fmt;

use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use domain::{Position, Refusal};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::super::command::REPLAYED;
use super::super::tell;
use crate::commands::{LogsReceipt, RecordOutcome};
use crate::http::problem;

/// What an entry comes to, in bytes, where nothing is to be said of its record.
const ENTRY_BYTES: usize = 64;

/// The answer: 200 if none was rejected, 207 if some were.
pub fn answer(kept: &LogsReceipt) -> Response {
    let told = Told::of(kept);
    let status = match told.rejected {
        0 => StatusCode::OK,
        _ => StatusCode::MULTI_STATUS,
    };
    let mut body = Vec::with_capacity(ENTRY_BYTES * (kept.outcomes.len() + 4));
    serde_json::to_writer(&mut body, &told).expect("plain data");
    let receipt = &kept.receipt;
    let mut answer = problem::answer(status, "application/json", body);
    tell(&mut answer, receipt.position);
    if receipt.replayed {
        let yes = HeaderValue::from_static("true");
        answer.headers_mut().insert(REPLAYED, yes);
    }
    answer
}

/// The answer's body. Names are in the order of the alphabet, here and below.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'k> {
    accepted: usize,
    batch_id: &'k str,
    duplicates: usize,
    receipt: ReceiptTold,
    rejected: usize,
    results: Results<'k>,
}

#[derive(Serialize)]
struct ReceiptTold {
    position: Text<Position>,
    replayed: bool,
    version: i64,
}

impl Told<'_> {
    fn of(kept: &LogsReceipt) -> Told<'_> {
        let (mut duplicates, mut rejected) = (0, 0);
        for outcome in &kept.outcomes {
            match outcome {
                RecordOutcome::Accepted { .. } => {}
                RecordOutcome::Known { .. } | RecordOutcome::Repeated { .. } => duplicates += 1,
                RecordOutcome::Rejected(_) => rejected += 1,
            }
        }
        let receipt = &kept.receipt;
        Told {
            accepted: kept.outcomes.len() - duplicates - rejected,
            batch_id: &kept.batch_id,
            duplicates,
            receipt: ReceiptTold {
                position: Text(receipt.position),
                replayed: receipt.replayed,
                version: receipt.version,
            },
            rejected,
            results: Results(kept),
        }
    }
}

/// One entry per record.
struct Results<'k>(&'k LogsReceipt);

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let position = self.0.receipt.position;
        let outcomes = self.0.outcomes.iter().enumerate();
        out.collect_seq(outcomes.map(|(index, outcome)| Entry::of(index, outcome, position)))
    }
}

/// What became of one record.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'k> {
    Accepted {
        id: Text<Place>,
        index: usize,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        redacted: &'k [String],
        status: &'static str,
    },
    #[serde(rename_all = "camelCase")]
    Known {
        index: usize,
        of_position: Option<Text<Position>>,
        status: &'static str,
    },
    #[serde(rename_all = "camelCase")]
    Repeated {
        differs: bool,
        index: usize,
        of: Text<Place>,
        of_position: Text<Position>,
        status: &'static str,
    },
    Rejected {
        error: Why<'k>,
        index: usize,
        status: &'static str,
    },
}

/// Why a record was rejected.
#[derive(Serialize)]
struct Why<'k> {
    code: &'static str,
    details: &'k Map<String, Value>,
    message: &'k str,
    path: &'k [String],
}

impl Entry<'_> {
    fn of(index: usize, outcome: &RecordOutcome, position: Position) -> Entry<'_> {
        let place = |index: &u32| Text(Place(position, *index));
        match outcome {
            RecordOutcome::Accepted {
                index: at,
                redacted,
            } => Entry::Accepted {
                id: place(at),
                index,
                redacted,
                status: "ACCEPTED",
            },
            RecordOutcome::Known { position } => Entry::Known {
                index,
                of_position: position.map(Text),
                status: "DUPLICATE",
            },
            RecordOutcome::Repeated { index: at, differs } => Entry::Repeated {
                differs: *differs,
                index,
                of: place(at),
                of_position: Text(position),
                status: "DUPLICATE",
            },
            RecordOutcome::Rejected(refusal) => Entry::Rejected {
                error: Why::of(refusal),
                index,
                status: "REJECTED",
            },
        }
    }
}

impl Why<'_> {
    fn of(refusal: &Refusal) -> Why<'_> {
        Why {
            code: refusal.code.as_str(),
            details: &refusal.details,
            message: &refusal.message,
            path: &refusal.path,
        }
    }
}

/// Where a record is in the log.
#[derive(Clone, Copy)]
struct Place(Position, u32);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0, self.1)
    }
}

/// Told as a text.
#[derive(Clone, Copy)]
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use domain::Code;
    use serde_json::json;

    use super::*;
    use crate::commands::Receipt;

    fn told(outcomes: Vec<RecordOutcome>) -> String {
        let kept = LogsReceipt {
            receipt: Receipt {
                position: Position(9),
                version: 1,
                replayed: true,
            },
            batch_id: "b-1".to_owned(),
            outcomes,
        };
        serde_json::to_string(&Told::of(&kept)).expect("plain data")
    }

    #[test]
    fn every_record_is_told_of() {
        let refusal = Refusal::new(Code::UnknownEventType, "no \"such\" type")
            .at(["logs", "4", "eventType"])
            .with("actual", "metric");
        let accepted = |index, redacted: &[&str]| RecordOutcome::Accepted {
            index,
            redacted: redacted.iter().map(ToString::to_string).collect(),
        };
        let outcomes = vec![
            accepted(0, &[]),
            accepted(1, &["properties.password"]),
            RecordOutcome::Known {
                position: Some(Position(7)),
            },
            RecordOutcome::Known { position: None },
            RecordOutcome::Rejected(refusal),
            RecordOutcome::Repeated {
                index: 1,
                differs: true,
            },
        ];
        let expected = json!({
            "batchId": "b-1",
            "receipt": { "position": "9", "version": 1, "replayed": true },
            "accepted": 2, "duplicates": 3, "rejected": 1,
            "results": [
                { "index": 0, "status": "ACCEPTED", "id": "9:0" },
                { "index": 1, "status": "ACCEPTED", "id": "9:1", "redacted": ["properties.password"] },
                { "index": 2, "status": "DUPLICATE", "ofPosition": "7" },
                { "index": 3, "status": "DUPLICATE", "ofPosition": null },
                { "index": 4, "status": "REJECTED", "error": {
                    "code": "UNKNOWN_EVENT_TYPE", "message": "no \"such\" type",
                    "path": ["logs", "4", "eventType"], "details": { "actual": "metric" } } },
                { "index": 5, "status": "DUPLICATE", "ofPosition": "9", "of": "9:1", "differs": true },
            ],
        });
        assert_eq!(told(outcomes), expected.to_string());
    }
}
