//! Nodes over one database, subscribers of theirs, and what is written meanwhile.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Request, Variables};
use chrono::DateTime;
use daybook::api::fault::Fault;
use daybook::api::telling::Telling;
use daybook::api::{Api, FeedItem, FeedStream, Operation, Origin, Pages, Parts};
use daybook::auth::{Caller, Credential, Role};
use daybook::cache::Cache;
use daybook::commands::{CommandContext, Door, DoorSettings, IngestLogs};
use daybook::competitions::{Closer, Competitions};
use daybook::config::Settings;
use daybook::consumers::feed::FeedSettings;
use daybook::consumers::{ConsumerSettings, Consumers};
use daybook::deployments::{self, Deployments};
use daybook::leaderboards::Leaderboards;
use daybook::ops::Clock;
use daybook::slos::Slos;
use daybook::store::{Store, StoreSettings};
use domain::log_batch::LogReport;
use domain::user::{User, UserCommand};
use domain::vehicle::{Vehicle, VehicleCommand, VehicleProfile};
use domain::{Actor, ActorKind, Position};
use futures::StreamExt as _;
use projections::Reader;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{PATIENCE, TestDb, auth, shared_vault};

pub const TENANT: &str = "default";

/// Every event, and nothing but where it stands.
pub const EVENTS: &str = "subscription($after: Position) { events(after: $after) { position } }";

/// A process as far as the database can tell.
pub struct Node {
    pub store: Store,
    pub consumers: Consumers,
    pub api: Api,
    door: Door,
}

impl Node {
    pub async fn start(db: &TestDb) -> Node {
        Node::with(db, FeedSettings::default()).await
    }

    pub async fn with(db: &TestDb, feed: FeedSettings) -> Node {
        let settings = StoreSettings {
            poll_every_ms: 10,
            pool_max: 8,
            pool_min: 1,
            ..StoreSettings::default()
        };
        let options = db.options().application_name("daybook-unsafe");
        let store = Store::connect(options, settings).await.unwrap();
        let settings = ConsumerSettings {
            lease_ms: 600,
            poll_ms: 50,
            feed,
            ..ConsumerSettings::default()
        };
        let consumers = Consumers::start(store.clone(), projections::all(), settings)
            .await
            .unwrap();
        let door = Door::new(store.clone(), DoorSettings::default()).sealing(shared_vault(db));
        let defaults = Settings::default();
        let auth = auth(db, &store, &door).await;
        let reader = Reader::new(store.pool().clone());
        let foundation = deployments::Foundation {
            door: door.clone(),
            store: store.clone(),
            auth: auth.clone(),
            reader: reader.clone(),
            consumers: consumers.clone(),
            clock: Clock::system(),
        };
        let answering = (reader.clone(), consumers.clone());
        let closer = Closer::new(door.clone(), answering, Duration::from_secs(20));
        let cache = Cache::new(&defaults.cache, &defaults.redis, [0; 32]).unwrap();
        let parts = Parts {
            leaderboards: Leaderboards::new(&defaults.leaderboards, &cache, reader.clone()),
            competitions: Competitions::new(door.clone(), auth.clone(), closer),
            auth,
            deployments: Deployments::start(&defaults, foundation),
            slos: Slos::new(door.clone()),
            shows_links: false,
            reader,
            store: store.clone(),
            door: door.clone(),
            consumers: consumers.clone(),
            cache,
            clock: Clock::system(),
            read_wait: Duration::from_secs(20),
            turns: Arc::new(Semaphore::new(4)),
            turn_wait: Duration::from_secs(20),
            answers: defaults.cache.clone(),
            telling: Telling::new(&defaults.limits),
        };
        let api = Api::new(parts, false);
        Node {
            store,
            consumers,
            api,
            door,
        }
    }

    fn operation(&self, tenant: &str, roles: &[Role], at_least: Option<Position>) -> Operation {
        let caller = Caller {
            actor: actor(),
            tenant: tenant.into(),
            roles: roles.to_vec(),
            scopes: Vec::new(),
            credential: Credential::Token {
                id: "t".into(),
                session: None,
                issued_at: DateTime::UNIX_EPOCH,
            },
            suspended: false,
            expires_at: Clock::system().now() + Duration::from_secs(3_600),
        };
        let pages = Pages {
            default: 50,
            max: 200,
        };
        Operation::new(
            self.api.parts().clone(),
            caller.into(),
            Origin::default(),
            at_least,
            pages,
        )
    }

