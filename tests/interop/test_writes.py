"""What the real SDK writes: pushes, writes to the online store, materializing. And the same over plain HTTP."""

from __future__ import annotations

import fcntl
import json
import re
import time
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import feast.errors
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
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


def everything(shop, user: int) -> dict:
    """What is told of a user, online and at an instant of history; tokens name the instant they were made at."""
    told = shop.ask({"entities": {"user_id": [user]}, "features": FEATURES}).json()
    del told["metadata"]["replay_token"], told["metadata"]["freshness_ms"]
    spine = [{"user_id": user, "event_time": "1998-07-01T00:00:00Z"}]
    sent = {"spine": spine, "features": FEATURES}
    trained = requests.post(f"{shop.http}/v1/training-sets", json=sent, timeout=60)
    return {"online": told, "trained": pa.ipc.open_stream(trained.content).read_all().to_pydict()}


@pytest.mark.parametrize("way", ["push", "write_to_online_store"])
def test_what_is_sent_twice_changes_nothing(shop, store, way):
    """The client sends again what it got no answer to."""
    send = (lambda rows: store.push(f"{VIEW}_push", rows)) if way == "push" else (lambda rows: store.write_to_online_store(VIEW, rows))
    send(frame(4, 50))
    once = everything(shop, 4)
    assert once["online"]["results"][1]["values"] == [50]
    send(frame(4, 50))
    assert everything(shop, 4) == once
    # Also when something newer came between.
    send(frame(4, 60, "1998-06-30T18:00:00"))
    newer = everything(shop, 4)
    assert newer["online"]["results"][1]["values"] == [60]
    send(frame(4, 50))
    assert everything(shop, 4) == newer
    sent = {**body(4, 60), "feature_view_name": VIEW}
    path = "/push" if way == "push" else "/write-to-online-store"
    answers = [requests.post(f"{shop.http}{path}", json=sent, timeout=60) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert everything(shop, 4) == newer, "an older row, three times"


def test_push_says_where_to(shop):
    """History has what is pushed in every case; it is online at once unless it is only for history."""

    def push(user: int, **more: object) -> None:
        answer = requests.post(f"{shop.http}/push", json={**body(user, 70), **more}, timeout=60)
        assert (answer.status_code, answer.content) == (200, b"")

    def online(user: int) -> list:
        return shop.ask({"entities": {"user_id": [user]}, "features": FEATURES}).json()["results"][1]["values"]

    push(90_001, to="online_and_offline")
    push(90_002, to="offline")
    push(90_003, to=None)
    assert [online(user)[0] for user in (90_001, 90_002, 90_003)] == [70, None, 70]
    for user in (90_001, 90_002, 90_003):
        spine = [{"user_id": user, "event_time": "1998-07-01T00:00:00Z"}]
        trained = requests.post(f"{shop.http}/v1/training-sets", json={"spine": spine, "features": FEATURES}, timeout=60)
        assert pa.ipc.open_stream(trained.content).read_all()["total_orders"].to_pylist() == [70], user
    done = requests.post(f"{shop.http}/materialize", json={"disable_event_timestamp": True}, timeout=60)
    assert (done.status_code, online(90_002)) == (200, [70])


def test_an_int_in_a_column_of_floats_is_a_float(shop, store):
    sent = body(4, 50)
    sent["df"]["avg_order_value"] = [12]
    assert requests.post(f"{shop.http}/push", json=sent, timeout=60).status_code == 200
    told = shop.ask({"entities": {"user_id": [4]}, "features": FEATURES})
    assert '"values":[12.0]' in told.text
    assert store.get_online_features(FEATURES, [{"user_id": 4}]).to_df()["avg_order_value"].tolist() == [12.0]
    assert everything(shop, 4)["trained"]["avg_order_value"] == [12.0]
    store.write_to_online_store(VIEW, frame(4, 51, "1998-06-30T18:00:00").assign(avg_order_value=13))
    assert everything(shop, 4)["trained"]["avg_order_value"] == [13.0]


def test_push_of_is_deleted(shop, store):
    """The client's `push` sends what the view declares and leaves out the mark, so it is sent as the route has it."""
    for hour, value, deleted, told in [(12, 51, False, 51), (13, 51, True, None), (14, 52, False, 52)]:
        sent = body(4, value, f"1998-06-30T{hour}:00:00Z", is_deleted=[deleted])
        answer = requests.post(f"{shop.http}/push", json=sent, timeout=60)
        assert (answer.status_code, answer.content) == (200, b"")
        assert orders(store, 4) == told


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


def test_materialize_by_force_builds_anew(shop):
    def run(query: str = "") -> str:
        done = requests.post(f"{shop.http}/materialize{query}", json={"disable_event_timestamp": True}, timeout=60)
        assert (done.status_code, done.json()) == (200, None), done.text
        # A replay token names the generation that answered, and here the clock stands.
        answer = shop.ask({"entities": {"user_id": [4]}, "features": FEATURES}).json()
        return answer["metadata"]["replay_token"]

    first = run()
    assert run() == first, "there was nothing to do"
    assert run("?force=false") == first
    assert run("?force=true") != first


def test_the_sdk_may_say_that_nothing_is_to_be_transformed(shop, store):
    """A frame has all columns that a view stores; ours has none that is computed on write."""
    store.push(f"{VIEW}_push", frame(4, 50), transform_on_write=False)
    assert orders(store, 4) == 50
    for path, named in [("push", {"push_source_name": f"{VIEW}_push"}), ("write-to-online-store", {"feature_view_name": VIEW})]:
        sent = {**body(4, 51, "1998-06-30T13:00:00Z"), **named, "transform_on_write": False, "allow_registry_cache": False}
        done = requests.post(f"{shop.http}/{path}", json=sent, timeout=60)
        assert done.status_code == 200, done.text
        assert orders(store, 4) == 51


def test_materialize_incremental_of_a_version_and_by_force(shop):
    def run(query: str = "", **more: object) -> requests.Response:
        sent = {"end_ts": "1998-07-01T00:00:00Z", **more}
        return requests.post(f"{shop.http}/materialize-incremental{query}", json=sent, timeout=60)

    def token() -> str:
        answer = shop.ask({"entities": {"user_id": [4]}, "features": FEATURES}).json()
        return answer["metadata"]["replay_token"]

    done = run(feature_views=[VIEW], version="v1")
    assert (done.status_code, done.json()) == (200, None), done.text
    first = token()
    assert run(feature_views=[VIEW], version="v1").status_code == 200
    assert token() == first, "there was nothing to do"
    assert run("?force=true", feature_views=[VIEW], version="v1").status_code == 200
    assert token() != first
    for wrong, status, name in [
        ({"feature_views": [VIEW], "version": "v9"}, 404, "FeatureViewVersionNotFound"),
        ({"version": "v1"}, 422, "FeastError"),
    ]:
        refused = run(**wrong)
        assert (refused.status_code, json.loads(refused.json())["class"]) == (status, name), refused.text


def test_while_another_materializes(shop):
    requests.post(f"{shop.http}/materialize", json={"disable_event_timestamp": True}, timeout=60)
    [lease] = (shop.folder / ".plumb/offline/views" / VIEW).glob("*/lease")
    with lease.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for path in ["materialize", "materialize?async=true", "materialize-incremental", "materialize-incremental?async=true"]:
            window = {"disable_event_timestamp": True, "end_ts": "1998-07-01T00:00:00Z"}
            taken = requests.post(f"{shop.http}/{path}", json=window, timeout=60)
            assert taken.status_code == 409, path
            assert set(taken.json()) == {"error", "feature_views"}
            assert f"`{VIEW}@v1` is being materialized already" in taken.json()["error"]
            assert taken.json()["feature_views"] == [VIEW]
    done = requests.post(f"{shop.http}/materialize", json={"disable_event_timestamp": True}, timeout=60)
    assert done.status_code == 200


def test_the_sdk_reads_the_conflict(shop, store):
    store.materialize_incremental(datetime(1998, 7, 1, tzinfo=UTC))
    [lease] = (shop.folder / ".plumb/offline/views" / VIEW).glob("*/lease")
    with lease.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match="is being materialized already"):
            store.materialize_incremental(datetime(1998, 7, 1, tzinfo=UTC))


