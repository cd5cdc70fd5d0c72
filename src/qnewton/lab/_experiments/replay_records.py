"""What a replay of a run's decisions is asked, and what it finds."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator

from ..._hardware import QuantumProfile, load_profile
from .._runfile import SetDecision, SystemLine
from .options import SchedulingOptions

PIECE = 1024
"""Lines whose decisions are made at once; of a longer run no more is kept."""


@dataclasses.dataclass(frozen=True)
class Question:
    """Changes for a replay; None keeps the run's own setting.

    Attributes:
        hardware: quantum profile.
        gate_time_s: of the quantum machine; with another `hardware` and None, that profile's own.
        assumptions: sets.
        classical: classical data-sheet profile, in the place of the run's calibration.
        policy: as `--policy` names it.
    """

    hardware: str | None = None
    gate_time_s: float | None = None
    assumptions: tuple[str, ...] | None = None
    classical: str | None = None
    policy: str | None = None


@dataclasses.dataclass(frozen=True)
class Decision:
    """The decision of one assumption set on the systems of a line.

    Attributes:
        line: as recorded.
        steps: of the training that it holds for.
        seconds: of each candidate; infinite where it cannot take the systems, and of a group perhaps a bound.
        before: what the run says under the set; None where it had no such set.
        choice: now; None where nobody can take the systems, and where it is open.
        rivals: candidates among which bounds leave it open; otherwise empty.
    """

    line: SystemLine
    steps: int
    seconds: dict[str, float]
    before: SetDecision | None
    choice: str | None
    rivals: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """`unchanged`, `changed`, `open`, or `new` where there is nothing to compare with."""
        if self.rivals:
            return "open"
        if self.before is None or self.before.verdict == "open":
            return "new"
        return "unchanged" if self.before.choice == self.choice else "changed"


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some of the decisions of one assumption set.

    Attributes:
        decisions: in their order.
        solve_seconds: as of `Replayed`, of these.
        classical_seconds: likewise.
    """

    decisions: tuple[Decision, ...]
    solve_seconds: float
    classical_seconds: float


class Decisions(Iterable[Decision]):
    """Decisions of one assumption set; those of a long run are made once more for each who asks, and not kept."""

    def __init__(self, pieces: Callable[[], Iterable[Piece]]):
        """Take a function that makes them."""
        self._pieces = pieces

    def __iter__(self) -> Iterator[Decision]:
        return (decision for piece in self._pieces() for decision in piece.decisions)


@dataclasses.dataclass(frozen=True)
class Replayed:
    """The decisions of one assumption set. All seconds are predicted.

    Attributes:
        assumed: the set.
        decisions: on every block of every step, in their order, or on every group once for all steps that it is valid
            for; where groups have changed very often, once for a thousand lines.
        of_groups: whether they are on groups.
        compared: whether the run had the set.
        recorded: whether the seconds are the run's own, to the last digit.
        outcomes: of the decisions, to their number, one for each line and step.
        takers: solver to the number of systems that it takes; None to those that nobody can take, `open` to open ones.
        first_changed: the first decision that is another than the run's; None: there is none.
        solve_seconds: of all solves, or of their makespans; of open systems none.
        classical_seconds: the same, if everything had gone to the fastest classical candidate.
        quantum_share: fraction of the systems.
    """

    assumed: str
    decisions: Decisions
    of_groups: bool
    compared: bool
    recorded: bool
    outcomes: dict[str, int]
    takers: dict[str | None, int]
    first_changed: Decision | None
    solve_seconds: float
    classical_seconds: float
    quantum_share: float

    def count(self, outcome: str) -> int:
        """Return the number of decisions, one for each line and step, with that outcome."""
        return self.outcomes.get(outcome, 0)

    @property
    def total(self) -> int:
        """Number of decisions."""
        return sum(self.outcomes.values())


def replayed(
    assumed: str, pieces: Callable[[], Iterable[Piece]], *, recorded: bool, quantum: Collection[str]
) -> Replayed:
    """Count the decisions of an assumption set.

    Args:
        assumed: its name.
        pieces: makes them.
        recorded: whether the seconds are the run's own.
        quantum: candidates that are quantum ones.
    """
    outcomes: Counter[str] = Counter()
    takers: Counter[str | None] = Counter()
    first, of_groups, compared, solving, classical = None, False, False, 0.0, 0.0
    kept: list[Piece] = []
    for place, piece in enumerate(pieces()):
        kept = [piece] if place == 0 else []
        solving, classical = solving + piece.solve_seconds, classical + piece.classical_seconds
        for one in piece.decisions:
            outcomes[one.outcome] += one.steps
            takers["open" if one.rivals else one.choice] += one.steps * one.line.count
            of_groups = of_groups or one.line.group
            compared = compared or one.before is not None
            if first is None and one.outcome == "changed":
                first = one
    return Replayed(
        assumed=assumed,
        decisions=Decisions((lambda: kept) if kept else pieces),
        of_groups=of_groups,
        compared=compared,
        recorded=recorded,
        outcomes=dict(outcomes),
        takers=dict(takers),
        first_changed=first,
        solve_seconds=solving,
        classical_seconds=classical,
        quantum_share=sum(takers[name] for name in quantum) / sum(takers.values()),
    )


def asked(own: SchedulingOptions, question: Question) -> SchedulingOptions:
    """The options of a run with the changes of a question."""
    changes = {}
    if question.hardware is not None and question.hardware != own.hardware:
        changes["hardware"] = question.hardware
        profile = load_profile(question.hardware)
        if not isinstance(profile, QuantumProfile):
            raise ValueError(
                f"--hardware is {question.hardware}, a classical machine: give a quantum profile, or name it with "
                "--classical"
            )
        changes["gate_time_s"] = profile.two_qubit_time_s
    if question.gate_time_s is not None:
        changes["gate_time_s"] = question.gate_time_s
    if question.assumptions is not None:
        changes["assumptions"] = question.assumptions
    if question.policy is not None:
        changes["policy"] = question.policy
    return dataclasses.replace(own, **changes)
