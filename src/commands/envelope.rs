//! What surrounds a command: caller, idempotency, metadata.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use domain::{Actor, Code, Metadata, Refusal, values};
use serde::Serialize;
use uuid::Uuid;

use crate::store::{Appended, digest};

/// How long a declared command id may be, in characters.
const COMMAND_ID_CHARS_MAX: usize = 255;

/// Larger receipts are not kept in memory: they are found in the database.
const RECEIPT_BYTES_MAX: usize = 1 << 10;

/// Who sends a command, and under which conditions.
#[derive(Clone, Debug)]
pub struct CommandContext {
    /// Whose log.
    pub tenant: Arc<str>,
    /// Who.
    pub actor: Actor,
    /// The caller's idempotency key, 1 to 255 characters, if it declared one.
    pub command_id: Option<String>,
    /// What was said beside the command, as a digest: said otherwise, the same idempotency key is used for
    /// another command.
    pub said: Option<[u8; 16]>,
    /// The version the caller saw, if it insists on it.
    pub expected_version: Option<i64>,
    /// Ties together everything one outside request led to.
    pub correlation_id: Option<String>,
    /// The event or command that directly caused this one.
    pub causation_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Business time, if the caller gave one.
    pub occurred_at: Option<DateTime<Utc>>,
    /// The server's clock when the command arrived.
    pub now: DateTime<Utc>,
    /// Time windows are lifted (imports); recorded in metadata.
    pub backfill: bool,
}

impl CommandContext {
    /// A context with nothing but who and when.
    pub fn new(tenant: Arc<str>, actor: Actor, now: DateTime<Utc>) -> CommandContext {
        CommandContext {
            tenant,
            actor,
            command_id: None,
            said: None,
            expected_version: None,
            correlation_id: None,
            causation_id: None,
            traceparent: None,
            occurred_at: None,
            now,
            backfill: false,
        }
    }

    /// The id of something new: as given, or made; the same for the same command sent again.
    pub fn new_id(&self, given: Option<String>, kind: &str) -> Result<String, Refusal> {
        if let Some(given) = given {
            return values::id(&given, "id");
        }
        let id = match &self.command_id {
            None => Uuid::now_v7(),
            Some(command_id) => {
                let actor = self.actor.to_string();
                let parts = [
                    self.tenant.as_bytes(),
                    actor.as_bytes(),
                    command_id.as_bytes(),
                ];
                Uuid::from_bytes(digest(&parts))
            }
        };
        Ok(format!("{kind}_{}", id.simple()))
    }

    /// The context of the command that follows this one of the same request: sent again, it is the same
    /// one again.
    pub fn following(&self) -> CommandContext {
        let command_id = self.command_id.as_ref().map(|id| {
            let digest = digest(&[id.as_bytes()]);
            format!("after {}", Uuid::from_bytes(digest).simple())
        });
        CommandContext {
            command_id,
            expected_version: None,
            ..self.clone()
        }
    }
}

/// A command's identity and metadata, ready for appends.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub command_id: Uuid,
    pub fingerprint: [u8; 16],
    pub metadata: String,
    /// Did the caller declare the id? Only then can there be an earlier receipt.
    pub declared: bool,
}

impl Envelope {
    /// `intent` is what the caller asked for and nothing else: a retry has the same.
    pub fn new(
        ctx: &CommandContext,
        kind: &str,
        intent: &impl Serialize,
    ) -> Result<Envelope, Refusal> {
        let command_id = match &ctx.command_id {
            Some(declared) => {
                check_command_id(declared)?;
                // One caller's ids never meet another's.
                let digest = digest(&[ctx.actor.to_string().as_bytes(), declared.as_bytes()]);
                Uuid::from_bytes(digest)
            }
            None => Uuid::now_v7(),
        };
        let metadata = Metadata {
            actor: ctx.actor.to_string(),
            command_id: ctx
                .command_id
                .clone()
                .unwrap_or_else(|| command_id.to_string()),
            correlation_id: ctx.correlation_id.clone(),
            causation_id: ctx.causation_id.clone(),
            traceparent: ctx.traceparent.clone(),
            occurred_at: ctx
                .occurred_at
                .map(|t| t.to_rfc3339_opts(SecondsFormat::Micros, true)),
            backfill: ctx.backfill.then(|| "true".to_owned()),
            ..Metadata::default()
        };
        let fingerprint = match ctx.command_id {
            Some(_) => fingerprint(ctx, kind, intent),
            None => [0; 16],
        };
        Ok(Envelope {
            command_id,
            fingerprint,
            metadata: serde_json::to_string(&metadata).expect("a flat struct of strings"),
            declared: ctx.command_id.is_some(),
        })
    }
}

