"""Which parameters a model uses linearly, found in its jaxpr.

A dense layer computes `z = x W`: for fixed inputs x, the output is linear in W. Such a *use* of a parameter is what
lets a curvature block be formed as `sum x x^T kron D` instead of one derivative per entry. Uses are found, not
declared: the model's jaxpr for one example is flattened, each parameter is followed through transposes and reshapes,
and a parameter counts as recognised if everything that consumes it is a matrix product with something else, or an
addition (a bias).

The flattened program can then be run with a perturbation added to the output of every use, which is how derivatives
with respect to those outputs are taken.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex
from jaxtyping import Array, Float, PyTree

# Primitives that only rename what another jaxpr computes; derivative rules of one's own (custom_jvp_call) stay whole.
_TRANSPARENT = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "remat2": "jaxpr", "checkpoint": "jaxpr"}
# Primitives that only move the entries of an array; their effect on a parameter is read off an array of positions.
_MOVES = {"transpose", "reshape", "squeeze", "broadcast_in_dim", "expand_dims", "copy", "rev"}


@dataclass(frozen=True, eq=False)
class Equation:
    """One equation of the flattened program; operands are slot numbers or constants."""

    primitive: Any
    params: dict[str, Any]
    inputs: tuple[Any, ...]
    shapes: tuple[tuple[int, ...], ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Slot:
    """A variable of the flattened program."""

    number: int


@dataclass(frozen=True, eq=False)
class Use:
    """One linear use of a parameter in the model of one example: `z[t, o] = sum_i x[t, i] W[i, o]`, plus other terms.

    Attributes:
        leaf: position of the parameter in the flattened pytree.
        equation: number of the equation in the program.
        index: `[inputs, outputs]`, where in the raveled parameter the entry `W[i, o]` lies.
        positions: t counts so many; 1 for a dense layer applied once per example.
        upstream: parameters that x depends on.
        read: the equation's operands to x `[t, i]`.
        place: perturbation `[t, o]` to the shape of the equation's output.
        carrier: for a bias, the matrix product that it is added to and nothing else is done with: a perturbation of
            the one is a perturbation of the other, with positions and outputs in the same order.
    """

    leaf: int
    equation: int
    index: np.ndarray
    positions: int
    upstream: frozenset[int]
    read: Callable[[Sequence[Array]], Float[Array, "t i"]]
    place: Callable[[Float[Array, "t o"]], Array]
    carrier: "Use | None" = None


class Program:
    """A model's jaxpr for one example, flattened, with the linear uses of its parameters.

    Attributes:
        uses: by parameter, the uses of the recognised ones; a parameter that is missing here was not recognised.
    """

    def __init__(self, predict: Callable[[PyTree, PyTree], Array], params: PyTree, example: PyTree):
        """Trace the model.

        Args:
            predict: the model, `(params, inputs) -> outputs`.
            params: arrays or `jax.ShapeDtypeStruct`.
            example: one example's inputs without the leading axis, arrays or `jax.ShapeDtypeStruct`.
        """

        def single(params: PyTree, x: PyTree) -> Array:
            return jnp.ravel(predict(params, jax.tree.map(lambda leaf: leaf[None], x))[0])

        closed = jax.make_jaxpr(single)(params, example)
        self._equations: list[Equation] = []
        self._count = 0
        leaves = len(jax.tree.leaves(params))
        arguments = [self._new() for _ in closed.jaxpr.invars]
        self._arguments = [slot.number for slot in arguments]
        (self._output,) = self._flatten(closed.jaxpr, closed.consts, arguments)
        self.uses = self._recognise([closed.jaxpr.invars[k].aval for k in range(leaves)])

    def run(
        self, params: PyTree, example: PyTree, perturbations: dict[Use, Float[Array, "t o"]]
    ) -> tuple[Float[Array, " c"], dict[Use, Float[Array, "t i"]]]:
        """The raveled outputs of one example with a perturbation added to each use's output, and each use's x."""
        environment: dict[int, Any] = dict(
            zip(self._arguments, [*jax.tree.leaves(params), *jax.tree.leaves(example)], strict=True)
        )
        by_equation = {use.equation: use for use in perturbations}
        inputs = {}
        for number, equation in enumerate(self._equations):
            operands = [environment[i.number] if isinstance(i, Slot) else i for i in equation.inputs]
            results = equation.primitive.bind(*operands, **equation.primitive.get_bind_params(equation.params))
            results = list(results) if equation.primitive.multiple_results else [results]
            if number in by_equation:
                use = by_equation[number]
                inputs[use] = use.read(operands)
                results[0] = results[0] + use.place(perturbations[use])
            environment.update(zip(equation.outputs, results, strict=True))
        output = environment[self._output.number] if isinstance(self._output, Slot) else self._output
        return output, inputs

    def _new(self) -> Slot:
        self._count += 1
        return Slot(self._count - 1)

    def _flatten(self, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
        environment = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

        def operand(atom: Any) -> Any:
            return atom.val if isinstance(atom, jex.Literal) else environment[atom]

        for equation in jaxpr.eqns:
            operands = [operand(atom) for atom in equation.invars]
            inner = equation.params.get(_TRANSPARENT.get(equation.primitive.name, ""))
            if inner is not None:
                closed = inner if isinstance(inner, jex.ClosedJaxpr) else jex.ClosedJaxpr(inner, ())
                outputs = self._flatten(closed.jaxpr, closed.consts, operands)
            else:
                outputs = [self._new() for _ in equation.outvars]
                shapes = tuple(atom.aval.shape for atom in equation.invars)
                numbers = tuple(slot.number for slot in outputs)
                self._equations.append(Equation(equation.primitive, equation.params, tuple(operands), shapes, numbers))
            environment.update(zip(equation.outvars, outputs, strict=True))
        return [operand(atom) for atom in jaxpr.outvars]

    def _recognise(self, avals: Sequence[Any]) -> dict[int, tuple[Use, ...]]:
        # A view is a parameter whose entries were only moved: which one, and where each entry came from. Outputs of
        # matrix products are followed in the same way, to the bias that is added to them.
        views: dict[int, tuple[int, np.ndarray]] = {}
        products: dict[int, tuple[Use, np.ndarray]] = {}
        depends: dict[int, frozenset[int]] = {}
        for leaf, aval in enumerate(avals):
            slot = self._arguments[leaf]
            views[slot] = leaf, np.arange(math.prod(aval.shape), dtype=np.int32).reshape(aval.shape)
            depends[slot] = frozenset([leaf])
        uses: dict[int, list[Use]] = {leaf: [] for leaf in range(len(avals))}
        refused: set[int] = set()
        if isinstance(self._output, Slot) and self._output.number in views:
            refused.add(views[self._output.number][0])
        consumers = self._consumers()
        for number, equation in enumerate(self._equations):
            slots = [operand.number if isinstance(operand, Slot) else -1 for operand in equation.inputs]
            below = [depends.get(slot, frozenset()) for slot in slots]
            output = equation.outputs[0] if equation.outputs else -1
            depends.update((o, frozenset().union(*below)) for o in equation.outputs)
            if equation.primitive.name in _MOVES and len(slots) == 1:
                if slots[0] in views:
                    leaf, positions = views[slots[0]]
                    views[output] = leaf, _moved(equation, positions)
                elif slots[0] in products and consumers[slots[0]] == 1:
                    use, positions = products[slots[0]]
                    products[output] = use, _moved(equation, positions)
                continue
            sides = [side for side, slot in enumerate(slots) if slot in views]
            use = None
            if len(sides) == 1 and len(slots) == 2:
                (side,) = sides
                leaf, positions = views[slots[side]]
                if equation.primitive.name == "dot_general":
                    use = _matrix_product(leaf, number, positions, side, below[1 - side], equation)
                    if use is not None:
                        products[output] = use, _output_order(use)
                elif equation.primitive.name == "add":
                    # `add` itself broadcasts axes of size 1.
                    shape = np.broadcast_shapes(*equation.shapes)
                    other = slots[1 - side]
                    alone = other in products and consumers[other] == 1 and equation.shapes[1 - side] == shape
                    carried = products[other] if alone else None
                    use = _bias(leaf, number, np.broadcast_to(positions, shape), side, carried)
            if use is None:
                refused.update(views[slots[side]][0] for side in sides)
            else:
                uses[use.leaf].append(use)
        return {leaf: tuple(found) for leaf, found in uses.items() if found and leaf not in refused}

    def _consumers(self) -> Counter[int]:
        read = [operand for equation in self._equations for operand in equation.inputs]
        return Counter(operand.number for operand in [*read, self._output] if isinstance(operand, Slot))


def _moved(equation: Equation, positions: np.ndarray) -> np.ndarray:
    with jax.ensure_compile_time_eval():
        return np.asarray(equation.primitive.bind(jnp.asarray(positions), **equation.params))


def _output_order(use: Use) -> np.ndarray:
    """For each entry of the use's output, its number in the order `[t, o]`."""
    size = use.positions * use.index.shape[1]
    with jax.ensure_compile_time_eval():
        return np.asarray(use.place(jnp.arange(size, dtype=jnp.int32).reshape(use.positions, -1)))


