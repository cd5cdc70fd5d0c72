"""What a replay predicts anew for the systems of a run: by their estimates, or, of a group, by its sizes alone."""

from collections.abc import Callable, Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._core.costs import Cost
from ..._core.records import SystemEstimate
from ..._core.status import Refusal
from ..._hardware import ClassicalMachine, QuantumMachine
from ..._pricing.assumptions import ASSUMPTION_SETS, AbstractAssumptions
from ..._pricing.group import Group, bounds
from ..._pricing.need import DUAL_NEED, NEED
from ..._pricing.price import Own, classical_workload, price
from ..._scheduling import Hybrid
from ..._scheduling.own_systems import own_workload
from .._runfile import RunFileError, SystemLine
from .estimates import stacked_estimate, stacked_own

# What is known of an operator before anything is computed; the file has it as the reason of a refusal.
_STRUCTURAL = {code.reason: code for code in (Refusal.NOT_SYMMETRIC, Refusal.NO_ROOT, Refusal.NO_LAYERS)}


def log_kappa(lines: Sequence[SystemLine], hybrid: Hybrid, dtype: str) -> Array:
    """Return one block's log condition numbers `[steps]`; `[steps, candidates]` with own conditioning."""
    shared = stacked_estimate(lines, dtype).log_condition_number
    own = {name: stacked_own(lines, name, dtype).log_condition_number for name in lines[0].own}
    return jnp.stack([own.get(name, shared) for name in hybrid.names], axis=-1) if own else shared


class Prices:
    """Predictions of the systems of a run's blocks under one assumption set, from their estimates."""

    def __init__(
        self, hybrid: Hybrid, assumed: AbstractAssumptions, classical: ClassicalMachine, dtype: str, *, same: bool
    ):
        """Compile nothing yet.

        Args:
            hybrid: the scheduler.
            assumed: the set.
            classical: the classical machine.
            dtype: of the run's systems.
            same: whether that machine is the run's own.
        """
        self._hybrid, self._assumed, self._classical, self._dtype = hybrid, assumed, classical, dtype
        self._same = same
        self._compiled: dict[tuple[bool, tuple[Refusal, ...]], Callable[..., Array]] = {}

    def __call__(self, lines: Sequence[SystemLine]) -> np.ndarray:
        """Return the predictions `[steps, candidates]` of the systems of one block."""
        names = self._hybrid.names
        found = np.zeros((len(lines), len(names)))
        # Both are static, and the same in every step of all runs of ours.
        kinds: dict[tuple[bool, tuple[Refusal, ...]], list[int]] = {}
        for position, line in enumerate(lines):
            refused = line.assumptions[line.acting].refused
            known = tuple(_STRUCTURAL.get(refused.get(name, ""), Refusal.NONE) for name in names)
            kinds.setdefault((bool(line.formed), known), []).append(position)
        for kind, positions in kinds.items():
            # As many for each kind, so that the next lines need no other program.
            mine = [lines[k] for k in positions] + [lines[positions[0]]] * (len(lines) - len(positions))
            estimates = stacked_estimate(mine, self._dtype)
            # The Ritz values are not in the file; what they led to is.
            steps = [[line.expected_iterations.get(name) or 0 for name in names] for line in mine]
            machine = None if self._same else self._classical
            own = {names.index(name): _own(mine, name, machine, self._dtype) for name in mine[0].own}
            seconds = self._program(kind)(estimates, jnp.asarray(steps, self._dtype), own)
            found[positions] = np.asarray(seconds, np.float64)[: len(positions)]
        return found

    def _program(self, kind: tuple[bool, tuple[Refusal, ...]]) -> Callable[..., Array]:
        if kind not in self._compiled:
            formed, refusals = kind
            one = partial(
                _price,
                hybrid=self._hybrid,
                assumed=self._assumed,
                classical=self._classical,
                refusals=refusals,
                formed=formed,
            )
            self._compiled[kind] = eqx.filter_jit(jax.vmap(one))
        return self._compiled[kind]


def _price(
    estimate: SystemEstimate,
    steps: Array,
    own: dict[int, tuple[SystemEstimate, Array]],
    *,
    hybrid: Hybrid,
    assumed: AbstractAssumptions,
    classical: ClassicalMachine,
    refusals: tuple[Refusal, ...],
    formed: bool,
) -> Array:
    """One system's predictions `[candidates]`, with the iterations that each was expected to take."""
    # The ratio of what was expected then to what the estimate alone lets expect.
    factors = [
        jnp.where(taken > 0, taken / classical_workload(solver, estimate).steps, 1)
        if solver.capabilities.iterative
        else jnp.ones_like(taken)
        for solver, taken in zip(hybrid.solvers, steps, strict=True)
    ]
    offers = price(
        estimate,
        hybrid.solvers,
        (assumed,),
        classical,
        hybrid.quantum,
        refusals=refusals,
        formed=formed,
        factors=jnp.stack(factors),
        solves=hybrid.solves,
        own={place: Own(*system) for place, system in own.items()},
    )
    return offers.seconds[0]


def _own(
    lines: Sequence[SystemLine], name: str, classical: ClassicalMachine | None, dtype: str
) -> tuple[SystemEstimate, Array]:
    """The systems of a candidate with conditioning of its own, and the seconds of conditioning and estimates.

    As recorded, on the run's own machine (None); on another one as passes over the matrix, all of it.
    """

    def seconds(line: SystemLine) -> float:
        own, forming = line.own[name], line.access
        assert forming is not None, "of a block"
        if classical is None:
            return own.predicted_conditioning_seconds + own.predicted_estimation_seconds
        costs = [
            Cost(own.conditioning_flops, own.conditioning_bytes),
            Cost(own.estimation_flops, own.estimation_bytes),
        ]
        taken = sum(float(classical.seconds(own_workload(cost))) for cost in costs)
        if line.formed:
            return taken
        return taken + 2 * float(classical.seconds(own_workload(Cost(forming.forming_flops, forming.forming_bytes))))

    return stacked_own(lines, name, dtype), jnp.asarray([seconds(line) for line in lines], dtype)


def quantum_bounds(
    line: SystemLine, name: str, scheduler: Hybrid, machine: QuantumMachine, dtype: str, *, dual: bool
) -> dict[str, float]:
    """The least modelled seconds of the quantum candidates of a group, over all condition numbers.

    Args:
        line: of the group.
        name: of the assumption set.
        scheduler: whose candidates they are.
        machine: the modelled one.
        dtype: of the systems.
        dual: whether they are dual systems, which bear another error.
    """
    wanted = line.assumptions[line.acting].queries
    solvers = [one for one in scheduler.solvers if one.name in wanted]
    if len(solvers) < len(wanted):
        raise RunFileError(f"{', '.join(wanted)}: not the candidates of the run's own --solvers in config.json")
    power, need = (2, DUAL_NEED) if dual else (1, NEED)
    shape = Group(line.name, (line.n,), line.count, line.vectors, line.serves, dtype, need, power)
    nowhere = ClassicalMachine("no classical candidate is asked", dtype, ())
    ((least, _),) = bounds([shape], solvers, [ASSUMPTION_SETS[name]], nowhere, machine)
    return {one: float(value) for one, value in zip(least.names, least.seconds[0], strict=True)}
