"""What is compiled: every formula of the library's registries, as a function of single numbers."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import jax.numpy as jnp

from ..._core.conditions import Condition
from ..._core.gates import GateCost
from ..._core.records import Encoding, QuantumWorkload
from ..._hardware import AbstractLayout, QuantumProfile
from ..._pricing.assumptions import Assumptions
from ..._pricing.bounds import least_charges
from ..._pricing.charge import Charge
from ..._pricing.classical import RIVALS, ClassicalHost, Rival, predict
from ..._pricing.clock import Clock
from ..._pricing.problem import MatrixNumbers, Problem
from ..._pricing.solver import CountedSolver
from ..._pricing.split import Part
from ..._pricing.structure import DIMENSIONS, Structure, grid
from ..._solvers.quantum.encoding import AbstractEncoding, SquareRoot
from ..._solvers.quantum.queries import QueryBound, QueryModel
from ..._solvers.quantum.readout import AbstractReadout, Refined
from .compiler import Compiled, compiled
from .opaque import call

OF_COUNT, OF_MACHINE = "@count", "@machine"
"""In place of a condition's words: those of the function that is handed in."""
NORMS = ("max_entry", "frobenius_norm", "spectral_norm")
MISSING = ("degree", "bandwidth", *NORMS)
"""Numbers of a problem that may be missing; those of the norms and of the degree then are at their worst."""
SYSTEM = tuple(field.name for field in dataclasses.fields(MatrixNumbers) if field.name != "definite")
"""Numbers of a matrix that encodings read."""
_COUNT = {
    **dict.fromkeys(("queries", "state_preparations", "success_probability"), "float64"),
    **dict.fromkeys(("valid", "clamped", "extrapolated"), "bool"),
}


_RUN = {**dict.fromkeys(("seconds", "qubits", "broken"), "float64"), "stretched": "bool"}


@dataclasses.dataclass(frozen=True)
class Formula:
    """A compiled formula.

    Attributes:
        graph: what it computes; `broken` among its results has the bit 2^k where condition k is not met.
        words: of its conditions.
    """

    graph: Compiled
    words: tuple[str, ...]


def _formula(
    name: str,
    function: Callable[..., tuple[Mapping[str, Any], Sequence[Condition]]],
    *arguments: str,
    calls: Sequence[str] = (),
) -> Formula:
    words: list[str] = []

    def masked(*values: Any) -> dict[str, Any]:
        results, conditions = function(*values)
        words[:] = [one.words for one in conditions]
        return {**results, "broken": _bits(conditions)}

    return Formula(compiled(name, masked, arguments, calls), tuple(words))


def _bits(conditions: Sequence[Condition]) -> Any:
    missing = [jnp.where(one.holds, 0.0, 2.0**place).reshape(()) for place, one in enumerate(conditions)]
    return sum(missing, jnp.asarray(0.0, float))


def count_formula(model: QueryModel, *, known: bool = False, rectangular: bool = False) -> Formula:
    """A query count, of the numbers that `Encoding` has.

    Args:
        model: the record.
        known: whether the solution's norm is given.
        rectangular: whether a root of the matrix is encoded.
    """

    def count(kappa: Any, alpha: Any, least: Any, precision: Any, *norm: Any):
        found = model(Encoding(kappa, alpha, least, rectangular), precision, *norm)
        return {name: getattr(found, name) for name in _COUNT}, found.conditions

    arguments = ["condition_number", "subnormalisation", "smallest_solution_norm", "precision"]
    return _formula(f"count/{model.name}", count, *arguments, *["solution_norm"] * known)


def least_formula(bound: QueryBound) -> Formula:
    """A lower bound on queries, as a count of the same results."""

    def count(kappa: Any, alpha: Any, precision: Any, n: Any, degree: Any):
        found = bound(Encoding(kappa, alpha), precision, n, degree)
        return {name: getattr(found, name) for name in _COUNT}, found.conditions

    arguments = ["condition_number", "subnormalisation", "precision", "n", "degree"]
    return _formula(f"least/{bound.name}", count, *arguments)


