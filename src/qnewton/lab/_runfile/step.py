"""`steps.jsonl`: one line per training step."""

from .base import Record

STAGES = ("gradient", "curvature", "conditioning", "estimation", "solve_classical", "solve_quantum")
"""The parts of a step's predicted seconds."""


class PredictedSeconds(Record, frozen=True):
    """Predicted seconds of one step under one assumption set.

    Attributes:
        gradient, curvature, conditioning, estimation: of these stages.
        solve_classical, solve_quantum: of the solves that the set gives to either.
        total: their sum, with the makespan in the place of the two solves where `--policy makespan` shares them out.
    """

    gradient: float
    curvature: float
    conditioning: float
    estimation: float
    solve_classical: float | None
    solve_quantum: float | None
    total: float | None

    def stage(self, name: str) -> float | None:
        """Return the seconds of one of `STAGES`, or `total`."""
        return getattr(self, name)


class PredictedSchedule(Record, frozen=True):
    """Assignment of a step's blocks by `--policy makespan` under one assumption set.

    Attributes:
        makespan_s: when the last worker is done.
        lower_bound_s: below which no schedule can be.
        finish_s: worker to when it is done.
        notes: what is out of the ordinary.
    """

    makespan_s: float | None
    lower_bound_s: float | None
    finish_s: dict[str, float | None]
    notes: tuple[str, ...]


class AttemptLine(Record, frozen=True):
    """A block that was given to a worker of `--workers`, and what became of it. Seconds count from the step's begin.

    Attributes:
        block: its name.
        worker: who got it; `driver`: the step solved it itself.
        candidate: that solved it.
        outcome: `solved`; `died` or `late`, of the block the worker was at; `moved`, of one that waited there;
            `residual` where the solution was none; `stale` where an earlier one stands in; `driver` where no worker was
            left.
        predicted_seconds: of the solve there.
        predicted_end: when it is over.
        measured_sent, measured_received: when the driver gave it away, and heard of it.
        measured_started, measured_ended: of the solve, by the worker's clock; null without an answer.
        measured_queued: of that, in the queue of a quantum machine.
        paid: price of the solve, in the currency of the quantum worker's service.
        residual: of the answer; null without one.
        age: steps since the system that the solution is of.
    """

    block: str
    worker: str
    candidate: str
    outcome: str
    predicted_seconds: float | None
    predicted_end: float | None
    measured_sent: float
    measured_received: float
    measured_started: float | None
    measured_ended: float | None
    measured_queued: float
    paid: float
    residual: float | None
    age: int


class StepLine(Record, frozen=True):
    """One training step.

    Attributes:
        step: from 0.
        epoch: passes over the training data before this step.
        loss: mean loss of the batch at the parameters before the step.
        train_loss, test_loss: over all data, after the step; null where not evaluated.
        test_accuracy: the same; always null of a task without right answers (`autoencoder`, `poisson-pinn`).
        learning_rate: as applied; of `kfac` its coefficient of the direction, of `dual_newton` 1.
        damping_scale: factor on the damping of all blocks, as adapted so far (1 when fixed); null where every block
            has its own; of a complete optimizer its damping; null of a baseline.
        reduction_ratio: actual over predicted decrease of the batch loss; null of a baseline.
        accepted: false: the trial step raised the loss, and the parameters stayed.
        statuses: status to number of systems; of `kfac`, of layers and the rest; of `dual_newton`, of steps.
        measured_seconds: wall clock of the jitted step.
        measured_evaluation_seconds: wall clock of the evaluation after it.
        predicted_seconds: assumption set to seconds of each stage; see below.
        predicted_schedule: of `--policy makespan`, assumption set to its schedule, see below; otherwise empty.
        systems: lines of `blocks.jsonl` that are of this step; 0: its systems are those of the step before, if any.
        attempts: of `--workers`, who got which block, in the order in which it was decided what became of it, see
            below; otherwise empty.
    """

    step: int
    epoch: float | None
    loss: float | None
    train_loss: float | None
    test_loss: float | None
    test_accuracy: float | None
    learning_rate: float | None
    damping_scale: float | None
    reduction_ratio: float | None
    accepted: bool
    statuses: dict[str, int]
    measured_seconds: float
    measured_evaluation_seconds: float
    predicted_seconds: dict[str, PredictedSeconds]
    predicted_schedule: dict[str, PredictedSchedule]
    systems: int
    attempts: tuple[AttemptLine, ...] = ()
