"""Both asyncio clients of `tritonclient`, unmodified."""

from __future__ import annotations

import asyncio

import models
import numpy as np
import tritonclient.grpc.aio as grpc
import tritonclient.http.aio as http_client
from tritonclient.grpc import InferInput as GrpcInput
from tritonclient.http import InferInput as HttpInput


def rows(kind) -> list:
    given = kind("features", list(models.ROWS.shape), "FP32")
    given.set_data_from_numpy(models.ROWS)
    return [given]


def test_http(http):
    async def story():
        async with http_client.InferenceServerClient(http) as client:
            assert await client.is_server_ready()
            assert (await client.get_model_metadata("linear"))["name"] == "linear"
            results = await asyncio.gather(*[client.infer("linear", rows(HttpInput)) for _ in range(16)])
            result = await client.infer("linear", rows(HttpInput), request_compression_algorithm="gzip")
            return [*results, result]

    for result in asyncio.run(story()):
        np.testing.assert_array_equal(result.as_numpy("score"), models.linear(models.ROWS))


def test_grpc(server):
    async def story():
        async with grpc.InferenceServerClient(server.grpc) as client:
            assert await client.is_server_live()
            results = await asyncio.gather(*[client.infer("linear", rows(GrpcInput)) for _ in range(16)])

            async def requests():
                for n in range(5):
                    yield {"model_name": "linear", "inputs": rows(GrpcInput), "request_id": str(n)}

            async for result, error in client.stream_infer(requests()):
                assert error is None
                results.append(result)
            return results

    results = asyncio.run(story())
    assert len(results) == 21
    for result in results:
        np.testing.assert_array_equal(result.as_numpy("score"), models.linear(models.ROWS))