    /// Carries out a query or a mutation that must succeed, on all that has been written.
    pub async fn ask(&self, document: &str, variables: Value) -> Value {
        let told = self.try_ask(document, variables).await;
        told.unwrap_or_else(|fault| panic!("{document}: {fault:?}"))
    }

    /// Carries it out, on all that has been written, and tells the first fault if there is one.
    pub async fn try_ask(&self, document: &str, variables: Value) -> Result<Value, Fault> {
        let request = Request::new(document).variables(Variables::from_json(variables));
        let at_least = Some(Position(self.head().await));
        let operation = self.operation(TENANT, &[Role::Admin], at_least);
        let answer = self.api.execute(operation, request).await;
        match answer.response.errors.first() {
            Some(error) => Err(Fault::of_error(error)),
            None => Ok(answer.response.data.into_json().unwrap()),
        }
    }

    /// Subscribes as a viewer.
    pub async fn subscribe(&self, document: &str, variables: Value) -> Result<Feed, Fault> {
        self.subscribe_as(TENANT, &[Role::Viewer], document, variables, None)
            .await
    }

    pub async fn subscribe_as(
        &self,
        tenant: &str,
        roles: &[Role],
        document: &str,
        variables: Value,
        resume: Option<i64>,
    ) -> Result<Feed, Fault> {
        let request = Request::new(document).variables(Variables::from_json(variables));
        let operation = self.operation(tenant, roles, None);
        let stream = self
            .api
            .subscribe(operation, request, resume.map(|at| Position(at).into()))
            .await?;
        Ok(Feed(stream))
    }

    /// One event more.
    pub async fn register(&self, id: &str) -> Position {
        self.register_in(TENANT, id).await
    }

    pub async fn register_in(&self, tenant: &str, id: &str) -> Position {
        let context = CommandContext::new(tenant.into(), actor(), Clock::system().now());
        let command = VehicleCommand::Register {
            profile: VehicleProfile::default(),
            on_first_report: false,
        };
        let kept = self.door.execute::<Vehicle>(&context, id, command).await;
        kept.unwrap().position
    }

    /// Makes the one known who asks all this.
    pub async fn register_tester(&self) {
        let context = CommandContext::new(TENANT.into(), actor(), Clock::system().now());
        let command = UserCommand::Register {
            email: "tester@example.com".to_owned(),
            name: "Tester".to_owned(),
            roles: Default::default(),
            verified: true,
        };
        let id = actor().id;
        let kept = self.door.execute::<User>(&context, &id, command).await;
        kept.unwrap();
    }

    /// So many events more, one after the other.
    pub async fn register_many(&self, prefix: &str, count: usize) -> Position {
        let mut last = Position::START;
        for n in 0..count {
            last = self.register(&format!("{prefix}-{n}")).await;
        }
        last
    }

    /// So many log records more, in one batch; they are called `name_0`, `name_1`, `name_2`, and again.
    pub async fn log(&self, name: &str, records: usize) -> Position {
        self.log_in(TENANT, name, 3, records).await
    }

    /// The same of any tenant, with so many names.
    pub async fn log_in(&self, tenant: &str, name: &str, names: usize, records: usize) -> Position {
        let now = Clock::system().now();
        let record = |n: usize| {
            Ok(LogReport {
                timestamp: now.to_rfc3339(),
                event_type: "telemetry".to_owned(),
                event_name: format!("{name}_{}", n % names),
                ..LogReport::default()
            })
        };
        let batch = IngestLogs {
            source: "meter".to_owned(),
            records: (0..records).map(record).collect(),
            may_register: true,
        };
        let context = CommandContext::new(tenant.into(), actor(), now);
        let kept = self.door.ingest_logs(&context, batch).await;
        kept.unwrap().receipt.position
    }