def test_materialize_a_version_that_is_not_the_current(tmp_path):
    project = Project(ROOT / "examples/repeat_purchase", tmp_path / "shop")
    project.run("apply", "--yes")
    project.edit("features/user_features.yaml", "ttl: 365d", "ttl: 300d")
    project.run("apply", "--yes")
    server = Server(project)
    try:
        sent = {"disable_event_timestamp": True, "feature_views": [VIEW], "version": "v1"}
        done = requests.post(f"{server.http}/materialize", json=sent, timeout=60)
        assert (done.status_code, done.json()) == (200, None), done.text
        asked = {"entities": {"user_id": [4]}, "features": [f"{VIEW}@v1:total_orders"]}
        assert server.ask(asked).json()["results"][1]["values"] == [4]
        now = server.ask({**asked, "features": [f"{VIEW}:total_orders"]})
        assert (now.status_code, "not materialized" in now.text) == (409, True), now.text
        nope = requests.post(f"{server.http}/materialize", json={**sent, "version": "v9"}, timeout=60)
        assert (nope.status_code, json.loads(nope.json())["class"]) == (404, "FeatureViewVersionNotFound")
    finally:
        server.stop()


RICH = """
{kind: entity, name: e, join_key: k, type: int64}
---
{kind: source, name: rows, path: rows.parquet, event_time: at, created_time: known}
---
kind: feature_view
name: rich
entity: e
source: rows
features:
  - {name: n, type: int64}
  - {name: seen, type: timestamp}
  - {name: about, type: json}
  - {name: floats, type: list<float64>}
  - {name: ints, type: list<int64>}
  - {name: texts, type: list<string>}
"""


