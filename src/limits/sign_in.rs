//! Sign-ins: so many a minute from an address, and to an account a few at once, then after pauses that
//! double. A pause ends by itself, and what is refused makes none longer: nobody is locked out for good. Who
//! signed in to an account before has attempts of their own from there: no stranger's pauses keep them out.

use std::net::IpAddr;
use std::time::Duration;

use super::gcra::Decision;
use super::key::{Key, Kind};
use super::table::{Lapses, Table};
use super::{Exceeded, Inner, Limiter};
use crate::cache::LedgerEntry;
use crate::config;

/// Attempts by account.
pub struct Accounts {
    attempts: Table<Attempts>,
    /// Accounts with addresses from which somebody signed in to them.
    known: Table<Known>,
}

/// How many attempts may come at once, and how the pauses after them grow.
#[derive(Clone, Copy)]
pub struct Pauses {
    at_once: u32,
    min_ns: u64,
    max_ns: u64,
    /// How long an address is known from which somebody signed in.
    known_for_ns: u64,
}

impl Pauses {
    pub fn new(settings: &config::Limits) -> Pauses {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Pauses {
            at_once: settings.account_attempts,
            min_ns: ns(settings.account_pause_min),
            max_ns: ns(settings.account_pause_max),
            known_for_ns: ns(settings.account_known_for),
        }
    }
}

/// What was tried on one account.
#[derive(Clone, Copy, Default)]
struct Attempts {
    count: u32,
    /// How long the pause is that the last one began.
    pause_ns: u64,
    /// None is let through before.
    paused_until: u64,
    /// All is forgotten after so long without one.
    lapses_at: u64,
}

/// An address from which somebody signed in to an account.
#[derive(Default)]
struct Known {
    until: u64,
}

impl Lapses for Known {
    fn lapses_at(&self) -> u64 {
        self.until
    }
}

impl Lapses for Attempts {
    fn lapses_at(&self) -> u64 {
        self.lapses_at
    }
}

impl Accounts {
    /// Of about so many accounts.
    pub fn new(entries_max: usize) -> Accounts {
        Accounts {
            attempts: Table::new(entries_max),
            known: Table::new(entries_max),
        }
    }

    /// Lets an attempt through and gives the pause it begins, or tells how long to wait.
    fn attempt(&self, key: Key, pauses: Pauses, now: u64, share: u64) -> Result<u64, u64> {
        let at_once = u64::from(pauses.at_once).div_ceil(share.max(1));
        self.attempts.with(key, now, |attempts| {
            // A clock that was set back ends no pause, and makes none longer than it was.
            let paused_until = now.saturating_add(attempts.pause_ns);
            attempts.paused_until = attempts.paused_until.min(paused_until);
            let lapses_at = paused_until.saturating_add(pauses.max_ns);
            attempts.lapses_at = attempts.lapses_at.min(lapses_at);
            let wait = attempts.paused_until.saturating_sub(now);
            if wait > 0 {
                return Err(wait);
            }
            if attempts.lapses_at <= now {
                *attempts = Attempts::default();
            }
            attempts.count = attempts.count.saturating_add(1);
            let pause = match u64::from(attempts.count).checked_sub(at_once) {
                None => 0,
                Some(over) => {
                    let doubled = 1u64.checked_shl(u32::try_from(over).unwrap_or(u32::MAX));
                    let doubled = doubled.unwrap_or(u64::MAX);
                    pauses.min_ns.saturating_mul(doubled).min(pauses.max_ns)
                }
            };
            attempts.pause_ns = pause;
            attempts.paused_until = now.saturating_add(pause);
            attempts.lapses_at = attempts.paused_until.saturating_add(pauses.max_ns);
            Ok(pause)
        })
    }

    /// Takes an attempt back that others did not let through: they know until when.
    fn take_back(&self, key: Key) {
        self.attempts.with_kept(key, |attempts| {
            attempts.count = attempts.count.saturating_sub(1);
            attempts.paused_until = 0;
        });
    }

    fn knows(&self, key: Key, now: u64) -> bool {
        let mut known = false;
        self.known.with_kept(key, |own| known = own.until > now);
        known
    }

    fn note(&self, key: Key, now: u64, known_for_ns: u64) {
        let until = now.saturating_add(known_for_ns);
        self.known.with(key, now, |own| own.until = until);
    }

    fn forget(&self, key: Key) {
        self.attempts
            .with_kept(key, |attempts| *attempts = Attempts::default());
    }
}

