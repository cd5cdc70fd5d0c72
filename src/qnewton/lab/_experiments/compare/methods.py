"""Methods of a comparison, and the one number that each is tuned by."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...._core.suggest import unknown
from ..options import ConditioningOptions, SchedulingOptions, TrainOptions
from ..presets import FAMILY_SCHEDULING

SETS = ("paper", "end_to_end")
"""What quantum solves are charged for, side by side; the first set's choices are carried out."""

Tuned = Literal["learning_rate", "damping_scale", "memory"]

LARGEST_DENSE = 4096
"""Rows of a system up to which dense solves are carried out; above, they are predicted."""
LARGEST_PREDICTED = 20_000
"""Rows up to which the matrix of a dense or quantum candidate would fit, so that it can be a candidate at all."""


@dataclass(frozen=True)
class Grid:
    """Values of a tuned number: `centre * factor**k` for integers k, and values between two of them.

    Attributes:
        centre: where it starts.
        factor: from one trial to the next.
        low, high: limits of the number itself.
        whole: whether it is an integer.
    """

    centre: float
    factor: float
    low: float = 0.0
    high: float = float("inf")
    whole: bool = False

    def first(self, trials: int) -> tuple[float, ...]:
        """Return that many values around the centre."""
        start = -((trials - 1) // 2)
        return tuple(value for k in range(trials) if (value := self.at(self.centre * self.factor ** (start + k))))

    def beyond(self, value: float, *, above: bool) -> float | None:
        """The next value outwards; None at the limit."""
        moved = self.at(value * self.factor if above else value / self.factor)
        return None if moved == value else moved

    def between(self, first: float, second: float) -> float | None:
        """Return the geometric mean; None if there is no further number between."""
        middle = self.at((first * second) ** 0.5)
        return None if middle in (first, second) else middle

    def at(self, value: float) -> float:
        """Return the nearest allowed value, to three digits."""
        value = min(max(value, self.low), self.high)
        return float(round(value)) if self.whole else float(f"{value:.3g}")


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    Attributes:
        name: on the command line and in files.
        label: in tables and figures.
        optimizer: of `qnewton train`.
        tuned: the option that is tuned; None: nothing is.
        grid: of its values.
        candidates: of the scheduler where systems are small enough to be solved densely; empty: nothing is scheduled.
        note: what its numbers mean.
    """

    name: str
    label: str
    optimizer: Literal["newton", "sgd", "momentum", "adam", "adamw", "muon", "lbfgs"]
    tuned: Tuned | None
    grid: Grid = Grid(1.0, 10.0)
    candidates: tuple[str, ...] = ()
    note: str = ""

    @property
    def scheduled(self) -> bool:
        """Whether the method's seconds are predicted too."""
        return bool(self.candidates)

    def options(self, largest: int, gate_time_s: float) -> TrainOptions:
        """Return the method's options before tuning.

        Args:
            largest: rows of the largest system, the whole network's.
            gate_time_s: of the quantum machine.
        """
        if not self.scheduled and self.optimizer == "newton":
            # With the scheduler that its family's systems have, and not the one of blocks.
            return TrainOptions(optimizer=self.optimizer, family="automatic", scheduling=FAMILY_SCHEDULING)
        if not self.scheduled:
            return TrainOptions(optimizer=self.optimizer)
        return _newton(self.candidates, largest, gate_time_s)

    def with_value(self, options: TrainOptions, value: float | None) -> TrainOptions:
        """The options with the tuned number set."""
        if self.tuned is None or value is None:
            return options
        if self.tuned == "learning_rate":
            return dataclasses.replace(options, step=dataclasses.replace(options.step, learning_rate=value))
        if self.tuned == "memory":
            return dataclasses.replace(options, optimizer=f"lbfgs(memory={int(value)})")
        adaptation = f"levenberg-marquardt(damping={value!r})"
        conditioning = dataclasses.replace(options.conditioning, adaptation=adaptation)
        return dataclasses.replace(options, conditioning=conditioning)

    def counts(self, candidate: str, quantum: bool) -> bool:
        """Whether a candidate of the scheduler is one of this method's.

        Args:
            candidate: by its name in the run files.
            quantum: whether it is charged on the quantum machine.
        """
        if self.name == "newton-lu":
            return candidate == "LU"
        return self.name == "hybrid" or not quantum

    def trained(self, largest: int) -> bool:
        """Return whether the method is trained itself.

        If not, its seconds are predicted on another's steps (`stand_in`).
        """
        return self.name != "newton-lu" or largest <= LARGEST_DENSE


STAND_IN = "newton-classical"
"""Whose steps are priced anew for a method that is too slow to be trained."""

_DAMPING = Grid(1.0, 10.0, low=2e-3, high=1e4)

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("sgd", "SGD", "sgd", "learning_rate", Grid(0.3, 10**0.5)),
        Method("momentum", "SGD with momentum", "momentum", "learning_rate", Grid(0.1, 10**0.5)),
        Method("adam", "Adam", "adam", "learning_rate", Grid(0.01, 10**0.5)),
        Method("adamw", "AdamW", "adamw", "learning_rate", Grid(0.01, 10**0.5)),
        Method("muon", "Muon", "muon", "learning_rate", Grid(0.03, 10**0.5), note="matrices by Muon, all else by Adam"),
        Method("lbfgs", "L-BFGS", "lbfgs", "memory", Grid(20, 2, low=1, high=640, whole=True), note="zoom line search"),
        Method("newton-lu", "Newton, LU", "newton", "damping_scale", _DAMPING, ("lu",)),
        Method("newton-classical", "Newton, best classical", "newton", "damping_scale", _DAMPING, ("cholesky", "lu")),
        Method("hybrid", "hybrid Newton", "newton", "damping_scale", _DAMPING, ("cholesky", "lu", "qlsa")),
        Method("recipe", "recipe", "newton", None, note="untuned: it has no number to tune"),
    )
}


