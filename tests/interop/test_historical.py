"""Level 3: the SDK's `get_historical_features` from our Arrow Flight, and the same rows by plain HTTP."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from datetime import UTC, datetime

import feast.errors
import moments
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.flight
import pytest
import requests
from feast import FeatureStore, arrow_error_handler
from feast.data_source import PushMode
from feast.feature_logging import FeatureServiceLoggingSource, LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage
from feast.infra.offline_stores import remote
from feast.infra.offline_stores.remote import RemoteOfflineStore
from moments import CASES, T0, VIEWS
from plumb import ROOT, Project, Server, feature_store

CASE_KEYS = list(range(len(CASES)))
F = [f"{view}:v" for view in VIEWS]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moments")
    moments.write(folder / "source")
    project = Project(folder / "source", folder / "project")
    project.run("apply", "--yes")
    server = Server(project)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def store(server, tmp_path_factory) -> FeatureStore:
    return FeatureStore(feature_store(tmp_path_factory.mktemp("moments-repo") / "repo", "moments", server, remote=True))


def frame(keys, times=None, **more) -> pd.DataFrame:
    times = [T0] * len(keys) if times is None else times
    return pd.DataFrame({"k": keys, "event_timestamp": times, **more})


def values(frame: pd.DataFrame, column: str) -> list[float | None]:
    return [None if pd.isna(value) else value for value in frame[column]]


def test_every_case(store):
    got = store.get_historical_features(frame(CASE_KEYS), F, full_feature_names=True).to_df()
    assert list(got.columns) == ["k", "event_timestamp", "f__v", "f_forever__v", "f_before__v"]
    assert got["k"].tolist() == CASE_KEYS
    found = zip(*(values(got, f"{view}__v") for view in VIEWS), strict=True)
    assert dict(zip((case for case, _, _ in CASES), found, strict=True)) == {case: want for case, _, want in CASES}


def test_the_order_and_every_row_are_kept(store):
    """10 and 18: duplicates, other columns and any order."""
    keys = [7, 0, 3, 7, 7, 1, 0]
    labels = [1, 0, 1, 0, 1, 1, 0]
    texts = ["g", "a", None, "g", "h", "", "é"]
    got = store.get_historical_features(frame(keys, label=labels, text=texts), ["f:v"]).to_df()
    assert (got["k"].tolist(), got["label"].tolist(), got["text"].tolist()) == (keys, labels, texts)
    want = {key: CASES[key][2][0] for key in keys}
    assert values(got, "v") == [want[key] for key in keys]


def test_an_index_of_the_frame_changes_nothing(store):
    entities = frame([0, 1]).set_index(pd.Index([5, 3], name=None))
    got = store.get_historical_features(entities[::-1], ["f:v"]).to_df()
    assert (list(got.columns), got["k"].tolist()) == (["k", "event_timestamp", "v"], [1, 0])


def test_null_keys_are_null_and_stay_integers(store):
    """14: pandas makes floats of them."""
    entities = frame([7, None, 0])
    assert entities["k"].dtype == np.float64
    got = store.get_historical_features(entities, ["f:v"]).to_arrow()
    assert got.schema.field("k").type == pa.int64()
    assert (got["k"].to_pylist(), got["v"].to_pylist()) == ([7, None, 0], [CASES[7][2][0], None, 1.0])
    nothing = store.get_historical_features(frame(pd.Series([None, None], dtype="Int64")), ["f:v"]).to_df()
    assert values(nothing, "v") == [None, None]
    with pytest.raises(feast.errors.FeastError, match=r"column `k` has 0\.5 in row 1"):
        store.get_historical_features(frame([7, 0.5, None]), ["f:v"]).to_df()


def test_times_of_every_kind(store, tmp_path):
    """15, 16, 21, 28."""
    zoned = T0.tz_convert("America/New_York")
    naive = T0.tz_localize(None)
    text = "2024-01-01T13:00:00+01:00"
    for times in ([zoned], [naive], [text], [T0.to_pydatetime()]):
        got = store.get_historical_features(frame([0], times), ["f:v"]).to_df()
        assert values(got, "v") == [1.0], times
    nothing = store.get_historical_features(frame([0, 0], [T0, pd.NaT]), ["f:v"]).to_df()
    assert values(nothing, "v") == [1.0, None]
    # The client makes every zone UTC unless it is told not to; then the zone is kept.
    text = (store.repo_path / "feature_store.yaml").read_text()
    (tmp_path / "feature_store.yaml").write_text(text + "coerce_tz_aware: false\n")
    plain = FeatureStore(tmp_path)
    for times, dtype in ((zoned, "datetime64[us, America/New_York]"), (naive, "datetime64[us]")):
        entities = frame([0], pd.Series([times]).astype(dtype))
        got = plain.get_historical_features(entities, ["f:v"]).to_df()
        assert (values(got, "v"), str(got["event_timestamp"].dtype)) == ([1.0], dtype)


def test_the_column_of_times(store):
    entities = frame([0]).rename(columns={"event_timestamp": "at"})
    assert values(store.get_historical_features(entities, ["f:v"]).to_df(), "v") == [1.0]
    # Of two it is the one with the name.
    entities = frame([0], [T0], other=[T0 - pd.Timedelta(days=400)], event_time=[T0 - pd.Timedelta(days=400)])
    assert values(store.get_historical_features(entities, ["f:v"]).to_df(), "v") == [1.0]


def test_a_frame_without_a_clear_time_is_refused(server, store):
    many = frame([0]).rename(columns={"event_timestamp": "at"}).assign(until=[T0])
    none = pd.DataFrame({"k": [0], "label": [1]})
    for entities in (many, none):
        with pytest.raises(Exception, match="(?i)event_timestamp"):
            store.get_historical_features(entities, ["f:v"]).to_df()
    # The client looks before it asks; another would be told.
    client = remote.build_arrow_flight_client("http", *server.grpc.split(":"), store.config.auth_config)
    asked = {"feature_view_names": ["f"], "feature_refs": ["f:v"], "project": "moments"}
    with pytest.raises(feast.errors.FeastError, match="no column `event_timestamp`, and several of times: .*at.* and .*until"):
        remote._call_exchange("get_historical_features", asked, client, many, None)
    with pytest.raises(feast.errors.FeastError, match="no column `event_timestamp`, and no other of times"):
        remote._call_exchange("get_historical_features", asked, client, none, None)


def test_sources_with_other_names_and_zones(store):
    """17, 22, 24, 30."""
    refs = ["mapped:vv", "naive:w", "f:v"]
    got = store.get_historical_features(frame([1, 2]), refs).to_df()
    assert list(got.columns) == ["k", "event_timestamp", "vv", "w", "v"]
    assert (values(got, "vv"), values(got, "w"), values(got, "v")) == ([3.0, None], [1.0, None], [1.0, None])


def test_composite_keys(store):
    """19: compared part by part."""
    pairs = [("1", "11"), ("11", "1"), ("1", "23"), ("12", "3"), ("a|b", "c"), ("a", "b|c"), ("a|", "b|c"), ("1", None)]
    entities = pd.DataFrame(pairs, columns=["a", "b"])
    entities["event_timestamp"] = T0
    got = store.get_historical_features(entities, ["pairs:p"]).to_df()
    assert values(got, "p") == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, None, None]
    with pytest.raises(feast.errors.FeastError, match="no column `b`, the join key of feature view `pairs`"):
        store.get_historical_features(entities[["a", "event_timestamp"]], ["pairs:p"]).to_df()


def test_narrow_keys_join_and_texts_are_refused(store):
    """25, 26."""
    got = store.get_historical_features(frame(np.array([0, 1], np.int32)), ["f:v"]).to_arrow()
    assert (got.schema.field("k").type, got["v"].to_pylist()) == (pa.int32(), [1.0, 1.0])
    with pytest.raises(feast.errors.FeastError, match="column `k` is string, but the join key of entity `e` is int64"):
        store.get_historical_features(frame(["0"]), ["f:v"]).to_df()


def test_an_empty_frame_has_all_columns(store):
    """27."""
    empty = frame([0]).iloc[:0].astype({"k": "int64"})
    job = store.get_historical_features(empty, ["f:v", "mapped:vv"])
    got = job.to_arrow()
    assert (got.num_rows, got.column_names) == (0, ["k", "event_timestamp", "v", "vv"])
    assert got.schema.field("v").type == pa.float64()


def test_names_that_collide(store):
    """23, and two features of one name."""
    with pytest.raises(feast.errors.FeatureNameCollisionError):
        store.get_historical_features(frame([0]), F).to_df()
    taken = frame([0], v=[7.0])
    with pytest.raises(feast.errors.FeastError, match="column `v` has the name of a feature .* `f`"):
        store.get_historical_features(taken, ["f:v"]).to_df()
    got = store.get_historical_features(taken, ["f:v"], full_feature_names=True).to_df()
    assert (values(got, "v"), values(got, "f__v")) == ([7.0], [1.0])


def test_services(store):
    service = store.get_feature_service("s")
    got = store.get_historical_features(frame([1, 0]), service).to_df()
    assert list(got.columns) == ["k", "event_timestamp", "v", "vv"]
    assert (values(got, "v"), values(got, "vv")) == ([1.0, 1.0], [3.0, None])
    full = store.get_historical_features(frame([1]), service, full_feature_names=True).to_df()
    assert list(full.columns) == ["k", "event_timestamp", "f__v", "mapped__vv"]


def aliased(store, views, features, entities) -> pd.DataFrame:
    """As the SDK does with a service's projections. A service is the registry's to it, so views are renamed here."""
    asked = [store.config, views, features, entities, store.registry, "moments", True]
    return RemoteOfflineStore.get_historical_features(*asked).to_df()


def test_one_view_by_two_columns(store):
    """The client sends a service's aliases, and not by which columns they join."""
    ends = pd.DataFrame({"left_k": [0, 7, 5], "right_k": [7, 0, 0], "other_k": [3, 4, 0], "event_timestamp": [T0] * 3})
    want = {key: CASES[key][2][0] for key in [0, 5, 7, 3, 4]}
    view = store.get_feature_view("f")
    left = view.with_name("left").with_join_key_map({"k": "left_k"})
    right = view.with_name("right").with_join_key_map({"k": "right_k"})
    service = store.get_feature_service("two_ends")
    by_service = store.get_historical_features(ends, service, full_feature_names=True).to_df()
    for got in (by_service, aliased(store, [left, right], ["left:v", "right:v"], ends)):
        assert list(got.columns) == [*ends.columns, "left__v", "right__v"]
        assert values(got, "left__v") == [want[key] for key in ends["left_k"]]
        assert values(got, "right__v") == [want[key] for key in ends["right_k"]]
    with pytest.raises(feast.errors.FeatureNameCollisionError):
        store.get_historical_features(ends, service)
    got = store.get_historical_features(ends, store.get_feature_service("other_end")).to_df()
    assert values(got, "v") == [want[key] for key in ends["other_k"]]
    with pytest.raises(feast.errors.FeastError, match="join view f as right by different columns"):
        aliased(store, [right, view], ["right:v", "f:v"], ends.assign(k=0))


