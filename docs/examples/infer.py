"""Infers over HTTP with Python's standard library alone: tensors as raw bytes behind JSON."""

import array
import json
import sys
import urllib.error
import urllib.request

# The type codes of array for the datatypes of tensors; FP16 needs NumPy.
CODES = {"INT8": "b", "UINT8": "B", "INT16": "h", "UINT16": "H", "INT32": "i", "UINT32": "I",
         "INT64": "q", "UINT64": "Q", "FP32": "f", "FP64": "d", "BOOL": "B"}


class Refused(Exception):
    """What the server refused, with its code and numbers, such as earliest_ms."""

    def __init__(self, body):
        super().__init__(body["error"])
        self.body = body


def infer(url, model, inputs, slo_ms):
    """Sends {name: (datatype, shape, numbers)} and returns ({name: numbers}, parameters)."""
    data = [array.array(CODES[datatype], numbers).tobytes() for datatype, _, numbers in inputs.values()]
    head = json.dumps({
        "parameters": {"slo_ms": slo_ms, "binary_data_output": True},
        "inputs": [{"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
                   for (name, (datatype, shape, _)), raw in zip(inputs.items(), data)],
    }).encode()
    request = urllib.request.Request(f"{url}/v2/models/{model}/infer", head + b"".join(data),
                                     {"Inference-Header-Content-Length": str(len(head))})
    try:
        with urllib.request.urlopen(request, timeout=slo_ms / 1000 + 5) as response:
            body, size = response.read(), int(response.headers["Inference-Header-Content-Length"])
    except urllib.error.HTTPError as error:
        raise Refused(json.load(error)) from None
    answer, rest, outputs = json.loads(body[:size]), body[size:], {}
    for output in answer["outputs"]:
        n = output["parameters"]["binary_data_size"]
        outputs[output["name"]] = array.array(CODES[output["datatype"]], rest[:n]).tolist()
        rest = rest[n:]
    return outputs, answer["parameters"]


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    inputs = {"INPUT0": ("INT32", [1, 4], [1, 2, 3, 4]), "INPUT1": ("INT32", [1, 4], [10, 20, 30, 40])}
    outputs, parameters = infer(url, "simple", inputs, slo_ms=1000)
    for name, numbers in outputs.items():
        print(f"{name}: {numbers}")
    print(f"after {parameters['latency_us'] / 1000:.2f} ms, of which {parameters['exec_us'] / 1000:.2f} ms on {parameters['worker']}")
    try:
        infer(url, "simple", inputs, slo_ms=0.001)
    except Refused as refusal:
        print(f"within 1 us: {refusal.body['code']}: {refusal.body['message']}")
