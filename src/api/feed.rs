//! Subscriptions: streams of results, already written, that the transport pulls.

use std::pin::Pin;
use std::sync::Arc;

use async_graphql::{Request, Response, Value};
use bytes::Bytes;
use domain::Position;
use futures::{Stream, StreamExt as _};

use super::fault::Fault;
use super::telling::{Telling, fault_of, is_refusal};
use super::{Api, Operation};

/// One item of a subscription: a GraphQL execution result, already serialised, shared by all who asked
/// the same.
#[derive(Clone, Debug)]
pub struct FeedItem {
    /// A JSON object, `{"data":..,"extensions":..}`.
    pub payload: Bytes,
    /// Where in the log it stands, if it stands for one place: what to resume from.
    pub position: Option<Position>,
}

/// Ends with `None` when it is complete, or after an `Err`.
pub type FeedStream = Pin<Box<dyn Stream<Item = Result<FeedItem, Fault>> + Send>>;

impl Api {
    /// Begins a subscription whose document has passed the guards; `resume` is the position of the last
    /// item the subscriber has seen.
    pub async fn subscribe(
        &self,
        operation: Operation,
        request: Request,
        resume: Option<Position>,
    ) -> Result<FeedStream, Fault> {
        let request = request.data(Arc::new(operation)).data(Resume(resume));
        let responses = self.schema.execute_stream(request);
        Ok(feed(responses, self.parts.telling.clone()))
    }
}

/// What a subscription's resolver goes on from.
#[derive(Clone, Copy, Debug)]
pub struct Resume(pub Option<Position>);

/// The library's responses as a feed. What fails whole before anything was delivered ends the feed: the
/// subscription was refused, or could not begin.
pub fn feed(
    responses: impl Stream<Item = Response> + Send + 'static,
    telling: Telling,
) -> FeedStream {
    let items = responses.enumerate().map(move |(n, response)| {
        let failed = response
            .errors
            .first()
            .filter(|_| is_refusal(&response) || (n == 0 && response.data == Value::Null));
        match failed {
            Some(error) => Err(fault_of(error)),
            None => Ok(FeedItem {
                payload: telling.result(&response, None),
                position: None,
            }),
        }
    });
    Box::pin(items)
}
