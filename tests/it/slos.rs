//! Objectives through the front door: what they say and said, and the alerts that go up and down.

mod alerts;
mod feed;
mod life;
mod rest;
mod scene;
