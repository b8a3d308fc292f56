//! A small schema with everything a transport has to carry, and the engine that serves it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use async_graphql::connection::{Connection, Edge, EmptyFields};
use async_graphql::{Error, Object, Request, Response, Schema, SimpleObject, Subscription, Value};
use chrono::{DateTime, TimeDelta};
use daybook::api::Answer;
use daybook::api::fault::{Fault, FaultCode};
use daybook::api::feed::{FeedItem, FeedStream, Mark};
use daybook::api::telling::{Telling, is_refusal};
use daybook::auth::{Admission, Caller, Credential, NotAdmitted, Role, Shown};
use daybook::config::Settings;
use daybook::http::{Asking, Credentials, Engine};
use daybook::ops::Clock;
use domain::{Actor, ActorKind, Position};
use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};

/// Serves the schema and counts what reaches it.
pub struct TestEngine {
    schema: Schema<Query, Mutation, Feeds>,
    telling: Telling,
    clock: Clock,
    executed: AtomicUsize,
    live: Arc<AtomicUsize>,
}

impl TestEngine {
    pub fn new(settings: &Settings, clock: Clock) -> TestEngine {
        TestEngine {
            schema: Schema::build(Query, Mutation::default(), Feeds).finish(),
            telling: Telling::new(&settings.limits),
            clock,
            executed: AtomicUsize::new(0),
            live: Arc::default(),
        }
    }

    /// How many operations have come this far.
    pub fn executed(&self) -> usize {
        self.executed.load(Ordering::Relaxed)
    }

    /// How many subscriptions are open.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }
}

/// The library's responses as a feed. What fails whole at the start was refused, or could not begin.
fn feed(responses: impl Stream<Item = Response> + Send + 'static, telling: Telling) -> FeedStream {
    let items = responses.enumerate().map(move |(n, response)| {
        let failed = response
            .errors
            .first()
            .filter(|_| is_refusal(&response) || (n == 0 && response.data == Value::Null));
        match failed {
            Some(error) => Err(Fault::of_error(error)),
            None => Ok(FeedItem {
                payload: telling.result(&response, None).into(),
                position: None,
            }),
        }
    });
    Box::pin(items)
}

impl Engine for TestEngine {
    /// Nobody is asked for a token; `bad` is refused, `brief` expires soon, others are names.
    fn admit<'a>(&'a self, shown: Shown<'a>) -> Admission<'a> {
        let token = shown.bearer.unwrap_or("anyone");
        if token == "bad" {
            return Admission::Known(Err(NotAdmitted::Unauthenticated));
        }
        let ttl = match token {
            "brief" => TimeDelta::seconds(1),
            _ => TimeDelta::hours(1),
        };
        Admission::Known(Ok(Arc::new(Caller {
            actor: Actor {
                kind: ActorKind::User,
                id: token.into(),
            },
            tenant: "default".into(),
            roles: vec![Role::Admin],
            scopes: Vec::new(),
            credential: Credential::Token {
                id: token.into(),
                session: None,
                issued_at: DateTime::UNIX_EPOCH,
            },
            suspended: false,
            expires_at: self.clock.now() + ttl,
        })))
    }

    fn admit_later(&self, shown: Credentials) -> BoxFuture<'static, Result<Arc<Caller>, Fault>> {
        let known = match self.admit(shown.shown()) {
            Admission::Known(known) => known,
            Admission::Asking(_) => unreachable!("it knows everybody"),
        };
        let told = known.map_err(|_| Fault::of(FaultCode::Unauthenticated));
        async move { told }.boxed()
    }

    fn execute(&self, asking: Asking, request: Request) -> BoxFuture<'static, Answer> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        let schema = self.schema.clone();
        async move { Answer::new(schema.execute(request).await, asking.at_least) }.boxed()
    }

    fn subscribe(
        &self,
        _: Asking,
        request: Request,
        resume: Option<Mark>,
    ) -> BoxFuture<'static, Result<FeedStream, Fault>> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        self.live.fetch_add(1, Ordering::Relaxed);
        let items = match request.query.contains("journal") {
            true if request.query.contains("endless") => endless_journal(self.live.clone()),
            true => journal(resume.map_or(0, |mark| mark.position.0)),
            false => feed(self.schema.execute_stream(request), self.telling.clone()),
        };
        let counted: FeedStream = Box::pin(Counted {
            items,
            live: self.live.clone(),
        });
        async move { Ok(counted) }.boxed()
    }
}

