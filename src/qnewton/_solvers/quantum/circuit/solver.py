"""A linear solver that runs the circuit of quantum singular value transformation on a device of PennyLane."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...._core.arrays import Number
from ...._core.extras import optional
from ...._core.kinds import check_scalars, plain
from ...._core.powers_of_two import normalised
from ...._core.records import Encoding, QuantumWorkload
from ...capabilities import Capabilities
from ...flat import check_square_and_real, flatten, unflatten
from ...verified import at_scale
from ..encoding import AbstractEncoding, Ideal
from ..executed import AbstractExecuted
from ..outcome import CannotBuildError, Outcome, result_of
from ..queries import sunderhauf2025
from .callback import call_on_host
from .dilation import data_qubits
from .inversion import CircuitInversion
from .levels import AbstractLevel, BlockUnitary
from .reading import Backend, Reading, qubits_of, read
from .sdk import check_state, device


class CircuitState(eqx.Module):
    """The formed matrix, and the structure of its vectors."""

    matrix: Float[Array, "n n"]
    structure: PyTree[jax.ShapeDtypeStruct] = eqx.field(static=True)


@dataclasses.dataclass(frozen=True, eq=False)
class CircuitResult:
    """Result of a solve, returned to JAX on the host; `CircuitQSVT` describes each part."""

    value: Float[np.ndarray, " n"]
    outcome: Outcome
    residual: float = float("nan")
    success_probability: float = 0.0
    runs: int = 0
    queries: int = 0
    num_steps: int = 0


class CircuitQSVT(AbstractExecuted):
    """The optimal inversion polynomial of a block encoding, as a circuit for a simulator or a device.

    For every solve: the matrix is measured, divided by the alpha that `encoding` says, and dilated to a unitary; phases
    are found; the right-hand side is prepared, the singular value transformation runs with the ancilla that leaves the
    real part, and both ancillas are post-selected. The solution's length follows from the success probability. It all
    happens on the host, in float64, from inside a jitted step (`jax.pure_callback`; mapped solves run one by one).

    Any real square matrix, definite or not, of any size up to the level's; it is formed, and padded to a power of two.
    Without shots the solution is `P(A / alpha) b / alpha`, within `precision` of the exact one, relatively and in the
    2-norm, where kappa is a bound. With shots an entry's error is about `scale ||b|| / (2 alpha sqrt(shots))`, where
    scale is about kappa.

    The `stats` of a solution: `outcome`, an `Outcome` with its remedy; `residual`, `||Ax - b|| / ||b||`;
    `success_probability` of one run, as found; `runs` of circuits and `queries` of the block encoding, counted in the
    circuits that ran; `num_steps`, queries of one run.

    Attributes:
        precision: 2-norm error of the normalised state, and of the solution relative to its length, in (0, 1).
        encoding: says alpha; the unitary with `A / alpha` in its corner is built as such, whatever it would cost.
        level: how far the circuit is taken apart.
        device: name of a PennyLane device. Without shots it must give its state, as simulators do.
        wires: that the device has; None: as many as needed.
        shots: runs of each of the two circuits (`reading.read`), failures included; None: the exact state.
        kappa: bound on `||A|| / sigma_min`; None: the matrix's own, which the dilation has to decompose anyway.
        norm: bound on `||A||`; None likewise.
        max_queries: longest circuit.
        seed: of the samples, which also depend on the right-hand side; for devices that take a seed.
    """

    precision: float = eqx.field(static=True, converter=plain, default=1e-2)
    encoding: AbstractEncoding = Ideal()
    level: AbstractLevel = BlockUnitary()
    device: str = eqx.field(static=True, default="default.qubit")
    wires: int | None = eqx.field(static=True, converter=plain, default=None)
    shots: int | None = eqx.field(static=True, converter=plain, default=None)
    kappa: float | None = eqx.field(static=True, converter=plain, default=None)
    norm: float | None = eqx.field(static=True, converter=plain, default=None)
    max_queries: int = eqx.field(static=True, converter=plain, default=2**14)
    seed: int = eqx.field(static=True, converter=plain, default=0)
    capabilities: ClassVar[Capabilities] = Capabilities(quantum=True)
    execution: ClassVar[str] = "circuit"

    def __check_init__(self):
        check_scalars(self)
        if self.encoding.rectangular:
            raise ValueError(
                f"the encoding {self.encoding.name} is of a rectangular factor, and the circuit is of the matrix "
                "itself: use EmulatedQSVT, or another encoding"
            )
        if self.shots is not None and not (isinstance(self.shots, int) and self.shots >= 1):
            raise ValueError(f"shots is {self.shots}: runs of a circuit, an integer of at least 1, or None")
        if self.wires is not None and self.wires < 1:
            raise ValueError(f"wires is {self.wires}: qubits of the device, at least 1, or None")

    @property
    def runs_as(self) -> str:
        return f"{self.level.name} circuit on {self.device}"

    def count(self, encoding: Encoding, precision: Number) -> QuantumWorkload:
        """Return the published count of one state. Read-out is charged by the assumption set."""
        return sunderhauf2025(encoding, precision)

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> CircuitState:
        """Form the matrix.

        Raises:
            ValueError: the operator is not square and real, or too large for the level; there is no such device, it has
                too few wires, or it gives no state where there are no shots.
            ModuleNotFoundError: PennyLane is not installed.
        """
        check_square_and_real(operator, type(self).__name__)
        n = operator.in_size()
        self.level.check(n)
        found = device(self.device, qubits_of(data_qubits(n), self.shots), self.wires)
        if self.shots is None:
            check_state(found, self.device)
        return CircuitState(operator.as_matrix(), operator.in_structure())

    def compute(
        self, state: CircuitState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        b, exponent = normalised(flatten(vector).astype(state.matrix.dtype))

        def host(*arguments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            answer = self.solve(*arguments)
            numbers = (answer.residual, answer.success_probability, answer.runs, answer.queries)
            return np.append(answer.value, numbers), np.array([answer.outcome, answer.num_steps])

        found, (outcome, steps) = call_on_host(host, b.size + 4, 2, state.matrix, b)
        residual, success, runs, queries = found[b.size :]
        stats = {
            "outcome": outcome,
            "residual": residual,
            "success_probability": success,
            "runs": runs,
            "queries": queries,
            "num_steps": steps,
        }
        value, result = at_scale(found[: b.size].astype(b.dtype), exponent, result_of(outcome))
        return unflatten(value, state.structure), result, stats

    def solve(self, matrix: Float[np.ndarray, "n n"], vector: Float[np.ndarray, " n"]) -> CircuitResult:
        """Solve once, on the host."""
        matrix, b = matrix.astype(np.float64), vector.astype(np.float64)
        nothing = np.full_like(b, np.nan)
        unit = float(np.max(np.abs(b)))
        if not np.isfinite(unit):
            return CircuitResult(nothing, Outcome.NOT_FINITE)
        if unit == 0:
            return CircuitResult(b, Outcome.SOLVED, residual=0.0)
        size = float(np.linalg.norm(b / unit))
        direction = b / unit / size
        try:
            inversion = CircuitInversion.of(
                matrix,
                encoding=self.encoding,
                precision=self.precision,
                kappa=self.kappa,
                norm=self.norm,
                max_queries=self.max_queries,
            )
            # Products of a dense unitary with two columns: threads would wait for each other.
            threads = optional("threadpoolctl", "circuits", "circuits need threadpoolctl")
            with threads.threadpool_limits(1, user_api="blas"):
                reading = read(self._machine, inversion, direction, self._seed(vector))
        except CannotBuildError as error:
            return CircuitResult(nothing, error.outcome)
        solution = reading.amplitudes * (inversion.scale / inversion.alpha)
        residual = float(np.linalg.norm(matrix @ solution - direction))
        return CircuitResult(
            value=solution * size * unit,
            outcome=self._judge(inversion, reading, residual),
            residual=residual,
            success_probability=reading.success_probability,
            runs=reading.runs,
            queries=reading.queries,
            num_steps=inversion.degree,
        )

    def transpose(self, state: CircuitState, options: dict[str, Any]) -> tuple[CircuitState, dict[str, Any]]:
        return eqx.tree_at(lambda s: s.matrix, state, state.matrix.T), options

    @property
    def _machine(self) -> Backend:
        return Backend(self.device, self.wires, self.shots, self.level)

    def _seed(self, vector: Float[np.ndarray, " n"]) -> int:
        words = np.ascontiguousarray(vector).view(np.uint32).tolist()
        return int(np.random.SeedSequence([self.seed, *words]).generate_state(1)[0])

    def _judge(self, inversion: CircuitInversion, reading: Reading, residual: float) -> Outcome:
        if self.shots is not None and reading.success_probability == 0:
            return Outcome.NO_SUCCESS
        explained = residual <= inversion.allowed_residual(self.shots)
        return Outcome.SOLVED if explained else Outcome.RESIDUAL
