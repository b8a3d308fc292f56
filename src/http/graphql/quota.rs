//! How many sockets and event streams are open: in all, and of one caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use metrics::gauge;

use crate::api::fault::{Fault, FaultCode};
use crate::auth::Caller;
use crate::config::Sockets;
use crate::ops::metrics as names;

/// Counts what is open. Cheap to clone.
#[derive(Clone)]
pub struct Quota(Arc<Inner>);

struct Inner {
    total_max: usize,
    per_caller_max: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_caller: HashMap<Key, usize>,
}

/// A caller across its tokens.
type Key = (Arc<str>, String);

/// One of all places; given back when dropped.
pub struct Seat(Quota);

/// One of a caller's places; given back when dropped.
pub struct Ticket {
    quota: Quota,
    key: Key,
}

impl Quota {
    /// Nothing is open yet.
    pub fn new(settings: &Sockets) -> Quota {
        Quota(Arc::new(Inner {
            total_max: settings.total_max,
            per_caller_max: settings.per_caller_max,
            open: Mutex::default(),
        }))
    }

    /// Takes one of all places.
    pub fn seat(&self) -> Result<Seat, Fault> {
        let mut open = self.open();
        if open.total >= self.0.total_max {
            return Err(Fault::of(FaultCode::Overloaded).with("retryAfterMs", 5_000));
        }
        open.total += 1;
        gauge!(names::SOCKETS_OPEN).set(open.total as f64);
        Ok(Seat(self.clone()))
    }

    /// Takes one of the caller's places.
    pub fn ticket(&self, caller: &Caller) -> Result<Ticket, Fault> {
        let key = (
            caller.tenant.clone(),
            format!("{:?} {}", caller.actor.kind, caller.actor.id),
        );
        let mut open = self.open();
        let held = open.by_caller.entry(key.clone()).or_default();
        if *held >= self.0.per_caller_max {
            return Err(Fault::of(FaultCode::TooManySubscriptions)
                .with("limit", self.0.per_caller_max)
                .with("retryAfterMs", 5_000));
        }
        *held += 1;
        Ok(Ticket {
            quota: self.clone(),
            key,
        })
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.0.open();
        open.total -= 1;
        gauge!(names::SOCKETS_OPEN).set(open.total as f64);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.quota.open();
        if let Some(held) = open.by_caller.get_mut(&self.key) {
            *held -= 1;
            if *held == 0 {
                open.by_caller.remove(&self.key);
            }
        }
    }
}