impl Limiter {
    /// Counts a sign-in from an address to an account, named in its one canonical spelling, whether there
    /// is such an account or not. Asks Redis as well, since a guess must not be had from every process;
    /// what was let through is counted everywhere or nowhere. Counts whatever `limits.enabled` says.
    pub async fn login(&self, address: IpAddr, account: &str) -> Result<(), Exceeded> {
        let inner = &*self.0;
        let from = inner.keys.address(Kind::SignInAddress, address);
        inner.spend_alone(from)?;
        let (now, pauses) = (inner.now(), inner.rules.load().pauses);
        let to = inner.attempted(address, account, now);
        let pause = inner.accounts.attempt(to, pauses, now, inner.share());
        let pause = pause.map_err(|wait| inner.paused(wait))?;
        let waits = inner.ask_others(from, to, pause).await;
        if waits != [0, 0] {
            inner.accounts.take_back(to);
            return Err(inner.paused(waits[0].max(waits[1])));
        }
        inner.judge(Kind::SignInAccount, PASSED).map(drop)
    }

    /// Counts a wrong guess at a secret from an address, as a sign-in that failed.
    pub fn guess(&self, address: IpAddr) -> Result<(), Exceeded> {
        let inner = &*self.0;
        inner.spend_alone(inner.keys.address(Kind::SignInAddress, address))
    }

    /// Whoever signed in may have mistyped before: the attempts they were counted with are forgotten. From
    /// there the account is known.
    pub async fn signed_in(&self, address: IpAddr, account: &str) {
        let inner = &*self.0;
        let (now, pauses) = (inner.now(), inner.rules.load().pauses);
        let key = inner.attempted(address, account, now);
        inner.accounts.forget(key);
        let own = inner.keys.account_from(account, address);
        inner.accounts.note(own, now, pauses.known_for_ns);
        if let Some(settling) = &self.0.settling {
            settling.ledger.forget(key.bytes()).await;
        }
    }
}

/// An attempt that was let through; an account has nothing that remains.
const PASSED: Decision = Decision::Allowed {
    tat: 0,
    remaining: 0,
    reset_ns: 0,
};

impl Inner {
    /// Spends one of a bucket that is settled by whoever asks for it.
    fn spend_alone(&self, key: Key) -> Result<(), Exceeded> {
        let (now, share, quota) = (self.now(), self.share(), self.quota(key.kind()));
        let decision = self.buckets.with(key, now, |bucket| {
            let decision = quota.decide(bucket.tat, now, 1, share);
            if let Decision::Allowed { tat, .. } = decision {
                bucket.tat = tat;
            }
            decision
        });
        self.judge(key.kind(), decision).map(drop)
    }

    /// Which attempts one from an address to an account is counted with.
    fn attempted(&self, address: IpAddr, account: &str, now: u64) -> Key {
        let own = self.keys.account_from(account, address);
        match self.accounts.knows(own, now) {
            true => own,
            false => self.keys.account(account),
        }
    }

    fn paused(&self, wait: u64) -> Exceeded {
        let decision = Decision::Refused {
            retry_after_ns: wait,
            remaining: 0,
            reset_ns: wait,
        };
        let refused = self.judge(Kind::SignInAccount, decision);
        refused.expect_err("a refusal is one")
    }

