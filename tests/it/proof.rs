//! What the product says of identity, proved on the whole of it: two processes over one database, with Redis
//! and without, and other people's libraries.

mod erasing;
mod exporters;
mod finishing;
mod keys;
mod libraries;
mod revoking;
mod scene;
mod secrets;
mod sessions;
mod tenants;
mod traces;
