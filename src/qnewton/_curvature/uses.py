"""Linear uses of a parameter, one kind of equation at a time.

Each function here looks at one equation and at the *view* of a parameter that it consumes: an array of the shape that
the equation sees, holding for each entry its position in the raveled parameter (transposes, slices and the like only
move entries). It returns the use `z[t, o] = sum_i x[t, i] W[i, o]`, or None where the equation is something else.

One equation may hold many such products beside each other, as a grouped convolution or a batch of matrix products does.
They are *copies* of one use: index, inputs and outputs then have a leading axis that counts them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .flatten import Equation, Flattened

Read = Callable[[Sequence[Array]], Float[Array, "*c t i"]]
Place = Callable[[Float[Array, "*c t o"]], Array]

ARGUMENT = -1
"""Stands for the number of an equation where a use is the parameter itself, as the program takes it."""
MATRICES = "look-up of matrices"
"""The construct of a look-up whose rows have rows themselves, and so very many outputs."""


@dataclass(frozen=True, eq=False)
class Use:
    """One linear use of a parameter in the model of one example: `z[t, o] = sum_i x[t, i] W[i, o]`, plus other terms.

    Attributes:
        leaf: position of the parameter in the flattened pytree.
        size: entries of the parameter.
        equation: number of the equation in the program.
        index: `[inputs, outputs]`, where in the raveled parameter the entry `W[i, o]` lies; `[copies, inputs, outputs]`
            of several copies. No entry occurs twice, but where the model uses a slice of the parameter, the others do
            not occur.
        positions: t counts so many; 1 for a dense layer applied once per example.
        upstream: parameters that x depends on.
        read: the equation's operands to x `[t, i]`, or `[copies, t, i]`.
        place: perturbation `[t, o]` or `[copies, t, o]` to the shape of the equation's output.
        carrier: for a bias, the product that it is added to and nothing else is done with: a perturbation of the one is
            a perturbation of the other, with positions and outputs in the same order.
        copies: products of the same shape beside each other, each with entries of its own.
        construct: what kind of use it is, in words.
        inside: where the product lies inside of the equation, which then is a loop or has a derivative rule of its own;
            `read` and `place` are not asked then.
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
    copies: int = 1
    construct: str = "matrix product"
    inside: "Inside | None" = None

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of a perturbation, `[t, o]` or `[copies, t, o]`."""
        return (*self.index.shape[:-2], self.positions, self.index.shape[-1])

    @property
    def first_order(self) -> bool:
        """Whether a perturbation changes the output in first derivatives alone."""
        return self.inside is not None and (self.inside.tangent or self.inside.use.first_order)

    def output_order(self) -> np.ndarray:
        """Number of each entry of the equation's output in the order of `output_shape`."""
        # By methods that arrays of numpy and jax share, so that nothing is compiled.
        numbers = np.arange(math.prod(self.output_shape), dtype=np.int32).reshape(self.output_shape)
        return np.asarray(self.place(cast(Array, numbers)))


@dataclass(frozen=True, eq=False)
class Inside:
    """Place of a use inside the program of an equation.

    Attributes:
        body: that program: what a loop does in each turn, or the derivative of the equation by its own rule.
        use: in that program, of the argument that the parameter is.
        stacked: of a loop, whether each turn has a slice of the parameter for itself.
        tangent: whether the body is a derivative, in which a use is a use of the parameter's tangent.
    """

    body: Flattened
    use: Use
    stacked: bool
    tangent: bool


@dataclass(frozen=True, eq=False)
class View:
    """A parameter as an equation sees it.

    Attributes:
        leaf: position of the parameter in the flattened pytree; -1 of several that are joined.
        size: entries of the parameter.
        entries: for each entry of the operand, its position in the raveled parameter.
        parts: of several that are joined, each of them as it was before; `entries` are then positions in these, raveled
            one after the other.
    """

    leaf: int
    size: int
    entries: np.ndarray
    parts: "tuple[View, ...]" = ()

    @property
    def leaves(self) -> set[int]:
        """The parameters in the view."""
        return set().union(*(part.leaves for part in self.parts)) if self.parts else {self.leaf}

    @property
    def repeats(self) -> bool:
        """Whether an entry occurs more than once."""
        return np.unique(self.entries).size < self.entries.size


