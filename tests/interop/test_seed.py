"""The calls as users wrote them for Feast: only the path of the repository is new."""

from __future__ import annotations

import pandas as pd
import pytest
from feast import FeatureStore
from plumb import ROOT, feature_store

FEATURES = ["total_orders", "avg_order_value", "days_since_last_order"]
NOW = pd.Timestamp("1998-07-01", tz="UTC")


@pytest.fixture(scope="module")
def orders() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "examples/repeat_purchase/data/orders.parquet")


def expected(orders: pd.DataFrame, users: list[int]) -> pd.DataFrame:
    """What the features mean, computed by pandas."""
    by_user = orders.groupby("user_id")
    last = by_user["ordered_at"].max()
    table = pd.DataFrame(
        {
            "total_orders": by_user.size(),
            "avg_order_value": by_user["amount"].mean(),
            "days_since_last_order": (NOW - last).dt.total_seconds() / 86_400,
        }
    )
    fresh = last[last >= NOW - pd.Timedelta(days=365)].index
    return table.loc[fresh].reindex(users)


def check(got: pd.DataFrame, orders: pd.DataFrame, users: list[int]) -> None:
    want = expected(orders, users)
    assert list(got.columns) == ["user_id", *FEATURES]
    assert got["user_id"].tolist() == users
    for feature in FEATURES:
        for user, value, wanted in zip(users, got[feature], want[feature], strict=True):
            if pd.isna(wanted):
                assert pd.isna(value), (user, feature, value)
            else:
                assert value == pytest.approx(wanted, rel=1e-12), (user, feature)


@pytest.mark.parametrize("remote", [False, True], ids=["level 0", "level 1"])
def test_the_seed_code_runs_as_written(demo, orders, tmp_path, remote):
    user_ids = orders["user_id"].drop_duplicates().iloc[:500].tolist()
    repo_path = feature_store(tmp_path / "feature_repo", "repeat_purchase", demo, remote=remote)

    fs = FeatureStore(repo_path=str(repo_path))
    features = fs.get_online_features(
        features=[
            "user_features:total_orders",
            "user_features:avg_order_value",
            "user_features:days_since_last_order",
        ],
        entity_rows=[{"user_id": uid} for uid in user_ids],
    ).to_df()

    check(features, orders, user_ids)


def test_types_are_those_of_the_columns(demo_store, orders):
    last = orders.groupby("user_id")["ordered_at"].max()
    fresh = last[last >= NOW - pd.Timedelta(days=365)].index[:50].tolist()
    frame = demo_store.get_online_features(
        [f"user_features:{feature}" for feature in FEATURES], [{"user_id": user} for user in fresh]
    ).to_df()
    assert frame.dtypes.astype(str).to_dict() == {
        "user_id": "int64",
        "total_orders": "int64",
        "avg_order_value": "float64",
        "days_since_last_order": "float64",
    }


def test_a_service_answers_by_its_object(remote_store, orders):
    users = orders["user_id"].drop_duplicates().iloc[500:600].tolist()
    service = remote_store.get_feature_service("repeat_purchase_v1")
    frame = remote_store.get_online_features(service, [{"user_id": user} for user in users]).to_df()
    check(frame, orders, users)


def test_full_names_and_columnar_rows(demo_store):
    answer = demo_store.get_online_features(
        ["user_features:total_orders"], {"user_id": [1, 2, 3]}, full_feature_names=True
    ).to_dict()
    assert list(answer) == ["user_id", "user_features__total_orders"]
