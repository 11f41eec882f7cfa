"""What the registry acknowledged is there after the server was killed, and nothing else that was half done."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests
from plumb import Server, Written

API = "/api/2.0/mlflow"
WRITERS = 8


def post(server: Server, path: str, **fields: object) -> requests.Response:
    return requests.post(f"{server.http}{API}/{path}", json=fields, timeout=30)


def test_many_writers_get_a_number_each(tmp_path):
    server = Server(Written(tmp_path, "project: many\n", ""))
    try:
        assert post(server, "registered-models/create", name="m").status_code == 200

        def create(i: int) -> tuple[str, str]:
            made = post(server, "model-versions/create", name="m", source=f"s3://b/{i}").json()["model_version"]
            return made["version"], made["source"]

        with ThreadPoolExecutor(16) as pool:
            made = dict(pool.map(create, range(160)))
        assert sorted(map(int, made)) == list(range(1, 161))
        found = requests.get(f"{server.http}{API}/model-versions/search", params={"filter": "name = 'm'"}, timeout=30).json()
        assert {one["version"]: one["source"] for one in found["model_versions"]} == made
    finally:
        server.stop()


def test_killed_while_versions_are_made_moved_and_called(tmp_path):
    project = Written(tmp_path, "project: killed\n", "")
    server = Server(project)
    assert post(server, "registered-models/create", name="m").status_code == 200
    made: dict[str, str] = {}
    staged: list[str] = []
    for round in range(4):
        ended = threading.Event()

        def write(writer: int) -> None:
            i = 0
            while not ended.is_set():
                i += 1
                source = f"s3://b/{round}/{writer}/{i}"
                try:
                    answer = post(server, "model-versions/create", name="m", source=source)
                    version = answer.json()["model_version"]["version"]
                    made[version] = source
                    moved = post(
                        server,
                        "model-versions/transition-stage",
                        name="m",
                        version=version,
                        stage="Production",
                        archive_existing_versions=True,
                    )
                    if moved.status_code == 200:
                        staged.append(version)
                except requests.RequestException:
                    return

        writers = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
        for writer in writers:
            writer.start()
        time.sleep(0.4 + 0.1 * round)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        ended.set()
        for writer in writers:
            writer.join()
        server = Server(project)
        found = requests.get(
            f"{server.http}{API}/model-versions/search", params={"filter": "name = 'm'", "max_results": 100_000}, timeout=60
        ).json()["model_versions"]
        there = {one["version"]: one["source"] for one in found}
        assert made.items() <= there.items(), "an acknowledged version is not there"
        # At most one of each writer was written and not acknowledged; numbers have no gaps.
        assert len(there) <= len(made) + WRITERS * (round + 1)
        assert sorted(map(int, there)) == list(range(1, len(there) + 1))
        holders = [one["version"] for one in found if one["current_stage"] == "Production"]
        assert len(holders) == 1, "a stage that archives its holders has one"
        moved = [one for one in found if one["current_stage"] != "None"]
        assert set(staged) <= {one["version"] for one in moved}
        # The event is there if and only if the state changed.
        history = project.ok("model", "history", "m")["events"]
        promoted = [event for event in history if event["body"]["type"] == "transitioned"]
        assert {str(event["body"]["version"]) for event in promoted} == {one["version"] for one in moved}
    assert len(made) > 50 and len(staged) > 20
    server.stop()
