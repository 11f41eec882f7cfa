"""One server for all tests: a model on a feature service, in two versions, and models that answer tensors alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from plumb import ROOT, Project, Server  # noqa: E402

MODELS = ROOT / "models"

#: Models without a feature service, by the files that they are.
TENSORS = ["linear", "two_inputs", "string_input"]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    project = Project(ROOT / "examples/repeat_purchase", tmp_path_factory.mktemp("inference") / "project")
    project.run("apply", "--yes")
    project.run("materialize")
    for version in [1, 2]:
        project.run("model", "register", "repeat_purchase", str(MODELS / f"repeat_purchase_v{version}.onnx"))
    project.run("model", "promote", "repeat_purchase", "1")
    for name in TENSORS:
        project.run("model", "register", name, str(MODELS / "test" / f"{name}.onnx"), "--without-service")
        project.run("model", "promote", name, "1")
    project.run("model", "register", "waiting", str(MODELS / "test" / "linear.onnx"), "--without-service")
    server = Server(project)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def http(server) -> str:
    """Without a scheme, as clients of Triton take it."""
    return server.http.removeprefix("http://")
