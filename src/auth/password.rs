//! Passwords: argon2id with OWASP's parameters, a few at a time, and as much work for nobody as for somebody.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use domain::{Code, Refusal};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// The longest password, in characters; what is longer costs nothing but looking at its length.
pub const CHARS_MAX: usize = 128;

/// The shortest, in characters (NIST SP 800-63B, 5.1.1.2).
pub const CHARS_MIN: usize = 8;

/// OWASP's Password Storage Cheat Sheet: 19 MiB of memory, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Makes and checks password hashes. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    /// Each hash takes 19 MiB and a core: so many at once.
    turns: Arc<Semaphore>,
    turn_wait: Duration,
}

/// Checked in place of a hash that is not there, so that nobody learns from the time taken whether there is
/// one.
static NOBODY: LazyLock<String> = LazyLock::new(|| hashed("nobody's"));

/// Why a password was not hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// It cannot be a password.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many are being checked; try again after a while.
    #[error("too many passwords are being checked")]
    Overloaded,
    /// The runtime shuts down, or the work panicked.
    #[error("the work was given up")]
    GivenUp,
}

impl Passwords {
    /// At most `at_once` hashes are worked on at a time; who waits longer than `turn_wait` for a turn is sent
    /// away.
    pub fn new(at_once: usize, turn_wait: Duration) -> Passwords {
        // Made before anybody asks, so that the first to ask does not wait for it; aside, so that the start
        // does not either.
        std::thread::spawn(|| LazyLock::force(&NOBODY).len());
        Passwords {
            turns: Arc::new(Semaphore::new(at_once)),
            turn_wait,
        }
    }

    /// The hash of a new password, as a PHC string with a salt of its own; `about` are words that it may not
    /// consist of (its owner's name and e-mail address).
    pub async fn hash(&self, password: &str, about: &[&str]) -> Result<String, PasswordError> {
        strong(password, about)?;
        let password = password.to_owned();
        self.work(move || hashed(&password)).await
    }

    /// Is it the password of this hash? Without a hash it is not, and that takes as long to say.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, PasswordError> {
        // No hash was ever made of such a one: its length is the caller's own knowledge.
        if password.chars().count() > CHARS_MAX {
            return Ok(false);
        }
        let (known, password) = (hash.is_some(), password.to_owned());
        let hash = hash.map(str::to_owned);
        let fits = move || fits(&password, hash.as_deref().unwrap_or(&NOBODY));
        let fits = self.work(fits).await?;
        Ok(fits && known)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = self.turns.clone().acquire_owned();
        let turn = tokio::time::timeout(self.turn_wait, turn).await;
        let Ok(Ok(turn)) = turn else {
            return Err(PasswordError::Overloaded);
        };
        // The turn goes with the work: a caller who is gone does not make room for another.
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        working.await.map_err(|_| PasswordError::GivenUp)
    }
}

fn argon2() -> Argon2<'static> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are constants");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hashed(password: &str) -> String {
    // It need not be secret, only another one each time.
    let salt = SaltString::encode_b64(Uuid::now_v7().as_bytes()).expect("16 bytes are a salt");
    let hash = argon2().hash_password(password.as_bytes(), &salt);
    hash.expect("a password is short").to_string()
}

fn fits(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else {
        return false;
    };
    // With the parameters of the hash, which may be those of an earlier version.
    argon2().verify_password(password.as_bytes(), &hash).is_ok()
}

/// Refuses what cannot be a password, or is guessed within some thousand tries.
fn strong(password: &str, about: &[&str]) -> Result<(), Refusal> {
    let chars = password.chars().count();
    if !(CHARS_MIN..=CHARS_MAX).contains(&chars) {
        let why = format!("a password has {CHARS_MIN} to {CHARS_MAX} characters");
        return Err(Refusal::new(Code::Validation, why)
            .at(["password"])
            .with("minimum", CHARS_MIN)
            .with("limit", CHARS_MAX)
            .with("actual", chars));
    }
    if password.chars().any(char::is_control) {
        let why = "a password holds no control characters";
        return Err(Refusal::new(Code::BadText, why).at(["password"]));
    }
    let entropy = zxcvbn::zxcvbn(password, about);
    if entropy.score() < zxcvbn::Score::Three {
        let advice = entropy.feedback().and_then(|feedback| feedback.warning());
        let refusal =
            Refusal::new(Code::WeakPassword, "the password is too easy to guess").at(["password"]);
        return Err(match advice {
            Some(advice) => refusal.with("advice", advice.to_string()),
            None => refusal,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "correct horse battery staple";

    fn passwords(at_once: usize) -> Passwords {
        Passwords::new(at_once, Duration::from_millis(50))
    }

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let passwords = passwords(2);
        let hash = passwords.hash(GOOD, &[]).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(passwords.verify(GOOD, Some(&hash)).await.unwrap());
        let again = passwords.hash(GOOD, &[]).await.unwrap();
        assert_ne!(hash, again, "each has a salt of its own");
        for other in ["", "Correct horse battery staple", &format!("{GOOD} ")] {
            assert!(!passwords.verify(other, Some(&hash)).await.unwrap());
        }
        for none in [None, Some(""), Some("$argon2id$"), Some("plain")] {
            assert!(!passwords.verify(GOOD, none).await.unwrap(), "{none:?}");
        }
    }

    #[tokio::test]
    async fn an_earlier_parameter_is_still_checked() {
        let weaker = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(8_192, 1, 1, None).unwrap(),
        );
        let salt = SaltString::encode_b64(&[7; 16]).unwrap();
        let hash = weaker.hash_password(GOOD.as_bytes(), &salt).unwrap();
        let passwords = passwords(1);
        assert!(
            passwords
                .verify(GOOD, Some(&hash.to_string()))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn what_is_no_password_is_refused_before_any_work() {
        let none = Passwords {
            turns: Arc::new(Semaphore::new(0)),
            ..passwords(1)
        };
        let long = "x".repeat(128 << 10);
        let about = ["ada@example.org", "Ada Quillfeather"];
        let refused = [
            ("", Code::Validation),
            ("short1!", Code::Validation),
            (&long, Code::Validation),
            ("nul\0in the middle of it", Code::BadText),
            ("password", Code::WeakPassword),
            ("qwertyuiop", Code::WeakPassword),
            ("aaaaaaaaaaaaaaaa", Code::WeakPassword),
            ("ada@example.org", Code::WeakPassword),
        ];
        for (password, code) in refused {
            let Err(PasswordError::Refused(refusal)) = none.hash(password, &about).await else {
                panic!("{} characters were taken", password.len());
            };
            assert_eq!(
                (refusal.code, refusal.path),
                (code, vec!["password".to_owned()])
            );
        }
        assert!(!none.verify(&long, None).await.unwrap());
        assert!(matches!(
            none.hash(GOOD, &about).await,
            Err(PasswordError::Overloaded)
        ));
        assert!(matches!(
            none.verify(GOOD, None).await,
            Err(PasswordError::Overloaded)
        ));
    }
}
