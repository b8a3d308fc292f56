//! Where vehicles are and were: the latest fix of each, and every fix; and of each minute the newest fix
//! that was recorded in it.
//!
//! The delta is a bag of history rows and maxima, by (fix time, position, index) for each vehicle and by
//! fix time for each minute: associative and commutative.

mod latest;
mod history;
mod minutes;

pub use history::{FixKey, HistoryOrder, HistoryQuery, history};
pub use latest::{AsOf, LatestCursor, LatestFilter, LatestRow, latest};

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::track::{Fix, PositionsReported, TrackEvent};
use domain::{Event, Position, Recorded};
use serde_json::{Map, Value};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use self::minutes::Minutes;
use crate::copy::CopyRows;
use crate::{H3Cell, Poison, Projection, Target};

/// The read model's name.
pub const NAME: &str = "positions";

/// One accepted fix. Units: degrees (WGS 84), metres, metres per second.
#[derive(Clone, Debug, PartialEq)]
pub struct FixRow {
    /// Whose.
    pub vehicle_id: String,
    /// When the receiver had it.
    pub fix_time: DateTime<Utc>,
    /// Position of the event that carries it.
    pub position: Position,
    /// Its number in that event, from 0.
    pub index: i32,
    /// Latitude.
    pub lat: f64,
    /// Longitude.
    pub lon: f64,
    /// The base cell it lies in.
    pub cell: H3Cell,
    /// The reporter's own id of it.
    pub fix_id: Option<String>,
    /// When the device sent it, by the device's clock.
    pub device_time: Option<DateTime<Utc>>,
    /// Metres above the ellipsoid.
    pub altitude_m: Option<f64>,
    /// Speed over ground.
    pub speed_mps: Option<f64>,
    /// Course over ground, degrees clockwise from north.
    pub course_deg: Option<f64>,
    /// Radius of 68 % confidence.
    pub accuracy_m: Option<f64>,
    /// Satellites used.
    pub satellites: Option<u16>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f64>,
    /// Anything else, as reported.
    pub attributes: Map<String, Value>,
}

impl FixRow {
    /// The newest fix an event reports; `None` if it reports none, or none on earth.
    pub fn newest_of(event: &Recorded<Event>) -> Option<FixRow> {
        let (reported, index) = newest(event)?;
        let fix = reported.fixes.get(usize::try_from(index).ok()?)?;
        Some(FixRow {
            vehicle_id: reported.vehicle_id.clone(),
            fix_time: fix.fix_time,
            position: event.position,
            index,
            lat: fix.lat,
            lon: fix.lon,
            cell: H3Cell::of(fix.lat, fix.lon)?,
            fix_id: fix.fix_id.clone(),
            device_time: fix.device_time,
            altitude_m: fix.altitude_m,
            speed_mps: fix.speed_mps,
            course_deg: fix.course_deg,
            accuracy_m: fix.accuracy_m,
            satellites: fix.satellites,
            hdop: fix.hdop,
            attributes: (*fix.attributes).clone(),
        })
    }

    /// Its place in time order.
    pub fn key(&self) -> FixKey {
        FixKey {
            fix_time: self.fix_time,
            position: self.position,
            index: self.index,
        }
    }

    /// Reads the columns of [`COLUMNS`].
    pub(crate) fn read(row: &PgRow) -> Result<FixRow, sqlx::Error> {
        let attributes: Option<Json<Map<String, Value>>> = row.try_get("attributes")?;
        let satellites: Option<i32> = row.try_get("satellites")?;
        Ok(FixRow {
            vehicle_id: row.try_get("vehicle_id")?,
            fix_time: row.try_get("fix_time")?,
            position: Position(row.try_get("position")?),
            index: row.try_get("idx")?,
            lat: row.try_get("lat")?,
            lon: row.try_get("lon")?,
            cell: H3Cell::from_stored(row.try_get("cell")?)
                .map_err(|e| sqlx::Error::Decode(e.into()))?,
            fix_id: row.try_get("fix_id")?,
            device_time: row.try_get("device_time")?,
            altitude_m: row.try_get("altitude_m")?,
            speed_mps: row.try_get("speed_mps")?,
            course_deg: row.try_get("course_deg")?,
            accuracy_m: row.try_get("accuracy_m")?,
            satellites: satellites
                .map(u16::try_from)
                .transpose()
                .map_err(|e| sqlx::Error::Decode(e.into()))?,
            hdop: row.try_get("hdop")?,
            attributes: attributes.map(|json| json.0).unwrap_or_default(),
        })
    }
}

