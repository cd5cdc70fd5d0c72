"""What systems would cost, quantum and classical: `plan` and what it returns."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike

from .._core.arrays import quiet
from .._core.suggest import unknown
from .._solvers.quantum.encoding import Diagonals, DyadicLevels, SquareRoot
from .assumptions import ASSUMPTION_SETS, Assumptions
from .bounds import Least, least_charges
from .clock import Clock
from .frame import Columns, Framed
from .machines import Hardware, machines_of
from .measured import MEASURED, at_points
from .more_rows import more_rows, shared_columns
from .problem import Problem, refuse
from .structure import UNKNOWN, Structure, grid
from .table import NUMBERS, Line, Row, lines, picked
from .verdict import leaders, winner_of

_FIELDS = {"kappa": "condition_number", "epsilon": "precision", "sparsity": "degree"}
"""Names of a command line, by the fields of `Problem`."""
_STRUCTURE = ("structure", "bandwidth", "dimension", "preconditioned_kappa", "layer")
_KEPT = ("definite", "factor", "levels", "diagonals", "estimated", *_STRUCTURE)


class SystemNumbers(TypedDict, total=False):
    """Numbers of a system that may be left out; what is left out is at its worst, and `assumed` says so.

    Attributes:
        epsilon: relative 2-norm error of the solution, in (0, 1); 1e-3.
        sparsity: d, nonzeros in a row at most; n.
        max_entry: largest absolute entry.
        frobenius_norm: Frobenius norm.
        spectral_norm: spectral norm; only its ratio to the two above matters.
        solution_norm: `||x||` for `||A|| = ||b|| = 1`, from 1 to kappa.
        definite: whether the matrix is positive definite; True. Not an array.
        factor: square root of the matrix, where it is known: adds the solvers that take one. Not an array.
        levels: measured magnitudes of the entries. Not an array.
        diagonals: measured magnitudes of the diagonals, where there are few. Not an array.
        bandwidth: largest distance of an entry from the diagonal: adds the solvers of banded matrices. Not an array.
        dimension: 2 or 3, of a mesh that the pattern is that of: adds a sparse factorisation by bounds on its fill. Not
            an array.
        preconditioned_kappa: condition number with a preconditioner that costs as much as a diagonal: adds CG with it.
            Not an array.
        layer: rows of the two Kronecker factors of a Newton block: adds K-FAC. Not an array.
        structure: all of these as a file tells them. Not an array.
        estimated: whether the numbers are estimates, which need not fit each other to the last digit; False: numbers
            that no matrix has are refused.
    """

    epsilon: ArrayLike
    sparsity: ArrayLike | None
    max_entry: ArrayLike | None
    frobenius_norm: ArrayLike | None
    spectral_norm: ArrayLike | None
    solution_norm: ArrayLike | None
    definite: bool
    factor: SquareRoot | None
    levels: DyadicLevels | None
    diagonals: Diagonals | None
    bandwidth: float | None
    dimension: int | None
    preconditioned_kappa: float | None
    layer: tuple[float, float] | None
    structure: Structure
    estimated: bool


@dataclasses.dataclass(frozen=True)
class PlanResult(Framed):
    """What `plan` found: a line for every solver on every machine under every set, at each point.

    Attributes:
        points: the numbers asked about, `[points]`; several are in the order of `numpy.ravel`.
        shape: of the arrays that were given, broadcast; `()` for numbers.
        lines: the table, one entry for each of its lines.
        assumed: sentences: what was not given.
        share: what `shared` calls.
        more: of a single point, what no quantum solver undercuts and systems that are shared out.
        least_seconds: by set, what no quantum solver undercuts on any of the machines, whatever the block encoding,
            `[points]`; NaN where that is not known.
    """

    points: Columns
    shape: tuple[int, ...]
    lines: list[Line]
    assumed: tuple[str, ...]
    share: Callable[[], Columns]
    more: tuple[Row, ...] = ()
    least_seconds: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @cached_property
    def shared(self) -> Columns:
        """Systems shared out among both, `[points x sets x machines x ways]`, priced when this is first asked for.

        A quantum solver starts conjugate gradients, or takes the small eigenvalues (`evidence` is `derived` and
        `assumption`): its `solver`, the `part_kappa` of its part, the `part_precision` that it leaves, then `steps` of
        CG, and `seconds` of both; infinite where there is no such way.
        """
        return self.share()

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """The table by its columns, `[points x lines]`: the point, then the fields of a line, e.g. `seconds`."""
        found = self.points.repeated(len(self.lines))
        for name in self.lines[0].same:
            found[name] = np.tile(np.asarray([line.same[name] for line in self.lines], object), len(self.points))
        for name in (*NUMBERS, *MEASURED, "encoding", "dominant", "valid", "reason"):
            found[name] = np.ravel(np.stack([line.columns[name] for line in self.lines], axis=1))
        found["notes"] = np.asarray(
            ["; ".join(line.columns["notes"][point]) for point in range(len(self.points)) for line in self.lines],
            object,
        )
        return found

    @cached_property
    def verdicts(self) -> Columns:
        """Verdicts, `[points x sets]`.

        `orders` is `log10` of quantum over classical seconds, positive where quantum loses, by the fastest proven count
        and by any if none holds; `other` is a faster count that is not proven. `least_orders` is that of the lower
        bound by any block encoding: where it is positive, no algorithm helps. `columns["orders"].reshape(shape)` for
        one set.
        """
        sets = list(dict.fromkeys(line.same["assumptions"] for line in self.lines if line.quantum))
        made = [self._verdicts_of(name) for name in sets]
        found = self.points.repeated(len(sets))
        for column in made[0]:
            found[column] = np.ravel(np.stack([one[column] for one in made], axis=1))
        return Columns(found)

    def _verdicts_of(self, assumptions: str) -> dict[str, np.ndarray]:
        own = [line for line in self.lines if not line.quantum or line.same["assumptions"] == assumptions]
        seconds = np.stack([line.seconds for line in own], axis=-1)
        lead = leaders(seconds, [line.same["kind"] for line in own], [line.same["evidence"] for line in own])
        found = {
            "assumptions": np.full(len(seconds), assumptions, object),
            "winner": np.asarray([winner_of(orders) for orders in lead.orders], object),
            "orders": lead.orders,
        }
        for kind, place in (("quantum", lead.quantum), ("classical", lead.classical), ("other", lead.other)):
            for field in ("solver", "evidence", "hardware"):
                names = np.asarray([line.same[field] for line in own], object)
                found[f"{kind}_{field}"] = picked(names, place, place >= 0)
            taken = np.take_along_axis(seconds, place[:, None], axis=-1)[:, 0]
            found[f"{kind}_seconds"] = np.where(place < 0, np.nan, taken)
        found["other_orders"] = lead.other_orders
        known = self.least_seconds.get(assumptions, np.full(len(seconds), np.nan))
        found["least_orders"] = np.log10(known) - np.log10(found["classical_seconds"])
        return found

    def rows(self, point: int = 0) -> list[Row]:
        """The table of one point."""
        return [*(line.row(point) for line in self.lines), *self.more]


@quiet
def plan(
    n: ArrayLike,
    kappa: ArrayLike,
    *,
    hardware: Sequence[Hardware] = (),
    assumptions: str | Assumptions | Sequence[str | Assumptions] = tuple(ASSUMPTION_SETS),
    gate_time_s: ArrayLike | None = None,
    **numbers: Unpack[SystemNumbers],
) -> PlanResult:
    """Predict what systems would cost: every quantum solver, machine and assumption set, against the classical ones.

    Nothing is solved and nothing is measured; `qnewton plan` prints the same numbers. Numbers and arrays broadcast.
    Where arrays hold a point that no matrix can be at, no solver is valid there.

    Args:
        n: rows, up to 1e12.
        kappa: condition number, at least 1.
        hardware: names of profiles, paths of `.toml` files, profiles, `this machine` (its calibration), or pairs of a
            name and a `QuantumMachine`; none at all stands for ours, of quantum ones those of the model `beverland`.
        assumptions: names of sets, or sets.
        gate_time_s: seconds of a physical gate, in place of each quantum machine's own.
        numbers: the others of the system, see `SystemNumbers`: `epsilon`, `sparsity`, `max_entry` and so on.

    Raises:
        TypeError: for a name that is none of these.
        ValueError: for a number outside its range, numbers that no matrix has, or an unknown machine or set.
    """
    points, problem, shape = points_of({"n": n, "kappa": kappa, "gate_time_s": gate_time_s, **numbers})
    machines, hosts = machines_of(hardware)
    sets = sets_of(assumptions)
    for assumed in sets:
        for _, machine in machines:
            assumed.check(machine)
    clocks = [(name, Clock.of(machine)) for name, machine in machines]
    if gate_time_s is not None:
        times = points["gate_time_s"].reshape(shape and (-1,))
        clocks = [(name, dataclasses.replace(clock, gate_time_s=times)) for name, clock in clocks]
    found = lines(problem, clocks, sets, hosts, ~problem.possible if shape else False)
    least = list(least_charges(problem, clocks, sets, axes=1 if shape else 0))
    more = () if shape else more_rows(problem, clocks, sets, hosts, least)
    share = partial(shared_columns, points, problem, clocks, sets, hosts)
    return PlanResult(points, shape, found, problem.assumed, share, tuple(more), _least_seconds(least, len(points)))


def _least_seconds(least: Sequence[Least], points: int) -> dict[str, np.ndarray]:
    """The fastest machine's, by set; NaN where one of the machines has none."""
    found: dict[str, np.ndarray] = {}
    for one in least:
        if one.any_encoding:
            here = at_points(np.where(one.charge.valid, one.charge.seconds, np.nan)[0], (points,))
            found[one.assumed.name] = np.minimum(found.get(one.assumed.name, here), here)
    return found