def test_an_alias_that_no_service_declares(store):
    view = store.get_feature_view("f")
    got = aliased(store, [view, view.with_name("again")], ["f:v", "again:v"], frame([0, 7]))
    assert list(got.columns) == ["k", "event_timestamp", "f__v", "again__v"]
    assert values(got, "f__v") == values(got, "again__v") == [CASES[0][2][0], CASES[7][2][0]]
    elsewhere = view.with_name("again").with_join_key_map({"k": "x"})
    with pytest.raises(feast.errors.FeastError, match="no column `k`, the join key of feature view `again`"):
        aliased(store, [elsewhere], ["again:v"], frame([0]).rename(columns={"k": "x"}))
    with pytest.raises(feast.errors.FeatureViewNotFoundException, match="nope"):
        view.name = "nope"
        aliased(store, [view.with_name("again")], ["again:v"], frame([0]))


def test_a_query_is_a_spine(store):
    sql = "SELECT k, ts AS event_timestamp, v AS label FROM rows WHERE v = 1.0 AND k IN (0, 1) ORDER BY k DESC"
    got = store.get_historical_features(sql, ["f:v"], full_feature_names=True).to_df()
    assert (got["k"].tolist(), got["label"].tolist(), values(got, "f__v")) == ([1, 0], [1.0, 1.0], [1.0, 1.0])
    with pytest.raises(feast.errors.FeastError, match="nope"):
        store.get_historical_features("SELECT * FROM nope", ["f:v"]).to_df()
    with pytest.raises(feast.errors.FeastError, match="DDL"):
        store.get_historical_features("DROP TABLE rows", ["f:v"]).to_df()


