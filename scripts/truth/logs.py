#!/usr/bin/env python3
"""What real log records add up to, computed without a line of Daybook: re, json and datetime.

    python3 scripts/truth/logs.py SET DIR                 print the answers for the files of DIR
    python3 scripts/truth/logs.py SET DIR --check FILE    compare with answers of others
    python3 scripts/truth/logs.py SET DIR --write FILE    write them

SET says how the files are read. `apache`: *.gz of access log lines in combined format; a quoted field
may hold \\", and the agent's closing quote may be missing. `kafka`: */*.gz of log4j lines; an entry
begins with [time,ms] LEVEL, other lines continue the entry above, the logger is what stands in the
last parentheses of the entry's first line. `gharchive`: *.json.gz, one reduced event a line. `k8s`:
*.ndjson.gz, one whole GitHub event a line. Files are read in the order of their names. Ranks are by
count, then key; those of equal count share one. Hours are of UTC, Kafka's as printed. Percentiles
`_cont` interpolate at p (n - 1), `_disc` take the smallest value whose share reaches p.
"""

import argparse
import collections
import datetime as dt
import gzip
import json
import math
import pathlib
import re
import sys

from govuk import check, dump

COMBINED = re.compile(
    r'(\S+) \S+ \S+ \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)'
    r' "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"?$'
)
ENTRY = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d):\d\d:\d\d,\d{3}\] ([A-Z]+) ")
LOGGER = re.compile(r"\(([^()]*)\)$")


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for line in file:
            yield line.rstrip("\n")


def counted(keys):
    """Counts by key, in the order of keys."""
    return sorted(collections.Counter(keys).items())


def by_pair(pairs):
    return [[list(pair), n] for pair, n in counted(pairs)]


def ranked(counts, most):
    """The most frequent keys: rank, key, count."""
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0].encode("utf-8", "surrogateescape")))
    return [[1 + sum(n > count for n in counts.values()), key, count] for key, count in order[:most]]


def utc(text):
    return text.strftime("%Y-%m-%dT%H:%M:%SZ")


def apache(directory):
    every = [line for path in sorted(directory.glob("*.gz")) for line in lines(path)]
    rows = [match.groups() for match in map(COMBINED.match, every) if match]
    times = [dt.datetime.strptime(row[1], "%d/%b/%Y:%H:%M:%S %z").astimezone(dt.UTC) for row in rows]
    requests = [row[2].split(" ") for row in rows]
    statuses = [row[3] for row in rows]
    count = collections.Counter
    return {
        "lines": len(every),
        "parsed": len(rows),
        "unparsed": len(every) - len(rows),
        "time_min": utc(min(times)),
        "time_max": utc(max(times)),
        "per_status": dict(counted(statuses)),
        "per_method": dict(counted(request[0] for request in requests)),
        "bytes_total": sum(int(row[4]) for row in rows if row[4] != "-"),
        "status_5xx": sum(status[0] == "5" for status in statuses),
        "status_4xx": sum(status[0] == "4" for status in statuses),
        "distinct_clients": len({row[0] for row in rows}),
        "top20_clients": ranked(count(row[0] for row in rows), 20),
        "top20_paths": ranked(count(request[1] for request in requests), 20),
        "per_hour": [[hour, n] for hour, n in counted(t.strftime("%Y-%m-%dT%H:00:00Z") for t in times)],
        "distinct_user_agents": len({row[6] for row in rows}),
    }


def kafka(directory):
    total = continued = early = 0
    entries, per_file = [], {}
    for path in sorted(directory.glob("*/*.gz")):
        broker, began = path.parent.name, len(entries)
        for line in lines(path):
            total += 1
            match = ENTRY.match(line)
            if match:
                logger = LOGGER.search(line)
                entries.append((broker, *match.groups(), logger.group(1) if logger else ""))
            elif len(entries) == began:
                early += 1
            else:
                continued += 1
        per_file[f"{broker}/{path.name.removesuffix('.gz')}"] = len(entries) - began
    return {
        "lines": total,
        "entries": len(entries),
        "continuation_lines": continued,
        "lines_before_first_entry": early,
        "per_level": dict(counted(e[2] for e in entries)),
        "per_broker_and_level": by_pair((e[0], e[2]) for e in entries),
        "per_hour_and_level": by_pair((e[1], e[2]) for e in entries),
        "top20_loggers": ranked(collections.Counter(e[3] for e in entries if e[3]), 20),
        "entries_per_file": per_file,
    }


def events(directory, pattern):
    return [json.loads(line) for path in sorted(directory.glob(pattern)) for line in lines(path)]


