"""`registry`: what clients of MLflow ask a registry for, of `plumb serve` and of MLflow's own server.

The same 100 models with as many versions each are written to both through the same requests; then both are read with 16
connections that are kept. MLflow's server has a SQLite file, as it has where nobody says otherwise, and its own number of
workers.
"""

import json
import random
import shutil
import sqlite3
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import project
from ..failure import Different, Failed
from ..load import Target, in_turn
from ..machine import Machine, last_lines
from ..process import Server, free_port
from ..table import Goal, Line, Sample

ROW = "registry"
CONNECTIONS = 16
N_MODELS = 100
ALIAS = "champion"
API = "/api/2.0/mlflow/registered-models"
VERSIONS = "/api/2.0/mlflow/model-versions"

# What one server cannot know of the other: when, and names that each makes up.
OWN = ("creation_timestamp", "last_updated_timestamp", "user_id", "next_page_token", "model_id", "run_link")


def names() -> list[str]:
    return [f"model-{n:03}" for n in range(N_MODELS)]


def asked(path: str, **words: object) -> str:
    return f"{path}?{urllib.parse.urlencode(words)}"


READS: dict[str, list[str]] = {
    "get": [asked(f"{API}/get", name=name) for name in names()],
    "get-latest-versions": [asked(f"{API}/get-latest-versions", name=name) for name in names()],
    "by alias": [asked(f"{API}/alias", name=name, alias=ALIAS) for name in names()],
    "search of 100 models": [asked(f"{API}/search", max_results=100)],
}


@dataclass(frozen=True)
class Side:
    """A server, and where it is."""

    name: str
    server: Server
    url: str

    def ask(self, path: str, body: object = None) -> dict[str, object]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        asking = urllib.request.Request(self.url + path, data=data, headers=headers)
        try:
            with urllib.request.urlopen(asking, timeout=60) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as why:
            raise Failed(f"{self.name} answers {path} with {why.code}: {why.read()[:500].decode()}") from why


def measure(machine: Machine) -> list[Line]:
    folder = machine.folder(ROW)
    n_each = machine.sizes.registry_versions // N_MODELS
    notes = [f"{N_MODELS} models with {n_each} versions each, {CONNECTIONS} connections that are kept"]
    with plumb(machine, folder, n_each) as ours, mlflow(machine, folder, n_each) as theirs:
        n_equal = compare(ours, theirs)
        notes.append(f"{n_equal} answers equal but for times, users and the aliases of versions")
        lines = []
        for work, paths in READS.items():
            file = folder / f"{work.replace(' ', '-')}.paths"
            file.write_text("".join(f"{path}\n" for path in paths))
            targets = [Target(side.name, side.server, side.url, file, "paths") for side in (theirs, ours)]
            samples = in_turn(machine, targets, CONNECTIONS)
            peers, mine = samples[theirs.name], samples[ours.name]
            lines.append(Line(ROW, work, "req/s", theirs.name, peers, mine, Goal(at_least=100), notes))
            lines.append(Line(ROW, f"{work}, p99", "ms", theirs.name, p99(peers), p99(mine)))
            lines.append(Line(ROW, f"{work}, p99", "ms", "", None, p99(mine), Goal(at_most=5)))
        peers, mine = ([Sample(side.server.resident_mb())] for side in (theirs, ours))
        work = f"resident, {n_each * N_MODELS:,} versions"
        lines.append(Line(ROW, work, "MB", theirs.name, peers, mine))
        lines.append(Line(ROW, work, "MB", "", None, mine, Goal(at_most=100)))
    return lines + promotions(machine, folder)


def promotions(machine: Machine, folder: Path) -> list[Line]:
    """The demo's model to Staging and back to Production, through the gate that looks at features and outputs."""
    demo = folder / "demo"
    address = f"127.0.0.1:{free_port()}"
    command = [machine.plumb, "demo", "--once", "--dir", demo, "--http", address]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"`plumb demo --once` ended with {done.returncode}: {last_lines(done.stdout + done.stderr)}")
    model = project.plumb(machine, demo, "model", "list")["versions"][0]["name"]

    def by_command(stage: str) -> None:
        project.plumb(machine, demo, "model", "promote", model, 1, "--to", stage)

    commanded = moves(machine, by_command)
    with started("plumb", [machine.plumb, "--project", demo, "serve", "--grpc", "127.0.0.1:0", "--http"], folder / "demo.log", "/readyz") as side:

        def by_route(stage: str) -> None:
            asked = {"name": model, "version": "1", "stage": stage.capitalize(), "archive_existing_versions": True}
            side.ask(f"{VERSIONS}/transition-stage", asked)

        routed = moves(machine, by_route)
    return [
        Line(ROW, f"promote with its squares, {how}", "s", "", None, samples, Goal(at_most=1))
        for how, samples in (("plumb model promote", commanded), ("MLflow's route", routed))
    ]


