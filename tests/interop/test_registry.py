"""Level 1: the SDK reads our registry."""

from __future__ import annotations

from datetime import timedelta

import feast
import grpc
import kinds_data
import pandas as pd
import pytest
from feast.data_format import ParquetFormat
from feast.data_source import PushSource
from feast.infra.offline_stores.remote import RemoteOfflineStore
from feast.protos.feast.registry import RegistryServer_pb2, RegistryServer_pb2_grpc
from feast.types import Array, Bool, Bytes, Decimal, Float32, Float64, Int32, Int64, Json, String, UnixTimestamp
from feast.value_type import ValueType

VIEWS = ["city_stats", "day_stats", "kinds", "limits", "totals", "trip_stats"]
SERVICES = ["baskets", "mixed_v1", "routes"]


def test_views_have_their_columns_types_and_words(kinds_store):
    assert [view.name for view in kinds_store.list_feature_views()] == VIEWS
    view = kinds_store.get_feature_view("kinds")
    assert {field.name: field.dtype for field in view.features} == {
        "f_bool": Bool,
        "f_int8": Int32,
        "f_int16": Int32,
        "f_int32": Int32,
        "f_int64": Int64,
        "f_uint8": Int32,
        "f_uint16": Int32,
        "f_uint32": Int64,
        "f_uint64": Int64,
        "f_float32": Float32,
        "f_float64": Float64,
        "f_string": String,
        "f_bytes": Bytes,
        "f_date": UnixTimestamp,
        "f_timestamp": UnixTimestamp,
        "f_floats": Array(Float64),
        "f_ints": Array(Int64),
        "f_texts": Array(String),
        "f_blobs": Array(Bytes),
        "f_times": Array(UnixTimestamp),
        "f_vector": Array(Float32),
        "f_json": Json,
        "f_decimal": Decimal,
        "f_duration": String,
    }
    assert (view.description, view.owner, view.tags) == ("A column of every type.", "team@example.com", {"tier": "gold"})
    assert view.features[0].description == "A truth value."
    assert (view.entities, [(c.name, c.dtype) for c in view.entity_columns]) == (["card"], [("card_id", Int64)])
    assert view.ttl == timedelta(0)
    assert view.batch_source.timestamp_field == "event_time"
    assert isinstance(view.stream_source, PushSource)
    assert view.stream_source.name == "kinds_push"
    assert view.stream_source.batch_source.path == "data/kinds.parquet"


def test_no_view_has_a_state_that_holds_its_features_back(kinds):
    with grpc.insecure_channel(kinds.grpc) as channel:
        stub = RegistryServer_pb2_grpc.RegistryServerStub(channel)
        asked = RegistryServer_pb2.ListFeatureViewsRequest(project="kinds")
        views = stub.ListFeatureViews(asked).feature_views
        assert sorted(view.spec.name for view in views) == VIEWS
        assert {view.meta.state for view in views} == {0}, "STATE_UNSPECIFIED"


def test_sources_have_their_words_and_formats(kinds_store):
    cities = kinds_store.get_data_source("city_stats_rows")
    assert (cities.description, cities.owner, cities.tags) == ("What is known of cities.", "maps@example.com", {"layer": "raw"})
    assert (cities.field_mapping, cities.path, cities.timestamp_field) == ({"city": "city_id"}, "data/cities.csv", "event_time")
    # Feast has no word for texts.
    assert cities.file_format is None
    assert kinds_store.get_data_source("kinds_rows").file_format == ParquetFormat()
    pushed = kinds_store.get_feature_view("city_stats").stream_source
    assert (pushed.batch_source.tags, pushed.batch_source.field_mapping) == ({"layer": "raw"}, {"city": "city_id"})


def test_the_current_version_is_shown(kinds_store):
    view = kinds_store.get_feature_view("limits")
    assert (view.ttl, view.current_version_number) == (timedelta(hours=3), 2)


def test_an_entity_of_two_keys_is_two_entities(kinds_store):
    entities = {entity.name: (entity.join_key, entity.value_type) for entity in kinds_store.list_entities()}
    assert entities == {
        "card": ("card_id", ValueType.INT64),
        "city": ("city_id", ValueType.STRING),
        "day": ("opened_at", ValueType.UNIX_TIMESTAMP),
        "trip.origin": ("origin", ValueType.STRING),
        "trip.destination": ("destination", ValueType.STRING),
    }
    card = kinds_store.get_entity("card")
    assert (card.join_key, card.description, card.owner, card.tags) == (
        "card_id",
        "A payment card.",
        "cards@example.com",
        {"domain": "payments"},
    )
    view = kinds_store.get_feature_view("trip_stats")
    assert view.entities == ["trip.origin", "trip.destination"]
    assert [column.name for column in view.entity_columns] == ["origin", "destination"]