def _opaque_count(*numbers: Any) -> QuantumWorkload:
    """What a count that is handed in finds."""
    found = call("count", numbers, {**_COUNT, "broken": "float64"})
    fields: Any = {name: found[name] for name in _COUNT if name != "valid"}
    return QuantumWorkload(**fields, conditions=(Condition(found["valid"], OF_COUNT),))


class _OpaqueClock(Clock):
    """The clock of a machine that is handed in."""

    def run(self, circuit: GateCost, layout: AbstractLayout | None, failure_probability: Any) -> Any:
        if layout is None:
            return super().run(circuit, None, failure_probability)
        given = circuit.t_count, circuit.t_depth, circuit.qubits, self.gate_time_s, failure_probability
        found = call("machine", given, _RUN)
        conditions = [Condition(found["broken"] == 0, OF_MACHINE)]
        return found["seconds"], found["qubits"], conditions, found["stretched"]


def charge_formula(
    assumed: Assumptions, encoding: AbstractEncoding, readout: AbstractReadout | None, *, known: bool
) -> Formula:
    """The charge of one solve by one encoding, of a count and a machine that are handed in.

    Args:
        assumed: the set.
        encoding: the one that is charged.
        readout: in place of the set's.
        known: whether the solution's norm is given.
    """
    one = dataclasses.replace(assumed, encodings=(encoding,), readout=readout)
    arguments = (*SYSTEM, "precision", "gate_time_s", *["solution_norm"] * known)
    return _charged(f"charge/{assumed.name}/{encoding.name}", one, arguments)


def root_formula(assumed: Assumptions, readout: AbstractReadout | None) -> Formula:
    """The charge of one solve by the square root of the matrix, see `charge_formula`."""
    one = dataclasses.replace(assumed, readout=readout)
    return _charged(f"root/{assumed.name}", one, (*SYSTEM, "precision", "gate_time_s", *ROOT))


def _charged(name: str, assumed: Assumptions, arguments: Sequence[str]) -> Formula:
    """The charge under a set; of a square root where the arguments have its numbers."""

    def charge(*values: Any):
        given = dict(zip(arguments, values, strict=True))
        norm = [given["solution_norm"]] if "solution_norm" in given else []

        def count(at: Encoding, precision: Any) -> QuantumWorkload:
            numbers = at.condition_number, at.subnormalisation, at.smallest_solution_norm, precision, *norm
            return _opaque_count(*numbers)

        factor = root_of(given) if ROOT[0] in given else None
        solver = CountedSolver(count, solution_norm=given.get("solution_norm"), factor=factor)
        definite = given["definite"] > 0 if "definite" in given else True
        numbers: Any = SimpleNamespace(**{name: given[name] for name in SYSTEM}, definite=definite)
        found = assumed.charge(solver, numbers, given["precision"], _OpaqueClock(given["gate_time_s"]))
        fields = {name: getattr(found, name) for name in CHARGED}
        return {**fields, **{f"factor {name}": value for name, value in found.factors.items()}}, found.conditions

    return _formula(name, charge, *arguments, calls=("count", "machine"))


ROOT = ("root_rows", "overlap", "row_entries", "definite")
"""Numbers of a square root of the matrix, and whether there is one."""


def root_of(given: Mapping[str, Any]) -> SquareRoot:
    """Return a root of traced numbers, which nothing can check."""
    made = object.__new__(SquareRoot)
    for name, number in {"rows": "root_rows", "overlap": "overlap", "row_entries": "row_entries"}.items():
        object.__setattr__(made, name, given[number])
    object.__setattr__(made, "trace", None)
    return made


CHARGED = tuple(
    field.name
    for field in dataclasses.fields(Charge)
    if field.name not in ("encoding", "factors", "conditions", "assumed")
)
"""Fields of a charge that are numbers."""


