#!/usr/bin/env python3
"""What GOV.UK's deployments of 2024 add up to, computed without a line of Daybook: csv and datetime.

    python3 scripts/truth/govuk.py DIR                 print the answers for DIR/*.csv.gz
    python3 scripts/truth/govuk.py DIR --check FILE    compare with answers of others
    python3 scripts/truth/govuk.py DIR --write FILE    write them

One row of deployments.csv.gz is one deployment of one service to one environment, in the order in
which they happened. A rollback is a production row whose two tags both read v<number>, the new number
being lower. What failed is, for each rollback, the latest earlier row of the same environment and
service whose new tag is the rollback's previous tag; recovery is the time between the two. One row of
changes.csv.gz is a commit that a production deployment brought in; a (service, commit) counts at its
first production deployment. Percentiles `_cont` interpolate at p (n - 1), `_disc` take the smallest
value whose share reaches p. Ranks are by value, then key, and those of equal value share one. Days,
ISO weeks and months are of UTC; `daybook` holds what is asked of the read model beyond that, by month
and by service, and the median of the days with a deployment over the whole weeks (from Monday).
"""

import argparse
import bisect
import collections
import csv
import datetime as dt
import gzip
import json
import math
import pathlib
import re
import statistics
import sys

HOUR, DAY, WEEK = 3_600, 86_400, 7 * 86_400
TAG = re.compile(r"v(\d+)")
YEAR = 2024


def read(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def time(text):
    return dt.datetime.fromisoformat(text).astimezone(dt.timezone.utc)


def seconds(early, late):
    return int((time(late) - time(early)).total_seconds())


def number(tag):
    match = TAG.fullmatch(tag)
    return int(match[1]) if match else None


def cont(ordered, p):
    at = p * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def disc(ordered, p):
    return ordered[max(math.ceil(round(p * len(ordered), 9)), 1) - 1]


def spread(values):
    ordered = sorted(values)
    if not ordered:
        return {"n": 0}
    out = {"n": len(ordered), "min": ordered[0]}
    out |= {f"p{round(100 * p)}_cont": round(cont(ordered, p), 3) for p in (0.5, 0.9, 0.95)}
    out |= {f"p{round(100 * p)}_disc": disc(ordered, p) for p in (0.5, 0.9)}
    return out | {"mean": round(math.fsum(ordered) / len(ordered), 3), "max": ordered[-1]}


def ranked(counts):
    ordered = sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))
    values = [-value for _, value in ordered]
    return [[bisect.bisect_left(values, -value) + 1, key, value] for key, value in ordered]


def days_of_year():
    day = dt.date(YEAR, 1, 1)
    while day.year == YEAR:
        yield day
        day += dt.timedelta(days=1)


def iso_week(day):
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def direction(row):
    """Back, forward, or not to be told: -1, 1 or None. The same number again is not back."""
    before, after = number(row["previous_tag"]), number(row["image_tag"])
    if before is None or after is None:
        return None
    return -1 if after < before else 1


def failures(production):
    """For each rollback the index of what failed, or None."""
    latest, found = {}, []
    for n, row in enumerate(production):
        if direction(row) == -1:
            found.append((n, latest.get((row["service"], row["previous_tag"]))))
        latest[row["service"], row["image_tag"]] = n
    return found


def firsts(rows):
    """The first row of each (service, change)."""
    first = {}
    for row in rows:
        first.setdefault((row["service"], row["change_sha"]), row)
    return list(first.values())


def leads(rows, since="committed_at"):
    return [seconds(row[since], row["deployed_at"]) for row in rows]


def changes(rows):
    first = firsts(rows)
    committed = leads(first)
    services = sorted({row["service"] for row in first})
    return {
        "rows": len(rows),
        "distinct_changes": len(first),
        "deployments_with_changes": len({(r["deployment_id"], r["service"]) for r in rows}),
        "negative_lead_times": sum(lead < 0 for lead in leads(rows)),
        "lead_time_seconds_first_deployment_committed": spread(committed),
        "lead_time_seconds_first_deployment_authored": spread(leads(first, "authored_at")),
        "lead_time_seconds_all_pairs_committed": spread(leads(rows)),
        "within_1h": sum(lead <= HOUR for lead in committed),
        "within_24h": sum(lead <= DAY for lead in committed),
        "within_7d": sum(lead <= WEEK for lead in committed),
        "by_service": {s: spread(leads([r for r in first if r["service"] == s]))
                       for s in services},
    }


def promotions(rows):
    """Seconds from a tag's first row in integration to its first in production."""
    first = {}
    for row in rows:
        key = row["environment"], row["service"], row["image_tag"]
        first.setdefault(key, row["deployed_at"])
    spans = []
    for (environment, service, tag), at in first.items():
        before = first.get(("integration", service, tag))
        if environment == "production" and before and seconds(before, at) >= 0:
            spans.append(seconds(before, at))
    return spans


