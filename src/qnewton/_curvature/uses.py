"""Linear uses of a parameter, one kind of equation at a time.

Each function here looks at one equation and at the *view* of a parameter that it consumes: an array of the shape that
the equation sees, holding for each entry its position in the raveled parameter (transposes, slices and the like only
move entries). It returns the use `z[t, o] = sum_i x[t, i] W[i, o]`, or None where the equation is something else.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .flatten import Equation

Read = Callable[[Sequence[Array]], Float[Array, "t i"]]
Place = Callable[[Float[Array, "t o"]], Array]


@dataclass(frozen=True, eq=False)
class Use:
    """One linear use of a parameter in the model of one example: `z[t, o] = sum_i x[t, i] W[i, o]`, plus other terms.

    Attributes:
        leaf: position of the parameter in the flattened pytree.
        size: entries of the parameter.
        equation: number of the equation in the program.
        index: `[inputs, outputs]`, where in the raveled parameter the entry `W[i, o]` lies. No entry occurs twice, but
            where the model uses a slice of the parameter, the others do not occur.
        positions: t counts so many; 1 for a dense layer applied once per example.
        upstream: parameters that x depends on.
        read: the equation's operands to x `[t, i]`.
        place: perturbation `[t, o]` to the shape of the equation's output.
        carrier: for a bias, the product that it is added to and nothing else is done with: a perturbation of the one is
            a perturbation of the other, with positions and outputs in the same order.
    """

    leaf: int
    size: int
    equation: int
    index: np.ndarray
    positions: int
    upstream: frozenset[int]
    read: Read
    place: Place
    carrier: "Use | None" = None

    def output_order(self) -> np.ndarray:
        """For each entry of the equation's output, its number in the order `[t, o]`."""
        size = self.positions * self.index.shape[1]
        # By methods that arrays of numpy and jax share, so that nothing is compiled.
        numbers = np.arange(size, dtype=np.int32).reshape(self.positions, -1)
        return np.asarray(self.place(cast(Array, numbers)))


@dataclass(frozen=True, eq=False)
class View:
    """A parameter as an equation sees it.

    Attributes:
        leaf: position of the parameter in the flattened pytree.
        size: entries of the parameter.
        entries: for each entry of the operand, its position in the raveled parameter.
    """

    leaf: int
    size: int
    entries: np.ndarray

    @property
    def repeats(self) -> bool:
        """Whether an entry occurs more than once."""
        return np.unique(self.entries).size < self.entries.size


def linear_use(number: int, equation: Equation, side: int, view: View, upstream: frozenset[int]) -> Use | None:
    """The use that a product of the parameter with something else is, or None.

    Args:
        number: of the equation.
        equation: one that consumes the parameter once.
        side: which operand is the parameter.
        view: the parameter as this operand.
        upstream: parameters that the other operands depend on.
    """
    recognise = _PRODUCTS.get(equation.primitive.name)
    if recognise is None or not view.entries.size or view.repeats:
        return None
    found = recognise(equation, side, view.entries)
    if found is None:
        return None
    index, positions, read, place = found
    return Use(view.leaf, view.size, number, index, positions, upstream, read, place)


# index, positions, read and place of a use.
_Found = tuple[np.ndarray, int, Read, Place]


def _matrix_product(equation: Equation, side: int, entries: np.ndarray) -> _Found | None:
    contracting, batch = equation.params["dimension_numbers"]
    if batch[0]:
        return None  # as many independent uses as there are batches
    # Inputs in the order in which the parameter has them, here and below: placing its block is then a transposition.
    mine, other = _sorted_together(contracting[side], contracting[1 - side])
    free = [axis for axis in range(entries.ndim) if axis not in mine]
    index = _as_matrix(entries, mine, free)
    outer = equation.shapes[1 - side]
    kept = [axis for axis in range(len(outer)) if axis not in other]
    kept_shape, free_shape = [outer[axis] for axis in kept], [entries.shape[axis] for axis in free]

    def read(operands: Sequence[Array]) -> Float[Array, "t i"]:
        return jnp.transpose(operands[1 - side], [*kept, *other]).reshape(-1, index.shape[0])

    def place(perturbation: Float[Array, "t o"]) -> Array:
        # dot_general puts the free axes of its left operand first.
        if side == 0:
            return perturbation.T.reshape(*free_shape, *kept_shape)
        return perturbation.reshape(*kept_shape, *free_shape)

    return index, math.prod(kept_shape), read, place


def _convolution(equation: Equation, side: int, entries: np.ndarray) -> _Found | None:
    """The kernel of a convolution: x are the patches, one position for each place of the kernel."""
    params = equation.params
    # Groups are as many independent uses.
    if side != 1 or params["feature_group_count"] != 1 or params["batch_group_count"] != 1:
        return None
    x_axes, kernel_axes, out_axes = params["dimension_numbers"]
    window = [entries.shape[axis] for axis in kernel_axes[2:]]
    # Patches come as [window, channels].
    inputs, taken = _sorted_together([*kernel_axes[2:], kernel_axes[1]], range(len(window) + 1))
    index = _as_matrix(entries, inputs, [kernel_axes[0]])
    out = equation.result_shapes[0]
    # The output as [examples, space, channels].
    order = [out_axes[0], *out_axes[2:], out_axes[1]]
    shape, back = [out[axis] for axis in order], np.argsort(order).tolist()
    if 0 in shape:
        return None

    def read(operands: Sequence[Array]) -> Float[Array, "t i"]:
        # Shifted copies rather than a convolution with the unit kernel: they are exact, and 9 times faster on a CPU.
        x = jnp.transpose(operands[0], [x_axes[0], *x_axes[2:], x_axes[1]])
        edges = zip(params["padding"], params["lhs_dilation"], strict=True)
        around = [(low, high, dilation - 1) for (low, high), dilation in edges]
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *around, (0, 0, 0)])
        shifted = []
        for offset in np.ndindex(*window):
            start = [k * dilation for k, dilation in zip(offset, params["rhs_dilation"], strict=True)]
            stride = params["window_strides"]
            stop = [k + s * (size - 1) + 1 for k, s, size in zip(start, stride, shape[1:-1], strict=True)]
            shifted.append(jax.lax.slice(x, [0, *start, 0], [x.shape[0], *stop, x.shape[-1]], [1, *stride, 1]))
        patches = jnp.stack(shifted, axis=-2).reshape(-1, *window, x.shape[-1])
        return jnp.transpose(patches, [0, *(1 + axis for axis in taken)]).reshape(-1, index.shape[0])

    def place(perturbation: Float[Array, "t o"]) -> Array:
        return perturbation.reshape(shape).transpose(back)

    return index, math.prod(shape[:-1]), read, place


