"""Goal: tables are Delta's: what plumb writes other engines read, and what they write plumb reads. Method: the `deltalake`
package, which pandas and Polars read with, on the same folder."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pyarrow as pa
import pytest
import requests
from deltalake import DeltaTable, write_deltalake
from plumb import Written, one_view
from s3 import SIGNED

FEATURES = "{name: x, type: int64}, {name: word, type: string}"
COLUMNS = """columns:
  - {name: user_id, type: int64}
  - {name: at, type: timestamp}
  - {name: x, type: int64}
  - {name: word, type: string}
"""


def written(folder: Path, path: str, columns: str = "") -> Written:
    return Written(folder, "project: tables\n", one_view(path, f"format: delta\n{columns}", FEATURES))


def rows(users: list[int], x: list[int | None], day: str = "2024-01-01") -> pa.Table:
    at = pa.array([f"{day}T00:00:00.000001Z"] * len(users)).cast(pa.timestamp("us", "UTC"))
    word = [f"wörd {user}" for user in users]
    return pa.table({"user_id": pa.array(users, pa.int64()), "at": at, "x": pa.array(x, pa.int64()), "word": word})


def test_what_plumb_writes_is_read_by_others_after_every_operation(tmp_path):
    project = written(tmp_path, "tables/rows", COLUMNS)
    big = 2**53 + 1
    (tmp_path / "a.csv").write_text(f"user_id,at,x,word\n1,2024-01-01T00:00:00.000000001Z,{big},a\n2,2024-01-02,,\n")
    (tmp_path / "b.csv").write_text("user_id,at,x,word\n3,2024-01-03,3,\"c, d\"\n")
    project.ok("ingest", "rows", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"))
    path = str(tmp_path / "tables/rows")

    def read(version: int | None = None) -> list[dict]:
        table = DeltaTable(path, version=version).to_pyarrow_table().sort_by("_plumb_seq")
        return table.select(["user_id", "x", "word"]).to_pylist()

    first = [{"user_id": 1, "x": big, "word": "a"}, {"user_id": 2, "x": None, "word": None}]
    second = [*first, {"user_id": 3, "x": 3, "word": "c, d"}]
    assert (read(0), read(1), read()) == ([], first, second)
    nanos = DeltaTable(path).to_pyarrow_table().sort_by("_plumb_seq")["at__nanos"].to_pylist()
    assert nanos == [1, None, None]
    project.ok("table", "compact", "rows")
    assert read() == second and len(DeltaTable(path).file_uris()) == 1
    project.ok("table", "delete", "rows", "--entity", "user_id=2")
    assert [row["user_id"] for row in read()] == [1, 3]
    project.ok("table", "restore", "rows", "1")
    assert read() == first
    project.ok("table", "vacuum", "rows", "--now")
    assert read() == first
    left = {Path(uri).name for uri in DeltaTable(path).file_uris()}
    assert {file.name for file in Path(path).glob("*.parquet")} == left
    operations = [entry["operation"] for entry in DeltaTable(path).history()]
    assert operations == ["RESTORE", "DELETE", "OPTIMIZE", "WRITE", "WRITE", "CREATE TABLE"]


@pytest.mark.parametrize("seed", [random.randrange(2**32) for _ in range(3)], ids=lambda seed: f"seed-{seed}")
def test_random_histories_read_the_same(tmp_path, seed):
    """The rows that Delta's own reader finds after each operation are those of a model that knows nothing of files."""
    chance = random.Random(seed)
    project = written(tmp_path, "tables/rows", COLUMNS)
    path = str(tmp_path / "tables/rows")
    versions: dict[int, list[tuple[int, int]]] = {}
    model: list[tuple[int, int]] = []
    arrived = 0
    vacuumed_at = 0
    for step in range(30):
        what = chance.choice(["ingest", "ingest", "ingest", "compact", "delete", "restore", "vacuum", "checkpoint"])
        if what == "ingest" or not versions:
            what = "ingest"
            users = [chance.randrange(6) for _ in range(chance.randrange(1, 5))]
            file = tmp_path / f"{step}.csv"
            lines = [f"{user},2024-01-01T00:00:00Z,{arrived + i},w\n" for i, user in enumerate(users)]
            file.write_text("user_id,at,x,word\n" + "".join(lines))
            version = project.ok("ingest", "rows", str(file))["files"][0]["version"]
            model = model + [(user, arrived + i) for i, user in enumerate(users)]
            arrived += len(users)
        elif what == "compact":
            version = project.ok("table", "compact", "rows")["compacted"]["version"]
        elif what == "delete":
            user = chance.randrange(6)
            version = project.ok("table", "delete", "rows", "--entity", f"user_id={user}")["version"]
            model = [row for row in model if row[0] != user]
        elif what == "restore":
            to = chance.choice([version for version in versions if version >= vacuumed_at])
            version = project.ok("table", "restore", "rows", str(to))["version"]
            model = versions[to]
        elif what == "vacuum":
            version = project.ok("table", "vacuum", "rows", "--now")["vacuumed"]["version"]
            vacuumed_at = version
        else:
            # Delta's own, which we read from then on.
            DeltaTable(path).create_checkpoint()
            version = max(versions)
        versions[version] = model
        table = DeltaTable(path)
        found = table.to_pyarrow_table().sort_by("_plumb_seq").select(["user_id", "x"]).to_pylist()
        assert (table.version(), [(row["user_id"], row["x"]) for row in found]) == (version, model), (step, what)
        assert project.ok("table", "show", "rows")["table"]["n_rows"] == len(model), (step, what)
    for version, rows_then in versions.items():
        if version >= vacuumed_at:
            found = DeltaTable(path, version=version).to_pyarrow_table().sort_by("_plumb_seq").to_pylist()
            assert [(row["user_id"], row["x"]) for row in found] == rows_then, version


