"""Common parts of emulated solvers: encoding, noise, read-out, length, and their record."""

import abc
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Int, PyTree

from ...._core.arrays import Number, NumberArray, first_of
from ...._core.kinds import check_scalars
from ...._core.operators import AbstractRoot, Shifted, block_of
from ...._core.powers_of_two import lost_below, normalised, restored, scaled_by
from ...._core.records import Encoding, QuantumWorkload, SystemEstimate
from ...._core.settings import own_promotion
from ...._core.status import Refusal
from ...base import Options, Stats
from ...capabilities import Capabilities
from ...flat import Product, check_square_and_real, flatten, product, unflatten, without_tags
from ..executed import AbstractExecuted
from ..outcome import Outcome, result_of
from ..queries import Matrices, QueryModel
from .amplification import Attempts
from .keys import key_for
from .length import AbstractLength, Measured
from .measurement import AbstractMeasurement
from .numbers import Encoded, Promise, Spectrum

# Times the read-out's root mean square that its error may reach before the bounds are blamed.
_SPREAD = 3.0


class EmulatedState(eqx.Module):
    """A system ready to be solved.

    Attributes:
        operator: the matrix.
        encoded: what its block encoding is built for.
        root, shift: of the factor `[R; sqrt(shift) I]`, where that is encoded.
        basis: what the emulation computes of the matrix beforehand; None where products do.
    """

    operator: lx.AbstractLinearOperator
    encoded: Encoded
    root: AbstractRoot | None
    shift: Float[Array, ""] | None
    basis: PyTree[Array]


class EncodedSystem(eqx.Module):
    """The encoded system, with a unit right-hand side.

    Attributes:
        matvec: product with `A / alpha`, or with the encoded factor.
        transpose: product with its transpose.
        vector: unit right-hand side, of the factor where that is encoded; zero where it is zero.
        encoded: what the block encoding is built for.
    """

    matvec: Product = eqx.field(static=True)
    transpose: Product = eqx.field(static=True)
    vector: Float[Array, " m"]
    encoded: Encoded


class IdealRun(eqx.Module):
    """State of an ideal circuit where it flags success.

    Attributes:
        solution: of the encoded system for the unit right-hand side; only its direction where `scale` is NaN.
        amplitude: root of the probability of success of one application.
        scale: length of `solution` over `amplitude`, known beforehand; NaN where success does not tell the length.
        error: 2-norm error of `solution` that is claimed; relative where `scale` is NaN.
        queries: calls of the block encoding in one application.
        attempts: what one success takes.
        products: with the matrix, that the emulation took.
    """

    solution: Float[Array, " n"]
    amplitude: Float[Array, ""]
    scale: NumberArray
    error: Float[Array, ""]
    queries: NumberArray
    attempts: Attempts
    products: Array