def gharchive(directory):
    rows = events(directory, "*.json.gz")
    order = sorted(rows, key=lambda r: (r["dt"], int(r["id"])))
    releases = [r["id"] for r in order if r["type"] == "release"]
    span = {"start_inclusive": "2015-02-22T21:10:00Z", "end_exclusive": "2015-02-22T21:20:00Z"}
    start, end = span.values()
    watched = [r["id"] for r in order if r["type"] == "watch" and start <= r["dt"] < end]
    minutes = collections.Counter(r["dt"][:16] for r in rows)
    pushed = collections.Counter()
    for row in rows:
        if row["type"] == "push":
            pushed[row["actor"]] += row.get("commits", 0)
    actor = "GoogleCodeExporter"
    return {
        "rows": len(rows),
        "distinct_ids": len({r["id"] for r in rows}),
        "distinct_actors": len({r["actor"] for r in rows}),
        "distinct_repos": len({r["repo"] for r in rows}),
        "time_min": order[0]["dt"],
        "time_max": order[-1]["dt"],
        "per_type": dict(counted(r["type"] for r in rows)),
        "per_hour": [[hour, n] for hour, n in counted(r["dt"][:13] for r in rows)],
        "per_hour_and_type": by_pair((r["dt"][:13], r["type"]) for r in rows),
        "per_minute_max": [[m, n] for m, n in sorted(minutes.items(), key=lambda i: (-i[1], i[0]))[:5]],
        "per_type_and_action": by_pair((r["type"], r.get("action", "")) for r in rows),
        "top20_repos": ranked(collections.Counter(r["repo"] for r in rows), 20),
        "top50_actors_by_events": ranked(collections.Counter(r["actor"] for r in rows), 50),
        "push_commits_total": sum(pushed.values()),
        "top50_actors_by_push_commits": ranked(pushed, 50),
        "filter_type_release_sorted_dt_id_page3_size50": releases[100:150],
        "filter_type_release_total": len(releases),
        "filter_watch_time_range": {**span, "count": len(watched), "first5": watched[:5]},
        "filter_actor": {"actor": actor, "count": sum(r["actor"] == actor for r in rows)},
    }


def percentile(ordered, share, interpolate):
    if not interpolate:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return round(low + (high - low) * (place - math.floor(place)), 3)


def seconds(text):
    return int(dt.datetime.fromisoformat(text).timestamp())


def k8s(directory):
    rows = events(directory, "*.ndjson.gz")
    sizes = [len(line.encode()) for path in sorted(directory.glob("*.ndjson.gz")) for line in lines(path)]
    times = sorted(r["created_at"] for r in rows)
    merged = {}
    for row in rows:
        pull = row["payload"].get("pull_request")
        if row["type"] == "PullRequestEvent" and row["payload"]["action"] == "closed" and pull["merged"]:
            merged[pull["id"]] = seconds(pull["merged_at"]) - seconds(pull["created_at"])
    took = sorted(merged.values())
    return {
        "rows": len(rows),
        "distinct_ids": len({r["id"] for r in rows}),
        "distinct_actors": len({r["actor"]["login"] for r in rows}),
        "time_min": times[0],
        "time_max": times[-1],
        "per_type": dict(counted(r["type"] for r in rows)),
        "per_day_and_type": by_pair((r["created_at"][:10], r["type"]) for r in rows),
        "per_hour": [[hour, n] for hour, n in counted(r["created_at"][:13] for r in rows)],
        "per_type_and_action": by_pair((r["type"], r["payload"].get("action", "")) for r in rows),
        "top20_repos": ranked(collections.Counter(r["repo"]["name"] for r in rows), 20),
        "top50_actors": ranked(collections.Counter(r["actor"]["login"] for r in rows), 50),
        "merged_pull_requests": len(took),
        "pull_request_open_to_merge_seconds": {
            "n": len(took),
            "min": took[0],
            **{f"p{p}_cont": percentile(took, p / 100, True) for p in (50, 90, 95)},
            **{f"p{p}_disc": percentile(took, p / 100, False) for p in (50, 90)},
            "mean": round(sum(took) / len(took), 3),
            "max": took[-1],
        },
        "largest_event_bytes": max(sizes),
    }


SETS = {"apache": apache, "kafka": kafka, "gharchive": gharchive, "k8s": k8s}


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("set", choices=SETS)
    args.add_argument("directory", type=pathlib.Path)
    args.add_argument("--check", metavar="FILE")
    args.add_argument("--write", metavar="FILE")
    args = args.parse_args()
    found = SETS[args.set](args.directory)
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
