//! Seals as they are stored.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row};

use super::statement::Statement;
use super::tree::{Edge, Hash};

/// A seal: a signed root, and the leaves it added.
#[derive(Clone, Debug)]
pub(super) struct StoredSeal {
    /// Position of its first own event.
    pub(super) first: i64,
    /// Position of its last.
    pub(super) size: i64,
    /// Hashes of its own events, one after the other.
    leaves: Vec<u8>,
    peaks: Vec<u8>,
    pub(super) previous: Vec<u8>,
    pub(super) sealed_at: DateTime<Utc>,
    pub(super) key_id: String,
    pub(super) signature: Vec<u8>,
}

/// A time that is none of ours is told as the first one there is: nobody signed that.
const COLUMNS: &str = "first, size, leaves, peaks, previous, key_id, signature,
    case when sealed_at between timestamptz '1970-01-01Z' and '9999-12-31Z' then sealed_at
         else 'epoch' end as sealed_at";

impl StoredSeal {
    fn read(row: &PgRow) -> Result<StoredSeal, sqlx::Error> {
        Ok(StoredSeal {
            first: row.try_get("first")?,
            size: row.try_get("size")?,
            leaves: row.try_get("leaves")?,
            peaks: row.try_get("peaks")?,
            previous: row.try_get("previous")?,
            sealed_at: row.try_get("sealed_at")?,
            key_id: row.try_get("key_id")?,
            signature: row.try_get("signature")?,
        })
    }

    /// The hashes of its own events in order, if there is one for each.
    pub(super) fn leaves(&self) -> Option<&[Hash]> {
        let (leaves, rest) = self.leaves.as_chunks::<32>();
        let own = self.size.checked_sub(self.first)?.checked_add(1)?;
        (rest.is_empty() && i64::try_from(leaves.len()) == Ok(own)).then_some(leaves)
    }

    /// The edge of the tree that its root is of, if it can be one.
    pub(super) fn edge(&self) -> Option<Edge> {
        let (peaks, rest) = self.peaks.as_chunks::<32>();
        let size = u64::try_from(self.size).ok()?;
        rest.is_empty().then(|| Edge::new(size, peaks.to_vec()))?
    }

    /// What it states, if the tree has this edge.
    pub(super) fn statement(&self, tenant: &str, edge: &Edge) -> Option<Statement> {
        Some(Statement {
            tenant: tenant.to_owned(),
            size: edge.size(),
            root: edge.root(),
            previous: self.previous.as_slice().try_into().ok()?,
            sealed_at: self.sealed_at,
        })
    }
}

/// The last seal of a log.
pub(super) async fn last(
    of: impl PgExecutor<'_>,
    tenant: &str,
) -> Result<Option<StoredSeal>, sqlx::Error> {
    let sql = format!("select {COLUMNS} from seals where tenant = $1 order by size desc limit 1");
    let row = sqlx::query(&sql).bind(tenant).fetch_optional(of).await?;
    row.as_ref().map(StoredSeal::read).transpose()
}

/// The next seals behind that of `size` events, in order, at most `seals_max`.
pub(super) async fn behind(
    of: impl PgExecutor<'_>,
    tenant: &str,
    size: i64,
    seals_max: i64,
) -> Result<Vec<StoredSeal>, sqlx::Error> {
    let sql = format!(
        "select {COLUMNS} from seals where tenant = $1 and size > $2 order by size limit $3"
    );
    let rows = sqlx::query(&sql)
        .bind(tenant)
        .bind(size)
        .bind(seals_max)
        .fetch_all(of)
        .await?;
    rows.iter().map(StoredSeal::read).collect()
}

/// The seals before that of `size` events, the last one first, at most `seals_max`, without their leaves.
pub(super) async fn before(
    of: impl PgExecutor<'_>,
    tenant: &str,
    size: i64,
    seals_max: i64,
) -> Result<Vec<StoredSeal>, sqlx::Error> {
    let columns = COLUMNS.replace("leaves,", "''::bytea as leaves,");
    let sql = format!(
        "select {columns} from seals where tenant = $1 and size < $2 order by size desc limit $3"
    );
    let rows = sqlx::query(&sql)
        .bind(tenant)
        .bind(size)
        .bind(seals_max)
        .fetch_all(of)
        .await?;
    rows.iter().map(StoredSeal::read).collect()
}

/// Does so for a whole seal: `false` if somebody else has sealed its first event.
pub(super) async fn insert(
    conn: &mut sqlx::PgConnection,
    statement: &Statement,
    (leaves, edge): (&[Hash], &Edge),
    (key_id, signature): (&str, &[u8]),
) -> Result<bool, sqlx::Error> {
    let size = i64::try_from(statement.size).unwrap_or(i64::MAX);
    let first = size - leaves.len() as i64 + 1;
    let done = sqlx::query(
        "insert into seals (tenant, size, first, leaves, peaks, previous, sealed_at, key_id, signature)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing",
    )
    .bind(&statement.tenant)
    .bind(size)
    .bind(first)
    .bind(leaves.as_flattened())
    .bind(edge.peaks().as_flattened())
    .bind(&statement.previous[..])
    .bind(statement.sealed_at)
    .bind(key_id)
    .bind(signature)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
