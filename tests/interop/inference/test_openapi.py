"""Goal: nothing that the server's own document describes makes it fail. Method: Schemathesis reads the document and sends what
it allows, what lies at its edges, and what it forbids; no answer may be a 5xx, and the server answers on.

Requests that take away the models that the rest needs come last. Left out are tests of webhooks, which other machines answer."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from plumb import ROOT, Project, Server

LAST = r"/(load|unload)$"
LEFT_OUT = r"/test$"


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    project = Project(ROOT / "examples/repeat_purchase", tmp_path_factory.mktemp("openapi") / "project")
    project.run("apply", "--yes")
    project.run("materialize")
    project.run("model", "register", "repeat_purchase", str(ROOT / "models/repeat_purchase_v1.onnx"))
    project.run("model", "promote", "repeat_purchase", "1")
    server = Server(project)
    yield server
    server.stop()


def test_the_document_is_whole_and_the_page_shows_it(asked):
    document = requests.get(f"{asked.http}/openapi.json", timeout=10).json()
    assert document["openapi"].startswith("3.1") and len(document["paths"]) > 80
    page = requests.get(f"{asked.http}/docs", timeout=10)
    assert page.headers["content-type"].startswith("text/html") and "<script" not in page.text.lower()
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert all(path.replace("&", "&amp;") in page.text for path in document["paths"])


@pytest.mark.parametrize(
    ("phase", "which"),
    [
        ("examples,coverage", ["--exclude-path-regex", f"{LAST}|{LEFT_OUT}"]),
        ("fuzzing", ["--exclude-path-regex", f"{LAST}|{LEFT_OUT}"]),
        ("examples,coverage,fuzzing", ["--include-path-regex", LAST]),
    ],
)
def test_no_request_that_the_document_describes_makes_the_server_fail(asked, phase, which, tmp_path):
    seed = random.SystemRandom().randrange(2**32)
    command = [
        Path(sys.executable).with_name("schemathesis"), "run", f"{asked.http}/openapi.json", "--url", asked.http,
        "--checks", "not_a_server_error", "--phases", phase, "--max-examples", "8", "--seed", str(seed),
        *which, "--request-timeout", "60", "--no-color", "--warnings", "off",
        "--generation-database", "none", "--continue-on-failure",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=tmp_path)
    assert done.returncode == 0, f"seed {seed}: {done.stdout[-6000:]}{done.stderr[-2000:]}"
    assert requests.get(f"{asked.http}/livez", timeout=10).text == "OK"