def test_what_is_not_applied_is_named(store):
    with pytest.raises(feast.errors.FeatureViewNotFoundException, match="nope"):
        store.get_historical_features(frame([0]), ["nope:v"]).to_df()
    # The client looks for features itself.
    with pytest.raises(KeyError, match="nope"):
        store.get_historical_features(frame([0]), ["f:nope"])
    asked = [store.config, [store.get_feature_view("f")], ["f:nope"], frame([0]), store.registry]
    with pytest.raises(feast.errors.FeastObjectNotFoundException, match="nope of feature view f does not exist"):
        RemoteOfflineStore.get_historical_features(*asked, "moments").to_df()
    with pytest.raises(feast.errors.ProjectObjectNotFoundException, match="this server has project `moments`"):
        RemoteOfflineStore.get_historical_features(*asked, "another").to_df()


def test_what_cannot_be_had_is_refused_with_advice(store):
    with pytest.raises(feast.errors.FeastError, match="There is no entity_df"):
        store.get_historical_features(None, ["f:v"], start_date=datetime(2024, 1, 1), end_date=datetime(2024, 1, 2)).to_df()
    with pytest.raises(NotImplementedError):
        store.get_historical_features(frame([0]), ["f:v"], filter_by_created_timestamp=True)
    job = store.get_historical_features(frame([0]), ["f:v"])
    with pytest.raises(feast.errors.FeastError, match="no saved datasets"):
        job.persist(SavedDatasetFileStorage("saved.parquet"))
    logs = FeatureServiceLoggingSource(store.get_feature_service("s"), "moments")
    logging = LoggingConfig(destination=FileLoggingDestination(path="logs"))
    with pytest.raises(feast.errors.FeastError, match="plumb logs what it predicts by itself"):
        RemoteOfflineStore.write_logged_features(store.config, pa.table({"x": [1]}), logs, logging, store.registry)
    source = store.get_feature_view("f").batch_source
    pull = [store.config, source, ["k"], ["v"], "ts", None, datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)]
    for job in (RemoteOfflineStore.pull_latest_from_table_or_query(*pull), RemoteOfflineStore.pull_all_from_table_or_query(*pull)):
        with pytest.raises(feast.errors.FeastError, match="plumb materialize"):
            job.to_arrow()


