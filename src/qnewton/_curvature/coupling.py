"""Proof that the examples of a batch do not meet in a traced program, by following their axis.

The walk proves independence. Where it loses track it says so by name and place, and proves nothing: a stop-gradiented
maximum over the batch is such a place, and so is a primitive that it has no rule for.
"""

import os
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core as jex
from jax.extend import source_info_util
from jax.interpreters.partial_eval import dce_jaxpr
from jax.typing import ArrayLike
from jaxtyping import PyTree

from .._core.jaxprs import Atom, aval, scan_sizes
from .batch import example_count, leads
from .coupling_rules import free_step, is_map, step
from .example_axis import Free, Mixed, OneExample, PerExample, State, everywhere
from .own_rows import paired

# Calls whose result is that of the program inside.
_CALLS = {"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"}
# Where jax's own functions are.
_JAX = os.path.join(os.path.dirname(jax.__file__), "")
_CARRY_ROUNDS = 4
"""Passes over a loop's body until what enters it is what it returns; states only lose information, so few suffice."""


def traced(function: Callable[..., PyTree], *arguments: PyTree) -> tuple[jex.ClosedJaxpr, PyTree]:
    """Return the jaxpr of a function, without operations that do not reach its results, and the results' shapes.

    It is to be looked at, and not run: what picks by position is written otherwise (`_curvature.own_rows`).
    """
    looked_at = function
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(function)):
        # A method of an objective with a traced number: jax would remember it, and compare it with the next one's.
        looked_at = lambda *given: function(*given)  # noqa: E731
    closed, shapes = jax.make_jaxpr(looked_at, return_shape=True)(*arguments)
    jaxpr, _ = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
    return jex.ClosedJaxpr(paired(jaxpr), closed.consts), shapes


def first_meeting(closed: jex.ClosedJaxpr, per_example: Sequence[bool], count: int) -> Mixed | None:
    """Return where examples may meet on their way to the results; None if they provably do not.

    Args:
        closed: of a function of whole batches, from `traced`.
        per_example: for each argument, whether its leading axis counts the examples; the others are the same for all.
        count: examples.
    """
    if count == 1:
        return None
    given: list[State] = [
        PerExample(0) if led else Free(frozenset(a for a, size in enumerate(aval(variable).shape) if size == 1))
        for led, variable in zip(per_example, closed.jaxpr.invars, strict=True)
    ]
    for state, variable in zip(walk(closed, given, count), closed.jaxpr.outvars, strict=True):
        if isinstance(state, Mixed):
            return state
        if isinstance(state, Free) and 0 not in state.uniform:
            return Mixed(None, "returns what differs from one position of the batch to another")
        if isinstance(state, PerExample) and (state != PerExample(0) or aval(variable).shape[0] != count):
            return Mixed(None, "returns the examples along another axis than the first")
    return None


def place(meeting: Mixed) -> str:
    """Return the operation and its place in the user's code, for a message."""
    if meeting.equation is None:
        return f"it {meeting.how}"
    source = meeting.equation.source_info
    layer = f" in `{source.name_stack}`" if str(source.name_stack) else ""
    where = source_info_util.summarize(source)
    return f"`{meeting.equation.primitive}` {meeting.how}{layer}" + (f" at {where}" if where else "")


def refuse_coupling(predict: Callable[[PyTree, PyTree], PyTree], params: PyTree, inputs: PyTree) -> None:
    """Refuse a model whose program does not show independent examples; `qnewton` itself requires less.

    Args:
        predict: `(params, inputs) -> outputs` on batches.
        params: arrays or `jax.ShapeDtypeStruct`.
        inputs: of a batch.

    Raises:
        ValueError: naming the operation at which the proof fails and where it stands in the model's code.
    """
    closed, _ = traced(predict, params, inputs)
    per_example = [False] * len(jax.tree.leaves(params)) + leads(inputs)
    met = first_meeting(closed, per_example, example_count(inputs))
    if met is not None:
        raise ValueError(
            f"predict couples the examples of a batch, or cannot be shown not to: {place(met)}. What is made of single "
            "examples needs layer or group normalisation, or batch normalisation in inference mode"
        )


