//! What the product says of identity, proved on the whole of it: two processes over one database, with Redis
//! and without, and other people's libraries.

mod keys;
mod revoking;
mod scene;
mod sessions;
mod tenants;
