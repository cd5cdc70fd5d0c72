"""Charges of a quantum solve: sets of assumptions whose every term is a switch.

paper          queries at subnormalisation 1, each for one gate time (Q-Newton, arXiv 2405.00252)
paper-best     the same by whichever published count takes the fewest queries
paper-sparse   the abstract's O(d kappa log(N kappa / epsilon)): d multiplies kappa, N divides epsilon
logical        the block encoding with its subnormalisation and gates, the right-hand side with its gates
end_to_end     error correction, read-out with its length, and the load of the matrix in each step, too
"""

import abc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import numpy as np

from .._core.arrays import floating, quiet
from .._core.conditions import Condition, met
from .._core.gates import GateCost
from .._core.records import Encoding, QuantumWorkload
from .._hardware import AbstractLayout, QuantumMachine, Sequential
from .._solvers.quantum.encoding import (
    FABLE,
    AbstractEncoding,
    AbstractPreparation,
    Frobenius,
    FrobeniusShallow,
    LookupPreparation,
    Numbers,
    SparseAccess,
)
from .._solvers.quantum.readout import (
    AbstractNorm,
    AbstractReadout,
    FreeReadout,
    InteriorPoint,
    ReadoutCost,
    Refined,
    SuccessAmplitude,
)
from .charge import Charge
from .circuit import circuit_of, stacked_encodings
from .clock import Clock
from .readout import WithLength
from .solver import CountedSolver

ENTRIES_PER_S = 0.65 * 204.8e9 / 8
"""Matrix entries of 8 bytes that a server processor's memory delivers in a second (`amd-epyc-7702` in
hardware/profiles/methodology.md). Writing them into a quantum memory is no faster; nobody claims this rate."""


class AbstractAssumptions(eqx.Module):
    """Conversion of a quantum solver's query count to seconds."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The key under which records hold this set's numbers."""

    @abc.abstractmethod
    def charge(
        self,
        solver: CountedSolver,
        numbers: Numbers,
        precision: Any,
        clock: Clock,
        *,
        readout_precision: Any = None,
    ) -> Charge:
        """Return the charge of one solve.

        Args:
            solver: the count.
            numbers: of the matrix; scalars or arrays that broadcast, of numpy or JAX.
            precision: 2-norm error of the whole step, relative, in (0, 1).
            clock: the machine.
            readout_precision: the read-out's part of it, in place of what this set leaves it; the solver's stays.
        """

    def check(self, machine: QuantumMachine) -> None:
        """Refuse a machine that this set cannot charge.

        Raises:
            ValueError: with what is missing.
        """


