"""Infers with Triton's own client: nothing but the address is Clockwork's."""

import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"
client = triton.InferenceServerClient(address)


def tensor(name, values):
    t = triton.InferInput(name, list(values.shape), "INT32")
    t.set_data_from_numpy(values)
    return t


inputs = [tensor("INPUT0", np.array([[1, 2, 3, 4]], np.int32)), tensor("INPUT1", np.array([[10, 20, 30, 40]], np.int32))]
answer = client.infer("simple", inputs, timeout=1_000_000)  # microseconds
for name in ("OUTPUT0", "OUTPUT1"):
    print(f"{name}: {answer.as_numpy(name)[0].tolist()}")
print(f"after {answer.get_response()['parameters']['latency_us'] / 1000:.2f} ms")
try:
    client.infer("simple", inputs, timeout=1)
except InferenceServerException as refusal:
    print(f"within 1 us: {refusal.message()}")