def test_sources_are_described(store):
    source = store.get_feature_view("f").batch_source
    offline = RemoteOfflineStore()
    columns = dict(offline.get_table_column_names_and_types_from_data_source(store.config, source))
    assert columns == {
        "k": "int64",
        "v": "double",
        "ts": "timestamp[ns, tz=UTC]",
        "created": "timestamp[ns, tz=UTC]",
    }
    offline.validate_data_source(store.config, source)
    source.name = "nope_rows"
    with pytest.raises(feast.errors.DataSourceObjectNotFoundException, match="nope_rows"):
        offline.validate_data_source(store.config, source)


def test_an_unknown_command_is_refused(server):
    client = pa.flight.FlightClient(f"grpc+tcp://{server.grpc}")
    for command in (b"{}", b'{"api": "drop_everything"}', b"nonsense"):
        writer, reader = client.do_exchange(pa.flight.FlightDescriptor.for_command(command))
        table = pa.table({"key": ["mock_key"]})
        writer.begin(table.schema)
        writer.write_table(table)
        writer.done_writing()
        with pytest.raises(pa.ArrowInvalid, match="Flight error: .*no command of Feast's offline store"):
            reader.read_all()


def test_a_client_that_reads_by_puts_is_told_which_one_to_use(server):
    client = pa.flight.FlightClient(f"grpc+tcp://{server.grpc}")
    command = {"api": "get_historical_features", "feature_view_names": ["f"], "feature_refs": ["f:v"], "project": "moments"}
    table = pa.Table.from_pandas(frame([0]))
    writer, _ = client.do_put(pa.flight.FlightDescriptor.for_command(json.dumps(command)), table.schema)
    writer.write_table(table)
    with pytest.raises(pa.ArrowInvalid, match="get_historical_features is not asked for by a put: .* use 0.67"):
        writer.close()


