//! Deployments through the front door: section D of `docs/promises.md` as far as it is about them, and what
//! promises, policies, boards and feeds say of one another.

mod board;
mod feed;
mod figures;
mod incidents;
mod life;
mod refusals;
mod rest;
pub mod scene;
mod sla;
mod votes;
