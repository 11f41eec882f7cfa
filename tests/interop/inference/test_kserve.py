"""KServe's clients, unmodified, over both transports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_kserves_clients(server, transport):
    address = server.http if transport == "rest" else server.grpc
    folder = Path(__file__).parent
    command = [sys.executable, folder / "kserve_clients.py", transport, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == "answered\n", done.stdout + done.stderr
