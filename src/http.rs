//! The edge: routes, limits, the GraphQL transport, REST aliases, probes.

mod caller;
mod context;
mod graphql;
mod json;
mod probes;
mod problem;
mod rest;
mod router;
mod serve;

pub use router::router;
pub use serve::serve;

use std::sync::Arc;

use crate::api::Api;
use crate::auth::Auth;
use crate::config::Settings;
use crate::ops::{Health, Metrics};

/// What the edge stands on. Assembled once; cheap to clone.
#[derive(Clone)]
pub struct Edge {
    /// Where requests are answered.
    pub api: Api,
    /// Who asks.
    pub auth: Auth,
    /// How the parts are doing.
    pub health: Health,
    /// What was counted.
    pub metrics: Metrics,
    /// Limits and time-outs.
    pub settings: Arc<Settings>,
    /// What kind of cache serves this process, for `/readyz`.
    pub cache_kind: String,
}
