"""ONNX graphs written as formulas: a `Tensor` takes NumPy's operators, and a `Graph` holds the nodes that they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# The first versions with tree ensembles in double precision (onnx 1.17, ONNX Runtime 1.21).
OPSET, ML_OPSET, IR_VERSION = 21, 5, 10
ML = "ai.onnx.ml"
BATCH = "batch"  # the axis of machines, or of windows, of which there may be any number

Value = Any  # a Tensor, or what NumPy takes for an array


@dataclass(frozen=True, eq=False, slots=True)
class Tensor:
    """A value of a graph; arithmetic with numbers and arrays takes them in its own type."""

    graph: Graph
    name: str
    dtype: npt.DTypeLike

    def __add__(self, other: Value) -> Tensor:
        return self.graph.apply("Add", self, other)

    def __sub__(self, other: Value) -> Tensor:
        return self.graph.apply("Sub", self, other)

    def __mul__(self, other: Value) -> Tensor:
        return self.graph.apply("Mul", self, other)

    def __truediv__(self, other: Value) -> Tensor:
        return self.graph.apply("Div", self, other)

    def __matmul__(self, other: Value) -> Tensor:
        return self.graph.apply("MatMul", self, other)

    def map(self, op: str, **attributes: Any) -> Tensor:
        """Return what an operator of ONNX makes of this value alone."""
        return self.graph.apply(op, self, **attributes)

    def cast(self, dtype: npt.DTypeLike) -> Tensor:
        """Return the value in another type."""
        if np.dtype(dtype) == self.dtype:
            return self
        return self.graph.apply("Cast", self, dtype=dtype, to=onnx_type(dtype))

    def at_least(self, low: float) -> Tensor:
        """Return the larger of the value and a number."""
        return self.graph.apply("Max", self, low)

    def at_most(self, high: float) -> Tensor:
        """Return the smaller of the value and a number."""
        return self.graph.apply("Min", self, high)

    def take(self, items: Any, axis: int) -> Tensor:
        """Return some items of an axis; a single number takes the axis away."""
        return self.graph.apply("Gather", self, np.asarray(items, dtype=np.int64), axis=axis)

    def sum(self, axis: int) -> Tensor:
        """Return the sum over an axis, which goes."""
        return self.graph.apply("ReduceSum", self, np.array([axis]), keepdims=0)

    def unsqueeze(self, axis: int) -> Tensor:
        """Return the value with a new axis of one."""
        return self.graph.apply("Unsqueeze", self, np.array([axis]))

    def squeeze(self, axis: int) -> Tensor:
        """Return the value without an axis of one."""
        return self.graph.apply("Squeeze", self, np.array([axis]))

    def reshape(self, *shape: int) -> Tensor:
        """Return the value in another shape; 0 keeps an axis as it is, -1 is what is left."""
        return self.graph.apply("Reshape", self, np.array(shape))

    def transpose(self, *axes: int) -> Tensor:
        """Return the value with its axes in another order."""
        return self.graph.apply("Transpose", self, perm=list(axes))

    def tail(self, begin: int, axis: int) -> Tensor:
        """Return the items of an axis from one on; a negative number counts from the end."""
        far = np.array([np.iinfo(np.int64).max])
        return self.graph.apply("Slice", self, np.array([begin]), far, np.array([axis]))


class State(NamedTuple):
    """What a step keeps for the next: an input of the graph, and the output that is to be fed into it."""

    name: str
    shape: tuple[int, ...]  # of one machine
    dtype: str


class Graph:
    """The nodes, constants, inputs and outputs of a graph under construction."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.states: list[State] = []
        self.constants: dict[str, Any] = {}
        self._of_value: dict[Any, Tensor] = {}
        self._n_named: Counter[str] = Counter()

    def apply(self, op: str, *inputs: Value, dtype: npt.DTypeLike | None = None, **attributes: Any) -> Tensor:
        """Return the first output of an operator, of the type of its first input unless told another."""
        return self.apply_all(op, 1, *inputs, dtype=dtype, **attributes)[0]

    def apply_all(
        self,
        op: str,
        n_outputs: int,
        *inputs: Value,
        dtype: npt.DTypeLike | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> list[Tensor]:
        """Return the outputs of an operator; an input of None is left out."""
        from onnx import helper

        of = next(value.dtype for value in inputs if isinstance(value, Tensor))
        names = ["" if value is None else self.to_tensor(value, of).name for value in inputs]
        outputs = [self.name(op) for _ in range(n_outputs)]
        self.nodes.append(helper.make_node(op, names, outputs, domain=domain, **attributes))
        return [Tensor(self, name, np.dtype(of if dtype is None else dtype)) for name in outputs]

    def to_tensor(self, value: Value, dtype: npt.DTypeLike) -> Tensor:
        """Return a value as a tensor: numbers as a constant of a type, whole numbers and truth values of their own."""
        if isinstance(value, Tensor):
            return value
        array = np.asarray(value)
        if array.dtype.kind == "f" or not isinstance(value, np.ndarray):
            array = array.astype(dtype)
        return self.constant(array)

    def constant(self, array: npt.NDArray[Any]) -> Tensor:
        """Return an array as a tensor; the same array is stored once."""
        from onnx import numpy_helper

        array = np.ascontiguousarray(array).reshape(np.shape(array))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._of_value:
            name = self.name("constant")
            self.constants[name] = numpy_helper.from_array(array, name)
            self._of_value[key] = Tensor(self, name, array.dtype)
        return self._of_value[key]

    def name(self, stem: str) -> str:
        """Return a name that is not taken yet."""
        self._n_named[stem] += 1
        return f"{stem}_{self._n_named[stem]}"

    def input(self, name: str, dtype: npt.DTypeLike, *shape: int | str) -> Tensor:
        """Return an input of the graph."""
        self.inputs.append(_value_info(name, dtype, shape))
        return Tensor(self, name, np.dtype(dtype))

    def output(self, name: str, value: Tensor, *shape: int | str) -> None:
        """Make a value an output of the graph."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [value.name], [name]))
        self.outputs.append(_value_info(name, value.dtype, shape))

    def concat(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Return several values one after the other along an axis."""
        return parts[0] if len(parts) == 1 else self.apply("Concat", *parts, axis=axis)

    def stack(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Return several values along a new axis."""
        return self.concat([part.unsqueeze(axis) for part in parts], axis)

    def where(self, condition: Tensor, then: Tensor, otherwise: Tensor) -> Tensor:
        """Return one value or the other, item by item."""
        return self.apply("Where", condition, then, otherwise, dtype=then.dtype)

    def choose(
        self, condition: Tensor, then: Callable[[], Sequence[Tensor]], otherwise: Sequence[Tensor]
    ) -> list[Tensor]:
        """Return values computed only where a condition of the whole call holds, in place of others."""
        from onnx import helper

        with self._branch() as nodes:
            results = then()
            branches = {"then_branch": self._make_branch(nodes, results)}
        with self._branch() as nodes:
            kept = [value.map("Identity") for value in otherwise]
            branches["else_branch"] = self._make_branch(nodes, kept)
        outputs = [self.name("If") for _ in otherwise]
        self.nodes.append(helper.make_node("If", [condition.name], outputs, **branches))
        return [Tensor(self, name, value.dtype) for name, value in zip(outputs, otherwise, strict=True)]

    def scan(
        self,
        step: Callable[[tuple[Tensor, ...], Tensor], tuple[Tensor, ...]],
        state: Sequence[Tensor],
        x: Tensor,
        *,
        backwards: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the first part of a state after each step along the first axis of `x`, and all after the last."""
        from onnx import helper

        inside = [Tensor(self, self.name("scanned"), value.dtype) for value in (*state, x)]
        with self._branch() as nodes:
            after = step(tuple(inside[:-1]), inside[-1])
            results = [*after, after[0].map("Identity")]
            inputs = [_value_info(value.name, value.dtype, None) for value in inside]
            body = self._make_branch(nodes, results, inputs)
        outputs = [self.name("Scan") for _ in results]
        order: dict[str, Any] = {"scan_input_directions": [int(backwards)], "scan_output_directions": [int(backwards)]}
        names = [value.name for value in (*state, x)]
        self.nodes.append(helper.make_node("Scan", names, outputs, body=body, num_scan_inputs=1, **order))
        *last, every = (Tensor(self, name, value.dtype) for name, value in zip(outputs, results, strict=True))
        return every, tuple(last)

    def finish(self, metadata: dict[str, str]) -> Any:
        """Return the model, which has passed ONNX's checker."""
        import onnx
        from onnx import helper

        constants = list(self.constants.values())
        graph = helper.make_graph(self.nodes, "eventlstm", self.inputs, self.outputs, constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="eventlstm")
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

    @contextmanager
    def _branch(self) -> Iterator[list[Any]]:
        """Collect nodes apart from those of the graph, whose values they may use."""
        above, self.nodes = self.nodes, []
        try:
            yield self.nodes
        finally:
            self.nodes = above

    def _make_branch(self, nodes: list[Any], results: Sequence[Tensor], inputs: Sequence[Any] = ()) -> Any:
        from onnx import helper

        outputs = [_value_info(value.name, value.dtype, None) for value in results]
        return helper.make_graph(nodes, self.name("branch"), list(inputs), outputs)


def onnx_type(dtype: npt.DTypeLike) -> int:
    """Return ONNX's number of a type."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _value_info(name: str, dtype: npt.DTypeLike, shape: Sequence[int | str] | None) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, onnx_type(dtype), shape)
