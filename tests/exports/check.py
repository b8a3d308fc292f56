"""Has DuckDB read what was exported of real bus positions, and compares it with figures that were computed from
the reports themselves, without Daybook (scripts/truth/capmetro.py).

    check.py FOLDER TRUTH.json

FOLDER holds events.parquet, events.ndjson and the read model positions as models/*.parquet. Every figure that differs
is named; then it ends with 1."""

import json
import sys
from pathlib import Path

import duckdb

TYPES = {
    "position": "BIGINT",
    "event_id": "UUID",
    "sequence": "BIGINT",
    "recorded_at": "TIMESTAMP WITH TIME ZONE",
    "payload": "JSON",
    "metadata": "JSON",
}


def main(folder, truth):
    kept, figures = truth["deduplicated"], []
    con = duckdb.connect()
    con.execute("set timezone = 'UTC'")
    for name in ("events", "models/positions", "models/latest_positions"):
        path = str(folder / f"{name}.parquet")
        con.execute(f"create view {Path(name).name} as select * from '{path}'")
    columns = {"aggregate_id": "VARCHAR", "event_type": "VARCHAR", **TYPES}
    con.execute(f"create view lines as select * from read_json('{folder / 'events.ndjson'}', columns = {columns})")

    def rows(sql):
        return [list(row) for row in con.execute(sql).fetchall()]

    def same(what, found, expected):
        figures.append(what)
        if found != expected:
            print(f"{what}: DuckDB reads {str(found)[:200]}, the truth is {str(expected)[:200]}", file=sys.stderr)
            return 1
        return 0

    types = {row[0]: row[1] for row in rows("describe events")}
    wrong = same("types of columns", {name: types.get(name) for name in TYPES}, TYPES)
    head = rows("select count(*), min(position), max(position), count(distinct event_id) from events")[0]
    wrong += same("positions without a gap", head, [head[0], 1, head[0], head[0]])
    both = "select position, event_id::varchar, aggregate_id, sequence, event_type, json(payload)::varchar"
    alike = f"select count(*) from ({both} from events intersect {both} from lines)"
    wrong += same("events that Parquet and NDJSON tell alike", rows(alike)[0][0], head[0])
    fixes = """select count(*), count(distinct id), round(min(lat), 6), round(max(lat), 6),
                      round(min(lon), 6), round(max(lon), 6)
               from (select payload->>'$.vehicleId' as id,
                            unnest(from_json(payload->'$.lat', '["double"]')) as lat,
                            unnest(from_json(payload->'$.lon', '["double"]')) as lon
                     from events where event_type = 'track.positions_reported')"""
    points = truth["valid_points_first_per_vehicle_and_time"]
    vehicles = len(kept["points_per_vehicle"])
    box = truth["bbox_valid"]["lat"] + truth["bbox_valid"]["lon"]
    found = rows(fixes)[0]
    wrong += same("fixes and vehicles in events", found[:2], [points, vehicles])
    within = found[2] >= box[0] and found[3] <= box[1] and found[4] >= box[2] and found[5] <= box[3]
    wrong += same("places in events within the box of the reports", within, True)
    wrong += same("fixes in the read model", rows("select count(*) from positions")[0][0], points)
    hours = """select strftime(date_trunc('hour', fix_time), '%Y-%m-%dT%H:%M:%SZ'), count(*),
                      count(distinct vehicle_id) from positions group by 1 order by 1"""
    wrong += same("fixes and vehicles an hour", rows(hours), sorted(kept["per_hour"]))
    each = "select vehicle_id, count(*) from positions group by 1 order by 1"
    wrong += same("fixes of each vehicle", rows(each), sorted(row[1:] for row in kept["points_per_vehicle"]))
    latest = """select vehicle_id, strftime(fix_time, '%Y-%m-%dT%H:%M:%SZ'), lat, lon
                from latest_positions order by 1"""
    wrong += same("where each vehicle was last", rows(latest), sorted(kept["latest_position"]))
    told = "agrees with the truth in" if wrong == 0 else f"differs from the truth in {wrong} of"
    print(f"DuckDB {duckdb.__version__} {told} {len(figures)} figures over {head[0]} events and {points} fixes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())))
