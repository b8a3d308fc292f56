//! Projections and questions of analysts in SQL: folded like any other read model, and held behind two walls.

mod cli;
mod folding;
mod installing;
mod past;
mod questions;
mod scene;
mod walls;
