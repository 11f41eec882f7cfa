"""A project for every point-in-time case: one key a case, so that one call answers all of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

T0 = pd.Timestamp("2024-01-01T12:00:00Z")
DAY = 86_400
VIEWS = ["f", "f_forever", "f_before"]

# (case, rows of the history as (event time, created time, value), what f, f_forever and f_before have at T0)
#
# Times are seconds from T0; f has a ttl of a day, the others none; f_before wants rows strictly before.
CASES = [
    ("01 at the very instant", [(0, None, 1.0)], (1.0, 1.0, None)),
    ("02 as old as the ttl", [(-DAY, None, 1.0)], (1.0, 1.0, 1.0)),
    ("03 a microsecond older", [(-DAY - 1e-6, None, 1.0)], (None, 1.0, 1.0)),
    ("04 only the future", [(1, None, 1.0)], (None, None, None)),
    ("05 an unknown key", [], (None, None, None)),
    ("06 a tie, created differs", [(-10, -4, 2.0), (-10, -5, 1.0)], (2.0, 2.0, 2.0)),
    ("07 a tie on both", [(-10, -5, 1.0), (-10, -5, 2.0)], (2.0, 2.0, 2.0)),
    ("08 a tie, created is null once", [(-10, -9, 1.0), (-10, None, 2.0)], (1.0, 1.0, 1.0)),
    ("09 no event time", [(None, None, 1.0)], (None, None, None)),
    ("11 a late backfill", [(-10, -10, 1.0), (-5, 100, 9.0)], (1.0, 1.0, 1.0)),
    ("13 the newest is null", [(-10, None, 1.0), (-5, None, None)], (None, None, None)),
    ("20 a nanosecond later", [(-10, None, 1.0), (1e-9, None, 2.0)], (1.0, 1.0, 1.0)),
    ("29 the newest expired", [(-DAY - 60, None, 1.0), (-DAY - 30, None, 2.0)], (None, 2.0, 2.0)),
    ("31 no ttl", [(-10_000 * DAY, None, 1.0)], (None, 1.0, 1.0)),
]


def at(seconds: float | None) -> pd.Timestamp | None:
    """To the nanosecond."""
    return None if seconds is None else T0 + pd.Timedelta(round(seconds * 1e9), unit="ns")


def write(folder: Path) -> None:
    """The definitions and their data."""
    data = folder / "data"
    data.mkdir(parents=True)
    utc = pa.timestamp("ns", tz="UTC")

    def table(name: str, columns: dict[str, pa.Array]) -> None:
        pa.parquet.write_table(pa.table(columns), data / f"{name}.parquet")

    rows = [(key, *row) for key, (_, history, _) in enumerate(CASES) for row in history]
    times = pa.array([at(row[1]) for row in rows], utc)
    table(
        "rows",
        {
            "k": pa.array([row[0] for row in rows], pa.int64()),
            "ts": times,
            "created": pa.array([at(row[2]) for row in rows], utc),
            "v": pa.array([row[3] for row in rows], pa.float64()),
        },
    )
    # 22 and 30: columns by other names, no created time; the last of equals wins.
    table(
        "mapped",
        {"key": pa.array([1, 1, 2]), "when": pa.array([at(-10), at(-10), at(1)], utc), "value": pa.array([1.0, 3.0, 9.0])},
    )
    # 17: New York is five hours behind, so noon there is after T0 and seven is T0.
    naive = [pd.Timestamp("2024-01-01T07:00:00"), pd.Timestamp("2024-01-01T12:00:00")]
    table("naive", {"k": pa.array([1, 1]), "ts": pa.array(naive, pa.timestamp("us")), "w": pa.array([1.0, 9.0])})
    pairs = [("1", "11", 1.0), ("11", "1", 2.0), ("1", "23", 3.0), ("12", "3", 4.0), ("a|b", "c", 5.0), ("a", "b|c", 6.0)]
    table(
        "pairs",
        {
            "a": pa.array([pair[0] for pair in pairs]),
            "b": pa.array([pair[1] for pair in pairs]),
            "ts": pa.array([at(-10)] * len(pairs), utc),
            "p": pa.array([pair[2] for pair in pairs]),
        },
    )
    (folder / "plumb.yaml").write_text("project: moments\n")
    view = "---\nkind: feature_view\nname: {}\nentity: {}\nsource: {}\n{}features: [{{name: {}, type: float64}}]\n"
    source = "---\nkind: source\nname: {0}\npath: data/{0}.parquet\nevent_time: {1}\n{2}"
    (folder / "features.yaml").write_text(
        "kind: entity\nname: e\njoin_keys: [{name: k, type: int64}]\n---\n"
        "kind: entity\nname: pair\njoin_keys: [{name: a, type: string}, {name: b, type: string}]\n"
        + source.format("rows", "ts", "created_time: created\n")
        + source.format("mapped", "ts", "field_mapping: {key: k, when: ts, value: vv}\n")
        + source.format("naive", "ts", "timezone: America/New_York\n")
        + source.format("pairs", "ts", "")
        + view.format("f", "e", "rows", "ttl: 1d\n", "v")
        + view.format("f_forever", "e", "rows", "", "v")
        + view.format("f_before", "e", "rows", "strict_before: true\n", "v")
        + view.format("mapped", "e", "mapped", "", "vv")
        + view.format("naive", "e", "naive", "", "w")
        + view.format("pairs", "pair", "pairs", "", "p")
        + "---\nkind: feature_service\nname: s\nfeatures: [f:v, mapped:vv]\n"
        # Two services that call one view alike and mean other columns.
        + "---\nkind: feature_service\nname: two_ends\n"
        "views: [{view: f, as: left, join_keys: {k: left_k}}, {view: f, as: right, join_keys: {k: right_k}}]\n"
        "features: [{feature: left:v, as: left_v}, {feature: right:v, as: right_v}]\n"
        "---\nkind: feature_service\nname: other_end\n"
        "views: [{view: f, as: right, join_keys: {k: other_k}}]\nfeatures: [right:v]\n"
    )
