"""A model of Triton's Python backend. Triton forms the batch; the model executes it at once."""
import json

import numpy
import triton_python_backend_utils as backend

import session


class TritonPythonModel:
    def initialize(self, args):
        self.session = session.open_session(json.loads(args["model_config"])["name"])

    def execute(self, requests):
        inputs = [backend.get_input_tensor_by_name(r, "data").as_numpy() for r in requests]
        result = session.infer(self.session, inputs[0] if len(inputs) == 1 else numpy.concatenate(inputs))
        responses, first = [], 0
        for pictures in inputs:
            rows = result[first : first + len(pictures)]
            responses.append(backend.InferenceResponse([backend.Tensor("prob", rows)]))
            first += len(pictures)
        return responses
