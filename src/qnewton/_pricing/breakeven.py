"""The inverse question: the value of one number, or of two, at which quantum and classical are equally fast."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from .._core.arrays import quiet
from .._hardware import QuantumMachine
from .assumptions import Assumptions
from .bounds import least_charges
from .classical import ClassicalHost
from .clock import Clock
from .gate_times import SHORTEST_S
from .paper import charged, counts_for, is_count, predicted, takes
from .problem import Problem
from .verdict import PROVEN

_COARSE, _FINE, _ROUNDS = 241, 41, 3
PAIR_POINTS = 33


@dataclasses.dataclass(frozen=True)
class Variable:
    """A number that may be varied.

    Attributes:
        name: in files.
        label: in figures.
        unit: of its values; empty for a plain number.
        low, high: where a break-even value is looked for; of a question of points arrays `[points]`.
    """

    name: str
    label: str
    unit: str
    low: Any
    high: Any


@dataclasses.dataclass(frozen=True)
class Question:
    """One system, one machine, one set of assumptions and the classical rivals.

    Attributes:
        problem: of single numbers, or of arrays `[points]`.
        assumed: what a quantum solve is charged for.
        machine: the quantum one.
        hosts: the classical ones.
    """

    problem: Problem
    assumed: Assumptions
    machine: QuantumMachine
    hosts: Sequence[ClassicalHost]


@dataclasses.dataclass(frozen=True)
class Single:
    """Effect of one variable alone.

    Attributes:
        variable: the one that is moved.
        present: its value now; None where it has none of its own.
        value: at which both are equally fast, the nearest one to the present; None: no value does it.
        least, most: `log10(quantum / classical)` over its whole range.
        sentence: in words.
    """

    variable: Variable
    present: float | None
    value: float | None
    least: float
    most: float
    sentence: str


@dataclasses.dataclass(frozen=True)
class Pair:
    """Joint effect of two variables.

    Attributes:
        first, second: the ones that are moved.
        x, y: their values.
        orders: `[y, x]`, `log10(quantum / classical)`; NaN where either has no number.
    """

    first: Variable
    second: Variable
    x: Float[np.ndarray, " x"]
    y: Float[np.ndarray, " y"]
    orders: Float[np.ndarray, "y x"]


def variables(question: Question) -> list[Variable]:
    """Return all variables, with the range in which each is examined."""
    n = question.problem.numbers.n
    return [
        Variable("gate_time_s", "gate time", "s", SHORTEST_S, 1.0),
        Variable("logical_cycle_s", "logical clock", "s", SHORTEST_S, 1.0),
        Variable("kappa", "condition number", "", 1.0, 1e12),
        Variable("d", "nonzeros in a row", "", 1.0, np.maximum(n, 2.0)),
        Variable("readout_precision", "read-out precision", "", 1e-9, 0.99),
        Variable("n", "rows", "", 2.0, 1e12),
    ]


def present_of(question: Question, variable: Variable) -> Any:
    """Return a variable's present value; the logical clock and a free read-out's precision follow from others: None."""
    problem, assumed = question.problem, question.assumed
    free = assumed.readout is None and assumed.norm is None
    found = {
        "gate_time_s": question.machine.gate_time_s,
        "logical_cycle_s": None if assumed.error_correction else question.machine.gate_time_s,
        "kappa": problem.condition_number,
        "d": problem.numbers.degree,
        "readout_precision": None if free else (1 - assumed.solver_share) * np.asarray(problem.precision),
        "n": problem.numbers.n,
    }
    return found[variable.name]


@quiet
def orders(question: Question, changes: Mapping[str, Any]) -> Float[np.ndarray, "..."]:
    """`log10(quantum / classical)`, as a verdict has it, with some numbers changed; NaN where either has none.

    Points that no matrix can be at are NaN.

    Args:
        question: everything else.
        changes: by name of the variable; arrays that broadcast.
    """
    problem = _changed(question.problem, changes)
    return _orders(question, problem, changes, _quantum(question, problem, changes))


@quiet
def bound_orders(
    question: Question, changes: Mapping[str, Any], *, any_encoding: bool = True
) -> Float[np.ndarray, "..."]:
    """`log10(bound / classical)`: where positive, no algorithm helps; NaN where either is unknown.

    Args:
        question: everything else.
        changes: as of `orders`.
        any_encoding: whether by any encoding; else by those of the set, if it charges one.
    """
    problem = _changed(question.problem, changes)
    axes = max((np.ndim(value) for value in changes.values()), default=0)
    least: Any = np.inf
    for one in least_charges(problem, [("", _clock(question, changes))], [question.assumed], axes=axes):
        if one.any_encoding == any_encoding:
            least = np.minimum(least, one.charge.seconds[0])
    return _orders(question, problem, changes, least)


def _orders(question: Question, problem: Problem, changes: Mapping[str, Any], seconds: Any) -> np.ndarray:
    """`log10` of the seconds over the classical ones, where there is such a matrix."""
    shape = np.broadcast_shapes(*(np.shape(value) for value in changes.values()), ())
    with np.errstate(all="ignore"):
        ratio = np.log10(seconds) - np.log10(_classical(question, problem))
    known = np.where(np.isfinite(ratio) & problem.possible, ratio, np.nan)
    return np.broadcast_to(known, np.broadcast_shapes(shape, known.shape))


def _clock(question: Question, changes: Mapping[str, Any]) -> Clock:
    return Clock(
        changes.get("gate_time_s", question.machine.gate_time_s),
        question.machine.profile,
        changes.get("logical_cycle_s"),
    )


def _changed(problem: Problem, changes: Mapping[str, Any]) -> Problem:
    numbers = problem.numbers
    n = np.asarray(changes.get("n", problem.n), float)
    kappa = np.asarray(changes.get("kappa", problem.condition_number), float)
    if "n" in changes:
        n = np.round(n)
        # A matrix of another size has the same spread of singular values.
        spread = numbers.frobenius_norm / (numbers.spectral_norm * np.sqrt(numbers.n))
        given = problem.frobenius_norm is not None
        frobenius = np.maximum(spread * np.sqrt(n), 1.0) * numbers.spectral_norm if given else None
        degree = None if problem.degree is None else np.minimum(problem.degree, n)
        structure = problem.structure.of_size(n / numbers.n, 1.0)
        problem = dataclasses.replace(problem, n=n, degree=degree, frobenius_norm=frobenius, structure=structure)
    if "d" in changes:
        problem = dataclasses.replace(problem, degree=np.minimum(np.round(np.asarray(changes["d"], float)), n))
    if "kappa" in changes:
        norm = None if problem.solution_norm is None else np.minimum(problem.solution_norm, kappa)
        structure = problem.structure.of_size(1.0, kappa / problem.condition_number)
        problem = dataclasses.replace(problem, condition_number=kappa, solution_norm=norm, structure=structure)
    return problem


def _quantum(question: Question, problem: Problem, changes: Mapping[str, Any]) -> Any:
    """Seconds of the fastest solver on the machine by a proven count; by any where none of those holds."""
    clock = _clock(question, changes)
    axes = max((np.ndim(value) for value in changes.values()), default=0)
    precision = changes.get("readout_precision")
    proven: Any = np.inf
    counted: Any = np.inf
    for one in charged(problem, [("", clock)], [question.assumed], axes=axes, readout_precision=precision):
        models = [
            (place, model.evidence)
            for place, model in enumerate(one.group.models)
            if takes(model, problem) and is_count(model.evidence) and counts_for(one.assumed, model)
        ]
        for place, evidence in models:
            counted = np.minimum(counted, one.charge.seconds[place])
            if evidence in PROVEN:
                proven = np.minimum(proven, one.charge.seconds[place])
    return np.where(np.isfinite(proven), proven, counted)


def _classical(question: Question, problem: Problem) -> Any:
    """Seconds of the fastest solver."""
    best: Any = np.inf
    for one in predicted(problem, question.hosts):
        if not one.rival.counts:
            continue
        best = np.minimum(best, np.where(one.found.valid, one.found.seconds, np.inf))
    return best


def single(question: Question, variable: Variable) -> Single:
    """Vary one number over its range, with all others fixed; of a question of single numbers."""
    (found,) = singles(question, variable)
    return found


def singles(question: Question, variable: Variable) -> list[Single]:
    """Vary one number over its range at each point, with all others fixed."""
    shape = question.problem.shape
    present = present_of(question, variable)
    now = np.broadcast_to(np.nan if present is None else np.asarray(present, float), shape)
    low, high = (np.broadcast_to(np.asarray(end, float), shape) for end in (variable.low, variable.high))
    x = np.geomspace(low, high, _COARSE)
    found = orders(question, {variable.name: x})
    known = np.isfinite(found)
    value = _nearest_crossings(question, variable.name, x, found, np.where(np.isnan(now), np.sqrt(low * high), now))
    least, most = np.where(known, found, np.inf).min(axis=0), np.where(known, found, -np.inf).max(axis=0)
    at_points = (np.ravel(values).tolist() for values in (low, high, now, value, least, most))
    return [_single(question, variable, *numbers) for numbers in zip(*at_points, strict=True)]


def _single(
    question: Question, variable: Variable, low: float, high: float, now: float, value: float, least: float, most: float
) -> Single:
    variable = dataclasses.replace(variable, low=low, high=high)
    present = None if math.isnan(now) else now
    if least > most:
        sentence = f"no {variable.label} from {low:g} to {high:g} gives either side a number"
        return Single(variable, present, None, math.nan, math.nan, sentence)
    if least == most:
        sentence = f"no value of {variable.label} does it: nothing depends on it under {question.assumed.name}"
        return Single(variable, present, None, least, most, sentence)
    equal = None if math.isnan(value) else value
    return Single(variable, present, equal, least, most, _sentence(variable, equal, least, most))


def pairs(question: Question) -> list[Pair]:
    """Return all pairs, except gate time and logical clock, since the first sets the second."""
    found = []
    for first, second in itertools.combinations(variables(question), 2):
        if {first.name, second.name} == {"gate_time_s", "logical_cycle_s"}:
            continue
        x, y = (np.geomspace(v.low, v.high, PAIR_POINTS) for v in (first, second))
        both = orders(question, {first.name: x[None, :], second.name: y[:, None]})
        found.append(Pair(first, second, x, y, np.asarray(both)))
    return found


def _nearest_crossings(question: Question, name: str, x: np.ndarray, found: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Return the value nearest to one at which the sign of what was found changes, `[...]`; NaN where it never does.

    Args:
        question: everything else.
        name: of the variable.
        x: its values `[values, ...]`.
        found: `orders` there.
        near: what is to be near, `[...]`.
    """
    there = np.asarray(True)
    for _ in range(_ROUNDS):
        product = np.sign(found[:-1]) * np.sign(found[1:])
        # Where nothing changes nothing crosses, even at a draw.
        crosses = np.isfinite(product) & (product <= 0) & (found[:-1] != found[1:])
        there = there & crosses.any(axis=0)
        distance = np.where(crosses, np.abs(np.log(np.sqrt(x[:-1] * x[1:]) / near)), np.inf)
        index = np.argmin(distance, axis=0)[None]
        low, high = (np.take_along_axis(x, one, axis=0)[0] for one in (index, index + 1))
        x = np.geomspace(low, high, _FINE)
        found = orders(question, {name: x})
    best = np.argmin(np.where(np.isnan(found), np.inf, np.abs(found)), axis=0)[None]
    return np.where(there, np.take_along_axis(x, best, axis=0)[0], np.nan)


def _sentence(variable: Variable, value: float | None, least: float, most: float) -> str:
    unit = f" {variable.unit}" if variable.unit else ""
    if value is not None:
        return f"{variable.label} {value:.3g}{unit}"
    if least > 0:
        left = f"quantum still loses by {least:.1f} orders of magnitude at best"
        if variable.unit == "s":
            return f"no {variable.label} helps: {left}, down to {variable.low:g} s"
    else:
        left = f"quantum still wins by {-most:.1f} orders of magnitude at worst"
    return f"no value of {variable.label} does it: {left}, from {variable.low:g} to {variable.high:g}{unit}"
