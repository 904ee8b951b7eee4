"""Makes the models that every server gets: onnx's light networks with a dynamic batch and random
weights. usage: models.py DIRECTORY

m01 is a squeezenet, m02 a shufflenet, m03 a resnet50, m04 a squeezenet again, up to m12, each as
DIRECTORY/NAME/1/model.onnx.
"""
import os
import shutil
import sys

import numpy
import onnx
from onnx import helper, numpy_helper

LIGHT = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "light")
KINDS = ["squeezenet", "shufflenet", "resnet50"]
COUNT = 12


def weight(shape, rng):
    """Weights that keep activations finite: scaled by what an output sums up; scales and
    variances are positive."""
    if len(shape) == 1:
        return (numpy.abs(rng.standard_normal(shape)) * 0.1 + 0.5).astype(numpy.float32)
    inputs = max(1, int(numpy.prod(shape[1:])))
    return (rng.standard_normal(shape) * numpy.sqrt(2 / inputs)).astype(numpy.float32)


def fill(graph, rng):
    """Replaces the light networks' placeholders (ConstantOfShape) by weights. Returns the other
    nodes and the values of all constants."""
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type == "ConstantOfShape":
            constants[node.output[0]] = weight(constants[node.input[0]].astype(int), rng)
        else:
            nodes.append(node)
    return nodes, constants


def free_batch(node, constants):
    """A reshape to batch 1 becomes one to any batch."""
    if node.op_type != "Reshape":
        return
    shape = constants[node.input[1]].copy()
    if shape[0] == 1:
        shape[0] = 0 if -1 in shape else -1
    constants[node.input[1]] = shape


def make(kind):
    model = onnx.load(os.path.join(LIGHT, f"light_{kind}.onnx"))
    nodes, constants = fill(model.graph, numpy.random.default_rng(7))
    (source,) = [i for i in model.graph.input if i.name not in constants]
    (result,) = model.graph.output
    renamed = {source.name: "data", result.name: "prob"}
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        free_batch(node, constants)
    used = {name for node in nodes for name in node.input}
    rows = [d.dim_value for d in result.type.tensor_type.shape.dim][1:]
    graph = helper.make_graph(
        nodes,
        kind,
        [helper.make_tensor_value_info("data", onnx.TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("prob", onnx.TensorProto.FLOAT, ["N"] + rows)],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used],
    )
    made = helper.make_model(graph, opset_imports=model.opset_import)
    made.ir_version = 4
    onnx.checker.check_model(made)
    return made


def main(directory):
    first = {}
    for i in range(COUNT):
        kind = KINDS[i % len(KINDS)]
        path = os.path.join(directory, f"m{i + 1:02d}", "1", "model.onnx")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if kind in first:
            shutil.copy(first[kind], path)
        else:
            first[kind] = path
            onnx.save(make(kind), path)


if __name__ == "__main__":
    main(sys.argv[1])