def beyond(production, failed, carried):
    """What the read model is asked: the whole year, by month and by service."""
    first = firsts(carried)

    def block(keep):
        mine = [n for n, row in enumerate(production) if keep(row)]
        rollbacks = [n for n in mine if direction(production[n]) == -1]
        broken = [(seconds(production[n]["deployed_at"], production[back]["deployed_at"]))
                  for back, n in failed if n is not None and keep(production[n])]
        lead = sorted(leads([row for row in first if keep(row)]))
        percentiles = [round(cont(lead, p), 3) for p in (0.5, 0.75, 0.9, 0.95)] if lead else None
        return {
            "deployments": len(mine),
            "days_with_one": len({production[n]["deployed_at"][:10] for n in mine}),
            "rollbacks": len(rollbacks),
            "failed": len(broken),
            "recovery_p50": cont(sorted(broken), 0.5) if broken else None,
            "changes": len(lead),
            "lead_p50_p75_p90_p95": percentiles,
        }

    with_one = {row["deployed_at"][:10] for row in production}
    weeks = collections.Counter(iso_week(day) for day in days_of_year())
    whole = [week for week, n in weeks.items() if n == 7]
    per_week = [sum(iso_week(day) == week and day.isoformat() in with_one
                    for day in days_of_year()) for week in whole]
    months = [f"{YEAR}-{month:02}" for month in range(1, 13)]
    services = sorted({row["service"] for row in production})
    return {
        "year": block(lambda row: True),
        "median_days_per_week": statistics.median(per_week),
        "by_month": {m: block(lambda row, m=m: row["deployed_at"][:7] == m) for m in months},
        "by_service": {s: block(lambda row, s=s: row["service"] == s) for s in services},
    }


def recoveries(production, failed):
    rows = []
    for back, n in failed:
        if n is None:
            continue
        was, undo = production[n], production[back]
        rows.append([seconds(was["deployed_at"], undo["deployed_at"]), undo["service"],
                     was["deployed_at"], undo["deployed_at"], undo["previous_tag"],
                     undo["image_tag"]])
    return sorted(rows, key=lambda row: (row[3], row[1]))


def answers(directory):
    rows = read(pathlib.Path(directory) / "deployments.csv.gz")
    carried = read(pathlib.Path(directory) / "changes.csv.gz")
    production = [row for row in rows if row["environment"] == "production"]
    per_day = collections.Counter(row["deployed_at"][:10] for row in production)
    per_day = [[day.isoformat(), per_day[day.isoformat()]] for day in days_of_year()]
    per_week = collections.Counter(iso_week(time(r["deployed_at"]).date()) for r in production)
    per_month = collections.Counter((r["environment"], r["deployed_at"][:7]) for r in rows)
    ways = collections.Counter(direction(row) for row in production)
    failed = failures(production)
    broken = recoveries(production, failed)
    spans = [row[0] for row in broken]
    distinct = {n for _, n in failed if n is not None}
    authors = collections.Counter(row["author"] for row in rows if "author" in row)
    return {
        "rows": len(rows),
        "distinct_deployment_ids": len({row["deployment_id"] for row in rows}),
        "distinct_services": len({row["service"] for row in rows}),
        "per_environment": dict(sorted(collections.Counter(
            row["environment"] for row in rows).items())),
        "per_environment_per_month": [[list(key), n] for key, n in sorted(per_month.items())],
        "by_author_top10": [list(kv) for kv in sorted(
            authors.items(), key=lambda kv: (-kv[1], kv[0]))[:10]],
        "production_deployments": len(production),
        "production_per_day": per_day,
        "production_per_day_mean_over_calendar_days": round(len(production) / len(per_day), 6),
        "production_per_day_median_over_calendar_days":
            float(statistics.median(n for _, n in per_day)),
        "days_with_production_deployment": sum(n > 0 for _, n in per_day),
        "production_per_iso_week": [list(kv) for kv in sorted(per_week.items())],
        "production_by_service_rank": ranked(collections.Counter(
            row["service"] for row in production)),
        "rollbacks": ways[-1],
        "forward": ways[1],
        "not_comparable": ways[None],
        "rollbacks_without_matching_failed_deployment": sum(n is None for _, n in failed),
        "failed_deployments": len(distinct),
        "change_failure_rate_failed_over_non_rollback":
            round(len(distinct) / (len(production) - ways[-1]), 6),
        "rollbacks_over_all_production": round(ways[-1] / len(production), 6),
        "recovery_seconds": spread(spans),
        "recovered_within_1h": sum(span <= HOUR for span in spans),
        "recovered_within_24h": sum(span <= DAY for span in spans),
        "recoveries": broken,
        "failed_by_service_rank": ranked(collections.Counter(
            production[n]["service"] for n in distinct)),
        "promotion_seconds_integration_to_production": spread(promotions(rows)),
        "changes": changes(carried),
        "daybook": beyond(production, failed, carried),
    }


def leaves(value, path=()):
    """Every number and text of an answer with its place; a list counts as one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield ".".join(path), value


def check(ours, theirs):
    """Compares every answer the other file has; a list may be the beginning of ours."""
    mine, wrong, compared = dict(leaves(ours)), [], 0
    for place, want in leaves(theirs):
        got = mine.get(place)
        if isinstance(want, list) and isinstance(got, list):
            got = got[:len(want)]
        compared += 1
        if got != want:
            wrong.append(f"{place}: {str(got)[:200]} is not {str(want)[:200]}")
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
    args = args.parse_args()
    found = answers(args.directory)
    if args.check:
        theirs = json.loads(pathlib.Path(args.check).read_text(encoding="utf-8"))
        compared, wrong = check(found, theirs)
        print("\n".join(wrong) or f"{compared} answers compared, all equal")
        sys.exit(bool(wrong))
    if args.write:
        with open(args.write, "w", encoding="utf-8") as out:
            dump(found, out)
    else:
        dump(found, sys.stdout)


if __name__ == "__main__":
    main()