/// Refuses an idempotency key that is none.
pub fn check_command_id(declared: &str) -> Result<(), Refusal> {
    let chars = declared.chars().count();
    if chars == 0 || chars > COMMAND_ID_CHARS_MAX {
        return Err(
            Refusal::new(Code::Validation, "commandId is 1 to 255 characters")
                .at(["commandId"])
                .with("limit", COMMAND_ID_CHARS_MAX)
                .with("actual", chars),
        );
    }
    if declared.chars().any(char::is_control) {
        let why = "commandId holds a control character";
        return Err(Refusal::new(Code::BadText, why).at(["commandId"]));
    }
    Ok(())
}

fn fingerprint(ctx: &CommandContext, kind: &str, intent: &impl Serialize) -> [u8; 16] {
    let intent = serde_json::to_vec(intent).expect("commands are plain data");
    let expected = format!("{:?}", ctx.expected_version);
    let mut parts = vec![kind.as_bytes(), expected.as_bytes(), &intent];
    parts.extend(ctx.said.as_ref().map(|said| &said[..]));
    digest(&parts)
}

/// First receipts of recent declared commands: a retry is answered without touching a lane.
pub(super) struct Receipts {
    half_max: usize,
    kept: Mutex<(ReceiptMap, ReceiptMap)>,
}

type ReceiptMap = HashMap<(Arc<str>, Uuid), ([u8; 16], Appended)>;

impl Receipts {
    pub fn new(max: usize) -> Receipts {
        Receipts {
            half_max: (max / 2).max(1),
            kept: Mutex::default(),
        }
    }

    /// The first receipt, or the refusal of a reused id.
    pub fn find(
        &self,
        tenant: &Arc<str>,
        envelope: &Envelope,
    ) -> Option<Result<Appended, Refusal>> {
        if !envelope.declared {
            return None;
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), envelope.command_id);
        let (fingerprint, first) = kept.0.get(&key).or_else(|| kept.1.get(&key))?;
        Some(if *fingerprint == envelope.fingerprint {
            Ok(Appended {
                replayed: true,
                ..first.clone()
            })
        } else {
            Err(key_reused())
        })
    }

    /// Remembers; when the young half is full, the old half is forgotten.
    pub fn keep(&self, tenant: &Arc<str>, envelope: &Envelope, first: &Appended) {
        let bytes = first.receipt.as_ref().map_or(0, String::len);
        if !envelope.declared || bytes > RECEIPT_BYTES_MAX {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0.len() >= self.half_max {
            kept.1 = std::mem::take(&mut kept.0);
        }
        kept.0.insert(
            (tenant.clone(), envelope.command_id),
            (envelope.fingerprint, first.clone()),
        );
    }
}

pub(super) fn key_reused() -> Refusal {
    Refusal::new(
        Code::IdempotencyKeyReused,
        "this commandId was used for another command; take a new one",
    )
    .at(["commandId"])
}

#[cfg(test)]
mod tests {
    use domain::ActorKind;

    use super::*;

    fn context(tenant: &str, actor: &str, command_id: Option<&str>) -> CommandContext {
        let actor = Actor {
            kind: ActorKind::User,
            id: actor.into(),
        };
        CommandContext {
            command_id: command_id.map(str::to_owned),
            ..CommandContext::new(tenant.into(), actor, DateTime::UNIX_EPOCH)
        }
    }

    #[test]
    fn a_command_sent_again_names_the_same_thing() {
        let made = |ctx: &CommandContext| ctx.new_id(None, "deployment").expect("an id");
        let first = context("a", "ann", Some("1"));
        assert_eq!(made(&first), made(&first));
        for other in [
            context("b", "ann", Some("1")),
            context("a", "bob", Some("1")),
            context("a", "ann", Some("2")),
        ] {
            assert_ne!(made(&first), made(&other), "{other:?}");
        }
        let unnamed = context("a", "ann", None);
        assert_ne!(made(&unnamed), made(&unnamed));
    }
}
