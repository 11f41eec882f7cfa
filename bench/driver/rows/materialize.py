"""`materialize`: rows of ten floats into Redis, against Feast and against redis-benchmark, which only sends HSET.

A round starts from empty databases and from a project that was never materialized: one whose store lost everything would
be searched for what it might have kept. Plumb's time is that of the whole process; Feast's is without Python's start, and
redis-benchmark's is its own report.
"""

import csv
import json
import shutil
import subprocess
from pathlib import Path

from .. import project, redis
from ..failure import Different, Failed, Missing
from ..machine import Machine, installed, last_lines
from ..process import run
from ..table import Goal, Line, Sample
from .features import N_FEATURES, NAMES, Columns, compare, feast_job, feast_repo, online_data, plumb_columns

PIPELINE = 100
# Of so many random keys next to none comes twice; the program takes no more than an `int`.
KEYS = 2**31 - 1


def measure(machine: Machine) -> list[Line]:
    folder = machine.folder("materialize")
    n_rows = machine.sizes.materialize_rows
    data = online_data(machine, n_rows, N_FEATURES)
    with redis.databases(machine, redis.PLUMB, redis.FEAST, redis.LIMIT) as (ours, feasts, limit):
        sides = {"plumb": Plumb(machine, folder, data, ours)}
        try:
            sides["Feast"] = Feast(machine, folder, data, feasts)
        except (Missing, Failed) as why:
            machine.leave_out("materialize", "Feast", why)
        for side in sides.values():
            side.once()
        equal = compare(data, n_rows, {name: side.read for name, side in sides.items()})
        field = ours.plumbs_field()
        n_bytes = int(ours.ask("HSTRLEN", redis.KEY_0, field))
        sides["redis-benchmark"] = Limit(machine, limit, field, n_bytes)

        samples: dict[str, list[Sample]] = {name: [] for name in sides}
        for _ in range(machine.sizes.pairs):
            for name, side in sides.items():
                side.database.empty()
                samples[name].append(side.once())
                if side.database.size() < 0.999 * n_rows:
                    raise Different(f"{name} left {side.database.size()} keys of {n_rows}")
    notes = [f"into empty databases; {equal:,} values equal; the limit is HSET -P {PIPELINE} of {n_bytes} bytes each"]
    work = f"materialize, {n_rows // 1_000} k rows x {N_FEATURES}"
    goals = {"Feast": Goal(at_least=30), "redis-benchmark": Goal(at_least=0.5)}
    return [
        Line("materialize", work, "rows/s", peer, samples[peer], samples["plumb"], goal, notes)
        for peer, goal in goals.items()
        if peer in samples
    ]


class Plumb:
    def __init__(self, machine: Machine, folder: Path, data: Path, database: redis.Database) -> None:
        self.machine, self.database, self.log = machine, database, folder / "plumb.log"
        self.project = folder / "project"
        self.project.mkdir()
        online = f'{{kind: redis, url: "{database.url}", timeout: 10s}}'
        project.make(machine, self.project, data, N_FEATURES, online)

    def once(self) -> Sample:
        # What is known outside the store of what was brought there.
        shutil.rmtree(self.project / ".plumb" / "offline", ignore_errors=True)
        usage = run([self.machine.plumb, "--project", self.project, "materialize"], self.log)
        return Sample(self.machine.sizes.materialize_rows / usage.wall_s, usage.peak_mb, usage.cpu_s)

    def read(self, keys: list[int]) -> Columns:
        entity = f"k={','.join(map(str, keys))}"
        asked = ("features", "get", "--service", project.SERVICE, "--entity", entity)
        return plumb_columns(project.plumb(self.machine, self.project, *asked))


class Feast:
    def __init__(self, machine: Machine, folder: Path, data: Path, database: redis.Database) -> None:
        self.machine, self.database = machine, database
        machine.package_version(machine.peer_python("feast"), "feast")
        self.repo = feast_repo(machine, folder / "feast", data, database)

    def once(self) -> Sample:
        done = json.loads(feast_job(self.machine, self.repo, "materialize"))
        return Sample(self.machine.sizes.materialize_rows / done["seconds"], done["peak_mb"], done["cpu_seconds"])

    def read(self, keys: list[int]) -> Columns:
        answer = json.loads(feast_job(self.machine, self.repo, "read", json.dumps(keys), N_FEATURES))
        return {name: answer[name] for name in NAMES}


class Limit:
    def __init__(self, machine: Machine, database: redis.Database, field: str, n_bytes: int) -> None:
        self.n_rows, self.database = machine.sizes.materialize_rows, database
        self.field, self.value = field, "v" * n_bytes
        self.program = installed("redis-benchmark", "redis-tools")

    def once(self) -> Sample:
        command = [self.program, "-h", self.database.host, "-p", self.database.port, "--dbnum", self.database.number]
        command += ["-P", PIPELINE, "-n", self.n_rows, "-r", KEYS, "--csv"]
        command += ["HSET", "plumb:{}:bench:__rand_int__", self.field, self.value]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        rows = list(csv.DictReader(done.stdout.splitlines()))
        if done.returncode != 0 or not rows:
            raise Failed(f"redis-benchmark: {last_lines(done.stdout + done.stderr)}")
        return Sample(float(rows[0]["rps"]))
