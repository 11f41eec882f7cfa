"""KServe's clients, in a process of their own: theirs and Triton's messages have the same names, and one process has only one of them.

    python kserve_clients.py rest|grpc ADDRESS
"""

from __future__ import annotations

import asyncio
import sys

import models
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig


def asked(*, binary: bool) -> InferRequest:
    given = InferInput(name="features", shape=list(models.ROWS.shape), datatype="FP32")
    given.set_data_from_numpy(models.ROWS, binary_data=binary)
    return InferRequest(model_name="linear", infer_inputs=[given])


def check(answers: list) -> None:
    for answer in answers:
        assert answer.model_name == "linear"
        np.testing.assert_array_equal(answer.outputs[0].as_numpy(), models.linear(models.ROWS))


async def rest(address: str) -> None:
    client = InferenceRESTClient(config=RESTConfig(protocol="v2"))
    assert await client.is_server_live(address)
    assert await client.is_server_ready(address)
    assert await client.is_model_ready(address, "linear")
    assert not await client.is_model_ready(address, "nope")
    check([await client.infer(address, asked(binary=binary), model_name="linear") for binary in [False, True]])
    await client.close()


async def grpc(address: str) -> None:
    client = InferenceGRPCClient(address)
    assert await client.is_server_live() and await client.is_server_ready()
    assert await client.is_model_ready("linear")
    check([await client.infer(asked(binary=binary)) for binary in [False, True]])
    await client.close()


if __name__ == "__main__":
    _, transport, address = sys.argv
    asyncio.run({"rest": rest, "grpc": grpc}[transport](address))
    print("answered")
