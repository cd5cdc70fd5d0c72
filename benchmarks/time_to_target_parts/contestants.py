"""What takes part in the race, whoever wrote it: a contestant, its configurations, and a compiled program."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .problems import Params, Problem

# Tuning effort: every rival gets exactly this many configurations on every problem it enters, and ours at most as many.
EFFORT = 6


@dataclass(frozen=True)
class Configuration:
    """One point of a tuning grid.

    Attributes:
        traced: numbers handed to the compiled program as arguments, so that they share one compilation.
        static: settings that the program is compiled for.
    """

    traced: dict[str, float] = field(default_factory=dict)
    static: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> dict[str, Any]:
        return {**self.static, **self.traced}


class Training(ABC):
    """One run from fresh parameters.

    Attributes:
        seconds: on the clock so far: without compilation and evaluation.
        steps: taken so far.
        over: whether it can go no further.
    """

    seconds: float = 0.0
    steps: int = 0
    over: bool = False

    @abstractmethod
    def advance(self) -> None:
        """Take the next steps and add their seconds."""

    @abstractmethod
    def candidates(self) -> list[Params]:
        """Parameters to evaluate: the present ones and, with mini-batches, their running average."""


class Program(ABC):
    """A contestant compiled for one problem and one set of static settings.

    Attributes:
        compile_seconds: tracing and compilation.
        steps_per_chunk: steps between two evaluations; 1 where the contestant decides itself.
    """

    compile_seconds: float
    steps_per_chunk: int = 1

    @abstractmethod
    def begin(self, seed: int, configuration: Configuration, limit_seconds: float) -> Training:
        """A run with the seed's parameters and batches; nothing past the limit is of interest."""


@dataclass(frozen=True)
class Contestant:
    """An optimizer with its tuning grid.

    Attributes:
        name: in the output.
        family: `first-order`, `quasi-newton`, `second-order` or `least-squares`.
        grid: problem name to configurations; problems that are missing are not entered, with `reason`.
        build: compiles.
        ours: whether it is qnewton's.
        missing: why it cannot take part at all ("not installed"), or None.
        reason: why some problems are missing from the grid.
    """

    name: str
    family: str
    grid: dict[str, tuple[Configuration, ...]]
    build: Callable[[Problem, dict[str, Any]], Program]
    ours: bool = False
    missing: str | None = None
    reason: str = "does not apply"

    def __post_init__(self) -> None:
        for problem, configurations in self.grid.items():
            n = len(configurations)
            if n > EFFORT or (n < EFFORT and not self.ours):
                raise ValueError(f"{self.name} has {n} configurations on {problem}, not {EFFORT}")


def product(*, static: dict[str, tuple] | None = None, **traced: tuple[float, ...]) -> tuple[Configuration, ...]:
    """All combinations of the given values, the static ones varying slowest."""
    points: list[Configuration] = [Configuration()]
    for name, values in (static or {}).items():
        points = [Configuration(p.traced, {**p.static, name: v}) for p in points for v in values]
    for name, values in traced.items():
        points = [Configuration({**p.traced, name: v}, p.static) for p in points for v in values]
    return tuple(points)
