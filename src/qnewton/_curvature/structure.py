"""Which parameters a model uses linearly, found in its jaxpr.

A dense layer computes `z = x W`: for fixed inputs x, the output is linear in W. Such a *use* of a parameter is what
lets a curvature block be formed as `sum x x^T kron D` instead of one derivative per entry. Uses are found, not
declared: the model's jaxpr for one example is flattened, each parameter is followed through transposes, slices and the
like, and a parameter counts as recognised if everything that consumes it is a product with something else (a matrix
product, a convolution, a look-up of rows), or an addition (a bias).

The flattened program can then be run with a perturbation added to the output of every use, which is how derivatives
with respect to those outputs are taken.
"""

import math
from collections import Counter
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._core.jaxprs import PLACEMENTS, aval
from .._core.trees import struct_of
from .flatten import Equation, Flattened, Slot
from .uses import Use, View, bias, linear_use

__all__ = ["Program", "Use", "trace"]

# Primitives that only move the entries of an array; their effect on a parameter is read off an array of positions.
_MOVES = {"transpose", "reshape", "squeeze", "broadcast_in_dim", "expand_dims", "copy", "rev", *PLACEMENTS}
# These leave entries out besides. Of a parameter that is a use of the rest; the output of a product ends here.
_SLICES = {"slice", "split"}


class Program:
    """A model's jaxpr for one example, flattened, with the linear uses of its parameters.

    Attributes:
        uses: by parameter, the uses of the recognised ones; a parameter that is missing here was not recognised.
    """

    def __init__(self, outputs: Callable[[PyTree, PyTree], Array], params: PyTree, example: PyTree):
        """Trace the model.

        Args:
            outputs: the raveled outputs `[c]` of one example, of parameters and its inputs.
            params: arrays or `jax.ShapeDtypeStruct`.
            example: one example's inputs without the leading axis, arrays or `jax.ShapeDtypeStruct`.
        """
        closed = jax.make_jaxpr(outputs)(params, example)
        flattened = Flattened(closed)
        self._equations = flattened.equations
        self._arguments = [slot.number for slot in flattened.arguments]
        (self._output,) = flattened.outputs
        shapes = [aval(closed.jaxpr.invars[k]).shape for k in range(len(jax.tree.leaves(params)))]
        self.uses = self._recognise(shapes)

    def run(
        self, params: PyTree, example: PyTree, perturbations: dict[Use, Float[Array, "t o"]]
    ) -> tuple[Float[Array, " c"], dict[Use, Float[Array, "t i"]]]:
        """The raveled outputs of one example with a perturbation added to each use's output, and each use's x."""
        environment: dict[int, Array] = dict(
            zip(self._arguments, [*jax.tree.leaves(params), *jax.tree.leaves(example)], strict=True)
        )
        by_equation = {use.equation: use for use in perturbations}
        inputs = {}
        for number, equation in enumerate(self._equations):
            operands = [environment[i.number] if isinstance(i, Slot) else i for i in equation.inputs]
            results = equation.evaluate(operands)
            if number in by_equation:
                use = by_equation[number]
                inputs[use] = use.read(operands)
                # Outputs may be wider than the parameters, and narrower; what follows relies on their dtype.
                results[0] = results[0] + use.place(perturbations[use]).astype(results[0].dtype)
            environment.update(zip(equation.outputs, results, strict=True))
        output = environment[self._output.number] if isinstance(self._output, Slot) else self._output
        return output, inputs

    def _recognise(self, shapes: list[tuple[int, ...]]) -> dict[int, tuple[Use, ...]]:
        views: dict[int, View] = {}
        for leaf, shape in enumerate(shapes):
            entries = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
            views[self._arguments[leaf]] = View(leaf, entries.size, entries)
        depends = {slot: frozenset([view.leaf]) for slot, view in views.items()}
        # Outputs of products are followed like parameters, to the bias that is added to them.
        products: dict[int, tuple[Use, np.ndarray]] = {}
        uses: dict[int, list[Use]] = {leaf: [] for leaf in range(len(shapes))}
        refused: set[int] = set()
        if isinstance(self._output, Slot) and self._output.number in views:
            refused.add(views[self._output.number].leaf)
        consumers = self._consumers()
        for number, equation in enumerate(self._equations):
            slots = [operand.number if isinstance(operand, Slot) else -1 for operand in equation.inputs]
            below = [depends.get(slot, frozenset()) for slot in slots]
            depends.update((o, frozenset().union(*below)) for o in equation.outputs)
            sides = [side for side, slot in enumerate(slots) if slot in views]
            if not sides:
                if _only_moves(equation) and slots[0] in products and consumers[slots[0]] == 1:
                    use, numbers = products[slots[0]]
                    products[equation.outputs[0]] = use, _moved(equation, numbers)[0]
                continue
            view = views[slots[sides[0]]]
            if _only_moves(equation) or equation.primitive.name in _SLICES:
                moved = _moved(equation, view.entries)
                views.update(
                    (o, View(view.leaf, view.size, part)) for o, part in zip(equation.outputs, moved, strict=True)
                )
                continue
            use = None
            if len(sides) == 1:
                (side,) = sides
                if equation.primitive.name == "add":
                    other = slots[1 - side]
                    use = bias(number, equation, side, view, products.get(other) if consumers[other] == 1 else None)
                else:
                    upstream = frozenset().union(*below[:side], *below[side + 1 :])
                    use = linear_use(number, equation, side, view, upstream)
                    if use is not None:
                        products[equation.outputs[0]] = use, use.output_order()
            if use is None:
                refused.update(views[slots[side]].leaf for side in sides)
            else:
                uses[use.leaf].append(use)
        return {leaf: tuple(found) for leaf, found in uses.items() if found and leaf not in refused}

    def _consumers(self) -> Counter[int]:
        read = [operand for equation in self._equations for operand in equation.inputs]
        return Counter(operand.number for operand in [*read, self._output] if isinstance(operand, Slot))


