"""The record of a solve by a worker."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """A block that was given to a worker, and what became of it. Seconds are measured unless they say otherwise.

    Attributes:
        step: of the training.
        block: its name.
        worker: who got it; `driver` where the step solved it itself.
        candidate: that solved it.
        outcome: `solved`; `died` and `late`, of the one at work; `moved`, of one that had not begun there; `residual`
            where the solution was none; `stale` where an earlier solution stands in; `driver`.
        predicted_s: predicted seconds of the solve there.
        planned_end_s: predicted, when it is over, from the step's begin.
        sent_s, received_s: from the step's begin; of `driver` and `stale` both when that was decided.
        started_s, ended_s: likewise, by the worker's clock; None without an answer.
        queued_s: of these, spent in the queue of a quantum machine.
        paid: price.
        residual: `||A x - b|| / ||b||`; None without an answer.
        age: steps since the system that the solution is of.
    """

    step: int
    block: str
    worker: str
    candidate: str
    outcome: str
    predicted_s: float
    planned_end_s: float
    sent_s: float
    received_s: float
    started_s: float | None = None
    ended_s: float | None = None
    queued_s: float = 0.0
    paid: float = 0.0
    residual: float | None = None
    age: int = 0
