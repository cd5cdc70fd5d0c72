"""What the primitives of jax do with the axis of the examples.

A rule takes an equation, the states of its operands and the number of examples, and returns the states of its results.
A primitive without a rule is not understood: then nothing is proven, and numbers decide (`_curvature.agreement`).
"""

from collections.abc import Callable, Sequence
from typing import Any

from .example_axis import Free, Mixed, OneExample, PerExample, State, everywhere, joined, reshaped

Rule = Callable[[Any, Sequence[State], int], Sequence[State] | None]

_ENTRY_BY_ENTRY = (
    "abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt "
    "ceil clamp clz complex conj convert_element_type copy copy_p cos cosh digamma div eq eq_to erf erf_inv erfc "
    "exp exp2 expm1 floor ge gt igamma igamma_grad_a igammac imag integer_pow is_finite le le_to lgamma log log1p "
    "logistic lt lt_to max min mul name ne neg nextafter not or polygamma population_count pow random_fold_in "
    "random_seed real reduce_precision regularized_incomplete_beta rem round rsqrt select_n shift_left "
    "shift_right_arithmetic shift_right_logical sharding_constraint sign sin sinh sqrt square stop_gradient sub "
    "tan tanh threefry2x32 xor zeta"
)
ENTRY_BY_ENTRY = frozenset(_ENTRY_BY_ENTRY.split())
_REDUCTIONS = (
    "reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor argmax argmin psum pmax pmin"
)
REDUCTIONS = frozenset(_REDUCTIONS.split())
_ALONG = {
    "cumsum": "axis",
    "cumprod": "axis",
    "cummax": "axis",
    "cummin": "axis",
    "cumlogsumexp": "axis",
    "sort": "dimension",
    "top_k": "axis",
    "approx_top_k": "reduction_dimension",
    "split": "axis",
}
_WINDOWS = {"reduce_window", "reduce_window_sum", "reduce_window_max", "reduce_window_min", "select_and_gather_add"}
# Work on the last axes, the same for each entry of the leading ones.
_CORE_AXES = {
    "cholesky": 2,
    "eig": 2,
    "eigh": 2,
    "householder_product": 2,
    "lu": 2,
    "qr": 2,
    "schur": 2,
    "svd": 2,
    "triangular_solve": 2,
    "tridiagonal_solve": 2,
}
ALONG_THE_EXAMPLES = "works along their axis"


def entry_by_entry(equation: Any) -> bool:
    """Whether every entry of the results comes from the same entry of the operands."""
    name = equation.primitive.name
    if name == "bitcast_convert_type":  # to another width it joins or splits entries
        return equation.invars[0].aval.shape == equation.outvars[0].aval.shape
    return name in ENTRY_BY_ENTRY


def scan_sizes(scan: Any) -> tuple[int, int]:
    """The number of constants and of carries of a `scan`, which are its first operands, in this order.

    They are parameters of their own up to jax 0.10; from jax 0.11 on the operands stand in three groups instead.
    """
    if "ft_in" in scan.params:
        constants, carries, _ = scan.params["ft_in"].unpack()
        return len(constants), len(carries)
    return scan.params["num_consts"], scan.params["num_carry"]


def is_map(scan: Any) -> bool:
    """Whether a `scan` hands nothing on: what it carries is returned as it came, so that every pass finds the same."""
    (first, carries), body = scan_sizes(scan), scan.params["jaxpr"].jaxpr
    pairs = zip(body.outvars[:carries], body.invars[first : first + carries], strict=True)
    return all(after is before for after, before in pairs)


def understood(equation: Any) -> bool:
    """Whether the proof knows what an equation does with the examples."""
    return entry_by_entry(equation) or equation.primitive.name in _RULES


def step(equation: Any, states: Sequence[State], count: int) -> Sequence[State]:
    """The states of an equation's results. No operand is `Mixed`, and one at least depends on the examples."""
    name = equation.primitive.name
    results = len(equation.outvars)
    if any(isinstance(state, OneExample) for state in states):
        # A function of one example and of what is the same for all; positions cannot be told apart inside a loop whose
        # body sees no counter.
        if "callback" in name:  # which may count its calls
            return [Mixed(equation, "is not understood by the proof")] * results
        if all(isinstance(state, OneExample | Free) for state in states):
            return [OneExample()] * results
        return [Mixed(equation, "combines one example with the whole batch")] * results
    if entry_by_entry(equation):
        ranks = [atom.aval.ndim for atom in equation.invars]
        return [joined(states, ranks, equation)] * results
    rule = _RULES.get(name)
    found = None if rule is None else rule(equation, states, count)
    return [Mixed(equation, "is not understood by the proof")] * results if found is None else found


