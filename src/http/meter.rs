//! What a request spends of its caller's quotas, step by step, and how the answer tells what is left.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use domain::Actor;

use super::whence;
use crate::api::fault::Fault;
use crate::api::limited;
use crate::auth::Caller;
use crate::config::Settings;
use crate::limits::{Exceeded, Limiter, Payer, Standing};

/// The header that tells what is left (draft-ietf-httpapi-ratelimit-headers-10, 4).
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The header that tells what there is in all (the same, 3).
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Makes meters. Cheap to clone.
#[derive(Clone)]
pub struct Meters(Arc<Inner>);

struct Inner {
    limiter: Limiter,
    settings: Arc<Settings>,
}

/// One request's, or one socket's. Cheap to clone.
#[derive(Clone)]
pub struct Meter {
    limiter: Limiter,
    read: Arc<Mutex<Reading>>,
    client: IpAddr,
}

/// What was left when it was spent of last: of the address, of the caller, of the caller's points.
#[derive(Default)]
struct Reading([Option<Standing>; 3]);

impl Meters {
    /// Over a limiter.
    pub fn new(limiter: Limiter, settings: Arc<Settings>) -> Meters {
        Meters(Arc::new(Inner { limiter, settings }))
    }

    /// The settings of the transport.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// A meter of a client that was not spent of.
    pub fn meter(&self, client: IpAddr) -> Meter {
        Meter {
            limiter: self.0.limiter.clone(),
            read: Arc::default(),
            client,
        }
    }

    /// Counts a request against its client's address and hangs its meter on it.
    pub fn begin(&self, request: &mut Request) -> (Meter, Result<(), Fault>) {
        let client = whence::client(request, &self.0.settings.http.trusted_proxies);
        let meter = self.meter(client);
        let counted = self.0.limiter.address(client);
        let counted = counted.map_or(Ok(()), |verdict| meter.take(verdict));
        request.extensions_mut().insert(meter.clone());
        (meter, counted)
    }

    /// Tells what is left, and what there is in all.
    pub fn tell(&self, meter: &Meter, headers: &mut HeaderMap) {
        let read = meter.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = String::with_capacity(80);
        for standing in read.0.iter().flatten() {
            let (kind, reset) = (standing.kind.as_str(), standing.reset);
            let between = if left.is_empty() { "" } else { ", " };
            // Whole seconds, rounded up: whoever waits so long finds it whole.
            let seconds = reset.as_secs() + u64::from(reset.subsec_nanos() > 0);
            let remaining = standing.remaining;
            let _ = write!(left, "{between}\"{kind}\";r={remaining};t={seconds}");
        }
        if left.is_empty() {
            return;
        }
        let policy = self.0.limiter.policy(read.0[1].is_some());
        for (name, value) in [(RATE_LIMIT, left.as_str()), (RATE_LIMIT_POLICY, &policy)] {
            let value = HeaderValue::from_str(value).expect("visible ASCII");
            headers.insert(name, value);
        }
    }
}

impl Meter {
    /// The one [`Meters::begin`] hung on the request.
    pub fn of(request: &Request) -> Meter {
        let meter = request.extensions().get::<Meter>();
        meter.cloned().expect("every route is surrounded")
    }

    /// Where the client is.
    pub fn client(&self) -> IpAddr {
        self.client
    }

    /// Counts a request of a caller, or its operation on a socket.
    pub fn request(&self, caller: &Caller) -> Result<(), Fault> {
        self.pay(caller, |payer| self.limiter.request(payer))
    }

    /// Counts what the caller's operation costs.
    pub fn operation(&self, caller: &Caller, points: u64) -> Result<(), Fault> {
        self.pay(caller, |payer| self.limiter.operation(payer, points))
    }

    /// Counts a request of one who is known without credentials of ours.
    pub fn signed(&self, tenant: &str, actor: &Actor) -> Result<(), Fault> {
        match self.limiter.payer(tenant, actor) {
            None => Ok(()),
            Some(payer) => self.take(self.limiter.request(payer)),
        }
    }

    /// Counts a wrong guess at a secret.
    pub fn guess(&self) -> Result<(), Fault> {
        self.limiter.guess(self.client).map_err(limited)
    }

    fn pay(
        &self,
        caller: &Caller,
        spend: impl FnOnce(Payer) -> Result<Standing, Exceeded>,
    ) -> Result<(), Fault> {
        // Nobody pays for those who are not known but their address.
        let payer = || self.limiter.payer(&caller.tenant, &caller.actor);
        match caller.is_known().then(payer).flatten() {
            None => Ok(()),
            Some(payer) => self.take(spend(payer)),
        }
    }

    fn take(&self, verdict: Result<Standing, Exceeded>) -> Result<(), Fault> {
        let standing = match &verdict {
            Ok(standing) => *standing,
            Err(exceeded) => exceeded.standing,
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = read.0.get_mut(standing.kind as usize) {
            *place = Some(standing);
        }
        verdict.map(drop).map_err(limited)
    }
}
