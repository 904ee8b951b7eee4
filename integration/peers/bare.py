"""Measures a bare ONNX Runtime session of each network, one thread, at batch 1 to 8, and prints
the mean milliseconds as JSON. usage: bare.py (PEERS_MODELS and PEERS_NAMES in the environment)"""
import json
import time

import numpy

import session

SECONDS = 1.5
KINDS = ["squeezenet", "shufflenet", "resnet50"]


def mean_ms(model, batch):
    pictures = numpy.random.default_rng(1).random((batch, 3, 224, 224), numpy.float32)
    for _ in range(3):
        result = session.infer(model, pictures)
    assert result.shape[0] == batch and numpy.isfinite(result).all()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS or count < 3:
        session.infer(model, pictures)
        count += 1
    return round(1000 * (time.perf_counter() - began) / count, 3)


if __name__ == "__main__":
    times = {}
    for kind, name in zip(KINDS, session.NAMES):
        model = session.open_session(name)
        times[kind] = {str(batch): mean_ms(model, batch) for batch in (1, 2, 4, 8)}
    print(json.dumps(times))
