"""`tritonclient.http`, unmodified: what its users call, and what the server must know of it."""

from __future__ import annotations

import json

import models
import numpy as np
import pytest
import requests
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def client(http):
    with triton.InferenceServerClient(http) as client:
        yield client


def tensor(name: str, values: np.ndarray, datatype: str, *, binary: bool = True) -> triton.InferInput:
    given = triton.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def rows(*, binary: bool = True) -> list[triton.InferInput]:
    return [tensor("features", models.ROWS, "FP32", binary=binary)]


def test_a_server_is_asked_what_it_is(client):
    assert client.is_server_live() and client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "plumb"
    assert "binary_tensor_data" in metadata["extensions"] and "statistics" in metadata["extensions"]
    assert "cuda_shared_memory" not in metadata["extensions"]


def test_a_model_is_asked_what_it_takes(client):
    assert client.is_model_ready("linear") and client.is_model_ready("linear", "1")
    assert not client.is_model_ready("linear", "9") and not client.is_model_ready("nope")
    metadata = client.get_model_metadata("repeat_purchase")
    assert metadata["platform"] == "onnxruntime_onnx" and metadata["versions"] == ["1"]
    assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 3]}]
    config = client.get_model_config("repeat_purchase")
    assert isinstance(config["max_batch_size"], int) and config["max_batch_size"] > 0
    assert config["input"] == [{"name": "features", "data_type": "TYPE_FP32", "dims": [3]}]
    assert "dynamic_batching" in config and "sequence_batching" not in config


@pytest.mark.parametrize("given", [True, False], ids=["raw", "json"])
@pytest.mark.parametrize("asked", [True, False, None], ids=["raw", "json", "all"])
def test_rows_are_answered(client, given, asked):
    outputs = None if asked is None else [triton.InferRequestedOutput("score", binary_data=asked)]
    result = client.infer("linear", rows(binary=given), outputs=outputs, request_id="mine")
    np.testing.assert_array_equal(result.as_numpy("score"), models.linear(models.ROWS))
    response = result.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == ("linear", "1", "mine")


@pytest.mark.parametrize("version", ["", "1"])
def test_a_model_of_features_answers_tensors_as_python_does(client, version):
    features, labels, probabilities = models.golden(1)
    result = client.infer("repeat_purchase", [tensor("features", features, "FP32")], model_version=version)
    np.testing.assert_array_equal(result.as_numpy("label"), labels)
    np.testing.assert_allclose(result.as_numpy("probabilities"), probabilities, atol=1e-6)


@pytest.mark.parametrize("binary", [True, False])
def test_texts_go_both_ways(client, binary):
    words = np.vectorize(lambda word: word.encode(), otypes=[object])(models.WORDS)
    given = [tensor("features", words, "BYTES", binary=True)]
    asked = [triton.InferRequestedOutput("score", binary_data=binary)]
    result = client.infer("string_input", [*given, ], outputs=asked).as_numpy("score")
    assert [[x if isinstance(x, str) else x.decode() for x in row] for row in result] == models.WORDS.tolist()


def test_texts_go_as_json(client):
    given = [tensor("features", models.WORDS, "BYTES", binary=False)]
    result = client.infer("string_input", given, outputs=[triton.InferRequestedOutput("score", binary_data=False)])
    assert result.as_numpy("score").tolist() == models.WORDS.tolist()


def test_two_inputs_of_two_types_in_any_order(client):
    orders, value = np.array([[3], [0]], np.int64), np.array([[2.5], [8]], np.float32)
    given = [tensor("avg_order_value", value, "FP32"), tensor("total_orders", orders, "INT64", binary=False)]
    result = client.infer("two_inputs", given)
    np.testing.assert_array_equal(result.as_numpy("score"), [[1.0], [-1.875]])


@pytest.mark.parametrize("up", [None, "gzip", "deflate"])
@pytest.mark.parametrize("down", [None, "gzip", "deflate"])
def test_bodies_are_compressed_both_ways(client, up, down):
    many = np.tile(models.ROWS, (500, 1))
    result = client.infer(
        "linear",
        [tensor("features", many, "FP32")],
        request_compression_algorithm=up,
        response_compression_algorithm=down,
    )
    np.testing.assert_array_equal(result.as_numpy("score"), models.linear(many))


def test_bodies_may_be_larger_than_a_framework_thinks(client):
    many = np.full((4096, 3), "x" * 500, dtype=object)
    result = client.infer("string_input", [tensor("features", many, "BYTES")]).as_numpy("score")
    assert result.shape == (4096, 3) and result[4095, 2] == b"x" * 500


def test_async_calls(client):
    calls = [client.async_infer("linear", rows()) for _ in range(8)]
    for call in calls:
        np.testing.assert_array_equal(call.get_result().as_numpy("score"), models.linear(models.ROWS))


def test_no_rows_are_some_rows(client):
    none = np.zeros((0, 3), np.float32)
    result = client.infer("linear", [tensor("features", none, "FP32")])
    assert result.as_numpy("score").shape == (0, 1)


def test_a_classification(client):
    features, labels, _ = models.golden(1)
    asked = [triton.InferRequestedOutput("probabilities", class_count=1)]
    result = client.infer("repeat_purchase", [tensor("features", features, "FP32")], outputs=asked)
    top = result.as_numpy("probabilities")
    assert top.shape == (len(labels), 1)
    assert [int(row[0].split(b":")[1]) for row in top] == labels.tolist()


