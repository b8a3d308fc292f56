//! Where the foreign issuer's keys come from, and how long they are believed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use metrics::{counter, gauge};
use serde::Deserialize;
use tokio::sync::watch;

use super::keys::{Key, KeySet, Wanted};
use crate::config::value::Setting as _;
use crate::config::{self, WebUrl};
use crate::fetch::{Fetch, FetchError};
use crate::ops::{Clock, metrics as names};

/// Fetches and keeps the keys. Cheap to clone.
#[derive(Clone)]
pub struct Source(Arc<Inner>);

struct Inner {
    settings: config::Oidc,
    issuer: WebUrl,
    fetch: Fetch,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: KeySet,
    /// When they were asked for; none before the first time.
    known_since: Option<DateTime<Utc>>,
    tried_at: Option<DateTime<Utc>>,
    /// Did the last try fail?
    failing: bool,
    /// Ends with the fetch that is under way.
    under_way: Option<watch::Receiver<()>>,
}

/// What there is for a token at some moment.
enum Found {
    Key(Arc<Key>),
    Nothing(&'static str),
    /// Somebody asks the issuer at this moment.
    Soon(watch::Receiver<()>),
}

/// Why keys were not fetched.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error("{0}: {1}")]
    Fetch(WebUrl, FetchError),
    #[error("{0} is not what it should be: {1}")]
    Content(WebUrl, String),
    #[error("the configuration at {0} is that of another issuer")]
    OtherIssuer(WebUrl),
    #[error("the keys are said to be at a place that cannot be asked: it {0}")]
    Place(String),
}

impl Source {
    pub fn new(settings: config::Oidc, issuer: WebUrl, fetch: Fetch, clock: Clock) -> Source {
        Source(Arc::new(Inner {
            settings,
            issuer,
            fetch,
            clock,
            state: Mutex::default(),
        }))
    }

    /// The key that a token was signed with. The error is the reason as a metric's label has it.
    pub async fn key(&self, wanted: &Wanted) -> Result<Arc<Key>, &'static str> {
        let mut fetched = match self.find(wanted, true) {
            Found::Soon(fetched) => fetched,
            Found::Key(key) => return Ok(key),
            Found::Nothing(reason) => return Err(reason),
        };
        // Nothing is ever sent: it is closed when the fetch is over, which is bounded in time.
        let _ = fetched.changed().await;
        match self.find(wanted, false) {
            Found::Key(key) => Ok(key),
            Found::Nothing(reason) => Err(reason),
            Found::Soon(_) => Err("key"),
        }
    }

    /// Looks the key up. Keys that are no longer believed, and unknown ones, are worth a fetch, but no more
    /// than one in `jwks_min_interval`; whoever asks for a key that was known does not wait for an issuer
    /// that failed before.
    fn find(&self, wanted: &Wanted, may_fetch: bool) -> Found {
        let Inner {
            settings, clock, ..
        } = &*self.0;
        let now = clock.now();
        let mut state = self.0.state();
        let is_good = state
            .known_since
            .is_some_and(|since| (now - since).abs() < span(settings.jwks_stale_max));
        let is_fresh = elapsed_less(state.known_since, now, settings.jwks_ttl);
        let known = state.keys.find(wanted).filter(|_| is_good || is_fresh);
        match known {
            Some(key) if is_fresh || !may_fetch => return Found::Key(key),
            None if !may_fetch => {}
            known => match (known, self.begin(&mut state, now)) {
                (Some(key), Some(_)) if state.failing => return Found::Key(key),
                (_, Some(fetched)) => return Found::Soon(fetched),
                (Some(key), None) => return Found::Key(key),
                (None, None) => {}
            },
        }
        match is_good || is_fresh {
            true => Found::Nothing("key"),
            false => Found::Nothing("issuer"),
        }
    }

    /// Joins the fetch under way, or begins one if it is time to. It is a task of its own: whoever waits for it
    /// may leave, others wait too.
    fn begin(&self, state: &mut State, now: DateTime<Utc>) -> Option<watch::Receiver<()>> {
        // Closed without an end: the task was dropped with its runtime.
        let joined = state
            .under_way
            .clone()
            .filter(|fetch| fetch.has_changed().is_ok());
        if joined.is_some() {
            return joined;
        }
        let too_soon = elapsed_less(state.tried_at, now, self.0.settings.jwks_min_interval);
        if too_soon {
            return None;
        }
        state.tried_at = Some(now);
        let (end, fetched) = watch::channel(());
        state.under_way = Some(fetched.clone());
        let inner = self.0.clone();
        tokio::spawn(async move {
            let result = inner.fetch().await;
            inner.keep(result, now);
            drop(end);
        });
        Some(fetched)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) -> Result<KeySet, SourceError> {
        let place = match &self.settings.jwks_url {
            Some(place) => place.clone(),
            None => self.discover().await?,
        };
        let body = self.get(&place).await?;
        KeySet::read(&body).map_err(|problem| SourceError::Content(place, problem))
    }

    /// Where the issuer says that its keys are (OpenID Connect Discovery 1.0, 4).
    async fn discover(&self) -> Result<WebUrl, SourceError> {
        #[derive(Deserialize)]
        struct Configuration {
            issuer: String,
            jwks_uri: String,
        }
        let issuer = self.issuer.as_str();
        let place = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let place = WebUrl::parse(&place).map_err(SourceError::Place)?;
        let body = self.get(&place).await?;
        let said: Configuration = serde_json::from_slice(&body)
            .map_err(|error| SourceError::Content(place.clone(), error.to_string()))?;
        if said.issuer != issuer {
            return Err(SourceError::OtherIssuer(place));
        }
        let keys = WebUrl::parse(&said.jwks_uri).map_err(SourceError::Place)?;
        match self.issuer.is_secure() && !keys.is_secure() {
            true => Err(SourceError::Place("is not asked by TLS".to_owned())),
            false => Ok(keys),
        }
    }

    async fn get(&self, place: &WebUrl) -> Result<bytes::Bytes, SourceError> {
        let bytes_max = self.settings.jwks_bytes_max.len();
        let asked = self.fetch.get(place, bytes_max).await;
        asked.map_err(|error| SourceError::Fetch(place.clone(), error))
    }

    fn keep(&self, result: Result<KeySet, SourceError>, asked_at: DateTime<Utc>) {
        let (issuer, mut state) = (&self.issuer, self.state());
        state.under_way = None;
        let outcome = match result {
            Ok(keys) => {
                let count = keys.len();
                gauge!(names::OIDC_KEYS).set(count as f64);
                if state.failing || state.known_since.is_none() {
                    tracing::info!(count, "the issuer {issuer} has {count} keys for tokens");
                }
                state.keys = keys;
                state.known_since = Some(asked_at);
                state.failing = false;
                "ok"
            }
            Err(error) => {
                tracing::warn!(%error, "the keys of the issuer {issuer} were not fetched: {error}");
                state.failing = true;
                "failed"
            }
        };
        counter!(names::OIDC_FETCHES_TOTAL, "outcome" => outcome).increment(1);
    }
}

/// Was it less than that long ago? What lies ahead was before the clock was set back.
fn elapsed_less(since: Option<DateTime<Utc>>, now: DateTime<Utc>, least: Duration) -> bool {
    since.is_some_and(|since| now >= since && now - since < span(least))
}

fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
