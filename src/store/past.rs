//! Where the log ended at a time.

use chrono::{DateTime, Utc};
use domain::Position;

use super::{Store, StoreError, held};

/// Times never run against positions, so the last one up to then is found by halving: about as many
/// look-ups by key as the log's head has binary digits. What is not there any more was early.
const REACHED_BY: &str = "
    with recursive search (low, high) as (
        select 0::bigint, position from logs where tenant = $1
        union all
        select case when early then mid else low end, case when early then high else mid - 1 end
        from search,
             lateral (select (low + high + 1) / 2 as mid) m,
             lateral (select coalesce((select e.recorded_at <= $2 from events e
                                       where e.tenant = $1 and e.position = m.mid), true) as early) t
        where low < high)
    select low from search where low = high";

impl Store {
    /// The position of the last event that was recorded by then; the start if none was. If it is not in
    /// the log any more, neither is the answer: [`StoreError::Archived`].
    pub async fn reached_by(
        &self,
        tenant: &str,
        time: DateTime<Utc>,
    ) -> Result<Position, StoreError> {
        let mut conn = self.pool().acquire().await?;
        let reached: Option<i64> = sqlx::query_scalar(REACHED_BY)
            .bind(tenant)
            .bind(time)
            .fetch_optional(&mut *conn)
            .await?;
        let reached = reached.ok_or_else(|| StoreError::UnknownTenant(tenant.to_owned()))?;
        if reached > 0 {
            held::check_held(&mut conn, tenant, reached..=reached).await?;
        }
        Ok(Position(reached))
    }
}
