"""Calibration: measure every classical candidate on this machine and fit its times."""

import functools
from collections.abc import Callable, Hashable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax import core
from jaxtyping import Array, Float, Int, PyTree

from .._core.kinds import check_sequence, number
from .._core.operators import access_of
from .._core.records import ClassicalWorkload, Encoding, SystemEstimate
from .._core.status import Refusal
from .._devices.processes import of_first, several
from .._hardware import (
    ClassicalMachine,
    KernelTimes,
    describe_machine,
    fit,
    rated_machine,
    unformed_kernel,
)
from .._hardware.measure import at_once
from .._hardware.steady import settled_seconds
from .._pricing.nominal import nominal_estimate
from .._pricing.price import NO_ENCODING, forming
from .._solvers import AbstractSolver
from .._solvers.base import solve_trusting
from .candidates import check_candidate
from .conditioned import Conditioned
from .yardsticks import dense, layer

DEFAULT_SIZES = (8, 32, 128, 384, 1024)
# Factorisations that estimates make (`_core.costs.KERNELS`).
_ESTIMATES = ("cholesky", "eigh", "lu")
# About a millisecond, beside which the start of a jitted function does not count.
_LOOPED_FLOPS = 5_000_000


def calibrate(
    solvers: Sequence[AbstractSolver],
    *,
    dtype: str = "float32",
    sizes: Sequence[int] = DEFAULT_SIZES,
    repeats: int = 5,
    forming: bool = False,
) -> ClassicalMachine:
    """Measure the times of the classical solvers among `solvers` on this machine, inside a jitted function.

    A solver that takes operators is measured on a dense matrix and on a layer's block that is not formed, or on the one
    of them that it takes; beside such a solver, forming a block is measured as well, for those that need a matrix.

    Args:
        solvers: candidates; quantum ones are passed over.
        dtype: of the systems, `float32` or `float64` (the latter needs jax's x64 mode).
        sizes: rows of the measured systems, at least three different positive ones; predictions beyond the largest
            extrapolate the operation count.
        repeats: measurements of each, of which the median counts, relative to a matrix product before it.
        forming: measure what forming a block takes in any case, as `Hybrid(workers=...)` asks before it has workers
            form blocks.

    Returns:
        The frozen calibration. Takes some seconds, most of it compilation.

    Raises:
        ValueError: if fewer than three sizes are given, one is not positive, or `dtype` is not available.
        OSError: if the machine is too busy: a matrix product became half as fast again or slower meanwhile, or a
            solve that the others let expect otherwise by half took another time in each of three attempts.
    """
    check_sequence(solvers, AbstractSolver, "calibrate: solvers", "CG()")
    for solver in solvers:
        check_candidate(solver)
    check_sequence(sizes, (), "calibrate: sizes", "8, 32, 128")
    sizes = [number(size, "a member of calibrate: sizes") for size in sizes]
    repeats = number(repeats, "calibrate: repeats")
    if min(sizes, default=1) < 1:
        raise ValueError(f"sizes is {tuple(sizes)}: a system has at least one row")
    if len(set(sizes)) < 3:
        raise ValueError(
            f"sizes is {tuple(sizes)}: calibration fits three coefficients and needs three different sizes"
        )
    name = str(jnp.dtype(dtype))
    if name not in ("float32", "float64"):
        raise ValueError(f"dtype is {name}: systems are float32 or float64")
    if name == "float64" and not jax.config.read("jax_enable_x64"):
        raise ValueError("dtype float64 is not available: switch on jax's x64 mode, or calibrate for float32")
    concrete, what = [_with_values(one) for one in solvers], f"calibrate({[one.name for one in solvers]}, {name})"
    return of_first(what, lambda: _measure(concrete, name, sorted(set(sizes)), repeats, forming))


@at_once()
def _with_values(solver: AbstractSolver) -> AbstractSolver:
    """Return the solver with ones in place of traced arrays, which all are inside `lineax.linear_solve`.

    Iterations are counted while they are measured, so the seconds of each depend on shapes alone.
    """

    def value(leaf: object) -> object:
        return jnp.ones(leaf.shape, leaf.dtype) if isinstance(leaf, core.Tracer) else leaf

    return jax.tree.map(value, solver)


class _Once:
    """Cache of the machine that a scheduler without a calibration uses: one per process, for its many traces.

    No kernel is measured: see `rated_machine`. Candidates are the same where they differ in nothing but the numbers in
    their arrays.
    """

    def __init__(self):
        self._found: dict[Hashable, ClassicalMachine] = {}

    def __call__(
        self, solvers: tuple[AbstractSolver, ...], dtype: str, *, probe: bool = True, forming: bool = False
    ) -> ClassicalMachine:
        key = identity_of(solvers), dtype, probe, forming
        if key not in self._found:
            what = f"the rating of {', '.join(solver.name for solver in solvers)}, {dtype}, {probe}"
            concrete = [_with_values(one) for one in solvers]
            self._found[key] = of_first(what, lambda: _rated(concrete, dtype, probe, forming))
        return self._found[key]

    def cache_clear(self) -> None:
        """Forget the speed of the machine."""
        self._found.clear()