def test_services_name_their_features(kinds_store):
    service = kinds_store.get_feature_service("mixed_v1")
    features = {p.name: [field.name for field in p.features] for p in service.feature_view_projections}
    assert features == {"kinds": ["f_float64", "f_string"], "limits": ["f_int64"]}
    assert (service.description, service.owner, service.tags) == (
        "Two views and a renamed feature.",
        "team@example.com",
        {"model": "fraud"},
    )
    # It pins the version that was current when it was declared, which here is the current one.
    assert [p.version_tag for p in service.feature_view_projections] == [None, None]
    assert [s.name for s in kinds_store.list_feature_services()] == SERVICES


def test_a_service_that_uses_a_view_twice(kinds_store):
    service = kinds_store.get_feature_service("routes")
    told = [(p.name, p.name_alias, p.join_key_map, [f.name for f in p.features]) for p in service.feature_view_projections]
    assert told == [
        ("city_stats", "origin", {"city_id": "origin_id"}, ["population"]),
        ("city_stats", "destination", {"city_id": "destination_id"}, ["population"]),
    ]
    rows = [{"origin_id": "a", "destination_id": "b"}, {"origin_id": "b", "destination_id": "x"}]
    answer = kinds_store.get_online_features(service, rows, full_feature_names=True).to_dict()
    assert answer == {
        "origin_id": ["a", "b"],
        "destination_id": ["b", "x"],
        "origin__population": [100, 200],
        "destination__population": [200, None],
    }
    frame = pd.DataFrame(rows).assign(event_timestamp=pd.Timestamp(kinds_data.NOW))
    trained = kinds_store.get_historical_features(frame, service, full_feature_names=True).to_arrow()
    assert trained.drop_columns(["event_timestamp"]).to_pydict() == answer


def test_a_service_of_an_older_version(kinds_store):
    service = kinds_store.get_feature_service("mixed_v1@v1")
    assert service.name == "mixed_v1@v1"
    assert [(p.name, p.version_tag, p.name_to_use()) for p in service.feature_view_projections] == [
        ("kinds", None, "kinds"),
        ("limits", 1, "limits@v1"),
    ]
    answer = kinds_store.get_online_features(service, [{"card_id": 1}, {"card_id": 3}], full_feature_names=True).to_dict()
    assert list(answer) == ["card_id", "kinds__f_float64", "limits@v1__f_int64", "kinds__f_string"]
    assert answer["limits@v1__f_int64"] == [7, None]
    frame = pd.DataFrame({"card_id": [1, 3], "event_timestamp": [pd.Timestamp(kinds_data.NOW)] * 2})
    # The client reads no versions from a remote registry, whatever the registry says; the server does.
    with pytest.raises(ValueError, match="online versioning is disabled"):
        kinds_store.get_historical_features(frame, service, full_feature_names=True)
    views = [kinds_store.get_feature_view("limits")]
    asked = [kinds_store.config, views, ["limits@v1:f_int64"], frame, kinds_store.registry, "kinds", True]
    trained = RemoteOfflineStore.get_historical_features(*asked).to_arrow()
    assert trained.column_names == ["card_id", "event_timestamp", "limits@v1__f_int64"]
    assert trained["limits@v1__f_int64"].to_pylist() == [7, None]


def test_a_service_with_an_on_demand_view(kinds_store):
    service = kinds_store.get_feature_service("baskets")
    assert {p.name_to_use(): [f.name for f in p.features] for p in service.feature_view_projections} == {
        "basket": ["ratio"],
        "kinds": ["f_int64"],
    }
    rows = [{"card_id": 1, "amount": 3.0}, {"card_id": 9, "amount": 1.0}]
    answer = kinds_store.get_online_features(service, rows, full_feature_names=True).to_dict()
    assert (answer["basket__ratio"], answer["kinds__f_int64"]) == ([3.0, None], [7, None])
    frame = pd.DataFrame(rows).assign(event_timestamp=pd.Timestamp(kinds_data.NOW))
    trained = kinds_store.get_historical_features(frame, service, full_feature_names=True).to_arrow()
    assert trained.column_names == ["card_id", "amount", "event_timestamp", "basket__ratio", "kinds__f_int64"]
    assert trained["basket__ratio"].to_pylist() == [3.0, None]
    with pytest.raises(feast.errors.FeastError, match="amount"):
        kinds_store.get_historical_features(frame.drop(columns=["amount"]), service).to_arrow()
    # To the client it is a view that nobody writes to.
    view = kinds_store.registry.get_any_feature_view("basket", "kinds")
    assert (view.description, view.tags) == ("What a purchase is to the card.", {"plumb.request": "amount: float64"})
    assert [(f.name, f.dtype, f.description) for f in view.features] == [("ratio", Float64, "A share.")]


