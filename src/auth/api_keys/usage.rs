//! How often each API key is used: counted in memory, written down now and then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use crate::auth::caller::Caller;
use crate::auth::{Auth, AuthError};

/// A key's tenant and id.
type Named = (Arc<str>, Arc<str>);

/// How keys were used since it was written down.
pub struct Used {
    used: Mutex<HashMap<Named, Use>>,
    keys_max: usize,
}

/// How a key was used since it was written down.
#[derive(Clone, Copy)]
struct Use {
    requests: i64,
    last: DateTime<Utc>,
}

/// How a key was used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Requests that showed it and were let in, of the last 30 days.
    pub requests: i64,
    /// The last one ever.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl Used {
    /// Of at most so many keys between two times it is written down.
    pub fn new(keys_max: usize) -> Used {
        Used {
            used: Mutex::default(),
            keys_max,
        }
    }

    /// Counts a request.
    pub fn count(&self, caller: &Caller, now: DateTime<Utc>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (caller.tenant.clone(), caller.actor.id.clone());
        if used.len() >= self.keys_max && !used.contains_key(&key) {
            return;
        }
        let used = used.entry(key).or_insert(Use {
            requests: 0,
            last: now,
        });
        used.requests += 1;
        used.last = used.last.max(now);
    }
}

impl Auth {
    /// Writes down how keys were used since it was written down last.
    pub(in crate::auth) async fn keep_usage(&self) -> Result<(), AuthError> {
        let used = {
            let mut used = self.0.api_keys.used.used.lock();
            std::mem::take(used.as_deref_mut().unwrap_or(&mut HashMap::new()))
        };
        if used.is_empty() {
            return Ok(());
        }
        let (mut tenants, mut ids) = (Vec::new(), Vec::new());
        let (mut requests, mut lasts) = (Vec::new(), Vec::new());
        for ((tenant, id), used) in &used {
            tenants.push(&**tenant);
            ids.push(&**id);
            requests.push(used.requests);
            lasts.push(used.last);
        }
        sqlx::query(
            "insert into api_key_usage as u (tenant, api_key_id, day, requests, last_used_at)
             select tenant, id, (last at time zone 'UTC')::date, requests, last
             from unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[])
                  as n(tenant, id, requests, last)
             on conflict (tenant, api_key_id, day) do update
             set requests = u.requests + excluded.requests,
                 last_used_at = greatest(u.last_used_at, excluded.last_used_at)",
        )
        .bind(tenants)
        .bind(ids)
        .bind(requests)
        .bind(lasts)
        .execute(self.0.store.pool())
        .await?;
        Ok(())
    }

    /// How keys were used, by their ids.
    pub async fn usage(
        &self,
        tenant: &str,
        ids: &[&str],
    ) -> Result<HashMap<String, Usage>, AuthError> {
        let rows: Vec<(String, i64, DateTime<Utc>)> = sqlx::query_as(
            "select api_key_id,
                    coalesce(sum(requests) filter (where day > current_date - 30), 0)::bigint,
                    max(last_used_at)
             from api_key_usage where tenant = $1 and api_key_id = any($2) group by api_key_id",
        )
        .bind(tenant)
        .bind(ids)
        .fetch_all(self.0.store.pool())
        .await?;
        let usage = rows.into_iter().map(|(id, requests, last)| {
            let usage = Usage {
                requests,
                last_used_at: Some(last),
            };
            (id, usage)
        });
        Ok(usage.collect())
    }
}