def walk(closed: jex.ClosedJaxpr, given: Sequence[State], count: int) -> list[State]:
    """The states of a jaxpr's results, from those of its arguments."""
    jaxpr = closed.jaxpr
    known: dict[jex.Var, State] = dict(zip(jaxpr.invars, given, strict=True))
    known.update((v, _of_constant(c)) for v, c in zip(jaxpr.constvars, closed.consts, strict=True))

    def state_of(atom: Atom) -> State:
        return everywhere(0) if isinstance(atom, jex.Literal) else known[atom]

    for equation in jaxpr.eqns:
        states = [state_of(atom) for atom in equation.invars]
        known.update(zip(equation.outvars, _results(equation, states, count), strict=True))
    return [state_of(atom) for atom in jaxpr.outvars]


def _results(equation: jex.JaxprEqn, states: Sequence[State], count: int) -> Sequence[State]:
    mixed = next((state for state in states if isinstance(state, Mixed)), None)
    if mixed is not None:
        return [mixed] * len(equation.outvars)
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        return _scan(equation, states, count)
    if name == "while":
        return _while(equation, states, count)
    if name == "cond":
        return _cond(equation, states, count)
    if name == "custom_linear_solve":
        # What it computes is its own solve; the other programs are its derivatives'.
        lengths, solve = params["const_lengths"], params["jaxprs"].solve
        before = lengths.matvec + lengths.vecmat
        given = [*states[before : before + lengths.solve], *states[sum(lengths) :]]
        return walk(solve, given, count)
    if name in _CALLS or (name == "custom_jvp_call" and _is_of_jax(params["call_jaxpr"])):
        inner = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
        closed = inner if isinstance(inner, jex.ClosedJaxpr) else jex.ClosedJaxpr(inner, ())
        return [_placed(state, equation) for state in walk(closed, states, count)]
    if all(isinstance(state, Free) for state in states):
        return free_step(equation, [state for state in states if isinstance(state, Free)])
    return step(equation, states, count)


def _is_of_jax(function: jex.ClosedJaxpr) -> bool:
    """Whether a function with a derivative rule of its own is jax's, such as `relu`.

    Anybody else's rule does what the program does not show, and so does that of `custom_root`, which calls the user's
    functions.
    """
    source = getattr(getattr(function.jaxpr, "debug_info", None), "func_src_info", None) or ""
    return f" at {_JAX}" in source and "custom_root" not in source


def _placed(state: State, call: jex.JaxprEqn) -> State:
    # What jax jits itself (a sort, say) has no place in the user's code; the call of it has.
    if not isinstance(state, Mixed) or state.equation is None:
        return state
    if source_info_util.summarize(state.equation.source_info):
        return state
    return Mixed(state.equation.replace(source_info=call.source_info), state.how)


def _scan(equation: jex.JaxprEqn, states: Sequence[State], count: int) -> list[State]:
    params = equation.params
    consts, carries = scan_sizes(equation.params)
    fixed, carry, sequences = states[:consts], list(states[consts : consts + carries]), states[consts + carries :]
    by_example = [isinstance(state, PerExample) and state.axis == 0 for state in sequences]
    if any(by_example):
        # `lax.map` over the examples; a carry would hand something on from one to the next.
        alone = is_map(equation) and all(
            found or (isinstance(state, Free) and 0 in state.uniform)
            for found, state in zip(by_example, sequences, strict=True)
        )
        whole = params["length"] == count and all(isinstance(state, Free) for state in [*fixed, *carry])
        if not (alone and whole):
            return [Mixed(equation, "hands the examples on from one to the next")] * len(equation.outvars)
    sliced = [
        OneExample() if found else _shifted(state, -1) for found, state in zip(by_example, sequences, strict=True)
    ]
    shapes = [aval(atom).shape for atom in equation.invars[consts : consts + carries]]

    def body(carry: Sequence[State]) -> list[State]:
        return walk(params["jaxpr"], [*fixed, *carry, *sliced], count)

    carry, results = _settled(body, carry, shapes, count, equation)
    # In a loop over something else within one over the examples, all belongs to the example whose turn it is.
    over_examples = any(by_example)
    stacked = [
        PerExample(0) if over_examples and isinstance(s, OneExample) else _shifted(s, 1) for s in results[carries:]
    ]
    return [*carry, *stacked]


