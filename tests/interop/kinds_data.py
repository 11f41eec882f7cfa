"""The rows of the project `kinds`: its clock stands at 2026-11-22T18:00:00Z.

Card 1 has a value of every type, card 2 the extremes, card 3 nulls, card 4 what JSON or Feast's client lacks. Their rows
are 30 minutes, 30 minutes, 2 hours and 4 hours old.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)
TIME = pa.timestamp("ns", "UTC")
AGES = [timedelta(minutes=30), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=4)]

COLUMNS = {
    "f_bool": (pa.bool_(), [True, False, None, True]),
    "f_int8": (pa.int8(), [1, -(2**7), None, 1]),
    "f_int16": (pa.int16(), [1, -(2**15), None, 1]),
    "f_int32": (pa.int32(), [1, -(2**31), None, 1]),
    "f_int64": (pa.int64(), [7, 2**53 + 1, None, -(2**63)]),
    "f_uint8": (pa.uint8(), [1, 2**8 - 1, None, 1]),
    "f_uint16": (pa.uint16(), [1, 2**16 - 1, None, 1]),
    "f_uint32": (pa.uint32(), [1, 2**32 - 1, None, 1]),
    "f_uint64": (pa.uint64(), [1, 2**64 - 1, None, 2**63 - 1]),
    "f_float32": (pa.float32(), [0.1, 1.0, None, float("nan")]),
    "f_float64": (pa.float64(), [1.0, 5e-324, None, float("inf")]),
    "f_string": (pa.string(), ["text", 'é "\n', None, "NaN"]),
    "f_bytes": (pa.binary(), [b"abc", b"\xff\xfe", None, b""]),
    "f_date": (pa.date32(), [date(2026, 11, 22), date(1969, 12, 31), None, date(1970, 1, 1)]),
    "f_timestamp": (TIME, [NOW - timedelta(seconds=0.5), datetime(1969, 12, 31, tzinfo=UTC), None, NOW]),
    "f_floats": (pa.list_(pa.float64()), [[1.0, 2.5], [], None, [float("nan")]]),
    "f_ints": (pa.list_(pa.int64()), [[1, 2**53 + 1], [1, None], None, [-1]]),
    "f_texts": (pa.list_(pa.string()), [["a", ""], [None], None, ["NaN"]]),
    "f_blobs": (pa.list_(pa.binary()), [[b"abc", b"\xff"], [], None, [b""]]),
    "f_times": (pa.list_(TIME), [[NOW, NOW - timedelta(seconds=0.5)], [], None, [None]]),
    "f_vector": (pa.list_(pa.float32(), 2), [[0.5, 0.1], [1.0, -1.0], None, [0.0, float("inf")]]),
    "f_json": (pa.string(), ['{"a":[1,{}]}', "[]", None, '"text"']),
    "f_decimal": (pa.decimal128(10, 2), [Decimal("12.50"), Decimal("-99999999.99"), None, Decimal("0.00")]),
    "f_duration": (pa.duration("ns"), [timedelta(hours=1.5), timedelta(seconds=-0.5), None, timedelta(0)]),
}
# Feature and card: to these values Feast's client would lose the whole answer.
UNREADABLE = {
    ("f_uint64", 2), ("f_floats", 2), ("f_floats", 4), ("f_ints", 2), ("f_texts", 2), ("f_blobs", 2), ("f_times", 2),
    ("f_times", 4), ("f_vector", 4),
}  # fmt: skip


def write(folder: Path) -> None:
    folder.mkdir()
    times = pa.array([NOW - age for age in AGES], TIME)
    columns = {name: pa.array(values, kind) for name, (kind, values) in COLUMNS.items()}
    pq.write_table(pa.table({"card_id": pa.array([1, 2, 3, 4]), "event_time": times, **columns}), folder / "kinds.parquet")
    # The second row's time has a fraction of nanoseconds.
    nanos = [int(NOW.timestamp()) * 10**9 - 3_600 * 10**9, int(NOW.timestamp()) * 10**9 - 999_999_999]
    trips = {"origin": ["a", "b"], "destination": ["b", "a"], "event_time": pa.array(nanos, TIME), "n_trips": [3, 5]}
    pq.write_table(pa.table(trips), folder / "trips.parquet")
    days = {"opened_at": pa.array([datetime(2026, 1, 1, tzinfo=UTC)], TIME), "event_time": times[:1], "n_opened": [4]}
    pq.write_table(pa.table(days), folder / "days.parquet")
    hour_ago = (NOW - timedelta(hours=1)).isoformat()
    (folder / "cities.csv").write_text(f"city,event_time,population\na,{hour_ago},100\nb,{hour_ago},200\n")