def machine_formula(profile: QuantumProfile, layout: AbstractLayout) -> Formula:
    """Seconds and physical qubits of one run on an error-corrected machine."""

    def machine(t_count: Any, t_depth: Any, qubits: Any, gate_time_s: Any, failure: Any):
        circuit = GateCost(t_count, t_depth, qubits, ())
        seconds, physical, conditions, stretched = Clock(gate_time_s, profile).run(circuit, layout, failure)
        return {"seconds": seconds, "qubits": physical, "stretched": stretched}, conditions

    arguments = "t_count", "t_depth", "qubits", "gate_time_s", "failure_probability"
    return _formula(f"machine/{profile.name}/{layout.name}", machine, *arguments)


def classical_formula(rival: Rival, host: ClassicalHost, known: str = "") -> Formula:
    """The prediction of a classical rival on a host.

    Args:
        rival: the solver.
        host: the machine.
        known: the part of `PATTERNS` that the rival needs; empty: none.
    """
    arguments = (*_PROBLEM, *([known] if known in _MEASURES else []))

    def classical(*values: Any):
        given = _problem(values, arguments, definite=rival.definite is not False, known=known)
        found = predict(rival, host, given)
        conditions = [Condition(jnp.asarray(holds), words) for holds, words in found.demands]
        fields = ("seconds", "rounds", "beyond_bytes")
        numbers = {name: jnp.asarray(getattr(found, name), float) for name in fields}
        # A map needs no more than these seconds.
        return {**numbers, "least": jnp.where(found.valid, numbers["seconds"], jnp.inf)}, conditions

    return _formula(f"classical/{host.name}/{rival.name}{known and f'/{known}'}", classical, *arguments)


def bound_formula(assumed: Assumptions, encoding: AbstractEncoding | None = None, *, root: bool = False) -> Formula:
    """Queries below which no quantum solver gets, and their seconds on a machine that is handed in.

    Args:
        assumed: the set.
        encoding: the one that is charged; None: whichever there may be.
        root: whether by a square root of the matrix, of which `encoding` is the one of the set.
    """
    arguments = (*_PROBLEM, "gate_time_s", *(ROOT if root else ()))
    one = assumed if encoding is None else dataclasses.replace(assumed, encodings=(encoding,))

    def count(at: Encoding, precision: Any, n: Any, degree: Any) -> QuantumWorkload:
        return _opaque_count(at.condition_number, at.subnormalisation, precision, n, degree)

    def bound(*values: Any):
        given: dict[str, Any] = dict(zip(arguments, values, strict=True))
        problem, clock = _problem(values[: len(_PROBLEM)]), _OpaqueClock(given["gate_time_s"])
        if root:
            object.__setattr__(problem, "factor", root_of(given))
        found = least_charges(problem, [("", clock)], [one], bound=cast(QueryBound, count))
        kind = encoding is None, root
        charge = next(least.charge for least in found if (least.any_encoding, least.solver.factor is not None) == kind)
        return {name: getattr(charge, name) for name in ("queries", "seconds")}, charge.conditions

    name = "any" if encoding is None else encoding.name
    return _formula(f"bound/{assumed.name}/{name}", bound, *arguments, calls=("count", "machine"))


def part_formula(name: str, way: Callable[..., Part]) -> Formula:
    """Return the formula of what either side of a shared system is left with, at a place between its ends."""

    def part(*values: Any):
        return way(*values)._asdict(), ()

    return _formula(f"part/{name}", part, "kappa", "epsilon", "place")