def linear_use(number: int, equation: Equation, side: int, view: View, upstream: frozenset[int]) -> Use | None:
    """Return the use in a product of the parameter with something else, or None.

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
    index, positions, read, place, construct = found
    copies = index.shape[0] if index.ndim == 3 else 1
    use = Use(view.leaf, view.size, number, index, positions, upstream, read, place, copies=copies)
    return replace(use, construct=construct)


def itself(leaf: int, shape: tuple[int, ...]) -> Use:
    """Return the parameter as a use of its own: `z = 1 W`, with one output for each entry.

    Args:
        leaf: position of the parameter in the flattened pytree.
        shape: of the parameter.
    """
    size = math.prod(shape)

    def read(operands: Sequence[Array]) -> Float[Array, "t i"]:
        return jnp.ones((1, 1), operands[0].dtype)

    def place(perturbation: Float[Array, "t o"]) -> Array:
        return perturbation.reshape(shape)

    index = np.arange(size, dtype=np.int32)[None, :]
    return Use(leaf, size, ARGUMENT, index, 1, frozenset(), read, place, construct="scale")


# index, positions, read, place and construct of a use.
_Found = tuple[np.ndarray, int, Read, Place, str]


def _matrix_product(equation: Equation, side: int, entries: np.ndarray) -> _Found | None:
    contracting, batch = equation.params["dimension_numbers"]
    # Inputs in the order in which the parameter has them, here and below: placing its block is then a transposition.
    mine, other = _sorted_together(contracting[side], contracting[1 - side])
    # Each entry of the batch axes is a product of its own.
    own, others = list(batch[side]), list(batch[1 - side])
    beside = [entries.shape[axis] for axis in own]
    lead = _copies(math.prod(beside))
    free = [axis for axis in range(entries.ndim) if axis not in [*mine, *own]]
    index = _as_matrix(entries, mine, free, own)
    outer = equation.shapes[1 - side]
    kept = [axis for axis in range(len(outer)) if axis not in [*other, *others]]
    kept_shape, free_shape = [outer[axis] for axis in kept], [entries.shape[axis] for axis in free]

    def read(operands: Sequence[Array]) -> Float[Array, "*c t i"]:
        return jnp.transpose(operands[1 - side], [*others, *kept, *other]).reshape(*lead, -1, index.shape[-2])

    def place(perturbation: Float[Array, "*c t o"]) -> Array:
        # dot_general puts the batch axes first, and then the free axes of its left operand.
        if side == 0:
            return perturbation.swapaxes(-1, -2).reshape(*beside, *free_shape, *kept_shape)
        return perturbation.reshape(*beside, *kept_shape, *free_shape)

    return index, math.prod(kept_shape), read, place, "batched product" if lead else "matrix product"


def _convolution(equation: Equation, side: int, entries: np.ndarray) -> _Found | None:
    """The kernel of a convolution: x are the patches, one position for each place of the kernel.

    Groups of channels are copies, each with the patches of its own channels.
    """
    params = equation.params
    groups = params["feature_group_count"]
    if side != 1 or params["batch_group_count"] != 1:
        return None
    x_axes, kernel_axes, out_axes = params["dimension_numbers"]
    window = [entries.shape[axis] for axis in kernel_axes[2:]]
    # Patches come as [window, channels].
    inputs, taken = _sorted_together([*kernel_axes[2:], kernel_axes[1]], range(len(window) + 1))
    lead = _copies(groups)
    if lead:
        # The outputs of a group lie beside each other.
        split = np.moveaxis(entries, kernel_axes[0], 0).reshape(groups, -1, *np.delete(entries.shape, kernel_axes[0]))
        behind = [axis + 2 - (axis > kernel_axes[0]) for axis in inputs]
        index = _as_matrix(split, behind, [1], [0])
    else:
        index = _as_matrix(entries, inputs, [kernel_axes[0]])
    out = equation.result_shapes[0]
    # The output as [examples, space, channels].
    order = [out_axes[0], *out_axes[2:], out_axes[1]]
    shape, back = [out[axis] for axis in order], np.argsort(order).tolist()
    if 0 in shape:
        return None

    def read(operands: Sequence[Array]) -> Float[Array, "*c t i"]:
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
        patches = jnp.stack(shifted, axis=-2)
        if not lead:
            patches = patches.reshape(-1, *window, x.shape[-1])
            return jnp.transpose(patches, [0, *(1 + axis for axis in taken)]).reshape(-1, index.shape[0])
        patches = jnp.moveaxis(patches.reshape(-1, *window, groups, x.shape[-1] // groups), -2, 0)
        return jnp.transpose(patches, [0, 1, *(2 + axis for axis in taken)]).reshape(groups, -1, index.shape[-2])

    def place(perturbation: Float[Array, "*c t o"]) -> Array:
        together = perturbation.swapaxes(0, 1) if lead else perturbation
        return together.reshape(shape).transpose(back)

    return index, math.prod(shape[:-1]), read, place, "grouped convolution" if lead else "convolution"


def _lookup(equation: Equation, side: int, entries: np.ndarray) -> _Found | None:
    """Return rows of a table (an embedding): x is one-hot, and zero for an index out of bounds."""
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

    wide = sum(size > 1 for other, size in enumerate(entries.shape) if other != axis)
    return index, positions, read, place, MATRICES if wide > 1 else "look-up"


_PRODUCTS: dict[str, Callable[[Equation, int, np.ndarray], _Found | None]] = {
    "dot_general": _matrix_product,
    "conv_general_dilated": _convolution,
    "gather": _lookup,
    "dynamic_slice": _lookup,
}


def _sorted_together(axes: Sequence[int], others: Sequence[int]) -> tuple[list[int], list[int]]:
    order = sorted(range(len(axes)), key=lambda k: axes[k])
    return [axes[k] for k in order], [others[k] for k in order]


def _copies(count: int) -> tuple[int, ...]:
    """Return the leading axis of a use's arrays; empty for a single copy."""
    return (count,) if count > 1 else ()