def trace(outputs: Callable[[PyTree, PyTree], Array], params: PyTree, inputs: PyTree) -> Program:
    """The program of one example of a batch; traced once, it serves every block of a partition.

    Args:
        outputs: the raveled outputs `[c]` of one example, of parameters and its inputs.
        params: arrays, traced or not, or `jax.ShapeDtypeStruct`.
        inputs: of the batch, with a leading axis that counts the examples; only shapes and dtypes matter.
    """

    def without_axis(leaf: Array) -> jax.ShapeDtypeStruct:
        return struct_of(leaf.shape[1:], leaf)

    return Program(outputs, params, jax.tree.map(without_axis, inputs))


def _only_moves(equation: Equation) -> bool:
    if equation.primitive.name == "convert_element_type":
        # A wider dtype holds the same numbers; a narrower one rounds them.
        new = equation.params["new_dtype"]
        return jnp.promote_types(equation.dtypes[0], new) == new
    return equation.primitive.name in _MOVES and len(equation.inputs) == 1


def _moved(equation: Equation, entries: np.ndarray) -> list[np.ndarray]:
    """What an equation of `_MOVES` or `_SLICES` makes of an array; by numpy, for which nothing is compiled."""
    params = equation.params
    match equation.primitive.name:
        case "convert_element_type" | "copy":
            return [entries]
        case name if name in PLACEMENTS:
            return [entries]
        case "transpose":
            return [entries.transpose(params["permutation"])]
        case "squeeze" | "expand_dims":
            return [entries.reshape(equation.result_shapes[0])]
        case "reshape" if params["dimensions"] is None:
            return [entries.reshape(params["new_sizes"])]
        case "broadcast_in_dim":
            placed = dict(zip(params["broadcast_dimensions"], entries.shape, strict=True))
            shape = [placed.get(axis, 1) for axis in range(len(params["shape"]))]
            return [np.broadcast_to(entries.reshape(shape), params["shape"])]
        case "slice":
            ends = zip(
                params["start_indices"], params["limit_indices"], params["strides"] or [1] * entries.ndim, strict=True
            )
            return [entries[tuple(slice(*end) for end in ends)]]
        case "split":
            return np.split(entries, np.cumsum(params["sizes"])[:-1], axis=params["axis"])
    with jax.ensure_compile_time_eval():
        return [np.asarray(part) for part in equation.evaluate([jnp.asarray(entries)])]
