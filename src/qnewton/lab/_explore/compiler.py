"""Compiler of a jaxpr of scalar arithmetic, or of short arrays that are unrolled, to a graph."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from .graph import Loop, Node, Region
from .primitives import BOOLEAN, INNER, INTEGER, SAME, TEMPLATES
from .simplify import simplified

_LONGEST = 64
"""Entries of an array that is unrolled; longer ones must be constants."""

_TYPES = (np.float64, np.bool_, np.int32, np.int64, np.uint32)
"""Of which no number needs more than 53 bits; nothing here wraps around."""

Values = np.ndarray
"""Of nodes, in the shape that the jaxpr has; or of constants."""


class Uncompilable(ValueError):
    """A formula uses something that has no JavaScript here."""


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A formula as a graph.

    Attributes:
        name: of the formula.
        arguments: names of its numbers.
        calls: names of the functions that it is handed.
        outputs: names of its results.
        region: with all nodes.
        parameters: the nodes of the arguments.
        results: the nodes of the results.
        truths: which of them are truth values.
    """

    name: str
    arguments: tuple[str, ...]
    calls: tuple[str, ...]
    outputs: tuple[str, ...]
    region: Region
    parameters: list[Node]
    results: list[Node]
    truths: list[bool]

    def only(self, output: str) -> "Compiled":
        """Return the same graph with one result."""
        place = self.outputs.index(output)
        chosen = {"results": [self.results[place]], "truths": [self.truths[place]]}
        return dataclasses.replace(self, outputs=(output,), **chosen)


def compiled(
    name: str, function: Callable[..., Mapping[str, Any]], arguments: Sequence[str], calls: Sequence[str] = ()
) -> Compiled:
    """Trace a function of scalars in double precision and return its graph.

    Args:
        name: in messages.
        function: takes one number for each argument, returns numbers and truth values by name.
        arguments: their names.
        calls: names of the functions that it is handed, those included that it does not call.

    Raises:
        Uncompilable: for a primitive, type or shape that has no JavaScript here; the message names it and the formula.
    """
    with jax.enable_x64(True):
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*[1.0] * len(arguments))
        region = Region()
        walk = _Walk(name, region, calls)
        parameters = [region.add(Node("parameter", word, (), region)) for word in arguments]
        found = walk.jaxpr(closed.jaxpr, closed.consts, [_single(node) for node in parameters], region)
    results = [_only(name, values) for values in found]
    outputs = tuple(sorted(shapes))
    truths = [shapes[output].dtype == np.bool_ for output in outputs]
    return Compiled(name, tuple(arguments), tuple(walk.calls), outputs, region, parameters, results, truths)


def _single(node: Node) -> Values:
    values = np.empty((), object)
    values[()] = node
    return values


def _only(name: str, values: Values) -> Node:
    if values.size != 1:
        raise Uncompilable(f"{name}: a result has the shape {values.shape}, and not a single number")
    return values.reshape(-1)[0]


