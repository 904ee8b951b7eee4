"""One ONNX Runtime session for each model: what every server of the comparison executes.

One thread for each execution and none for parallel branches, as Clockwork's executor has.
The environment names the directory of the models (PEERS_MODELS) and their names (PEERS_NAMES).
"""
import os

import numpy
import onnxruntime

MODELS = os.environ["PEERS_MODELS"]
NAMES = os.environ["PEERS_NAMES"].split(",")


def open_session(name):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    path = os.path.join(MODELS, name, "1", "model.onnx")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def tensor(raw):
    """The picture of a raw request: float32, little-endian."""
    return numpy.frombuffer(raw, numpy.float32).reshape(-1, 3, 224, 224)


def infer(session, pictures):
    return session.run(None, {"data": pictures})[0]


def setting(name, default):
    """A number of settings.yaml."""
    return type(default)(os.environ.get(name, default))