class Assumptions(AbstractAssumptions):
    """An assumption set in which every term is a switch. `paper()`, `logical()` and `end_to_end()` are settings of it.

    The error of the step is shared out: `solver_share` of it to the solver's state, the rest to the read-out, or all to
    the solver where the read-out is free. Of the solver's, `gate_share` goes to the synthesis of gates where they are
    charged, evenly over queries and preparations, whose errors add up. A formula that does not hold at the precision of
    the whole step is invalid in every set. The failure probability is halved between read-out and error correction; the
    latter's half is shared out evenly over the runs.

    How long that takes on a machine: `Clock.run`.

    Attributes:
        label: the set's name.
        subnormalisation: charge that of the encoding; else 1.
        encoding_gates: charge the gates of each query; else one layer.
        preparation_gates: charge the gates of each preparation of the right-hand side; else nothing.
        repetitions: charge the runs that fail.
        error_correction: the layout of an error-corrected machine; None: the physical gates are taken for perfect.
        readout: how the vector is read out, refined where that is cheaper; None: for free, from one copy.
        norm: how the length is found: one more query on a copy succeeds with amplitude `1 / (alpha ||x||)`
            (`||A|| = ||b|| = 1`; ours), which `||x||` at its largest, kappa, makes smallest. None: for free.
        loading: charge a load of the matrix, at `entries_per_s`, and the classical products of refinement.
        sparsity: the abstract's complexity: d in place of the encoding's subnormalisation, epsilon divided by N.
        counts: names of the query models by which a plan answers under this set; None: by all of them.
        below: the set that charges other query models where kappa is too small for the theorems of `counts`, so that
            this set is never dearer than that one; None: they do not answer.
        encodings: of which the one that takes the fewest seconds is taken.
        preparation: of the right-hand side.
        solver_share, gate_share, norm_share: of the errors; the last one of the read-out's to the length.
        failure_probability: of the whole solve.
        entries_per_s: of a load.
    """

    label: str = eqx.field(static=True)
    subnormalisation: bool = eqx.field(static=True, default=True)
    encoding_gates: bool = eqx.field(static=True, default=True)
    preparation_gates: bool = eqx.field(static=True, default=True)
    repetitions: bool = eqx.field(static=True, default=True)
    error_correction: AbstractLayout | None = Sequential()
    readout: AbstractReadout | None = InteriorPoint()
    norm: AbstractNorm | None = SuccessAmplitude()
    loading: bool = eqx.field(static=True, default=True)
    sparsity: bool = eqx.field(static=True, default=False)
    counts: tuple[str, ...] | None = eqx.field(static=True, default=None)
    below: "Assumptions | None" = None
    encodings: tuple[AbstractEncoding, ...] = (SparseAccess(), Frobenius(), FrobeniusShallow(), FABLE())
    preparation: AbstractPreparation = LookupPreparation()
    solver_share: float = eqx.field(static=True, default=0.1)
    gate_share: float = eqx.field(static=True, default=0.5)
    norm_share: float = eqx.field(static=True, default=0.1)
    failure_probability: float = eqx.field(static=True, default=0.01)
    entries_per_s: float = eqx.field(static=True, default=ENTRIES_PER_S)

    def __check_init__(self):
        for field in ("solver_share", "gate_share", "norm_share", "failure_probability"):
            if not 0 < getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}: it is a part of a whole and must lie in (0, 1)")
        if not 0 < self.entries_per_s < float("inf"):
            raise ValueError(f"entries_per_s is {self.entries_per_s}: it must be a positive number per second")
        if not self.encodings:
            raise ValueError("encodings is empty: name at least one block encoding, e.g. (SparseAccess(),)")

    @property
    def name(self) -> str:
        return self.label

    def check(self, machine: QuantumMachine) -> None:
        if self.error_correction is not None and machine.profile is None:
            raise ValueError(
                f"the assumption set {self.name} corrects errors, and the machine says nothing of them: use "
                "load_profile('superconducting').machine, or QuantumMachine(gate_time_s, profile)"
            )

    def charge(
        self,
        solver: CountedSolver,
        numbers: Numbers,
        precision: Any,
        clock: Clock,
        *,
        readout_precision: Any = None,
    ) -> Charge:
        return self.charges(solver, numbers, precision, [clock], readout_precision=readout_precision)[0]

    @quiet
    def charges(
        self,
        solver: CountedSolver,
        numbers: Numbers,
        precision: Any,
        clocks: Sequence[Clock],
        *,
        readout_precision: Any = None,
    ) -> list[Charge]:
        """Return the charge of one solve on each machine; other arguments as in `charge`.

        The requirements on a machine are the same for all of them and counted once.
        """
        encodings = self.encodings_for(solver)
        given = precision if readout_precision is None else readout_precision
        xp, n, precision, given, _ = floating(numbers.n, precision, given, numbers.log_condition_number)
        encoding = self._encode(xp, encodings, numbers)
        share, gate_share = self._shares
        asked = share * (precision / n if self.sparsity else precision)
        workload = solver.count(encoding, asked * (1 - gate_share))
        conditions = workload.conditions
        if self.sparsity or share * (1 - gate_share) < 1:
            conditions += solver.count(encoding, precision).conditions
        tries = 1.0 if self.repetitions else workload.success_probability
        queries = workload.queries * tries + (0.0 if self.norm is None else 1.0)
        circuit, query_layers = circuit_of(
            xp,
            encodings,
            self.preparation,
            numbers,
            queries=queries,
            preparations=workload.state_preparations * tries,
            error=asked * gate_share,
            encoding_gates=self.encoding_gates,
            preparation_gates=self.preparation_gates,
        )
        reading = self._read(solver, encoding, n, (1 - share) * precision if readout_precision is None else given)
        fixed_seconds = self._loaded(xp, encodings, numbers, reading) / self.entries_per_s
        workload = replace(workload, queries=queries, conditions=conditions)
        return [self._on(clock, workload, circuit, query_layers, reading, fixed_seconds) for clock in clocks]

    def _on(
        self,
        clock: Clock,
        workload: QuantumWorkload,
        circuit: GateCost,
        query_layers: Any,
        reading: ReadoutCost,
        fixed_seconds: Any,
    ) -> Charge:
        """Return the charge on one clock. Arrays have an axis for the encodings before all others.

        Args:
            clock: the machine's.
            workload: the count, its queries as far as they are charged.
            circuit: the gates of one run.
            query_layers: the part of its layers of T gates that queries take.
            reading: how many runs there are.
            fixed_seconds: of what no quantum clock scales.
        """
        xp, gate_time_s, runs, layers = floating(clock.gate_time_s, reading.applications, circuit.t_depth)
        failure = self.failure_probability / 2 / xp.maximum(runs, 1.0)
        run_s, qubits, corrected, stretched = clock.run(circuit, self.error_correction, failure)
        seconds = runs * run_s + fixed_seconds
        # Where there is no count, what follows from it fails as well and is not the reason.
        counted = met(workload.conditions)
        finite = Condition(xp.isfinite(seconds), "seconds inside the floating-point range")
        followed = [*circuit.conditions, *reading.conditions, *corrected, finite]
        demands = [*workload.conditions, *(Condition(one.holds | ~counted, one.words) for one in followed)]
        numbers = {
            "seconds": seconds,
            "fixed_seconds": fixed_seconds,
            "queries": workload.queries,
            "repetitions": workload.repetitions if self.repetitions else xp.ones_like(workload.queries),
            "copies": runs,
            "rounds": reading.rounds,
            "t_count": runs * circuit.t_count,
            "t_depth": runs * layers,
            "qubits": qubits,
            "logical_qubits": circuit.qubits,
        }
        factors = {
            "queries": workload.queries,
            "encoding": query_layers / workload.queries,
            "right-hand side": layers / query_layers,
            "error correction": run_s / (layers * gate_time_s),
            "read-out": runs,
            "loading": seconds / (runs * run_s),
        }
        return Charge.cheapest(xp, demands, numbers, workload, factors, stretched)

    @property
    def _shares(self) -> tuple[float, float]:
        """Solver's share of the step's error, and the gates' share of the solver's."""
        free = self.readout is None and self.norm is None
        gated = self.encoding_gates or self.preparation_gates
        return 1.0 if free else self.solver_share, self.gate_share if gated else 0.0

    def encodings_for(self, solver: CountedSolver) -> tuple[AbstractEncoding, ...]:
        """The encodings that `Charge.encoding` counts."""
        if solver.factor is not None:
            return (solver.factor,)
        if solver.sparse_access:
            # Its queries are to the oracles of a row's positions and values; a call of the encoding holds both.
            return tuple(one for one in self.encodings if isinstance(one, SparseAccess)) or (SparseAccess(),)
        return self.encodings

    def _encode(self, xp: Any, encodings: tuple[AbstractEncoding, ...], numbers: Numbers) -> Encoding:
        encoding = stacked_encodings(xp, encodings, numbers)
        if self.subnormalisation:
            return encoding
        bare = _without_alpha(xp, encoding)
        if not self.sparsity:
            return bare
        _, degree, _ = floating(numbers.degree, bare.subnormalisation)
        return eqx.tree_at(lambda e: e.subnormalisation, bare, degree * bare.subnormalisation)

    def _read(self, solver: CountedSolver, encoding: Encoding, n: Any, precision: Any) -> ReadoutCost:
        failure = self.failure_probability / 2
        if self.readout is None and self.norm is None:
            # Nothing is read out, whatever is asked for.
            return FreeReadout().copies(n, 0.5, failure)
        readout = FreeReadout() if self.readout is None else self.readout
        if self.norm is not None:
            norm = encoding.condition_number if solver.solution_norm is None else solver.solution_norm
            amplitude = 1 / (encoding.subnormalisation * norm)
            readout = WithLength(readout, self.norm, amplitude, self.norm_share)
            n = n + 0 * amplitude
        return Refined(readout).copies(n, precision, failure)

    def _loaded(self, xp: Any, encodings: tuple[AbstractEncoding, ...], numbers: Numbers, reading: ReadoutCost) -> Any:
        """Return the matrix entries that are moved: into quantum memory once, through classical memory per product."""
        if not self.loading:
            return 0.0 * reading.applications
        _, n, degree = floating(numbers.n, numbers.degree)
        loads = [encoding.entries(numbers) for encoding in encodings]
        shape = np.broadcast_shapes(*(np.shape(load) for load in loads))
        loads = xp.stack([xp.broadcast_to(xp.asarray(load), shape) for load in loads])
        return loads + reading.products * n * degree


