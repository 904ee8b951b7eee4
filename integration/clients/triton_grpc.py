"""Uses a gateway as clients of Triton do, over gRPC: triton_grpc.py HOST:PORT MODEL

MODEL has one input and one output in FP32. Each check prints a line; the first that fails
ends the program.
"""

import asyncio
import queue
import sys

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

address, model = sys.argv[1], sys.argv[2]
client = triton.InferenceServerClient(address)


def check(what, holds, got=""):
    if not holds:
        sys.exit(f"FAILED: {what}: {got}")
    print("ok:", what)


def refused(what, statuses, code, call):
    try:
        got = call()
    except InferenceServerException as e:
        check(what, str(e.status()).removeprefix("StatusCode.") in statuses and code in e.message(), f"{e.status()} {e.message()}")
    else:
        check(what, False, got)


check("live, ready", client.is_server_live() and client.is_server_ready() and client.is_model_ready(model) and client.is_model_ready(model, "1"))
refused("no such model", ["NOT_FOUND"], "UNKNOWN_MODEL", lambda: client.is_model_ready("nobody"))
server = client.get_server_metadata()
check("server metadata", server.name == "clockwork" and "statistics" in server.extensions, server)
metadata = client.get_model_metadata(model)
source, sink = metadata.inputs[0], metadata.outputs[0]
check("model metadata", list(metadata.versions) == ["1"] and source.shape[0] == -1 and source.datatype == "FP32", metadata)
check("as JSON", client.get_model_metadata(model, as_json=True)["name"] == model)
config = client.get_model_config(model).config
check("model config", config.max_batch_size > 1 and list(config.input[0].dims) == list(source.shape[1:]) and config.input[0].data_type == 11, config)

SECOND = 1_000_000
shape = list(source.shape[1:])


def asked(batch=1, values=None):
    x = triton.InferInput(source.name, [batch] + shape, "FP32")
    if values is None:
        values = np.random.default_rng(1).random([batch] + shape, np.float32)
    x.set_data_from_numpy(values)
    return [x]


def wrong():
    x = triton.InferInput(source.name, [1, 1], "FP32")
    x.set_data_from_numpy(np.zeros((1, 1), np.float32))
    return [x]


def answered(what, result, batch=1):
    y = result.as_numpy(sink.name)
    check(what, y is not None and list(y.shape) == [batch] + list(sink.shape[1:]) and y.dtype == np.float32, result.get_response())


answered("infer", client.infer(model, asked(), timeout=20 * SECOND))
answered("an output by name", client.infer(model, asked(), outputs=[triton.InferRequestedOutput(sink.name)], timeout=20 * SECOND))
answered("a batch", client.infer(model, asked(2), timeout=20 * SECOND), 2)
for way in ("gzip", "deflate"):
    answered(way, client.infer(model, asked(), timeout=20 * SECOND, compression_algorithm=way))
answered("the deadline of gRPC", client.infer(model, asked(), client_timeout=20))
answered("a key of our own", client.infer(model, asked(), headers={"clockwork-timeout": "20s"}))
answered("slo_ms", client.infer(model, asked(), parameters={"slo_ms": 20000}))
result = client.infer(model, asked(), request_id="r1", model_version="1", priority=1, timeout=20 * SECOND)
answer = result.get_response()
check("id, version, parameters", answer.id == "r1" and answer.model_version == "1" and answer.parameters["exec_us"].int64_param > 0, answer)

ends = queue.Queue()
for _ in range(20):
    client.async_infer(model, asked(), lambda result, error: ends.put((result, error)), timeout=20 * SECOND)
for _ in range(20):
    result, error = ends.get(timeout=60)
    check("async: no error", error is None, error)
    answered("async", result)

client.start_stream(lambda result, error: ends.put((result, error)))
for i in range(20):
    client.async_stream_infer(model, asked(), request_id=f"s{i}", timeout=20 * SECOND)
client.async_stream_infer(model, wrong(), request_id="wrong")
ids, errors = set(), []
for _ in range(21):
    result, error = ends.get(timeout=60)
    if error is not None:
        errors.append(error)
        continue
    answered("in a stream", result)
    ids.add(result.get_response().id)
client.stop_stream()
check("the ids of a stream", ids == {f"s{i}" for i in range(20)}, ids)
check("a refusal in a stream", len(errors) == 1 and "INVALID_INPUT" in errors[0].message(), errors)

statistics = client.get_inference_statistics(model).model_stats[0]
stats = statistics.inference_stats
check("statistics", statistics.inference_count >= 50 and 0 < statistics.execution_count <= statistics.inference_count, statistics)
check("statistics of all parts", stats.success.count >= 50 and stats.compute_infer.ns > 0 and stats.queue.count > 0 and stats.fail.count >= 1, stats)

index = client.get_model_repository_index().models
check("repository index", [m.name for m in index] == [model] and index[0].state == "READY", index)
client.load_model(model)
refused("load", ["FAILED_PRECONDITION"], "LOADING_CLOSED", lambda: client.load_model("another"))
refused("unload", ["FAILED_PRECONDITION"], "LOADING_CLOSED", lambda: client.unload_model(model))

refused("unknown model", ["NOT_FOUND"], "UNKNOWN_MODEL", lambda: client.infer("nobody", asked()))
refused("another version", ["NOT_FOUND"], "version 1", lambda: client.infer(model, asked(), model_version="7"))
refused("wrong shape", ["INVALID_ARGUMENT"], "INVALID_INPUT", lambda: client.infer(model, wrong()))
refused("no time", ["DEADLINE_EXCEEDED"], "DEADLINE_", lambda: client.infer(model, asked(), timeout=1))
refused("a sequence", ["INVALID_ARGUMENT"], "sequences", lambda: client.infer(model, asked(), sequence_id=5, sequence_start=True))
refused("shared memory", ["UNIMPLEMENTED"], "", client.get_system_shared_memory_status)


async def aio():
    async with triton_aio.InferenceServerClient(address) as c:
        check("asyncio: ready", await c.is_server_ready())
        many = await asyncio.gather(*[c.infer(model, asked(), timeout=20 * SECOND) for _ in range(20)])
        for one in many:
            answered("asyncio", one)

        async def requests():
            for i in range(10):
                yield {"model_name": model, "inputs": asked(), "request_id": f"a{i}", "timeout": 20 * SECOND}

        seen = set()
        async for result, error in c.stream_infer(requests()):
            check("asyncio: no error in a stream", error is None, error)
            seen.add(result.get_response().id)
        check("asyncio: the ids of a stream", seen == {f"a{i}" for i in range(10)}, seen)


asyncio.run(aio())
client.close()
