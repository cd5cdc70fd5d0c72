"""Programs with perturbed uses, and uses inside of an equation: of a loop, or of a derivative rule.

A loop (`lax.scan`) is run again with the perturbations as further inputs of its turns and the uses' inputs as further
outputs, so that it stays one loop. A parameter that every turn sees whole is used at as many more positions; one that
each turn sees a slice of, as stacked layers have it, has as many more copies.

A function with a derivative rule of its own (`jax.custom_jvp`) is not opened, since its rule need not be the derivative
of its body. The rule is followed instead: where it multiplies the tangent of the parameter with something else, a
perturbation of that product moves the outputs as the rule says.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._core.jaxprs import scan_sizes
from .flatten import Equation, Flattened, Slot
from .uses import ARGUMENT, MATRICES, Inside, Use, View

BY_RULE = {"call_hi_primitive", "custom_jvp_call", "custom_linear_solve"}
"""Equations whose derivative is not that of a program inside of them; since jax 0.12 `custom_root` is the first."""

CARRIED = "is carried by a loop"

Perturbations = Mapping[Use, Array]


class Recognised(NamedTuple):
    """The recognised uses of the parameters of a program.

    Attributes:
        uses: in the order of the equations.
        refused: parameters that are used otherwise, too, with the reason in words.
        scales: of these, small ones that enter the program linearly, as the gain of a normalisation does: all of the
            parameter as one use, or all of each slice that a loop takes.
    """

    uses: list[Use]
    refused: dict[int, str]
    scales: dict[int, Use]


Recognise = Callable[[Flattened, dict[int, View], dict[int, frozenset[int]]], Recognised]


def run(
    program: Flattened, arguments: Sequence[Array], perturbations: Perturbations
) -> tuple[list[Array], dict[Use, Array]]:
    """The outputs of a program with a perturbation added to each use's output, and each use's x."""
    environment: dict[int, Array] = dict(zip((slot.number for slot in program.arguments), arguments, strict=True))
    by_equation: dict[int, list[Use]] = {}
    for use in perturbations:
        by_equation.setdefault(use.equation, []).append(use)
    inputs: dict[Use, Array] = {}
    for use in by_equation.get(ARGUMENT, ()):
        place = program.arguments[use.leaf].number
        inputs[use] = use.read([environment[place]])
        environment[place] = environment[place] + use.place(perturbations[use]).astype(environment[place].dtype)
    for number, equation in enumerate(program.equations):
        operands = [environment[i.number] if isinstance(i, Slot) else i for i in equation.inputs]
        own = by_equation.get(number, [])
        if own and own[0].inside is not None:
            through = _through_rule if own[0].inside.tangent else _through_loop
            results, found = through(equation, operands, {use: perturbations[use] for use in own})
            inputs.update(found)
        else:
            results = equation.evaluate(operands)
            for use in own:
                inputs[use] = use.read(operands)
                # Outputs may be wider than the parameters, and narrower; what follows relies on their dtype.
                results[0] = results[0] + use.place(perturbations[use]).astype(results[0].dtype)
        environment.update(zip(equation.outputs, results, strict=True))
    return [environment[o.number] if isinstance(o, Slot) else o for o in program.outputs], inputs


# Loops ---------------------------------------------------------------------------------------------------------------


def uses_in_loop(
    number: int,
    equation: Equation,
    views: Sequence[View | None],
    below: Sequence[frozenset[int]],
    recognise: Recognise,
) -> Recognised:
    """The uses of parameters in a loop, as uses by the whole loop.

    Args:
        number: of the equation.
        equation: a `scan`.
        views: of the operands that are parameters.
        below: of each operand, parameters that it depends on.
        recognise: what finds the uses in the loop's body.
    """
    body = Flattened(equation.params["jaxpr"])
    fixed, carried = scan_sizes(equation.params)
    stacked = fixed + carried
    refused, inner = {}, {}
    for k, view in enumerate(views):
        if view is None:
            continue
        if fixed <= k < stacked or view.repeats:
            refused[view.leaf] = CARRIED if fixed <= k < stacked else "is repeated for a loop"
            continue
        shape = view.entries.shape if k < fixed else view.entries.shape[1:]
        entries = np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape)
        inner[body.arguments[k].number] = View(k, entries.size, entries)
    found = recognise(body, inner, _dependence(body, below, fixed, carried))
    for use in found.uses:
        if use.construct == MATRICES:
            refused[cast(View, views[use.leaf]).leaf] = "is looked up in a loop, matrix by matrix"
    return _Wrapper(number, equation, body, views, fixed, tangent=False).outside(found, refused)


def _dependence(
    body: Flattened, below: Sequence[frozenset[int]], fixed: int, carried: int
) -> dict[int, frozenset[int]]:
    """Return the values that the arguments of a turn depend on, after any number of turns."""
    known = list(below)
    while True:
        depends = {slot.number: one for slot, one in zip(body.arguments, known, strict=True)}
        start = dict(depends)
        for equation in body.equations:
            slots = [operand.number for operand in equation.inputs if isinstance(operand, Slot)]
            together = frozenset().union(*(depends.get(slot, frozenset()) for slot in slots))
            depends.update((output, together) for output in equation.outputs)
        after = [depends.get(o.number, frozenset()) if isinstance(o, Slot) else frozenset() for o in body.outputs]
        grown = [*known[:fixed], *(a | b for a, b in zip(known[fixed:], after[:carried], strict=False))]
        grown += known[fixed + carried :]
        if grown == known:
            return start
        known = grown


def _through_loop(
    equation: Equation, operands: Sequence[Array], perturbations: Perturbations
) -> tuple[list[Array], dict[Use, Array]]:
    params = equation.params
    length, (fixed, carried) = params["length"], scan_sizes(params)
    stacked = fixed + carried
    within = {use: cast(Inside, use.inside) for use in perturbations}
    body = next(iter(within.values())).body
    taps = {at.use: _by_turn(perturbations[use], at, length) for use, at in within.items()}
    given = _arrays(equation, operands)
    start = given[fixed:stacked]

    def turn(carry: list[Array], own: tuple[list[Array], list[Array]]) -> tuple[list[Array], tuple]:
        slices, added = own
        outputs, found = run(body, [*operands[:fixed], *carry, *slices], dict(zip(taps, added, strict=True)))
        return outputs[: len(start)], (outputs[len(start) :], [found[use] for use in taps])

    end, (collected, read) = jax.lax.scan(
        turn,
        start,
        (given[stacked:], list(taps.values())),
        length=length,
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    by_use = dict(zip(taps, read, strict=True))
    return [*end, *collected], {use: _of_turns(by_use[at.use], at) for use, at in within.items()}


def _arrays(equation: Equation, operands: Sequence[Array]) -> list[Array]:
    """Return the operands in the types that the equation was traced with, which a literal by itself does not have."""
    return [
        x if isinstance(x, jax.Array) else jnp.asarray(x, dtype)
        for x, dtype in zip(operands, equation.dtypes, strict=True)
    ]


def _by_turn(perturbation: Array, at: Inside, length: int) -> Array:
    """A perturbation of the outputs of all turns, one turn after the other."""
    shape = at.use.output_shape
    if at.stacked or len(shape) == 2:
        return perturbation.reshape(length, *shape)
    return jnp.moveaxis(perturbation.reshape(shape[0], length, *shape[1:]), 1, 0)


def _of_turns(read: Array, at: Inside) -> Array:
    """Inputs of all turns as those of one use."""
    positions, inputs = read.shape[-2:]
    if at.stacked:
        return read.reshape(-1, positions, inputs) if read.size != positions * inputs else read.reshape(-1, inputs)
    if read.ndim == 3:
        return read.reshape(-1, inputs)
    return jnp.moveaxis(read, 0, 1).reshape(read.shape[1], -1, inputs)


# Derivative rules ----------------------------------------------------------------------------------------------------


def uses_by_rule(
    number: int,
    equation: Equation,
    views: Sequence[View | None],
    below: Sequence[frozenset[int]],
    recognise: Recognise,
) -> Recognised:
    """Return the uses of parameters in an equation with its own derivative rule, found in the rule's operations.

    Args:
        number: of the equation.
        equation: one of `BY_RULE`.
        views: of the operands that are parameters.
        below: of each operand, parameters that it depends on.
        recognise: what finds the uses in the program of the derivative.
    """
    body = _derivative(equation)
    depends = {slot.number: one for slot, one in zip(body.arguments, below, strict=False)}
    refused, inner, tangents = {}, {}, body.arguments[len(views) :]
    for slot, k in zip(tangents, _inexact(equation.dtypes), strict=True):
        view = views[k]
        depends[slot.number] = below[k]
        if view is None:
            continue
        if view.repeats:
            refused[view.leaf] = f"is repeated for `{equation.primitive.name}`"
            continue
        entries = np.arange(view.entries.size, dtype=np.int32).reshape(view.entries.shape)
        inner[slot.number] = View(k, entries.size, entries)
    found = recognise(body, inner, depends)
    return _Wrapper(number, equation, body, views, len(views), tangent=True).outside(found, refused)


def _inexact(dtypes: Sequence[jnp.dtype]) -> list[int]:
    return [k for k, dtype in enumerate(dtypes) if jnp.issubdtype(dtype, jnp.inexact)]


def _derivative(equation: Equation) -> Flattened:
    """Return the program from operands and their tangents to the tangents of the results."""
    moved = _inexact(equation.dtypes)

    def tangents(operands: list[Array], given: list[Array]) -> list[Array]:
        def function(chosen: list[Array]) -> list[Array]:
            changed = dict(zip(moved, chosen, strict=True))
            results = equation.evaluate([changed.get(k, x) for k, x in enumerate(operands)])
            return [result for result in results if jnp.issubdtype(result.dtype, jnp.inexact)]

        return jax.jvp(function, ([operands[k] for k in moved],), (given,))[1]

    shapes = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in zip(equation.shapes, equation.dtypes, strict=True)]
    return Flattened(jax.make_jaxpr(tangents)(shapes, [shapes[k] for k in moved]))


def _through_rule(
    equation: Equation, operands: Sequence[Array], perturbations: Perturbations
) -> tuple[list[Array], dict[Use, Array]]:
    within = {use: cast(Inside, use.inside) for use in perturbations}
    body = next(iter(within.values())).body
    results = equation.evaluate(operands)
    given = _arrays(equation, operands)
    still = [jnp.zeros_like(given[k]) for k in _inexact(equation.dtypes)]
    moved, found = run(body, [*given, *still], {at.use: perturbations[use] for use, at in within.items()})
    for k, tangent in zip(_inexact([result.dtype for result in results]), moved, strict=True):
        results[k] = results[k] + tangent
    return results, {use: found[at.use] for use, at in within.items()}


# Both ----------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Wrapper:
    """Conversion of uses in a body to uses by the equation that holds the body.

    Attributes:
        number: of the equation that holds the body.
        equation: that one.
        body: the program inside of it.
        views: of its operands that are parameters.
        fixed: operands that every turn sees whole.
        tangent: as of `Inside`.
    """

    number: int
    equation: Equation
    body: Flattened
    views: Sequence[View | None]
    fixed: int
    tangent: bool

    def outside(self, found: Recognised, refused: dict[int, str]) -> Recognised:
        """Return the uses as seen from outside of the equation."""
        wrapped: dict[Use, Use] = {}
        # What carries a bias comes first.
        for use in found.uses:
            wrapped[use] = self._outer(use, wrapped)
        inner = {cast(View, self.views[k]).leaf: why for k, why in found.refused.items()}
        stacked = [self._outer(use, {}) for k, use in found.scales.items() if k >= self.fixed and not self.tangent]
        return Recognised(list(wrapped.values()), {**inner, **refused}, {use.leaf: use for use in stacked})

    def _outer(self, use: Use, wrapped: dict[Use, Use]) -> Use:
        view = cast(View, self.views[use.leaf])
        stacked = use.leaf >= self.fixed
        turns = 1 if self.tangent else self.equation.params["length"]
        entries = view.entries.reshape(turns if stacked else 1, -1)
        index = entries[:, use.index] if stacked and turns > 1 else entries[0][use.index]
        index = index.reshape(-1, *use.index.shape[-2:]) if index.ndim > 2 else index
        carrier = None if use.carrier is None else wrapped[use.carrier]
        if carrier is not None and carrier.inside is not None and carrier.inside.stacked != stacked:
            carrier = None
        name = "custom_jvp" if self.tangent else "scan"
        return dataclasses.replace(
            use,
            leaf=view.leaf,
            size=view.size,
            equation=self.number,
            index=index,
            positions=use.positions if stacked else use.positions * turns,
            carrier=carrier,
            copies=index.shape[0] if index.ndim == 3 else 1,
            construct=f"{use.construct}, {'stacked in' if stacked else 'inside'} {name}",
            inside=Inside(self.body, use, stacked, self.tangent),
        )
