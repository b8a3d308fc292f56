//! Personal values of decided events: sealed under their subjects' keys before anything keeps them.
//!
//! Keys come from the database and decisions are made under a lock, so a decision whose subjects' keys are
//! not at hand is put back, and made again when they are.

use std::collections::HashMap;
use std::sync::Arc;

use domain::user::User;
use domain::{Aggregate, ClaimChange, StreamKey};
use uuid::Uuid;

use super::{CommandError, Door};
use crate::store::{Claim, StoreError};
use crate::vault::{Place, SubjectKey, Vault, VaultError};

/// The keys a command has fetched so far.
pub(super) struct Keyring<'d> {
    vault: Option<&'d Vault>,
    tenant: &'d str,
    keys: HashMap<String, SubjectKey>,
}

impl Door {
    /// No keys yet, for a command of this tenant.
    pub(super) fn keyring<'d>(&'d self, tenant: &'d str) -> Keyring<'d> {
        Keyring {
            vault: self.vault.as_ref(),
            tenant,
            keys: HashMap::new(),
        }
    }

    /// Sees to it that what is said of a user without an account can be sealed. Whoever has an account has a
    /// key, or was erased and must never have one again.
    pub async fn key_outsider(&self, tenant: &Arc<str>, user: &str) -> Result<(), CommandError> {
        let account = StreamKey::of::<User>(user);
        let versions = self.store.stream_versions(tenant, &[&account]).await?;
        if versions.first() == Some(&0) {
            let vault = self.vault.as_ref().ok_or(VaultError::Absent)?;
            vault.key(tenant, user).await?;
        }
        Ok(())
    }
}

impl Keyring<'_> {
    /// For events of aggregates that hold no personal values.
    pub fn none() -> Keyring<'static> {
        Keyring {
            vault: None,
            tenant: "",
            keys: HashMap::new(),
        }
    }

    /// The subjects of personal values in these events whose keys are not at hand.
    pub fn missing<A: Aggregate>(&self, id: &str, events: &mut [A::Event]) -> Vec<String> {
        let fields = events.iter_mut().flat_map(|event| A::personal(id, event));
        fields
            .map(|field| field.subject)
            .filter(|subject| !self.keys.contains_key(subject))
            .collect()
    }

    /// Fetches the keys of these subjects, and tells whether all are at hand. Only the `newborn` stream, whose
    /// first event this is, gives its own subject a key: the user, or whoever is known by a deployment alone.
    /// Who else has none was erased, and must never have one again.
    pub async fn fetch<A: Aggregate>(
        &mut self,
        subjects: Vec<String>,
        newborn: Option<&str>,
    ) -> Result<bool, CommandError> {
        let vault = self.vault.ok_or(VaultError::Absent)?;
        let own = |id: &str, subject: &str| {
            let within = subject
                .strip_prefix(A::TYPE)
                .and_then(|s| s.strip_prefix(':'));
            within.unwrap_or(subject) == id
        };
        for subject in subjects {
            let key = match newborn.is_some_and(|id| own(id, &subject)) {
                true => Some(vault.key(self.tenant, &subject).await?),
                false => vault.existing_key(self.tenant, &subject).await?,
            };
            let Some(key) = key else {
                return Ok(false);
            };
            self.keys.insert(subject, key);
        }
        Ok(true)
    }

    /// Fetches the keys of these subjects; who has none is given one. For those who are known by a pseudonym
    /// alone: their erasure is of what was said of them until then, and what is said later is new.
    pub async fn fetch_or_make(&mut self, subjects: Vec<String>) -> Result<(), CommandError> {
        let vault = self.vault.ok_or(VaultError::Absent)?;
        self.keys.extend(vault.keys(self.tenant, subjects).await?);
        Ok(())
    }

    /// Seals the personal values of an event; their subjects' keys are at hand.
    pub fn seal<A: Aggregate>(&self, id: &str, event_id: Uuid, event: &mut A::Event) {
        for field in A::personal(id, event) {
            let (Some(value), Some(key)) = (field.value.plain(), self.keys.get(&field.subject))
            else {
                // Sealed before. `missing` was asked: no key is wanting.
                continue;
            };
            let place = Place {
                tenant: self.tenant,
                subject: &field.subject,
                field: field.field,
                event_id,
            };
            *field.value = domain::Personal::Sealed(key.seal(&place, value));
        }
    }

    /// The claim that an aggregate's event makes. A personal value is told to the database as a pseudonym.
    pub fn claim(&self, change: &ClaimChange, aggregate_id: &str) -> Claim {
        let Some(vault) = self.vault.filter(|_| change.personal) else {
            return Claim::of(change, aggregate_id);
        };
        Claim {
            value_hash: claimed(vault, self.tenant, change.scope, &change.value),
            ..Claim::of(change, aggregate_id)
        }
    }
}

/// What stands in `claims` for a personal value.
fn claimed(vault: &Vault, tenant: &str, scope: &str, value: &str) -> [u8; 16] {
    let pseudonym = vault.pseudonym(tenant, scope, value);
    let half = pseudonym.first_chunk();
    *half.expect("a digest has 32 bytes")
}

impl From<VaultError> for CommandError {
    fn from(error: VaultError) -> CommandError {
        match error {
            VaultError::Database(error) => StoreError::from(error).into(),
            error => CommandError::Sealing(error),
        }
    }
}
