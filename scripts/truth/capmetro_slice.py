#!/usr/bin/env python3
"""Cuts the test slice out of the whole bus set: few vehicles, every trap, rows in their order.

    python3 scripts/truth/capmetro_slice.py WHOLE_DIR tests/data/capmetro
"""

import csv
import gzip
import pathlib
import sys

# Which vehicles of which service day, and why. None keeps the whole day.
SLICE = {
    "2015-03-07": {"2010", "2254"},  # rows repeated word for word; rows out of time order
    "2015-03-08": {"8939", "8903", "8844", "8917",  # rows with -06:00 and -05:00: the clocks change
                   "8852", "2214", "8929"},  # repeated word for word
    "2015-03-18": {"6017", "2012",  # points at (0,0)
                   "2305", "2205", "7419"},  # on both sides of UTC midnight, far out of order
    "2016-01-17": {"6010", "8847"},  # one instant on two trips; across UTC midnight
    "2016-02-07": {"2224", "2380"},
    "2016-02-14": None,  # a header and nothing else
    "2016-03-22": {"2257", "8904", "2205", "7468"},  # most instants on several trips
    "2016-05-19": None,  # two minutes of 206 buses
    "2016-05-30": {"2402", "2362"},  # more than a thousand rows of one bus and day
    "2016-08-02": None,
    "2016-09-05": None,
}


def main():
    whole, to = map(pathlib.Path, sys.argv[1:3])
    to.mkdir(parents=True, exist_ok=True)
    for day, vehicles in SLICE.items():
        lines = gzip.decompress((whole / f"{day}.csv.gz").read_bytes()).decode().splitlines(True)
        kept = lines[:1] + [line for line in lines[1:]
                            if vehicles is None or next(csv.reader([line]))[0] in vehicles]
        packed = gzip.compress("".join(kept).encode(), 9, mtime=0)
        (to / f"{day}.csv.gz").write_bytes(packed)
        print(day, len(kept) - 1, len(packed))


if __name__ == "__main__":
    main()