def _without_alpha(xp: Any, encoding: Encoding) -> Encoding:
    ones = xp.ones_like(encoding.subnormalisation)
    return eqx.tree_at(lambda e: e.subnormalisation, encoding, ones)


def paper() -> Assumptions:
    """Q-Newton's model (arXiv 2405.00252): queries at subnormalisation 1 times a gate time, and nothing else.

    A plan answers by the count that the paper uses, Theorem 1 of arXiv 2305.11352v1; `paper_best` takes any. The
    theorem is for kappa >= sqrt(12) and charges smaller ones as that; there any other count answers as well, as
    `logical` charges it, so that `paper` claims no more than what is proven with gates.

    A lower bound on what any machine would need by many orders of magnitude; read-out alone repeats the whole solve.
    """
    return Assumptions(
        "paper",
        subnormalisation=False,
        encoding_gates=False,
        preparation_gates=False,
        error_correction=None,
        readout=None,
        norm=None,
        loading=False,
        counts=("jennings2023v1",),
        below=logical(),
    )


def paper_best() -> Assumptions:
    """The paper's model with whichever published count takes the fewest queries, and not only the one that it uses."""
    return replace(paper(), label="paper-best", counts=None, below=None)


def paper_sparse() -> Assumptions:
    """Return the complexity in Q-Newton's abstract, with each solver's constants.

    It is `O(d kappa log(N kappa / epsilon))`.
    """
    return replace(paper(), label="paper-sparse", sparsity=True, counts=None, below=None)


def logical() -> Assumptions:
    """Return the model with all gates of block encoding and right-hand side.

    Gates are perfect; loading and read-out are free.
    """
    return Assumptions("logical", error_correction=None, readout=None, norm=None, loading=False)


def end_to_end() -> Assumptions:
    """Return the model with all costs: gates, error correction, read-out of direction and length, matrix loading."""
    return Assumptions("end_to_end")


ASSUMPTION_SETS: dict[str, Assumptions] = {
    made.name: made for made in (paper(), paper_best(), paper_sparse(), logical(), end_to_end())
}
"""Ours, by name, from the fewest costs to the most."""
