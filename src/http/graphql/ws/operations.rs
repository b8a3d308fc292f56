//! The operations under way on one socket, each polled in turn, so that a busy one starves no other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};

use crate::api::fault::{Fault, FaultCode};
use crate::api::feed::{FeedStream, Mark};
use crate::http::graphql::answer::Written;

/// Operations by id.
#[derive(Default)]
pub struct Operations {
    running: Vec<(String, Stage)>,
    /// Whose turn it is to be looked at first.
    turn: usize,
}

/// How far an operation is.
pub enum Stage {
    /// A query or a mutation: one result.
    Once(BoxFuture<'static, Written>),
    /// A subscription that is not open yet.
    Opening(BoxFuture<'static, Result<FeedStream, Fault>>),
    /// A subscription, and the position of the last item taken from it.
    Open(FeedStream, Option<Mark>),
}

/// What an operation says.
pub enum Said {
    /// A result, more may come.
    Next(Bytes),
    /// The only result.
    Whole(Bytes),
    /// It was refused, and is over.
    Refused(Vec<serde_json::Value>),
    /// It broke off, and is over.
    Failed(Fault),
    /// It is over.
    Complete,
}

impl Operations {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Is this id taken?
    pub fn has(&self, id: &str) -> bool {
        self.running.iter().any(|(own, _)| own == id)
    }

    /// Begins another.
    pub fn begin(&mut self, id: String, stage: Stage) {
        self.running.push((id, stage));
    }

    /// Drops the one of this id, if there is one.
    pub fn end(&mut self, id: &str) {
        self.running.retain(|(own, _)| own != id);
    }

    /// Drops all subscriptions; queries and mutations go on.
    pub fn end_subscriptions(&mut self) {
        self.running
            .retain(|(_, stage)| matches!(stage, Stage::Once(_)));
    }

    /// The subscriptions of which items were taken, and the position of the last of each.
    pub fn places(&self) -> impl Iterator<Item = (&str, Mark)> {
        self.running.iter().filter_map(|(id, stage)| match stage {
            Stage::Open(_, at) => at.map(|at| (id.as_str(), at)),
            Stage::Once(_) | Stage::Opening(_) => None,
        })
    }

    /// What one of them says next.
    pub async fn next(&mut self) -> (String, Said) {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// What one of them has to say by now.
    pub fn ready(&mut self) -> Option<(String, Said)> {
        self.next().now_or_never()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(String, Said)> {
        let count = self.running.len();
        for n in 0..count {
            let at = (self.turn + n) % count;
            let (id, stage) = &mut self.running[at];
            let Poll::Ready(said) = poll_stage(stage, cx) else {
                continue;
            };
            let id = id.clone();
            self.turn = at + 1;
            if !matches!(said, Said::Next(_)) {
                self.running.remove(at);
                self.turn = at;
            }
            return Poll::Ready((id, said));
        }
        Poll::Pending
    }
}

/// A panic ends the operation, not the socket.
fn poll_stage(stage: &mut Stage, cx: &mut Context<'_>) -> Poll<Said> {
    let polled = catch_unwind(AssertUnwindSafe(|| step(stage, cx)));
    polled.unwrap_or_else(|_| {
        tracing::error!("a subscription panicked");
        Poll::Ready(Said::Failed(Fault::of(FaultCode::Internal)))
    })
}

fn step(stage: &mut Stage, cx: &mut Context<'_>) -> Poll<Said> {
    loop {
        match stage {
            Stage::Once(carried_out) => {
                return carried_out.poll_unpin(cx).map(|written| match written {
                    Written::Result { body, .. } => Said::Whole(body),
                    Written::Refused { errors, .. } => Said::Refused(errors),
                });
            }
            Stage::Opening(opening) => match Pin::new(opening).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(feed)) => *stage = Stage::Open(feed, None),
                Poll::Ready(Err(fault)) => return Poll::Ready(Said::Failed(fault)),
            },
            Stage::Open(feed, at) => {
                return feed.poll_next_unpin(cx).map(|item| match item {
                    Some(Ok(item)) => {
                        *at = item.position.or(*at);
                        Said::Next(item.payload)
                    }
                    Some(Err(fault)) => Said::Failed(fault),
                    None => Said::Complete,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;
    use crate::api::feed::FeedItem;

    fn feed(items: Vec<&'static [u8]>) -> Stage {
        let items = stream::iter(items).map(|payload| {
            Ok(FeedItem {
                payload: Bytes::from_static(payload),
                position: None,
            })
        });
        Stage::Open(Box::pin(items), None)
    }

    fn said(operations: &mut Operations) -> Vec<String> {
        std::iter::from_fn(|| operations.ready())
            .map(|(id, said)| match said {
                Said::Next(payload) => format!("{id} {}", String::from_utf8_lossy(&payload)),
                Said::Complete => format!("{id} complete"),
                Said::Failed(fault) => format!("{id} {}", fault.code()),
                Said::Whole(_) | Said::Refused(_) => id,
            })
            .collect()
    }

    #[test]
    fn everyone_has_a_turn() {
        let mut operations = Operations::default();
        operations.begin("busy".to_owned(), feed(vec![b"0"; 1_000]));
        operations.begin("quiet".to_owned(), feed(vec![b"1", b"2"]));
        let said = said(&mut operations);
        let quiet: Vec<usize> = (0..said.len())
            .filter(|n| said[*n].starts_with("quiet"))
            .collect();
        assert_eq!(quiet, [1, 3, 5]);
        assert_eq!(said.len(), 1_004);
        assert!(operations.is_empty());
    }

    #[test]
    fn a_panic_ends_one_operation() {
        let mut operations = Operations::default();
        let broken = stream::poll_fn(|_| panic!("planted"));
        operations.begin("broken".to_owned(), Stage::Open(Box::pin(broken), None));
        operations.begin("whole".to_owned(), feed(vec![b"1"]));
        assert_eq!(
            said(&mut operations),
            ["broken INTERNAL", "whole 1", "whole complete"]
        );
    }
}
