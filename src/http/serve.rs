//! Accepting connections until told to stop.

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use super::{Parts, router};
use crate::ops::Shutdown;

/// Serves on `listener`: takes no new work after a soft stop and returns when requests in flight are
/// answered, at once after a hard one.
pub async fn serve(parts: Parts, listener: TcpListener, shutdown: Shutdown) -> std::io::Result<()> {
    let soft = shutdown.clone();
    // Answers are written whole: waiting for more to send only delays them.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let server = axum::serve(listener, router(parts))
        .with_graceful_shutdown(async move { soft.soft().await })
        .into_future();
    tokio::select! {
        served = server => served,
        () = shutdown.hard() => Ok(()),
    }
}