def test_a_table_in_an_object_store_is_read_and_followed(tmp_path, s3):
    project = written(tmp_path, "s3://shop/theirs")
    settings = f"{{endpoint: '{s3.url}', region: us-east-1, access_key_id: a, secret_access_key: b, allow_http: true}}"
    (tmp_path / "plumb.yaml").write_text(f"project: tables\nstorage: {{s3: {settings}}}\n")
    options = {
        "AWS_ENDPOINT_URL": s3.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_ALLOW_HTTP": "true",
    }
    at = {"table_or_uri": "s3://shop/theirs", "storage_options": options}
    write_deltalake(data=rows([1, 2], [10, 20]), partition_by=["word"], **at)
    project.ok("apply", "--yes")
    project.ok("materialize")
    assert project.online("1,2,3") == [10, 20, None]
    write_deltalake(data=rows([3], [30]), mode="append", **at)
    DeltaTable(at["table_or_uri"], storage_options=options).delete("user_id = 1")
    project.ok("materialize")
    assert project.online("1,2,3") == [None, 20, 30]
    assert project.online("2,3", "word") == ["wörd 2", "wörd 3"]

    # A file of it that is kept here with a flipped bit is fetched again.
    kept = [path for path in tmp_path.glob(".plumb/offline/sources/*/*/table/**/*.parquet") if path.is_file()]
    assert kept
    for path in kept:
        whole = path.read_bytes()
        path.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
    project.ok("materialize", "--fresh")
    assert project.online("1,2,3") == [None, 20, 30]

    # What would write is refused, and nothing is there that was not (decision 0050).
    def objects() -> list[str]:
        listed = requests.get(f"{s3.url}/shop?list-type=2&prefix=theirs", headers=SIGNED, timeout=10).text
        return re.findall(r"<Key>(.*?)</Key>", listed)

    before = objects()
    assert any("_delta_log" in key for key in before)
    (tmp_path / "a.csv").write_text("user_id,at,x,word\n9,2024-01-03,3,c\n")
    for command in [
        ["ingest", "rows", str(tmp_path / "a.csv")],
        ["table", "compact", "rows"],
        ["table", "vacuum", "rows", "--now"],
        ["table", "delete", "rows", "--entity", "user_id=2"],
        ["table", "restore", "rows", "0"],
    ]:
        done = project.run(*command)
        said = json.loads(done.stdout)["error"]["message"]
        assert done.returncode == 2 and "s3://shop/theirs" in said and "read, and not written" in said, (command, said)
    assert objects() == before
    assert project.online("2,3") == [20, 30]