/// The report an event is, and the number of its newest fix: of two of one time the later one.
pub fn newest(event: &Recorded<Event>) -> Option<(&PositionsReported, i32)> {
    let Event::Track(TrackEvent::PositionsReported(reported)) = &event.event else {
        return None;
    };
    let fixes = (0..).zip(&reported.fixes);
    let (index, _) = fixes.max_by_key(|(index, fix): &(i32, &Fix)| (fix.fix_time, *index))?;
    Some((reported, index))
}

/// A fix's columns, the same in both tables.
pub(crate) const COLUMNS: &str = "tenant, vehicle_id, fix_time, position, idx, lat, lon, cell, \
     fix_id, device_time, altitude_m, speed_mps, course_deg, accuracy_m, satellites, hdop, attributes";
const COLUMNS_N: i16 = 17;

const COLUMNS_DDL: &str = r#"
    tenant      text collate "C" not null, -- whose log
    vehicle_id  text collate "C" not null, -- whose fix
    fix_time    timestamptz not null,      -- when the receiver had it
    position    bigint not null,           -- position of the event that carries it
    idx         integer not null,          -- its number in that event, from 0
    lat         double precision not null, -- degrees
    lon         double precision not null, -- degrees
    cell        bigint not null,           -- H3 index at resolution 9
    fix_id      text,                      -- the reporter's own id of it
    device_time timestamptz,               -- when the device sent it
    altitude_m  double precision,          -- above the ellipsoid
    speed_mps   double precision,          -- over ground
    course_deg  double precision,          -- clockwise from north
    accuracy_m  double precision,          -- 68 % radius
    satellites  integer,                   -- used
    hdop        double precision,          -- dilution of precision
    attributes  json compression lz4,      -- anything else, as reported; null if there is nothing
"#;

/// See the file's first lines.
pub(crate) struct Positions;

/// Fixes to add, and the latest of each vehicle among them.
#[derive(Default)]
pub(crate) struct Delta {
    history: CopyRows,
    latest: HashMap<String, Latest>,
    minutes: Minutes,
}

struct Latest {
    key: FixKey,
    cell: H3Cell,
    fix: Fix,
}

impl Projection for Positions {
    const NAME: &'static str = NAME;
    const VERSION: i32 = 2;
    const AGGREGATES: &'static [&'static str] = &["track"];
    const TABLES: &'static [&'static str] = &["positions", "latest_positions", "position_minutes"];
    type Delta = Delta;

    fn ddl(target: &Target<'_>) -> Vec<String> {
        let (history, latest) = (target.table("positions"), target.table("latest_positions"));
        let generation = target.generation;
        vec![
            format!(
                "create table if not exists {history} ({COLUMNS_DDL}
                 primary key (tenant, vehicle_id, fix_time, position, idx))"
            ),
            // The fixes behind a heat map's cell; a coarser cell is a range of base cells.
            format!(
                "create index if not exists positions_g{generation}_cell
                 on {history} (tenant, cell, fix_time)"
            ),
            // Room on each page, and no index on what changes, so that moving on is an update in place.
            format!(
                "create table if not exists {latest} ({COLUMNS_DDL}
                 primary key (tenant, vehicle_id)) with (fillfactor = 70)"
            ),
        ]
        .into_iter()
        .chain(minutes::ddl(target))
        .collect()
    }

    fn fold(delta: &mut Delta, event: &Recorded<Event>) -> Result<(), Poison> {
        let Event::Track(TrackEvent::PositionsReported(reported)) = &event.event else {
            return Ok(());
        };
        let mut newest: Option<(FixKey, H3Cell, &Fix)> = None;
        let mut attributes = AttributesText::default();
        delta.minutes.look(event, &reported.fixes);
        for (index, fix) in (0..).zip(&reported.fixes) {
            let cell = H3Cell::of(fix.lat, fix.lon).ok_or_else(|| not_a_place(event, index))?;
            let key = FixKey {
                fix_time: fix.fix_time,
                position: event.position,
                index,
            };
            delta.history.row(COLUMNS_N);
            delta.history.text(&event.tenant);
            delta.history.text(&reported.vehicle_id);
            add_fix(&mut delta.history, key, cell, fix);
            delta.history.text_or_null(attributes.of(fix));
            if newest.is_none_or(|(newest, _, _)| newest < key) {
                newest = Some((key, cell, fix));
            }
        }
        if let Some((key, cell, fix)) = newest {
            let fix = fix.clone();
            keep_later(
                &mut delta.latest,
                &reported.vehicle_id,
                Latest { key, cell, fix },
            );
        }
        Ok(())
    }

    fn merge(into: &mut Delta, from: Delta) {
        into.history.append(from.history);
        for (vehicle, latest) in from.latest {
            keep_later(&mut into.latest, &vehicle, latest);
        }
        into.minutes.merge(from.minutes);
    }

    fn rows(delta: &Delta) -> usize {
        delta.history.len()
    }

    async fn write<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Delta,
    ) -> Result<(), sqlx::Error> {
        delta
            .history
            .send(conn, &target.table("positions"), COLUMNS)
            .await?;
        write_latest(conn, target, delta.latest).await?;
        delta.minutes.write(conn, target).await
    }
}

