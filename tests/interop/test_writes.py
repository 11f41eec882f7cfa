"""What the real SDK writes: pushes, writes to the online store, materializing. And the same over plain HTTP."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import feast.errors
import pandas as pd
import pytest
import requests
from feast import FeatureStore
from feast.data_source import PushMode
from plumb import ROOT, Project, Server, feature_store

VIEW = "user_features"
FEATURES = [f"{VIEW}:total_orders", f"{VIEW}:avg_order_value"]


@pytest.fixture
def shop(tmp_path):
    """The demo, applied but not online, and its server."""
    project = Project(ROOT / "examples/repeat_purchase", tmp_path / "shop")
    project.run("apply", "--yes")
    server = Server(project)
    yield server
    server.stop()


@pytest.fixture
def store(shop, tmp_path) -> FeatureStore:
    return FeatureStore(feature_store(tmp_path / "repo", "repeat_purchase", shop, remote=True))


def frame(user: int, orders: int, at: str = "1998-06-30T12:00:00") -> pd.DataFrame:
    instant = pd.Timestamp(at)
    return pd.DataFrame(
        {
            "user_id": [user],
            "event_time": [instant],
            "total_orders": [orders],
            "avg_order_value": [12.5],
            "last_order_at": [instant],
            "total_cds": [3],
        }
    )


def orders(store: FeatureStore, user: int) -> int | None:
    return store.get_online_features(FEATURES, [{"user_id": user}]).to_dict()["total_orders"][0]


def test_materialize(store):
    with pytest.raises(feast.errors.FeastError, match="is not materialized"):
        orders(store, 4)
    store.materialize(datetime(1997, 1, 1, tzinfo=UTC), datetime(1998, 7, 1, tzinfo=UTC), feature_views=[VIEW])
    assert orders(store, 4) == 4
    store.materialize_incremental(datetime(1998, 7, 1, tzinfo=UTC))
    assert orders(store, 4) == 4


def test_write_to_online_store_brings_the_view_online_first(store):
    store.write_to_online_store(VIEW, frame(4, 50))
    assert orders(store, 4) == 50
    # The others have what history says.
    assert orders(store, 7592) is not None


def test_push(store):
    store.push(f"{VIEW}_push", frame(4, 51))
    assert orders(store, 4) == 51
    store.push(f"{VIEW}_push", frame(4, 49, "1998-06-29T12:00:00"))
    assert orders(store, 4) == 51, "an older one does not win"
    store.push(f"{VIEW}_push", frame(90_000, 1), to=PushMode.ONLINE)
    assert orders(store, 90_000) == 1
    with pytest.raises(feast.errors.PushSourceNotFoundException):
        store.push("nobody", frame(4, 1))


def body(user: int, value: object, at: object = "1998-06-30T12:00:00Z", **more: object) -> dict:
    return {
        "push_source_name": f"{VIEW}_push",
        "df": {"user_id": [user], "event_time": [at], "total_orders": [value], "avg_order_value": [1.0], **more},
    }


@pytest.mark.parametrize(
    "at",
    ["1998-06-30T12:00:00", "1998-06-30 12:00:00", "1998-06-30T14:00:00+02:00", 899208000, 899208000000, 899208000000000],
)
def test_push_takes_times_of_every_kind(shop, at):
    body_of = body(4, 60, at, source_column=["of the source, none of the view's"])
    answer = requests.post(f"{shop.http}/push", json=body_of, timeout=60)
    assert (answer.status_code, answer.content) == (200, b"")
    told = shop.ask({"entities": {"user_id": [4]}, "features": FEATURES}).json()["results"]
    assert told[1]["values"] == [60]
    assert told[1]["event_timestamps"] == ["1998-06-30T12:00:00Z"]


@pytest.mark.parametrize(
    ("path", "change", "status", "name"),
    [
        ("/push", {"push_source_name": "nobody"}, 422, "PushSourceNotFoundException"),
        ("/push", {"to": "nowhere"}, 422, "FeastError"),
        ("/push", {"df": {}}, 422, "FeastError"),
        ("/push", {"df": {"user_id": ["x"], "event_time": ["1998-06-30T12:00:00Z"], "total_orders": [1]}}, 422, "FeastError"),
        ("/push", {"df": {"user_id": [1], "event_time": ["soon"], "total_orders": [1]}}, 422, "FeastError"),
        ("/push", {"df": {"user_id": [1, 2], "event_time": [0], "total_orders": [1]}}, 422, "FeastError"),
        ("/push", {"df": 1}, 422, "FeastError"),
        ("/write-to-online-store", {"feature_view_name": "nope"}, 404, "FeatureViewNotFoundException"),
        ("/materialize", {"start_ts": None, "end_ts": "1998-01-01"}, 422, "FeastError"),
        ("/materialize", {"start_ts": "1998-01-02", "end_ts": "1998-01-01"}, 422, "FeastError"),
        ("/materialize", {"disable_event_timestamp": True, "feature_views": ["nope"]}, 404, "FeatureViewNotFoundException"),
        ("/materialize", {"disable_event_timestamp": True, "version": "v1"}, 422, "FeastError"),
        ("/materialize-incremental", {}, 422, "FeastError"),
    ],
)
def test_a_mistake_is_never_the_servers_fault(shop, path, change, status, name):
    sent = {**body(4, 1), "feature_view_name": VIEW} if "materialize" not in path else {}
    answer = requests.post(f"{shop.http}{path}", json={**sent, **change}, timeout=60)
    assert answer.status_code == status, answer.text
    told = json.loads(answer.json())
    assert (told["module"], told["class"]) == ("feast.errors", name)


def test_materialize_over_http(shop):
    def run(path: str, **sent: object) -> requests.Response:
        return requests.post(f"{shop.http}{path}", json=sent, timeout=60)

    accepted = run("/materialize?async=true", disable_event_timestamp=True)
    assert (accepted.status_code, accepted.json()) == (202, {"status": "accepted", "feature_views": [VIEW]})
    until = time.monotonic() + 60
    while time.monotonic() < until:
        done = run("/materialize", disable_event_timestamp=True, feature_views=[VIEW], version="v1")
        if done.status_code != 409:
            break
        assert done.json()["feature_views"] == [VIEW]
    assert (done.status_code, done.json()) == (200, None)
    assert run("/materialize-incremental", end_ts="1998-07-01T00:00:00").status_code == 200
    told = requests.post(f"{shop.http}/v1/materialize", json={"views": [VIEW], "fresh": True}, timeout=60).json()
    assert told["materialized"][0]["how"] == "built"


def test_data_of_the_request(tmp_path):
    project = Project(ROOT / "examples/repeat_purchase", tmp_path / "shop")
    (project.folder / "features/basket.yaml").write_text(
        "kind: on_demand_view\n"
        "name: basket\n"
        "inputs: [user_features:avg_order_value]\n"
        "request: [{name: amount, type: float64}]\n"
        "features: [{name: ratio, type: float64, expr: amount / avg_order_value}]\n"
    )
    project.run("apply", "--yes")
    project.run("materialize")
    server = Server(project)
    try:
        asked = {"entities": {"amount": [10, 20.5], "user_id": [4, 4]}, "features": ["basket:ratio", FEATURES[1]]}
        answer = server.ask(asked).json()
        assert answer["metadata"]["feature_names"] == ["user_id", "amount", "ratio", "avg_order_value"]
        values = [result["values"] for result in answer["results"]]
        assert values[1] == [10.0, 20.5]
        assert values[2] == [10.0 / values[3][0], 20.5 / values[3][0]]
        del asked["entities"]["amount"]
        missing = server.ask(asked)
        assert missing.status_code == 404
        assert "RequestDataNotFoundInEntityRowsException" in missing.text
        sdk = FeatureStore(feature_store(tmp_path / "repo", "repeat_purchase", server, remote=True))
        rows = [{"user_id": 4, "amount": 10.0}]
        frame = sdk.get_online_features(["basket:ratio", FEATURES[1]], rows).to_df()
        assert frame["ratio"][0] == 10.0 / frame["avg_order_value"][0]
    finally:
        server.stop()