rated_once = _Once()


class _Agreed:
    """A given calibration, or process 0's in its place, so that processes with separate measurements decide alike."""

    def __init__(self):
        self._found: dict[ClassicalMachine, ClassicalMachine] = {}

    def __call__(self, machine: ClassicalMachine, solvers: Sequence[AbstractSolver]) -> ClassicalMachine:
        if not several():
            return machine
        if machine not in self._found:
            what = f"the calibration for {', '.join(solver.name for solver in solvers)}, {machine.dtype}"
            self._found[machine] = of_first(what, lambda: machine)
        return self._found[machine]


agreed = _Agreed()


def identity_of(tree: PyTree) -> Hashable:
    """Return a key that is equal for two trees that differ only in the numbers in their arrays."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((leaf.shape, str(leaf.dtype)) if eqx.is_array(leaf) else leaf for leaf in leaves)


@at_once()
def _rated(solvers: Sequence[AbstractSolver], dtype: str, probe: bool, forms: bool) -> ClassicalMachine:
    kernels = {kernel for solver in _measured_once(solvers, dtype) for kernel in _yardsticks_of(solver, dtype)}
    applied = {solver.applied_as for solver in solvers if solver.applied_as is not None}
    forming = ["forming"] if forms or _forming_counts(solvers) else []
    own = _ESTIMATES if any(isinstance(solver, Conditioned) for solver in solvers) else ()
    return rated_machine([*kernels, *applied, *forming, *own], dtype, probe=probe)


@at_once()
def _measure(
    solvers: Sequence[AbstractSolver], dtype: str, sizes: Sequence[int], repeats: int, forms: bool
) -> ClassicalMachine:
    samples: dict[str, list[_Sample]] = {}
    for solver in _measured_once(solvers, dtype):
        samples.update(_of_solver(solver, dtype, sizes))
    if forms or _forming_counts(solvers):
        operators = [layer(n, dtype) for n in sizes]
        samples["forming"] = [_Sample(_form, o, forming(_nominal(o)[0])) for o in operators]
    everything = [sample for kernel in samples.values() for sample in kernel]

    def fits(seconds: Sequence[float]) -> dict[str, KernelTimes]:
        times = {id(sample): second / sample.loops for sample, second in zip(everything, seconds, strict=True)}
        return {
            kernel: fit([s.workload for s in own], [s.n for s in own], [times[id(s)] for s in own])
            for kernel, own in samples.items()
        }

    def fitted(seconds: Sequence[float]) -> list[float]:
        said = [predicted for times in fits(seconds).values() for _, _, predicted in times.samples]
        return [second * sample.loops for second, sample in zip(said, everything, strict=True)]

    # All kernels and sizes take turns: on a shared machine minutes differ, and a slow one must not be one kernel's.
    names = [f"{kernel} of {sample.n} rows" for kernel, own in samples.items() for sample in own]
    seconds, probe = settled_seconds([s.run for s in everything], names, fitted, dtype, repeats)
    kernels = fits(seconds)
    return ClassicalMachine(
        name=str(describe_machine()["processor"]),
        dtype=dtype,
        kernels=tuple(sorted(kernels.items())),
        gemm_seconds=probe if everything else None,
    )


def _measured_once(solvers: Sequence[AbstractSolver], dtype: str) -> list[AbstractSolver]:
    """The classical solvers that do the work of these, one for each kernel."""
    found: dict[str, AbstractSolver] = {}
    for solver in (one.measured_as for one in solvers):
        workload = solver.workload(*_smallest(dense, dtype)[1:])
        if isinstance(workload, ClassicalWorkload):
            found.setdefault(workload.kernel, solver)
    return list(found.values())


def _forming_counts(solvers: Sequence[AbstractSolver]) -> bool:
    """Return whether forming a block counts: some solver needs a matrix, and another does not.

    Conditioning that a candidate has of its own is predicted by the same times.
    """
    classical = [solver.capabilities.matrix_free for solver in solvers if not solver.capabilities.quantum]
    own = any(isinstance(solver, Conditioned) for solver in solvers)
    return own or (any(solver.capabilities.matrix_free for solver in solvers) and not all(classical))


def _yardsticks_of(solver: AbstractSolver, dtype: str) -> "dict[str, Callable[[int, str], lx.AbstractLinearOperator]]":
    """Return the solver's kernel on matrices, and on unformed operators under a name of its own.

    A product with the one and with the other differ in more than their counts, and no curve goes through both. What
    takes only one of the two has one curve.
    """
    found: dict[str, Callable[[int, str], lx.AbstractLinearOperator]] = {}
    for yardstick in (dense, layer) if solver.capabilities.matrix_free else (dense,):
        operator, estimate, encoding = _smallest(yardstick, dtype)
        if solver.refuses(operator) == Refusal.NONE:
            workload = solver.workload(estimate, encoding)
            assert isinstance(workload, ClassicalWorkload)
            found[unformed_kernel(workload.kernel) if found else workload.kernel] = yardstick
    return found


def _of_solver(solver: AbstractSolver, dtype: str, sizes: Sequence[int]) -> "dict[str, list[_Sample]]":
    """One solve of every size on every yardstick."""
    found: dict[str, list[_Sample]] = {}
    for kernel, yardstick in _yardsticks_of(solver, dtype).items():
        multiplied = solver.capabilities.matrix_free and yardstick is dense
        found[kernel] = []
        for operator in (yardstick(n, dtype) for n in sizes):
            workload = solver.workload(*_nominal(operator))
            assert isinstance(workload, ClassicalWorkload)
            run = functools.partial(_one_of_many if solver.many else solve_trusting, solver)
            found[kernel].append(_Sample(run, operator, workload, multiplied=multiplied, together=solver.many))
    return found


def _one_of_many(
    solver: AbstractSolver, matrices: lx.AbstractLinearOperator, vector: Float[Array, " n"]
) -> tuple[Float[Array, "count n"], Int[Array, ""]]:
    """The solutions of equal systems, set up by one program; their matrices are stacked in the operator."""
    assert isinstance(matrices, lx.MatrixLinearOperator)
    states = solver.init_many(matrices.matrix, {"verify": False, "scale": False})
    return jax.vmap(lambda state: solver.compute(state, vector, {})[0])(states), jnp.int32(0)


@functools.cache
def _smallest(
    yardstick: Callable[[int, str], lx.AbstractLinearOperator], dtype: str
) -> tuple[lx.AbstractLinearOperator, SystemEstimate, Encoding]:
    """The yardstick of one row, by which solvers say what their kernel is: no numbers of it are read."""
    operator = yardstick(1, dtype)
    return operator, *_nominal(operator)


def _nominal(operator: lx.AbstractLinearOperator) -> tuple[SystemEstimate, Encoding]:
    # Costs but for the steps, which are measured, depend on the access and on n and the dtype alone.
    like = operator.in_structure()
    return nominal_estimate(like.shape[0], access_of(operator), str(like.dtype)), NO_ENCODING


_Run = Callable[[lx.AbstractLinearOperator, Float[Array, " n"]], tuple[Float[Array, " n"], Int[Array, ""]]]


def _form(operator: lx.AbstractLinearOperator, vector: Float[Array, " n"]) -> tuple[Float[Array, " n"], Int[Array, ""]]:
    # One row of the whole is read, so that the whole is computed.
    matrix = jax.lax.optimization_barrier(operator.as_matrix())
    return matrix[0], jnp.int32(0)


class _Sample:
    """One kernel on one operator, compiled.

    Attributes:
        n: rows.
        loops: how often it happens in a call of `run`. Small systems finish in microseconds, below what dispatching a
            jitted function costs.
    """

    def __init__(
        self,
        run: _Run,
        operator: lx.AbstractLinearOperator,
        workload: ClassicalWorkload,
        *,
        multiplied: bool = False,
        together: bool = False,
    ):
        """Compile the sample.

        Args:
            run: does it.
            operator: of the system.
            workload: of doing it once.
            multiplied: whether the matrix is multiplied by and nothing else.
            together: whether `run` takes all `loops` systems at once, stacked, in the place of one after the other.
        """
        like = operator.in_structure()
        self.n = like.shape[0]
        self._workload, self._steps = workload, 0.0
        vector = jnp.asarray(np.random.default_rng(self.n + 1).standard_normal(self.n), like.dtype)
        self.loops = loops = max(1, int(_LOOPED_FLOPS // max(float(workload.total_flops), 100.0)))
        arrays, rest = eqx.partition(operator, eqx.is_array)
        if together:
            arrays = jax.tree.map(lambda leaf: jnp.tile(leaf, (loops, *[1] * leaf.ndim)), arrays)
            at_once = jax.jit(lambda arrays, vector: run(eqx.combine(arrays, rest), vector))
            self._several = lambda: at_once(arrays, vector)
            return

        @jax.jit
        def several(arrays: PyTree, vector: Float[Array, " n"]) -> PyTree:
            def again(_: Array, carry: PyTree) -> PyTree:
                # Depends on what came before, so that nothing is hoisted out of the loop. A matrix that is only
                # multiplied by is left alone: its copy would take as long as some of the iterations.
                zero = 0 * carry[0][0]
                fresh = arrays if multiplied else jax.tree.map(lambda leaf: leaf + zero, arrays)
                return run(eqx.combine(fresh, rest), vector + zero)

            return jax.lax.fori_loop(0, loops, again, (vector, jnp.zeros((), jnp.int32)))

        self._several = lambda: several(arrays, vector)

    def run(self) -> Array:
        """Run the sample `loops` times."""
        value, self._steps = self._several()
        return value

    @property
    def workload(self) -> ClassicalWorkload:
        """Workload of one run, with observed steps in place of expected ones."""
        return eqx.tree_at(lambda w: w.steps, self._workload, float(self._steps))
