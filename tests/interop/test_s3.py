"""Goal: a source in an object store is as good as one beside the project, and says clearly when its store fails.
Method: a real S3 server, and a proxy before it that answers slowly, wrongly, in part or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plumb import Written, one_view
from s3 import Weather, free_port


@pytest.fixture
def weather(s3):
    proxy = Weather(s3.url)
    yield proxy
    proxy.stop()


class Project(Written):
    def __init__(self, folder: Path, endpoint: str, path: str, more: str = "", keys: bool = True) -> None:
        known = "access_key_id: a, secret_access_key: b, " if keys else ""
        s3 = f"{{endpoint: '{endpoint}', region: us-east-1, {known}allow_http: true}}"
        limits = "listing_timeout: 8s\n  request_timeout: 5s\n  retries: 2"
        settings = f"project: s3\nstorage:\n  s3: {s3}\n  {limits}\n"
        super().__init__(folder, settings, one_view(path, more))

    def fails(self, code: int, *words: str) -> None:
        done = self.run("materialize")
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        for word in words:
            assert word in said, f"{word!r} is not in: {said}"

    def x(self, *users: int) -> list:
        return self.online(",".join(map(str, users)))

    def kept(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob(".plumb/offline/sources/*/*/*") if path.name != "lease")


def csv(*rows: tuple[int, int]) -> str:
    return "user_id,at,x\n" + "".join(f"{user},2024-01-01,{x}\n" for user, x in rows)


def parquet(folder: Path, rows: list[tuple[int, int]]) -> bytes:
    """Parquet by the product itself: the training set of a spine is one."""
    project = Project(folder, "http://127.0.0.1:1", "rows.csv")
    (folder / "rows.csv").write_text(csv(*rows))
    (folder / "service.yaml").write_text("kind: feature_service\nname: s\nfeatures: ['f:x']\n")
    spine = "user_id,event_time\n" + "".join(f"{user},2024-02-01T00:00:00Z\n" for user, _ in rows)
    (folder / "spine.csv").write_text(spine)
    project.ok("apply", "--yes")
    out = folder / "out.parquet"
    project.ok("training-set", "build", "--service", "s", "--spine", str(folder / "spine.csv"), "--out", str(out))
    return out.read_bytes()


def test_texts_in_a_bucket_are_listed_each_time_and_fetched_once(s3, weather, tmp_path):
    s3.put("shop/texts/1.csv", csv((1, 10), (2, 20)))
    s3.put("shop/texts/other.txt", "no")
    project = Project(tmp_path, weather.url, "s3://shop/texts/*.csv")
    project.ok("apply", "--yes")
    assert project.ok("materialize")["materialized"][0]["how"] == "built"
    assert project.x(1, 2) == [10, 20]
    gets = sum("1.csv" in asked for asked in weather.asked)
    assert gets == 1, weather.asked
    assert project.ok("materialize")["materialized"][0]["how"] == "unchanged"
    s3.put("shop/texts/2.csv", csv((3, 30)))
    assert project.ok("materialize")["materialized"][0]["how"] == "appended"
    assert sum("1.csv" in asked for asked in weather.asked) == 1, "it is here already"
    # Messages and explanations say the URL.
    why = project.ok("features", "explain", "f", "--entity", "user_id=3")
    assert why["rows"][0]["file"] == "s3://shop/texts/2.csv"
    s3.put("shop/texts/2.csv", csv((3, 31)))
    before = project.kept()
    assert project.ok("materialize")["materialized"][0]["how"] == "built"
    assert project.x(3) == [31]
    assert len(project.kept()) == len(before), "what the listing names no more is removed"
    s3.put("shop/texts/3.csv", "user_id,at,x\n4,2024-01-01,many\n")
    project.fails(2, "s3://shop/texts/")


def test_parquet_is_planned_by_its_footers(s3, weather, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "project").mkdir()
    s3.put("shop/p/day=2024-01-01/a.parquet", parquet(tmp_path / "made", [(1, 10), (2, 20)]))
    partitions = "partitions: [{name: day, type: date}]\nfield_mapping: {event_time: at}"
    project = Project(tmp_path / "project", weather.url, "s3://shop/p", partitions)
    plan = project.ok("plan")
    assert "2 rows" in json.dumps(plan), plan
    assert project.kept() == [], "only footers were fetched"
    project.ok("apply", "--yes")
    project.ok("materialize")
    assert project.x(1, 2) == [10, 20]


def test_a_store_that_fails_a_little_is_asked_again(s3, weather, tmp_path):
    s3.put("shop/little/1.csv", csv((1, 10)))
    project = Project(tmp_path, weather.url, "s3://shop/little/1.csv")
    project.ok("apply", "--yes")
    weather.left = 2
    project.ok("materialize")
    assert project.x(1) == [10]


@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        ("500", 6, ["the store cannot be asked"]),
        ("503", 6, ["fewer requests"]),
        ("403", 2, ["permission denied", "credentials"]),
        ("silent", 6, ["s3://shop/bad/*.csv", "no answer within 8 s"]),
    ],
)
def test_a_store_that_fails_is_told_within_its_time_and_nothing_is_lost(s3, weather, tmp_path, mode, code, words):
    s3.put("shop/bad/1.csv", csv((1, 10)))
    project = Project(tmp_path, weather.url, "s3://shop/bad/*.csv")
    project.ok("apply", "--yes")
    project.ok("materialize")
    weather.mode = mode
    project.fails(code, *words)
    assert project.run("plan").returncode == code
    assert project.x(1) == [10], "what is online stays"
    weather.mode = "fine"
    assert project.ok("materialize")["materialized"][0]["how"] == "unchanged"


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_copy_with_a_flipped_bit_is_fetched_again(s3, weather, tmp_path, form):
    """Its length is the same. The text that was made of a copy is not needed again until it is gone."""
    if form == "csv":
        s3.put("shop/flipped/1.csv", csv((1, 10), (2, 20)))
        project, folder = Project(tmp_path, weather.url, "s3://shop/flipped/*.csv"), tmp_path
    else:
        (tmp_path / "made").mkdir()
        (folder := tmp_path / "p").mkdir()
        s3.put("shop/flipped/1.parquet", parquet(tmp_path / "made", [(1, 10), (2, 20)]))
        project = Project(folder, weather.url, "s3://shop/flipped/*.parquet", "field_mapping: {event_time: at}")
    project.ok("apply", "--yes")
    project.ok("materialize")
    [copy] = folder.glob(".plumb/offline/sources/*/*/*.object")
    whole = copy.read_bytes()
    for made in folder.glob(".plumb/offline/sources/*/*/*.parquet"):
        made.unlink()
    at = whole.index(b"10") if form == "csv" else len(whole) // 3
    copy.write_bytes(whole[:at] + bytes([whole[at] ^ 2]) + whole[at + 1 :])
    gets = sum(f"1.{form}" in asked for asked in weather.asked)
    project.ok("materialize", "--fresh")
    assert project.x(1, 2) == [10, 20]
    assert copy.read_bytes() == whole
    assert sum(f"1.{form}" in asked for asked in weather.asked) > gets
    gets = len(weather.asked)
    project.ok("materialize", "--fresh")
    assert not any(f"1.{form}" in asked for asked in weather.asked[gets:]), "it is here as it was fetched"


@pytest.fixture(scope="module")
def many(s3) -> str:
    """A folder that is listed in two pages: a file of ours in each, and others between."""
    s3.put("shop/many/a.csv", csv((1, 10)))
    for number in range(1_100):
        s3.put(f"shop/many/n{number}.txt", "no")
    s3.put("shop/many/z.csv", csv((2, 20)))
    return "s3://shop/many/*.csv"


@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        ("page-500", 6, ["listing", "s3://shop/many/*.csv", "the store cannot be asked"]),
        ("page-503", 6, ["fewer requests"]),
        ("page-403", 2, ["permission denied"]),
        ("page-cut", 6, ["listing", "s3://shop/many/*.csv"]),
        ("page-half", 6, ["listing", "s3://shop/many/*.csv"]),
        ("page-silent", 6, ["no answer within 8 s"]),
    ],
)
def test_a_listing_that_breaks_off_is_an_error_and_not_fewer_rows(many, weather, tmp_path, mode, code, words):
    project = Project(tmp_path, weather.url, many)
    project.ok("apply", "--yes")
    project.ok("materialize")
    assert project.x(1, 2) == [10, 20]
    assert any("continuation-token" in asked for asked in weather.asked), "it takes two pages"
    weather.mode = mode
    project.fails(code, *words)
    for command in (["plan"], ["materialize", "--fresh"]):
        assert project.run(*command).returncode == code, command
    assert project.x(1, 2) == [10, 20], "what is online stays"
    weather.mode = "fine"
    assert project.ok("materialize")["materialized"][0]["how"] == "unchanged"


def test_half_an_object_is_none(s3, weather, tmp_path):
    project = Project(tmp_path, weather.url, "s3://shop/half/1.csv")
    s3.put("shop/half/1.csv", csv((1, 10)))
    project.ok("apply", "--yes")
    s3.put("shop/half/1.csv", csv((1, 11), (2, 20)))
    weather.mode = "cut"
    project.fails(6, "s3://shop/half/1.csv")
    weather.mode = "fine"
    project.ok("materialize")
    assert project.x(1, 2) == [11, 20]


def test_what_is_not_there_is_told(s3, tmp_path):
    for path, code, words in [
        ("s3://shop/nothing/*.csv", 2, ["there is no file `s3://shop/nothing/*.csv`"]),
        ("s3://nobody-has-this/x.csv", 2, ["no such bucket"]),
    ]:
        done = Project(tmp_path, s3.url, path).run("plan")
        said = done.stdout + done.stderr
        assert done.returncode == code and all(word in said for word in words), said
    done = Project(tmp_path, f"http://127.0.0.1:{free_port()}", "s3://shop/x.csv").run("plan")
    assert done.returncode == 6 and "the store cannot be asked" in done.stdout + done.stderr, done.stderr


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_erasure_forgets_the_copies_of_objects_that_hold_somebody(s3, weather, tmp_path, form):
    """The object itself is not ours to change: that it is there is said, and whoever fetches it again leaves the person
    out."""
    if form == "csv":
        s3.put("shop/held/1.csv", csv((1, 10), (2, 20)))
        project = Project(tmp_path, weather.url, "s3://shop/held/*.csv")
    else:
        (tmp_path / "made").mkdir()
        s3.put("shop/held/1.parquet", parquet(tmp_path / "made", [(1, 10), (2, 20)]))
        more = "field_mapping: {event_time: at}"
        (tmp_path / "p").mkdir()
        project = Project(tmp_path / "p", weather.url, "s3://shop/held/*.parquet", more)
    project.ok("apply", "--yes")
    project.ok("materialize")
    assert any(name.endswith(".object") for name in project.kept())
    looked = json.loads(project.run("erase", "--entity", "user_id=1", "--dry-run").stdout)
    caches = [place for place in looked["erased"][0]["places"] if place["kind"] == "cache"]
    assert any(place["name"].endswith(".object") and place["found"] == 1 for place in caches), caches
    done = project.run("erase", "--entity", "user_id=1", "--yes")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "it is not on this machine" in done.stdout
    assert not any(name.endswith(".object") for name in project.kept()), project.kept()
    project.ok("materialize", "--fresh")
    assert project.x(1, 2) == [None, 20]
