//! One subscriber of a group, who takes what there is at its own pace.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::Position;
use futures::stream;
use metrics::counter;
use tokio::sync::watch;

use super::groups::{Group, Seat, Stage};
use super::journal::{Covered, Page, page, text_bytes};
use super::latest::Next;
use super::mark::Mark;
use super::rendering::Rendering;
use super::room::Held;
use super::sieve::{Part, Sieve, Told};
use super::{FeedItem, FeedStream};
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::consumers::feed::Scan;
use crate::consumers::weight_bytes;
use crate::ops::metrics as names;
use crate::store::StoredEvent;

/// A subscriber. Holds nothing but its place, unless it scans.
pub(super) struct Member {
    seat: Seat,
    operation: Arc<Operation>,
    stage: watch::Receiver<Stage>,
    /// Of a journal: everything up to here has been taken.
    at: Mark,
    /// Of a latest-wins feed: every change up to this number has been taken, or conflated.
    seen: u64,
    /// Likewise: what had left by then is not its affair.
    joined: u64,
    scanning: Option<Box<Scanning>>,
    ended: bool,
}

/// A member that reads the past by itself.
struct Scanning {
    scan: Scan,
    page: VecDeque<StoredEvent>,
    /// What is left of the event before the page.
    parts: VecDeque<Part>,
    /// The room that both take.
    held: Held,
    sieve: Sieve,
    rendering: Rendering,
}

impl Scanning {
    /// The next item of what was read, and up to where it tells; nothing once all is told.
    async fn next(&mut self, after: Mark) -> Result<Option<(Option<FeedItem>, Mark)>, Fault> {
        let mut at = after;
        if self.parts.is_empty() {
            let Some(event) = self.page.pop_front() else {
                return Ok(None);
            };
            at = event.position.into();
            self.held.set(self.waiting_bytes() + weight_bytes(&event));
            let operation = self.rendering.operation();
            let parts = self.sieve.items(operation, Told::Read(event.into()), after);
            self.parts = parts.await?.into();
        }
        let item = match self.parts.pop_front() {
            None => None,
            Some(part) => {
                at = part.mark;
                Some(self.rendering.render(part.item, at).await?)
            }
        };
        if self.parts.is_empty() {
            self.held.set(self.waiting_bytes());
        }
        if item.is_some() {
            self.rest(at);
        }
        Ok(Some((item, at)))
    }

    fn waiting_bytes(&self) -> usize {
        self.page.iter().map(text_bytes).sum()
    }

    /// The item's reader may be long in coming back: where room is scarce, what comes after `at` is forgotten and
    /// read again then.
    fn rest(&mut self, at: Mark) {
        let keeps = !self.page.is_empty() || !self.parts.is_empty();
        if keeps && self.held.is_scarce() {
            (self.page, self.parts) = (VecDeque::new(), VecDeque::new());
            self.held.set(0);
            self.scan.back_to(at.before());
        }
    }
}

/// The member's items as a stream.
pub(super) fn stream(member: Member) -> FeedStream {
    Box::pin(stream::unfold(member, |mut member| async move {
        if member.ended {
            return None;
        }
        let item = match member.group().kind.is_journal() {
            true => member.next_event().await,
            false => member.next_change().await,
        };
        if let Err(fault) = &item {
            let (feed, reason) = (member.group().kind.as_str(), fault.code());
            counter!(names::FEED_TERMINATIONS_TOTAL, "feed" => feed, "reason" => reason)
                .increment(1);
            member.ended = true;
        }
        Some((item, member))
    }))
}

impl Member {
    pub fn new(seat: Seat, operation: Arc<Operation>, after: Mark) -> Member {
        Member {
            stage: seat.group.watch(),
            joined: seat.group.latest.last(),
            seat,
            operation,
            at: after,
            seen: 0,
            scanning: None,
            ended: false,
        }
    }

    fn group(&self) -> &Group {
        &self.seat.group
    }

