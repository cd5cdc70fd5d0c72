"""Which layers an optimizer's state has factors for, known from the model's shapes before the first batch is seen."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jaxtyping import Array, PyTree

from ..core.layout import Layout
from ..curvature.kronecker import Layer, find_layers, layout_of
from ..curvature.partition import Block
from ..curvature.structure import Program, trace


def layers_and_layout(program: Program, params: PyTree) -> tuple[list[Layer], Layout]:
    """The layers of the whole network, and where their matrices lie in the raveled parameters.

    A parameter that is not used linearly, used in part, or used more than once (shared weights) belongs to the
    layout's rest, and to no layer.
    """
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    uses = program.uses
    once = [
        leaf for leaf, size in enumerate(sizes) if len(uses.get(leaf, ())) == 1 and uses[leaf][0].index.size == size
    ]
    block = Block("params", tuple(range(len(sizes))), sum(sizes))
    layers = find_layers(program, Block("layers", tuple(once), sum(sizes[leaf] for leaf in once))) or []
    layout = layout_of(block, layers, sizes)
    assert layout is not None, "every parameter of a layer is used once"
    return layers, layout


def program_of_inputs(predict: Callable[[PyTree, PyTree], Array], params: PyTree, inputs: PyTree | None) -> Program:
    """The model's program from inputs with a leading axis, arrays or shapes; None looks for plain features.

    Without inputs, a model that takes `[batch, features]` is recognised by the only width that fits its parameters.

    Raises:
        ValueError: if no inputs are given and the width cannot be told.
    """
    predict = _with_key(predict)
    if inputs is not None:
        return trace(predict, params, inputs)
    widths = [width for width in _lengths(jax.tree.leaves(params)) if _accepts(predict, params, width)]
    if len(widths) != 1:
        found = f"the widths {widths} all fit" if widths else "inputs of shape [batch, features] fit for no width"
        raise ValueError(
            "kfac needs the shape of the model's inputs to lay out its state, and the parameters alone do not tell: "
            f"{found}. Pass example=inputs, with arrays of a batch or jax.ShapeDtypeStruct, leading axis included; "
            "only shapes and dtypes are read"
        )
    return trace(predict, params, _features(params, widths[0]))


def _with_key(predict: Callable[..., Array]) -> Callable[[PyTree, PyTree], Array]:
    """The model, with a key where it does not run without one; layers are the same under any key."""

    def call(params: PyTree, inputs: PyTree) -> Array:
        try:
            return predict(params, inputs)
        except TypeError:
            return predict(params, inputs, key=jax.random.key(0))

    return call


def _lengths(leaves: Sequence[Any]) -> list[int]:
    return sorted({length for leaf in leaves for length in leaf.shape})


def _features(params: PyTree, width: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((2, width), jax.tree.leaves(params)[0].dtype)


def _accepts(predict: Callable[[PyTree, PyTree], Array], params: PyTree, width: int) -> bool:
    try:
        outputs = jax.eval_shape(predict, params, _features(params, width))
    except Exception:
        # A model may refuse a shape in any way it likes.
        return False
    return outputs.shape[:1] == (2,)