def check_methods(names: Sequence[str]) -> None:
    """Refuse an unknown name, an empty list, and duplicates.

    Raises:
        ValueError: with the nearest valid name.
    """
    if not names:
        raise ValueError(f"--methods is empty: name at least one of {', '.join(METHODS)}")
    for name in names:
        if name not in METHODS:
            raise ValueError(f"--methods: {unknown('method', name, METHODS)}")
    if len(set(names)) < len(names):
        raise ValueError(f"--methods is {' '.join(names)}: it names one twice")


def missing(name: str, largest: int) -> str | None:
    """Return why a method cannot take part; None if it can."""
    if name in ("newton-lu", "hybrid") and largest > LARGEST_PREDICTED:
        return f"a system of {largest:,} rows would not fit in memory as a matrix, which LU and a quantum solve need"
    return None


def _newton(candidates: tuple[str, ...], largest: int, gate_time_s: float) -> TrainOptions:
    """Return the options of one Gauss-Newton system for the whole network.

    If a dense solve would take minutes, conjugate gradients with a K-FAC preconditioner take every step. The other
    candidates are then only predicted, for every system.
    """
    scheduling = SchedulingOptions(assumptions=SETS, gate_time_s=gate_time_s)
    if largest <= LARGEST_DENSE:
        # The sets of a method without a quantum candidate differ in nothing, and one compiles sooner.
        sets = SETS if "qlsa" in candidates else SETS[:1]
        return TrainOptions(scheduling=dataclasses.replace(scheduling, solvers=candidates, assumptions=sets))
    # The same for all: they compile once, and differ in whose predictions count.
    others = () if largest > LARGEST_PREDICTED else ("lu", "qlsa")
    return TrainOptions(
        # The least scale of the damping is 1e-3, below which float32 proves no system definite.
        conditioning=ConditioningOptions(("damp(relative=2)",)),
        scheduling=dataclasses.replace(
            scheduling,
            solvers=("cg(rtol=0.1, preconditioner=kfac)", *others),
            policy="fixed-candidate(cg)" if others else "fastest",
        ),
    )