@pytest.fixture
def rich(tmp_path):
    """A view of the types that the client writes in forms of their own, with a created time by another name. Bytes it cannot
    write at all."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "plumb.yaml").write_text("project: rich\nclock: {now: 2026-11-22T18:00:00Z}\n")
    (source / "features.yaml").write_text(RICH)
    time_type = pa.timestamp("us", "UTC")
    schema = {"k": pa.int64(), "at": time_type, "known": time_type, "n": pa.int64(), "seen": time_type, "about": pa.string()}
    schema |= {"floats": pa.list_(pa.float64()), "ints": pa.list_(pa.int64()), "texts": pa.list_(pa.string())}
    pq.write_table(pa.schema(list(schema.items())).empty_table(), source / "rows.parquet")
    project = Project(source, tmp_path / "rich")
    project.run("apply", "--yes")
    server = Server(project)
    yield server, FeatureStore(feature_store(tmp_path / "rich-repo", "rich", server, remote=True))
    server.stop()


def rich_row(n: int, known: str | None = None) -> pd.DataFrame:
    at = pd.Timestamp("2026-11-22T12:00:00Z")
    return pd.DataFrame(
        {
            "k": [1],
            "at": [at],
            "known": [pd.Timestamp(known) if known else pd.NaT],
            "n": [n],
            "seen": [pd.Timestamp("2026-11-22T11:58:24Z")],
            "about": ['{"b": [1, {}], "a": null}'],
            "floats": [[1.0, 2.5]],
            "ints": [[1, 2**53 + 1]],
            "texts": [["a", ""]],
        }
    )


def test_the_sdk_writes_values_of_every_form(rich):
    server, store = rich
    store.write_to_online_store("rich", rich_row(7, "2026-11-22T13:00:00Z"))
    names = ["n", "seen", "about", "floats", "ints", "texts"]
    answer = store.get_online_features([f"rich:{name}" for name in names], [{"k": 1}]).to_dict()
    assert {name: answer[name][0] for name in names} == {
        "n": 7,
        "seen": 1795348704,
        # Text as it is kept: names in order.
        "about": '{"a":null,"b":[1,{}]}',
        "floats": [1.0, 2.5],
        "ints": [1, 2**53 + 1],
        "texts": ["a", ""],
    }
    frame = pd.DataFrame({"k": [1], "event_timestamp": [pd.Timestamp("2026-11-22T18:00:00Z")]})
    trained = store.get_historical_features(frame, [f"rich:{name}" for name in names]).to_arrow().to_pylist()[0]
    assert trained["seen"] == datetime(2026, 11, 22, 11, 58, 24, tzinfo=UTC)
    assert (trained["ints"], trained["about"]) == ([1, 2**53 + 1], '{"a":null,"b":[1,{}]}')


NARROW = """
{kind: entity, name: e, join_key: k, type: int32}
---
{kind: source, name: rows, path: rows.parquet, event_time: at}
---
kind: feature_view
name: narrow
entity: e
source: rows
features:
  - {name: f32, type: float32}
  - {name: f64, type: float64}
  - {name: i8, type: int8}
  - {name: i32, type: int32}
  - {name: u8, type: uint8}
  - {name: u64, type: uint64}
  - {name: born, type: date}
  - {name: lasts, type: duration}
  - {name: price, type: "decimal(10,2)"}
  - {name: vector, type: "list<float32, 2>"}
  - {name: small, type: list<int16>}
