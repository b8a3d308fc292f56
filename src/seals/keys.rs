//! The keys that sign seals.

use std::collections::HashMap;

use domain::tenant::INSTALLATION_LOG;
use sqlx::PgPool;

use super::statement::{SealKey, key_id};
use super::{SealError, Seals};
use crate::vault::random_bytes;

/// What a wrapped key is bound to.
const PLACE: &str = "seal key";

impl Seals {
    /// The key that signs: the newest; made if there is none.
    pub(super) async fn key(&self) -> Result<SealKey, SealError> {
        loop {
            let newest: Option<(String, Vec<u8>)> = sqlx::query_as(
                "select key_id, wrapped from seal_keys where tenant = $1
                 order by created_at desc, key_id limit 1",
            )
            .bind(INSTALLATION_LOG)
            .fetch_optional(self.store.pool())
            .await?;
            if let Some((id, wrapped)) = newest {
                let seed = self.vault.unwrap(&[PLACE, &id], &wrapped)?;
                return Ok(SealKey::of_seed(&seed));
            }
            self.make_first().await?;
        }
    }

    /// Should several make it at once, each verifies and the newest signs.
    async fn make_first(&self) -> Result<(), SealError> {
        let seed = random_bytes();
        let key = SealKey::of_seed(&seed);
        let wrapped = self.vault.wrap(&[PLACE, key.id()], &seed);
        sqlx::query(
            "insert into seal_keys (tenant, key_id, public_key, wrapped)
             select $1, $2, $3, $4 where not exists (select from seal_keys where tenant = $1)",
        )
        .bind(INSTALLATION_LOG)
        .bind(key.id())
        .bind(&key.public()[..])
        .bind(wrapped)
        .execute(self.store.pool())
        .await?;
        Ok(())
    }
}

/// The public parts of all keys that ever signed, by id. One whose id does not follow from it is left out.
pub async fn public_keys(pool: &PgPool) -> Result<HashMap<String, [u8; 32]>, sqlx::Error> {
    let rows: Vec<(String, Vec<u8>)> =
        sqlx::query_as("select key_id, public_key from seal_keys where tenant = $1")
            .bind(INSTALLATION_LOG)
            .fetch_all(pool)
            .await?;
    let keys = rows.into_iter().filter_map(|(id, public)| {
        let public: [u8; 32] = public.try_into().ok()?;
        (key_id(&public) == id).then_some((id, public))
    });
    Ok(keys.collect())
}
