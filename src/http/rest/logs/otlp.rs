//! `POST /v1/logs`: what OpenTelemetry's exporters send (OTLP/HTTP), in JSON or protobuf.
//!
//! The answer is OTLP's: a full success says nothing, a partial one how many records were rejected and
//! why. A record that is known already is as good as accepted.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::Code;
use domain::log_batch::{LogReport, RECORDS_MAX};
use domain::log_format::{otlp_json_reports, otlp_protobuf_reports};
use serde_json::json;
use uuid::Uuid;

use super::body::{self, Media, Took};
use super::reports::{self, Read};
use super::{Sender, admit};
use crate::api::fault::{Fault, FaultCode};
use crate::commands::RecordOutcome;
use crate::http::context::Id;
use crate::http::{Edge, problem};
use crate::store::digest;

/// How many bytes the records of one batch may say, what they have in common counted for each, but for the
/// one that is too many: what is copied of a device when it is sealed is bounded by it.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// An export as it was read.
struct Export {
    media: Media,
    records: Vec<Read>,
    /// What it is known by when it is sent again.
    digest: Uuid,
}

/// What was not accepted of an export.
#[derive(Default)]
struct Partial {
    rejected: u64,
    /// Why the first of them was.
    message: String,
}

/// Takes an export in, in as many batches as it needs.
pub async fn export(State(edge): State<Edge>, request: Request) -> Response {
    let id = Id::of(&request);
    let told = async {
        let (sender, body) = admit(&edge, request, &id).await?;
        let source = sender.source.clone();
        let read_as = move |media: Media, bytes: &[u8], took: &mut Took| {
            Ok(Export {
                media,
                records: records(media, bytes, took)?,
                digest: Uuid::from_bytes(digest(&[source.as_bytes(), bytes])),
            })
        };
        let (export, _took) = body::read(&edge, &sender.head.headers, body, read_as).await?;
        let media = export.media;
        let partial = take_in(&edge, &sender, export).await?;
        Ok::<_, Fault>(answer(media, &partial))
    };
    told.await
        .unwrap_or_else(|fault| problem::problem(&fault, &id))
}

fn records(media: Media, bytes: &[u8], took: &mut Took) -> Result<Vec<Read>, Fault> {
    media.must_be(&[Media::Json, Media::Protobuf])?;
    let mut no_room = None;
    let mut has_room = |bytes: usize| match took.hold(bytes) {
        Ok(()) => true,
        Err(fault) => {
            no_room = Some(fault);
            false
        }
    };
    let read = match media {
        Media::Protobuf => otlp_protobuf_reports(bytes, &mut has_room),
        _ => otlp_json_reports(bytes, &mut has_room),
    };
    read.map_err(|refusal| match (no_room, media) {
        (Some(fault), _) => fault,
        (None, Media::Protobuf) if refusal.code == Code::UnreadableInput => {
            Fault::new(FaultCode::BadRequest, refusal.message)
        }
        (None, Media::Protobuf) => refusal.into(),
        (None, _) => reports::broken(bytes, &refusal).unwrap_or_else(|| refusal.into()),
    })
}

/// The next records that go in together.
fn next_batch(records: &mut impl Iterator<Item = Read>) -> Vec<Read> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < RECORDS_MAX
        && bytes < BATCH_BYTES_MAX
        && let Some(record) = records.next()
    {
        bytes += record.as_ref().map_or(0, LogReport::bytes);
        batch.push(record);
    }
    batch
}

/// An exporter that was told 503 or nothing sends the same bytes again; the batches of them that were kept
/// are then known by the digest of the whole.
async fn take_in(edge: &Edge, sender: &Sender, export: Export) -> Result<Partial, Fault> {
    let mut partial = Partial::default();
    let mut records = export.records.into_iter();
    for n in 0.. {
        let batch = next_batch(&mut records);
        if batch.is_empty() {
            break;
        }
        let command_id = format!("otlp {} {n}", export.digest.simple());
        let kept = sender.ingest(edge, batch, Some(command_id)).await?;
        for outcome in &kept.outcomes {
            if let RecordOutcome::Rejected(refusal) = outcome {
                if partial.rejected == 0 {
                    let code = refusal.code.as_str();
                    partial.message = format!("{code}: {}", refusal.message);
                }
                partial.rejected += 1;
            }
        }
    }
    Ok(partial)
}

fn answer(media: Media, partial: &Partial) -> Response {
    match media {
        Media::Protobuf => {
            let body = protobuf(partial);
            problem::answer(StatusCode::OK, "application/x-protobuf", body)
        }
        _ => {
            let body = match partial.rejected {
                0 => json!({}),
                // Protobuf's 64-bit numbers are texts in JSON.
                n => json!({ "partialSuccess": {
                    "rejectedLogRecords": n.to_string(), "errorMessage": partial.message } }),
            };
            problem::answer(StatusCode::OK, "application/json", body.to_string())
        }
    }
}

/// `ExportLogsServiceResponse`: field 1 is `partial_success`, of which field 1 is a number and 2 a text.
fn protobuf(partial: &Partial) -> Vec<u8> {
    let mut out = Vec::new();
    if partial.rejected == 0 {
        return out;
    }
    let mut inner = vec![0x08];
    varint(&mut inner, partial.rejected);
    inner.push(0x12);
    varint(&mut inner, partial.message.len() as u64);
    inner.extend_from_slice(partial.message.as_bytes());
    out.push(0x0a);
    varint(&mut out, inner.len() as u64);
    out.append(&mut inner);
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However large what they have in common is, what goes in together is not.
    #[test]
    fn an_export_is_cut_by_records_and_by_bytes() {
        let sizes = |bytes: usize, records: usize| -> Vec<usize> {
            let device_info: domain::log_batch::LogObject =
                [("a".to_owned(), "x".repeat(bytes).into())]
                    .into_iter()
                    .collect();
            let report = LogReport {
                device_info,
                ..LogReport::default()
            };
            let mut records = vec![Ok(report); records].into_iter();
            let batches = std::iter::from_fn(|| {
                let batch = next_batch(&mut records);
                (!batch.is_empty()).then_some(batch.len())
            });
            batches.collect()
        };
        assert_eq!(sizes(0, 2_500), [1_000, 1_000, 500]);
        assert_eq!(sizes(1 << 16, 100), [64, 36]);
        assert_eq!(sizes(0, 0), [0; 0]);
    }

    #[test]
    fn a_partial_success_is_written_as_protobuf_has_it() {
        assert!(protobuf(&Partial::default()).is_empty());
        let partial = Partial {
            rejected: 300,
            message: "no".to_owned(),
        };
        let bytes = [0x0a, 7, 0x08, 0xac, 0x02, 0x12, 2, b'n', b'o'];
        assert_eq!(protobuf(&partial), bytes);
    }
}