class AbstractEmulated(AbstractExecuted):
    """A quantum linear solver whose state is computed exactly, by products with the matrix, then read out.

    It takes real square matrices. A circuit is built for `kappa` and `norm` if they are given. Otherwise it is built
    for the numbers of the linear-solve option `estimate` (a `SystemEstimate`, which `Hybrid` passes on), and else for
    those of the matrix, which is formed and decomposed. With both given, or an estimate, nothing is formed.

    Everything random is drawn from a key folded with the right-hand side (`keys.key_for`), so a solve can be repeated.

    The `stats` of a solution: `outcome`, an `Outcome` with its remedy; `residual`, `||Ax - b|| / ||b||`;
    `success_probability` of one application; `runs` of the circuit and `queries` of the block encoding in all, as
    expected for what happened, copies and length included; `num_steps`, products of the emulation.

    Over right-hand sides, systems and keys the mean of what is executed for one copy does not exceed the charge,
    `count` at the numbers that the circuit is built for. Of single solves none exceeds it but those of
    `EmulatedReflection`, of which no more than 5 % exceed 1.5 times the charge
    (`tests/solvers/emulated/test_executed.py`, at random systems with condition numbers from 1 to 100). These are
    expectations for the success probability that a solve was found to have: the runs until one success that a device
    makes are geometric, and exceed three times their mean with a probability of 5 %. Where noise is on, what fails for
    the noise is not counted.
    """

    measurement: eqx.AbstractVar[AbstractMeasurement]
    length: eqx.AbstractVar[AbstractLength]
    depolarising: eqx.AbstractVar[float]
    seed: eqx.AbstractVar[int]
    execution: ClassVar[str] = "emulated"

    def __check_init__(self):
        check_scalars(self)
        if not 0 <= self.depolarising < 1:
            raise ValueError(f"depolarising is {self.depolarising}: a probability per query, in [0, 1)")

    @property
    @abc.abstractmethod
    def queries(self) -> QueryModel:
        """Count that the cost model charges, of the circuit as executed."""

    @property
    def published(self) -> QueryModel:
        """Algorithm's published count; another than `queries` if the circuit takes more."""
        return self.queries

    @abc.abstractmethod
    def plan(self, encoded: Encoded) -> tuple[PyTree, NumberArray]:
        """Return the circuit's numbers, independent of the right-hand side, and its queries in one application.

        Args:
            encoded: finite.
        """

    @abc.abstractmethod
    def run(self, plan: PyTree, basis: PyTree, problem: EncodedSystem, key: Array) -> IdealRun:
        """The state that the circuit leaves."""

    def decompose(self, operator: lx.AbstractLinearOperator) -> PyTree[Array]:
        """Return the data of the matrix that `run` needs besides its products."""
        return None

    @property
    def capabilities(self) -> Capabilities:
        factor = self.encoding.rectangular
        definite = factor or self.queries.matrices is Matrices.DEFINITE
        return Capabilities(
            quantum=True,
            matrix_free=True,
            needs_matrix=False,
            needs_root=factor,
            needs_symmetric=definite,
            needs_definite=definite,
        )

    def refuses(self, operator: lx.AbstractLinearOperator) -> Refusal:
        if not self.encoding.rectangular:
            return Refusal.NONE
        block = block_of(operator) if isinstance(without_tags(operator), Shifted) else None
        return Refusal.NONE if block is not None and block.root_rows else Refusal.NO_ROOT

    def count(self, encoding: Encoding, precision: Number) -> QuantumWorkload:
        """Expected queries of one state that may err by `precision`, in the 2-norm."""
        return self.queries(encoding, precision, None)

    def built_for(self, estimate: SystemEstimate) -> Spectrum:
        """Return the numbers for which a circuit is built, and charged, if given an estimate."""
        return Promise(self.kappa, self.norm).estimated(estimate)

    @own_promotion()
    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> EmulatedState:
        """Encode the system.

        Raises:
            ValueError: if the operator is not square and real, not tagged as needed, or has no root that is needed.
        """
        check_square_and_real(operator, type(self).__name__)
        root, shift = self._root(operator) if self.encoding.rectangular else (None, None)
        self.admit(operator)
        spectrum = Promise(self.kappa, self.norm).spectrum(operator, options)
        encoded = Encoded.of(self.encoding, spectrum)
        return EmulatedState(lx.linearise(operator), encoded, root, shift, self.decompose(operator))

    def admit(self, operator: lx.AbstractLinearOperator) -> None:
        """Refuse an operator without the tags that the algorithm needs.

        Raises:
            ValueError: says which tag is missing.
        """

    @own_promotion()
    def compute(
        self, state: EmulatedState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        """Emulate the circuit for this right-hand side, and read it out.

        The linear-solve option `preimage`, for an encoded factor, is a vector u with `R^T u = b` as far as possible,
        e.g. the scaled residuals of which b is the gradient; what it leaves of b goes into the rows of
        `sqrt(shift) I`. Without one all of it does, which is just as right and succeeds more rarely.
        """
        # Squares of the entries stay inside the floating-point range.
        b, exponent = normalised(flatten(vector))
        problem, size = self._problem(state, b, exponent, options)
        # A system that cannot be solved is replaced by one that takes no time, and its outcome says so.
        bounded = jnp.isfinite(state.encoded.kappa)
        encoded = eqx.tree_at(lambda e: e.kappa, state.encoded, jnp.where(bounded, state.encoded.kappa, 2))
        short = self.plan(encoded)[1] <= self.max_queries
        encoded = eqx.tree_at(lambda e: e.kappa, encoded, jnp.where(short, encoded.kappa, 2))
        problem = EncodedSystem(problem.matvec, problem.transpose, problem.vector, encoded)
        reading, measuring, drawing = jax.random.split(key_for(self.seed, b), 3)
        run = self.run(self.plan(encoded)[0], state.basis, problem, drawing)
        return self._read(state, b, exponent, problem, size, run, (reading, measuring), (bounded, short))

    def _read(
        self,
        state: EmulatedState,
        b: Float[Array, " n"],
        exponent: Int[Array, ""],
        problem: EncodedSystem,
        size: Float[Array, ""],
        run: IdealRun,
        keys: tuple[Array, Array],
        able: tuple[Bool[Array, ""], Bool[NumberArray, ""]],
    ) -> tuple[PyTree[Array], lx.RESULTS, Stats]:
        norm = jnp.linalg.norm(b)
        long = jnp.linalg.norm(run.solution)
        direction = run.solution / jnp.where(long > 0, long, 1)
        mixed, amplitude = self._depolarised(run)
        direction = self.measurement.read(keys[0], direction, mixed)
        apply = product(state.operator)
        image = apply(direction)
        scale = run.scale * size / problem.encoded.alpha
        definite = lx.is_positive_semidefinite(state.operator)
        found = self.length.find(keys[1], Measured(direction, image, b, definite, amplitude, scale))
        value, held = restored(found.length * direction, exponent)
        right = jnp.where(norm > 0, norm, 1)
        residual = jnp.linalg.norm(found.length * image - b) / right
        allowed = self._allowed(state.encoded, run, found.length, size, mixed, b.size) / right
        lost = lost_below(found.length * direction) / right

        bounded, short = able
        finite = jnp.isfinite(norm) & jnp.isfinite(residual)
        positive = found.sound & (jnp.ones((), bool) if state.shift is None else state.shift > 0)
        outcome = first_of(
            [~jnp.isfinite(norm), ~positive, ~bounded, ~short, ~finite | ~held | (residual + lost > allowed)],
            [
                jnp.int32(code)
                for code in (
                    Outcome.NOT_FINITE,
                    Outcome.NOT_DEFINITE,
                    Outcome.NO_BOUND,
                    Outcome.TOO_LONG,
                    Outcome.RESIDUAL,
                )
            ],
            jnp.int32(Outcome.SOLVED),
        )
        # What misses its bounds is handed over, since it may still serve; what means nothing is not.
        meant = (outcome == Outcome.SOLVED) | (outcome == Outcome.RESIDUAL)
        copies, controlled = self.measurement.copies(b.size)
        runs = jnp.where(norm > 0, (copies + controlled) * run.attempts.applications + found.applications, 0)
        stats = {
            "outcome": outcome,
            "residual": residual,
            "success_probability": amplitude**2,
            "runs": runs,
            "queries": jnp.where(norm > 0, runs * run.queries, 0),
            "num_steps": run.products,
        }
        value = unflatten(jnp.where(meant, value, jnp.nan), state.operator.in_structure())
        return value, result_of(outcome), stats

    def transpose(self, state: EmulatedState, options: dict[str, Any]) -> tuple[EmulatedState, dict[str, Any]]:
        turned = state.operator.transpose()
        return eqx.tree_at(lambda s: s.operator, state, turned), {}

    def _root(self, operator: lx.AbstractLinearOperator) -> tuple[AbstractRoot, Float[Array, ""]]:
        bare = without_tags(operator)
        block = block_of(bare)
        root = block.root() if isinstance(bare, Shifted) and block is not None else None
        if root is None or not isinstance(bare, Shifted):
            raise ValueError(
                f"{self.name} encodes the factor of a damped block, Shifted(block, shift) with a root, and got a "
                f"{type(bare).__name__} without one: damp a Gauss-Newton or Fisher block that is not formed, or encode "
                "the matrix itself, encoding=Ideal()"
            )
        return root, bare.shift

    def _problem(
        self, state: EmulatedState, b: Float[Array, " n"], exponent: Int[Array, ""], options: Options
    ) -> tuple[EncodedSystem, Float[Array, ""]]:
        alpha = state.encoded.alpha
        if state.root is None or state.shift is None:
            symmetric = lx.is_symmetric(state.operator) or lx.is_positive_semidefinite(state.operator)
            matvec = product(state.operator)
            transpose = matvec if symmetric else product(state.operator.transpose())
            vector = b
        else:
            root, side = state.root, jnp.sqrt(jnp.maximum(state.shift, jnp.finfo(b.dtype).tiny))

            def matvec(x: Float[Array, " n"], /) -> Float[Array, " m"]:
                return jnp.concatenate([root.mv(x), side * x])

            def transpose(y: Float[Array, " m"], /) -> Float[Array, " n"]:
                return root.transpose_mv(y[: root.rows]) + side * y[root.rows :]

            above = jnp.asarray(options.get("preimage", jnp.zeros(root.rows, b.dtype)), b.dtype)
            if above.shape != (root.rows,):
                raise ValueError(f"the option preimage has shape {above.shape}, and the root {root.rows} rows")
            above = scaled_by(above, -exponent)
            vector = jnp.concatenate([above, (b - root.transpose_mv(above)) / side])
        size = jnp.linalg.norm(vector)
        vector = vector / jnp.where(size > 0, size, 1)
        return EncodedSystem(lambda x: matvec(x) / alpha, lambda y: transpose(y) / alpha, vector, state.encoded), size

    def _depolarised(self, run: IdealRun) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Return the maximally mixed state's weight in flagged successes, and the root of the success probability.

        Each query leaves, with the probability `depolarising`, the maximally mixed state of the register and one flag;
        half of that flags success.
        """
        if self.depolarising == 0:
            return jnp.zeros_like(run.amplitude), run.amplitude
        rate = math.log1p(-self.depolarising)
        lost = -jnp.expm1(rate * run.queries * run.attempts.coherent)
        # The attempt that is read out was amplified, or succeeded by chance where nothing was.
        chance = jnp.where(run.attempts.coherent > 1, 1.0, run.amplitude**2)
        mixed = lost / 2 / jnp.maximum((1 - lost) * chance + lost / 2, jnp.finfo(chance.dtype).tiny)
        once = -jnp.expm1(rate * run.queries)
        return mixed, jnp.sqrt((1 - once) * run.amplitude**2 + once / 2)

    def _allowed(
        self,
        encoded: Encoded,
        run: IdealRun,
        length: Float[Array, ""],
        size: Float[Array, ""],
        mixed: Float[Array, ""],
        n: int,
    ) -> Float[Array, ""]:
        """Return the largest `||Ax - b||` that precision, read-out and the rounding of an exact solver explain."""
        eps = jnp.finfo(length.dtype).eps
        relative = jnp.isnan(run.scale)
        rounding = jnp.minimum(eps * encoded.kappa**2 * 8, eps ** (1 / 3))
        if not self.encoding.rectangular:
            # Steps of the emulation round, too: what no backward stable solver would leave is no longer its claim.
            stable = 64 * n * eps * (jnp.abs(length) * encoded.norm / jnp.where(size > 0, size, 1) + 1)
            rounding = jnp.minimum(rounding, stable * encoded.alpha / encoded.norm)
        exact = 4 * jnp.where(relative, 0, run.error) + rounding
        noise = 4 * jnp.where(relative, run.error, 0)
        noise += _SPREAD * (self.measurement.error(n) + self.length.error) + 2 * jnp.sqrt(mixed)
        noise = jnp.minimum(noise, 2.0) * jnp.abs(length)
        matrix = encoded.norm**2 if self.encoding.rectangular else encoded.norm
        return matrix * (exact * size / encoded.alpha + noise)
