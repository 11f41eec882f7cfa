#!/usr/bin/env python3
"""Makes orders.parquet, the demo's purchase history, from the PyPI package `lifetimes` 0.11.3.

    python make.py                 # downloads the package with pip
    python make.py ARCHIVE.whl     # or takes one that is already here

Needs pyarrow. The package is read as an archive, never imported. The same pyarrow version writes the same bytes.
"""

import argparse
import datetime
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PACKAGE = "lifetimes==0.11.3"
ARCHIVE_SHA256 = "261e3dc89977c2b60767ca6728aaa29d429de0c814635070a749c36555895da8"
MEMBER = "lifetimes/datasets/CDNOW_master.txt"
HEADER = ["customer_id", "date", "number_of_cds", "dollar_value"]

N_ORDERS = 69_659
N_USERS = 23_570
FIRST_DAY = datetime.date(1997, 1, 1)
LAST_DAY = datetime.date(1998, 6, 30)

# A few row groups rather than one, so that readers of the demo meet a file that has several.
ROWS_PER_GROUP = 20_000
SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.int64()),
        pa.field("ordered_at", pa.timestamp("us", tz="UTC")),
        pa.field("cds", pa.int64()),
        pa.field("amount", pa.float64()),
    ]
)


def download(into: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "pip", "download", PACKAGE, "--no-deps", "--only-binary=:all:", "--quiet", "--dest", into],
        check=True,
    )
    (archive,) = into.glob("*.whl")
    return archive


def read_member(archive: Path) -> str:
    digest = sha256(archive)
    if digest != ARCHIVE_SHA256:
        sys.exit(f"{archive.name}: sha256 is {digest}, expected {ARCHIVE_SHA256}")
    with zipfile.ZipFile(archive) as files:
        return files.read(MEMBER).decode("ascii")


def parse(text: str) -> pa.Table:
    """One row per line, in the file's order."""
    lines = text.splitlines()
    if lines[0].split() != HEADER:
        sys.exit(f"{MEMBER}: the header is {lines[0].split()}, expected {HEADER}")
    users, times, cds, amounts = [], [], [], []
    for line in lines[1:]:
        user, day, n_cds, dollars = line.split()
        users.append(int(user))
        times.append(datetime.datetime.strptime(day, "%Y%m%d").replace(tzinfo=datetime.timezone.utc))
        cds.append(int(n_cds))
        amounts.append(float(dollars))
    return pa.table([users, times, cds, amounts], schema=SCHEMA)


def verify(orders: pa.Table) -> None:
    days = [time.date() for time in orders["ordered_at"].to_pylist()]
    found = (orders.num_rows, len(set(orders["user_id"].to_pylist())), min(days), max(days))
    expected = (N_ORDERS, N_USERS, FIRST_DAY, LAST_DAY)
    if found != expected:
        sys.exit(f"orders, users, first day, last day are {found}, expected {expected}")
    print(f"{found[0]:,} orders of {found[1]:,} users, {found[2]} to {found[3]}")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", nargs="?", type=Path, help="the package's wheel; downloaded with pip when not given")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("orders.parquet"))
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        text = read_member(args.archive or download(Path(scratch)))
    orders = parse(text)
    verify(orders)
    pq.write_table(orders, args.out, compression="zstd", compression_level=19, row_group_size=ROWS_PER_GROUP)
    verify(pq.read_table(args.out))
    print(f"{args.out.name}: {args.out.stat().st_size:,} bytes, sha256 {sha256(args.out)} (pyarrow {pa.__version__})")


if __name__ == "__main__":
    main()