class _Walk:
    """Symbolic evaluation of a jaxpr: shapes are numpy's, entries are nodes."""

    def __init__(self, name: str, root: Region, calls: Sequence[str]):
        self.name = name
        self.root = root
        self.calls = list(calls)

    def jaxpr(self, jaxpr: Jaxpr, consts: Sequence[Any], arguments: Sequence[Values], region: Region) -> list[Values]:
        known: dict[Any, Values] = dict(zip(jaxpr.invars, arguments, strict=True))
        known |= {variable: np.asarray(value) for variable, value in zip(jaxpr.constvars, consts, strict=True)}

        def read(variable: Any) -> Values:
            return np.asarray(variable.val) if isinstance(variable, Literal) else known[variable]

        for equation in jaxpr.eqns:
            found = self.equation(equation, [read(variable) for variable in equation.invars], region)
            known |= dict(zip(equation.outvars, found, strict=True))
        return [self.nodes(read(variable)) for variable in jaxpr.outvars]

    def equation(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        primitive, params = equation.primitive.name, equation.params
        for variable in equation.outvars:
            if variable.aval.dtype not in _TYPES:
                raise self.refusal(primitive, f"of type {variable.aval.dtype}")
        by_name = getattr(self, f"do_{primitive}", None)
        if by_name is not None:
            return by_name(equation, values, region)
        if primitive in INNER:
            return self.inner(params, values, region)
        if primitive in SAME:
            return [values[0]]
        if primitive in _RESHAPES:
            return [_RESHAPES[primitive](params, *values)]
        if primitive in _REDUCTIONS:
            return [self.reduced(_REDUCTIONS[primitive], values[0], params["axes"])]
        integers = equation.outvars[0].aval.dtype.kind in "iu"
        truths = all(variable.aval.dtype == np.bool_ for variable in equation.invars)
        if primitive in INTEGER and integers:
            primitive = f"integer_{primitive}"
        if primitive in TEMPLATES and (truths or primitive not in BOOLEAN):
            return [self.each(primitive, values)]
        raise self.refusal(primitive, "of integers" if primitive in BOOLEAN else "")

    def refusal(self, primitive: str, what: str = "") -> Uncompilable:
        said = f"the primitive {primitive} {what}".rstrip()
        return Uncompilable(f"{self.name}: {said} has no JavaScript here; see qnewton.lab._explore.primitives")

    def nodes(self, values: Values) -> Values:
        """Return constants as literals."""
        if values.dtype == object:
            return values
        if values.size > _LONGEST:
            raise Uncompilable(f"{self.name}: an array of {values.size} constants is used other than by an index")
        made = np.empty(values.shape, object)
        for place in np.ndindex(values.shape):
            made[place] = self.root.node("literal", values[place].item())
        return made

    def each(self, operation: str, values: Sequence[Values]) -> Values:
        """Apply an operation to each entry."""
        arrays: Any = np.broadcast_arrays(*(self.nodes(value) for value in values))
        made = np.empty(arrays[0].shape, object)
        for place in np.ndindex(made.shape):
            made[place] = simplified(self.root, operation, *(array[place] for array in arrays))
        return made

    def reduced(self, operation: str, values: Values, axes: Sequence[int]) -> Values:
        array = self.nodes(values)
        for axis in sorted(axes, reverse=True):
            parts = [np.take(array, place, axis) for place in range(array.shape[axis])]
            array = np.asarray(parts[0], object)
            for part in parts[1:]:
                array = self.each(operation, [array, np.asarray(part, object)])
        return array

    def inner(self, params: Mapping[str, Any], values: list[Values], region: Region) -> list[Values]:
        closed: ClosedJaxpr = next(params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in params)
        name = params.get("name")
        if name == "frexp":
            return [self.each("mantissa", values), self.each("exponent", values)]
        if name == "ldexp":
            return [self.each("ldexp", values)]
        return self.jaxpr(closed.jaxpr, closed.consts, values, region)

    def do_select_n(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        which, *cases = values
        if equation.invars[0].aval.dtype == np.bool_:
            return [self.each("select", [which, cases[1], cases[0]])]
        return [self.one_of(which, cases)]

    def one_of(self, which: Values, cases: Sequence[Values]) -> Values:
        chosen = cases[-1]
        for place in reversed(range(len(cases) - 1)):
            chosen = self.each("select", [self.each("le", [which, np.asarray(place)]), cases[place], chosen])
        return chosen

    def do_convert_element_type(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        old, new = (one.aval.dtype.kind.replace("u", "i") for one in (*equation.invars, *equation.outvars))
        if values[0].dtype != object:
            return [values[0].astype(equation.outvars[0].aval.dtype)]
        names = {("b", "f"): "number", ("b", "i"): "number", ("f", "i"): "truncate", ("f", "b"): "truth"}
        names[("i", "b")] = "truth"
        return [self.each(names[(old, new)], values) if (old, new) in names else values[0]]

    def do_integer_pow(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        power = equation.params["y"]
        if power == 1:
            return [values[0]]
        if power in (2, 3, 4):
            square = self.each("square", values)
            return [square if power == 2 else self.each("mul", [square, values[0] if power == 3 else square])]
        if power in (-1, -2):
            below = self.each("square", values) if power == -2 else values[0]
            return [self.each("div", [np.asarray(1.0), below])]
        return [self.each("pow", [values[0], np.asarray(float(power))])]

    def do_round(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        if int(equation.params["rounding_method"]) != 1:
            raise self.refusal("round", "away from zero")
        return [self.each("round_even", values)]

    def do_concatenate(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        parts = values if all(value.dtype != object for value in values) else [self.nodes(value) for value in values]
        return [np.concatenate(parts, axis=equation.params["dimension"])]

    def do_stack(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        return [np.stack([self.nodes(value) for value in values], axis=equation.params["axis"])]

    def do_iota(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        shape, axis = equation.params["shape"], equation.params["dimension"]
        along = np.arange(shape[axis]).reshape([-1 if k == axis else 1 for k in range(len(shape))])
        return [np.broadcast_to(along, shape).astype(equation.params["dtype"])]

    def do_argmin(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        """Return the first place of the least number, of which none is NaN."""
        (axis,) = equation.params["axes"]
        array = np.moveaxis(self.nodes(values[0]), axis, 0)
        best, place = array[0], np.asarray(0)
        for here, part in enumerate(array[1:], 1):
            less = self.each("lt", [np.asarray(part, object), np.asarray(best, object)])
            place = self.each("select", [less, np.asarray(here), place])
            best = self.each("select", [less, np.asarray(part, object), np.asarray(best, object)])
        return [np.broadcast_to(place, equation.outvars[0].aval.shape)]

    def do_dynamic_slice(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        operand, *starts = values
        sizes = equation.params["slice_sizes"]
        free = [axis for axis, size in enumerate(sizes) if size != operand.shape[axis]]
        if not free:
            return [operand]
        if len(free) > 1 or sizes[free[0]] != 1:
            raise self.refusal("dynamic_slice", f"of {sizes} from {operand.shape}")
        return [self.picked(operand, starts[free[0]], free[0]).reshape(sizes)]

    def do_gather(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        operand, index = values
        shape = equation.outvars[0].aval.shape
        if operand.size == 1:
            return [np.broadcast_to(operand.reshape(()), shape)]
        if operand.ndim != 1 or index.size != math.prod(shape):
            raise self.refusal("gather", f"from {operand.shape}")
        flat = [self.picked(operand, one, 0).item() for one in self.nodes(index).reshape(-1)]
        return [np.array(flat, object).reshape(shape)]

    def picked(self, operand: Values, index: Any, axis: int) -> Values:
        """Return the entries at an index that is not known, clamped into the axis."""
        place = self.nodes(np.asarray(index)).reshape(-1)[0]
        rows = np.moveaxis(operand, axis, 0)
        last = self.root.node("literal", len(rows) - 1)
        made = np.empty(rows.shape[1:], object)
        if operand.dtype == object:
            for one in np.ndindex(made.shape):
                made[one] = self.root.node("pick", len(rows), (place, *rows[:, *one]))
            return made
        # Columns lie in one table, whose values repeat.
        table, width = self.root.node("table", tuple(rows.reshape(-1).tolist())), made.size
        if width > 1:
            place = simplified(
                self.root, "min", simplified(self.root, "max", place, self.root.node("literal", 0)), last
            )
            place = simplified(self.root, "mul", place, self.root.node("literal", width))
        for column, one in enumerate(np.ndindex(made.shape)):
            at = simplified(self.root, "add", place, self.root.node("literal", column))
            made[one] = self.root.node("pick", rows.size, (at, table))
        return made

    def do_call_by_name(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        name = equation.params["name"]
        if name not in self.calls:
            self.calls.append(name)
        group = self.root.node("call", name, [self.nodes(value).reshape(-1)[0] for value in values])
        return [_single(self.root.node("item", place, (group,))) for place in range(len(equation.outvars))]

    def do_cond(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        which, *operands = values
        branches = [self.jaxpr(one.jaxpr, one.consts, operands, region) for one in equation.params["branches"]]
        return [self.one_of(which, cases) for cases in zip(*branches, strict=True)]

    def do_scan(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        params = equation.params
        fixed, carried = params["num_consts"], params["num_carry"]
        if len(values) != fixed + carried or len(equation.outvars) != carried:
            raise self.refusal("scan", "over arrays")
        body = params["jaxpr"]

        def turn(inside: Region, carry: list[Values]) -> tuple[list[Values], None]:
            return self.jaxpr(body.jaxpr, body.consts, [*values[:fixed], *carry], inside), None

        return self.looped(values[fixed:], turn, region, params["length"], body.out_avals)

    def do_while(self, equation: Any, values: list[Values], region: Region) -> list[Values]:
        params = equation.params
        split = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        asked, fixed, start = values[: split[0]], values[split[0] : split[1]], values[split[1] :]
        test, body = params["cond_jaxpr"], params["body_jaxpr"]

        def turn(inside: Region, carry: list[Values]) -> tuple[list[Values], Node]:
            (going,) = self.jaxpr(test.jaxpr, test.consts, [*asked, *carry], inside)
            return self.jaxpr(body.jaxpr, body.consts, [*fixed, *carry], inside), going.reshape(-1)[0]

        return self.looped(start, turn, region, None, body.out_avals)

    def looped(
        self, start: Sequence[Values], turn: Callable, region: Region, count: int | None, types: Sequence[Any]
    ) -> list[Values]:
        first = [self.nodes(value) for value in start]
        body = Region(region)
        carry = []
        for values in first:
            made = np.empty(values.shape, object)
            for place in np.ndindex(values.shape):
                made[place] = body.add(Node("parameter", None, (), body))
            carry.append(made)
        following, going = turn(body, carry)

        def flat(groups: Sequence[Values]) -> list[Node]:
            return [node for values in groups for node in np.broadcast_to(values, values.shape).reshape(-1)]

        truths = [one.dtype == np.bool_ for one, values in zip(types, first, strict=True) for _ in range(values.size)]
        loop = Loop(body, flat(carry), flat(following), truths, count, going)
        inits = flat(first)
        home = max((node.region for node in inits), key=lambda one: one.depth, default=region)
        home = max(home, region, key=lambda one: one.depth)
        group = home.add(Node("loop", None, tuple(inits), home, loop))
        made, place = [], 0
        for values in first:
            items = np.empty(values.shape, object)
            for at in np.ndindex(values.shape):
                items[at] = home.node("item", place, (group,))
                place += 1
            made.append(items)
        return made


def _broadcast(params: Mapping[str, Any], values: Values) -> Values:
    shape, places = params["shape"], params["broadcast_dimensions"]
    lifted = values.reshape([values.shape[places.index(k)] if k in places else 1 for k in range(len(shape))])
    return np.broadcast_to(lifted, shape)


def _sliced(params: Mapping[str, Any], values: Values) -> Values:
    strides = params["strides"] or [1] * values.ndim
    places = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return values[tuple(slice(*place) for place in places)]


_RESHAPES: dict[str, Callable[..., Values]] = {
    "broadcast_in_dim": _broadcast,
    "reshape": lambda params, values: values.reshape(params["new_sizes"]),
    "squeeze": lambda params, values: np.squeeze(values, params["dimensions"]),
    "expand_dims": lambda params, values: np.expand_dims(values, params["dimensions"]),
    "transpose": lambda params, values: np.transpose(values, params["permutation"]),
    "rev": lambda params, values: np.flip(values, params["dimensions"]),
    "slice": _sliced,
}


_REDUCTIONS = {
    "reduce_sum": "add",
    "reduce_prod": "mul",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_and": "and",
    "reduce_or": "or",
}
