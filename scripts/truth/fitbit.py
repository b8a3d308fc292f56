#!/usr/bin/env python3
"""What days of Fitbit add up to, computed without a line of Daybook: csv, datetime and decimal.

    python3 scripts/truth/fitbit.py DIR                 print the answers for DIR/dailyActivity_merged.csv.gz
    python3 scripts/truth/fitbit.py DIR --check FILE    compare with answers of others
    python3 scripts/truth/fitbit.py DIR --write FILE    write them

One row is what one user did on one day. Sums are exact decimals, ranked as they are and told to six
places; cells that are empty are left out. Active minutes are the very and the fairly active ones. Ranks
are [rank, user, value] by value, then user, and those of equal value share one. Weeks are ISO weeks. A
streak is a run of days, one after the other, of at least 10,000 steps. `millimetres` is what others do
not tell: distances with each day rounded to whole millimetres, a half up.
"""

import argparse
import collections
import csv
import datetime as dt
import decimal
import gzip
import json
import pathlib
import sys

METRICS = {
    "steps": ["TotalSteps"],
    "calories": ["Calories"],
    "distance": ["TotalDistance"],
    "active_minutes": ["VeryActiveMinutes", "FairlyActiveMinutes"],
}
GOAL = 10_000
SIX = decimal.Decimal("0.000001")


def read(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield row["Id"], dt.datetime.strptime(row["ActivityDate"], "%m/%d/%Y").date(), row


def value(row, columns):
    cells = [decimal.Decimal(row[column]) for column in columns if row[column] != ""]
    return sum(cells) if cells else None


def ranked(sums, told=lambda v: float(v.quantize(SIX))):
    order = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    values = [v for _, v in order]
    return [[values.index(v) + 1, user, told(v)] for user, v in order]


def week(day):
    year, number, _ = day.isocalendar()
    return f"{year}-W{number:02}"


def sums(rows, of):
    overall, weeks = collections.Counter(), collections.defaultdict(collections.Counter)
    for user, day, row in rows:
        added = of(row)
        if added is not None:
            overall[user] += added
            weeks[week(day)][user] += added
    return overall, weeks


def millimetres(row):
    metres = value(row, ["TotalDistance"]) * 1_000_000
    return int(metres.to_integral_value(decimal.ROUND_HALF_UP))


def longest(days):
    best = run = 0
    for day in sorted(days):
        run = run + 1 if day - dt.timedelta(days=1) in days else 1
        best = max(best, run)
    return best


def answers(rows):
    told = {"users": len({user for user, _, _ in rows}), "rows": len(rows)}
    for metric, columns in METRICS.items():
        overall, weeks = sums(rows, lambda row: value(row, columns))
        told[metric] = {
            "sum": float(sum(overall.values()).quantize(SIX)),
            "overall": ranked(overall),
            "per_iso_week": {key: ranked(weeks[key]) for key in sorted(weeks)},
        }
    overall, weeks = sums(rows, millimetres)
    told["millimetres"] = {
        "overall": ranked(overall, int),
        "per_iso_week": {key: ranked(weeks[key], int) for key in sorted(weeks)},
    }
    good = {user: set() for user, _, _ in rows}
    for user, day, row in rows:
        if value(row, ["TotalSteps"]) >= GOAL:
            good[user].add(day)
    told["days_with_10000_steps_rank"] = ranked({u: len(d) for u, d in good.items()}, int)
    told["longest_streak_10000_steps_rank"] = ranked({u: longest(d) for u, d in good.items()}, int)
    return told


def differences(ours, theirs, path=""):
    for key in ours:
        if key not in theirs:
            continue
        if isinstance(ours[key], dict):
            yield from differences(ours[key], theirs[key], f"{path}{key}.")
        elif ours[key] != theirs[key]:
            yield f"{path}{key}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--check", type=pathlib.Path)
    parser.add_argument("--write", type=pathlib.Path)
    args = parser.parse_args()
    decimal.getcontext().prec = 60
    told = answers(list(read(args.dir / "dailyActivity_merged.csv.gz")))
    if args.check:
        wrong = list(differences(told, json.loads(args.check.read_text())))
        print(*(wrong or ["equal"]), sep="\n")
        sys.exit(bool(wrong))
    text = json.dumps(told, separators=(",", ":"))
    if args.write:
        args.write.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
