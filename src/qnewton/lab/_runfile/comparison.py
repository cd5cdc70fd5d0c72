"""`compare.json`: optimizers at equal tuning effort, the source of page and tables."""

from typing import Any, Literal

from .base import Record
from .config import BlockSize, DataRecord, MachineRecord


class ComparedModel(Record, frozen=True):
    """Model that every method trained.

    Attributes:
        description, parameters, blocks: as in `config.json`.
        rows: of the largest system, the whole network's.
    """

    description: str
    parameters: int
    blocks: tuple[BlockSize, ...]
    rows: int


class TrialRecord(Record, frozen=True):
    """One training of the tuning.

    Attributes:
        value: of the tuned option.
        lowest_test_loss: what is minimised; null where none was finite.
        status: how it ended.
        steps: taken.
        round: 0 of the first grid; each further one gave every tuned method one more trial.
    """

    value: float
    lowest_test_loss: float | None
    status: Literal["finished", "diverged"]
    steps: int
    round: int


class CurvePoint(Record, frozen=True):
    """One evaluation.

    Attributes:
        step: steps done.
        measured_seconds: of them; null of a method that was not run.
        modelled_seconds: assumption set to seconds.
        train_loss, test_loss, test_accuracy: over all data.
    """

    step: int
    measured_seconds: float | None
    modelled_seconds: dict[str, float | None]
    train_loss: float | None
    test_loss: float | None
    test_accuracy: float | None


class ComparedRun(Record, frozen=True):
    """One seed of a method.

    Attributes:
        seed: of the parameters and of the order of the batches.
        directory: of the run.
        status: how it ended.
        steps: taken.
        measured_seconds: of them; null of a method that was not run.
        modelled_seconds: assumption set to seconds.
        quantum_share: assumption set to the fraction of the systems that it gives to a quantum solver.
        train_loss, test_loss, test_accuracy: at the end.
        lowest_test_loss: of all evaluations.
        curve: see below.
    """

    seed: int
    directory: str
    status: Literal["finished", "diverged"]
    steps: int
    measured_seconds: float | None
    modelled_seconds: dict[str, float | None]
    quantum_share: dict[str, float | None]
    train_loss: float | None
    test_loss: float | None
    test_accuracy: float | None
    lowest_test_loss: float | None
    curve: tuple[CurvePoint, ...]


class SeedSpread(Record, frozen=True):
    """A quantity over the seeds.

    Attributes:
        median, least, greatest: of them.
    """

    median: float
    least: float
    greatest: float


class ComparedSummary(Record, frozen=True):
    """The quantities of `runs` over the seeds, null where one is missing.

    Attributes:
        steps, train_loss, test_loss, test_accuracy, lowest_test_loss, measured_seconds: of that quantity; see below.
        modelled_seconds, quantum_share: assumption set to the same.
        diverged: how many seeds did.
    """

    steps: SeedSpread | None
    train_loss: SeedSpread | None
    test_loss: SeedSpread | None
    test_accuracy: SeedSpread | None
    lowest_test_loss: SeedSpread | None
    measured_seconds: SeedSpread | None
    modelled_seconds: dict[str, SeedSpread | None]
    quantum_share: dict[str, SeedSpread | None]
    diverged: int


class ComparedMethod(Record, frozen=True):
    """One method.

    Attributes:
        name: on the command line and in files.
        label: in tables and figures.
        note: what its numbers mean.
        tuned: the option that is; null: nothing.
        value: what was chosen.
        on_the_edge: whether that is the outermost of what was tried.
        trials: see below.
        measured, predicted: which clock its seconds are of. Not measured: it was not run, and is priced upon the steps
            of `steps_of`. Not predicted: `modelled_seconds` are the measured ones.
        steps_of: the method whose steps these are; null: its own.
        runs: one per seed; see below.
        summary: see below.
    """

    name: str
    label: str
    note: str
    tuned: str | None
    value: float | None
    on_the_edge: bool
    trials: tuple[TrialRecord, ...]
    measured: bool
    predicted: bool
    steps_of: str | None
    runs: tuple[ComparedRun, ...]
    summary: ComparedSummary


class TargetMethod(Record, frozen=True):
    """Time at which a method met a target.

    Attributes:
        name: of the method.
        reached: seeds that did.
        of: seeds.
        steps, measured_seconds: of the median seed; null where it did not get there.
        modelled_seconds: assumption set to the same.
    """

    name: str
    reached: int
    of: int
    steps: float | None
    measured_seconds: float | None
    modelled_seconds: dict[str, float | None]


class TargetRecord(Record, frozen=True):
    """A loss or an accuracy to be reached.

    Attributes:
        quantity: which.
        value: of it.
        source: whose result set it, or that it was asked for.
        methods: see below.
    """

    quantity: Literal["test_accuracy", "test_loss"]
    value: float
    source: str
    methods: tuple[TargetMethod, ...]


class ComparisonFile(Record, frozen=True):
    """A comparison.

    Attributes:
        schema_version: 1.
        started, versions, machine, commit: as in `config.json`.
        options: as given.
        model: see below.
        data: as in `config.json`.
        assumptions: the sets.
        hardware: the quantum profile.
        reference: whose results set the targets.
        left_out: method to why.
        methods: one per method; see below.
        targets: see below.
    """

    schema_version: int
    started: str
    versions: dict[str, str | None]
    machine: MachineRecord
    commit: str | None
    options: dict[str, Any]
    model: ComparedModel
    data: DataRecord
    assumptions: tuple[str, ...]
    hardware: str
    reference: str
    left_out: dict[str, str]
    methods: tuple[ComparedMethod, ...]
    targets: tuple[TargetRecord, ...]