"""
NARROW_FEATURES = ["f32", "f64", "i8", "i32", "u8", "u64", "born", "lasts", "price", "vector", "small"]


@pytest.fixture
def narrow(tmp_path):
    """A view of the types that pandas does not write by itself."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "plumb.yaml").write_text("project: narrow\nclock: {now: 2026-11-22T18:00:00Z}\n")
    (source / "features.yaml").write_text(NARROW)
    schema = {"k": pa.int32(), "at": pa.timestamp("us", "UTC"), "f32": pa.float32(), "f64": pa.float64(), "i8": pa.int8()}
    schema |= {"i32": pa.int32(), "u8": pa.uint8(), "u64": pa.uint64(), "born": pa.date32(), "lasts": pa.duration("ns")}
    schema |= {"price": pa.decimal128(10, 2), "vector": pa.list_(pa.float32()), "small": pa.list_(pa.int16())}
    pq.write_table(pa.schema(list(schema.items())).empty_table(), source / "rows.parquet")
    project = Project(source, tmp_path / "narrow")
    project.run("apply", "--yes")
    server = Server(project)
    yield server, FeatureStore(feature_store(tmp_path / "narrow-repo", "narrow", server, remote=True))
    server.stop()


def narrow_rows(**other: object) -> pd.DataFrame:
    """Columns as pandas has them: of 64 bits, or objects."""
    columns = {"k": [1, 2], "at": [pd.Timestamp("2026-11-22T12:00:00Z")] * 2, "f32": [0.1, None], "f64": [1, 2]}
    columns |= {"i8": [-128, 127], "i32": [1.0, None], "u8": [255, 0], "u64": [7, 2**53 + 1]}
    columns |= {"born": [pd.Timestamp("2000-02-29"), pd.NaT], "lasts": ["PT1H30M", None], "price": ["12.50", None]}
    columns |= {"vector": [[0.1, 1.0], None], "small": [[1, -2], []]}
    return pd.DataFrame(columns | other)


NARROW_VALUES = {
    "f32": [float(np.float32(0.1)), None],
    "f64": [1.0, 2.0],
    "i8": [-128, 127],
    "i32": [1, None],
    "u8": [255, 0],
    "u64": [7, 2**53 + 1],
    "born": [date(2000, 2, 29), None],
    "lasts": [timedelta(minutes=90), None],
    "price": [Decimal("12.50"), None],
    "vector": [[float(np.float32(0.1)), 1.0], None],
    "small": [[1, -2], []],
}


