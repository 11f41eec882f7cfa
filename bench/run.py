#!/usr/bin/env python3
"""Measures plumb beside its peers and beside bare handlers, on the same data in one run, and prints one table.

    cargo xtask bench                       every row
    cargo xtask bench training-set ready    some of them
    cargo xtask bench --quick               small data, short loads: does it all still work?

`cargo xtask bench` installs and builds what this needs and names it in the environment (see README.md).
Exit status: 0 all was measured, 1 an answer differs or a row or peer failed, 2 usage, 3 the environment lacks a thing.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from driver import table
from driver.failure import Different, Failed, Missing
from driver.machine import Machine, Sizes
from driver.rows import ROWS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all unless given")
    parser.add_argument("--quick", action="store_true", help="small data and short loads; the table says so")
    parser.add_argument("--pairs", type=int, metavar="N", help="pairs measured of each row (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement there too")
    parser.add_argument("--keep", action="store_true", help="keep projects and logs of servers, and say where")
    args = parser.parse_args()
    unknown = [name for name in args.rows if name not in ROWS]
    if unknown:
        parser.error(f"there is no row `{unknown[0]}`; the rows are {', '.join(ROWS)}")

    # Servers are ended on the way out, whoever ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sizes = Sizes.quick() if args.quick else Sizes()
    if args.pairs:
        sizes = sizes.with_pairs(args.pairs)
    scratch = Path(tempfile.mkdtemp(prefix="plumb-bench-"))
    try:
        return measure(args, Machine.from_environment(scratch, sizes))
    except Missing as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 3
    finally:
        if args.keep:
            print(f"projects and logs are in {scratch}", file=sys.stderr)
        else:
            shutil.rmtree(scratch, ignore_errors=True)


def measure(args: argparse.Namespace, machine: Machine) -> int:
    lines, failures = [], []
    for name in args.rows or ROWS:
        print(f"{name} …", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            lines += ROWS[name](machine)
        except (Different, Failed, Missing) as why:
            failures.append((name, str(why)))
            print(f"{name}: {why}", file=sys.stderr)
        except Exception:  # A mistake of the driver: the other rows go on.
            failures.append((name, traceback.format_exc()))
            traceback.print_exc()
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    failures += machine.left_out
    about = machine.about(quick=args.quick)
    print(table.render(lines, failures, about))
    if args.json:
        args.json.write_text(json.dumps(table.as_json(lines, failures, about), indent=1) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
