//! Whole answers to queries, kept as the bytes that are sent: a hit is found by its key, and nothing is
//! parsed, checked or executed for it.
//!
//! A query whose root fields ask nothing but read models is a function of their states: generation and
//! position of each are in the key. So no entry is ever wrong; what has to be right is which states
//! are asked for. They are the latest that anybody in this process has seen, so that no client of it is
//! shown an earlier state after a later one; never before the position the caller insists on; and read
//! anew when they are older than `cache.recheck`, which bounds by how much another process's read models
//! can be ahead of what is shown.

mod question;
mod touch;

use std::sync::Arc;
use std::time::Duration;

use domain::Position;
use metrics::counter;
use projections::Live;
use sha2::{Digest, Sha256};

use super::fault::{Fault, FaultCode};
use super::operation::{Pages, Parts};
use super::{Answer, sdl};
use crate::auth::{Caller, Role};
use crate::cache::{Cache, CacheKey, Memo, Source};
use crate::consumers::Consumers;
use crate::ops::{VERSION, metrics as names};

pub use question::Question;

/// Keeps answers.
pub struct Answers {
    cache: Cache,
    consumers: Consumers,
    keeps: bool,
    recheck: Duration,
    /// Requests seen before, by digest of their bytes: what they ask need not be found out again.
    requests: Memo<Arc<Question>>,
    /// Another program may answer otherwise.
    program: [u8; 32],
}

/// Who asks which question, and how.
pub struct Lookup<'a> {
    /// What.
    pub question: &'a Question,
    /// Who.
    pub caller: &'a Caller,
    /// The position the caller insists on, wherever it said so.
    pub at_least: Option<Position>,
    /// How long pages are.
    pub pages: Pages,
}

/// What is known of an answer before it is made.
pub enum Found {
    /// It is kept, in this process.
    Kept(Body),
    /// It is not, or may not be shown to this caller. It would be kept under these states, if there are any.
    Missing(Missing),
}

/// Where an answer that was not found belongs.
pub struct Missing(Option<(States, CacheKey)>);

/// An answer, either way.
pub enum Given {
    /// As bytes.
    Kept(Body),
    /// As something that cannot be kept: it has errors, or shows several moments.
    Made(Box<Result<Answer, Fault>>),
}

/// An answer as it is sent.
#[derive(Clone)]
pub struct Body {
    /// The position, then the bytes.
    kept: Arc<[u8]>,
}

/// How many bytes the position takes.
const POSITION_BYTES: usize = 8;

impl Body {
    fn new(position: Position, body: &[u8]) -> Body {
        Body {
            kept: [&position.0.to_be_bytes(), body].concat().into(),
        }
    }

    /// The position to give out with it.
    pub fn position(&self) -> Position {
        let position = self.kept.first_chunk::<POSITION_BYTES>();
        Position(position.map_or(0, |bytes| i64::from_be_bytes(*bytes)))
    }