def test_who_stops_sending_gives_the_place_back(server, store):
    """As many builds as there are places: two calls that begin a table and send no more of it."""
    client = pa.flight.FlightClient(f"grpc+tcp://{server.grpc}")
    asked = {"command_id": "c", "api": "get_historical_features", "feature_view_names": ["f"], "feature_refs": ["f:v"]}
    command = json.dumps({**asked, "project": "moments", "name_aliases": [None]})
    stopped = []
    for _ in range(2):
        writer, reader = client.do_exchange(pa.flight.FlightDescriptor.for_command(command))
        writer.begin(pa.Table.from_pandas(frame([0])).schema)
        stopped.append((writer, reader))
    assert len(store.get_historical_features(frame([0]), ["f:v"]).to_df()) == 1
    for _, reader in stopped:
        with pytest.raises(pa.ArrowInvalid, match="nothing of the table came for 30 s"):
            reader.read_all()


def test_many_rows(store):
    """More than one message each way."""
    n = 300_000
    got = store.get_historical_features(frame(np.arange(n) % len(CASES)), ["f:v"]).to_df()
    assert (len(got), got["k"].tolist()) == (n, (np.arange(n) % len(CASES)).tolist())
    want = [want[0] for _, _, want in CASES]
    assert values(got.tail(len(CASES) * 3), "v") == [want[key] for key in got["k"].tail(len(CASES) * 3)]


def test_what_is_written_is_history(tmp_path):
    project = Project(ROOT / "examples/repeat_purchase", tmp_path / "shop")
    project.run("apply", "--yes")
    server = Server(project)
    try:
        store = FeatureStore(feature_store(tmp_path / "repo", "repeat_purchase", server, remote=True))
        at = pd.Timestamp("1998-06-29T12:00:00Z")
        rows = pd.DataFrame(
            {
                "user_id": [1_000_001, 1_000_002],
                "event_time": [at, at],
                "total_orders": [41, None],
                "avg_order_value": [12.5, None],
                "last_order_at": [at, at],
                "total_cds": [3, 4],
            }
        )
        for _ in range(2):
            # Pandas has made floats of the orders; the second time changes nothing.
            store.write_to_offline_store("user_features", rows.head(1))
            store.push("user_features_push", rows.tail(1), to=PushMode.OFFLINE)
        refs = ["user_features:total_orders", "user_features:total_cds", "user_features:days_since_last_order"]

        def known(instant: str) -> pd.DataFrame:
            entities = pd.DataFrame({"user_id": [1_000_001, 1_000_002], "event_timestamp": [pd.Timestamp(instant)] * 2})
            return store.get_historical_features(entities, refs).to_df()

        # Without a created time they became known when they came, by the project's clock on the first of July.
        assert values(known("1998-06-30T12:00:00Z"), "total_cds") == [None, None]
        got = known("1998-07-01T12:00:00Z")
        assert (values(got, "total_orders"), values(got, "total_cds")) == ([41, None], [3, 4])
        assert values(got, "days_since_last_order") == [2.0, 2.0]
        wrong = pa.Table.from_pandas(rows.assign(total_cds="many"))
        view = store.get_feature_view("user_features")
        with pytest.raises(feast.errors.FeastError, match="total_cds"):
            RemoteOfflineStore.offline_write_batch(store.config, view, wrong, None)
        with pytest.raises(feast.errors.FeastError, match="user_id"):
            RemoteOfflineStore.offline_write_batch(store.config, view, wrong.drop_columns(["user_id"]), None)
        with pytest.raises(ValueError, match="missing_expected_columns"):
            store.write_to_offline_store("user_features", rows.drop(columns=["total_cds"]))
    finally:
        server.stop()


