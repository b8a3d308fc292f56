//! Competitions through the front door: rules that stay, places that are given once, scores that count once,
//! and boards that show it.

mod activities;
mod boards;
mod closing;
mod life;
mod moderated;
mod own;
mod pages;
mod periods;
mod places;
mod rest;
mod scene;
mod scores;
mod sealed;
