//! States of long streams, stored beside the log: what a load begins with instead of the first event.
//!
//! Derived and never believed: a row that is of another shape, ahead of its stream or not what was
//! written is passed over, and the next one takes its place.

use std::sync::Arc;

use domain::{Position, StreamKey};
use sqlx::{PgConnection, Row as _};

use super::append::digest;
use super::read::StoredEvent;
use super::stream::{Bounds, read_within};
use super::{Store, StoreError};

/// A state as of one version of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredState {
    /// Version of the shape the state is written in.
    pub shape: u32,
    /// Sequence of the last event in it.
    pub version: i64,
    /// As its aggregate writes it.
    pub state: String,
}

impl StoredState {
    fn digest(&self, tenant: &str, stream: &StreamKey) -> [u8; 16] {
        digest(&[
            tenant.as_bytes(),
            stream.aggregate_type.as_bytes(),
            stream.aggregate_id.as_bytes(),
            &self.version.to_be_bytes(),
            &self.shape.to_be_bytes(),
            self.state.as_bytes(),
        ])
    }
}

/// Looked up with the stream's row, at the price of one: a state that claims more than the stream holds
/// is none.
const FIND: &str = "
    select s.first_position, s.last_position, s.version, n.version, n.state, n.digest
    from streams s left join snapshots n
        on (n.tenant, n.aggregate_type, n.aggregate_id) = (s.tenant, s.aggregate_type, s.aggregate_id)
       and n.shape = $4 and n.version <= s.version
    where s.tenant = $1 and s.aggregate_type = $2 and s.aggregate_id = $3";

/// The last writer's stays, be it the older one: both are right. One that is there already is not
/// written again.
const KEEP: &str = "
    insert into snapshots as n (tenant, aggregate_type, aggregate_id, version, shape, state, digest)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (tenant, aggregate_type, aggregate_id) do update
    set version = excluded.version, shape = excluded.shape, state = excluded.state,
        digest = excluded.digest, created_at = now()
    where (n.shape, n.version, n.digest, n.state)
       <> (excluded.shape, excluded.version, excluded.digest, excluded.state)";

impl Store {
    /// The stored state of a stream in this shape, and the events that came after it, at most
    /// `events_max` of them. Without one, the stream from its beginning.
    pub async fn read_from_snapshot(
        &self,
        tenant: &Arc<str>,
        stream: &StreamKey,
        shape: u32,
        events_max: i64,
    ) -> Result<(Option<StoredState>, Vec<StoredEvent>), StoreError> {
        let mut conn = self.pool().acquire().await?;
        let Some((bounds, found)) = find(&mut conn, tenant, stream, shape).await? else {
            return Ok((None, Vec::new()));
        };
        let after = found.as_ref().map_or(0, |stored| stored.version);
        let events = read_within(&mut conn, tenant, stream, bounds, after, events_max).await?;
        Ok((found, events))
    }

    /// Stores a state in place of the one before. It must be folded from events that are in the log.
    pub async fn keep_snapshot(
        &self,
        tenant: &str,
        stream: &StreamKey,
        snapshot: &StoredState,
    ) -> Result<(), StoreError> {
        sqlx::query(KEEP)
            .bind(tenant)
            .bind(stream.aggregate_type)
            .bind(&*stream.aggregate_id)
            .bind(snapshot.version)
            .bind(snapshot.shape.cast_signed())
            .bind(&snapshot.state)
            .bind(&snapshot.digest(tenant, stream)[..])
            .execute(self.pool())
            .await?;
        Ok(())
    }
}

/// Where the stream's events lie, and its stored state if there is one to go by.
async fn find(
    conn: &mut PgConnection,
    tenant: &str,
    stream: &StreamKey,
    shape: u32,
) -> Result<Option<(Bounds, Option<StoredState>)>, sqlx::Error> {
    let row = sqlx::query(FIND)
        .bind(tenant)
        .bind(stream.aggregate_type)
        .bind(&*stream.aggregate_id)
        .bind(shape.cast_signed())
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let bounds = Bounds {
        first: row.try_get(0)?,
        last: row.try_get(1)?,
        version: row.try_get(2)?,
        up_to: Position(i64::MAX),
    };
    let Some(version) = row.try_get(3)? else {
        return Ok(Some((bounds, None)));
    };
    let state = row.try_get(4)?;
    let stored = StoredState {
        shape,
        version,
        state,
    };
    let whole = stored.digest(tenant, stream)[..] == *row.try_get::<&[u8], _>(5)?;
    Ok(Some((bounds, whole.then_some(stored))))
}