def narrow_trained(server) -> dict:
    spine = [{"k": key, "event_time": "2026-11-22T18:00:00Z"} for key in (1, 2)]
    sent = {"spine": spine, "features": [f"narrow:{name}" for name in NARROW_FEATURES]}
    answer = requests.post(f"{server.http}/v1/training-sets", json=sent, timeout=60)
    assert answer.status_code == 200, answer.text
    table = pa.ipc.open_stream(answer.content).read_all()
    return {name: table[name].to_pylist() for name in NARROW_FEATURES}


@pytest.mark.parametrize("way", ["offline", "both", "online", "write_to_offline_store", "write_to_online_store"])
def test_frames_of_pandas_are_taken_in_the_types_of_the_view(narrow, way):
    server, store = narrow
    rows, want = narrow_rows(), dict(NARROW_VALUES)
    if way in ("both", "online", "write_to_online_store"):
        # Its client makes protobuf of what goes online, and JSON of that, which has no decimals.
        rows = rows.astype({"i32": "Int64", "f64": "float64"}).assign(price=None)
        want["price"] = [None, None]
    modes = {"offline": PushMode.OFFLINE, "both": PushMode.ONLINE_AND_OFFLINE, "online": PushMode.ONLINE}
    if way in modes:
        store.push("narrow_push", rows, to=modes[way])
    else:
        getattr(store, way)("narrow", rows)
    assert narrow_trained(server) == want


def test_its_client_writes_no_decimals_online(narrow):
    """docs/feast.md says what to do instead."""
    server, store = narrow
    rows = narrow_rows().astype({"i32": "Int64", "f64": "float64"})
    with pytest.raises(TypeError, match="Decimal"):
        store.write_to_online_store("narrow", rows)
    store.write_to_offline_store("narrow", rows)
    store.materialize_incremental(datetime(2026, 11, 22, 18, tzinfo=UTC))
    told = server.ask({"entities": {"k": [1]}, "features": ["narrow:price", "narrow:born"]}).json()
    assert [result["values"] for result in told["results"]] == [[1], ["12.50"], [951782400]]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("i8", 128, "column `i8` has 128 in row 1, which is no int8"),
        ("u8", -1, "column `u8` has -1 in row 1, which is no uint8"),
        ("i32", 0.5, "column `i32` has 0.5 in row 1, but integers are needed"),
        ("f32", 1e39, "column `f32` has 1e39 in row 1, which is no float32"),
        ("f64", 2**53 + 1, "column `f64` has 9007199254740993 in row 1, which is no float64"),
        ("born", pd.Timestamp("2000-02-29T12:00:00"), "column `born` has 2000-02-29T12:00:00 in row 1, which is no date"),
        ("price", "12.505", "column `price` has 12.505 in row 1, which is no decimal(10,2)"),
        ("small", [40000], "column `small` has [40000] in row 1, which is no list<int16>"),
    ],
)
def test_a_value_that_its_type_lacks_is_named(narrow, column, value, words):
    server, store = narrow
    first = narrow_rows()[column].tolist()[0]
    with pytest.raises(Exception, match=re.escape(words)):
        store.write_to_offline_store("narrow", narrow_rows(**{column: [first, value]}))
    assert narrow_trained(server)["u64"] == [None, None], "nothing of it was written"


def test_a_day_is_the_midnight_with_which_it_begins(narrow):
    """Feast has no dates: what a date comes as is the instant at which it begins."""
    server, _ = narrow

    def write(at: object) -> requests.Response:
        sent = {"k": [1], "event_timestamp": ["2026-11-22T12:00:00"], "created": [None], "born": [at]}
        return requests.post(f"{server.http}/write-to-online-store", json={"feature_view_name": "narrow", "df": sent}, timeout=60)

    for at in ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00", 951782400, "2000-02-29"):
        assert write(at).status_code == 200, at
        assert narrow_trained(server)["born"][0] == date(2000, 2, 29)
    refused = write("2000-02-29T12:00:00Z")
    assert refused.status_code == 422
    assert "born[0]` is" in refused.text
    assert "which is no date" in refused.text


