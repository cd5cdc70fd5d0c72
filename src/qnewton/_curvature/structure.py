"""Linear uses of a model's parameters, found in its jaxpr.

A dense layer computes `z = x W`: for fixed inputs x, the output is linear in W. Such a *use* of a parameter is what
lets a curvature block be formed as `sum x x^T kron D` instead of one derivative per entry. Uses are found, not
declared: the model's jaxpr for one example is flattened, each parameter is followed through transposes, slices and the
like, and a parameter counts as recognised if everything that consumes it is a product with something else (a matrix
product, a convolution, a look-up of rows), or an addition (a bias), also inside of loops and of derivative rules of
one's own.

The flattened program can then be run with a perturbation added to the output of every use, which is how derivatives
with respect to those outputs are taken.
"""

import math
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._core.jaxprs import aval
from .._core.trees import struct_of
from .flatten import Flattened
from .inside import Recognised, run
from .recognition import recognise
from .uses import Use, View

__all__ = ["Program", "Use", "trace"]


class Program:
    """A model's jaxpr for one example, flattened, with the linear uses of its parameters.

    Attributes:
        uses: by parameter, the uses of the recognised ones; a parameter that is missing here was not recognised.
        refused: why parameters are not recognised, in words; one that the outputs do not feel is in neither.
        scales: of these, small ones that the model is linear in at first, each as one use of the constant 1.
    """

    def __init__(self, outputs: Callable[[PyTree, PyTree], Array], params: PyTree, example: PyTree):
        """Trace the model.

        Args:
            outputs: the raveled outputs `[c]` of one example, of parameters and its inputs.
            params: arrays or `jax.ShapeDtypeStruct`.
            example: one example's inputs without the leading axis, arrays or `jax.ShapeDtypeStruct`.
        """
        closed = jax.make_jaxpr(outputs)(params, example)
        self._flattened = Flattened(closed)
        parameters = [aval(closed.jaxpr.invars[k]) for k in range(len(jax.tree.leaves(params)))]
        self._dtypes = [parameter.dtype for parameter in parameters]
        found = self._recognise([parameter.shape for parameter in parameters])
        self.refused, self.scales = found.refused, found.scales
        by_leaf: dict[int, list[Use]] = {}
        for use in found.uses:
            by_leaf.setdefault(use.leaf, []).append(use)
        self.uses = {leaf: tuple(by_leaf[leaf]) for leaf in sorted(by_leaf) if leaf not in found.refused}

    def run(
        self, params: PyTree, example: PyTree, perturbations: dict[Use, Float[Array, "*c t o"]]
    ) -> tuple[Float[Array, " c"], dict[Use, Float[Array, "*c t i"]]]:
        """Return the raveled outputs of one example, a perturbation added to each use's output, and each use's x."""
        arguments = [*self._as_traced(params), *jax.tree.leaves(example)]
        (output,), inputs = run(self._flattened, arguments, perturbations)
        return output, inputs

    def _as_traced(self, params: PyTree) -> list[Array]:
        """Return the parameters in the types of the model, which may be narrower than those given."""
        pairs = zip(jax.tree.leaves(params), self._dtypes, strict=True)
        return [leaf if leaf.dtype == dtype else leaf.astype(dtype) for leaf, dtype in pairs]

    def _recognise(self, shapes: list[tuple[int, ...]]) -> Recognised:
        views: dict[int, View] = {}
        for leaf, shape in enumerate(shapes):
            entries = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
            views[self._flattened.arguments[leaf].number] = View(leaf, entries.size, entries)
        return recognise(self._flattened, views, {slot: frozenset([view.leaf]) for slot, view in views.items()})


def trace(outputs: Callable[[PyTree, PyTree], Array], params: PyTree, inputs: PyTree) -> Program:
    """Trace the program of one example of a batch; one trace is used for every block of a partition.

    Args:
        outputs: the raveled outputs `[c]` of one example, of parameters and its inputs.
        params: arrays, traced or not, or `jax.ShapeDtypeStruct`.
        inputs: of the batch, with a leading axis that counts the examples; only shapes and dtypes matter.
    """

    def without_axis(leaf: Array) -> jax.ShapeDtypeStruct:
        return struct_of(leaf.shape[1:], leaf)

    return Program(outputs, params, jax.tree.map(without_axis, inputs))
