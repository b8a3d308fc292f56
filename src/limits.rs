//! Who asks how much: quotas of addresses, of callers and of what their operations cost, of sign-ins, and of
//! the sources of log records.
//!
//! Every process decides by itself, in memory. Where there is Redis, what was spent is settled with it
//! behind the answers, so that processes learn what others let through: that can only make a bucket
//! emptier. While Redis does not answer, each process gives out its share.

mod gcra;
mod key;
mod settle;
mod sign_in;
mod table;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::Actor;
use metrics::{Counter, counter};

use crate::cache::Ledger;
use crate::config::{self, Networks};
use crate::ops::{Clock, metrics as names};
use gcra::{Decision, Quota};
use key::{Key, Keys};
use settle::Settling;
use sign_in::{Accounts, Pauses};
use table::{Lapses, Table};

pub use key::Kind;

/// Counts, and refuses what is over. Cheap to clone.
#[derive(Clone)]
pub struct Limiter(Arc<Inner>);

struct Inner {
    /// What can be changed while the process runs.
    rules: ArcSwap<Rules>,
    nodes_assumed: u32,
    clock: Clock,
    keys: Keys,
    buckets: Table<Bucket>,
    accounts: Accounts,
    figures: [Figures; Kind::ALL.len()],
    /// Among how many processes a quota is divided: one, unless Redis does not answer.
    share: AtomicU64,
    settling: Option<Settling>,
}

/// How much there is for everybody.
struct Rules {
    /// Are addresses and callers counted?
    enabled: bool,
    /// Addresses of these are not.
    exempt: Networks,
    quotas: [Quota; 4],
    pauses: Pauses,
    /// All of it in words: for whoever did not say who it is, and for callers.
    policies: [Arc<str>; 2],
}

impl Rules {
    fn new(settings: &config::Limits) -> Rules {
        let per_minute = |units: u32, burst: u32| Quota::per_minute(units.into(), burst.into());
        let policy = |kind: Kind, units: u32| format!("\"{}\";q={units};w=60", kind.as_str());
        let address = policy(Kind::Address, settings.address_per_minute);
        let user = policy(Kind::User, settings.user_per_minute);
        let cost = policy(Kind::Cost, settings.cost_per_minute);
        let all = format!("{address}, {user}, {cost}");
        Rules {
            enabled: settings.enabled,
            exempt: settings.exempt_networks.clone(),
            quotas: [
                per_minute(settings.address_per_minute, settings.address_burst),
                per_minute(settings.user_per_minute, settings.user_burst),
                per_minute(settings.cost_per_minute, settings.cost_burst),
                per_minute(settings.sign_ins_per_minute, settings.sign_ins_per_minute),
            ],
            pauses: Pauses::new(settings),
            policies: [address.into(), all.into()],
        }
    }

    fn quota(&self, kind: Kind) -> Quota {
        // An account has no quota but a pause that grows; a source of log records has its own.
        self.quotas[(kind as usize).min(self.quotas.len() - 1)]
    }
}

/// What is known of one quota of one's.
#[derive(Default)]
struct Bucket {
    /// When it is full again, nanoseconds since 1970.
    tat: u64,
    /// What was spent and not settled, nanoseconds.
    owed: u64,
    /// Its own quota, if not that of its kind.
    quota: Option<Quota>,
}

impl Lapses for Bucket {
    fn lapses_at(&self) -> u64 {
        self.tat
    }
}

/// What is left of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which one.
    pub kind: Kind,
    /// Units that can be spent now.
    pub remaining: u64,
    /// In how long it will be whole again.
    pub reset: Duration,
}

/// There is not enough left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Of what.
    pub standing: Standing,
    /// After so long there will be.
    pub retry_after: Duration,
}

struct Figures {
    allowed: Counter,
    refused: Counter,
}

/// Whose quotas a caller's requests and operations count against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payer(Key);

impl Limiter {
    /// Settles with `ledger`, if there is one, until the last clone is dropped. All processes that are to
    /// share quotas are given the same `secret`. Needs the runtime if there is a ledger.
    pub fn start(
        settings: &config::Limits,
        ledger: Option<Ledger>,
        secret: [u8; 32],
        clock: Clock,
    ) -> Limiter {
        let limiter = Limiter(Arc::new(Inner {
            clock,
            keys: Keys::new(secret),
            buckets: Table::new(settings.entries_max),
            accounts: Accounts::new(settings.entries_max),
            rules: ArcSwap::from_pointee(Rules::new(settings)),
            nodes_assumed: settings.nodes_assumed,
            figures: Kind::ALL.map(Figures::of),
            share: AtomicU64::new(1),
            settling: ledger.map(|ledger| Settling::new(ledger, settings.settle_keys_max)),
        }));
        if limiter.0.settling.is_some() {
            let every = settings.settle_interval;
            tokio::spawn(settle::run(Arc::downgrade(&limiter.0), every));
        }
        limiter
    }

