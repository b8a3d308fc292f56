//! Reading tenants. Their streams lie in the log of the tenant `default`, so they are read in a
//! snapshot of that tenant; it has no stream itself and is not among them.

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use crate::accounts::NAME;
use crate::{Page, ReadError, Snapshot};

/// A tenant that was created.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantRow {
    /// Its id.
    pub id: String,
    /// Its latest name.
    pub name: String,
    /// When it was created (recorded time).
    pub created_at: DateTime<Utc>,
    /// Since when it is suspended (recorded time); `None` while it is not.
    pub suspended_at: Option<DateTime<Utc>>,
    /// Why it is, if it is and someone said so.
    pub suspended_reason: Option<String>,
    /// Version of its stream.
    pub version: i64,
    /// Position of its last event, in the log of the default tenant.
    pub position: Position,
}

/// One tenant by id.
pub async fn tenant(snap: &mut Snapshot, id: &str) -> Result<Option<TenantRow>, ReadError> {
    let mut sql = select(snap)?;
    sql.push(" and t.tenant_id = ").push_bind(id);
    let row = sql.build().fetch_optional(snap.connection()).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// Tenants by ascending id, those after `after`, at most `first`.
pub async fn tenants(
    snap: &mut Snapshot,
    after: Option<&str>,
    first: u32,
) -> Result<Page<TenantRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select(snap)?;
    if let Some(after) = after {
        sql.push(" and t.tenant_id > ").push_bind(after);
    }
    sql.push(" order by t.tenant_id limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let tenants = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(tenants, first, as_of))
}

fn select<'q>(snap: &Snapshot) -> Result<QueryBuilder<'q, Postgres>, ReadError> {
    let tenants = snap.name(NAME, "accounts_tenants")?;
    let mut sql = QueryBuilder::new(format!(
        "select t.tenant_id, t.name, t.created_at, t.suspended_at, t.suspended_reason, t.version,
                t.position
         from {tenants} t where t.created_at is not null and t.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

fn read(row: &PgRow) -> Result<TenantRow, sqlx::Error> {
    Ok(TenantRow {
        id: row.try_get("tenant_id")?,
        name: row.try_get("name")?,
        created_at: row.try_get("created_at")?,
        suspended_at: row.try_get("suspended_at")?,
        suspended_reason: row.try_get("suspended_reason")?,
        version: row.try_get("version")?,
        position: Position(row.try_get("position")?),
    })
}
