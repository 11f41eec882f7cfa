"""A project in a folder, and its server: the two things that every test here needs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import requests

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BINARY = os.environ["PLUMB_BIN"]


class Project:
    """A copy of a project, changed by its tests as they like."""

    def __init__(self, source: Path, folder: Path) -> None:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".*"))
        self.folder = folder

    def run(self, *words: str) -> str:
        done = subprocess.run([BINARY, *words, "--project", self.folder], capture_output=True, text=True)
        assert done.returncode == 0, f"plumb {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new))


def registry(kind: str, folder: Path) -> str:
    """The setting of a registry that is the project's in `folder` alone: in a file, or in a schema of the tests' PostgreSQL."""
    if kind == "sqlite":
        return "registry: {kind: sqlite, path: .plumb/registry.db}\n"
    schema = "t" + hashlib.sha256(str(folder).encode()).hexdigest()[:20]
    return f'registry: {{kind: postgres, url: "{os.environ["PLUMB_TEST_POSTGRES"]}?schema={schema}"}}\n'


def one_view(path: str, more: str = "", features: str = "{name: x, type: int64}") -> str:
    """Definitions of one feature view `f` by `user_id`; `more` is of its source."""
    return f"""kind: entity
name: user
join_key: user_id
type: int64
---
kind: source
name: rows
path: {path}
event_time: at
{more}
---
kind: feature_view
name: f
entity: user
source: rows
features: [{features}]
"""


class Written:
    """A project that its test writes; commands answer in JSON."""

    def __init__(self, folder: Path, settings: str, definitions: str) -> None:
        self.folder = folder
        (folder / "plumb.yaml").write_text(settings)
        (folder / "features.yaml").write_text(definitions)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [BINARY, *words, "--project", self.folder, "--output", "json"]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def ok(self, *words: str) -> dict:
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def online(self, users: str, feature: str = "x") -> list:
        return self.ok("features", "get", f"f:{feature}", "--entity", f"user_id={users}")["features"][feature]["values"]


class Server:
    """`plumb serve` on free ports."""

    def __init__(self, project: Project | Written) -> None:
        command = [BINARY, "serve", "--http", "127.0.0.1:0", "--output", "json", "--project", project.folder]
        self.log = (project.folder / "serve.log").open("w")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        text = ""
        for line in self.process.stdout:
            text += line
            if line.startswith("}"):
                break
        started = json.loads(text)
        self.http, self.grpc, self.folder = started["address"], started["grpc"], project.folder

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0
        self.log.close()

    def ask(self, body: object) -> requests.Response:
        """One POST to `/get-online-features`, without retries."""
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        return requests.post(f"{self.http}/get-online-features", data=text, timeout=10)

    def posts(self) -> dict[int, int]:
        """How many requests `/get-online-features` has answered, by status."""
        return self.answered("/get-online-features")

    def answered(self, route: str) -> dict[int, int]:
        """How many requests a route has answered, by status."""
        text = requests.get(f"{self.http}/metrics", timeout=10).text
        found = re.findall(rf'plumb_http_requests_total\{{route="{re.escape(route)}",status="(\d+)"\}} (\d+)', text)
        return {int(status): int(count) for status, count in found}


def feature_store(folder: Path, project: str, server: Server, *, remote: bool) -> Path:
    """A Feast repository whose `feature_store.yaml` names our server; nothing else is in it."""
    folder.mkdir(parents=True)
    registry = f"{{registry_type: remote, path: {server.grpc}}}" if remote else "{registry_type: file, path: data/registry.db}"
    host, port = server.grpc.split(":")
    offline = f"{{type: remote, host: {host}, port: {port}}}" if remote else "{type: dask}"
    (folder / "feature_store.yaml").write_text(
        f"project: {project}\n"
        "provider: local\n"
        f"registry: {registry}\n"
        f"online_store: {{type: remote, path: {server.http}}}\n"
        f"offline_store: {offline}\n"
        "entity_key_serialization_version: 3\n"
    )
    return folder
