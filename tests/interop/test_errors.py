"""What the SDK raises, and that a user's mistake costs one POST."""

from __future__ import annotations

import time

import feast.errors
import grpc
import pytest

ROWS = [{"user_id": 1}]


@pytest.mark.parametrize(
    ("features", "rows", "raised", "words"),
    [
        (["nope:x"], ROWS, "FeatureViewNotFoundException", "Feature view nope does not exist in project repeat_purchase"),
        (["user_feature:x"], ROWS, "FeatureViewNotFoundException", "did you mean `user_features`?"),
        (["user_features@v9:x"], ROWS, "FeatureViewVersionNotFound", "Version 9 of feature view user_features does not"),
        (["user_features@x:x"], ROWS, "FeatureViewNotFoundException", "Feature view user_features@x does not exist"),
        (["user_features:x"], ROWS, "FeastObjectNotFoundException", "Feature x of feature view user_features does not"),
        (["user_features"], ROWS, "FeastError", "`user_features` does not name a feature"),
        (["user_features:total_orders"] * 2, ROWS, "FeatureNameCollisionError", "Duplicate features named total_orders"),
        (["user_features:total_orders"], [{"user_id": "x"}], "FeastError", "is the text \"x\", but the join key is int64"),
        (["user_features:total_orders"], [{"user_id": 1.5}], "FeastError", "the join key is int64"),
        (["user_features:total_orders"], [{"uid": 1}], "FeastError", "lacks join key `user_id`"),
        ([], ROWS, "FeastError", "No features specified"),
    ],
)
def test_a_mistake_is_raised_as_its_class_and_costs_one_post(demo, demo_store, features, rows, raised, words):
    before, started = demo.posts(), time.perf_counter()
    with pytest.raises(feast.errors.FeastError, match=None) as caught:
        demo_store.get_online_features(features, rows)
    assert type(caught.value).__name__ == raised
    assert words in str(caught.value)
    after = demo.posts()
    assert sum(after.values()) - sum(before.values()) == 1, (before, after)
    assert all(status < 500 for status in after)
    assert time.perf_counter() - started < 1.0


def test_an_unknown_service_is_raised_from_both_protocols(demo, remote_store):
    service = remote_store.get_feature_service("repeat_purchase_v1")
    service.name = "nope"
    with pytest.raises(feast.errors.FeatureServiceNotFoundException, match="Feature service nope does not exist"):
        remote_store.get_online_features(service, ROWS)
    with pytest.raises(feast.errors.FeatureServiceNotFoundException, match="did you mean `repeat_purchase_v1`"):
        remote_store.get_feature_service("repeat_purchase_v")


@pytest.mark.parametrize(
    ("call", "raised"),
    [
        (lambda fs: fs.get_feature_view("nope"), "FeatureViewNotFoundException"),
        (lambda fs: fs.get_entity("nope"), "EntityNotFoundException"),
        (lambda fs: fs.get_data_source("nope"), "DataSourceObjectNotFoundException"),
        (lambda fs: fs.registry.get_any_feature_view("nope", fs.project), "FeatureViewNotFoundException"),
        (lambda fs: fs.get_project("nope"), "ProjectObjectNotFoundException"),
    ],
)
def test_what_the_registry_lacks_is_raised_as_its_class(remote_store, call, raised):
    with pytest.raises(feast.errors.FeastObjectNotFoundException) as caught:
        call(remote_store)
    assert type(caught.value).__name__ == raised


def test_what_is_not_implemented_says_so(remote_store):
    with pytest.raises(grpc.RpcError) as caught:
        remote_store.registry.delete_feature_view("user_features", remote_store.project)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "DeleteFeatureView" in caught.value.details()
