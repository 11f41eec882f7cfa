"""Two servers for all tests: the demo's project, and one with a column of every type."""

from __future__ import annotations

import kinds_data
import pytest
from feast import FeatureStore
from plumb import HERE, ROOT, Project, Server, feature_store
from s3 import S3


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    project = Project(ROOT / "examples/repeat_purchase", tmp_path_factory.mktemp("demo") / "project")
    project.run("apply", "--yes")
    project.run("materialize")
    server = Server(project)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kinds(tmp_path_factory):
    project = Project(HERE / "kinds", tmp_path_factory.mktemp("kinds") / "project")
    kinds_data.write(project.folder / "data")
    project.run("apply", "--yes")
    project.run("materialize")
    # Version 2 of `limits` lies beside version 1, which nothing declares any more.
    project.edit("features.yaml", "ttl: 1h", "ttl: 3h")
    project.run("apply", "--yes")
    project.run("materialize")
    server = Server(project)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def demo_store(demo, tmp_path_factory):
    """Level 0: the registry is an empty file."""
    return FeatureStore(feature_store(tmp_path_factory.mktemp("file") / "repo", "any", demo, remote=False))


@pytest.fixture(scope="session")
def remote_store(demo, tmp_path_factory):
    """Level 1: the registry is the server's."""
    return FeatureStore(feature_store(tmp_path_factory.mktemp("remote") / "repo", "repeat_purchase", demo, remote=True))


@pytest.fixture(scope="session")
def kinds_store(kinds, tmp_path_factory):
    return FeatureStore(feature_store(tmp_path_factory.mktemp("kinds-remote") / "repo", "kinds", kinds, remote=True))


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """An S3 server with a bucket."""
    with (tmp_path_factory.mktemp("s3") / "log").open("w") as log:
        server = S3(log)
        server.put("shop")
        yield server
        server.stop()
