//! Partitions of the events table are made ahead of the head.

use sqlx::PgConnection;

use super::{StoreError, StoreSettings};

/// Makes sure that the furthest head has half a partition of room before it; cheap when it has.
pub(super) async fn ensure(
    conn: &mut PgConnection,
    settings: &StoreSettings,
) -> Result<(), StoreError> {
    let size = settings.partition_positions;
    sqlx::query(
        "select ensure_event_partitions((select coalesce(max(position), 0) from logs) + $1, $2)
         where coalesce((select max(to_position) from event_partitions), 0)
               <= (select coalesce(max(position), 0) from logs) + $1",
    )
    .bind(size / 2)
    .bind(size)
    .execute(conn)
    .await
    .map_err(StoreError::from)?;
    Ok(())
}
