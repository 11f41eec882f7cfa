"""Feast's side of the online rows: the same file, the same columns, materialized by Feast itself. Run in a folder with
`feature_store.yaml`.

    feast_repo.py apply FILE COLUMNS
    feast_repo.py materialize           prints what it took, without Python's start
    feast_repo.py read KEYS COLUMNS     values by feature, as JSON
"""

import json
import resource
import sys
import time
from datetime import UTC, datetime, timedelta

from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

VIEW, SERVICE = "stats", "bench_v1"
# The data is of 2025.
FROM, TO = datetime(2024, 12, 31, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def apply(file: str, n_columns: str) -> None:
    item = Entity(name="item", join_keys=["k"], value_type=ValueType.INT64)
    view = FeatureView(
        name=VIEW,
        entities=[item],
        # For ever.
        ttl=timedelta(0),
        schema=[Field(name=f"f{i}", dtype=Float64) for i in range(int(n_columns))],
        source=FileSource(name="rows", path=file, timestamp_field="event_time"),
    )
    FeatureStore(".").apply([item, view, FeatureService(name=SERVICE, features=[view])])


def materialize() -> None:
    store = FeatureStore(".")
    started, cpu = time.perf_counter(), time.process_time()
    store.materialize(FROM, TO)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb}))


def read(keys: str, n_columns: str) -> None:
    features = [f"{VIEW}:f{i}" for i in range(int(n_columns))]
    rows = [{"k": key} for key in json.loads(keys)]
    print(json.dumps(FeatureStore(".").get_online_features(features, rows).to_dict()))


COMMANDS = {"apply": apply, "materialize": materialize, "read": read}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