/// Five items with their positions, after the one given; then it breaks off with where to go on.
fn journal(after: i64) -> FeedStream {
    let items = (after + 1..=5).map(|n| {
        Ok(FeedItem {
            payload: format!(r#"{{"data":{{"journal":{n}}}}}"#).into(),
            position: Some(Position(n).into()),
        })
    });
    let end = Err(Fault::of(FaultCode::Overloaded).with("position", "5"));
    Box::pin(stream::iter(items.chain([end])))
}

/// Items with their positions, as many as are taken, once three feeds are open.
fn endless_journal(live: Arc<AtomicUsize>) -> FeedStream {
    let filling = "x".repeat(1_000);
    let items = stream::iter(1..).map(move |n| {
        Ok(FeedItem {
            payload: format!(r#"{{"data":{{"n":{n},"filling":"{filling}"}}}}"#).into(),
            position: Some(Position(n).into()),
        })
    });
    let then = async move {
        while live.load(Ordering::Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        items
    };
    Box::pin(then.into_stream().flatten())
}

/// A feed that is counted while it is open.
struct Counted {
    items: FeedStream,
    live: Arc<AtomicUsize>,
}

impl Stream for Counted {
    type Item = Result<FeedItem, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<Self::Item>> {
        self.items.poll_next_unpin(cx)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

pub struct Query;

#[Object]
impl Query {
    async fn hello(&self) -> &str {
        "world"
    }
    async fn count(&self) -> i32 {
        7
    }
    async fn kept(&self) -> &str {
        "made anew"
    }
    async fn echo(&self, text: String) -> String {
        text
    }
    async fn fail(&self) -> Result<Option<i32>, Error> {
        let fault = Fault::new(FaultCode::BadRequest, "taken").with("code", "CONFLICT");
        Err(Error::new_with_source(fault))
    }
    async fn busy(&self) -> Result<i32, Error> {
        Err(Error::new_with_source(Fault::of(FaultCode::Overloaded)))
    }
    async fn broken(&self) -> i32 {
        "no number".parse().expect("planted, at /secret/place")
    }
    async fn endless(&self) -> i32 {
        std::future::pending().await
    }
    async fn big(&self, bytes: i32) -> String {
        "x".repeat(usize::try_from(bytes).unwrap_or_default())
    }
    async fn deep(&self) -> Query {
        Query
    }
    async fn ids(&self, ids: Vec<i32>) -> i32 {
        ids.len() as i32
    }
    async fn vehicles(
        &self,
        first: Option<i32>,
        after: Option<String>,
    ) -> Connection<i32, Vehicle, EmptyFields, EmptyFields> {
        let mut page = Connection::new(after.is_some(), true);
        let nodes = (0..first.unwrap_or(50)).map(|n| Edge::new(n, Vehicle { id: n.to_string() }));
        page.edges.extend(nodes);
        page
    }
}

#[derive(SimpleObject)]
struct Vehicle {
    id: String,
}

#[derive(Default)]
pub struct Mutation(AtomicI32);

#[Object]
impl Mutation {
    async fn increment(&self) -> i32 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
    async fn login(&self, password: String) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        password == "secret"
    }
    /// Takes a while, so that a stop comes in between.
    async fn increment_slowly(&self) -> i32 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

pub struct Feeds;

#[Subscription]
impl Feeds {
    async fn counter(&self, to: i32, every_ms: Option<i32>) -> impl Stream<Item = i32> {
        let pause = u64::try_from(every_ms.unwrap_or(0)).unwrap_or_default();
        stream::iter(1..=to).then(move |n| async move {
            if pause > 0 {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            n
        })
    }
    async fn denied(&self) -> Result<stream::Empty<i32>, Error> {
        Err(Error::new_with_source(Fault::of(FaultCode::Forbidden)))
    }
    async fn explodes(&self) -> impl Stream<Item = i32> {
        stream::iter(1..).map(|n| {
            assert!(n < 2, "planted, at /secret/place");
            n
        })
    }
    async fn firehose(&self) -> impl Stream<Item = String> {
        stream::repeat_with(|| "x".repeat(1_000))
    }
    async fn journal(&self) -> stream::Empty<i32> {
        stream::empty()
    }
    async fn quiet(&self) -> stream::Pending<i32> {
        stream::pending()
    }
}
