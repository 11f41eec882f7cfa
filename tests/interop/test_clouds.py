"""Goal: sources and files of models in Azure's object store are as good as those in S3. Method: Azure's own server, the real
settings, and tables that the `deltalake` package writes there. Of Google's store there is no server to be had; what reading it
needs, its listings and objects in XML, is S3's too, and is asked of a server of that."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest
import requests
from azurite import ACCOUNT, KEY, Azurite
from deltalake import write_deltalake
from plumb import BINARY, ROOT, Project, Server, Written, one_view
from s3 import S3, SIGNED


@pytest.fixture(scope="module")
def azurite(tmp_path_factory):
    with (tmp_path_factory.mktemp("azurite") / "log").open("w") as log:
        server = Azurite(log)
        server.put("shop")
        yield server
        server.stop()


@pytest.fixture(scope="module")
def google(tmp_path_factory):
    with (tmp_path_factory.mktemp("google") / "log").open("w") as log:
        server = S3(log)
        server.put("shop")
        yield server
        server.stop()


def put_open(server: S3, path: str, body: str) -> None:
    """An object that anybody may read: nobody signs as Google's clients do here."""
    headers = {**SIGNED, "x-amz-acl": "public-read"}
    requests.put(f"{server.url}/{quote(path)}", data=body.encode(), headers=headers, timeout=10).raise_for_status()


def of_google(server: S3) -> str:
    return f"gcs: {{base_url: '{server.url}', skip_signature: true, allow_http: true}}"


def written(folder: Path, settings: str, path: str, more: str = "") -> Written:
    limits = "listing_timeout: 5s\n  request_timeout: 5s\n  retries: 1"
    settings = f"project: clouds\nstorage:\n  {settings}\n  {limits}\n"
    return Written(folder, settings, one_view(path, more))


def csv(*rows: tuple[int, int]) -> str:
    return "user_id,at,x\n" + "".join(f"{user},2024-01-01,{x}\n" for user, x in rows)


def hows(project: Written) -> str:
    return project.ok("materialize")["materialized"][0]["how"]


def test_texts_in_a_container_are_listed_each_time_and_new_ones_are_added(azurite, tmp_path):
    azurite.put("shop/texts/1.csv", csv((1, 10), (2, 2**53 + 1)))
    azurite.put("shop/texts/other.txt", "no")
    azurite.put("shop/other/9.csv", csv((9, 9)))
    project = written(tmp_path, azurite.settings(), "az://shop/texts/*.csv")
    project.ok("apply", "--yes")
    assert hows(project) == "built"
    assert project.online("1,2,9") == [10, 2**53 + 1, None]
    assert hows(project) == "unchanged"
    azurite.put("shop/texts/2.csv", csv((3, 30)))
    assert hows(project) == "appended"
    azurite.put("shop/texts/2.csv", csv((3, 31), (4, 40)))
    assert hows(project) == "built"
    assert project.online("1,3,4") == [10, 31, 40]


def test_texts_in_googles_store_are_listed_each_time_and_new_ones_are_added(google, tmp_path):
    put_open(google, "shop/texts/1.csv", csv((1, 10), (2, 2**53 + 1)))
    put_open(google, "shop/texts/a b&c.txt", "no")
    project = written(tmp_path, of_google(google), "gs://shop/texts/*.csv")
    project.ok("apply", "--yes")
    assert hows(project) == "built"
    assert project.online("1,2,9") == [10, 2**53 + 1, None]
    assert hows(project) == "unchanged"
    put_open(google, "shop/texts/2 of 2.csv", csv((3, 30)))
    assert hows(project) == "appended"
    put_open(google, "shop/texts/1.csv", csv((1, 11)))
    assert hows(project) == "built"
    assert project.online("1,2,3") == [11, None, 30]


