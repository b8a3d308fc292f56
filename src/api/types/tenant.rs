//! Tenants.

use async_graphql::{ID, SimpleObject};
use projections::accounts::TenantRow;

use super::int;
use crate::api::scalars::DateTime;

/// Whose log it is: nothing of one is seen by another.
#[derive(SimpleObject)]
pub struct Tenant {
    /// Its id.
    pub id: ID,
    /// Its name, for people.
    name: String,
    /// When it was created.
    created_at: DateTime,
    /// Since when it can be read, but not written; null while it can.
    suspended_at: Option<DateTime>,
    /// Why.
    suspended_reason: Option<String>,
    /// Number of events in its stream: what `expectedVersion` is compared with.
    version: i32,
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Tenant {
        Tenant {
            id: ID(row.id),
            name: row.name,
            created_at: DateTime(row.created_at),
            suspended_at: row.suspended_at.map(DateTime),
            suspended_reason: row.suspended_reason,
            version: int(row.version),
        }
    }
}
