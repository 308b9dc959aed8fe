"""The ONNX project's own node cases: one operator each, with inputs, attributes and expected outputs.

They come from `onnx.backend.test`, which draws many inputs from numpy's global generator while it is imported: load
them in a fresh process, so that every run sees the same numbers.
"""
import contextlib
import os
import warnings
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests


@dataclass
class Case:
    """One node. Inputs and outputs are arrays by their formal names in the operator's schema."""
    name: str
    op: str
    opset: int
    attrs: dict
    inputs: dict
    outputs: dict
    rtol: float
    atol: float


def node_cases():
    """All cases whose model is a single node of the default domain; the others repeat these in many nodes."""
    for test in sorted(_load(), key=lambda test: test.name):
        node = test.model.graph.node[0]
        if len(test.model.graph.node) == 1 and node.domain in ("", "ai.onnx"):
            for inputs, outputs in test.data_sets:
                yield _case(test, node, inputs, outputs)


def _load():
    np.random.seed(0)
    with warnings.catch_warnings(), open(os.devnull, "w") as sink, contextlib.redirect_stderr(sink):
        warnings.simplefilter("ignore")
        return list(load_model_tests(kind="node"))


def _case(test, node, inputs, outputs):
    opset = next(row.version for row in test.model.opset_import if row.domain in ("", "ai.onnx"))
    schema = defs.get_schema(node.op_type, opset, node.domain)
    return Case(test.name.removeprefix("test_"), node.op_type, opset,
                {a.name: _attribute(a) for a in node.attribute},
                _by_name(schema.inputs, node.input, inputs), _by_name(schema.outputs, node.output, outputs),
                test.rtol, test.atol)


def _attribute(attribute):
    value = helper.get_attribute_value(attribute)
    return value.decode() if isinstance(value, bytes) else value


def _by_name(formals, actuals, values):
    """Pairs the values of the actual parameters that are there (not "") with their formal names."""
    values = iter(values)
    return {_formal(formals, i): _array(next(values)) for i, actual in enumerate(actuals) if actual}


def _formal(formals, i):
    """The i-th formal name; a variadic parameter repeats the last one, numbered."""
    last = len(formals) - 1
    variadic = formals[last].option == defs.OpSchema.FormalParameterOption.Variadic
    return f"{formals[last].name}{i - last}" if variadic and i >= last else formals[i].name


def _array(value):
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return value if isinstance(value, (list, tuple, dict, type(None))) else np.asarray(value)