def _matrix_product(
    leaf: int, number: int, positions: np.ndarray, side: int, upstream: frozenset[int], equation: Equation
) -> Use | None:
    (contracting, batch) = equation.params["dimension_numbers"]
    if batch[0] or np.unique(positions).size < positions.size:
        return None
    mine, other = contracting[side], contracting[1 - side]
    free = [axis for axis in range(positions.ndim) if axis not in mine]
    index = positions.transpose([*mine, *free]).reshape(math.prod(positions.shape[a] for a in mine), -1)

    def read(operands: Sequence[Array]) -> Float[Array, "t i"]:
        x = operands[1 - side]
        kept = [axis for axis in range(x.ndim) if axis not in other]
        return jnp.transpose(x, [*kept, *other]).reshape(-1, index.shape[0])

    outer = equation.shapes[1 - side]
    kept_shape = [size for axis, size in enumerate(outer) if axis not in other]
    free_shape = [positions.shape[axis] for axis in free]

    def place(perturbation: Float[Array, "t o"]) -> Array:
        # dot_general puts the free axes of its left operand first.
        if side == 0:
            return perturbation.T.reshape(*free_shape, *kept_shape)
        return perturbation.reshape(*kept_shape, *free_shape)

    return Use(leaf, number, index, math.prod(kept_shape), upstream, read, place)


