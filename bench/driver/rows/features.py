"""`features-1` and `features-100`: features by key through Redis, against Feast's server and the bare handler."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .. import project, redis
from ..failure import Different, Failed, Missing
from ..load import Target, in_turn, write_bodies
from ..machine import Machine, python_job
from ..process import Server, ask, free_port
from ..table import Goal, Line

N_FEATURES = 10
NAMES = [f"f{i}" for i in range(N_FEATURES)]
CONNECTIONS = (8, 32)
N_BODIES = 1_000
N_COMPARED = 200
# The settings that Feast's guide to production names, on two cores.
FEAST_TUNED = ("--workers", 2, "--no-access-log", "--registry_ttl_sec", 60)
# As its tutorials start it: one worker.
FEAST_PLAIN = ()

FEAST_STORE = """\
project: bench
provider: local
registry: registry.db
online_store: {{type: redis, connection_string: "{address},db={number}"}}
offline_store: {{type: file}}
entity_key_serialization_version: 3
telemetry: false
"""

# Columns of values by feature, for a list of keys.
Columns = dict[str, list[float | None]]


def measure_one(machine: Machine) -> list[Line]:
    return measure(machine, keys_a_request=1, beats_feast=40)


def measure_hundred(machine: Machine) -> list[Line]:
    return measure(machine, keys_a_request=100, beats_feast=60)


def measure(machine: Machine, keys_a_request: int, beats_feast: int) -> list[Line]:
    row = f"features-{keys_a_request}"
    folder = machine.folder(row)
    data = online_data(machine, machine.sizes.online_keys, N_FEATURES)
    with redis.databases(machine, redis.PLUMB, redis.FEAST) as (ours, feasts), ExitStack() as servers:
        sides = {"plumb": servers.enter_context(plumb(machine, folder, data, ours))}
        notes = [f"{keys_a_request} key(s) x {N_FEATURES} float64 a request, POST, redis on the same machine"]
        repo = FeastRepo(machine, folder / "feast", data, feasts)
        peers = {
            "bare handler": bare(machine, folder, ours),
            "Feast": feast(repo, FEAST_TUNED),
            "Feast, one worker": feast(repo, FEAST_PLAIN),
        }
        for name, side in peers.items():
            try:
                sides[name] = servers.enter_context(side)
            except (Missing, Failed) as why:
                machine.leave_out(row, name, why)
        if "Feast" in sides:
            # As plumb is asked: by feature service, which its documentation recommends for models. Its slower form.
            by_service = lambda keys: {"feature_service": project.SERVICE, "entities": {"k": keys}}  # noqa: E731
            sides["Feast, by service"] = replace(sides["Feast"], body=by_service)
        readers = {name: side.read for name, side in sides.items()}
        notes.append(f"{compare(data, machine.sizes.online_keys, readers):,} values equal")
        targets = [side.target(machine, folder, name, keys_a_request) for name, side in sides.items()]
        lines = []
        for connections in CONNECTIONS:
            samples = in_turn(machine, targets, connections)
            feast_goal = Goal(at_least=beats_feast)
            goals = {name: feast_goal for name in samples if name.startswith("Feast")}
            for peer, goal in {**goals, "bare handler": Goal(at_least=0.7)}.items():
                if peer in samples:
                    work = f"features, {keys_a_request} key(s), {connections} conn."
                    lines.append(Line(row, work, "req/s", peer, samples[peer], samples["plumb"], goal, notes))
    return lines


@dataclass(frozen=True)
class Side:
    """A server that answers for features: where, with which body, and where the values are in the answer."""

    server: Server
    url: str
    body: Callable[[list[int]], object]
    columns: Callable[[object], Columns]

    def read(self, keys: list[int]) -> Columns:
        return self.columns(ask(self.url, self.body(keys)))

    def target(self, machine: Machine, folder: Path, name: str, keys_a_request: int) -> Target:
        draws = random.Random(keys_a_request)
        known = range(machine.sizes.online_keys)
        bodies = (self.body(draws.sample(known, keys_a_request)) for _ in range(N_BODIES))
        return Target(name, self.server, self.url, write_bodies(folder / f"{name.replace(' ', '_')}.bodies", bodies))


@contextmanager
def plumb(machine: Machine, folder: Path, data: Path, database: redis.Database) -> Iterator[Side]:
    ours = folder / "project"
    ours.mkdir()
    project.make(machine, ours, data, N_FEATURES, f'{{kind: redis, url: "{database.url}"}}')
    project.plumb(machine, ours, "materialize")
    address = f"127.0.0.1:{free_port()}"
    command = [machine.plumb, "--project", ours, "serve", "--http", address, "--grpc", "127.0.0.1:0"]
    with Server(command, folder / "plumb.log") as server:
        server.wait_until(f"http://{address}/readyz")
        yield Side(
            server,
            f"http://{address}/v1/features",
            lambda keys: {"service": project.SERVICE, "entities": {"k": keys}},
            plumb_columns,
        )


def plumb_columns(answer: dict[str, object]) -> Columns:
    return {name: answer["features"][name]["values"] for name in NAMES}


@contextmanager
def bare(machine: Machine, folder: Path, database: redis.Database) -> Iterator[Side]:
    """Reads what plumb has materialized."""
    address = f"127.0.0.1:{free_port()}"
    command = [machine.bare_program(), "features", "--redis", database.url, "--http", address]
    command += ["--view", database.plumbs_field()]
    with Server(command, folder / "bare.log") as server:
        body = lambda keys: {"entities": {"k": keys}}  # noqa: E731
        server.wait_until(f"http://{address}/", body([0]))
        yield Side(server, f"http://{address}/", body, lambda answer: answer)


@dataclass
class FeastRepo:
    """A repository whose features are in Redis once somebody asks for it."""

    machine: Machine
    path: Path
    data: Path
    database: redis.Database
    is_there: bool = False

    def ready(self) -> Path:
        if not self.is_there:
            self.machine.package_version(self.machine.peer_python("feast"), "feast")
            feast_repo(self.machine, self.path, self.data, self.database)
            feast_job(self.machine, self.path, "materialize")
            self.is_there = True
        return self.path


@contextmanager
def feast(repo: FeastRepo, options: tuple[object, ...]) -> Iterator[Side]:
    path, python = repo.ready(), repo.machine.peer_python("feast")
    port = free_port()
    # Recycling of workers, after 1,000 requests unless told otherwise, is switched off: starting one takes five seconds.
    command = [python.with_name("feast"), "serve", "--host", "127.0.0.1", "--port", port, "--max-requests", 0, *options]
    # By feature, its fastest form.
    features = [f"{project.VIEW}:{name}" for name in NAMES]
    with Server(command, path.parent / f"feast-{port}.log", env={"HOME": str(path)}, cwd=path) as server:
        server.wait_until(f"http://127.0.0.1:{port}/health", every_s=0.2)
        yield Side(
            server,
            f"http://127.0.0.1:{port}/get-online-features",
            lambda keys: {"features": features, "entities": {"k": keys}},
            feast_columns,
        )


def feast_columns(answer: dict[str, object]) -> Columns:
    found = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
    return {name: found[name]["values"] for name in NAMES}


def feast_repo(machine: Machine, repo: Path, data: Path, database: redis.Database) -> Path:
    repo.mkdir()
    store = FEAST_STORE.format(address=f"{database.host}:{database.port}", number=database.number)
    (repo / "feature_store.yaml").write_text(store)
    feast_job(machine, repo, "apply", data, N_FEATURES)
    return repo


def feast_job(machine: Machine, repo: Path, *args: object) -> str:
    """A job of Feast's; its answer is the last line that it prints."""
    said = python_job("peers/feast_repo.py", *args, python=machine.peer_python("feast"), cwd=repo)
    return said.strip().splitlines()[-1] if said.strip() else ""


def online_data(machine: Machine, rows: int, columns: int) -> Path:
    file = machine.cache / f"online-{rows}-{columns}.parquet"
    if not file.is_file():
        python_job("data.py", "online", file, rows, columns)
    return file


def compare(data: Path, n_rows: int, readers: dict[str, Callable[[list[int]], Columns]]) -> int:
    """How many values are equal everywhere, bit for bit; among the keys one that does not exist."""
    keys = [n_rows, *random.Random(1).sample(range(n_rows), N_COMPARED)]
    rows = dict(zip(*json.loads(python_job("data.py", "rows", data, n_rows)).values(), strict=True))
    for name, read in readers.items():
        found = read(keys)
        for i, key in enumerate(keys):
            answer, wanted = [found[feature][i] for feature in NAMES], rows.get(key, [None] * N_FEATURES)
            if answer != wanted:
                raise Different(f"{name} answers {answer} for key {key}; the file says {wanted}")
    return len(keys) * N_FEATURES
