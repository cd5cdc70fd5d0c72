"""All options of a training run, as typed dataclasses from which the command line is made.

The docstring under each field is its `--help` text. No imports of jax here: parsing must be quick.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

import tyro

from .limits import COUNT, DISTINCT, GATE_TIME, SEED, Limit, Limited, at_least, finite, positive
from .parts import catalogue, names_of, part

if TYPE_CHECKING:
    AssumptionSet: TypeAlias = str
    QuantumHardware: TypeAlias = str
else:
    AssumptionSet = Literal[names_of("assumptions")]
    QuantumHardware = Literal[names_of("hardware")]


def _named(kind: str) -> Any:
    """How help shows an option that takes a part: by the words that there are."""
    return tyro.conf.arg(metavar="{" + ",".join(catalogue()[kind]) + "}")


def _part(kind: str, option: str) -> Limit:
    """Return the rule that keeps the text of a part in one form; `part` says what is wrong with it."""
    return Limit(lambda text: True, "", normal=lambda text: str(part(kind, text, option)))


_RATE = positive("it must be a positive number (1 is the full Newton step), or None")
_LARGEST = Limit(lambda value: isinstance(value, str) or value >= 1, "it must be at least 1")
_CANDIDATES = Limit(lambda values: len(values) > 0, "name at least one candidate", whole=True)
_SETS = Limit(lambda values: len(values) > 0, "name at least one set, e.g. paper", whole=True)
_WORKERS = Limit(
    lambda value: value == "ray" or (value.startswith("ray:") and value[4:].rpartition(":")[2].isdigit()),
    "it is ray for workers of this machine, or ray:HOST:PORT with the address of a running cluster",
)
_SECONDS = positive("it must be positive and finite, or None")


@dataclass(frozen=True)
class TaskOptions(Limited):
    """Sizes and data of a task: empty unless the task has some of its own (`task_options.TASKS`).

    Attributes:
        preset: where its other options start from, unless one is asked for.
        batch_size: largest batch that a preset asks for here.
    """

    preset: ClassVar[str] = "default"
    batch_size: ClassVar[int] = 2048


@dataclass(frozen=True)
class TrainingOptions(Limited):
    """Length of the training."""

    steps: Annotated[int, COUNT] = 12
    """Training steps."""
    batch_size: Annotated[int, COUNT] = 2048
    """Examples per step; at most the whole training set is used."""
    evaluate_every: Annotated[int, COUNT] = 1
    """Steps between evaluations on all training and test data (the last step is always evaluated)."""
    seed: Annotated[int, SEED] = 0
    """Seed of the initial parameters and of the order of the batches."""
    dtype: Literal["float32", "float64"] = "float32"
    """Floating-point type of parameters, data and systems."""
    blas_threads: Annotated[int, COUNT] = 1
    """Threads for dense factorisations on the CPU; on few or shared cores one is usually fastest."""
    checkpoint_every: Annotated[int, at_least(0, "it counts steps; 0: by the clock")] = 0
    """Steps between checkpoints, of which the newest three are kept: a run that is killed loses no more than these
    (0: every 30 seconds, or less often where saving would take more than 5 % of the time). Ctrl-C saves in any case."""
    seconds: Annotated[float | None, _SECONDS] = None
    """Measured seconds of steps after which no further one begins, fewer than --steps if need be; None: no limit."""
    least_steps: Annotated[int, COUNT] = 1
    """Steps that are taken whatever --seconds says."""
    evaluate_seconds: Annotated[float | None, _SECONDS] = None
    """Measured seconds of steps between evaluations, in the place of --evaluate-every; None: that counts."""
    time_solves: Annotated[int, at_least(0, "it counts steps; 0 times nothing")] = 0
    """Steps between those whose solves run once more, alone, and are timed: every classical candidate that can take the
    block (0: none). `qnewton calibrate --learn` reads them. Costs compilation and these solves."""

    processes: Annotated[int, COUNT] = 1
    """Processes on this machine that train together, each on its part of every batch; a cluster that starts several
    decides by itself."""
    log: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Services that get the numbers of every step, too, through their own clients (extras tensorboard, wandb, mlflow).
    TensorBoard's files lie in the run's folder tensorboard; for the others their own environment variables act."""


