//! What happens by itself, by one process for each tenant.

use projections::Reader;
use tokio::task::JoinSet;

use crate::auth::Auth;
use crate::commands::Door;
use crate::competitions::{Closer, due};
use crate::config::Settings;
use crate::consumers::Consumers;
use crate::fetch::Fetch;
use crate::ops::Clock;
use crate::seals::{self, Seals};
use crate::slos::alerts;
use crate::store::Store;
use crate::vault::Vault;

/// What duties stand on.
pub(super) struct Foundation {
    pub door: Door,
    pub store: Store,
    pub vault: Vault,
    pub auth: Auth,
    pub reader: Reader,
    pub consumers: Consumers,
    pub closer: Closer,
    pub fetch: Fetch,
    pub clock: Clock,
}

/// Work under way until it is stopped.
pub(super) struct Duties {
    /// Raises and clears alerts of objectives.
    alerts: JoinSet<()>,
    /// Closes periods of competitions that are over.
    closing: JoinSet<()>,
    /// Takes log records away that are kept no longer.
    retention: JoinSet<()>,
    /// Seals the logs.
    sealing: JoinSet<()>,
}

impl Duties {
    pub(super) fn start(settings: &Settings, on: Foundation) -> Duties {
        let retention = on
            .consumers
            .keep_retention(&settings.logs, on.clock.clone());
        let seals = Seals::new(on.store.clone(), on.vault);
        let telling = (&on.consumers, on.fetch);
        let sealing = seals::start(&settings.seals, seals, telling, on.clock.clone());
        let foundation = alerts::Foundation {
            door: on.door.clone(),
            store: on.store.clone(),
            auth: on.auth.clone(),
            reader: on.reader.clone(),
            consumers: on.consumers.clone(),
            clock: on.clock.clone(),
        };
        let alerts = alerts::start(&settings.slos, foundation);
        let foundation = due::Foundation {
            door: on.door,
            store: on.store,
            auth: on.auth,
            reader: on.reader,
            consumers: on.consumers,
            closer: on.closer,
            clock: on.clock,
        };
        Duties {
            alerts,
            closing: due::start(&settings.competitions, foundation),
            retention,
            sealing,
        }
    }

    /// Waits for what is being done; begins nothing new.
    pub(super) async fn stop(&mut self) {
        self.alerts.shutdown().await;
        self.closing.shutdown().await;
        self.retention.shutdown().await;
        self.sealing.shutdown().await;
    }
}