def moves(machine: Machine, move: Callable[[str], None]) -> list[Sample]:
    samples = []
    for _ in range(machine.sizes.pairs):
        move("staging")
        began = time.perf_counter()
        move("production")
        samples.append(Sample(time.perf_counter() - began))
    return samples


def p99(samples: list[Sample]) -> list[Sample]:
    return [Sample(sample.more["p99_ms"]) for sample in samples]


@contextmanager
def plumb(machine: Machine, folder: Path, n_each: int) -> Iterator[Side]:
    kept = machine.cache / f"registry-{N_MODELS}-{n_each}.plumb.db"
    ours = folder / "project"
    (ours / ".plumb").mkdir(parents=True)
    (ours / "plumb.yaml").write_text("project: bench\n")
    if kept.is_file():
        shutil.copy(kept, ours / ".plumb" / "registry.db")
    command = [machine.plumb, "--project", ours, "serve", "--grpc", "127.0.0.1:0", "--http"]
    with started("plumb", command, folder / "plumb.log", "/readyz") as side:
        if not kept.is_file():
            write(side, n_each)
    if not kept.is_file():
        keep(ours / ".plumb" / "registry.db", kept)
    with started("plumb", command, folder / "plumb.log", "/readyz") as side:
        yield side


@contextmanager
def mlflow(machine: Machine, folder: Path, n_each: int) -> Iterator[Side]:
    python = machine.peer_python("mlflow")
    version = machine.package_version(python, "mlflow")
    kept = machine.cache / f"registry-{N_MODELS}-{n_each}.mlflow-{version}.db"
    database = folder / "mlflow.db"
    if kept.is_file():
        shutil.copy(kept, database)
    program = python.with_name("mlflow")
    command = [program, "server", "--backend-store-uri", f"sqlite:///{database}"]
    command += ["--artifacts-destination", folder / "artifacts", "--host", "127.0.0.1", "--port"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "HOME": str(folder)}
    with started("MLflow", command, folder / "mlflow.log", "/health", quiet, port_alone=True) as side:
        if not kept.is_file():
            write(side, n_each)
        yield side
    if not kept.is_file():
        keep(database, kept)


def keep(database: Path, kept: Path) -> None:
    """A copy with what is still in the database's write-ahead log."""
    part = kept.with_suffix(".part")
    with sqlite3.connect(database) as source, sqlite3.connect(part) as copy:
        source.backup(copy)
    part.rename(kept)


@contextmanager
def started(
    name: str, command: list[object], log: Path, ready: str, env: dict[str, str] | None = None, port_alone: bool = False
) -> Iterator[Side]:
    port = free_port()
    address = f"127.0.0.1:{port}"
    with Server([*command, port if port_alone else address], log, env) as server:
        server.wait_until(f"http://{address}{ready}")
        yield Side(name, server, f"http://{address}")


def write(side: Side, n_each: int) -> None:
    """The models, each by one writer at a time, as its versions are numbered."""

    def one(name: str) -> None:
        side.ask(f"{API}/create", {"name": name, "description": f"scores of {name}",
                                   "tags": [{"key": "team", "value": "risk"}]})
        for version in range(1, n_each + 1):
            side.ask(f"{VERSIONS}/create", {
                "name": name, "source": f"s3://models/{name}/{version}", "description": f"trained in week {version}",
                "tags": [{"key": "framework", "value": "xgboost"}, {"key": "week", "value": str(version)}],
            })
        for version, stage in ((n_each, "Production"), (n_each - 1, "Staging")):
            side.ask(f"{VERSIONS}/transition-stage",
                     {"name": name, "version": str(version), "stage": stage, "archive_existing_versions": False})
        side.ask(f"{API}/alias", {"name": name, "alias": ALIAS, "version": str(n_each - 1)})

    with ThreadPoolExecutor(CONNECTIONS) as writers:
        list(writers.map(one, names()))


def compare(ours: Side, theirs: Side) -> int:
    """How many answers are the same."""
    n = 0
    for paths in READS.values():
        for path in random.Random(1).sample(paths, min(len(paths), 20)):
            mine, other = (plain(side.ask(path)) for side in (ours, theirs))
            if mine != other:
                raise Different(f"{path}: plumb answers {json.dumps(mine)[:2000]}, MLflow {json.dumps(other)[:2000]}")
            n += 1
    return n


def plain(answer: object) -> object:
    """Without what is each server's own; lists of models, versions, tags and aliases in one order."""
    if isinstance(answer, dict):
        # MLflow leaves the aliases of versions out where it lists the latest ones of a model; we do not.
        own = (*OWN, "aliases") if "current_stage" in answer else OWN
        return {key: plain(value) for key, value in answer.items() if key not in own and value not in ("", [], None)}
    if isinstance(answer, list):
        return sorted((plain(value) for value in answer), key=lambda value: json.dumps(value, sort_keys=True))
    return answer