@dataclass(frozen=True)
class StepOptions(Limited):
    """The Newton step."""

    curvature: Annotated[str, _named("curvature"), _part("curvature", "curvature")] = "gauss-newton"
    """Curvature matrix: generalised Gauss-Newton; the exact Hessian (Q-Newton's MLP); the empirical Fisher matrix, a
    sequence being one example, with an absolute damping of 1e-3. empirical-fisher(damping_floor=0) is that of
    Q-Newton's language models, whose steps grow like 1/|g|."""
    partition: Annotated[str, _named("partition"), _part("partition", "partition")] = "whole"
    """Parameters that share a system."""
    largest: Annotated[int | Literal["published"] | None, _LARGEST] = None
    """Most parameters of a system: a tensor (or layer) with more keeps its raw gradient for a direction. published, of
    the language models: 4 x hidden x intermediate + 4 x hidden, and embeddings, norms and head have none. None: no
    limit. With --adaptation fixed alone."""
    learning_rate: Annotated[float | None, _RATE] = None
    """Factor on the Newton direction (None: 1, the whole step); the learning rate of a baseline (None: its own)."""
    warmup_steps: Annotated[int, at_least(0)] = 0
    """Steps over which the learning rate rises linearly to its value (0: none)."""
    decay: bool = False
    """Let the learning rate fall linearly to 0 at the last step."""
    weight_decay: Annotated[float, finite("it is finite and at least 0")] = 0.0
    """Decoupled weight decay of newton, times the learning rate."""
    clip: Annotated[float | None, Limit(lambda value: value > 0, "it must be positive, or None")] = None
    """Largest absolute entry of the Newton direction; None does not clip."""


@dataclass(frozen=True)
class ConditioningOptions(Limited):
    """Damping, pruning and other changes of each system before it is solved."""

    conditioners: Annotated[tuple[str, ...], _named("conditioner"), _part("conditioner", "conditioners")] = (
        "damp(relative=0.5)",
    )
    """Changes of each system, from first to last (`qnewton parts conditioner`), e.g. 'prune(keep=0.5)' 'damp(0.005)',
    Q-Newton's; its published code damps first and prunes rows: 'damp(0.005, offset=1e-6)' 'prune-rows(0.5)'."""
    adaptation: Annotated[str, _named("adaptation"), _part("adaptation", "adaptation")] = "levenberg-marquardt"
    """How the damping of the conditioners changes during the training. levenberg-marquardt: by how well the model
    predicted the loss, and steps that raise the batch loss are refused. fixed: not at all (Q-Newton)."""


@dataclass(frozen=True)
class SchedulingOptions(Limited):
    """Candidates for a system, and charges of a quantum solve."""

    solvers: Annotated[tuple[str, ...], _named("solver"), _CANDIDATES, _part("solver", "solvers"), DISTINCT] = (
        "cholesky",
        "lu",
        "qlsa",
    )
    """Candidates of the scheduler, each a word or a word with parameters, e.g. 'cg(rtol=1e-5, preconditioner=kfac)'
    (`qnewton parts solver`); the first wins a tie. With cg, minres or dual among them, blocks are formed only for a
    candidate that needs the matrix, wherever the estimator does without it. qlsa is charged for Q-Newton's published
    count, and a classical solve gives the numbers (execution modelled). 'emulated-qsvt(measurement=shots(1000),
    length=line-fit)' reads out the exact state of a circuit, with as many products as the circuit makes queries
    (emulated), circuit-qsvt runs one. 'conditioned(qlsa, prune(0.5), always=true)' prunes for that candidate alone,
    which pays for it; `qnewton explain` says what it bought."""
    policy: Annotated[str, _named("policy"), _part("policy", "policy")] = "fastest"
    """How predictions become a choice, e.g. 'budget(limit=0.1, quantum_rate=25e3)' (`qnewton parts policy`). fastest:
    least predicted seconds (Q-Newton). kappa-threshold: the same, but classical above a condition number (its third
    version). fixed-candidate(lu): one of --solvers for every system."""
    estimator: Annotated[str, _named("estimator"), _part("estimator", "estimator")] = "automatic"
    """How the condition number is found; certified and probabilistic-lanczos bound it, determinant-norm is the paper's,
    right but exponentially loose."""
    second_estimator: Annotated[str | None, _named("estimator"), _part("estimator", "second-estimator")] = None
    """Another one, whose condition number is recorded beside the first one's and decides nothing; each step takes as
    much longer. None: there is none."""
    assumptions: Annotated[tuple[AssumptionSet, ...], _SETS, DISTINCT] = ("paper",)
    """What a quantum solve is charged for: the choices of the first set are carried out, those of all are recorded
    (`paper end_to_end` for both sides; end_to_end takes a few seconds more to compile)."""
    hardware: QuantumHardware = "superconducting"
    """Error rates and code of the quantum machine, for end_to_end."""
    gate_time_s: Annotated[float, GATE_TIME] = 50e-9
    """Seconds of a physical gate, with which all operations of the machine scale (50e-9: superconducting); under paper
    that is what a query takes."""
    gate_times_s: Annotated[tuple[float, ...], GATE_TIME] = (50e-9, 1e-9, 1e-12, 1e-15, 1e-18)
    """Gate times for which quantum seconds and shares are reported, besides the one above."""
    calibration: str = "profile"
    """What classical predictions rest on, frozen for the run. profile: the times of a processor, published or
    measured, at the speed that a probe of a tenth of a second finds here. measure: this machine, kernel by kernel, now.
    kept: what `qnewton calibrate` measured and learned here last. Or a file of it, or another run's calibration.json,
    which must be of this machine: two runs with the same seconds decide alike."""


