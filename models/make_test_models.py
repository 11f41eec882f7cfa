#!/usr/bin/env python3
"""Makes the small models in test/ that the Rust tests load: a plain one, and others each odd or wrong in one way.

    pip install -r models/requirements.txt
    python models/make_test_models.py
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

OPSET = 18
IR_VERSION = 10

# Short binary fractions: on inputs of the same kind every sum is exact, whatever its order.
WEIGHTS = np.array([[0.5], [-0.25], [2.0]], dtype=np.float32)
BIAS = np.array([0.125], dtype=np.float32)

FLOAT = TensorProto.FLOAT
ROWS = np.array([[1, 2, 3], [-4, 0.5, 0.25], [0, 0, 0], [8, -1, 1.5]], dtype=np.float32)
LINEAR_SCORES = ROWS @ WEIGHTS + BIAS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("test"))
    out = parser.parse_args().out
    out.mkdir(exist_ok=True)

    write(out, "linear", linear("N", 3), {"features": ROWS}, LINEAR_SCORES)
    write(out, "batch_mean", batch_mean(), {"features": ROWS}, sums(ROWS) - sums(ROWS).mean())
    write(
        out,
        "two_inputs",
        two_inputs(),
        {"total_orders": np.array([[3], [0]], dtype=np.int64), "avg_order_value": np.array([[2.5], [8]], dtype=np.float32)},
        np.array([[0.5 * 3 - 0.25 * 2.5 + 0.125], [-0.25 * 8 + 0.125]], dtype=np.float32),
    )
    write(out, "wrong_width", linear("N", 7), {"features": np.ones((2, 7), np.float32)}, np.full((2, 1), 5.125, np.float32))
    write(out, "fixed_batch", linear(4, 3), {"features": ROWS}, LINEAR_SCORES)
    words = np.array([["a", "", "ß"], ["x", "y", "z"]], dtype=object)
    write(out, "string_input", string_input(), {"features": words}, words)

    whole = (out / "linear.onnx").read_bytes()
    corrupt = out / "corrupt.onnx"
    corrupt.write_bytes(whole[: len(whole) * 2 // 3])
    try:
        onnxruntime.InferenceSession(corrupt, providers=["CPUExecutionProvider"])
    except Exception as refusal:  # onnxruntime has a class per status code and no common one
        print(f"corrupt: {corrupt.stat().st_size} bytes, refused: {refusal}")
    else:
        raise SystemExit("corrupt.onnx loads")


def linear(rows: str | int, width: int) -> onnx.ModelProto:
    """`score = features . w + b`, the weights repeated up to the width."""
    weights = np.resize(WEIGHTS, (width, 1))
    return model(
        "linear",
        nodes=[
            helper.make_node("MatMul", ["features", "w"], ["dot"]),
            helper.make_node("Add", ["dot", "b"], ["score"]),
        ],
        inputs=[helper.make_tensor_value_info("features", FLOAT, [rows, width])],
        outputs=[helper.make_tensor_value_info("score", FLOAT, [rows, 1])],
        constants={"w": weights, "b": BIAS},
    )


def batch_mean() -> onnx.ModelProto:
    """A row's sum less the mean over the batch: permuting rows permutes scores, but a row's score depends on its neighbours."""
    return model(
        "batch_mean",
        nodes=[
            helper.make_node("ReduceSum", ["features", "columns"], ["sum"], keepdims=1),
            helper.make_node("ReduceMean", ["sum", "rows"], ["mean"], keepdims=1),
            helper.make_node("Sub", ["sum", "mean"], ["score"]),
        ],
        inputs=[helper.make_tensor_value_info("features", FLOAT, ["N", 3])],
        outputs=[helper.make_tensor_value_info("score", FLOAT, ["N", 1])],
        constants={"columns": np.array([1], np.int64), "rows": np.array([0], np.int64)},
    )


def two_inputs() -> onnx.ModelProto:
    """One input a feature, of different types: `score = 0.5 total_orders - 0.25 avg_order_value + 0.125`."""
    return model(
        "two_inputs",
        nodes=[
            helper.make_node("Cast", ["total_orders"], ["orders"], to=FLOAT),
            helper.make_node("Concat", ["orders", "avg_order_value"], ["features"], axis=1),
            helper.make_node("MatMul", ["features", "w"], ["dot"]),
            helper.make_node("Add", ["dot", "b"], ["score"]),
        ],
        inputs=[
            helper.make_tensor_value_info("total_orders", TensorProto.INT64, ["N", 1]),
            helper.make_tensor_value_info("avg_order_value", FLOAT, ["N", 1]),
        ],
        outputs=[helper.make_tensor_value_info("score", FLOAT, ["N", 1])],
        constants={"w": WEIGHTS[:2], "b": BIAS},
    )


def string_input() -> onnx.ModelProto:
    return model(
        "string_input",
        nodes=[helper.make_node("Identity", ["features"], ["score"])],
        inputs=[helper.make_tensor_value_info("features", TensorProto.STRING, ["N", 3])],
        outputs=[helper.make_tensor_value_info("score", TensorProto.STRING, ["N", 3])],
        constants={},
    )


def model(name: str, nodes: list, inputs: list, outputs: list, constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    initializers = [onnx.numpy_helper.from_array(value, key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="plumb")
    made.ir_version = IR_VERSION
    onnx.checker.check_model(made, full_check=True)
    return made


def write(out: Path, name: str, made: onnx.ModelProto, inputs: dict[str, np.ndarray], expected: np.ndarray) -> None:
    """Writes the model, after which the written file must give the expected answer."""
    path = out / f"{name}.onnx"
    path.write_bytes(made.SerializeToString(deterministic=True))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (score,) = session.run(["score"], inputs)
    if score.shape != expected.shape or not np.array_equal(score, expected):
        raise SystemExit(f"{path.name} gives {score.tolist()}, expected {expected.tolist()}")
    signature = ", ".join(f"{i.name} {i.type} {i.shape}" for i in session.get_inputs())
    print(f"{name}: {path.stat().st_size} bytes, {signature}")


def sums(rows: np.ndarray) -> np.ndarray:
    return rows.sum(axis=1, keepdims=True)


if __name__ == "__main__":
    main()
