"""Layers with factors in an optimizer's state, known from the model's shapes before the first batch."""

from collections.abc import Callable, Sequence

import jax
from jaxtyping import Array, PyTree

from .._core.layout import Layout
from .._core.placement import automatic_axes
from .._core.trees import struct_of
from .._curvature.batch import OutputRows, batch_of, example_count, leads, mapped
from .._curvature.independence import SIZE_OF_THE_BATCH
from .._curvature.kronecker import Layer
from .._curvature.network import network_layers, network_layout
from .._curvature.objective import Objective
from .._curvature.stored import as_written
from .._curvature.structure import Program, trace
from .inside_optax import HiddenParametersError, all_of


def layers_and_layout(program: Program, params: PyTree) -> tuple[list[Layer], Layout]:
    """Return the layers of the whole network, and the positions of their matrices in the raveled parameters.

    A parameter that no layer holds belongs to the layout's rest.
    """
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    layers = network_layers(program, sizes)
    return layers, network_layout(layers, sizes)


def program_of_inputs(objective: Objective, params: PyTree, inputs: PyTree | None) -> Program:
    """Return the model's program from inputs with a leading axis, arrays or shapes; None tries plain features.

    Without inputs, a model that takes `[batch, features]` is recognised by the only width that fits its parameters. The
    model's own exceptions pass unchanged, with a note if a width was only guessed.

    Raises:
        ValueError: if no inputs are given and several widths fit.
    """
    # A rounding between a parameter and its layer would hide the layer.
    objective, params = as_written(objective, params)
    with automatic_axes((params, inputs)) as (params, inputs):
        return _guessed(objective, params) if inputs is None else _program(objective, params, inputs)


def _guessed(objective: Objective, params: PyTree) -> Program:
    fits, refusals = [], []
    for width in _lengths(jax.tree.leaves(all_of(params))):
        refusal = _refusal(objective, params, _features(params, width))
        if refusal is None:
            fits.append(width)
        else:
            refusals.append(refusal)
    if not fits and refusals:
        error = max(refusals, key=lambda error: _progress(objective.predict, error))
        error.add_note(f"Raised by the model for inputs of shape [batch, features], which were guessed. {_EXAMPLE}")
        raise error
    if len(fits) != 1:
        raise ValueError(
            "kfac needs the shape of the model's inputs to lay out its state, and the parameters alone do not tell: "
            f"{f'the widths {fits} all fit' if fits else 'no parameter has an axis'}. {_EXAMPLE}"
        )
    return _program(objective, params, _features(params, fits[0]))


_EXAMPLE = (
    "Pass example=inputs, with arrays of a batch or jax.ShapeDtypeStruct, leading axis included; only shapes and "
    "dtypes are read"
)


def _program(objective: Objective, params: PyTree, inputs: PyTree) -> Program:
    counts, count = leads(inputs), example_count(inputs)

    def outputs(params: PyTree, x: PyTree) -> Array:
        # Layers are the same under any key.
        alone = batch_of(counts, jax.tree.map(lambda leaf: leaf[None], x))
        found = objective.batch_outputs(params, alone, objective.any_key())
        if any(leaf.shape[:1] != (1,) for leaf in jax.tree.leaves(found)):
            raise ValueError("the outputs have no axis of examples")
        return OutputRows.of(found).ravel(found)[0]

    # On the whole batch first, so that the model's own exceptions pass; the next one is about a batch of one.
    jax.eval_shape(lambda p, x: objective.batch_outputs(p, x, objective.any_key()), params, inputs)
    try:
        return trace(outputs, params, jax.eval_shape(lambda x: mapped(x, count), inputs))
    except Exception as error:
        raise ValueError(
            f"K-FAC is made of single examples, and here the model has none: {SIZE_OF_THE_BATCH} ({error})"
        ) from error


def _lengths(leaves: Sequence[Array]) -> list[int]:
    return sorted({length for leaf in leaves for length in leaf.shape})


def _features(params: PyTree, width: int) -> jax.ShapeDtypeStruct:
    return struct_of((2, width), jax.tree.leaves(params)[0])


def _refusal(objective: Objective, params: PyTree, inputs: jax.ShapeDtypeStruct) -> Exception | None:
    """Return the model's exception for inputs of a guessed shape; None if it runs."""
    try:
        outputs = jax.eval_shape(lambda p, x: objective.batch_outputs(p, x, objective.any_key()), params, inputs)
    except HiddenParametersError:
        raise  # no shape would help
    except Exception as error:
        # A model may refuse a shape in any way it likes, and its own mistakes come the same way: if no width fits, the
        # caller raises the one that got furthest.
        return error
    if all(leaf.shape[:1] == (2,) for leaf in jax.tree.leaves(outputs)):
        return None
    return ValueError(f"predict returned outputs of shape {outputs} for inputs of shape {inputs.shape}")


def _progress(predict: Callable[..., PyTree], error: Exception) -> int:
    """Return the last instruction of the model's own code that was reached before an exception."""
    code, reached, frame = getattr(predict, "__code__", None), -1, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code is code:
            reached = frame.tb_lasti
        frame = frame.tb_next
    return reached
