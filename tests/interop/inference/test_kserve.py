"""KServe's clients, unmodified, over both transports."""

from __future__ import annotations

import asyncio

import models
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig


def asked(*, binary: bool) -> InferRequest:
    given = InferInput(name="features", shape=list(models.ROWS.shape), datatype="FP32")
    given.set_data_from_numpy(models.ROWS, binary_data=binary)
    return InferRequest(model_name="linear", infer_inputs=[given])


def test_rest(server):
    async def story():
        client = InferenceRESTClient(config=RESTConfig(protocol="v2"))
        assert await client.is_server_live(server.http)
        assert await client.is_server_ready(server.http)
        assert await client.is_model_ready(server.http, "linear")
        assert not await client.is_model_ready(server.http, "nope")
        answers = [await client.infer(server.http, asked(binary=binary), model_name="linear") for binary in [False, True]]
        await client.close()
        return answers

    for answer in asyncio.run(story()):
        np.testing.assert_array_equal(answer.outputs[0].as_numpy(), models.linear(models.ROWS))


def test_grpc(server):
    async def story():
        client = InferenceGRPCClient(server.grpc)
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("linear")
        answers = [await client.infer(asked(binary=binary)) for binary in [False, True]]
        await client.close()
        return answers

    for answer in asyncio.run(story()):
        np.testing.assert_array_equal(answer.outputs[0].as_numpy(), models.linear(models.ROWS))