def test_priorities_timeouts_and_parameters_of_ones_own(client):
    result = client.infer("linear", rows(), priority=1, timeout=1_000_000, parameters={"mine": "x", "n": 3, "b": True})
    np.testing.assert_array_equal(result.as_numpy("score"), models.linear(models.ROWS))


def refused(call, *args, **kwargs) -> str:
    with pytest.raises(InferenceServerException) as refusal:
        call(*args, **kwargs)
    return str(refusal.value)


def test_mistakes_are_told_in_the_words_that_clients_look_for(client):
    assert "Request for unknown model: 'nope' is not found" in refused(client.infer, "nope", rows())
    told = refused(client.infer, "linear", rows(), model_version="9")
    assert "Request for unknown model: 'linear' version 9 is not found" in told
    wide = [tensor("features", np.ones((1, 4), np.float32), "FP32")]
    assert "unexpected shape for input 'features' for model 'linear'. Expected [-1,3], got [1,4]" in refused(
        client.infer, "linear", wide
    )
    assert "unexpected inference input 'x'" in refused(client.infer, "linear", [tensor("x", models.ROWS, "FP32")])
    asked = [triton.InferRequestedOutput("nope")]
    assert "unexpected inference output 'nope'" in refused(client.infer, "linear", rows(), outputs=asked)
    many = [tensor("features", np.ones((5000, 3), np.float32), "FP32")]
    assert "inference request batch-size must be <= 4096 for 'repeat_purchase'" in refused(
        client.infer, "repeat_purchase", many
    )


def test_the_repository(client, server):
    index = {(model["name"], model.get("version")): model for model in client.get_model_repository_index()}
    assert index["linear", "1"]["state"] == "READY" and index["repeat_purchase", "1"]["state"] == "READY"
    assert index["waiting", "1"]["state"] == "UNAVAILABLE"
    client.load_model("waiting")
    assert client.is_model_ready("waiting")
    client.unload_model("waiting")
    assert not client.is_model_ready("waiting")
    # A number as a text, as tools write it; a version that is not in Production.
    config = {"max_batch_size": "2", "version_policy": {"specific": {"versions": [2]}}}
    client.load_model("repeat_purchase", config=json.dumps(config))
    features, _, probabilities = models.golden(2)
    result = client.infer("repeat_purchase", [tensor("features", features[:2], "FP32")], model_version="2")
    np.testing.assert_allclose(result.as_numpy("probabilities"), probabilities[:2], atol=1e-6)
    assert "must be <= 2" in refused(client.infer, "repeat_purchase", [tensor("features", models.golden(1)[0], "FP32")])
    client.load_model("repeat_purchase")
    assert client.get_model_metadata("repeat_purchase")["versions"] == ["1"]
    assert "failed to load 'nope'" in refused(client.load_model, "nope")
    # Its client cannot write files as JSON; this is what others send.
    files = {"parameters": {"config": "{}", "file:1/model.onnx": "AAAA"}}
    answer = requests.post(f"{server.http}/v2/repository/models/linear/load", json=files, timeout=10)
    assert answer.status_code == 400 and "failed to load 'linear'" in answer.json()["error"]


def test_statistics_grow(client):
    def count() -> tuple[int, int, int]:
        stats = client.get_inference_statistics("linear")["model_stats"][0]
        return stats["inference_count"], stats["execution_count"], stats["inference_stats"]["success"]["count"]

    before = count()
    client.infer("linear", rows())
    after = count()
    assert after[1:] == (before[1] + 1, before[2] + 1) and after[0] > before[0]
    names = {stats["name"] for stats in client.get_inference_statistics()["model_stats"]}
    assert {"linear", "two_inputs", "repeat_purchase"} <= names


def test_what_is_not_implemented_says_so(client):
    assert "not implemented" in refused(client.get_trace_settings)
    assert "not implemented" in refused(client.get_log_settings)
    assert "not implemented" in refused(client.get_system_shared_memory_status)


def test_a_request_of_raw_bytes(server):
    headers = {"Inference-Header-Content-Length": "0"}
    url = f"{server.http}/v2/models/linear/infer"
    answer = requests.post(url, data=models.ROWS[:1].tobytes(), headers=headers, timeout=10)
    length = int(answer.headers["Inference-Header-Content-Length"])
    assert json.loads(answer.content[:length])["outputs"][0]["shape"] == [1, 1]
    np.testing.assert_array_equal(np.frombuffer(answer.content[length:], np.float32), models.linear(models.ROWS)[0])


def test_load_generators_ask_for_what_they_need(server):
    """As perf_analyzer does: an empty id, and a content type that is none of JSON's."""
    for path in ["/v2", "/v2/models/linear", "/v2/models/linear/config", "/v2/models/linear/stats"]:
        assert requests.get(server.http + path, timeout=10).status_code == 200
    body = {"id": "", "inputs": [{"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
    headers = {"Content-Type": "application/octet-stream"}
    url = f"{server.http}/v2/models/linear/infer"
    answer = requests.post(url, data=json.dumps(body), headers=headers, timeout=10)
    assert answer.json()["outputs"][0]["data"] == [6.125]
