//! Subscriptions: who asks the same is one group, whose items are made and written once.
//!
//! Reading order: [`asked`] (what makes two subscriptions the same), [`groups`] (who belongs
//! together), [`rendering`] (an item becomes bytes), [`journal`] (gap-free feeds) and
//! what they tell ([`sieve`], [`tail`]) and up to where ([`mark`]), what those hold who read the past
//! ([`room`]), [`latest`]
//! (latest-wins feeds) and who fills those: [`vehicles`], [`heatmaps`], [`boards`], [`rebuilds`].
//!
//! Nothing here is ever pushed to a member: a group keeps what is new, and members take it at their
//! own pace. A slow one costs nobody anything; what it missed it is given conflated, or it scans the
//! log by itself, or it is told where to resume.

mod asked;
mod groups;
mod rendering;
mod room;
mod journal;
mod member;
mod latest;
mod conflator;
mod vehicles;
mod whereabouts;
mod heatmaps;
mod boards;
mod rebuilds;
mod sieve;
mod mark;
mod tail;

pub use boards::BoardPlan;
pub use groups::{FeedCounts, Groups};
pub use heatmaps::HeatmapPlan;
pub use mark::Mark;
pub use rebuilds::ProgressPlan;
pub use rendering::{Item, Plan, Wiring};
pub use sieve::{BurnAlertPlan, DeploymentPlan};
pub use tail::{TailPart, TailPlan};
pub use vehicles::VehiclePlan;
pub use whereabouts::Wanted;

use std::pin::Pin;
use std::time::Duration;

use async_graphql::Request;
use bytes::Bytes;
use domain::{Code, Position, Refusal};
use futures::Stream;

use super::Api;
use super::failure::store_fault;
use super::fault::{Fault, FaultCode};
use super::operation::Operation;
use crate::consumers::feed::FeedSettings;
use asked::Asked;

/// One result of a subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedItem {
    /// A JSON object: `data`, `errors` if there are any, and `extensions.position`.
    pub payload: Bytes,
    /// Where a journal goes on after this item; of a latest-wins feed, what the item is as of.
    pub position: Option<Mark>,
}

/// A subscription's results. Ends after an `Err`.
pub type FeedStream = Pin<Box<dyn Stream<Item = Result<FeedItem, Fault>> + Send>>;

impl Api {
    /// Subscribes. The request's document has passed the guards. `resume` stands for the argument
    /// `after` of a journal: where the last item its reader has seen stands.
    pub async fn subscribe(
        &self,
        operation: Operation,
        request: Request,
        resume: Option<Mark>,
    ) -> Result<FeedStream, Fault> {
        if operation.as_of.is_some() {
            let message = "a subscription tells of the present, not as of a position";
            return Err(Fault::new(FaultCode::AsOfUnsupported, message));
        }
        let asked = Asked::read(request)?;
        let mut from = Mark::default();
        if asked.kind.is_journal() {
            let head = self.parts.store.head(operation.tenant()).await;
            let head = head.map_err(store_fault)?;
            let after = resume.map_or_else(|| asked.after(), |mark| Ok(Some(mark)))?;
            from = after.unwrap_or(head.into());
            let known = from.is_whole() || asked.kind.cuts_events();
            if !known || from.position > head || from.position < Position::START {
                let fault = Fault::of(FaultCode::BadPosition);
                return Err(fault.with("head", head.to_string()));
            }
        }
        self.groups.join(asked, &operation, from).await
    }

    /// How much subscribing is going on.
    pub fn feed_counts(&self) -> FeedCounts {
        self.groups.counts()
    }
}

/// Pause before read models that could not answer are asked again.
const RETRY: Duration = Duration::from_millis(500);

/// The least time between two updates of one key, from the argument `maxHz`.
pub fn interval(max_hz: Option<f64>, settings: &FeedSettings) -> Result<Duration, Fault> {
    let hz = max_hz.unwrap_or(settings.hz_default);
    if hz > 0.0 && hz <= settings.hz_max && 1.0 / hz <= INTERVAL_S_MAX {
        return Ok(Duration::from_secs_f64(1.0 / hz));
    }
    let message = "updates a second are more than nothing, and at most what `limit` tells";
    let refusal = Refusal::new(Code::OutOfRange, message).at(["maxHz"]);
    Err(refusal.with("limit", settings.hz_max).into())
}

/// The slowest feed is told of a change after so many seconds.
const INTERVAL_S_MAX: f64 = 3_600.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_a_second_are_bounded() {
        let settings = FeedSettings::default();
        let ms = |hz| interval(hz, &settings).map(|d| d.as_millis()).ok();
        assert_eq!(ms(None), Some(500));
        assert_eq!(ms(Some(20.0)), Some(50));
        assert_eq!(ms(Some(0.5)), Some(2_000));
        for hz in [20.1, 0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert_eq!(ms(Some(hz)), None, "{hz}");
        }
    }
}