    /// A vehicle reports where it was at this minute of a day.
    pub async fn report(&self, vehicle: &str, minute: u32, lat: f64, lon: f64) {
        self.report_all(vec![fix(vehicle, minute, lat, lon)]).await;
    }

    pub async fn report_all(&self, fixes: Vec<Value>) {
        let document = "mutation($input: ReportPositionsInput!) { reportPositions(input: $input) {
            rejected userErrors { code } } }";
        let told = self
            .ask(document, json!({ "input": { "fixes": fixes } }))
            .await;
        let expect = json!({ "rejected": 0, "userErrors": [] });
        assert_eq!(told["reportPositions"], expect);
    }

    pub async fn head(&self) -> i64 {
        self.store.head(TENANT).await.unwrap().0
    }
}

pub fn fix(vehicle: &str, minute: u32, lat: f64, lon: f64) -> Value {
    let time = format!("2016-01-04T{:02}:{:02}:00Z", minute / 60, minute % 60);
    json!({ "vehicle": vehicle, "fixTime": time, "lat": lat, "lon": lon, "speedMps": 4.5 })
}

fn actor() -> Actor {
    Actor {
        kind: ActorKind::User,
        id: "tester".into(),
    }
}

/// A subscriber.
pub struct Feed(pub FeedStream);

impl Feed {
    /// What comes next, whatever it is.
    pub async fn next(&mut self) -> Option<Result<FeedItem, Fault>> {
        tokio::time::timeout(PATIENCE, self.0.next())
            .await
            .expect("something in time")
    }

    /// The next item.
    pub async fn item(&mut self) -> Value {
        let item = self.next().await.expect("more").expect("an item");
        let body: Value = serde_json::from_slice(&item.payload).unwrap();
        let position = item.position.map(|p| Value::from(p.to_string()));
        assert_eq!(position.as_ref(), Some(&body["extensions"]["position"]));
        assert_eq!(body["errors"], Value::Null, "{body}");
        body["data"].clone()
    }

    /// The ids of the records of the next item of `logTail`.
    pub async fn records(&mut self) -> Vec<String> {
        let item = self.next().await.expect("more").expect("an item");
        let body: Value = serde_json::from_slice(&item.payload).unwrap();
        let records = body["data"]["logTail"]["records"]
            .as_array()
            .unwrap()
            .iter();
        records
            .map(|record| record["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The position of the next item of [`EVENTS`].
    pub async fn position(&mut self) -> i64 {
        let data = self.item().await;
        data["events"]["position"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// The positions of the next items.
    pub async fn positions(&mut self, count: usize) -> Vec<i64> {
        let mut positions = Vec::with_capacity(count);
        for _ in 0..count {
            positions.push(self.position().await);
        }
        positions
    }

    /// The fault it ends with.
    pub async fn fault(&mut self) -> Fault {
        let fault = loop {
            match self.next().await.expect("a fault before the end") {
                Ok(_) => {}
                Err(fault) => break fault,
            }
        };
        assert!(self.next().await.is_none(), "nothing comes after a fault");
        fault
    }
}

/// Opens another tenant's log.
pub async fn open_log(db: &TestDb, tenant: &str) {
    sqlx::query("insert into logs (tenant) values ($1)")
        .bind(tenant)
        .execute(db.pool())
        .await
        .unwrap();
}

/// Appends so many events in one transaction, as another process would.
pub async fn append_at_once(db: &TestDb, count: i64) -> i64 {
    let mut tx = projections::begin(db.pool(), "begin").await.unwrap();
    let head: i64 = sqlx::query_scalar(
        "update logs set position = position + $2 where tenant = $1 returning position",
    )
    .bind(TENANT)
    .bind(count)
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    sqlx::query(
        "insert into events
         select $1, p, 'fleet', 'bulk-' || p, 1, 'fleet.created', '1', gen_random_uuid(),
                clock_timestamp(), '{\"name\":\"Buses\"}', '{\"actor\":\"user:ann\",\"command_id\":\"c\"}'
         from generate_series($2::bigint, $3) p",
    )
    .bind(TENANT)
    .bind(head - count + 1)
    .bind(head)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    head
}
