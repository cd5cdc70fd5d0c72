"""From options, which are words and numbers, to the objects that they stand for."""

import optax

from ..conditioning import AbstractConditioner, Damp, Prune, PruneRows
from ..curvature import AbstractCurvature, GaussNewton, Hessian, Partition, per_layer, per_tensor, whole
from ..estimation import (
    AbstractEstimator,
    Automatic,
    Certified,
    DefiniteDeterminantNorm,
    DeterminantNorm,
    Exact,
    InverseLanczos,
    Lanczos,
)
from ..hardware import AbstractAssumptions, ClassicalMachine, Paper, QuantumMachine
from ..optim import AbstractAdaptation, Fixed, LevenbergMarquardt
from ..scheduling import Hybrid
from ..solvers import LU, QLSA, AbstractSolver, Cholesky
from ..solvers.quantum.queries import JENNINGS_LARGEST_PRECISION
from .options import ConditioningOptions, SchedulingOptions, StepOptions, TrainOptions

CURVATURES: dict[str, AbstractCurvature] = {"gauss-newton": GaussNewton(), "hessian": Hessian()}
PARTITIONS: dict[str, Partition] = {"whole": whole, "per-layer": per_layer, "per-tensor": per_tensor}
ESTIMATORS: dict[str, AbstractEstimator] = {
    "automatic": Automatic(),
    "exact": Exact(),
    "certified": Certified(),
    "lanczos": Lanczos(),
    "inverse-lanczos": InverseLanczos(),
    "determinant-norm": DeterminantNorm(),
    "definite-determinant-norm": DefiniteDeterminantNorm(),
}
ASSUMPTIONS: dict[str, AbstractAssumptions] = {"paper": Paper()}
# Offset of the maximum entry in the published code's damping.
PUBLISHED_OFFSET = 1e-6


def make_conditioning(options: ConditioningOptions) -> tuple[AbstractConditioner, ...]:
    """The conditioners, in the order that the options ask for."""
    if options.order == "damp-prune-rows":
        return (Damp(options.damping, offset=PUBLISHED_OFFSET), PruneRows(options.keep))
    return (Prune(options.keep), Damp(options.damping))


def make_adaptation(options: ConditioningOptions) -> AbstractAdaptation:
    """The damping policy."""
    return LevenbergMarquardt() if options.adapt_damping else Fixed()


def make_solvers(options: SchedulingOptions) -> tuple[AbstractSolver, ...]:
    """The scheduler's candidates."""
    known = {"cholesky": Cholesky(), "lu": LU(), "qlsa": QLSA(precision=options.precision)}
    return tuple(known[name] for name in options.solvers)


def make_hybrid(options: SchedulingOptions, classical: ClassicalMachine) -> Hybrid:
    """The scheduler; the acting assumption set comes first."""
    acting = ASSUMPTIONS[options.assumptions]
    others = [a for a in ASSUMPTIONS.values() if a.name != acting.name]
    return Hybrid(
        make_solvers(options),
        estimator=ESTIMATORS[options.estimator],
        classical=classical,
        quantum=QuantumMachine(options.gate_time_s),
        assumptions=(acting, *others),
    )


def make_schedule(options: StepOptions, steps: int) -> optax.Schedule:
    """Learning rate by step: linear warm-up, then constant or linear decay to 0 after the last step."""
    rate, warmup = options.learning_rate, min(options.warmup_steps, steps)
    after = optax.linear_schedule(rate, 0.0 if options.decay else rate, max(1, steps - warmup))
    if warmup == 0:
        return after
    # The first step of a warm-up from 0 would do nothing: the ramp reaches 1/warmup there.
    return optax.join_schedules([optax.linear_schedule(rate / warmup, rate, max(1, warmup - 1)), after], [warmup])


def check(options: TrainOptions) -> None:
    """Refuse options that exclude each other, before anything is computed.

    Raises:
        ValueError: with what to change.
    """
    precision = options.scheduling.precision
    if "qlsa" in options.scheduling.solvers and precision > JENNINGS_LARGEST_PRECISION:
        raise ValueError(
            f"--precision is {precision}, and the query count of qlsa holds up to {JENNINGS_LARGEST_PRECISION}: ask "
            "for that or less"
        )
    rows = options.conditioning.order == "damp-prune-rows" and options.conditioning.keep < 1
    pruned = options.conditioning.keep < 1
    symmetric_only = {"lanczos", "definite-determinant-norm"}
    estimator = options.scheduling.estimator
    if rows and "cholesky" in options.scheduling.solvers:
        raise ValueError(
            "--solvers names cholesky, and --order damp-prune-rows makes the systems unsymmetric: use --solvers lu qlsa"
        )
    if rows and estimator in symmetric_only:
        raise ValueError(f"--estimator {estimator} needs symmetric systems: use automatic or inverse-lanczos")
    if estimator == "certified" and (pruned or options.step.curvature == "hessian"):
        raise ValueError(
            "--estimator certified needs blocks that are semidefinite by construction: use it with --curvature "
            "gauss-newton and --keep 1, or choose automatic"
        )
