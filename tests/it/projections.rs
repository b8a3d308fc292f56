//! Read models against a real database: what is written is what the questions are answered from.

mod abandoned;
mod accounts;
mod areas;
mod competitions;
mod deployments;
mod directory;
mod dora;
mod equal;
mod figures;
mod logs;
mod objectives;
mod order;
mod releases;
mod scene;
mod series;
mod slo;
mod whereabouts;
