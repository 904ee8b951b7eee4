"""Uses a gateway as clients of KServe do, over HTTP and gRPC: kserve_both.py HTTP GRPC MODEL

Both are HOST:PORT. MODEL has one input and one output in FP32. Each check prints a line; the
first that fails ends the program.
"""

import asyncio
import logging
import sys

import grpc
import httpx
import numpy as np
from kserve import InferInput, InferRequest, InferenceGRPCClient, InferenceRESTClient, RESTConfig

http, over_grpc, model = "http://" + sys.argv[1], sys.argv[2], sys.argv[3]
logging.disable(logging.CRITICAL)  # the clients log the refusals that are checked


def check(what, holds, got=""):
    if not holds:
        sys.exit(f"FAILED: {what}: {got}")
    print("ok:", what)


def request(source, shape, binary=True, **more):
    values = np.random.default_rng(1).random([1] + shape, np.float32)
    x = InferInput(source, [1] + shape, "FP32")
    x.set_data_from_numpy(values, binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=[x], request_id="r1", **more)


async def rest():
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))
    check("REST: live", await client.is_server_live(http))
    check("REST: ready", await client.is_server_ready(http))
    check("REST: model ready", await client.is_model_ready(http, model))
    async with httpx.AsyncClient() as c:
        metadata = (await c.get(f"{http}/v2/models/{model}")).json()
    source, shape = metadata["inputs"][0]["name"], metadata["inputs"][0]["shape"][1:]
    for binary in (True, False):
        answer = await client.infer(http, request(source, shape, binary, parameters={"slo_ms": 20000}), model_name=model)
        y = answer.outputs[0]
        check(f"REST: infer, binary: {binary}", answer.id == "r1" and y.datatype == "FP32" and y.as_numpy().shape[0] == 1, answer)
    try:
        await client.infer(http, request(source, shape, parameters={"slo_ms": 0.001}), model_name=model)
        check("REST: no time", False)
    except httpx.HTTPStatusError as e:
        check("REST: no time", e.response.status_code in (503, 504) and "DEADLINE_" in str(e), e)
    await client.close()
    return source, shape


async def rpc(source, shape):
    async with InferenceGRPCClient(over_grpc, timeout=30) as client:
        check("gRPC: live", await client.is_server_live())
        check("gRPC: ready", await client.is_server_ready())
        check("gRPC: model ready", await client.is_model_ready(model))
        for binary in (True, False):
            answer = await client.infer(request(source, shape, binary))
            y = answer.outputs[0]
            check(f"gRPC: infer, raw: {binary}", answer.id == "r1" and y.datatype == "FP32" and y.as_numpy().shape[0] == 1, answer)
        for what, code, call in (
            ("unknown model", grpc.StatusCode.NOT_FOUND, client.is_model_ready("nobody")),
            ("wrong shape", grpc.StatusCode.INVALID_ARGUMENT, client.infer(request(source, [1]))),
            ("no time", grpc.StatusCode.DEADLINE_EXCEEDED, client.infer(request(source, shape, parameters={"timeout": 1}))),
        ):
            try:
                check("gRPC: " + what, False, await call)
            except grpc.RpcError as e:
                check("gRPC: " + what, e.code() == code, e)


async def both():
    await rpc(*await rest())


asyncio.run(both())
