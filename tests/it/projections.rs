//! Read models against a real database: what is written is what the questions are answered from.

mod abandoned;
mod accounts;
mod areas;
mod directory;
mod figures;
mod order;
mod scene;
mod series;
mod whereabouts;
