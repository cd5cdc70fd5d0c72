"""Rules for the effect of jax's primitives on the axis of the examples.

A rule takes an equation, the states of its operands and the number of examples, and returns the states of its results.
A primitive without a rule is not understood: then nothing is proven, and numbers decide (`_curvature.agreement`).
"""

from collections.abc import Sequence

from jax.extend.core import JaxprEqn

from .._core.jaxprs import aval, scan_sizes
from .example_axis import Free, Mixed, OneExample, PerExample, Rule, State, everywhere, joined, mixes, only, reshaped
from .picking_rules import PICKING_RULES

_ENTRY_BY_ENTRY = (
    "abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt "
    "ceil clamp clz complex conj convert_element_type copy copy_p cos cosh digamma div eq eq_to erf erf_inv erfc "
    "exp exp2 expm1 floor ge gt igamma igamma_grad_a igammac imag integer_pow is_finite le le_to lgamma log log1p "
    "logistic lt lt_to max min mul name ne neg nextafter not or polygamma population_count pow random_fold_in "
    "random_seed real reduce_precision regularized_incomplete_beta rem reshard round rsqrt select_n shift_left "
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


def entry_by_entry(equation: JaxprEqn) -> bool:
    """Whether every entry of the results comes from the same entry of the operands."""
    name = equation.primitive.name
    if name == "bitcast_convert_type":  # to another width it joins or splits entries
        return aval(equation.invars[0]).shape == aval(equation.outvars[0]).shape
    return name in ENTRY_BY_ENTRY


def is_map(scan: JaxprEqn) -> bool:
    """Return whether a `scan` returns its carry unchanged, so that every pass sees the same."""
    (first, carries), body = scan_sizes(scan.params), scan.params["jaxpr"].jaxpr
    pairs = zip(body.outvars[:carries], body.invars[first : first + carries], strict=True)
    return all(after is before for after, before in pairs)


def understood(equation: JaxprEqn) -> bool:
    """Return whether the proof has a rule for an equation."""
    return entry_by_entry(equation) or equation.primitive.name in _RULES


def step(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State]:
    """Return the states of an equation's results.

    No operand is `Mixed`, and at least one depends on the examples.
    """
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
        ranks = [aval(atom).ndim for atom in equation.invars]
        return [joined(states, ranks, equation)] * results
    rule = _RULES.get(name)
    found = None if rule is None else rule(equation, states, count)
    return [Mixed(equation, "is not understood by the proof")] * results if found is None else found


def _reduction(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
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
            return mixes(equation)
        results.append(PerExample(_after(state.axis, axes), state.inner))
    return results if len(results) == len(equation.outvars) else results[:1] * len(equation.outvars)


def _after(axis: int, removed: Sequence[int]) -> int:
    return axis - sum(a < axis for a in removed)


def _along(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    along = equation.params[_ALONG[equation.primitive.name]]
    rank = aval(equation.invars[0]).ndim
    if equation.primitive.name == "split" and isinstance(states[0], PerExample):
        # Whole batches out of several, as for `_slice`.
        whole = all(size % (states[0].inner * count) == 0 for size in equation.params["sizes"])
        return [states[0]] * len(equation.outvars) if states[0].axis != along or whole else mixes(equation)
    if any(isinstance(state, PerExample) and state.axis == along % rank for state in states):
        return mixes(equation)
    return [joined(states, [aval(atom).ndim for atom in equation.invars], equation)] * len(equation.outvars)


def _dot(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    contracting, batch = equation.params["dimension_numbers"]
    placed = []
    for side in (0, 1):
        state = states[side]
        if not isinstance(state, PerExample):
            continue
        if state.axis in contracting[side]:
            return mixes(equation)
        placed.append((_dot_place(equation, side, state.axis), state.inner, state.axis in batch[side]))
    if len(placed) == 2:
        # Every example against every other, as attention across the batch has it.
        if placed[0] != placed[1] or not placed[0][2]:
            return mixes(equation)
    elif placed[0][2]:
        other = next(side for side in (0, 1) if isinstance(states[side], Free))
        free = states[other]
        assert isinstance(free, Free)
        if batch[other][placed[0][0]] not in free.uniform:
            return [Mixed(equation, "takes in an array that differs from one position of the batch to another")]
    return [PerExample(placed[0][0], placed[0][1])]


def _dot_place(equation: JaxprEqn, side: int, axis: int) -> int:
    contracting, batch = equation.params["dimension_numbers"]
    if axis in batch[side]:
        return batch[side].index(axis)
    used = [*contracting[side], *batch[side]]
    free = [a for a in range(aval(equation.invars[side]).ndim) if a not in used]
    before = len(batch[0])
    if side == 1:
        before += aval(equation.invars[0]).ndim - len(contracting[0]) - len(batch[0])
    return before + free.index(axis)


def _transpose(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = states[0]
    assert isinstance(state, PerExample)
    return [PerExample(equation.params["permutation"].index(state.axis), state.inner)]


def _broadcast(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = only(states)
    return None if state is None else [PerExample(equation.params["broadcast_dimensions"][state.axis], state.inner)]


def _reshape(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = _reshaped(equation, states[0], count)
    return None if state is None else [state]


def _reshaped(equation: JaxprEqn, state: State, count: int) -> State | None:
    old, order = aval(equation.invars[0]).shape, equation.params.get("dimensions")
    if equation.primitive.name == "reshape" and order is not None:
        # It reads its operand in another order of the axes, as numpy's `order="F"` has it.
        old = [old[axis] for axis in order]
        if isinstance(state, PerExample):
            state = PerExample(order.index(state.axis), state.inner)
        elif isinstance(state, Free):
            state = Free(frozenset(k for k, axis in enumerate(order) if axis in state.uniform))
    return reshaped(state, old, aval(equation.outvars[0]).shape, count)


def _convolution(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = only(states)
    numbers = equation.params["dimension_numbers"]
    if state is None or equation.params["batch_group_count"] != 1:
        return None
    if numbers.lhs_spec[0] != state.axis:
        return mixes(equation)
    return [PerExample(numbers.out_spec[0], state.inner)]


def _windows(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    params = equation.params
    state = joined(states, [aval(atom).ndim for atom in equation.invars], equation)
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
    return [state] * len(equation.outvars) if still else mixes(equation)


def _core(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    ranks = [aval(atom).ndim for atom in equation.invars]
    state = joined(states, ranks, equation)
    if not isinstance(state, PerExample):
        return [state] * len(equation.outvars)
    inside = _CORE_AXES[equation.primitive.name]
    return [state] * len(equation.outvars) if state.axis < max(ranks) - inside else mixes(equation)


def _fft(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    state = states[0]
    assert isinstance(state, PerExample)
    last = aval(equation.invars[0]).ndim - len(equation.params["fft_lengths"])
    return [state] if state.axis < last else mixes(equation)


def _concatenate(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    along = equation.params["dimension"]
    state = joined(states, [aval(atom).ndim for atom in equation.invars], equation)
    if isinstance(state, PerExample) and state.axis == along:
        # Batches one after the other, as contrastive models have them: still example i % count.
        return [state] if all(isinstance(one, PerExample) for one in states) else mixes(equation)
    return [state]


def _stack(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    state, new = joined(states, [aval(atom).ndim for atom in equation.invars], equation), equation.params["axis"]
    if isinstance(state, PerExample):
        return [PerExample(state.axis + (state.axis >= new), state.inner)]
    return [state]


def _unstack(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    state, along = states[0], equation.params["axis"]
    assert isinstance(state, PerExample)
    if state.axis == along:
        return mixes(equation)
    return [PerExample(_after(state.axis, [along]), state.inner)] * len(equation.outvars)


def _tile(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    # Batches one after the other, as for `_concatenate`.
    return [states[0]]


def _random(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
    # Keys lead, and what is drawn from each follows. The words of a key, its last axis, count no examples.
    state = states[0]
    leads = isinstance(state, PerExample) and state.axis < aval(equation.outvars[0]).ndim
    return [state] if leads and len(states) == 1 else None


def _barrier(equation: JaxprEqn, states: Sequence[State], count: int) -> Sequence[State] | None:
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
    "fft": _fft,
    **dict.fromkeys(("optimization_barrier", "device_put"), _barrier),
    "stack": _stack,
    "tile": _tile,
    "transpose": _transpose,
    "unstack": _unstack,
    **PICKING_RULES,
}


def _free_dot(equation: JaxprEqn, states: Sequence[Free]) -> Free:
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


def free_step(equation: JaxprEqn, states: Sequence[Free]) -> list[Free]:
    """Return the axes along which the results are constant, for an equation that no example enters."""
    name, results = equation.primitive.name, len(equation.outvars)
    ranks = [aval(atom).ndim for atom in equation.invars]
    if entry_by_entry(equation):
        wide = [state for state, rank in zip(states, ranks, strict=True) if rank > 0]
        rank = aval(equation.outvars[0]).ndim
        found = Free(frozenset.intersection(*[state.uniform for state in wide])) if wide else everywhere(rank)
        return [found] * results
    if name == "broadcast_in_dim":
        shape, placed = aval(equation.invars[0]).shape, equation.params["broadcast_dimensions"]
        new = aval(equation.outvars[0]).shape
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
        rank = aval(equation.outvars[0]).ndim
        return [Free(frozenset(range(rank)) - {equation.params["dimension"]})]
    if name == "dot_general":
        return [_free_dot(equation, states)]
    axes = equation.params.get("axes", ())
    if name in REDUCTIONS and not any(isinstance(axis, str) for axis in axes):
        return [Free(frozenset(_after(a, axes) for a in state.uniform if a not in axes)) for state in states][:results]
    if ranks and all(len(state.uniform) == rank for state, rank in zip(states, ranks, strict=True)) and name in _ALONG:
        along = equation.params[_ALONG[name]]
        return [Free(frozenset(range(ranks[0])) - {along % ranks[0]})] * results
    return [Free(frozenset(a for a, size in enumerate(aval(var).shape) if size == 1)) for var in equation.outvars]
