"""Uses a gateway as clients of Triton do: triton_http.py HOST:PORT MODEL

MODEL has one input and one output in FP32. Each check prints a line; the first that fails
ends the program.
"""

import asyncio
import sys

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

address, model = sys.argv[1], sys.argv[2]
client = triton.InferenceServerClient(address, concurrency=4)


def check(what, holds, got=""):
    if not holds:
        sys.exit(f"FAILED: {what}: {got}")
    print("ok:", what)


def refused(what, statuses, code, call):
    try:
        got = call()
    except InferenceServerException as e:
        check(what, int(e.status()) in statuses and code in e.message(), f"{e.status()} {e.message()}")
    else:
        check(what, False, got)


check("live, ready", client.is_server_live() and client.is_server_ready() and client.is_model_ready(model) and client.is_model_ready(model, "1"))
check("no such model", not client.is_model_ready("nobody"))
server = client.get_server_metadata()
check("server metadata", server["name"] == "clockwork" and "binary_tensor_data" in server["extensions"], server)
metadata = client.get_model_metadata(model)
source, sink = metadata["inputs"][0], metadata["outputs"][0]
check("model metadata", metadata["versions"] == ["1"] and source["shape"][0] == -1 and source["datatype"] == "FP32", metadata)
config = client.get_model_config(model)
check("model config", config["max_batch_size"] > 1 and config["input"][0]["dims"] == source["shape"][1:] and config["input"][0]["data_type"] == "TYPE_FP32", config)

SECOND = 1_000_000


def asked(batch=1, binary=True, values=None):
    x = triton.InferInput(source["name"], [batch] + source["shape"][1:], "FP32")
    if values is None:
        values = np.random.default_rng(1).random([batch] + source["shape"][1:], np.float32)
    x.set_data_from_numpy(values, binary_data=binary)
    return [x]


def wrong():
    x = triton.InferInput(source["name"], [1, 1], "FP32")
    x.set_data_from_numpy(np.zeros((1, 1), np.float32))
    return [x]


def wanted(binary=True):
    return [triton.InferRequestedOutput(sink["name"], binary_data=binary)]


def answered(what, result, batch=1):
    y = result.as_numpy(sink["name"])
    check(what, y is not None and list(y.shape) == [batch] + sink["shape"][1:] and y.dtype == np.float32, result.get_response())


for there in (True, False):
    for back in (True, False):
        how = f"binary in: {there}, binary out: {back}"
        answered(how, client.infer(model, asked(binary=there), outputs=wanted(back), timeout=20 * SECOND))
answered("all outputs", client.infer(model, asked(), timeout=20 * SECOND))
answered("a batch", client.infer(model, asked(2), timeout=20 * SECOND), 2)
for way in ("gzip", "deflate"):
    answered(way + " both ways", client.infer(model, asked(), timeout=20 * SECOND, request_compression_algorithm=way, response_compression_algorithm=way))
result = client.infer(model, asked(), request_id="r1", model_version="1", priority=1, timeout=20 * SECOND)
answer = result.get_response()
check("id, version, parameters", answer["id"] == "r1" and answer["model_version"] == "1" and answer["parameters"]["exec_us"] > 0, answer)
answered("a header of our own", client.infer(model, asked(), headers={"Clockwork-Timeout": "20s"}))
for pending in [client.async_infer(model, asked(), timeout=20 * SECOND) for _ in range(20)]:
    answered("async", pending.get_result())

refused("unknown model", [404], "UNKNOWN_MODEL", lambda: client.infer("nobody", asked()))
refused("another version", [404], "version 1", lambda: client.infer(model, asked(), model_version="7"))
refused("wrong shape", [400], "INVALID_INPUT", lambda: client.infer(model, wrong()))
refused("no time", [503, 504], "DEADLINE_", lambda: client.infer(model, asked(), timeout=1))
refused("a sequence", [400], "sequences", lambda: client.infer(model, asked(), sequence_id=5, sequence_start=True))
statistics = client.get_inference_statistics(model)["model_stats"][0]
check("statistics", statistics["inference_count"] >= 20 and statistics["inference_stats"]["success"]["count"] >= 20 and "cache_miss" in statistics["inference_stats"], statistics)
index = client.get_model_repository_index()
check("repository index", [m["name"] for m in index] == [model] and index[0]["state"] == "READY", index)
client.load_model(model)
refused("load", [400], "LOADING_CLOSED", lambda: client.load_model("another"))
refused("unload", [400], "LOADING_CLOSED", lambda: client.unload_model(model))


async def aio():
    async with triton_aio.InferenceServerClient(address) as c:
        check("asyncio: ready", await c.is_server_ready())
        many = await asyncio.gather(*[c.infer(model, asked(), timeout=20 * SECOND) for _ in range(20)])
        for one in many:
            answered("asyncio", one)


asyncio.run(aio())
client.close()