    /// Counts by these quotas and pauses from now on. What was spent stays spent.
    pub fn adopt(&self, settings: &config::Limits) {
        self.0.rules.store(Arc::new(Rules::new(settings)));
    }

    /// What there is in all, as draft-ietf-httpapi-ratelimit-headers-10 (3) writes it: for a caller, or for
    /// whoever did not say who it is.
    pub fn policy(&self, caller: bool) -> Arc<str> {
        self.0.rules.load().policies[usize::from(caller)].clone()
    }

    /// Counts a request of an address. `None` if nobody counts it.
    pub fn address(&self, address: IpAddr) -> Option<Result<Standing, Exceeded>> {
        let rules = self.0.rules.load();
        if !rules.enabled || rules.exempt.hold(address) {
            return None;
        }
        drop(rules);
        let key = self.0.keys.address(Kind::Address, address);
        Some(self.0.spend(key, 1))
    }

    /// Who pays for what a caller of a tenant asks. `None` if nobody counts.
    pub fn payer(&self, tenant: &str, actor: &Actor) -> Option<Payer> {
        let payer = || Payer(self.0.keys.caller(tenant, actor));
        self.0.rules.load().enabled.then(payer)
    }

    /// Counts a request, or an operation on a socket.
    pub fn request(&self, payer: Payer) -> Result<Standing, Exceeded> {
        self.0.spend(payer.0, 1)
    }

    /// Counts the points of an operation.
    pub fn operation(&self, payer: Payer, points: u64) -> Result<Standing, Exceeded> {
        self.0.spend(payer.0.of(Kind::Cost), points)
    }

    /// Counts log records of a source that takes so many a minute, all of which may come at once. Counts
    /// whatever `limits.enabled` says: the source itself says how much it takes.
    pub fn log_records(
        &self,
        tenant: &str,
        source: &str,
        per_minute: u32,
        records: u64,
    ) -> Result<Standing, Exceeded> {
        let quota = Quota::per_minute(per_minute.into(), per_minute.into());
        let key = self.0.keys.log_source(tenant, source);
        self.0.spend_of(key, Some(quota), records)
    }
}

impl Inner {
    fn now(&self) -> u64 {
        let micros = self.clock.now().timestamp_micros();
        u64::try_from(micros).unwrap_or(0).saturating_mul(1_000)
    }

    fn quota(&self, kind: Kind) -> Quota {
        self.rules.load().quota(kind)
    }

    fn share(&self) -> u64 {
        self.share.load(Ordering::Relaxed)
    }

    fn spend(&self, key: Key, units: u64) -> Result<Standing, Exceeded> {
        self.spend_of(key, None, units)
    }

    /// Spends of a bucket that has this quota, or that of its kind.
    fn spend_of(&self, key: Key, own: Option<Quota>, units: u64) -> Result<Standing, Exceeded> {
        let (now, share) = (self.now(), self.share());
        let quota = own.unwrap_or_else(|| self.quota(key.kind()));
        let (decision, owes) = self.buckets.with(key, now, |bucket| {
            bucket.quota = own;
            let decision = quota.decide(bucket.tat, now, units, share);
            let mut owes = false;
            if let Decision::Allowed { tat, .. } = decision {
                bucket.tat = tat;
                if self.settling.is_some() {
                    owes = bucket.owed == 0;
                    bucket.owed = bucket.owed.saturating_add(quota.cost_ns(units));
                }
            }
            (decision, owes)
        });
        if let Some(settling) = self.settling.as_ref().filter(|_| owes)
            && !settling.note(key)
        {
            // Too many at once: this one is settled when it is spent of again.
            self.buckets.with_kept(key, |bucket| bucket.owed = 0);
        }
        self.judge(key.kind(), decision)
    }

    /// Counts the decision and puts it into words.
    fn judge(&self, kind: Kind, decision: Decision) -> Result<Standing, Exceeded> {
        let figures = &self.figures[kind as usize];
        let standing = |remaining, reset_ns| Standing {
            kind,
            remaining,
            reset: Duration::from_nanos(reset_ns),
        };
        match decision {
            Decision::Allowed {
                remaining,
                reset_ns,
                ..
            } => {
                figures.allowed.increment(1);
                Ok(standing(remaining, reset_ns))
            }
            Decision::Refused {
                retry_after_ns,
                remaining,
                reset_ns,
            } => {
                figures.refused.increment(1);
                Err(Exceeded {
                    standing: standing(remaining, reset_ns),
                    retry_after: Duration::from_nanos(retry_after_ns),
                })
            }
        }
    }
}

impl Figures {
    fn of(kind: Kind) -> Figures {
        let of = |outcome: &'static str| counter!(names::LIMITS_TOTAL, "kind" => kind.as_str(), "outcome" => outcome);
        Figures {
            allowed: of("allowed"),
            refused: of("refused"),
        }
    }
}

#[cfg(test)]
mod tests;