/// An accepted fix has finite coordinates; a log that says otherwise is not to be folded further.
pub(crate) fn not_a_place(event: &Recorded<Event>, index: i32) -> Poison {
    Poison(format!(
        "fix {index} of the event at {} has no finite coordinates",
        event.position
    ))
}

fn keep_later(latest: &mut HashMap<String, Latest>, vehicle: &str, candidate: Latest) {
    match latest.get_mut(vehicle) {
        Some(kept) if kept.key >= candidate.key => {}
        Some(kept) => *kept = candidate,
        None => {
            latest.insert(vehicle.to_owned(), candidate);
        }
    }
}

/// Adds a fix's columns between the vehicle and the attributes.
fn add_fix(rows: &mut CopyRows, key: FixKey, cell: H3Cell, fix: &Fix) {
    rows.time(key.fix_time);
    rows.bigint(key.position.0);
    rows.integer(key.index);
    rows.double(fix.lat);
    rows.double(fix.lon);
    rows.bigint(cell.stored());
    rows.text_or_null(fix.fix_id.as_deref());
    rows.time_or_null(fix.device_time);
    rows.double_or_null(fix.altitude_m);
    rows.double_or_null(fix.speed_mps);
    rows.double_or_null(fix.course_deg);
    rows.double_or_null(fix.accuracy_m);
    rows.integer_or_null(fix.satellites.map(i32::from));
    rows.double_or_null(fix.hdop);
}

/// Attributes as JSON. Fixes of one trip share theirs: the text is made once for a run of them.
#[derive(Default)]
struct AttributesText<'a> {
    of: Option<&'a Map<String, Value>>,
    text: String,
}

impl<'a> AttributesText<'a> {
    /// The text of a fix's attributes; `None` if it has none.
    fn of(&mut self, fix: &'a Fix) -> Option<&str> {
        if fix.attributes.is_empty() {
            return None;
        }
        if !self.of.is_some_and(|of| std::ptr::eq(of, &*fix.attributes)) {
            self.of = Some(&fix.attributes);
            self.text = serde_json::to_string(&*fix.attributes)
                .expect("a map with text keys is always JSON");
        }
        Some(&self.text)
    }
}

