//! The directory's tables, and how a delta gets into them.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::{FleetChange, VehicleChange};
use crate::Target;
use crate::latest::{Latest, said_at};
use crate::upsert::{Column, in_key_order, keep_later};

/// Statements that make the tables.
pub(super) fn ddl(target: &Target<'_>) -> Vec<String> {
    let generation = target.generation;
    let (vehicles, fleets) = (target.table("vehicles"), target.table("fleets"));
    let members = target.table("fleet_members");
    vec![
        format!(
            r#"create table if not exists {vehicles} (
                tenant            text collate "C" not null, -- whose
                vehicle_id        text collate "C" not null, -- the vehicle
                registered_at     timestamptz, -- recorded time of its registration
                on_first_report   boolean,     -- did a position report register it
                registered_pos    bigint not null default 0, -- position that said so
                external_id       text, -- profile: the id it reports under
                vin               text, -- profile: vehicle identification number
                plate             text, -- profile: licence plate
                name              text, -- profile: name for people
                kind              text, -- profile: the operator's word
                profile_pos       bigint not null default 0, -- position that said the profile
                retired_at        timestamptz, -- since when it is retired; null in service
                retired_reason    text,        -- why
                retired_pos       bigint not null default 0, -- position that retired or reinstated it
                version           bigint not null, -- version of its stream
                position          bigint not null, -- position of its last event
                primary key (tenant, vehicle_id))"#
        ),
        format!(
            "create index if not exists vehicles_g{generation}_external
             on {vehicles} (tenant, external_id)"
        ),
        format!(
            r#"create table if not exists {fleets} (
                tenant      text collate "C" not null, -- whose
                fleet_id    text collate "C" not null, -- the fleet
                created_at  timestamptz, -- recorded time of its creation
                name        text, -- its name
                name_pos    bigint not null default 0, -- position that said the name
                archived_at timestamptz, -- since when it is archived
                version     bigint not null, -- version of its stream
                position    bigint not null, -- position of its last event
                primary key (tenant, fleet_id))"#
        ),
        format!(
            r#"create table if not exists {members} (
                tenant     text collate "C" not null, -- whose
                fleet_id   text collate "C" not null, -- which fleet
                vehicle_id text collate "C" not null, -- which vehicle
                member     boolean not null, -- false once it has left: the last word stays
                position   bigint not null,  -- position that said so
                primary key (tenant, fleet_id, vehicle_id))"#
        ),
        format!(
            "create index if not exists fleet_members_g{generation}_vehicle
             on {members} (tenant, vehicle_id)"
        ),
    ]
}

/// Writes vehicles, each field by the later position.
pub(super) async fn vehicles(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<String, VehicleChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    let registered = |c: &VehicleChange| c.registered.as_ref().map(|r| r.value);
    let profile = |c: &VehicleChange| {
        c.profile
            .as_ref()
            .map(|p| p.value.clone())
            .unwrap_or_default()
    };
    let retired = |c: &VehicleChange| c.retired.as_ref().and_then(|r| r.value.clone());
    sqlx::query(&vehicles_sql(&target.table("vehicles")))
        .bind(target.tenant)
        .bind(column.keys())
        .bind(column.of(|c| registered(c).map(|(at, _)| at)))
        .bind(column.of(|c| registered(c).map(|(_, on_first_report)| on_first_report)))
        .bind(column.of(|c| said_at(&c.registered)))
        .bind(column.of(|c| profile(c).external_id))
        .bind(column.of(|c| profile(c).vin))
        .bind(column.of(|c| profile(c).plate))
        .bind(column.of(|c| profile(c).name))
        .bind(column.of(|c| profile(c).kind))
        .bind(column.of(|c| said_at(&c.profile)))
        .bind(column.of(|c| retired(c).map(|r| r.at)))
        .bind(column.of(|c| retired(c).and_then(|r| r.reason)))
        .bind(column.of(|c| said_at(&c.retired)))
        .bind(column.of(|c| c.version))
        .bind(column.of(|c| c.position))
        .execute(conn)
        .await?;
    Ok(())
}

fn vehicles_sql(table: &str) -> String {
    let later = [
        ("registered_pos", &["registered_at", "on_first_report"][..]),
        (
            "profile_pos",
            &["external_id", "vin", "plate", "name", "kind"],
        ),
        ("retired_pos", &["retired_at", "retired_reason"]),
    ]
    .map(|(said, columns)| keep_later("v", said, columns))
    .join(", ");
    format!(
        "insert into {table} as v
             (tenant, vehicle_id, registered_at, on_first_report, registered_pos, external_id, vin,
              plate, name, kind, profile_pos, retired_at, retired_reason, retired_pos, version,
              position)
         select $1, n.* from unnest(
             $2::text[], $3::timestamptz[], $4::bool[], $5::bigint[], $6::text[], $7::text[],
             $8::text[], $9::text[], $10::text[], $11::bigint[], $12::timestamptz[], $13::text[],
             $14::bigint[], $15::bigint[], $16::bigint[]) n
         on conflict (tenant, vehicle_id) do update set {later},
             version = greatest(v.version, excluded.version),
             position = greatest(v.position, excluded.position)"
    )
}

/// Writes fleets, each field by the later position.
pub(super) async fn fleets(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<String, FleetChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    let table = target.table("fleets");
    let later = keep_later("f", "name_pos", &["name"]);
    let statement = format!(
        "insert into {table} as f
             (tenant, fleet_id, created_at, name, name_pos, archived_at, version, position)
         select $1, n.* from unnest(
             $2::text[], $3::timestamptz[], $4::text[], $5::bigint[], $6::timestamptz[],
             $7::bigint[], $8::bigint[]) n
         on conflict (tenant, fleet_id) do update set {later},
             created_at = coalesce(f.created_at, excluded.created_at),
             archived_at = coalesce(f.archived_at, excluded.archived_at),
             version = greatest(f.version, excluded.version),
             position = greatest(f.position, excluded.position)"
    );
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(column.keys())
        .bind(column.of(|c| c.created.as_ref().map(|l| l.value)))
        .bind(column.of(|c| c.name.as_ref().map(|l| l.value.clone())))
        .bind(column.of(|c| said_at(&c.name)))
        .bind(column.of(|c| c.archived.as_ref().map(|l| l.value)))
        .bind(column.of(|c| c.version))
        .bind(column.of(|c| c.position))
        .execute(conn)
        .await?;
    Ok(())
}

/// Writes memberships; the last word wins.
pub(super) async fn members(
    conn: &mut PgConnection,
    target: &Target<'_>,
    members: HashMap<(String, String), Latest<bool>>,
) -> Result<(), sqlx::Error> {
    if members.is_empty() {
        return Ok(());
    }
    let members = in_key_order(members);
    let table = target.table("fleet_members");
    let statement = format!(
        "insert into {table} as m (tenant, fleet_id, vehicle_id, member, position)
         select $1, n.* from unnest($2::text[], $3::text[], $4::bool[], $5::bigint[]) n
         on conflict (tenant, fleet_id, vehicle_id) do update set
             member = excluded.member, position = excluded.position
         where m.position < excluded.position"
    );
    let column = Column(&members);
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(column.first_keys())
        .bind(column.second_keys())
        .bind(column.of(|m| m.value))
        .bind(column.of(|m| m.position))
        .execute(conn)
        .await?;
    Ok(())
}