def _mixes(equation: Any) -> Sequence[State]:
    return [Mixed(equation, ALONG_THE_EXAMPLES)] * len(equation.outvars)


def _only(states: Sequence[State]) -> PerExample | None:
    """The state of the first operand, where it alone depends on the examples."""
    first, *others = states
    return first if isinstance(first, PerExample) and all(isinstance(state, Free) for state in others) else None


def _reduction(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    axes = equation.params["axes"]
    if any(isinstance(axis, str) for axis in axes):
        return None  # a sum over devices
    results: list[State] = []
    for state in states:
        if isinstance(state, Free):
            results.append(Free(frozenset(_after(a, axes) for a in state.uniform if a not in axes)))
            continue
        assert isinstance(state, PerExample)
        if state.axis in axes:
            return _mixes(equation)
        results.append(PerExample(_after(state.axis, axes), state.inner))
    return results if len(results) == len(equation.outvars) else results[:1] * len(equation.outvars)


def _after(axis: int, removed: Sequence[int]) -> int:
    return axis - sum(a < axis for a in removed)


def _along(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    along = equation.params[_ALONG[equation.primitive.name]]
    rank = equation.invars[0].aval.ndim
    if equation.primitive.name == "split" and isinstance(states[0], PerExample):
        # Whole batches out of several, as for `_slice`.
        whole = all(size % (states[0].inner * count) == 0 for size in equation.params["sizes"])
        return [states[0]] * len(equation.outvars) if states[0].axis != along or whole else _mixes(equation)
    if any(isinstance(state, PerExample) and state.axis == along % rank for state in states):
        return _mixes(equation)
    return [joined(states, [atom.aval.ndim for atom in equation.invars], equation)] * len(equation.outvars)


def _dot(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    contracting, batch = equation.params["dimension_numbers"]
    placed = []
    for side in (0, 1):
        state = states[side]
        if not isinstance(state, PerExample):
            continue
        if state.axis in contracting[side]:
            return _mixes(equation)
        placed.append((_dot_place(equation, side, state.axis), state.inner, state.axis in batch[side]))
    if len(placed) == 2:
        # Every example against every other, as attention across the batch has it.
        if placed[0] != placed[1] or not placed[0][2]:
            return _mixes(equation)
    elif placed[0][2]:
        other = next(side for side in (0, 1) if isinstance(states[side], Free))
        free = states[other]
        assert isinstance(free, Free)
        if batch[other][placed[0][0]] not in free.uniform:
            return [Mixed(equation, "takes in an array that differs from one position of the batch to another")]
    return [PerExample(placed[0][0], placed[0][1])]


def _dot_place(equation: Any, side: int, axis: int) -> int:
    contracting, batch = equation.params["dimension_numbers"]
    if axis in batch[side]:
        return batch[side].index(axis)
    used = [*contracting[side], *batch[side]]
    free = [a for a in range(equation.invars[side].aval.ndim) if a not in used]
    before = len(batch[0])
    if side == 1:
        before += equation.invars[0].aval.ndim - len(contracting[0]) - len(batch[0])
    return before + free.index(axis)


def _transpose(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = states[0]
    assert isinstance(state, PerExample)
    return [PerExample(equation.params["permutation"].index(state.axis), state.inner)]


def _broadcast(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = _only(states)
    return None if state is None else [PerExample(equation.params["broadcast_dimensions"][state.axis], state.inner)]


def _reshape(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = _reshaped(equation, states[0], count)
    return None if state is None else [state]


def _reshaped(equation: Any, state: State, count: int) -> State | None:
    old, order = equation.invars[0].aval.shape, equation.params.get("dimensions")
    if equation.primitive.name == "reshape" and order is not None:
        # It reads its operand in another order of the axes, as numpy's `order="F"` has it.
        old = [old[axis] for axis in order]
        if isinstance(state, PerExample):
            state = PerExample(order.index(state.axis), state.inner)
        elif isinstance(state, Free):
            state = Free(frozenset(k for k, axis in enumerate(order) if axis in state.uniform))
    return reshaped(state, old, equation.outvars[0].aval.shape, count)


def _convolution(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = _only(states)
    numbers = equation.params["dimension_numbers"]
    if state is None or equation.params["batch_group_count"] != 1:
        return None
    if numbers.lhs_spec[0] != state.axis:
        return _mixes(equation)
    return [PerExample(numbers.out_spec[0], state.inner)]


def _windows(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    params = equation.params
    state = joined(states, [atom.aval.ndim for atom in equation.invars], equation)
    if not isinstance(state, PerExample):
        return [state] * len(equation.outvars)
    axis = state.axis
    dilations = [params.get(key) for key in ("base_dilation", "window_dilation")]
    still = (
        params["window_dimensions"][axis] == 1
        and params["window_strides"][axis] == 1
        and tuple(params["padding"][axis]) == (0, 0)
        and all(dilation is None or dilation[axis] == 1 for dilation in dilations)
    )
    return [state] * len(equation.outvars) if still else _mixes(equation)


def _core(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    ranks = [atom.aval.ndim for atom in equation.invars]
    state = joined(states, ranks, equation)
    if not isinstance(state, PerExample):
        return [state] * len(equation.outvars)
    inside = _CORE_AXES[equation.primitive.name]
    return [state] * len(equation.outvars) if state.axis < max(ranks) - inside else _mixes(equation)


def _fft(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = states[0]
    assert isinstance(state, PerExample)
    last = equation.invars[0].aval.ndim - len(equation.params["fft_lengths"])
    return [state] if state.axis < last else _mixes(equation)


def _concatenate(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    along = equation.params["dimension"]
    state = joined(states, [atom.aval.ndim for atom in equation.invars], equation)
    if isinstance(state, PerExample) and state.axis == along:
        # Batches one after the other, as contrastive models have them: still example i % count.
        return [state] if all(isinstance(one, PerExample) for one in states) else _mixes(equation)
    return [state]


def _stack(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    state, new = joined(states, [atom.aval.ndim for atom in equation.invars], equation), equation.params["axis"]
    if isinstance(state, PerExample):
        return [PerExample(state.axis + (state.axis >= new), state.inner)]
    return [state]


def _unstack(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    state, along = states[0], equation.params["axis"]
    assert isinstance(state, PerExample)
    if state.axis == along:
        return _mixes(equation)
    return [PerExample(_after(state.axis, [along]), state.inner)] * len(equation.outvars)


def _slice(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    state, params = states[0], equation.params
    assert isinstance(state, PerExample)
    axis, period = state.axis, state.inner * count
    start, stop = params["start_indices"][axis], params["limit_indices"][axis]
    if params["strides"] is not None and params["strides"][axis] != 1:
        return _mixes(equation)
    # Whole batches out of several keep their order; some of the examples do not.
    return [state] if start % period == 0 and (stop - start) % period == 0 else _mixes(equation)


def _dynamic_slice(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = _only(states)
    if state is None:
        return None
    whole = equation.outvars[0].aval.shape[state.axis] == equation.invars[0].aval.shape[state.axis]
    return [state] if whole else _mixes(equation)


def _dynamic_update_slice(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    if not all(isinstance(state, Free) for state in states[2:]):
        return None
    state = joined(states[:2], [1, 1], equation)
    if not isinstance(state, PerExample):
        return [state]
    shapes = [atom.aval.shape for atom in equation.invars[:2]]
    return [state] if shapes[0][state.axis] == shapes[1][state.axis] else _mixes(equation)


def _pad(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = _only(states)
    if state is None:
        return None
    return [state] if tuple(equation.params["padding_config"][state.axis]) == (0, 0, 0) else _mixes(equation)


def _reverse(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = states[0]
    assert isinstance(state, PerExample)
    return _mixes(equation) if state.axis in equation.params["dimensions"] else [state]


def _gather(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    operand, indices = states
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    result_rank = equation.outvars[0].aval.ndim
    # Axes of the result that run along the indices' own, in their order; the last axis of the indices is the address.
    from_indices = [axis for axis in range(result_rank) if axis not in numbers.offset_dims]
    table = isinstance(operand, Free)
    if isinstance(indices, PerExample):
        if indices.axis >= len(from_indices):
            return _mixes(equation)
        if table and not numbers.operand_batching_dims:
            return [PerExample(from_indices[indices.axis], indices.inner)]
        paired = dict(zip(numbers.start_indices_batching_dims, numbers.operand_batching_dims, strict=True))
        if isinstance(operand, PerExample) and paired.get(indices.axis) == operand.axis:
            return [PerExample(from_indices[indices.axis], indices.inner)] if operand.inner == indices.inner else None
        return None
    if not isinstance(operand, PerExample) or operand.axis in numbers.operand_batching_dims:
        return None
    shape = equation.invars[0].aval.shape
    removed = [*numbers.collapsed_slice_dims, *numbers.operand_batching_dims]
    if operand.axis in removed or sizes[operand.axis] != shape[operand.axis]:
        return _mixes(equation)
    kept = [axis for axis in range(len(shape)) if axis not in removed]
    return [PerExample(numbers.offset_dims[kept.index(operand.axis)], operand.inner)]


def _scatter(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    numbers = equation.params["dimension_numbers"]
    shapes = [atom.aval.shape for atom in equation.invars]
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
    """Whether entry by entry along an axis an array belongs to the examples, or does not tell them apart."""
    return state == PerExample(axis, inner) or (isinstance(state, Free) and axis in state.uniform)


def _tile(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    # Batches one after the other, as for `_concatenate`.
    return [states[0]]


def _random(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    # Keys lead, and what is drawn from each follows. The words of a key, its last axis, count no examples.
    state = states[0]
    leads = isinstance(state, PerExample) and state.axis < equation.outvars[0].aval.ndim
    return [state] if leads and len(states) == 1 else None


def _barrier(equation: Any, states: Sequence[State], count: int) -> Sequence[State] | None:
    return list(states)


_RULES: dict[str, Rule] = {
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(_ALONG, _along),
    **dict.fromkeys(_WINDOWS, _windows),
    **dict.fromkeys(_CORE_AXES, _core),
    **dict.fromkeys(("random_bits", "random_split", "random_wrap", "random_unwrap"), _random),
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), _reshape),
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "dot_general": _dot,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "fft": _fft,
    "gather": _gather,
    **dict.fromkeys(("optimization_barrier", "device_put"), _barrier),
    "pad": _pad,
    "rev": _reverse,
    "slice": _slice,
    "stack": _stack,
    "tile": _tile,
    "transpose": _transpose,
    "unstack": _unstack,
    **dict.fromkeys(
        ("scatter", "scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max"),
        _scatter,
    ),
}


def _free_dot(equation: Any, states: Sequence[Free]) -> Free:
    contracting, batch = equation.params["dimension_numbers"]
    paired = {
        k
        for k, axes in enumerate(zip(*batch, strict=True))
        if all(a in s.uniform for a, s in zip(axes, states, strict=True))
    }
    own = {
        _dot_place(equation, side, axis)
        for side in (0, 1)
        for axis in states[side].uniform
        if axis not in contracting[side] and axis not in batch[side]
    }
    return Free(frozenset(paired | own))


def free_step(equation: Any, states: Sequence[Free]) -> list[Free]:
    """Of an equation that no example enters: along which axes its results are constant."""
    name, results = equation.primitive.name, len(equation.outvars)
    ranks = [atom.aval.ndim for atom in equation.invars]
    if entry_by_entry(equation):
        wide = [state for state, rank in zip(states, ranks, strict=True) if rank > 0]
        rank = equation.outvars[0].aval.ndim
        found = Free(frozenset.intersection(*[state.uniform for state in wide])) if wide else everywhere(rank)
        return [found] * results
    if name == "broadcast_in_dim":
        shape, placed = equation.invars[0].aval.shape, equation.params["broadcast_dimensions"]
        new = equation.outvars[0].aval.shape
        varies = {b for a, b in enumerate(placed) if a not in states[0].uniform and shape[a] == new[b]}
        return [Free(frozenset(range(len(new))) - varies)]
    if name in ("reshape", "squeeze", "expand_dims"):
        found = _reshaped(equation, states[0], 1)
        assert isinstance(found, Free)
        return [found]
    if name == "stack":
        new = equation.params["axis"]
        same = frozenset.intersection(*[state.uniform for state in states])
        return [Free(frozenset(axis + (axis >= new) for axis in same))]
    if name == "unstack":
        along = equation.params["axis"]
        return [Free(frozenset(_after(a, [along]) for a in states[0].uniform if a != along))] * results
    if name == "transpose":
        permutation = equation.params["permutation"]
        return [Free(frozenset(k for k, axis in enumerate(permutation) if axis in states[0].uniform))]
    if name == "iota":
        rank = equation.outvars[0].aval.ndim
        return [Free(frozenset(range(rank)) - {equation.params["dimension"]})]
    if name == "dot_general":
        return [_free_dot(equation, states)]
    axes = equation.params.get("axes", ())
    if name in REDUCTIONS and not any(isinstance(axis, str) for axis in axes):
        return [Free(frozenset(_after(a, axes) for a in state.uniform if a not in axes)) for state in states][:results]
    if ranks and all(len(state.uniform) == rank for state, rank in zip(states, ranks, strict=True)) and name in _ALONG:
        along = equation.params[_ALONG[name]]
        return [Free(frozenset(range(ranks[0])) - {along % ranks[0]})] * results
    return [Free(frozenset(a for a, size in enumerate(var.aval.shape) if size == 1)) for var in equation.outvars]