def test_what_others_write_is_read_in_place_and_followed(tmp_path):
    project = written(tmp_path, "theirs")
    path = str(tmp_path / "theirs")
    write_deltalake(path, rows([1, 2], [10, 20]))
    project.ok("apply", "--yes")
    project.ok("materialize")
    assert project.online("1,2,3") == [10, 20, None]
    write_deltalake(path, rows([1, 3], [11, 30], "2024-02-01"), mode="append")
    project.ok("materialize")
    assert project.online("1,2,3") == [11, 20, 30]
    assert project.online("3", "word") == ["wörd 3"]
    table = DeltaTable(path)
    table.delete("user_id = 2")
    project.ok("materialize")
    assert project.online("1,2,3") == [11, None, 30]
    table.optimize.compact()
    project.ok("materialize")
    assert project.online("1,2,3") == [11, None, 30]
    table.restore(0)
    project.ok("materialize")
    assert project.online("1,2,3") == [10, 20, None]
    table.create_checkpoint()
    assert project.ok("table", "show", "rows")["table"]["n_rows"] == 2


def test_partitions_and_new_columns_of_others(tmp_path):
    project = written(tmp_path, "theirs")
    path = str(tmp_path / "theirs")
    write_deltalake(path, rows([1, 2], [10, 20]).drop_columns(["word"]), partition_by=["x"])
    write_deltalake(path, rows([3], [30]), mode="append", partition_by=["x"], schema_mode="merge")
    project.ok("apply", "--yes")
    project.ok("materialize")
    assert project.online("1,2,3") == [10, 20, 30]
    assert project.online("1,2,3", "word") == [None, None, "wörd 3"]


@pytest.mark.parametrize("command", [["ingest", "rows", "a.csv"], ["table", "compact", "rows"], ["table", "delete", "rows", "--to", "2030-01-01T00:00:00Z"]])
def test_what_others_made_is_not_written(tmp_path, command):
    project = written(tmp_path, "theirs")
    write_deltalake(str(tmp_path / "theirs"), rows([1], [10]))
    (tmp_path / "a.csv").write_text("user_id,at,x,word\n3,2024-01-03,3,c\n")
    words = [str(tmp_path / word) if word.endswith(".csv") else word for word in command]
    done = project.run(*words)
    assert done.returncode == 2
    assert "made by another program" in json.loads(done.stdout)["error"]["message"]
    assert DeltaTable(str(tmp_path / "theirs")).version() == 0


def test_what_others_append_to_ours_is_refused_and_restored(tmp_path):
    project = written(tmp_path, "tables/rows", COLUMNS)
    (tmp_path / "a.csv").write_text("user_id,at,x,word\n1,2024-01-01,1,a\n")
    project.ok("ingest", "rows", str(tmp_path / "a.csv"))
    project.ok("apply", "--yes")
    write_deltalake(str(tmp_path / "tables/rows"), rows([9], [9]), mode="append", schema_mode="merge")
    done = project.run("materialize")
    assert done.returncode == 2, done.stdout
    assert "another program appended" in json.loads(done.stdout)["error"]["message"]
    project.ok("table", "restore", "rows", "1")
    project.ok("materialize")
    assert project.online("1,9") == [1, None]