def _lookup(equation: Equation, side: int, entries: np.ndarray) -> _Found | None:
    """Rows taken from a table (an embedding): x is one-hot, and zero where an index out of bounds finds no row."""
    sizes = equation.params["slice_sizes"]
    looked_up = [axis for axis, size in enumerate(sizes) if size != entries.shape[axis]]
    if side != 0 or len(looked_up) != 1 or sizes[looked_up[0]] != 1:
        return None
    (axis,) = looked_up
    rows = entries.shape[axis]
    index = _as_matrix(entries, [axis], [other for other in range(entries.ndim) if other != axis])
    out = equation.result_shapes[0]
    if equation.primitive.name == "gather":
        numbers = equation.params["dimension_numbers"]
        if numbers.operand_batching_dims:
            return None
        # Other than the table's rows, an index may be out of bounds: the derivative of what is filled in is zero.
        changed = {"slice_sizes": (1,) * entries.ndim, "fill_value": -1}
        inner = list(numbers.offset_dims)
        order = [k for k in range(len(out)) if k not in inner] + inner
    else:
        changed = {"slice_sizes": (1,) * entries.ndim}
        order = list(range(len(out)))
    shape, back = [out[k] for k in order], np.argsort(order).tolist()
    positions = math.prod(out) // index.shape[1]

    def read(operands: Sequence[Array]) -> Float[Array, "t i"]:
        # The same look-up in a table of row numbers, so that every mode of it is what it is.
        table, *indices = operands
        numbers = jnp.arange(rows, dtype=jnp.int32).reshape([rows if k == axis else 1 for k in range(table.ndim)])
        (found,) = equation.evaluate([numbers, *indices], **changed)
        return jax.nn.one_hot(found.reshape(-1), rows, dtype=table.dtype)

    def place(perturbation: Float[Array, "t o"]) -> Array:
        return perturbation.reshape(shape).transpose(back)

    return index, positions, read, place


_PRODUCTS: dict[str, Callable[[Equation, int, np.ndarray], _Found | None]] = {
    "dot_general": _matrix_product,
    "conv_general_dilated": _convolution,
    "gather": _lookup,
    "dynamic_slice": _lookup,
}


def _sorted_together(axes: Sequence[int], others: Sequence[int]) -> tuple[list[int], list[int]]:
    order = sorted(range(len(axes)), key=lambda k: axes[k])
    return [axes[k] for k in order], [others[k] for k in order]


def _as_matrix(entries: np.ndarray, inputs: Sequence[int], outputs: Sequence[int]) -> np.ndarray:
    rows = math.prod(entries.shape[axis] for axis in inputs)
    columns = math.prod(entries.shape[axis] for axis in outputs)
    return entries.transpose([*inputs, *outputs]).reshape(rows, columns)


def bias(number: int, equation: Equation, side: int, view: View, product: tuple[Use, np.ndarray] | None) -> Use | None:
    """The use that the addition of the parameter to something else is, or None.

    Args:
        number: of the equation.
        equation: an addition.
        side: which operand is the parameter.
        view: the parameter as this operand.
        product: the use whose output the other operand is, if nothing else consumes it, and for each entry of the
            operand its number in the order `[t, o]` of that use.
    """
    # `add` itself broadcasts axes of size 1.
    shape = equation.result_shapes[0]
    entries = np.broadcast_to(view.entries, shape)
    distinct, counts = np.unique(entries, return_counts=True)
    if not counts.size or np.any(counts != counts[0]):
        return None
    # Entries that broadcasting repeats are one output each, at several positions; by themselves, in any order.
    order = np.argsort(entries, axis=None, kind="stable").reshape(len(distinct), counts[0]).T
    index, number_of, carrier = distinct[None, :], np.argsort(order, axis=None), None
    if product is not None and equation.shapes[1 - side] == shape:
        use, numbers = product
        outputs = use.index.shape[1]
        by_output = np.empty(numbers.size, entries.dtype)
        if np.unique(numbers).size == numbers.size == use.positions * outputs:
            by_output[numbers.reshape(-1)] = entries.reshape(-1)
            by_output = by_output.reshape(use.positions, outputs)
            if np.array_equal(by_output, np.broadcast_to(by_output[:1], by_output.shape)) and outputs == len(distinct):
                index, number_of, carrier = by_output[:1], numbers.reshape(-1), use
    count = int(counts[0])

    def read(operands: Sequence[Array]) -> Float[Array, "t i"]:
        return jnp.ones((count, 1), operands[side].dtype)

    def place(perturbation: Float[Array, "t o"]) -> Array:
        return perturbation.reshape(-1)[number_of].reshape(shape)

    # A bias is added to something that may well depend on other parameters, but its x is the constant 1.
    return Use(view.leaf, view.size, number, index, count, frozenset(), read, place, carrier)
