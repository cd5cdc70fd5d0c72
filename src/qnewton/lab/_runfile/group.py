"""Equal systems of a complete optimizer's step: the chosen solver, and each candidate's time."""

from typing import Literal

import msgspec

from .base import Record

GroupVerdictName = Literal["chosen", "nobody", "over_budget", "open"]


class FamilyRecord(Record, frozen=True):
    """The family of systems that a complete optimizer's steps solve, and facts that hold for all of them.

    Attributes:
        name: `kfac`, `dual`, `fisher` or `blocks`.
        because: why it was chosen; empty where `--family` or `--optimizer` names it.
        acting: the assumption set whose choices are carried out; null where the systems are not priced.
        gate_time_s: of the quantum machine that the modelled seconds are of; likewise.
        relative_error: what a step bears of every solve, in the energy norm (of `dual`, in that of the step); likewise.
        layers: of `kfac`, kind of layer to the share of all parameters that is in such layers.
        outside: likewise, reason why parameters are in no layer to their share.
    """

    name: str
    because: str
    acting: str | None
    gate_time_s: float | None
    relative_error: float | None
    layers: dict[str, float] = msgspec.field(default_factory=dict)
    outside: dict[str, float] = msgspec.field(default_factory=dict)


class GroupDecision(Record, frozen=True):
    """Decision of one assumption set on a group. All seconds are of the whole group and one step.

    Attributes:
        choice: null where nobody can take the systems, and where bounds leave it open.
        verdict: `chosen`; `nobody`; `over_budget`, as of a block; `open`: more than one candidate could be the choice,
            and only a condition number would tell, which the acting set did not need.
        predicted_seconds: classical candidate to seconds, null where it cannot take the systems; set-ups are shared
            out over the steps that they serve.
        modelled_seconds: quantum candidate to seconds.
        at_least: candidates whose seconds are a lower bound, over all condition numbers.
        refused: candidate to the reason, its own or that of the policy which passed it over.
    """

    choice: str | None
    verdict: GroupVerdictName
    predicted_seconds: dict[str, float | None]
    modelled_seconds: dict[str, float | None]
    at_least: tuple[str, ...]
    refused: dict[str, str]

    @property
    def quantum(self) -> bool:
        """Whether the choice is a quantum candidate."""
        return self.choice in self.modelled_seconds

    @property
    def seconds(self) -> dict[str, float | None]:
        """Seconds of all candidates, for comparison, by the clock that each has."""
        return self.predicted_seconds | self.modelled_seconds


class GroupLine(Record, frozen=True):
    """Equal systems of a step.

    Attributes:
        name: what they are, in words.
        rows: of one system.
        count: how many there are.
        vectors: right-hand sides of each in a step.
        serves: steps that one set-up serves.
        estimated: whether the condition number was looked at. Where it was not, none would have changed the choice of
            the acting set.
        log10_condition_number: of the worst of them; null where it was not looked at, or is infinite.
        assumptions: assumption set, the acting one first, to what it says; see below.
    """

    name: str
    rows: int
    count: int
    vectors: int
    serves: int
    estimated: bool
    log10_condition_number: float | None
    assumptions: dict[str, GroupDecision]


class GroupTotals(Record, frozen=True):
    """Totals of one assumption set over all systems of a training's steps.

    Attributes:
        predicted_seconds: of the systems that go to classical candidates.
        modelled_seconds: of those that go to quantum ones.
        solved_by: choice to number of systems.
        open: systems without a choice, which are in neither sum.
    """

    predicted_seconds: float
    modelled_seconds: float
    solved_by: dict[str, int]
    open: int
