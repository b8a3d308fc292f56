//! Webhooks of systems that deploy: section W of `docs/promises.md` as far as it is about what comes in (W8 and
//! W9 are about buttons and bots, which no delivery is), and what deliveries come to in whichever order.

mod known;
mod scene;
mod signed;
mod steps;
