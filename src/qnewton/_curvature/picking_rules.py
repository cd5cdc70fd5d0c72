"""Rules for primitives that extract entries from an array or insert them, on the axis of the examples.

Whole batches out of several keep their order, and so do entries that addresses pick example by example; some of the
examples do not. Rules as in `coupling_rules`.
"""

from collections.abc import Sequence

from jax.extend.core import JaxprEqn

from .._core.jaxprs import aval
from .example_axis import Free, PerExample, Rule, State, joined, mixes, only


def _slice(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    state, params = states[0], equation.params
    assert isinstance(state, PerExample)
    axis, period = state.axis, state.inner * count
    start, stop = params["start_indices"][axis], params["limit_indices"][axis]
    if params["strides"] is not None and params["strides"][axis] != 1:
        return mixes(equation)
    # Whole batches out of several keep their order; some of the examples do not.
    return [state] if start % period == 0 and (stop - start) % period == 0 else mixes(equation)


def _dynamic_slice(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = only(states)
    if state is None:
        return None
    whole = aval(equation.outvars[0]).shape[state.axis] == aval(equation.invars[0]).shape[state.axis]
    return [state] if whole else mixes(equation)


def _dynamic_update_slice(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    if not all(isinstance(state, Free) for state in states[2:]):
        return None
    state = joined(states[:2], [1, 1], equation)
    if not isinstance(state, PerExample):
        return [state]
    shapes = [aval(atom).shape for atom in equation.invars[:2]]
    return [state] if shapes[0][state.axis] == shapes[1][state.axis] else mixes(equation)


def _pad(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = only(states)
    if state is None:
        return None
    return [state] if tuple(equation.params["padding_config"][state.axis]) == (0, 0, 0) else mixes(equation)


def _reverse(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = states[0]
    assert isinstance(state, PerExample)
    return mixes(equation) if state.axis in equation.params["dimensions"] else [state]


def _gather(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    operand, indices = states
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    result_rank = aval(equation.outvars[0]).ndim
    # Axes of the result that run along the indices' own, in their order; the last axis of the indices is the address.
    from_indices = [axis for axis in range(result_rank) if axis not in numbers.offset_dims]
    table = isinstance(operand, Free)
    if isinstance(indices, PerExample):
        if indices.axis >= len(from_indices):
            return mixes(equation)
        if table and not numbers.operand_batching_dims:
            return [PerExample(from_indices[indices.axis], indices.inner)]
        paired = dict(zip(numbers.start_indices_batching_dims, numbers.operand_batching_dims, strict=True))
        if isinstance(operand, PerExample) and paired.get(indices.axis) == operand.axis:
            return [PerExample(from_indices[indices.axis], indices.inner)] if operand.inner == indices.inner else None
        return None
    if not isinstance(operand, PerExample) or operand.axis in numbers.operand_batching_dims:
        return None
    shape = aval(equation.invars[0]).shape
    removed = [*numbers.collapsed_slice_dims, *numbers.operand_batching_dims]
    if operand.axis in removed or sizes[operand.axis] != shape[operand.axis]:
        return mixes(equation)
    kept = [axis for axis in range(len(shape)) if axis not in removed]
    return [PerExample(numbers.offset_dims[kept.index(operand.axis)], operand.inner)]


def _scatter(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    numbers = equation.params["dimension_numbers"]
    shapes = [aval(atom).shape for atom in equation.invars]
    batching = dict(zip(numbers.scatter_indices_batching_dims, numbers.operand_batching_dims, strict=True))
    removed = [*numbers.inserted_window_dims, *numbers.operand_batching_dims]
    kept = [axis for axis in range(len(shapes[0])) if axis not in removed]
    # Axes of the updates that run along the indices' own, in their order, which ends with the address.
    scattered = [axis for axis in range(len(shapes[2])) if axis not in numbers.update_window_dims]
    # For each axis of the operand that no address selects from: the axes of indices and updates that go along with it.
    along: dict[int, tuple[int | None, int]] = {own: (axis, scattered[axis]) for axis, own in batching.items()}
    for axis, update in zip(kept, numbers.update_window_dims, strict=True):
        if axis not in numbers.scatter_dims_to_operand_dims and shapes[2][update] == shapes[0][axis]:
            along[axis] = (None, update)
    for axis, (index, update) in along.items():
        for operand, place in enumerate((axis, index, update)):
            state = states[operand]
            if not isinstance(state, PerExample) or state.axis != place:
                continue
            own = PerExample(axis, state.inner)
            here = [_fits(states[0], axis, own.inner), _fits(states[2], update, own.inner)]
            here.append(isinstance(states[1], Free) if index is None else _fits(states[1], index, own.inner))
            return [own] if all(here) else None
    return None


def _fits(state: State, axis: int, inner: int) -> bool:
    """Return whether an array belongs to the examples entry by entry along an axis, or is constant along it."""
    return state == PerExample(axis, inner) or (isinstance(state, Free) and axis in state.uniform)


PICKING_RULES: dict[str, Rule] = {
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _gather,
    "pad": _pad,
    "rev": _reverse,
    "slice": _slice,
    **dict.fromkeys(
        ("scatter", "scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max"),
        _scatter,
    ),
}