    /// How long address and account have to wait by what all processes let through; 0 if they need not,
    /// or if Redis does not say.
    async fn ask_others(&self, from: Key, to: Key, pause: u64) -> [u64; 2] {
        let Some(settling) = &self.settling else {
            return [0, 0];
        };
        let address = self.entry(from, self.quota(Kind::SignInAddress).cost_ns(1));
        // Let through only where no pause is left; begins this one.
        let account = LedgerEntry {
            key: *to.bytes(),
            cost_us: pause / 1_000,
            room_us: pause / 1_000,
            most_us: self.rules.load().pauses.max_ns / 1_000,
        };
        let entries = [address, account];
        let Some(told) = self.heard(settling.ledger.spend(&entries, true).await) else {
            return [0, 0];
        };
        let mut waits = [0, 0];
        if told.refused {
            for ((wait, entry), level) in waits.iter_mut().zip(&entries).zip(told.levels_us) {
                let over = (level + entry.cost_us).saturating_sub(entry.room_us);
                *wait = over.saturating_mul(1_000);
            }
        }
        waits
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::config::Settings;
    use crate::ops::{Clock, MockClock};

    fn limiter() -> (Limiter, MockClock) {
        let (clock, hand) = Clock::mock(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let settings = Settings::default().limits;
        (Limiter::start(&settings, None, [7; 32], clock), hand)
    }

    fn from(n: u8) -> IpAddr {
        [203, 0, 113, n].into()
    }

    fn seconds(refused: Result<(), Exceeded>) -> u64 {
        refused.map_or_else(|exceeded| exceeded.retry_after.as_secs(), |()| 0)
    }

    /// K7: the eleventh in a minute from one address, whatever the accounts.
    #[tokio::test]
    async fn ten_a_minute_from_an_address() {
        let (limiter, hand) = limiter();
        for n in 0..10 {
            assert_eq!(
                limiter.login(from(1), &format!("a{n}")).await,
                Ok(()),
                "{n}"
            );
        }
        let refused = limiter.login(from(1), "b").await.unwrap_err();
        assert_eq!(refused.standing.kind, Kind::SignInAddress);
        assert_eq!(refused.retry_after, Duration::from_secs(6));
        assert_eq!(limiter.login(from(2), "b").await, Ok(()));
        hand.advance(TimeDelta::seconds(6));
        assert_eq!(limiter.login(from(1), "b").await, Ok(()));
        assert!(limiter.login(from(1), "b").await.is_err());
    }

    /// K7: five to one account, then pauses that double, from however many addresses.
    #[tokio::test]
    async fn five_to_an_account_then_pauses() {
        let (limiter, hand) = limiter();
        for n in 0..5 {
            assert_eq!(limiter.login(from(n), "a").await, Ok(()), "{n}");
        }
        let mut pauses = Vec::new();
        for n in 5..20 {
            let pause = seconds(limiter.login(from(n), "a").await);
            // Asking again and again makes it no longer.
            for _ in 0..3 {
                assert_eq!(seconds(limiter.login(from(100 + n), "a").await), pause);
            }
            pauses.push(pause);
            hand.advance(TimeDelta::seconds(pause as i64));
            assert_eq!(limiter.login(from(n), "a").await, Ok(()), "after its pause");
        }
        let expect = [
            1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900, 900,
        ];
        assert_eq!(pauses, expect);
        assert_eq!(
            limiter.login(from(200), "b").await,
            Ok(()),
            "others are not concerned"
        );
    }

    #[tokio::test]
    async fn whoever_signs_in_or_stays_away_begins_anew() {
        let (limiter, hand) = limiter();
        for n in 0..5 {
            limiter.login(from(n), "a").await.unwrap();
        }
        assert!(limiter.login(from(9), "a").await.is_err());
        limiter.signed_in(from(0), "a").await;
        for n in 10..15 {
            assert_eq!(limiter.login(from(n), "a").await, Ok(()), "{n}");
        }
        hand.advance(TimeDelta::minutes(16));
        for n in 20..25 {
            assert_eq!(limiter.login(from(n), "a").await, Ok(()), "{n}");
        }
        assert!(limiter.login(from(30), "a").await.is_err());
    }

    /// K7: whoever keeps an account paused keeps out nobody who signed in to it from where they are.
    #[tokio::test]
    async fn strangers_keep_nobody_out() {
        let (limiter, hand) = limiter();
        limiter.login(from(1), "a").await.unwrap();
        limiter.signed_in(from(1), "a").await;
        for n in 10..15 {
            limiter.login(from(n), "a").await.unwrap();
        }
        assert!(limiter.login(from(20), "a").await.is_err());
        // From there five again, and then pauses as well.
        for _ in 0..5 {
            assert_eq!(limiter.login(from(1), "a").await, Ok(()));
        }
        assert_eq!(seconds(limiter.login(from(1), "a").await), 1);
        hand.advance(TimeDelta::days(30) - TimeDelta::seconds(1));
        for n in 30..35 {
            limiter.login(from(n), "a").await.unwrap();
        }
        assert_eq!(limiter.login(from(1), "a").await, Ok(()));
        hand.advance(TimeDelta::seconds(1));
        for n in 40..45 {
            let _ = limiter.login(from(n), "a").await;
        }
        assert!(
            limiter.login(from(1), "a").await.is_err(),
            "it is too long ago"
        );
        assert_eq!(limiter.login(from(1), "b").await, Ok(()));
    }

    /// T22: a clock that is set back by an hour keeps nobody waiting for an hour.
    #[tokio::test]
    async fn a_clock_that_is_set_back_makes_no_pause_longer() {
        let (limiter, hand) = limiter();
        for n in 0..5 {
            limiter.login(from(n), "paused").await.unwrap();
        }
        limiter.login(from(5), "mistyped").await.unwrap();
        for n in 0..10 {
            limiter.login(from(6), &format!("a{n}")).await.unwrap();
        }
        hand.advance(-TimeDelta::hours(1));
        assert_eq!(limiter.login(from(9), "mistyped").await, Ok(()));
        assert_eq!(seconds(limiter.login(from(7), "paused").await), 1);
        assert_eq!(limiter.login(from(6), "b").await, Ok(()));
        hand.advance(TimeDelta::seconds(1));
        assert_eq!(limiter.login(from(8), "paused").await, Ok(()));
    }

    #[tokio::test]
    async fn sign_ins_are_counted_even_where_requests_are_not() {
        let mut settings = Settings::default().limits;
        settings.enabled = false;
        let limiter = Limiter::start(&settings, None, [7; 32], Clock::system());
        assert!(limiter.address(from(1)).is_none());
        for _ in 0..5 {
            limiter.login(from(1), "a").await.unwrap();
        }
        assert!(limiter.login(from(1), "a").await.is_err());
    }
}
