//! Accepting connections until told to stop.

use tokio::net::TcpListener;

use super::{Parts, router};
use crate::ops::Shutdown;

/// Serves on `listener`: takes no new work after a soft stop and returns when requests in flight are
/// answered, at once after a hard one.
pub async fn serve(parts: Parts, listener: TcpListener, shutdown: Shutdown) -> std::io::Result<()> {
    let soft = shutdown.clone();
    let server = axum::serve(listener, router(parts))
        .with_graceful_shutdown(async move { soft.soft().await })
        .into_future();
    tokio::select! {
        served = server => served,
        () = shutdown.hard() => Ok(()),
    }
}