def test_json_keeps_the_digits_of_its_numbers(rich):
    server, store = rich
    store.write_to_online_store("rich", rich_row(7).assign(about=['{"n": 123456789012345678901234567890}']))
    told = store.get_online_features(["rich:about"], [{"k": 1}]).to_dict()["about"]
    assert told == ['{"n":123456789012345678901234567890}']


def test_what_became_known_later_wins_in_any_order(rich):
    """The client sends it as `created`, whatever the view calls it; of two facts of one instant it decides."""
    server, store = rich

    def told() -> int:
        return store.get_online_features(["rich:n"], [{"k": 1}]).to_dict()["n"][0]

    for n, known, want in [(1, "13:00", 1), (2, "12:30", 1), (3, "14:00", 3), (4, "13:30", 3)]:
        store.write_to_online_store("rich", rich_row(n, f"2026-11-22T{known}:00Z"))
        assert told() == want, (n, known)
    # Without one it became known when it came, by the server's clock.
    sent = {"k": [1], "event_timestamp": ["2026-11-22T12:00:00"], "created": [None], "n": [5]}
    answer = requests.post(f"{server.http}/write-to-online-store", json={"feature_view_name": "rich", "df": sent}, timeout=60)
    assert (answer.status_code, answer.json(), told()) == (200, None, 5)


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


def test_keys_that_are_uuids_and_times_of_microseconds(tmp_path):
    """The client writes UUIDs as texts; a time has as many digits as it needs."""
    one, other = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), uuid.UUID(int=7)
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "plumb.yaml").write_text("project: uuids\nclock: {now: 2024-02-01T00:00:00Z}\n")
    (folder / "features.yaml").write_text(
        "{kind: entity, name: device, join_key: device_id, type: string}\n---\n"
        "{kind: source, name: rows, path: rows.csv, event_time: at}\n---\n"
        "{kind: feature_view, name: f, entity: device, source: rows, features: [{name: x, type: int64}]}\n"
    )
    (folder / "rows.csv").write_text(f"device_id,at,x\n{one},2024-01-01T00:00:00.000250Z,5\n{other},2024-01-01,6\n")
    project = Project(folder, tmp_path / "project")
    project.run("apply", "--yes")
    project.run("materialize")
    server = Server(project)
    try:
        store = FeatureStore(feature_store(tmp_path / "repo", "uuids", server, remote=True))
        asked = [{"device_id": one}, {"device_id": other}, {"device_id": uuid.UUID(int=8)}]
        assert store.get_online_features(["f:x"], asked).to_dict()["x"] == [5, 6, None]
        keys = [str(one), str(other), str(uuid.UUID(int=8)), "not a uuid"]
        answer = server.ask({"entities": {"device_id": keys}, "features": ["f:x"]}).json()["results"][1]
        assert answer["statuses"] == ["PRESENT", "PRESENT", "NOT_FOUND", "NOT_FOUND"]
        assert answer["event_timestamps"] == [
            "2024-01-01T00:00:00.000250Z",
            "2024-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
        ]
        # And written: three digits, nine.
        for key, at in [(other, "2024-01-02T00:00:00.125Z"), (one, "2024-01-02T00:00:00.000000001Z")]:
            df = {"device_id": [str(key)], "event_timestamp": [at], "x": [7]}
            sent = {"push_source_name": "f_push", "df": df}
            assert requests.post(f"{server.http}/push", json=sent, timeout=60).status_code == 200
        answer = server.ask({"entities": {"device_id": keys[:2]}, "features": ["f:x"]}).json()["results"][1]
        assert answer["event_timestamps"] == ["2024-01-02T00:00:00.000000001Z", "2024-01-02T00:00:00.125Z"]
    finally:
        server.stop()