def test_plain_http_gives_the_same_table(server, store):
    """`POST /v1/training-sets`, read by pyarrow: a frame as an Arrow stream, and rows of JSON."""
    entities = frame([7, None, 0, 5], label=[1, 0, 1, 0])
    table = pa.Table.from_pandas(entities)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    url = f"{server.http}/v1/training-sets"
    kind = {"Content-Type": "application/vnd.apache.arrow.stream"}
    answer = requests.post(url, params={"service": "s@v1"}, data=sink.getvalue().to_pybytes(), headers=kind, timeout=60)
    assert answer.status_code == 200, answer.text
    got = pa.ipc.open_stream(answer.content).read_all()
    want = store.get_historical_features(entities, store.get_feature_service("s")).to_arrow()
    assert got.equals(want)
    assert got.schema.metadata[b"plumb.service"] == b"s"
    assert b"digest" in got.schema.metadata[b"plumb.lineage"]

    rows = [{"k": k, "event_timestamp": "2024-01-01T12:00:00Z", "label": 1} for k in (7, None, 0)]
    answer = requests.post(url, json={"service": "s", "spine": rows}, timeout=60)
    got = pa.ipc.open_stream(answer.content).read_all()
    assert got["v"].to_pylist() == want["v"].to_pylist()[:3]
    # While it comes: pyarrow reads from the socket.
    with requests.post(url, json={"service": "s", "spine": {"sql": "SELECT k, ts AS event_time FROM rows"}}, stream=True, timeout=60) as answer:
        got = pa.ipc.open_stream(answer.raw).read_all()
    assert got.num_rows == sum(len(rows) for _, rows, _ in CASES)
    refused = requests.post(url, json={"service": "s", "spine": [{"k": "x", "event_time": "2024-01-01"}]}, timeout=60)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "wrong_spine")


class Cut:
    """A way to a server that breaks off after some bytes of its answers."""

    def __init__(self, to: str, allowed: int | None, port: int = 0) -> None:
        host, there = to.split(":")
        self.to = (host, int(there))
        self.allowed = allowed
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.n_came = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                came, _ = self.listener.accept()
            except OSError:
                return
            self.n_came += 1
            there = socket.create_connection(self.to)
            threading.Thread(target=self.pump, args=(came, there, None), daemon=True).start()
            threading.Thread(target=self.pump, args=(there, came, self.allowed), daemon=True).start()

    def pump(self, source: socket.socket, sink: socket.socket, allowed: int | None) -> None:
        n_bytes = 0
        try:
            while data := source.recv(4096):
                n_bytes += len(data)
                if allowed is not None and n_bytes > allowed:
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def exchanges(server: Server) -> int:
    text = requests.get(f"{server.http}/metrics", timeout=10).text
    found = re.findall(r'plumb_training_sets_total\{[^}]*protocol="flight"[^}]*\} (\d+)', text)
    return sum(map(int, found))


def by_way_of(server: Server, port: int, folder) -> FeatureStore:
    """Training sets come through another port; definitions from the server itself."""
    config = feature_store(folder / "repo", "moments", server, remote=True) / "feature_store.yaml"
    there = server.grpc.split(":")[1]
    config.write_text(config.read_text().replace(f"port: {there}", f"port: {port}"))
    return FeatureStore(config.parent)


def test_a_call_that_cannot_be_opened_is_tried_again(server, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    through = by_way_of(server, port, tmp_path)
    job = through.get_historical_features(frame([0]), ["f:v"])
    waits, sleep = [], time.sleep

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            Cut(server.grpc, None, port)
        # gRPC itself looks again only after a while.
        sleep(seconds)

    monkeypatch.setattr(arrow_error_handler.time, "sleep", wait)
    got = job.to_df()
    monkeypatch.undo()
    assert values(got, "v") == [1.0]
    assert waits == [0.5, 1.0, 2.0][: len(waits)]
    assert waits, "nobody was there at first"


def test_a_stream_that_broke_is_not_begun_again(server, tmp_path, monkeypatch):
    """Only what could not be opened is tried again, by the client; a training set is not built twice unasked."""
    way = Cut(server.grpc, 10_000)
    through = by_way_of(server, way.port, tmp_path)
    waits = []
    monkeypatch.setattr(arrow_error_handler.time, "sleep", waits.append)
    before = exchanges(server)
    n = 100_000
    with pytest.raises(Exception, match="(?i)unavailable|reset|closed|broken") as caught:
        through.get_historical_features(frame(np.arange(n) % len(CASES)), ["f:v"]).to_df()
    assert not isinstance(caught.value, AssertionError)
    monkeypatch.undo()
    # The server notes it when it has noticed.
    for _ in range(600):
        if exchanges(server) > before:
            break
        time.sleep(0.05)
    assert (waits, exchanges(server) - before, way.n_came) == ([], 1, 1)
