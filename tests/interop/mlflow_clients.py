"""Programs of MLflow's own clients, each version in its own environment: a program is text, its answer is JSON."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from pathlib import Path

PYTHONS = {"3": os.environ["MLFLOW3_PYTHON"], "2": os.environ["MLFLOW2_PYTHON"]}

BEFORE = """
import json, os, sys, warnings
warnings.filterwarnings("ignore")
import numpy as np
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

client = MlflowClient()

def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except RestException as why:
        return [why.error_code, why.json["message"]]
    raise AssertionError(f"{call} was not refused")

def model():
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression
    X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 5.0]], dtype=np.float32)
    fitted = LogisticRegression().fit(X, [0, 0, 1, 1])
    return to_onnx(fitted, X, options={"zipmap": False}), X

def answer(value):
    print("ANSWER " + json.dumps(value))
"""


class Client:
    """A version of the client, at a server."""

    def __init__(self, version: str, address: str, home: Path) -> None:
        self.version, self.address, self.home = version, address, home

    def start(self, program: str, *words: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": self.address,
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "GIT_PYTHON_REFRESH": "quiet",
        }
        return subprocess.Popen(
            [PYTHONS[self.version], "-c", BEFORE + textwrap.dedent(program), *words],
            cwd=self.home,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, program: str, *words: str, timeout: int = 240) -> object:
        process = self.start(program, *words)
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == 0, f"{out[-2000:]}\n{err[-6000:]}"
        [said] = [line for line in out.splitlines() if line.startswith("ANSWER ")]
        return json.loads(said.removeprefix("ANSWER "))