def _as_matrix(
    entries: np.ndarray, inputs: Sequence[int], outputs: Sequence[int], copies: Sequence[int] = ()
) -> np.ndarray:
    lead = _copies(math.prod(entries.shape[axis] for axis in copies))
    rows = math.prod(entries.shape[axis] for axis in inputs)
    columns = math.prod(entries.shape[axis] for axis in outputs)
    return entries.transpose([*copies, *inputs, *outputs]).reshape(*lead, rows, columns)


def bias(number: int, equation: Equation, side: int, view: View, product: tuple[Use, np.ndarray] | None) -> Use | None:
    """Return the use in the addition of the parameter to something else, or None.

    Args:
        number: of the equation.
        equation: an addition.
        side: which operand is the parameter.
        view: the parameter as this operand.
        product: the use whose output the other operand is, if nothing else consumes it, and for each entry of the
            operand its number in the order of that use's `output_shape`.
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
    count, copies = int(counts[0]), 1
    if product is not None and equation.shapes[1 - side] == shape:
        use, numbers = product
        by_output = np.empty(numbers.size, entries.dtype)
        if np.unique(numbers).size == numbers.size == math.prod(use.output_shape):
            by_output[numbers.reshape(-1)] = entries.reshape(-1)
            by_output = by_output.reshape(use.output_shape)
            alike = np.array_equal(by_output, np.broadcast_to(by_output[..., :1, :], by_output.shape))
            if alike and by_output.size == len(distinct) * use.positions:
                index, number_of, carrier = by_output[..., :1, :], numbers.reshape(-1), use
                count, copies = use.positions, use.copies

    def read(operands: Sequence[Array]) -> Float[Array, "*c t i"]:
        return jnp.ones((*index.shape[:-2], count, 1), operands[side].dtype)

    def place(perturbation: Float[Array, "*c t o"]) -> Array:
        return perturbation.reshape(-1)[number_of].reshape(shape)

    # A bias is added to something that may well depend on other parameters, but its x is the constant 1.
    construct = "addition" if carrier is None else carrier.construct
    found = Use(view.leaf, view.size, number, index, count, frozenset(), read, place, carrier, copies)
    return replace(found, construct=construct)
