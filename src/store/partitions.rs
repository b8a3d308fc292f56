//! Partitions of the events table are made ahead of the head.

use sqlx::PgConnection;

use super::StoreSettings;

/// Makes sure that the furthest head has half a partition of room before it, and room for `events` at
/// least; cheap when it has.
pub(super) async fn ensure(
    conn: &mut PgConnection,
    settings: &StoreSettings,
    events: i64,
) -> Result<(), sqlx::Error> {
    let size = settings.partition_positions;
    sqlx::query(
        "select ensure_event_partitions((select coalesce(max(position), 0) from logs) + $1, $2)
         where coalesce((select max(to_position) from event_partitions), 0)
               <= (select coalesce(max(position), 0) from logs) + $1",
    )
    .bind(events.max(size / 2))
    .bind(size)
    .execute(conn)
    .await
    .map(drop)
}
