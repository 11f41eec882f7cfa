"""Makes the data that is measured on, and compares big answers. A process of its own, so that the driver stays small.

    data.py training DIR FEATURE_ROWS SPINE_ROWS ENTITIES
    data.py online FILE ROWS COLUMNS
    data.py rows FILE KEYS              the first keys' values, as JSON
    data.py model FILE COLUMNS
    data.py same-training OURS PEERS

Everything is seeded: two runs measure the same data.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SEED = 7
START = np.datetime64("2025-01-01", "us")
YEAR_US = 365 * 24 * 3600 * 1_000_000
TRAINING_FEATURES = 10
TIME = pa.timestamp("us", tz="UTC")


def training(folder: str, feature_rows: str, spine_rows: str, entities: str) -> None:
    """Feature rows in order of arrival, no two at one instant, and a spine in no order at all."""
    n, n_spine, n_entities = int(feature_rows), int(spine_rows), int(entities)
    random = np.random.default_rng(SEED)
    step = YEAR_US // n
    times = START + (np.arange(n) * step + random.integers(0, step, n)).astype("timedelta64[us]")
    columns = {"k": random.integers(0, n_entities, n), "event_time": pa.array(times).cast(TIME)}
    for i in range(TRAINING_FEATURES):
        columns[f"f{i}"] = random.standard_normal(n)
    write(pa.table(columns), Path(folder) / "features.parquet")

    times = START + random.integers(0, YEAR_US, n_spine).astype("timedelta64[us]")
    # Some keys have no feature row at all.
    keys = random.integers(0, n_entities + n_entities // 100, n_spine)
    spine = {"row_id": np.arange(n_spine), "k": keys, "event_time": pa.array(times).cast(TIME)}
    write(pa.table(spine), Path(folder) / "spine.parquet")


def online(file: str, rows: str, n_columns: str) -> None:
    """One row a key. Twenty columns are a model's, whose inputs are 32 bits wide: then so are the values."""
    n = int(rows)
    random = np.random.default_rng(SEED + 1)
    times = START + random.integers(0, YEAR_US, n).astype("timedelta64[us]")
    columns = {"k": np.arange(n), "event_time": pa.array(times).cast(TIME)}
    for i in range(int(n_columns)):
        values = random.standard_normal(n)
        columns[f"f{i}"] = values.astype(np.float32).astype(np.float64) if int(n_columns) == MODEL_COLUMNS else values
    write(pa.table(columns), Path(file))


def rows(file: str, keys: str) -> None:
    table = pq.read_table(file).slice(0, int(keys)).drop_columns(["event_time"])
    names = [name for name in table.column_names if name != "k"]
    values = np.column_stack([table[name].to_numpy() for name in names]).tolist()
    print(json.dumps({"keys": table["k"].to_pylist(), "values": values}))


MODEL_COLUMNS = 20
TREES, DEPTH = 100, 5


def model(file: str, n_columns: str) -> None:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import GradientBoostingClassifier

    random = np.random.default_rng(SEED + 2)
    x = random.standard_normal((4_000, int(n_columns))).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + 0.5 * random.standard_normal(len(x)) > 0).astype(int)
    forest = GradientBoostingClassifier(n_estimators=TREES, max_depth=DEPTH, random_state=0).fit(x, y)
    converted = convert_sklearn(
        forest,
        initial_types=[("input", FloatTensorType([None, int(n_columns)]))],
        options={"zipmap": False},
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
    whole(Path(file), lambda path: path.write_bytes(converted.SerializeToString()))


def same_training(ours: str, peers: str) -> None:
    """Exits with 1 and says where two training sets differ. Bit for bit; the order of rows is no part of it."""
    left, right = (pq.read_table(file).sort_by("row_id") for file in (ours, peers))
    if left.num_rows != right.num_rows:
        sys.exit(f"{left.num_rows} rows, the peer has {right.num_rows}")
    for name in right.column_names:
        a, b = (table[name].combine_chunks() for table in (left, right))
        if a.type != b.type:
            a, b = (column.cast(pa.timestamp("us", tz="UTC")) for column in (a, b))
        if pa.types.is_floating(a.type):
            missing = pc.and_(a.is_null(), b.is_null())
            bits = pc.equal(*(pa.array(column.fill_null(0.0).to_numpy().view(np.int64)) for column in (a, b)))
            same = pc.or_(missing, pc.and_(pc.equal(a.is_null(), b.is_null()), bits))
        else:
            same = pc.equal(a, b)
        if not pc.all(same).as_py():
            at = pc.index(same, False).as_py()
            sys.exit(f"row_id {left['row_id'][at]}, column {name}: {a[at]}, the peer has {b[at]}")
    found = right["f0"].is_valid()
    print(json.dumps({"rows": right.num_rows, "found": pc.sum(found.cast(pa.int64())).as_py()}))


def write(table: pa.Table, path: Path) -> None:
    whole(path, lambda part: pq.write_table(table, part, compression="snappy"))


def whole(path: Path, write_to: object) -> None:
    """There whole or not at all: a run that was interrupted leaves nothing that the next one would take for data."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    write_to(part)
    part.replace(path)


COMMANDS = {"training": training, "online": online, "rows": rows, "model": model, "same-training": same_training}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