def rivals_of() -> list[tuple[Rival, str]]:
    """Return the rivals, each with the part of `PATTERNS` that it needs to know of a matrix; empty: nothing."""
    found = []
    for known in ("", *PATTERNS):
        arguments = (*_PROBLEM, *([known] if known in _MEASURES else []))
        values = [1.0] * len(arguments)
        kinds = [_problem(values, arguments, definite=definite, known=known) for definite in (True, False)]
        able = [one for one in RIVALS if any(one.takes(kind) for kind in kinds)]
        found += [(one, known) for one in able if (one, "") not in found]
    return found


_PROBLEM = ("n", "degree", "condition_number", "precision", *NORMS)
_MEASURES = ("bandwidth", "preconditioned_kappa", "layer", "root_rows")
PATTERNS = (*_MEASURES, *(f"mesh {dimension}" for dimension in DIMENSIONS))
"""What may be known of a matrix's pattern or origin: a number, or the dimension of a mesh."""


def _problem(
    values: Sequence[Any], arguments: Sequence[str] = _PROBLEM, *, definite: bool = True, known: str = ""
) -> Problem:
    """Return a problem of traced numbers, which nothing can check."""
    given = {**dict(zip(arguments, values, strict=True)), "definite": definite}
    if known.startswith("mesh"):
        given["structure"] = grid(given["n"], int(known.removeprefix("mesh ")))
    elif known == "layer":
        given["structure"] = Structure(layer=(given["layer"], given["n"] / given["layer"]))
    elif known:
        given["structure"] = Structure(**{known: given[known]})
    made = object.__new__(Problem)
    for field in dataclasses.fields(Problem):
        object.__setattr__(made, field.name, given.get(field.name, field.default))
    return made


def numbers_formula(given: Sequence[str]) -> Formula:
    """The numbers of a matrix, of those that are given, with the worst case for the others."""
    arguments = ["n", "condition_number", *given]

    def numbers(*values: Any):
        found = _problem(values, arguments, known="bandwidth" if "bandwidth" in given else "").numbers
        return {name: getattr(found, name) for name in SYSTEM}, ()

    return _formula("numbers", numbers, *arguments)


def possible_formula() -> Formula:
    """The inequalities that hold between the numbers of any matrix."""

    def possible(*values: Any):
        rules = _problem(values).inequalities
        return {}, [Condition(jnp.asarray(holds), option) for holds, option, *_ in rules]

    return _formula("possible", possible, *_PROBLEM)


def readouts_of(assumed: Assumptions) -> Iterator[AbstractReadout | None]:
    """The set's own read-out, then the others that need no further number, where it charges one."""
    from ..._solvers.quantum import readout

    yield assumed.readout
    if assumed.readout is None:
        return
    for name in dir(readout):
        found = getattr(readout, name)
        if isinstance(found, type) and issubclass(found, AbstractReadout) and type(assumed.readout) is not found:
            try:
                yield found()
            except TypeError:
                # Abstract, or it needs a number or another read-out.
                continue


def encoding_formula(encoding: AbstractEncoding) -> Formula:
    """One query's gates, and the encoded matrix's numbers."""

    def encoded(*values: Any):
        numbers = MatrixNumbers(**dict(zip(SYSTEM, values, strict=False)), definite=True)
        made, cost = encoding.encode(numbers), encoding.cost(numbers, values[-1])
        fields = {name: getattr(cost, name) for name in ("t_count", "t_depth", "qubits")}
        fields |= {name: getattr(made, name) for name in ("condition_number", "subnormalisation")}
        return {**fields, "entries": encoding.entries(numbers)}, cost.conditions

    return _formula(f"encoding/{encoding.name}", encoded, *SYSTEM, "precision")


def readout_formula(readout: AbstractReadout) -> Formula:
    """Runs of one read-out of a direction, refined where that is cheaper."""

    def read(n: Any, precision: Any, failure: Any):
        found = Refined(readout).copies(n, precision, failure)
        fields = ("copies", "controlled_applications", "rounds", "products")
        return {name: getattr(found, name) for name in fields}, found.conditions

    return _formula(f"readout/{readout.name}", read, "n", "precision", "failure_probability")
