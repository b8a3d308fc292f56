//! Reading the directory: one vehicle, one fleet, and lists of them.

use chrono::{DateTime, Utc};
use domain::Position;
use domain::vehicle::VehicleProfile;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::NAME;
use crate::{Page, ReadError, Snapshot};

/// A registered vehicle.
#[derive(Clone, Debug, PartialEq)]
pub struct VehicleRow {
    /// Its id.
    pub id: String,
    /// What is known about it.
    pub profile: VehicleProfile,
    /// When it was registered (recorded time).
    pub registered_at: DateTime<Utc>,
    /// True when a position report registered it.
    pub on_first_report: bool,
    /// Since when it is retired; `None` while in service.
    pub retired_at: Option<DateTime<Utc>>,
    /// Why it was retired, if it is and someone said so.
    pub retired_reason: Option<String>,
    /// Ids of the fleets it is a member of, ascending.
    pub fleets: Vec<String>,
    /// Version of its stream.
    pub version: i64,
    /// Position of its last event.
    pub position: Position,
}

/// Which vehicles; conditions add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VehicleFilter {
    /// Members of this fleet.
    pub fleet_id: Option<String>,
    /// Retired or in service.
    pub retired: Option<bool>,
    /// The one with this external id.
    pub external_id: Option<String>,
    /// Those whose id, external id, VIN, plate or name contains this text, whatever its case.
    pub text: Option<String>,
}

/// A fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetRow {
    /// Its id.
    pub id: String,
    /// Its latest name.
    pub name: String,
    /// When it was created (recorded time).
    pub created_at: DateTime<Utc>,
    /// Since when it is archived.
    pub archived_at: Option<DateTime<Utc>>,
    /// How many vehicles are members.
    pub vehicles: i64,
    /// How many of them are not retired.
    pub vehicles_in_service: i64,
    /// Version of its stream.
    pub version: i64,
    /// Position of its last event.
    pub position: Position,
}

/// One vehicle by id.
pub async fn vehicle(snap: &mut Snapshot, id: &str) -> Result<Option<VehicleRow>, ReadError> {
    let mut sql = select_vehicles(snap)?;
    sql.push(" and v.vehicle_id = ").push_bind(id);
    let row = sql.build().fetch_optional(snap.connection()).await?;
    Ok(row.as_ref().map(read_vehicle).transpose()?)
}

/// Vehicles by ascending id, those after `after`, at most `first`.
pub async fn vehicles(
    snap: &mut Snapshot,
    filter: &VehicleFilter,
    after: Option<&str>,
    first: u32,
) -> Result<Page<VehicleRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select_vehicles(snap)?;
    if let Some(fleet) = &filter.fleet_id {
        push_member_of(&mut sql, snap, "v.vehicle_id", fleet)?;
    }
    if let Some(retired) = filter.retired {
        sql.push(" and (v.retired_at is not null) = ")
            .push_bind(retired);
    }
    if let Some(external_id) = &filter.external_id {
        sql.push(" and v.external_id = ").push_bind(external_id);
    }
    if let Some(text) = &filter.text {
        // A line break between the fields, so that no match spans two of them.
        sql.push(
            " and concat_ws(E'\\n', v.vehicle_id, v.external_id, v.vin, v.plate, v.name) ilike ",
        );
        sql.push_bind(contains_pattern(text));
    }
    if let Some(after) = after {
        sql.push(" and v.vehicle_id > ").push_bind(after);
    }
    sql.push(" order by v.vehicle_id limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let vehicles = rows
        .iter()
        .map(read_vehicle)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(vehicles, first, as_of))
}

/// One fleet by id.
pub async fn fleet(snap: &mut Snapshot, id: &str) -> Result<Option<FleetRow>, ReadError> {
    let mut sql = select_fleets(snap)?;
    sql.push(" and f.fleet_id = ").push_bind(id);
    let row = sql.build().fetch_optional(snap.connection()).await?;
    Ok(row.as_ref().map(read_fleet).transpose()?)
}