    /// The next event of a journal: from the group's recent ones, else from the log itself.
    async fn next_event(&mut self) -> Result<FeedItem, Fault> {
        loop {
            if let Some(scanning) = &mut self.scanning {
                // In a box, as below: who scans pays for it, and not whoever waits for news.
                let next = Box::pin(scanning.next(self.at)).await;
                if let Some((item, at)) = next.map_err(|fault| self.with_place(fault))? {
                    self.at = at;
                    let Some(item) = item else { continue };
                    self.group().meters.deliveries.increment(1);
                    return Ok(item);
                }
            }
            self.stage.mark_unchanged();
            match self.group().journal.after(self.at) {
                Covered::Here(entry) => {
                    self.scanning = None;
                    self.at = entry.mark;
                    self.delivered(Some(entry.recorded_at));
                    return Ok(entry.item);
                }
                Covered::AtEnd => {
                    self.scanning = None;
                    self.wait().await?;
                }
                Covered::Behind(hand_off) => {
                    let read = Box::pin(self.read_past(hand_off.position)).await;
                    read.map_err(|fault| self.with_place(fault))?;
                }
            }
        }
    }

    /// Reads on towards the position from which on the group knows everything.
    async fn read_past(&mut self, hand_off: Position) -> Result<(), Fault> {
        let groups = self.seat.groups().clone();
        let scanning = match &mut self.scanning {
            Some(scanning) => scanning,
            none => {
                self.seat.group.meters.scans.increment(1);
                let (rendering, plan) = groups
                    .rendering(&self.seat.group.asked, self.operation.clone())
                    .await?;
                let Some((filter, sieve)) = plan.journal() else {
                    return Err(Fault::of(FaultCode::Internal)); // its group is a journal
                };
                // Of an event that was told in part the rest is read again.
                let scan = groups
                    .feed
                    .scan(self.operation.tenant(), filter, self.at.before());
                none.insert(Box::new(Scanning {
                    scan,
                    page: VecDeque::new(),
                    parts: VecDeque::new(),
                    held: groups.room.hold(0),
                    sieve,
                    rendering,
                }))
            }
        };
        let Page { events, held } = page(&groups, &mut scanning.scan, hand_off).await?;
        (scanning.page, scanning.held) = (events.into(), held);
        if scanning.page.is_empty() {
            self.at = self.at.max(scanning.scan.at().into());
        }
        Ok(())
    }

    /// The next change of a latest-wins feed: of each key its latest, in order of change.
    async fn next_change(&mut self) -> Result<FeedItem, Fault> {
        loop {
            self.stage.mark_unchanged();
            match self.group().latest.after(self.seen, self.joined) {
                Next::Change(number, change) => {
                    let passed_over = (number - 1).saturating_sub(self.seen.max(self.joined));
                    self.group().meters.conflations.increment(passed_over);
                    self.seen = number;
                    self.at = change.item.position.unwrap_or(self.at);
                    self.delivered(change.recorded_at);
                    return Ok(change.item);
                }
                Next::Nothing => self.wait().await?,
                Next::Forgotten => {
                    let message = "some have left while nothing was read; begin anew";
                    return Err(self.with_place(Fault::new(FaultCode::Resume, message)));
                }
            }
        }
    }

    /// Waits for something new; tells why nothing comes any more.
    async fn wait(&mut self) -> Result<(), Fault> {
        if let Some(fault) = self.stage.borrow().ended.clone() {
            return Err(self.with_place(fault));
        }
        // the seat holds the sender
        let _ = self.stage.changed().await;
        Ok(())
    }

    /// Whatever ends a subscription tells where to go on.
    fn with_place(&self, fault: Fault) -> Fault {
        fault.with("position", self.at.to_string())
    }

    fn delivered(&self, committed: Option<DateTime<Utc>>) {
        let meters = &self.group().meters;
        meters.deliveries.increment(1);
        if let Some(committed) = committed {
            let lag = self.operation.parts.clock.now() - committed;
            meters.lag.record(lag.to_std().unwrap_or(Duration::ZERO));
        }
    }
}