def test_what_googles_store_lacks_is_said(google, tmp_path):
    done = written(tmp_path, of_google(google), "gs://nowhere/x.csv").run("plan")
    assert done.returncode in (2, 6) and "gs://nowhere/x.csv" in done.stdout + done.stderr, done


def test_a_table_in_a_container_is_read_at_every_version(azurite, tmp_path):
    options = {
        "account_name": ACCOUNT,
        "access_key": KEY,
        "endpoint": azurite.url,
        "allow_http": "true",
    }

    def write(x: list[int]) -> None:
        at = pa.array(["2024-01-01T00:00:00Z"] * len(x)).cast(pa.timestamp("us", "UTC"))
        rows = pa.table({"user_id": pa.array(range(len(x)), pa.int64()), "at": at, "x": pa.array(x, pa.int64())})
        write_deltalake("az://shop/table", rows, mode="overwrite", storage_options=options)

    write([1, 2])
    project = written(tmp_path, azurite.settings(), "az://shop/table", "format: delta")
    project.ok("apply", "--yes")
    assert hows(project) == "built"
    assert project.online("0,1,2") == [1, 2, None]
    write([3, 4, 5])
    assert hows(project) == "built"
    assert project.online("0,1,2") == [3, 4, 5]


@pytest.mark.parametrize(
    ("path", "key", "words"),
    [
        ("az://shop/nothing/*.csv", KEY, ["there is no file `az://shop/nothing/*.csv`"]),
        ("az://nowhere/x.csv", KEY, ["az://nowhere/x.csv"]),
        ("az://shop/texts/*.csv", "Z3Vlc3NlZA==", ["az://shop/texts/"]),
    ],
)
def test_what_azure_refuses_is_said(azurite, tmp_path, path, key, words):
    azurite.put("shop/texts/1.csv", csv((1, 10)))
    done = written(tmp_path, azurite.settings().replace(KEY, key), path).run("plan")
    said = done.stdout + done.stderr
    assert done.returncode in (2, 6), said
    assert json.loads(done.stdout)["error"]["message"], said
    for word in words:
        assert word in said, f"{word!r} is not in: {said}"
    assert "Z3Vlc3NlZA" not in said and KEY not in said, "a secret was told"


def test_files_of_models_are_kept_in_a_container_and_read_from_there(azurite, tmp_path):
    azurite.put("models")
    project = Project(ROOT / "examples/repeat_purchase", tmp_path / "project")
    bucket = "artifacts: {path: .plumb/artifacts, url: 'az://models/shop'}"
    storage = f"storage: {{{azurite.settings()}, request_timeout: 5s, retries: 1}}"
    project.edit("plumb.yaml", "artifacts: {path: .plumb/artifacts}", f"{bucket}\n{storage}")
    project.run("apply", "--yes")
    project.run("materialize")
    # A folder is the model: one of its files is sent in parts.
    (given := tmp_path / "given").mkdir()
    model = (ROOT / "models/repeat_purchase_v1.onnx").read_bytes()
    (given / "model.onnx").write_bytes(model)
    (given / "notes.bin").write_bytes(os.urandom(17 << 20))
    project.run("model", "register", "repeat_purchase", given)
    project.run("model", "promote", "repeat_purchase", "1")
    shutil.rmtree(project.folder / ".plumb/artifacts/sha256")
    server = Server(project)
    asked = requests.post(f"{server.http}/v1/models/repeat_purchase/predict", json={"entities": {"user_id": [4]}}, timeout=10)
    assert asked.status_code == 200, asked.text
    server.stop()
    assert "2 are what was registered, byte for byte" in project.run("doctor", "--deep")
    digest = hashlib.sha256(model).hexdigest()
    azurite.put(f"models/shop/sha256/{digest[:2]}/{digest[2:]}", model[:-1])
    command = [BINARY, "doctor", "--project", project.folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"`az://models/shop/sha256/{digest[:2]}/{digest[2:]}` is damaged" in " ".join(said.split()), said
    assert KEY not in said, "a secret was told"