def _bias(
    leaf: int, number: int, positions: np.ndarray, side: int, carried: tuple[Use, np.ndarray] | None
) -> Use | None:
    entries, counts = np.unique(positions, return_counts=True)
    if np.any(counts != counts[0]):
        return None
    # Entries that broadcasting repeats are one output each, at several positions; by themselves, in any order.
    order = np.argsort(positions, axis=None, kind="stable").reshape(len(entries), counts[0]).T
    index, number_of, carrier = entries[None, :], np.argsort(order, axis=None), None
    if carried is not None:
        use, numbers = carried
        outputs = use.index.shape[1]
        by_output = np.empty(numbers.size, positions.dtype)
        if np.unique(numbers).size == numbers.size == use.positions * outputs:
            by_output[numbers.reshape(-1)] = positions.reshape(-1)
            by_output = by_output.reshape(use.positions, outputs)
            if np.array_equal(by_output, np.broadcast_to(by_output[:1], by_output.shape)) and outputs == len(entries):
                index, number_of, carrier = by_output[:1], numbers.reshape(-1), use
    count, shape = int(counts[0]), positions.shape

    def read(operands: Sequence[Array]) -> Float[Array, "t i"]:
        return jnp.ones((count, 1), operands[side].dtype)

    def place(perturbation: Float[Array, "t o"]) -> Array:
        return jnp.ravel(perturbation)[number_of].reshape(shape)

    # A bias is added to something that may well depend on other parameters, but its x is the constant 1.
    return Use(leaf, number, index, count, frozenset(), read, place, carrier)