def sets_of(assumptions: str | Assumptions | Sequence[str | Assumptions]) -> list[Assumptions]:
    """The sets, by name or as they are.

    Raises:
        ValueError: for an unknown name, or none at all.
    """
    named = [assumptions] if isinstance(assumptions, (str, Assumptions)) else list(assumptions)
    if not named:
        raise ValueError("assumptions is empty: name at least one set, e.g. paper")
    for one in named:
        if isinstance(one, str) and one not in ASSUMPTION_SETS:
            raise ValueError(unknown("assumption set", one, ASSUMPTION_SETS))
    return [ASSUMPTION_SETS[one] if isinstance(one, str) else one for one in named]


def points_of(given: Mapping[str, Any]) -> tuple[Columns, Problem, tuple[int, ...]]:
    """The points that numbers and arrays broadcast to, as columns and as a problem `[points]` or of numbers.

    Args:
        given: `n`, `kappa`, `gate_time_s` and `SystemNumbers`; None: not given.

    Raises:
        TypeError, ValueError: as `plan`.
    """
    known = {"n", "kappa", "gate_time_s", *SystemNumbers.__annotations__}
    for name in given:
        if name not in known:
            raise TypeError(unknown("number of a system", name, known))
    swept = {"n": None, "kappa": None, "epsilon": 1e-3, **given}
    kept = {name: swept.pop(name) for name in _KEPT if name in swept}
    estimated = kept.pop("estimated", False)
    arrays = {name: np.asarray(value, float) for name, value in swept.items() if value is not None}
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items() if array.shape)
        raise ValueError(f"the shapes do not broadcast: {shapes}. Give numbers, or arrays of one shape") from None
    flat = {name: np.broadcast_to(array, shape).ravel() if shape else array for name, array in arrays.items()}
    for name, counted in (("n", "rows"), ("sparsity", "entries")):
        if name in flat:
            refuse(flat[name] == np.round(flat[name]), name, flat[name], f"it counts {counted}")
    if "gate_time_s" in flat:
        times = flat["gate_time_s"]
        refuse((times > 0) & np.isfinite(times), "gate_time_s", times, "it must be a positive number of seconds")
    fields = {_FIELDS.get(name, name): value for name, value in flat.items() if name != "gate_time_s"}
    structure = _structure({name: kept.pop(name, None) for name in _STRUCTURE}, flat["n"], kept.get("factor"))
    problem = Problem(**fields, **kept, structure=structure)
    for n, degree in zip(*(np.ravel(array) for array in (problem.n, problem.numbers.degree)), strict=True):
        structure.check(n, None if problem.degree is None else degree)
    if not shape and not estimated:
        problem.check_possible()
    columns = {name: np.atleast_1d(value) for name, value in flat.items()}
    columns.setdefault("sparsity", np.broadcast_to(problem.numbers.degree, columns["n"].shape))
    return Columns(columns), problem, shape


def _structure(given: dict[str, Any], n: np.ndarray, factor: SquareRoot | None) -> Structure:
    """What a file says of the structure, and on top of it what was given."""
    found: Structure = given.pop("structure") or UNKNOWN
    dimension = given.pop("dimension")
    if dimension is not None and found.fill is None:
        mesh = grid(n, dimension)
        names = ("fill", "factor_flops", "filled_by", "dimension")
        found = dataclasses.replace(found, **{name: getattr(mesh, name) for name in names})
    if given["preconditioned_kappa"] is not None:
        given["preconditioner"] = "as given"
    if factor is not None:
        given["root_rows"] = factor.rows
    return dataclasses.replace(found, **{name: value for name, value in given.items() if value is not None})
