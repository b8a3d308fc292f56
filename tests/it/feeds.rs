//! Subscriptions, without a transport: what their members are handed, and when.

mod scene;

mod archived;
mod boards;
mod events;
mod groups;
mod maps;
mod resuming;
mod tails;
mod vehicles;
