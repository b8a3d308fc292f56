//! Sockets that subscribe: what a server says on them, and when it came.

mod frames;
mod handshake;
mod swarm;

pub use handshake::Order;
pub use swarm::{Heard, Keep, Place, Swarm, now_us, text_of};