/// Fleets by ascending id, those after `after`, at most `first`.
pub async fn fleets(
    snap: &mut Snapshot,
    after: Option<&str>,
    first: u32,
) -> Result<Page<FleetRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select_fleets(snap)?;
    if let Some(after) = after {
        sql.push(" and f.fleet_id > ").push_bind(after);
    }
    sql.push(" order by f.fleet_id limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let fleets = rows.iter().map(read_fleet).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(fleets, first, as_of))
}

/// Adds `and <vehicle> is a member of the fleet`.
pub(crate) fn push_member_of(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    vehicle: &str,
    fleet: &str,
) -> Result<(), ReadError> {
    let members = snap.name(NAME, "fleet_members")?;
    sql.push(format!(
        " and {vehicle} in (select m.vehicle_id from {members} m where m.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned())
        .push(" and m.fleet_id = ")
        .push_bind(fleet.to_owned());
    sql.push(" and m.member)");
    Ok(())
}

fn select_vehicles<'q>(snap: &Snapshot) -> Result<QueryBuilder<'q, Postgres>, ReadError> {
    let vehicles = snap.name(NAME, "vehicles")?;
    let members = snap.name(NAME, "fleet_members")?;
    let mut sql = QueryBuilder::new(format!(
        "select v.vehicle_id, v.registered_at, v.on_first_report, v.external_id, v.vin, v.plate,
                v.name, v.kind, v.retired_at, v.retired_reason, v.version, v.position,
                array(select m.fleet_id from {members} m
                      where m.tenant = v.tenant and m.vehicle_id = v.vehicle_id and m.member
                      order by m.fleet_id) as fleets
         from {vehicles} v where v.registered_at is not null and v.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

fn select_fleets<'q>(snap: &Snapshot) -> Result<QueryBuilder<'q, Postgres>, ReadError> {
    let fleets = snap.name(NAME, "fleets")?;
    let vehicles = snap.name(NAME, "vehicles")?;
    let members = snap.name(NAME, "fleet_members")?;
    let mut sql = QueryBuilder::new(format!(
        "select f.fleet_id, f.name, f.created_at, f.archived_at, f.version, f.position,
                n.vehicles, n.vehicles_in_service
         from {fleets} f cross join lateral (
             select count(*) as vehicles,
                    count(*) filter (where v.retired_at is null) as vehicles_in_service
             from {members} m join {vehicles} v using (tenant, vehicle_id)
             where m.tenant = f.tenant and m.fleet_id = f.fleet_id and m.member) n
         where f.created_at is not null and f.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

fn read_vehicle(row: &PgRow) -> Result<VehicleRow, sqlx::Error> {
    Ok(VehicleRow {
        id: row.try_get("vehicle_id")?,
        profile: VehicleProfile {
            external_id: row.try_get("external_id")?,
            vin: row.try_get("vin")?,
            plate: row.try_get("plate")?,
            name: row.try_get("name")?,
            kind: row.try_get("kind")?,
        },
        registered_at: row.try_get("registered_at")?,
        on_first_report: row.try_get("on_first_report")?,
        retired_at: row.try_get("retired_at")?,
        retired_reason: row.try_get("retired_reason")?,
        fleets: row.try_get("fleets")?,
        version: row.try_get("version")?,
        position: Position(row.try_get("position")?),
    })
}

fn read_fleet(row: &PgRow) -> Result<FleetRow, sqlx::Error> {
    Ok(FleetRow {
        id: row.try_get("fleet_id")?,
        name: row.try_get("name")?,
        created_at: row.try_get("created_at")?,
        archived_at: row.try_get("archived_at")?,
        vehicles: row.try_get("vehicles")?,
        vehicles_in_service: row.try_get("vehicles_in_service")?,
        version: row.try_get("version")?,
        position: Position(row.try_get("position")?),
    })
}

/// A LIKE pattern that matches texts which contain `text` as it stands.
fn contains_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_its_characters_literally() {
        let check = |text: &str, expect: &str| assert_eq!(contains_pattern(text), expect);
        check("bus", "%bus%");
        check("50%_", r"%50\%\_%");
        check(r"a\b", r"%a\\b%");
    }
}
