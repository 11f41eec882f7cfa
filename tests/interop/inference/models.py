"""What the models of these tests are asked, and what they answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]

#: A row each.
ROWS = np.array([[1, 2, 3], [-4, 0.5, 0.25], [0, 0, 0]], dtype=np.float32)
WORDS = np.array([["a", "", "ß"], ["x", "a longer text", "🦀"]], dtype=object)


def linear(rows: np.ndarray) -> np.ndarray:
    """Short binary fractions: every sum is exact."""
    return (0.5 * rows[:, 0] - 0.25 * rows[:, 1] + 2.0 * rows[:, 2] + 0.125)[:, None].astype(np.float32)


def golden(version: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that onnxruntime answers in Python, its labels and its probabilities."""
    file = json.loads((ROOT / f"models/repeat_purchase_v{version}.golden.json").read_text())
    rows = [[np.nan if x is None else x for x in row["features"].values()] for row in file["inputs"]]
    labels = [row["label"] for row in file["outputs"]]
    probabilities = [row["probabilities"] for row in file["outputs"]]
    return np.array(rows, np.float32), np.array(labels, np.int64), np.array(probabilities, np.float32)
