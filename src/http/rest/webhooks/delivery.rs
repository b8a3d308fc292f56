//! What the head of a delivery says: which one it is, of what, and how it is signed.

use std::time::Duration;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};

use crate::api::fault::{Fault, FaultCode};
use crate::config::HookKind;
use crate::intake::Signature;

/// Characters of a delivery's id, and of the name of an event.
const WORD_CHARS_MAX: usize = 100;

/// A delivery whose signature was read and not checked.
#[derive(Debug)]
pub struct Delivery {
    /// Its own, the same when it is sent again.
    pub id: String,
    /// What it is about.
    pub event: Event,
    /// Who sent it, as they say.
    pub signature: Signature,
}

/// What a delivery is about.
#[derive(Debug)]
pub enum Event {
    /// What GitHub calls so.
    Github(String),
    /// A deployment.
    Generic,
}

impl Delivery {
    /// Reads the head at this time, from which the time it was sent may differ by so much.
    pub fn read(
        kind: HookKind,
        headers: &HeaderMap,
        (now, tolerance): (DateTime<Utc>, Duration),
    ) -> Result<Delivery, Fault> {
        match kind {
            HookKind::Github => of_github(headers),
            HookKind::Generic => of_standard(headers, now, tolerance),
        }
    }
}

fn of_github(headers: &HeaderMap) -> Result<Delivery, Fault> {
    let signature = one(headers, "x-hub-signature-256").and_then(Signature::of_github);
    let signature = signature.ok_or_else(unsigned)?;
    let said = |name: &'static str| {
        let word = one(headers, name).filter(|word| is_word(word));
        let missing = || Fault::new(FaultCode::BadRequest, format!("there is no one {name}"));
        word.map(str::to_owned).ok_or_else(missing)
    };
    Ok(Delivery {
        id: said("x-github-delivery")?,
        event: Event::Github(said("x-github-event")?),
        signature,
    })
}

fn of_standard(
    headers: &HeaderMap,
    now: DateTime<Utc>,
    tolerance: Duration,
) -> Result<Delivery, Fault> {
    // An id with a dot could pass for one without and a time of its own: what is signed is joined by dots.
    let id = one(headers, "webhook-id").filter(|id| is_word(id));
    let id = id.ok_or_else(unsigned)?;
    let at = one(headers, "webhook-timestamp").filter(|at| is_fresh(at, now, tolerance));
    let at =
        at.ok_or_else(|| Fault::of(FaultCode::Stale).with("toleranceS", tolerance.as_secs()))?;
    let signature = one(headers, "webhook-signature");
    let signature = signature.and_then(|text| Signature::of_standard(id, at, text));
    Ok(Delivery {
        id: id.to_owned(),
        event: Event::Generic,
        signature: signature.ok_or_else(unsigned)?,
    })
}

fn is_fresh(at: &str, now: DateTime<Utc>, tolerance: Duration) -> bool {
    // Nothing but digits: what is signed and what is read must be the same.
    let seconds = at
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| at.parse().ok());
    let apart = |at: i64| now.timestamp().abs_diff(at);
    seconds
        .flatten()
        .is_some_and(|at| apart(at) <= tolerance.as_secs())
}

/// The header of this name, if there is exactly one.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn is_word(text: &str) -> bool {
    (1..=WORD_CHARS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn unsigned() -> Fault {
    Fault::of(FaultCode::BadSignature)
}