def test_a_view_without_an_entity(kinds_store):
    view = kinds_store.registry.get_feature_view("totals", "kinds")
    assert (view.entities, [column.name for column in view.entity_columns]) == (["__dummy"], ["__dummy_id"])
    # The SDK leaves it out of its list.
    assert kinds_store.registry.get_entity("__dummy", "kinds").join_key == "__dummy_id"
    answer = kinds_store.get_online_features(["totals:last_trips", "kinds:f_int64"], [{"card_id": 1}]).to_dict()
    assert answer == {"card_id": [1], "last_trips": [5], "f_int64": [7]}
    frame = pd.DataFrame({"event_timestamp": pd.to_datetime(["2026-11-22T17:30:00Z", "2026-11-22T18:00:00Z"])})
    trained = kinds_store.get_historical_features(frame, ["totals:last_trips"]).to_arrow()
    assert trained.column_names == ["event_timestamp", "last_trips"]
    assert trained["last_trips"].to_pylist() == [3, 5]
    row = pd.DataFrame({"event_time": [pd.Timestamp(kinds_data.NOW)], "last_trips": [5]})
    kinds_store.push("totals_push", row)
    assert kinds_store.get_online_features(["totals:last_trips"], [{"card_id": 1}]).to_dict()["last_trips"] == [5]


def test_tags_filter(kinds_store):
    assert [view.name for view in kinds_store.list_feature_views(tags={"tier": "gold"})] == ["kinds"]
    assert kinds_store.list_feature_views(tags={"tier": "iron"}) == []
    assert [s.name for s in kinds_store.list_feature_services(tags={"model": "fraud"})] == ["mixed_v1"]


def test_the_lists_that_push_reads_answer(kinds_store):
    registry, project = kinds_store.registry, kinds_store.project
    names = {view.name for view in registry.list_all_feature_views(project)}
    assert names == set(VIEWS)
    assert registry.list_stream_feature_views(project) == []
    assert registry.list_on_demand_feature_views(project) == []
    assert registry.list_label_views(project) == []
    sources = {source.name for source in kinds_store.list_data_sources()}
    assert {"kinds_push", "kinds_rows", "trip_stats_push"} <= sources
    assert registry.get_any_feature_view("kinds", project).name == "kinds"
    assert kinds_store.get_data_source("limits_push").name == "limits_push"


def test_projects_and_the_whole_registry(kinds_store):
    assert [project.name for project in kinds_store.list_projects()] == ["kinds"]
    assert kinds_store.get_project("kinds").name == "kinds"
    kinds_store.refresh_registry()
    whole = kinds_store.registry.proto()
    assert {view.spec.name for view in whole.feature_views} == set(VIEWS)
    assert [service.spec.name for service in whole.feature_services] == SERVICES


def test_another_project_is_empty(kinds, kinds_store):
    assert kinds_store.registry.list_feature_views("another") == []
    with pytest.raises(feast.errors.FeatureViewNotFoundException, match="this server has project `kinds`"):
        kinds_store.registry.get_feature_view("kinds", "another")


def test_every_method_answers_or_is_unimplemented(kinds):
    """Errors of a method that nobody reads must not look like an outage: the SDK's callers retry those."""
    with grpc.insecure_channel(kinds.grpc) as channel:
        stub = RegistryServer_pb2_grpc.RegistryServerStub(channel)
        methods = RegistryServer_pb2.DESCRIPTOR.services_by_name["RegistryServer"].methods
        codes = {}
        for method in methods:
            try:
                getattr(stub, method.name)(method.input_type._concrete_class())
                codes[method.name] = grpc.StatusCode.OK
            except grpc.RpcError as error:
                codes[method.name] = error.code()
    known = {grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED}
    assert set(codes.values()) <= known, codes
    reads = [name for name, code in codes.items() if code == grpc.StatusCode.OK]
    assert {"ListFeatureViews", "ListAllFeatureViews", "ListFeatureServices", "Proto", "Refresh"} <= set(reads)


def test_the_health_service_answers(kinds):
    def request(service: bytes) -> bytes:
        return b"\x0a" + bytes([len(service)]) + service

    with grpc.insecure_channel(kinds.grpc) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        serving = b"\x08\x01"
        assert check(b"") == serving
        assert check(request(b"feast.registry.RegistryServer")) == serving
        with pytest.raises(grpc.RpcError) as caught:
            check(request(b"nope"))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
