"""A registry that the real SDK wrote becomes a project of ours that answers as Feast does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from deltalake import write_deltalake
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, RequestSource, ValueType
from feast.data_format import DeltaFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float64, Int64, Map, Set
from plumb import BINARY, Project, Server

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("import-data")
    times = [NOW - timedelta(hours=hours) for hours in (3, 2, 1)]
    drivers = pd.DataFrame(
        {
            "driver_id": [1, 1, 2],
            "customer_id": ["a", "b", "a"],
            "event_timestamp": times,
            "created": times,
            "conv_rate": [0.25, 0.5, 0.75],
            "trips": [10, 2**53 + 1, 30],
            "embedding": [[0.5, 1.0], [0.25, -1.0], [0.0, 2.5]],
            "attributes": [{"colour": "red"}, {"colour": "blue"}, {"colour": None}],
        }
    )
    drivers.to_parquet(folder / "drivers.parquet")
    write_deltalake(folder / "table", drivers[["driver_id", "event_timestamp", "trips"]])
    return folder


def definitions(data: Path) -> list:
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64, description="Who drives.")
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    source = FileSource(
        name="drivers",
        path=str(data / "drivers.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    stats = FeatureView(
        name="driver_stats",
        entities=[driver],
        ttl=timedelta(hours=36),
        schema=[Field(name="conv_rate", dtype=Float64), Field(name="trips", dtype=Int64, description="So far: all.")],
        source=source,
        owner="team@example.com",
        tags={"tier": "gold", "yes": "no"},
    )
    pairs = FeatureView(
        name="pair_stats",
        entities=[driver, customer],
        ttl=timedelta(0),
        schema=[Field(name="trips", dtype=Int64)],
        source=PushSource(name="drivers_push", batch_source=source),
    )
    vectors = FeatureView(
        name="vectors",
        entities=[driver],
        schema=[Field(name="embedding", dtype=Array(Float64))],
        source=FileSource(path=str(data / "drivers.parquet"), timestamp_field="event_timestamp"),
    )
    maps = FeatureView(
        name="maps",
        entities=[driver],
        schema=[Field(name="attributes", dtype=Map), Field(name="seen_by", dtype=Set(Int64))],
        source=FileSource(path=str(data / "drivers.parquet"), timestamp_field="event_timestamp"),
    )

    table = FeatureView(
        name="table_stats",
        entities=[driver],
        schema=[Field(name="trips", dtype=Int64)],
        source=FileSource(name="table", path=str(data / "table"), timestamp_field="event_timestamp", file_format=DeltaFormat()),
    )
    everybody = FeatureView(name="everybody", entities=[], schema=[Field(name="trips", dtype=Int64)], source=source)

    @on_demand_feature_view(
        sources=[stats, RequestSource(name="request", schema=[Field(name="bonus", dtype=Float64)])],
        schema=[Field(name="with_bonus", dtype=Float64)],
    )
    def bonus(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"with_bonus": inputs["conv_rate"] + inputs["bonus"]})

    return [
        driver,
        customer,
        stats,
        pairs,
        vectors,
        maps,
        table,
        everybody,
        bonus,
        FeatureService(name="both_v1", features=[stats, pairs], description="Two views: a name in both."),
        FeatureService(name="one_v1", features=[stats[["trips"]]]),
        FeatureService(name="bonus_v1", features=[stats, bonus]),
        FeatureService(
            name="swap_v1",
            features=[
                stats[["trips"]].with_name("giver").with_join_key_map({"driver_id": "from_id"}),
                stats[["trips"]].with_name("taker").with_join_key_map({"driver_id": "to_id"}),
            ],
        ),
    ]


@pytest.fixture(scope="module")
def feast_repo(data, tmp_path_factory) -> Path:
    return feast_repo_of(data, tmp_path_factory.mktemp("feast"))


def feast_repo_of(data: Path, above: Path) -> Path:
    folder = above / "repo"
    folder.mkdir()
    (folder / "feature_store.yaml").write_text(
        "project: rides\nprovider: local\nregistry: data/registry.db\n"
        "online_store: {type: sqlite, path: data/online.db}\nentity_key_serialization_version: 3\n"
    )
    (folder / "data").mkdir()
    FeatureStore(folder).apply(definitions(data))
    return folder


def run(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True)


def test_what_cannot_come_over_is_named(feast_repo):
    done = run("import", "feast", feast_repo / "data/registry.db")
    assert done.returncode == 1, done.stderr
    left_out = [line.removeprefix("left out: ") for line in done.stderr.splitlines()]
    assert left_out == [
        "feature `maps:seen_by`: it has Feast's type INT64_SET, for which there is none here",
        "on-demand feature view `bonus`: it is the Python function `bonus`; write its features as SQL expressions",
        "feature service `bonus_v1`: its view `bonus` was left out",
    ]


def test_what_came_over_answers_as_feast_does(feast_repo, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "plumb.yaml").write_text("project: rides\nclock: {now: 2026-11-22T18:00:00Z}\n")
    (source / "features.yaml").write_text(run("import", "feast", feast_repo / "data/registry.db").stdout)
    project = Project(source, tmp_path / "project")
    project.run("apply", "--yes")
    project.run("materialize")

    theirs = FeatureStore(feast_repo)
    views = ["driver_stats", "pair_stats", "table_stats", "everybody"]
    theirs.materialize(NOW - timedelta(days=1), NOW, feature_views=views)
    features = ["driver_stats:conv_rate", "driver_stats:trips", "pair_stats:trips", "table_stats:trips", "everybody:trips"]
    rows = {"driver_id": [1, 1, 2, 3], "customer_id": ["a", "b", "a", "a"]}
    want = theirs.get_online_features(features, rows, full_feature_names=True).to_dict()

    server = Server(project)
    try:
        body = {"entities": rows, "features": features, "full_feature_names": True}
        answer = server.ask(body).json()
        got = {
            name: result["values"]
            for name, result in zip(answer["metadata"]["feature_names"], answer["results"], strict=True)
        }
        assert got == want
        swap = {"from_id": [1, 2], "to_id": [2, 1]}
        want = theirs.get_online_features(theirs.get_feature_service("swap_v1"), swap, full_feature_names=True).to_dict()
        answer = server.ask({"entities": swap, "feature_service": "swap_v1", "full_feature_names": True}).json()
        values = [result["values"] for result in answer["results"]]
        assert dict(zip(answer["metadata"]["feature_names"], values, strict=True)) == want
        service = server.ask({"entities": rows, "feature_service": "both_v1"}).json()
        assert service["metadata"]["feature_names"] == [
            "driver_id",
            "customer_id",
            "conv_rate",
            "driver_stats__trips",
            "pair_stats__trips",
        ]
    finally:
        server.stop()


def test_the_project_that_feast_makes(tmp_path):
    """`feast init` and `feast apply`, as its documentation begins, then ours."""
    feast = Path(sys.executable).with_name("feast")

    def theirs(*words: str, folder: Path) -> None:
        done = subprocess.run([feast, *words], cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    theirs("init", "-t", "local", "shop", folder=tmp_path)
    repo = tmp_path / "shop/feature_repo"
    theirs("apply", folder=repo)
    done = run("import", "feast", repo / "data/registry.db")
    assert done.returncode == 1
    assert sorted(line.removeprefix("left out: ") for line in done.stderr.splitlines()) == LEFT_OF_THE_TEMPLATE
    # Beside their own files: the folder of the repository becomes one of ours.
    (repo / "plumb.yaml").write_text("project: shop\n")
    (repo / "features.yaml").write_text(done.stdout)
    project = Project(repo, tmp_path / "project")
    project.run("apply", "--yes")
    project.run("materialize")
    rows = pd.read_parquet(repo / "data/driver_stats.parquet").sort_values(["event_timestamp", "created"])
    [newest] = rows[rows.driver_id == 1001].tail(1).to_dict("records")
    server = Server(project)
    try:
        body = {"entities": {"driver_id": [1001]}, "features": [f"driver_hourly_stats:{name}" for name in TEMPLATE_FEATURES]}
        told = server.ask(body).json()
        values = dict(zip(told["metadata"]["feature_names"], [result["values"][0] for result in told["results"]], strict=True))
    finally:
        server.stop()
    assert values["avg_daily_trips"] == newest["avg_daily_trips"]
    assert values["conv_rate"] == float(newest["conv_rate"])
    for name in ("driver_metadata", "driver_config", "driver_profile"):
        there = newest[name] if not isinstance(newest[name], str) else json.loads(newest[name])
        assert json.loads(values[name]) == there, name


TEMPLATE_FEATURES = ["conv_rate", "acc_rate", "avg_daily_trips", "driver_metadata", "driver_config", "driver_profile"]
LEFT_OF_THE_TEMPLATE = [
    "feature service `driver_activity_v1`: its view `transformed_conv_rate` was left out",
    "feature service `driver_activity_v2`: its view `transformed_conv_rate` was left out",
    "feature service `driver_activity_v3`: its view `transformed_conv_rate_fresh` was left out",
    "label view `driver_quality_labels`: there is no such kind here",
    "on-demand feature view `transformed_conv_rate_fresh`: it is the Python function `transformed_conv_rate_fresh`; "
    "write its features as SQL expressions",
    "on-demand feature view `transformed_conv_rate`: it is the Python function `transformed_conv_rate`; "
    "write its features as SQL expressions",
]


def test_every_type_of_feast_maps_or_is_named(data, tmp_path):
    """A registry as Feast writes it has a feature of every type that its enumeration knows."""
    views = FeatureStore(feast_repo_of(data, tmp_path)).registry.proto()
    [view] = [view for view in views.feature_views if view.spec.name == "vectors"]
    plain = {ValueType.UNKNOWN, ValueType.NULL}
    for kind in (kind for kind in ValueType if kind not in plain):
        view.spec.features.add(name=f"x_{kind.name.lower()}", value_type=kind.value, tags={"a": "b"}, vector_length=3)
    (tmp_path / "registry.db").write_bytes(views.SerializeToString())
    done = run("import", "feast", tmp_path / "registry.db")
    left_out = dict(re.findall(r"^left out: feature `vectors:(x_\w+)`: (.*)$", done.stderr, re.MULTILINE))
    here = dict(re.findall(r"^  - \{name: (x_\w+), type: (.*)\}$", done.stdout, re.MULTILINE))
    for kind in (kind for kind in ValueType if kind not in plain):
        name = f"x_{kind.name.lower()}"
        assert (name in left_out) != (name in here), (name, done.stdout, done.stderr)
        assert name in here or kind.name in left_out[name] or f"number {kind.value}" in left_out[name], left_out[name]
    assert {here[f"x_{kind}"] for kind in ("bytes_list", "int32_list", "bool_list")} == {
        "list<bytes>",
        "list<int32>",
        "list<bool>",
    }


def test_what_is_no_registry_is_refused(tmp_path):
    file = tmp_path / "registry.db"
    for content in (b"", b"SQLite format 3\0", b"\xff\xff"):
        file.write_bytes(content)
        done = run("import", "feast", file)
        assert done.returncode == 2
        assert "is no registry file of Feast" in done.stderr
    assert run("import", "feast", tmp_path / "nothing").returncode == 2
