//! Numbered places of a competition: one that nobody holds.

use std::sync::Arc;

use domain::entry::place_claim;
use uuid::Uuid;

use super::{CommandError, Door};
use crate::store::digest;

/// How many places are looked at first, and at most, in one question.
const ASKED_FIRST: usize = 64;
const ASKED_MAX: usize = 4_096;

impl Door {
    /// The number of a place from 1 to `size` that nobody holds; `None` if all are held. By the time it is
    /// claimed somebody may have been faster.
    ///
    /// It is looked for from anywhere on, so that those who join at once seldom meet. That a competition
    /// of a million places is full takes some 250 questions to find out.
    pub async fn free_place(
        &self,
        tenant: &Arc<str>,
        competition: &str,
        size: u32,
    ) -> Result<Option<u32>, CommandError> {
        let begin = Uuid::now_v7().as_u128() % u128::from(size.max(1));
        let begin = u32::try_from(begin).unwrap_or_default();
        let mut places = (begin..size).chain(0..begin).map(|place| place + 1);
        let mut ask = ASKED_FIRST;
        loop {
            let asked: Vec<u32> = places.by_ref().take(ask).collect();
            if asked.is_empty() {
                return Ok(None);
            }
            let claims = asked.iter().map(|place| place_claim(competition, *place));
            let claims: Vec<_> = claims
                .map(|claim| (claim.scope, digest(&[claim.value.as_bytes()])))
                .collect();
            let mut held = vec![false; asked.len()];
            for (index, _) in self.store.claim_holders(tenant, &claims).await? {
                held[index] = true;
            }
            let free = asked.iter().zip(held).find(|(_, held)| !held);
            if let Some((place, _)) = free {
                return Ok(Some(*place));
            }
            ask = (ask * 4).min(ASKED_MAX);
        }
    }
}
