"""Weights in eight bits, arithmetic in floats: what a TFLite file asks the runtime to do with them."""

from __future__ import annotations

import importlib
from typing import Any

from training.networks import load_tensorflow

_VERSION = 5
"""Of the operation that makes floats of rounded weights: with a scale for each channel."""


def compute_in_floats(model: bytes) -> bytes:
    """Return a TFLite file that makes floats of its rounded weights once, when it is loaded.

    As the converter leaves it, a product of floats and rounded weights rounds the floats too, each time anew:
    a device without floating point may be glad of that, all others lose time and exactness. Names of tensors
    in between, a tenth of a long graph's file, are left out.

    Parameters
    ----------
    model
        A TFLite file's content, with weights in eight bits and everything else in floats.
    """
    load_tensorflow()
    # TensorFlow's own tools for the format: https://ai.google.dev/edge/api/tflite/python
    schema = importlib.import_module("tensorflow.lite.python.schema_py_generated")
    tools = importlib.import_module("tensorflow.lite.tools.flatbuffer_utils")
    content = tools.convert_bytearray_to_object(bytearray(model))
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = _VERSION
    content.operatorCodes.append(code)
    for graph in content.subgraphs:
        _give_floats(graph, schema, len(content.operatorCodes) - 1)
        ends = {*graph.inputs, *graph.outputs}
        for number, tensor in enumerate(graph.tensors):
            if number not in ends:
                tensor.name = None
    return bytes(tools.convert_object_to_bytearray(content))


def _give_floats(graph: Any, schema: Any, code: int) -> None:  # noqa: ANN401 - TensorFlow carries no types
    """Let all operations of a graph see floats in the place of its rounded weights."""
    floats: dict[int, int] = {}
    made = []
    for number, weights in enumerate(list(graph.tensors)):
        if weights.type != schema.TensorType.INT8:
            continue
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = weights.shape, schema.TensorType.FLOAT32, 0
        floats[number] = len(graph.tensors)
        graph.tensors.append(tensor)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, [number], [floats[number]]
        operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
        operator.builtinOptions = schema.DequantizeOptionsT()
        made.append(operator)
    for operator in graph.operators:
        operator.inputs = [floats.get(number, number) for number in operator.inputs]
    graph.operators = [*made, *graph.operators]
