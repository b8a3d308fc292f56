//! Servers that others would write, each a process of its own: this program started with `--reference`.

use std::process::Stdio;

use anyhow::{Context, bail};
use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema, SimpleObject};
use async_graphql_axum::{GraphQLRequest, GraphQLResponse};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use daybook::ops::descriptors;
use projections::Reader;
use projections::vehicles::{self, VehicleFilter};
use sqlx::postgres::PgPoolOptions;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::stock::publisher;

/// The flag that makes this program such a server.
pub const FLAG: &str = "--reference";

/// How many files it may have open, if the system allows.
const OPEN_FILES: u64 = 20_000;

/// A running one; killed when dropped.
pub struct Reference {
    _child: Child,
    /// Where it listens.
    pub address: String,
    /// Its process.
    pub pid: u32,
}

impl Reference {
    /// Starts `bytes` (the same bytes for every POST, and `hello` for a GET) with the file that holds
    /// them, `stock` (async-graphql behind its own axum handler) with the address of a database, or
    /// `publisher` (its subscriptions).
    pub async fn start(kind: &str, argument: &str) -> anyhow::Result<Reference> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([FLAG, kind, argument]);
        command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let pid = child.id().context("it runs")?;
        let mut lines = BufReader::new(child.stdout.take().context("it is piped")?).lines();
        let address = lines.next_line().await?.context("it ended")?;
        Ok(Reference {
            _child: child,
            address,
            pid,
        })
    }
}

/// What a process started by [`Reference::start`] does.
pub async fn serve(kind: &str, argument: &str) -> anyhow::Result<()> {
    let router = match kind {
        "bytes" => bytes(std::fs::read(argument)?),
        "stock" => stock(argument).await?,
        "publisher" => publisher(),
        other => bail!("no reference is called {other}"),
    };
    descriptors::raise(OPEN_FILES);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

fn bytes(answer: Vec<u8>) -> Router {
    async fn same(
        State(answer): State<Bytes>,
        _: Bytes,
    ) -> ([(axum::http::HeaderName, &'static str); 1], Bytes) {
        ([(CONTENT_TYPE, "application/json")], answer)
    }
    Router::new()
        .route("/graphql", post(same))
        .route("/hello", get(|| async { "hello" }))
        .with_state(Bytes::from(answer))
}

/// The part of the schema that is asked, as its makers' books show it.
struct Query;

#[derive(SimpleObject)]
struct Vehicles {
    nodes: Vec<Vehicle>,
    as_of_position: String,
}

#[derive(SimpleObject)]
struct Vehicle {
    id: String,
    external_id: Option<String>,
    vin: Option<String>,
    plate: Option<String>,
    name: Option<String>,
    kind: Option<String>,
    registered_at: String,
    version: i64,
}

#[Object]
impl Query {
    async fn vehicles(
        &self,
        ctx: &async_graphql::Context<'_>,
        first: u32,
    ) -> async_graphql::Result<Vehicles> {
        let mut snapshot = ctx.data_unchecked::<Reader>().snapshot("default").await?;
        let filter = VehicleFilter::default();
        let page = vehicles::vehicles(&mut snapshot, &filter, None, first).await?;
        let vehicle = |row: vehicles::VehicleRow| Vehicle {
            id: row.id,
            external_id: row.profile.external_id,
            vin: row.profile.vin,
            plate: row.profile.plate,
            name: row.profile.name,
            kind: row.profile.kind,
            registered_at: row.registered_at.to_rfc3339(),
            version: row.version,
        };
        Ok(Vehicles {
            as_of_position: page.as_of.to_string(),
            nodes: page.items.into_iter().map(vehicle).collect(),
        })
    }
}

type Stock = Schema<Query, EmptyMutation, EmptySubscription>;

async fn stock(database: &str) -> anyhow::Result<Router> {
    async fn answer(State(schema): State<Stock>, request: GraphQLRequest) -> GraphQLResponse {
        schema.execute(request.into_inner()).await.into()
    }
    let pool = PgPoolOptions::new()
        .max_connections(25)
        .connect(database)
        .await?;
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription)
        .data(Reader::new(pool))
        .finish();
    Ok(Router::new()
        .route("/graphql", post(answer))
        .with_state(schema))
}
