#!/usr/bin/env python3
"""What the bus positions add up to, computed without a line of Daybook: csv, datetime and h3.

    python3 -m venv v && v/bin/pip install h3==4.5.0
    v/bin/python scripts/truth/capmetro.py DIR                 print the answers for DIR/*.csv.gz
    v/bin/python scripts/truth/capmetro.py DIR --check FILE    compare with answers of others
    v/bin/python scripts/truth/capmetro.py DIR --write FILE    write them, every accepted cell and
                                                               hour

One CSV row is one point. A point is valid if it is finite, |lat| <= 90, |lon| <= 180 and not
exactly (0,0). `all_valid` counts each valid row; `deduplicated` keeps the first valid row in input
order (files in name order) per (vehicle, instant): what Daybook accepts. `duplicates_that_differ`
are valid rows left out of it that say something else than the row that was kept. Hours are UTC.
`latest_position`: greatest instant per vehicle; of equal instants the later row, in `deduplicated`
the first. `nearby`: the latest point per vehicle with as_of - window < t <= as_of, at most radius_m
away by haversine, R = 6371008.8 m. `h3_res8_by_parents` is the parent of the resolution 9 cell,
`h3_res8` encodes the point directly: the two differ, because a child cell is not wholly inside its
parent.
"""

import argparse
import collections
import csv
import datetime as dt
import gzip
import json
import math
import pathlib
import sys

import h3

EARTH_M = 6_371_008.8
NEARBY_FULL = {"as_of": "2015-09-06T19:00:00Z", "window_seconds": 600,
               "centre": [30.2672, -97.7431], "radius_m": 1000}

Point = collections.namedtuple("Point", "vehicle instant lat lon speed rest valid")


def read(directory):
    """Points in input order, rows per file, and rows equal in every column to an earlier one."""
    points, rows_per_file, seen, twins = [], {}, set(), 0
    for path in sorted(pathlib.Path(directory).glob("*.csv.gz")):
        name = path.name.removesuffix(".csv.gz")
        rows_per_file[name] = 0
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                rows_per_file[name] += 1
                whole = tuple(row.values())
                twins += whole in seen
                seen.add(whole)
                points.append(point(row))
    return points, rows_per_file, twins


def point(row):
    lat, lon = float(row["latitude"]), float(row["longitude"])
    instant = dt.datetime.fromisoformat(row["timestamp"]).astimezone(dt.timezone.utc)
    valid = (math.isfinite(lat) and math.isfinite(lon) and abs(lat) <= 90 and abs(lon) <= 180
             and (lat, lon) != (0.0, 0.0))
    rest = row["route_id"], row["trip_id"], row["trip_headsign"]
    return Point(row["vehicle_id"], instant, lat, lon, float(row["speed"]), rest, valid)


def first_per_vehicle_and_time(points):
    """The first point per vehicle and instant, and how many later ones differ from it."""
    first, differ = {}, 0
    for p in points:
        differ += first.setdefault((p.vehicle, p.instant), p) != p
    return list(first.values()), differ


def iso(t):
    return t.strftime("%Y-%m-%dT%H:%M:%SZ")


def hour(t):
    return t.strftime("%Y-%m-%dT%H:00:00Z")


def tally(points, cell_of, limit):
    """Points per cell, and points and distinct vehicles per (hour, cell)."""
    cells, hours = collections.Counter(), collections.defaultdict(lambda: [0, set()])
    for p in points:
        cell = cell_of(p)
        cells[cell] += 1
        entry = hours[hour(p.instant), cell]
        entry[0] += 1
        entry[1].add(p.vehicle)
    by_cell = sorted(cells.items(), key=lambda kv: (-kv[1], kv[0]))
    by_hour = sorted(([h, c, n, len(v)] for (h, c), (n, v) in hours.items()),
                     key=lambda r: (-r[2], r[0], r[1]))
    return len(cells), [list(kv) for kv in by_cell[:limit]], len(hours), by_hour[:limit]


def cells(points, limit):
    res9 = {p: h3.latlng_to_cell(p.lat, p.lon, 9) for p in set(points)}
    ways = {
        "h3_res8": lambda p: h3.latlng_to_cell(p.lat, p.lon, 8),
        "h3_res8_by_parents": lambda p: h3.cell_to_parent(res9[p], 8),
        "h3_res9": res9.__getitem__,
    }
    label = f"top{limit}_" if limit else ""
    out = {}
    for name, way in ways.items():
        n_cells, by_cell, n_hours, by_hour = tally(points, way, limit)
        out[f"{name}_distinct_cells"] = n_cells
        out[f"{name}_{label}cells"] = by_cell
        out[f"{name}_distinct_cell_hours"] = n_hours
        out[f"{name}_{label}cell_hours"] = by_hour
    return out


def per_hour(points):
    """Points, distinct vehicles, and the mean of the published speeds, per hour with points."""
    hours = collections.defaultdict(list)
    for p in points:
        hours[hour(p.instant)].append(p)
    counts = [[h, len(ps), len({p.vehicle for p in ps})] for h, ps in sorted(hours.items())]
    speeds = [[h, round(math.fsum(p.speed for p in ps) / len(ps), 6)]
              for h, ps in sorted(hours.items())]
    return counts, speeds


def per_vehicle(points, limit):
    counts = sorted(collections.Counter(p.vehicle for p in points).items(),
                    key=lambda kv: (-kv[1], kv[0]))
    ranked, rank = [], 0
    for i, (vehicle, n) in enumerate(counts):
        if i == 0 or n != counts[i - 1][1]:
            rank = i + 1
        ranked.append([rank, vehicle, n])
    return ranked[:limit]