/// Moves each vehicle on, never back: a late fix loses against the row that is there.
async fn write_latest(
    conn: &mut PgConnection,
    target: &Target<'_>,
    latest: HashMap<String, Latest>,
) -> Result<(), sqlx::Error> {
    if latest.is_empty() {
        return Ok(());
    }
    let mut latest: Vec<(String, Latest)> = latest.into_iter().collect();
    // In key order, so that two writers cannot wait for each other.
    latest.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let moved = moved_on();
    let table = target.table("latest_positions");
    let statement = format!(
        "insert into {table} as l ({COLUMNS})
         select $1, n.vehicle_id, n.fix_time, n.position, n.idx, n.lat, n.lon, n.cell, n.fix_id,
                n.device_time, n.altitude_m, n.speed_mps, n.course_deg, n.accuracy_m, n.satellites,
                n.hdop, n.attributes::json
         from unnest($2::text[], $3::timestamptz[], $4::bigint[], $5::int[], $6::float8[],
                     $7::float8[], $8::bigint[], $9::text[], $10::timestamptz[], $11::float8[],
                     $12::float8[], $13::float8[], $14::float8[], $15::int[], $16::float8[],
                     $17::text[])
              as n (vehicle_id, fix_time, position, idx, lat, lon, cell, fix_id, device_time,
                    altitude_m, speed_mps, course_deg, accuracy_m, satellites, hdop, attributes)
         on conflict (tenant, vehicle_id) do update set {moved}
         where (l.fix_time, l.position, l.idx)
             < (excluded.fix_time, excluded.position, excluded.idx)"
    );
    let column = Column(&latest);
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(
            latest
                .iter()
                .map(|(vehicle, _)| vehicle.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(column.of(|l| l.key.fix_time))
        .bind(column.of(|l| l.key.position.0))
        .bind(column.of(|l| l.key.index))
        .bind(column.of(|l| l.fix.lat))
        .bind(column.of(|l| l.fix.lon))
        .bind(column.of(|l| l.cell.stored()))
        .bind(column.of(|l| l.fix.fix_id.clone()))
        .bind(column.of(|l| l.fix.device_time))
        .bind(column.of(|l| l.fix.altitude_m))
        .bind(column.of(|l| l.fix.speed_mps))
        .bind(column.of(|l| l.fix.course_deg))
        .bind(column.of(|l| l.fix.accuracy_m))
        .bind(column.of(|l| l.fix.satellites.map(i32::from)))
        .bind(column.of(|l| l.fix.hdop))
        .bind(column.of(|l| AttributesText::default().of(&l.fix).map(str::to_owned)))
        .execute(conn)
        .await?;
    Ok(())
}

/// The latest fixes, turned into one array for each column.
struct Column<'a>(&'a [(String, Latest)]);

impl Column<'_> {
    fn of<T>(&self, value: impl Fn(&Latest) -> T) -> Vec<T> {
        self.0.iter().map(|(_, latest)| value(latest)).collect()
    }
}

/// `column = excluded.column` for every column that is not in the key.
fn moved_on() -> String {
    let columns = COLUMNS
        .split(", ")
        .filter(|c| *c != "tenant" && *c != "vehicle_id");
    columns
        .map(|c| format!("{c} = excluded.{c}"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{at, check_order_is_no_matter, deal, fix, reported, reports};

    fn latest_of(events: &[Recorded<Event>]) -> FixKey {
        let mut delta = Delta::default();
        for event in events {
            Positions::fold(&mut delta, event).expect("well-formed");
        }
        delta.latest["a"].key
    }

    #[test]
    fn the_latest_is_by_fix_time_then_by_place_in_the_log() {
        let check = |events: &[Recorded<Event>], expect: (i64, i64, i32)| {
            let (seconds, position, index) = expect;
            let expect = FixKey {
                fix_time: at(seconds),
                position: Position(position),
                index,
            };
            assert_eq!(latest_of(events), expect);
        };
        let here = |seconds| fix(seconds, 1.0, 2.0, None);
        check(
            &[reported(1, "a", vec![here(5), here(9), here(7)])],
            (9, 1, 1),
        );
        // Late fixes do not take it back.
        check(
            &[
                reported(1, "a", vec![here(9)]),
                reported(2, "a", vec![here(5)]),
            ],
            (9, 1, 0),
        );
        // On equal times the later place in the log.
        check(
            &[
                reported(1, "a", vec![here(9)]),
                reported(2, "a", vec![here(9)]),
            ],
            (9, 2, 0),
        );
        check(&[reported(1, "a", vec![here(9), here(9)])], (9, 1, 1));
    }

    proptest! {
        #[test]
        fn order_is_no_matter(events in reports(), deal in deal()) {
            check_order_is_no_matter::<Positions, _>(&events, &deal, |delta| {
                let latest: BTreeMap<_, _> =
                    delta.latest.into_iter().map(|(v, l)| (v, (l.key, l.cell, l.fix))).collect();
                (delta.history.sorted(), latest, delta.minutes)
            });
        }
    }
}
