#!/usr/bin/env python3
"""Cuts the test slice out of a year of GOV.UK's deployments: few services, rows in their order.

    python3 scripts/truth/govuk_slice.py WHOLE_DIR tests/data/govuk
"""

import csv
import gzip
import io
import pathlib
import sys

# Which services, and why; all their rows of all environments.
SERVICES = {
    "content-publisher",  # the most rollbacks
    "asset-manager",  # tags that cannot be compared, rollbacks
    "specialist-publisher",  # most commits that were deployed twice
    "signon",  # many small deployments, with their commits
}
# Names of persons and what nothing here needs.
LEFT_OUT = {"author", "subject", "automatic_deploys_enabled"}


def cut(whole, to):
    with gzip.open(whole, "rt", encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        columns = [name for name in rows.fieldnames if name not in LEFT_OUT]
        out = io.StringIO(newline="")
        kept = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
        kept.writeheader()
        mine = [row for row in rows if row["service"] in SERVICES]
        kept.writerows(mine)
    packed = gzip.compress(out.getvalue().encode(), 9, mtime=0)
    to.write_bytes(packed)
    print(to.name, len(mine), len(packed))


def main():
    whole, to = map(pathlib.Path, sys.argv[1:3])
    to.mkdir(parents=True, exist_ok=True)
    for name in ("deployments.csv.gz", "changes.csv.gz"):
        cut(whole / name, to / name)


if __name__ == "__main__":
    main()
