"""Level 1: the SDK reads our registry."""

from __future__ import annotations

from datetime import timedelta

import feast
import grpc
import pytest
from feast.data_source import PushSource
from feast.protos.feast.registry import RegistryServer_pb2, RegistryServer_pb2_grpc
from feast.types import Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp
from feast.value_type import ValueType


def test_views_have_their_columns_types_and_words(kinds_store):
    assert [view.name for view in kinds_store.list_feature_views()] == ["day_stats", "kinds", "limits", "trip_stats"]
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
    }
    assert (view.description, view.owner, view.tags) == ("A column of every type.", "team@example.com", {"tier": "gold"})
    assert view.features[0].description == "A truth value."
    assert (view.entities, [(c.name, c.dtype) for c in view.entity_columns]) == (["card"], [("card_id", Int64)])
    assert view.ttl == timedelta(0)
    assert view.batch_source.timestamp_field == "event_time"
    assert isinstance(view.stream_source, PushSource)
    assert view.stream_source.name == "kinds_push"
    assert view.stream_source.batch_source.path == "data/kinds.parquet"


def test_the_current_version_is_shown(kinds_store):
    view = kinds_store.get_feature_view("limits")
    assert (view.ttl, view.current_version_number) == (timedelta(hours=3), 2)


def test_an_entity_of_two_keys_is_two_entities(kinds_store):
    entities = {entity.name: (entity.join_key, entity.value_type) for entity in kinds_store.list_entities()}
    assert entities == {
        "card": ("card_id", ValueType.INT64),
        "day": ("opened_at", ValueType.UNIX_TIMESTAMP),
        "trip.origin": ("origin", ValueType.STRING),
        "trip.destination": ("destination", ValueType.STRING),
    }
    assert kinds_store.get_entity("card").join_key == "card_id"
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
    assert [s.name for s in kinds_store.list_feature_services()] == ["mixed_v1"]


def test_tags_filter(kinds_store):
    assert [view.name for view in kinds_store.list_feature_views(tags={"tier": "gold"})] == ["kinds"]
    assert kinds_store.list_feature_views(tags={"tier": "iron"}) == []
    assert [s.name for s in kinds_store.list_feature_services(tags={"model": "fraud"})] == ["mixed_v1"]


def test_the_lists_that_push_reads_answer(kinds_store):
    registry, project = kinds_store.registry, kinds_store.project
    names = {view.name for view in registry.list_all_feature_views(project)}
    assert names == {"day_stats", "kinds", "limits", "trip_stats"}
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
    assert {view.spec.name for view in whole.feature_views} == {"day_stats", "kinds", "limits", "trip_stats"}
    assert [service.spec.name for service in whole.feature_services] == ["mixed_v1"]


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