def per_trip(points):
    """Points per vehicle and trip: tells which of several rows of one instant was kept."""
    counts = collections.Counter((p.vehicle, p.rest[1]) for p in points)
    return [[*key, n] for key, n in sorted(counts.items())]


def latest(points):
    """The point with the greatest instant per vehicle; of equal instants the later row."""
    at = {}
    for p in points:
        if p.vehicle not in at or p.instant >= at[p.vehicle].instant:
            at[p.vehicle] = p
    return sorted(at.values(), key=lambda p: p.vehicle)


def haversine_m(a_lat, a_lon, b_lat, b_lon):
    a_lat, a_lon, b_lat, b_lon = map(math.radians, (a_lat, a_lon, b_lat, b_lon))
    h = (math.sin((b_lat - a_lat) / 2) ** 2
         + math.cos(a_lat) * math.cos(b_lat) * math.sin((b_lon - a_lon) / 2) ** 2)
    return 2 * EARTH_M * math.asin(math.sqrt(h))


def nearby(points, question):
    as_of = dt.datetime.fromisoformat(question["as_of"])
    since = as_of - dt.timedelta(seconds=question["window_seconds"])
    inside = latest([p for p in points if since < p.instant <= as_of])
    hits = [(p.vehicle, haversine_m(*question["centre"], p.lat, p.lon)) for p in inside]
    hits = [[v, round(d, 1)] for v, d in hits if d <= question["radius_m"]]
    return question | {"vehicles_in_window": len(inside),
                       "hits": sorted(hits, key=lambda h: (h[1], h[0]))}


def block(points, limit):
    counts, speeds = per_hour(points)
    name = f"points_per_vehicle{f'_top{limit}' if limit else ''}"
    return cells(points, limit) | {"per_hour": counts, "mean_speed_per_hour": speeds,
                                   name: per_vehicle(points, limit)}


def positions(points):
    return [[p.vehicle, iso(p.instant), p.lat, p.lon] for p in latest(points)]


def answers(directory, question, limit):
    points, rows_per_file, twins = read(directory)
    valid = [p for p in points if p.valid]
    kept, differ = first_per_vehicle_and_time(valid)
    instants = [p.instant for p in points]
    return {
        "rows": len(points),
        "points": len(points),
        "distinct_vehicles": len({p.vehicle for p in points}),
        "time_min": iso(min(instants)),
        "time_max": iso(max(instants)),
        "points_at_0_0": sum((p.lat, p.lon) == (0.0, 0.0) for p in points),
        "invalid_or_0_0": len(points) - len(valid),
        "exact_duplicate_rows_beyond_first": twins,
        "rows_beyond_first_per_vehicle_and_time":
            len(points) - len(first_per_vehicle_and_time(points)[0]),
        "valid_points": len(valid),
        "valid_points_first_per_vehicle_and_time": len(kept),
        "duplicates_that_differ": differ,
        "bbox_valid": {axis: [min(v), max(v)] for axis, v in
                       (("lat", [p.lat for p in valid]), ("lon", [p.lon for p in valid]))},
        "all_valid": block(valid, 20) | {"latest_position": positions(valid),
                                            "nearby": nearby(valid, question)},
        "deduplicated": block(kept, limit) | {"points_per_vehicle_and_trip": per_trip(kept),
                                              "latest_position": positions(kept),
                                              "nearby": nearby(kept, question)},
        "rows_per_file": rows_per_file,
    }


def check(ours, theirs):
    """Compares every answer the other file has with ours; ours has more."""
    ours = ours | {
        "latest_position_per_vehicle_count": len(ours["all_valid"]["latest_position"]),
        "latest_position_first50_by_vehicle": ours["all_valid"]["latest_position"][:50],
        "nearby": ours["all_valid"]["nearby"],
    }
    wrong, compared = [], 0
    for key, value in theirs.items():
        pairs = value.items() if key in ("all_valid", "deduplicated") else [(None, value)]
        for inner, want in pairs:
            got = ours[key] if inner is None else ours[key][inner]
            compared += 1
            if got != want:
                wrong.append(f"{key}.{inner}: {str(got)[:200]} is not {str(want)[:200]}")
    return compared, wrong


def dump(value, out):
    """JSON with one row of a list a line: readable, and a change shows as a line."""
    def rows(v, pad):
        if isinstance(v, dict):
            inner = ",\n".join(f"{pad} {json.dumps(k)}: {rows(x, pad + ' ')}" for k, x in v.items())
            return f"{{\n{inner}\n{pad}}}"
        if isinstance(v, list) and v and isinstance(v[0], list):
            inner = ",\n".join(f"{pad} {json.dumps(x, separators=(',', ':'))}" for x in v)
            return f"[\n{inner}\n{pad}]"
        return json.dumps(v)
    out.write(rows(value, "") + "\n")


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("directory")
    args.add_argument("--check", metavar="FILE")
    args.add_argument("--write", metavar="FILE")
    args.add_argument("--nearby", metavar="JSON", type=json.loads, default=NEARBY_FULL)
    args = args.parse_args()
    if args.check:
        theirs = json.loads(pathlib.Path(args.check).read_text(encoding="utf-8"))
        compared, wrong = check(answers(args.directory, args.nearby, 20), theirs)
        print("\n".join(wrong) or f"{compared} answers compared, all equal")
        sys.exit(bool(wrong))
    found = answers(args.directory, args.nearby, None)
    if args.write:
        with open(args.write, "w", encoding="utf-8") as out:
            dump(found, out)
    else:
        dump(found, sys.stdout)


if __name__ == "__main__":
    main()
