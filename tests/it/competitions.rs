//! Competitions through the front door: rules that stay, places that are given once, scores that count once.

mod activities;
mod closing;
mod life;
mod moderated;
mod places;
mod scene;
mod scores;
mod sealed;
