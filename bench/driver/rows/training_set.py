"""`training-set`: a spine joined with history, Parquet to Parquet, against DuckDB's ASOF JOIN."""

import json
import sys
from pathlib import Path

from .. import project
from ..failure import Different, Failed
from ..machine import ROOT, Machine, python_job
from ..process import Usage, run
from ..table import Goal, Line, Sample

N_FEATURES = 10
LIMIT_MB = 512
# What the build is told: less than the limit, which also counts what the program itself takes and its threads' stacks.
MEMORY_MB = 256


def measure(machine: Machine) -> list[Line]:
    machine.package_version(sys.executable, "duckdb")
    sizes, folder = machine.sizes, machine.folder("training-set")
    features, spine = data(machine)
    (folder / "project").mkdir()
    ours = project.make(machine, folder / "project", features, N_FEATURES, "{kind: embedded}")
    outs = {"ours": folder / "ours.parquet", "peer": folder / "peer.parquet"}
    plumb = [machine.plumb, "--project", ours, "training-set", "build", "--service", project.SERVICE]
    plumb += ["--spine", spine, "--out", outs["ours"]]
    duckdb = [sys.executable, ROOT / "bench/peers/duckdb_asof.py", features, spine, outs["peer"], N_FEATURES]

    def once() -> tuple[Sample, Sample]:
        for out in outs.values():
            out.unlink(missing_ok=True)
        return sample(run(duckdb, folder / "duckdb.log")), sample(run(plumb, folder / "plumb.log"))

    # The run that is compared also brings the files into the page cache, for both.
    once()
    try:
        same = json.loads(python_job("data.py", "same-training", outs["ours"], outs["peer"]))
    except Failed as why:
        raise Different(f"training sets differ: {why}") from why
    pairs = [once() for _ in range(sizes.pairs)]

    work = f"training set, {short(sizes.feature_rows)} x {short(sizes.spine_rows)} x {N_FEATURES}"
    equal = f"{same['rows']:,} rows equal bit for bit, {same['found']:,} of them with features"
    peer, us = ([pair[side] for pair in pairs] for side in (0, 1))
    wall = Line(
        "training-set",
        work,
        "s",
        "DuckDB ASOF",
        peer,
        us,
        Goal(at_most=0.5),
        [f"whole processes, Parquet to Parquet; {equal}"],
    )
    return [wall, wall.memory(Goal(at_most=0.25))]


def measure_limited(machine: Machine) -> list[Line]:
    """The same training set where the process may write to no more than `LIMIT_MB` (`RLIMIT_DATA`: its heap and its
    stacks, resident or not). It completes or the row fails."""
    sizes, folder = machine.sizes, machine.folder("training-set-512mb")
    features, spine = data(machine)
    (folder / "project").mkdir()
    ours = project.make(machine, folder / "project", features, N_FEATURES, "{kind: embedded}")
    out = folder / "ours.parquet"
    plumb = ["prlimit", f"--data={LIMIT_MB << 20}", machine.plumb, "--project", ours, "training-set", "build"]
    plumb += ["--service", project.SERVICE, "--spine", spine, "--out", out, "--memory", f"{MEMORY_MB}MB"]

    def once() -> Sample:
        out.unlink(missing_ok=True)
        return sample(run(plumb, folder / "plumb.log"))

    once()
    samples = [once() for _ in range(sizes.pairs)]
    work = f"training set, {short(sizes.feature_rows)} x {short(sizes.spine_rows)} x {N_FEATURES}, {LIMIT_MB} MB"
    notes = [f"completes with --memory {MEMORY_MB}MB and RLIMIT_DATA of {LIMIT_MB} MB"]
    wall = Line("training-set-512mb", work, "s", "-", None, samples, None, notes)
    return [wall, wall.memory(Goal(at_most=LIMIT_MB))]


def data(machine: Machine) -> tuple[Path, Path]:
    sizes = machine.sizes
    folder = machine.cache / f"training-{sizes.feature_rows}-{sizes.spine_rows}-{sizes.entities}"
    folder.mkdir(exist_ok=True)
    features, spine = folder / "features.parquet", folder / "spine.parquet"
    if not (features.is_file() and spine.is_file()):
        python_job("data.py", "training", folder, sizes.feature_rows, sizes.spine_rows, sizes.entities)
    return features, spine


def sample(usage: Usage) -> Sample:
    return Sample(usage.wall_s, usage.peak_mb, usage.cpu_s)


def short(n: int) -> str:
    return f"{n // 1_000_000} M" if n >= 1_000_000 else f"{n // 1_000} k"