@dataclass(frozen=True)
class WorkerOptions(Limited):
    """Workers that solve the blocks of a step at once."""

    workers: Annotated[str | None, _WORKERS] = None
    """Who solves the blocks of a step at once. ray: workers of a local Ray, one for each core, which ends with the
    training. ray:HOST:PORT: those of a running cluster, quantum workers of `qnewton worker` among them. None: the step
    solves them itself, one after the other. Blocks are formed, each by the driver; needs the extra cluster."""
    worker_cpus: Annotated[int | None, at_least(0, "it counts workers, or None")] = None
    """Workers with a CPU each; None: as many as there are."""
    worker_qpus: Annotated[int, at_least(0, "it counts quantum workers")] = 0
    """Quantum workers on this machine, which carry out the quantum candidate without a queue."""
    stale: Annotated[int, at_least(0, "it counts steps; 0: none")] = 0
    """Steps that a block's last solution may be old where a worker is late with a new one; 0: the block is solved again
    elsewhere."""


@dataclass(frozen=True)
class TrainOptions(Limited):
    """Train a task with Newton's method, with the solver of each Newton system chosen by predicted seconds."""

    preset: Literal["default", "blocks", "paper", "paper-code", "kfac", "dual-newton", "fisher-newton"] = "blocks"
    """Starting point of all options below; the values shown are the preset's. default: the family of systems that suits
    the task, every system scheduled. blocks: one joint Gauss-Newton system, which all groups of options act on. paper:
    faithful to Q-Newton (exact Hessian per tensor, LU against QLSA, published schedule). paper-code: with the order of
    regularisation and pruning, and the unsymmetric rows, of its published code. kfac, dual-newton, fisher-newton: the
    optimizer of that name."""
    optimizer: Annotated[str, _named("optimizer"), _part("optimizer", "optimizer")] = "newton"
    """newton: by the systems of --family, each given to the scheduler. kfac: K-FAC with momentum, for large batches.
    dual-newton: Levenberg-Marquardt in the residuals, for examples times outputs up to about 1,500. fisher-newton: the
    empirical Fisher matrix of each unit, for language models and other noisy batches. These are complete: they set
    direction, length and damping themselves, and read the options of the training and of the scheduler's candidates.
    sgd, momentum (Nesterov's), adam, adamw, muon (matrices; all else by Adam) and lbfgs (with a line search) are
    optax's, baselines to compare with, e.g. 'lbfgs(memory=40)' (`qnewton parts optimizer`): they and fisher-newton also
    read --learning-rate, --warmup-steps and --decay."""
    family: Literal["automatic", "blocks", "dual", "kfac", "fisher"] = "blocks"
    """Of newton: what its systems are made of. automatic: what suits the task by its shapes, which config.json says.
    dual, kfac, fisher: of the residuals, of each layer, of each unit; complete, as the optimizers above. blocks: of
    blocks of parameters; all options below act."""
    out: Path | None = None
    """Directory of the run; must not exist or be empty. None: a new one under runs/."""
    task: TaskOptions = field(default_factory=TaskOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    step: StepOptions = field(default_factory=StepOptions)
    conditioning: ConditioningOptions = field(default_factory=ConditioningOptions)
    scheduling: SchedulingOptions = field(default_factory=SchedulingOptions)
    crew: WorkerOptions = field(default_factory=WorkerOptions)

    @property
    def optimizer_word(self) -> str:
        """The optimizer without its parameters."""
        return part("optimizer", self.optimizer, "optimizer").word