    /// What is sent.
    pub fn bytes(&self) -> &[u8] {
        self.kept.get(POSITION_BYTES..).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// The states of the read models that a question may ask.
type States = Vec<(&'static str, Live)>;

/// An answer that is not kept where it was looked for.
enum Otherwise {
    /// It shows a later state than was known, and is kept under that.
    Later(Body),
    /// It cannot be kept, and is told to nobody but who made it.
    Unkept,
}

impl Answers {
    /// Answers over these parts.
    pub fn new(parts: &Parts) -> Answers {
        let settings = &parts.answers;
        let program = Sha256::new_with_prefix(VERSION)
            .chain_update(sdl())
            .finalize();
        Answers {
            cache: parts.cache.clone(),
            consumers: parts.consumers.clone(),
            keeps: settings.answers,
            recheck: settings.recheck,
            requests: Memo::new(settings.requests_max),
            program: program.into(),
        }
    }

    /// What a request asks, if one of the same bytes was seen before on the same way in.
    pub fn recall(&self, way: &str, raw: &[u8]) -> Option<Arc<Question>> {
        self.keeps
            .then(|| self.requests.get(&request_digest(way, raw)))
            .flatten()
    }

    /// Takes note of what a request asks.
    pub fn remember(&self, way: &str, raw: &[u8], question: Arc<Question>) {
        if self.keeps {
            self.requests.put(request_digest(way, raw), question);
        }
    }

    /// Looks for a kept answer in this process.
    pub async fn find(&self, lookup: &Lookup<'_>) -> Found {
        let models = lookup.question.models.names();
        let Some(states) = self.states(lookup, &models).await else {
            return Found::Missing(Missing(None));
        };
        let key = self.key(lookup, &states);
        match self.cache.kept_here(&key).await {
            Some(kept) => {
                counter!(names::ANSWERS_TOTAL, "source" => "memory").increment(1);
                Found::Kept(Body { kept })
            }
            None => Found::Missing(Missing(Some((states, key)))),
        }
    }

    /// The answer kept elsewhere, or the one that `execute` makes: once, however many ask the same
    /// meanwhile. `write` makes the bytes of an answer without errors.
    pub async fn make<F>(
        &self,
        lookup: &Lookup<'_>,
        missing: Missing,
        execute: impl FnOnce() -> F,
        write: impl Fn(&Answer) -> Vec<u8>,
    ) -> Given
    where
        F: Future<Output = Result<Answer, Fault>>,
    {
        let models = lookup.question.models.names();
        let Missing(Some((states, key))) = missing else {
            counter!(names::ANSWERS_TOTAL, "source" => "bypass").increment(1);
            let made = execute().await;
            return match self.written(&models, &made, &write) {
                Some((shown, body)) => {
                    self.keep(lookup, &shown, &body).await;
                    Given::Kept(body)
                }
                None => Given::Made(Box::new(made)),
            };
        };
        let (mut execute, mut unkept) = (Some(execute), None);
        let (run, note) = (&mut execute, &mut unkept);
        let (models, states, write) = (&models, &states, &write);
        let making = async move {
            let run = run.take().expect("it is made once");
            let made = run().await;
            match self.written(models, &made, write) {
                Some((shown, body)) if shown == *states => Ok(body.kept),
                Some((shown, body)) => {
                    self.keep(lookup, &shown, &body).await;
                    Err(Otherwise::Later(body))
                }
                None => {
                    *note = Some(made);
                    Err(Otherwise::Unkept)
                }
            }
        };
        match self.cache.get_or(&key, || making).await {
            Ok(kept) => {
                match kept.source {
                    Source::Memory => counter!(names::ANSWERS_TOTAL, "source" => "memory"),
                    Source::Redis => counter!(names::ANSWERS_TOTAL, "source" => "redis"),
                    Source::Made => counter!(names::ANSWERS_TOTAL, "source" => "miss"),
                }
                .increment(1);
                Given::Kept(Body { kept: kept.bytes })
            }
            Err(otherwise) => {
                counter!(names::ANSWERS_TOTAL, "source" => "miss").increment(1);
                match (&*otherwise, unkept, execute) {
                    (Otherwise::Later(body), ..) => Given::Kept(body.clone()),
                    (Otherwise::Unkept, Some(made), _) => Given::Made(Box::new(made)),
                    // What somebody else made is not for us: we make our own.
                    (Otherwise::Unkept, None, Some(run)) => Given::Made(Box::new(run().await)),
                    (Otherwise::Unkept, None, None) => {
                        Given::Made(Box::new(Err(Fault::of(FaultCode::Internal))))
                    }
                }
            }
        }
    }

    /// The states to look an answer up for; `None` if it cannot be looked up.
    async fn states(&self, lookup: &Lookup<'_>, models: &[&'static str]) -> Option<States> {
        if !self.keeps {
            return None;
        }
        let tenant = &lookup.caller.tenant;
        let states = self.consumers.known(tenant, models, self.recheck).await?;
        // Who insists on more waits for it as if nothing were kept.
        let there = |(_, live): &(_, Live)| lookup.at_least.is_none_or(|p| live.position >= p);
        states.iter().all(there).then_some(states)
    }

    /// An answer's bytes, and the states it shows; `None` if it cannot be kept.
    fn written(
        &self,
        models: &[&'static str],
        made: &Result<Answer, Fault>,
        write: &impl Fn(&Answer) -> Vec<u8>,
    ) -> Option<(States, Body)> {
        let answer = made.as_ref().ok()?;
        let (position, moment) = (answer.position?, answer.moment.as_ref()?);
        if !self.keeps || !answer.response.errors.is_empty() {
            return None;
        }
        let states = moment.states_of(models)?;
        Some((states, Body::new(position, &write(answer))))
    }

    async fn keep(&self, lookup: &Lookup<'_>, states: &States, body: &Body) {
        let key = self.key(lookup, states);
        self.cache.put(&key, body.kept.clone()).await;
    }

    fn key(&self, lookup: &Lookup<'_>, states: &States) -> CacheKey {
        let states: Vec<_> = states
            .iter()
            .map(|(name, live)| (*name, live.generation, live.position))
            .collect();
        let Pages { default, max } = lookup.pages;
        let mut question = [0; 72];
        question[..32].copy_from_slice(&self.program);
        question[32..64].copy_from_slice(&lookup.question.digest);
        question[64..68].copy_from_slice(&default.to_be_bytes());
        question[68..].copy_from_slice(&max.to_be_bytes());
        let scope = authority(lookup.caller);
        CacheKey::new(&lookup.caller.tenant, &states, &scope, &question)
    }
}

/// Whatever may decide what a caller is shown: the roles it has in effect and its scopes. Who it is
/// decides nothing.
fn authority(caller: &Caller) -> String {
    let mut authority = String::from("answer");
    for role in Role::ALL.iter().filter(|role| caller.may(**role)) {
        authority.push(' ');
        authority.push_str(role.as_str());
    }
    let mut scopes: Vec<&str> = caller.scopes.iter().map(String::as_str).collect();
    scopes.sort_unstable();
    scopes.dedup();
    for scope in scopes {
        // A scope holds no line feed: it comes from a list of words.
        authority.push('\n');
        authority.push_str(scope);
    }
    authority
}

fn request_digest(way: &str, raw: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(way)
        .chain_update([0])
        .chain_update(raw)
        .finalize()
        .into()
}
