"""`tritonclient.grpc`, unmodified."""

from __future__ import annotations

import queue

import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(server.grpc) as client:
        yield client


def tensor(name: str, values: np.ndarray, datatype: str) -> triton.InferInput:
    given = triton.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values)
    return given


def rows() -> list[triton.InferInput]:
    return [tensor("features", models.ROWS, "FP32")]


def refused(call, *args, **kwargs) -> InferenceServerException:
    with pytest.raises(InferenceServerException) as refusal:
        call(*args, **kwargs)
    return refusal.value


def test_a_server_and_its_models_are_asked_what_they_are(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.get_server_metadata().name == "plumb"
    assert client.is_model_ready("linear") and not client.is_model_ready("nope")
    metadata = client.get_model_metadata("linear")
    assert (metadata.name, metadata.platform, list(metadata.versions)) == ("linear", "onnxruntime_onnx", ["1"])
    assert list(metadata.inputs[0].shape) == [-1, 3]
    config = client.get_model_config("repeat_purchase").config
    assert config.max_batch_size > 0 and list(config.input[0].dims) == [3]
    assert client.get_model_config("linear", as_json=True)["config"]["backend"] == "onnxruntime"


def test_rows_are_answered(client):
    result = client.infer("linear", rows(), request_id="mine", outputs=[triton.InferRequestedOutput("score")])
    np.testing.assert_array_equal(result.as_numpy("score"), models.linear(models.ROWS))
    assert (result.get_response().id, result.get_response().model_version) == ("mine", "1")


def test_texts_and_two_inputs(client):
    result = client.infer("string_input", [tensor("features", models.WORDS, "BYTES")]).as_numpy("score")
    assert [[x.decode() for x in row] for row in result] == models.WORDS.tolist()
    orders, value = np.array([[3], [0]], np.int64), np.array([[2.5], [8]], np.float32)
    given = [tensor("avg_order_value", value, "FP32"), tensor("total_orders", orders, "INT64")]
    np.testing.assert_array_equal(client.infer("two_inputs", given).as_numpy("score"), [[1.0], [-1.875]])


@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_messages_are_compressed(client, how):
    many = np.tile(models.ROWS, (500, 1))
    result = client.infer("linear", [tensor("features", many, "FP32")], compression_algorithm=how)
    np.testing.assert_array_equal(result.as_numpy("score"), models.linear(many))


def test_messages_may_be_larger_than_a_framework_thinks(client):
    many = np.full((4096, 3), "x" * 500, dtype=object)
    result = client.infer("string_input", [tensor("features", many, "BYTES")]).as_numpy("score")
    assert result.shape == (4096, 3) and result[4095, 2] == b"x" * 500


def test_a_deadline_is_the_clients(client):
    result = client.infer("linear", rows(), client_timeout=30)
    np.testing.assert_array_equal(result.as_numpy("score"), models.linear(models.ROWS))
    result = client.infer("linear", rows(), priority=1, timeout=1_000_000, parameters={"mine": 1.5})
    np.testing.assert_array_equal(result.as_numpy("score"), models.linear(models.ROWS))
    # A timeout is a millisecond at least to the client, in which six megabytes are neither sent nor answered.
    many = [tensor("features", np.full((4096, 3), "x" * 500, dtype=object), "BYTES")]
    told = refused(client.infer, "string_input", many, client_timeout=1e-9)
    assert told.status() == "StatusCode.DEADLINE_EXCEEDED"


def test_async_calls(client):
    answers: queue.Queue = queue.Queue()
    for _ in range(8):
        client.async_infer("linear", rows(), lambda result, error: answers.put((result, error)))
    for _ in range(8):
        result, error = answers.get(timeout=10)
        assert error is None
        np.testing.assert_array_equal(result.as_numpy("score"), models.linear(models.ROWS))


def test_a_stream_answers_in_order_and_tells_failures(client):
    answers: queue.Queue = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for n in range(20):
        model = "nope" if n == 7 else "linear"
        client.async_stream_infer(model, rows(), request_id=str(n), enable_empty_final_response=n == 3)
    for n in range(20):
        result, error = answers.get(timeout=10)
        if n == 7:
            assert "Request for unknown model: 'nope'" in str(error)
            continue
        assert error is None and result.get_response().id == str(n)
        np.testing.assert_array_equal(result.as_numpy("score"), models.linear(models.ROWS))
        assert ("triton_final_response" in result.get_response().parameters) == (n == 3)
    client.stop_stream()


def test_a_stream_that_is_to_end_at_a_failure_does(client):
    answers: queue.Queue = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers={"triton_grpc_error": "true"})
    client.async_stream_infer("nope", rows())
    result, error = answers.get(timeout=10)
    assert result is None and error.status() == "StatusCode.NOT_FOUND"
    client.stop_stream()


def test_mistakes_have_their_codes(client):
    told = refused(client.infer, "nope", rows())
    assert told.status() == "StatusCode.NOT_FOUND" and "Request for unknown model: 'nope'" in told.message()
    told = refused(client.infer, "linear", [tensor("features", np.ones((1, 4), np.float32), "FP32")])
    assert told.status() == "StatusCode.INVALID_ARGUMENT" and "Expected [-1,3], got [1,4]" in told.message()
    assert refused(client.get_trace_settings).status() == "StatusCode.UNIMPLEMENTED"


def test_the_repository_and_statistics(client):
    index = {(model.name, model.version): model for model in client.get_model_repository_index().models}
    assert index["linear", "1"].state == "READY"
    client.load_model("waiting", config='{"max_batch_size": 4}')
    assert client.is_model_ready("waiting")
    client.unload_model("waiting")
    assert not client.is_model_ready("waiting")
    told = refused(client.load_model, "linear", config="{}", files={"file:1/model.onnx": b"AAAA"})
    assert told.status() == "StatusCode.INVALID_ARGUMENT" and "failed to load 'linear'" in told.message()
    client.infer("linear", rows())
    stats = client.get_inference_statistics("linear").model_stats[0]
    assert stats.inference_count > 0 and stats.inference_stats.success.count > 0


def test_health_is_what_load_balancers_ask(server):
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(server.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ["", "inference.GRPCInferenceService"]:
            answer = health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