def _settled(
    body: Callable[[Sequence[State]], list[State]],
    carry: Sequence[State],
    shapes: Sequence[tuple[int, ...]],
    count: int,
    equation: jex.JaxprEqn,
) -> tuple[list[State], list[State]]:
    """Return the states of a loop's carry that hold before and after every pass, and those of its body's results."""
    # What starts the same for all examples may be each example's own: a weaker claim, under which zeros pass for a
    # state of the network.
    owned = [
        PerExample(0) if isinstance(state, Free) and 0 in state.uniform and shape[:1] == (count,) else state
        for state, shape in zip(carry, shapes, strict=True)
    ]
    lost: list[State] = [Mixed(equation, "loses the examples in its carry")] * len(carry)
    results: list[State] = lost
    for start in (list(carry), owned):
        now: list[State] = start
        for _ in range(_CARRY_ROUNDS):
            results = body(now)
            following = [_met(a, b, equation) for a, b in zip(now, results, strict=False)]
            if following == now:
                break
            now = following
        else:
            now, results = lost, [lost[0]] * len(results)
        if not any(isinstance(state, Mixed) for state in now):
            break
    return now, results


def _while(equation: jex.JaxprEqn, states: Sequence[State], count: int) -> list[State]:
    params = equation.params
    of_condition, of_body = params["cond_nconsts"], params["body_nconsts"]
    condition, body = states[:of_condition], states[of_condition : of_condition + of_body]
    carry = list(states[of_condition + of_body :])
    shapes = [aval(atom).shape for atom in equation.invars[of_condition + of_body :]]
    carry, _ = _settled(
        lambda carry: walk(params["body_jaxpr"], [*body, *carry], count), carry, shapes, count, equation
    )
    (ends,) = walk(params["cond_jaxpr"], [*condition, *carry], count)
    if isinstance(ends, OneExample):
        # The number of passes is the example's own, and so is all that they leave.
        return [state if isinstance(state, Mixed) else ends for state in carry]
    if not isinstance(ends, Free):
        return [Mixed(equation, "ends when the examples say so")] * len(equation.outvars)
    return carry


def _cond(equation: jex.JaxprEqn, states: Sequence[State], count: int) -> list[State]:
    index, *operands = states
    if not isinstance(index, Free | OneExample):
        return [Mixed(equation, "branches on the examples")] * len(equation.outvars)
    found = [walk(branch, operands, count) for branch in equation.params["branches"]]
    results = []
    for branches in zip(*found, strict=True):
        state = branches[0]
        for other in branches[1:]:
            state = _met(state, other, equation)
        results.append(OneExample() if isinstance(index, OneExample) and isinstance(state, Free) else state)
    return results


def _met(one: State, other: State, equation: jex.JaxprEqn) -> State:
    """Return the state of a value that is one of two."""
    if one == other:
        return one
    if isinstance(one, Mixed) or isinstance(other, Mixed):
        return one if isinstance(one, Mixed) else other
    if isinstance(one, Free) and isinstance(other, Free):
        return Free(one.uniform & other.uniform)
    free, bound = (one, other) if isinstance(one, Free) else (other, one)
    if isinstance(free, Free) and isinstance(bound, OneExample):
        return bound
    if isinstance(free, Free) and isinstance(bound, PerExample) and bound.axis in free.uniform:
        return bound
    return Mixed(equation, "brings together arrays whose examples lie along different axes")


def _shifted(state: State, by: int) -> State:
    """The state without its leading axis, or with one more, along which every entry is computed alike."""
    if isinstance(state, PerExample):
        return PerExample(state.axis + by, state.inner)
    if isinstance(state, Free):
        return Free(frozenset(axis + by for axis in state.uniform if axis + by >= 0))
    return state


def _of_constant(value: ArrayLike) -> Free:
    """Return the axes along which a closed-over array is constant; for a tracer, only its axes of size 1."""
    shape, dtype = np.shape(value), getattr(value, "dtype", None)
    if isinstance(value, Tracer) or dtype is None or not jnp.issubdtype(dtype, np.number):
        return Free(frozenset(axis for axis, size in enumerate(shape) if size == 1))
    array = np.asarray(value)
    return Free(
        frozenset(
            axis
            for axis, size in enumerate(shape)
            if size == 1 or (size > 0 and np.array_equal(array, np.broadcast_to(array.take([0], axis), shape)))
        )
    )
