"""A Redis that Feast itself fills with its own online store, read in place: the answers are Feast's, but where Feast says
less than it knows."""

from __future__ import annotations

import socket
import subprocess
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
import redis
import requests
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType
from feast.data_source import PushMode
from feast.types import Array, Float32, Float64, Int64, String, UnixTimestamp
from plumb import Project, Server

NOW = datetime.now(timezone.utc).replace(microsecond=0)
FEATURES = ["trips", "rating", "tag", "vector", "seen"]
REFERENCES = [f"driver_stats:{name}" for name in FEATURES]


def frame() -> pd.DataFrame:
    fresh, old = NOW - timedelta(minutes=5), NOW - timedelta(days=3)
    return pd.DataFrame(
        {
            "driver_id": [1, 2, 3, 4],
            "event_timestamp": [fresh, fresh, old, fresh + timedelta(milliseconds=250)],
            "trips": pd.array([10, None, 30, 2**53 + 1], dtype="Int64"),
            "rating": [0.1, None, 3.5, float("nan")],
            "tag": ["", "b", "c", "naïve"],
            "vector": [np.array(pair, dtype=np.float32) for pair in ([0.1, 2.5], [1.0, 2.0], [3.0, 4.0], [5.0, 6.0])],
            "seen": [fresh, old, old, fresh],
        }
    )


@pytest.fixture(scope="module")
def store_url(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port)
    for _ in range(600):
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    yield f"127.0.0.1:{port}"
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def feast(store_url, tmp_path_factory):
    """Feast's repository: its own registry, its own Redis store."""
    folder = tmp_path_factory.mktemp("feast")
    (folder / "feature_store.yaml").write_text(
        "project: fleet\nprovider: local\nregistry: data/registry.db\n"
        f'online_store: {{type: redis, connection_string: "{store_url}"}}\n'
        "offline_store: {type: dask}\nentity_key_serialization_version: 3\n"
    )
    frame().to_parquet(folder / "stats.parquet")
    store = FeatureStore(str(folder))
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(name="stats", path=str(folder / "stats.parquet"), timestamp_field="event_timestamp")
    schema = [
        Field(name="trips", dtype=Int64),
        Field(name="rating", dtype=Float64),
        Field(name="tag", dtype=String),
        Field(name="vector", dtype=Array(Float32)),
        Field(name="seen", dtype=UnixTimestamp),
    ]
    pushed = PushSource(name="stats_push", batch_source=source)
    view = FeatureView(
        name="driver_stats", entities=[driver], ttl=timedelta(days=1), schema=schema, source=pushed, online=True
    )
    store.apply([driver, view, pushed])
    store.materialize(NOW - timedelta(days=10), NOW + timedelta(minutes=1))
    row = frame().iloc[[0]].assign(driver_id=9, trips=90, event_timestamp=NOW - timedelta(minutes=1))
    store.push("stats_push", row, to=PushMode.ONLINE)
    return store


@pytest.fixture(scope="module")
def served(feast, store_url, tmp_path_factory):
    source = tmp_path_factory.mktemp("source") / "project"
    source.mkdir()
    (source / "plumb.yaml").write_text(f'project: fleet_here\nfeast: {{project: fleet, url: "redis://{store_url}"}}\n')
    (source / "features.yaml").write_text(
        "{kind: entity, name: driver, join_key: driver_id, type: int64}\n---\n"
        "{kind: source, name: stats, path: stats.parquet, event_time: event_timestamp}\n---\n"
        "kind: feature_view\nname: driver_stats\nentity: driver\nsource: stats\nttl: 1d\nonline: {kind: feast}\nfeatures:\n"
        "- {name: trips, type: int64}\n- {name: rating, type: float64}\n- {name: tag, type: string}\n"
        "- {name: vector, type: list<float32>}\n- {name: seen, type: timestamp}\n"
    )
    frame().to_parquet(source / "stats.parquet")
    project = Project(source, tmp_path_factory.mktemp("fleet") / "project")
    project.run("apply", "--yes")
    server = Server(project)
    yield server
    server.stop()


def ask(server: Server, drivers: list[int | None]) -> dict:
    body = {"features": REFERENCES, "entities": {"driver_id": drivers}}
    answer = requests.post(f"{server.http}/v1/features", json=body, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()["features"]


def test_values_are_those_that_feast_answers(feast, served):
    drivers = [1, 2, 4, 9]
    want = feast.get_online_features(REFERENCES, [{"driver_id": d} for d in drivers]).to_dict()
    got = ask(served, drivers)
    # The last bit was lost on Feast's way through pandas; what it wrote is what we read.
    assert got["trips"]["values"] == want["trips"] == [10, None, 2**53, 90]
    assert got["tag"]["values"] == want["tag"]
    assert got["vector"]["values"] == [pytest.approx(vector, rel=1e-7) for vector in want["vector"]]
    for ours, feasts in zip(got["rating"]["values"], want["rating"], strict=True):
        assert ours == feasts or (ours in (None, "NaN") and pd.isna(feasts)), (ours, feasts)
    seen = [pd.Timestamp(text).timestamp() for text in got["seen"]["values"]]
    assert seen == [pd.Timestamp(value, unit="s" if isinstance(value, int) else None).timestamp() for value in want["seen"]]


def test_statuses_say_what_feast_does_not(served):
    got = ask(served, [1, 2, 3, 12345, None])
    assert got["trips"]["statuses"] == ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND", "NOT_FOUND"]
    assert got["trips"]["values"] == [10, None, None, None, None]


def test_feasts_own_client_reads_it_through_us(feast, served, tmp_path):
    (tmp_path / "feature_store.yaml").write_text(
        "project: fleet\nprovider: local\nregistry: data/registry.db\n"
        f"online_store: {{type: remote, path: {served.http}}}\n"
        "offline_store: {type: dask}\nentity_key_serialization_version: 3\n"
    )
    through = FeatureStore(str(tmp_path))
    rows = [{"driver_id": d} for d in (1, 9)]
    names = ["driver_stats:trips", "driver_stats:tag"]
    assert through.get_online_features(names, rows).to_dict() == feast.get_online_features(names, rows).to_dict()


def test_what_feast_writes_meanwhile_is_seen_and_we_write_nothing(feast, served, store_url):
    keys = lambda: {key: redis.from_url(f"redis://{store_url}").hgetall(key) for key in redis.from_url(f"redis://{store_url}").keys()}
    row = frame().iloc[[0]].assign(driver_id=1, trips=11, event_timestamp=NOW - timedelta(seconds=30))
    feast.push("stats_push", row, to=PushMode.ONLINE)
    before = keys()
    assert ask(served, [1])["trips"]["values"] == [11]
    push = {"rows": {"driver_id": [1], "event_time": [NOW.isoformat()], "trips": [12]}}
    refused = requests.post(f"{served.http}/v1/views/driver_stats/push", json=push, timeout=10)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "read_only_view"), refused.text
    refused = requests.post(f"{served.http}/v1/materialize", json={"views": ["driver_stats"]}, timeout=60)
    assert refused.status_code == 422, refused.text
    assert keys() == before
