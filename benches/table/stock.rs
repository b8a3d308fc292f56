//! A stock async-graphql schema with the subscription that lines compare ours with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_graphql::{EmptyMutation, Object, Schema, SimpleObject, Subscription};
use async_graphql_axum::GraphQLSubscription;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use futures::{Stream, stream};
use tokio::sync::broadcast;

use super::traffic::now;

/// Events that may wait for the slowest subscriber.
const WAITING_MAX: usize = 1_024;

/// An event as a stock schema shows it.
#[derive(Clone, SimpleObject)]
pub struct Event {
    position: String,
    #[graphql(name = "type")]
    event_type: String,
    aggregate_type: String,
    aggregate_id: String,
    sequence: i32,
    recorded_at: String,
}

impl Event {
    /// A vehicle was registered.
    pub fn registered(position: u64, vehicle: String) -> Event {
        Event {
            position: position.to_string(),
            event_type: "vehicle.registered".to_owned(),
            aggregate_type: "vehicle".to_owned(),
            aggregate_id: vehicle,
            sequence: 1,
            recorded_at: now().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        }
    }
}

/// The root that a schema cannot be without.
pub struct Query;

#[Object]
impl Query {
    async fn ok(&self) -> bool {
        true
    }
}

/// Whatever is sent goes to all who subscribe.
pub struct Feed(broadcast::Sender<Event>);

#[Subscription]
impl Feed {
    async fn events(&self) -> impl Stream<Item = Event> {
        stream::unfold(self.0.subscribe(), |mut events| async move {
            Some((events.recv().await.ok()?, events))
        })
    }
}

/// The schema, and where events go in.
pub fn schema() -> (Schema<Query, EmptyMutation, Feed>, broadcast::Sender<Event>) {
    let (events, _) = broadcast::channel(WAITING_MAX);
    let schema = Schema::build(Query, EmptyMutation, Feed(events.clone())).finish();
    (schema, events)
}

/// Subscriptions at `/graphql`; each POST to `/publish` is an event.
pub fn publisher() -> Router {
    #[derive(Clone)]
    struct Publishing(broadcast::Sender<Event>, Arc<AtomicU64>);
    async fn publish(State(to): State<Publishing>, vehicle: String) -> String {
        let position = to.1.fetch_add(1, Ordering::Relaxed) + 1;
        // An error means that nobody subscribes yet.
        let _ = to.0.send(Event::registered(position, vehicle));
        format!("{{\"position\":\"{position}\"}}")
    }
    let (schema, events) = schema();
    Router::new()
        .route("/publish", post(publish))
        .with_state(Publishing(events, Arc::default()))
        .route_service("/graphql", GraphQLSubscription::new(schema))
}
