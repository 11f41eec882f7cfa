"""A Redis that dies under the server: what the SDK gets, and that only a real outage looks like one to it."""

from __future__ import annotations

import json
import socket
import subprocess
import time

import pytest
import redis
import requests
from feast import FeatureStore
from plumb import Project, Server, feature_store

FEATURES = ["dear:n", "spare:f"]


class Store:
    """A Redis of the test's own."""

    def __init__(self, folder) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self.answers)

    def answers(self) -> bool:
        try:
            return redis.Redis(port=self.port).ping()
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def until(is_so) -> None:
    for _ in range(1_200):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


@pytest.fixture
def world(tmp_path):
    """A view that a request cannot do without, one that it can, and their store."""
    store = Store(tmp_path)
    source = tmp_path / "source"
    source.mkdir()
    (source / "plumb.yaml").write_text(
        f'project: frail\nonline: {{kind: redis, url: "redis://127.0.0.1:{store.port}", timeout: 1s}}\n'
    )
    (source / "rows.csv").write_text("k,event_time,n,f\n1,2024-01-01T00:00:00Z,7,0.5\n")
    view = "kind: feature_view\nname: {}\nentity: e\nsource: rows\non_error: {}\nfeatures: [{{name: {}, type: {}}}]\n"
    (source / "features.yaml").write_text(
        "{kind: entity, name: e, join_key: k, type: int64}\n---\n"
        "{kind: source, name: rows, path: rows.csv, event_time: event_time}\n---\n"
        + view.format("dear", "error", "n", "int64")
        + "---\n"
        + view.format("spare", "null", "f", "float64")
    )
    project = Project(source, tmp_path / "project")
    project.run("apply", "--yes")
    project.run("materialize")
    server = Server(project)
    yield store, server
    server.stop()
    store.kill()


@pytest.fixture
def sdk(world, tmp_path) -> FeatureStore:
    return FeatureStore(feature_store(tmp_path / "repo", "any", world[1], remote=False))


def test_a_value_that_could_not_be_read_is_invalid_and_costs_one_post(world, sdk):
    store, server = world
    rows = [{"k": 1}]
    assert sdk.get_online_features(FEATURES, rows).to_dict() == {"k": [1], "n": [7], "f": [0.5]}
    store.kill()
    before = server.posts()
    answer = sdk.get_online_features(["spare:f"], rows)
    assert answer.to_dict() == {"k": [1], "f": [None]}
    assert answer.proto.results[1].statuses == [0], "0 is INVALID"
    after = server.posts()
    assert (after[200] - before[200], sum(after.values()) - sum(before.values())) == (1, 1)
    # On the wire: the client would take a status that it does not know for the same.
    told = server.ask({"entities": {"k": [1]}, "features": ["spare:f"]}).json()["results"][1]
    assert (told["values"], told["statuses"]) == ([None], ["INVALID"])
    assert told["event_timestamps"] == ["1970-01-01T00:00:00Z"]


def test_an_outage_is_tried_again_and_over_when_it_is_over(world, sdk):
    store, server = world
    rows = [{"k": 1}]
    # Nothing that a caller did wrong looks like an outage, whether or not there is one.
    mistakes = [
        {"entities": {"k": [1]}, "features": ["nope:x"]},
        {"entities": {"k": ["x"]}, "features": ["dear:n"]},
        {"entities": {}, "features": ["dear:n"]},
        {"entities": 1},
    ]
    store.kill()
    for mistake in mistakes:
        refused = server.ask(mistake)
        assert refused.status_code in (404, 422), refused.text
        assert "Retry-After" not in refused.headers
    refused = server.ask({"entities": {"k": [1]}, "features": FEATURES})
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    detail = json.loads(refused.json())
    assert (detail["module"], detail["class"]) == ("feast.errors", "FeastError")
    assert "service `features`" in detail["message"]
    before = server.posts()
    with pytest.raises(requests.exceptions.RetryError):
        sdk.get_online_features(FEATURES, rows)
    assert server.posts()[503] - before[503] == 4, "the client tries four times"
    # While the store is away the server is up: it is not its fault.
    assert requests.get(f"{server.http}/health", timeout=10).status_code == 200

    store.start()
    # Redis came back empty: no outage, but a thing to do.
    until(lambda: server.ask({"entities": {"k": [1]}, "features": FEATURES}).status_code != 503)
    empty = server.ask({"entities": {"k": [1]}, "features": FEATURES})
    assert (empty.status_code, "plumb materialize" in empty.text) == (409, True), empty.text
    done = requests.post(f"{server.http}/materialize", json={"disable_event_timestamp": True}, timeout=60)
    assert done.status_code == 200, done.text
    assert sdk.get_online_features(FEATURES, rows).to_dict() == {"k": [1], "n": [7], "f": [0.5]}
