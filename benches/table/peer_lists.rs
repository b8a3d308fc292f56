//! P8: the list of `cached` against other projects' GraphQL servers, each a process of its own.

use anyhow::ensure;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection as _, Executor};

use super::cached::{Ours, VEHICLES, rounds};
use super::measure::Round;
use super::peers::{self, Npm, Peer};
use super::report::{Goal, Row};
use super::served::url;
use super::stand::Stand;
use super::wire::Target;

/// The list as PostGraphile names things, in the order it takes by itself: that of the key.
const LIST: &str = "query($first: Int!) { allVehicles(first: $first) { nodes {
  rowId externalId vin plate name kind registeredAt version } } }";

/// A table of what the list shows and nothing else.
const TABLE: &str = "create schema peer; create table peer.vehicles (
    id text primary key, external_id text, vin text, plate text, name text, kind text,
    registered_at timestamptz not null, version integer not null)";

const FILL: &str = r#"insert into peer.vehicles
    select id, "externalId", vin, plate, name, kind, "registeredAt", version
    from jsonb_to_recordset($1::jsonb #> '{data,vehicles,nodes}') as v (
        id text, "externalId" text, vin text, plate text, name text, kind text,
        "registeredAt" timestamptz, version integer)"#;

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let named = |name, package| anyhow::Ok(format!("{name} {}", peers::version(package)?));
    let yoga_name = named("graphql-yoga", "graphql-yoga")?;
    let graphile_name = named("PostGraphile", "postgraphile")?;
    let [yoga_what, graphile_what, made_what] = [
        format!("kept list against {yoga_name}, a static list"),
        format!("kept list against {graphile_name}"),
        format!("list made each time against {graphile_name}"),
    ];
    let npm = match Npm::install().await {
        Ok(npm) => npm,
        Err(why) => {
            let what = [yoga_what, graphile_what, made_what];
            return Ok(what.iter().map(|what| Row::absent(what, &why)).collect());
        }
    };
    let (database, peers_in) = (stand.database().await?, stand.database().await?);
    let ours = Ours::start(stand, &database, "peer-lists").await?;
    let (yoga, yoga_peer) = yoga(stand, &npm, &ours).await?;
    let (graphile, graphile_peer) = graphile(&npm, &ours, &peers_in).await?;
    let row = async |what: String, ours: &Target, peer: &Target| {
        let rounds = rounds(stand, ours, peer).await?;
        anyhow::Ok(rounds.row(what, "/s", Goal::Shown, Round::rate))
    };
    let rows = vec![
        row(yoga_what, &ours.kept, &yoga).await?,
        row(graphile_what, &ours.kept, &graphile).await?,
        row(made_what, &ours.made, &graphile).await?,
    ];
    drop((yoga_peer, graphile_peer));
    ours.stop().await?;
    stand.drop_database(&database).await?;
    stand.drop_database(&peers_in).await?;
    Ok(rows)
}

/// The same document, answered with the same bytes of data.
async fn yoga(stand: &Stand, npm: &Npm, ours: &Ours) -> anyhow::Result<(Target, Peer)> {
    let file = stand.dir().join("peer-answer.json");
    std::fs::write(&file, &ours.answer)?;
    let peer = npm.start("yoga.mjs", &[&file.to_string_lossy()]).await?;
    let target = ours.other(&peer.said, peer.pid, &ours.body);
    let theirs = target.body().await?;
    // Ours goes on with the position it stands for, in its `extensions`.
    let data = theirs.strip_suffix(b"}").unwrap_or(&theirs);
    ensure!(
        ours.answer.starts_with(data),
        "yoga's list differs: {}",
        String::from_utf8_lossy(data)
    );
    Ok((target, peer))
}

/// The same vehicles, in the words of PostGraphile.
async fn graphile(
    npm: &Npm,
    ours: &Ours,
    database: &PgConnectOptions,
) -> anyhow::Result<(Target, Peer)> {
    let mut connection = database.connect().await?;
    connection.execute(TABLE).await?;
    let answer: Value = serde_json::from_slice(&ours.answer)?;
    sqlx::query(FILL)
        .bind(&answer)
        .execute(&mut connection)
        .await?;
    connection.execute("analyze peer.vehicles").await?;
    connection.close().await?;
    let peer = npm.start("postgraphile.mjs", &[&url(database)]).await?;
    let body = json!({ "query": LIST, "variables": { "first": VEHICLES } });
    let target = ours.other(&peer.said, peer.pid, &serde_json::to_vec(&body)?);
    let theirs: Value = serde_json::from_slice(&target.body().await?)?;
    let vins = |list: &Value| -> Vec<Value> {
        let nodes = list["nodes"].as_array().into_iter().flatten();
        nodes.map(|vehicle| vehicle["vin"].clone()).collect()
    };
    let listed = vins(&theirs["data"]["allVehicles"]);
    ensure!(
        listed.len() == VEHICLES && listed == vins(&answer["data"]["vehicles"]),
        "PostGraphile's list differs: {theirs}"
    );
    Ok((target, peer))
}
