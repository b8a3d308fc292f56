//! Work that one process does for all of them, tenant by tenant: whoever holds its lease.

use std::collections::HashMap;
use std::sync::Arc;

use super::lease::{Lease, Leases};
use super::{ConsumerError, Consumers};

/// A piece of work of each tenant, and those tenants of which this process does it. What it holds it keeps
/// until it ends or is silent for a lease's life; then another process takes over.
pub struct Duty {
    resource: String,
    leases: Leases,
    held: HashMap<Arc<str>, Lease>,
}

impl Duty {
    /// Is this tenant's share of the work ours? It is taken where nobody has it.
    pub async fn is_ours(&mut self, tenant: &Arc<str>) -> Result<bool, ConsumerError> {
        if self.held.get(tenant).is_some_and(|lease| !lease.is_lost()) {
            return Ok(true);
        }
        self.held.remove(tenant);
        let lease = self.leases.acquire(tenant, &self.resource).await?;
        let ours = lease.is_some();
        self.held.extend(lease.map(|lease| (tenant.clone(), lease)));
        Ok(ours)
    }
}

impl Consumers {
    /// Work of this name, of which this process does nothing yet.
    pub fn duty(&self, name: &str) -> Duty {
        Duty {
            resource: format!("duty/{name}"),
            leases: self.leases(),
            held: HashMap::new(),
        }
    }
}
