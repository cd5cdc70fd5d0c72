"""Every option of a training run, as typed dataclasses that the command line is made from.

The docstring under each field is its `--help` text. No imports of jax here: parsing must be quick.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

SolverName = Literal["cholesky", "lu", "inverse", "gauss-jordan", "eigh", "cg", "minres", "dual", "qlsa"]


def _require(ok: bool, option: str, value: object, rule: str) -> None:
    if not ok:
        raise ValueError(f"--{option} is {value}: {rule}")


@dataclass(frozen=True)
class TaskOptions:
    """Sizes and data of a task: none, unless it has some of its own (`task_options.TASK_OPTIONS`).

    Attributes:
        preset: where its other options start from, unless one is asked for.
        batch_size: largest batch that a preset asks for here.
    """

    preset: ClassVar[str] = "default"
    batch_size: ClassVar[int] = 2048


@dataclass(frozen=True)
class TrainingOptions:
    """Length of the training."""

    steps: int = 12
    """Training steps."""
    batch_size: int = 2048
    """Examples per step; at most the whole training set is used."""
    evaluate_every: int = 1
    """Steps between evaluations on all training and test data (the last step is always evaluated)."""
    seed: int = 0
    """Seed of the initial parameters and of the order of the batches."""
    dtype: Literal["float32", "float64"] = "float32"
    """Floating-point type of parameters, data and systems."""
    blas_threads: int = 1
    """Threads for dense factorisations on the CPU; on few or shared cores one is usually fastest."""
    checkpoint_every: int = 0
    """Steps between checkpoints, of which the newest three are kept: a run that is killed loses no more than these
    (0: every 30 seconds, or less often where saving would take more than 5 % of the time). Ctrl-C saves in any case."""
    seconds: float | None = None
    """Measured seconds of steps after which no further one begins, fewer than --steps if need be; None: no limit."""
    least_steps: int = 1
    """Steps that are taken whatever --seconds says."""
    evaluate_seconds: float | None = None
    """Measured seconds of steps between evaluations, in the place of --evaluate-every; None: that counts."""
    time_solves: int = 0
    """Steps between those whose solves run once more, alone, and are timed: every classical candidate that can take the
    block (0: none). `qnewton calibrate --learn` reads them. Costs compilation and these solves."""

    processes: int = 1
    """Processes on this machine that train together, each on its part of every batch; a cluster that starts several
    decides by itself."""
    log: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Services that get the numbers of every step, too, through their own clients (extras tensorboard, wandb, mlflow).
    TensorBoard's files lie in the run's folder tensorboard; for the others their own environment variables act."""

    def __post_init__(self):
        _require(self.time_solves >= 0, "time-solves", self.time_solves, "it counts steps; 0 times nothing")
        _require(
            self.checkpoint_every >= 0,
            "checkpoint-every",
            self.checkpoint_every,
            "it counts steps; 0: by the clock",
        )
        for option in ("steps", "batch_size", "evaluate_every", "blas_threads", "least_steps", "processes"):
            value = getattr(self, option)
            _require(value >= 1, option.replace("_", "-"), value, "it must be at least 1")
        for option in ("seconds", "evaluate_seconds"):
            value = getattr(self, option)
            shown = option.replace("_", "-")
            _require(value is None or 0 < value < math.inf, shown, value, "it must be positive and finite, or None")
        _require(0 <= self.seed < 2**63, "seed", self.seed, "it must be an integer from 0 to 2^63 - 1")


@dataclass(frozen=True)
class StepOptions:
    """The Newton step."""

    curvature: Literal["gauss-newton", "hessian", "empirical-fisher", "empirical-fisher-published"] = "gauss-newton"
    """Curvature matrix: generalised Gauss-Newton; the exact Hessian (Q-Newton's MLP); the empirical Fisher matrix, a
    sequence being one example, with an absolute damping of 1e-3; the same without (Q-Newton's language models), whose
    steps grow like 1/|g|."""
    partition: Literal["whole", "per-layer", "per-tensor"] = "whole"
    """Parameters that share a system."""
    largest: int | Literal["published"] | None = None
    """Most parameters of a system: a tensor (or layer) with more keeps its raw gradient for a direction. published, of
    the language models: 4 x hidden x intermediate + 4 x hidden, and embeddings, norms and head have none. None: no
    limit. With --no-adapt-damping alone."""
    learning_rate: float | None = None
    """Factor on the Newton direction (None: 1, the whole step); the learning rate of a baseline (None: its own)."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly to its value (0: none)."""
    decay: bool = False
    """Let the learning rate fall linearly to 0 at the last step."""
    clip: float | None = None
    """Largest absolute entry of the Newton direction; None does not clip."""

    def __post_init__(self):
        _require(
            self.learning_rate is None or (math.isfinite(self.learning_rate) and self.learning_rate > 0),
            "learning-rate",
            self.learning_rate,
            "it must be a positive number (1 is the full Newton step), or None",
        )
        _require(
            not isinstance(self.largest, int) or self.largest >= 1, "largest", self.largest, "it must be at least 1"
        )
        _require(self.warmup_steps >= 0, "warmup-steps", self.warmup_steps, "it must be at least 0")
        _require(self.clip is None or self.clip > 0, "clip", self.clip, "it must be positive, or None")


@dataclass(frozen=True)
class BaselineOptions:
    """What single optimizers have besides a learning rate."""

    momentum: float = 0.9
    """Of momentum."""
    weight_decay: float | None = None
    """Of adamw and newton: decoupled, times the learning rate. None: 1e-4 of adamw, 0 of newton."""
    memory: int = 20
    """Of lbfgs: pairs of steps and gradients that it remembers."""

    def __post_init__(self):
        _require(0 <= self.momentum < 1, "momentum", self.momentum, "it must lie in [0, 1)")
        _require(
            self.weight_decay is None or 0 <= self.weight_decay < math.inf,
            "weight-decay",
            self.weight_decay,
            "it is finite and at least 0",
        )
        _require(self.memory >= 1, "memory", self.memory, "it counts steps, at least 1")


@dataclass(frozen=True)
class ConditioningOptions:
    """Regularisation and pruning of each system."""

    damping: float = 0.5
    """r of the regularisation H + r max|H| I; the first one where it is adapted."""
    adapt_damping: bool = True
    """Scale the damping by Levenberg-Marquardt's rule, and refuse steps that raise the batch loss."""
    damping_scale: float = 1.0
    """First factor on that damping where it is adapted, from 1e-3 to 1e6."""
    keep: float = 1.0
    """Ratio of each row's entries that pruning keeps, in (0, 1]; 1 does not prune."""
    order: Literal["prune-damp", "damp-prune-rows"] = "prune-damp"
    """Prune symmetrically, then damp; or, as Q-Newton's published code has it, damp and then prune each row alone."""

    def __post_init__(self):
        _require(
            math.isfinite(self.damping) and self.damping >= 0,
            "damping",
            self.damping,
            "it must be a finite number of at least 0 (Q-Newton's usual value is 5e-3); negative damping would "
            "make a definite system indefinite",
        )
        _require(1e-3 <= self.damping_scale <= 1e6, "damping-scale", self.damping_scale, "it starts from 1e-3 to 1e6")
        _require(
            0 < self.keep <= 1,
            "keep",
            self.keep,
            "it must lie in (0, 1]: the ratio of each row's entries that pruning keeps (1 does not prune)",
        )


EstimatorName = Literal[
    "automatic",
    "exact",
    "bracket",
    "certified",
    "probabilistic",
    "lanczos",
    "inverse-lanczos",
    "hager-higham",
    "determinant-norm",
    "definite-determinant-norm",
]


@dataclass(frozen=True)
class SchedulingOptions:
    """Who may solve a system, and what a quantum solve is charged for."""

    solvers: tuple[SolverName, ...] = ("cholesky", "lu", "qlsa")
    """Candidates of the scheduler; the first wins a tie. With cg, minres or dual among them, blocks are formed only for
    a candidate that needs the matrix, wherever the estimator does without it."""
    preconditioner: Literal["none", "jacobi", "kfac", "ekfac"] = "none"
    """Of cg and minres; kfac and ekfac need blocks that are not formed, with recognised layers."""
    rtol: float = 1e-3
    """Relative residual at which cg and minres stop."""
    estimator: EstimatorName = "automatic"
    """How the condition number is found; certified and probabilistic bound it, determinant-norm is the paper's, right
    but exponentially loose."""
    second_estimator: EstimatorName | None = None
    """Another one, whose condition number is recorded beside the first one's and decides nothing; each step takes as
    much longer. None: there is none."""
    assumptions: tuple[Literal["paper", "paper-sparse", "logical", "end_to_end"], ...] = ("paper",)
    """What a quantum solve is charged for: the choices of the first set are carried out, those of all are recorded
    (`paper end_to_end` for both sides; end_to_end takes a few seconds more to compile)."""
    hardware: Literal[
        "superconducting", "superconducting-e4", "trapped-ion", "trapped-ion-e4", "majorana", "majorana-e6"
    ] = "superconducting"
    """Error rates and code of the quantum machine, for end_to_end."""
    gate_time_s: float = 50e-9
    """Seconds of a physical gate, with which all operations of the machine scale (50e-9: superconducting); under paper
    that is what a query takes."""
    gate_times_s: tuple[float, ...] = (50e-9, 1e-9, 1e-12, 1e-15, 1e-18)
    """Gate times for which quantum seconds and shares are reported, besides the one above."""
    precision: float = 1e-2
    """Error of the normalised solution state asked of the quantum solver."""
    quantum_keep: float = 1.0
    """Ratio of each row's entries that qlsa keeps of the system that the other candidates solve as it is, in (0, 1];
    1 does not prune. It pays for the pruning and for an estimate of its own system; `qnewton explain` says what that
    bought. Its residual in the whole system decides whether the step counts."""
    quantum_damping: float = 0.0
    """r of a further regularisation r max|H| I that qlsa alone adds, after that pruning; 0 adds nothing."""
    fidelity: Literal["model", "emulated"] = "model"
    """Of qlsa. model: a classical solve stands in for the quantum state, and the published query count of Q-Newton is
    charged. emulated: the exact state of a circuit, the optimal inversion polynomial by singular value transformation,
    is read out, and its queries are charged; as many products with the block as the circuit makes queries, so keep
    condition numbers low, e.g. by --damping."""
    shots: int | None = None
    """Copies of an emulated state that are measured for the magnitudes of the solution, and as many for the signs;
    None: infinitely many, without read-out noise. The length is fitted by one classical product."""
    noise_seed: int = 0
    """Seed of the shots."""
    calibration: str = "profile"
    """What classical predictions rest on, frozen for the run. profile: the times of a processor, published or
    measured, at the speed that a probe of a tenth of a second finds here. measure: this machine, kernel by kernel, now.
    kept: what `qnewton calibrate` measured and learned here last. Or a file of it, which must be of this machine."""

    def __post_init__(self):
        _require(len(self.solvers) > 0, "solvers", "empty", "name at least one candidate")
        _require(len(set(self.solvers)) == len(self.solvers), "solvers", " ".join(self.solvers), "it names one twice")
        _require(len(self.assumptions) > 0, "assumptions", "empty", "name at least one set, e.g. paper")
        _require(
            len(set(self.assumptions)) == len(self.assumptions),
            "assumptions",
            " ".join(self.assumptions),
            "it names one twice",
        )
        _require(0 < self.rtol < 1, "rtol", self.rtol, "it is relative to the right-hand side and must lie in (0, 1)")
        for option, value in [("gate-time-s", self.gate_time_s), *(("gate-times-s", v) for v in self.gate_times_s)]:
            # The limits keep seconds inside single precision: queries go up to 1e38.
            _require(1e-30 <= value <= 1, option, value, "it must be a number of seconds from 1e-30 to 1")
        _require(
            0 < self.precision < 1,
            "precision",
            self.precision,
            "it is the error of a normalised state and must lie in (0, 1)",
        )
        _require(
            0 < self.quantum_keep <= 1,
            "quantum-keep",
            self.quantum_keep,
            "it must lie in (0, 1]: the ratio of each row's entries that qlsa keeps (1 does not prune)",
        )
        _require(
            math.isfinite(self.quantum_damping) and self.quantum_damping >= 0,
            "quantum-damping",
            self.quantum_damping,
            "it must be a finite number of at least 0; 0 adds nothing",
        )
        _require(self.shots is None or self.shots >= 1, "shots", self.shots, "measure at least one copy, or None")
        _require(
            0 <= self.noise_seed < 2**31, "noise-seed", self.noise_seed, "it must be an integer from 0 to 2^31 - 1"
        )


@dataclass(frozen=True)
class PolicyOptions:
    """How the scheduler's predictions become a choice."""

    policy: Literal["fastest", "kappa-threshold", "fixed", "hysteresis", "budget", "makespan"] = "fastest"
    """fastest: least predicted seconds (Q-Newton). kappa-threshold: the same, but classical above a condition number
    (its third version). fixed: one candidate for every system. hysteresis: a block stays with its last choice unless
    the fastest is faster by a factor. budget: the fastest that keeps inside what a step may spend, else the least
    expensive. makespan: the blocks of a step are dealt out among workers that work at once, so that the last is done
    soonest; a step's predicted seconds are then those of that schedule."""
    kappa_threshold: float = 1e4
    """Of kappa-threshold: largest condition number that a quantum candidate may take."""
    fixed_solver: SolverName | None = None
    """Of fixed: one of --solvers."""
    hysteresis: float = 1.25
    """Of hysteresis: by which factor another candidate must be faster."""
    budget: float | None = None
    """Of budget: what a step may spend, in the unit of the two rates; split among the blocks by their rows."""
    classical_rate: float = 1.0
    """Of budget: spent per predicted second of a classical solve (1 for a budget in seconds, watts for one in joules, a
    price per second for one in money)."""
    quantum_rate: float = 1.0
    """Of budget: spent per predicted second of a quantum solve."""
    classical_workers: int = 1
    """Of makespan: classical workers, each as fast as the calibrated machine."""
    quantum_workers: int = 1
    """Of makespan: quantum workers."""
    queue_s: float = 0.0
    """Of makespan: seconds that a quantum worker waits before its first block of a step."""
    transfer_s: float = 0.0
    """Of makespan: seconds that taking a block to a quantum worker, and its solution back, adds."""
    vanish: tuple[str, ...] = ()
    """Of makespan: workers that vanish, each with the first step that it is not there for, e.g. 'quantum 0@5'."""

    def __post_init__(self):
        _require(
            1 <= self.kappa_threshold < math.inf,
            "kappa-threshold",
            self.kappa_threshold,
            "a condition number is at least 1: give a finite number from 1 on (the paper's is 1e4)",
        )
        _require(
            1 <= self.hysteresis < math.inf,
            "hysteresis",
            self.hysteresis,
            "it is a factor, finite and at least 1, e.g. 1.25",
        )
        _require(
            self.budget is None or 0 < self.budget < math.inf,
            "budget",
            self.budget,
            "what a step may spend must be positive and finite",
        )
        for option in ("classical_workers", "quantum_workers"):
            value = getattr(self, option)
            _require(value >= 0, option.replace("_", "-"), value, "it is a number of workers, at least 0")
        for option in ("queue_s", "transfer_s"):
            value = getattr(self, option)
            _require(0 <= value < math.inf, option.replace("_", "-"), value, "seconds are finite and at least 0")
        for option in ("classical_rate", "quantum_rate"):
            value = getattr(self, option)
            _require(
                0 <= value < math.inf, option.replace("_", "-"), value, "a second costs a finite number of at least 0"
            )


@dataclass(frozen=True)
class TrainOptions:
    """Train a task with Newton's method, every Newton system given to the solver predicted to finish it soonest."""

    preset: Literal["default", "blocks", "paper", "paper-code", "recipe", "kfac", "dual-newton", "fisher-newton"] = (
        "blocks"
    )
    """Starting point of all options below; the values shown are the preset's. default: the family of systems that suits
    the task, every system scheduled. blocks: one joint Gauss-Newton system, which all groups of options act on. paper:
    faithful to Q-Newton (exact Hessian per tensor, LU against QLSA, published schedule). paper-code: with the order of
    regularisation and pruning, and the unsymmetric rows, of its published code. recipe, kfac, dual-newton,
    fisher-newton: the optimizer of that name."""
    optimizer: Literal[
        "newton", "recipe", "kfac", "dual-newton", "fisher-newton", "sgd", "momentum", "adam", "adamw", "muon", "lbfgs"
    ] = "newton"
    """newton: by the systems of --family, each given to the scheduler. kfac: K-FAC with momentum, for large batches.
    dual-newton: Levenberg-Marquardt in the residuals, for examples times outputs up to about 1,500. fisher-newton: the
    empirical Fisher matrix of each unit, for language models and other noisy batches. recipe: newton with the family by
    shapes. These are complete: they set direction, length and damping themselves, and read the options of the training
    and of the scheduler's candidates. sgd, momentum (Nesterov's), adam, adamw, muon (matrices; all else by Adam) and
    lbfgs (with a line search) are optax's, baselines to compare with: they and fisher-newton also read --learning-rate,
    --warmup-steps and --decay."""
    family: Literal["automatic", "blocks", "dual", "kfac", "fisher"] = "blocks"
    """Of newton: what its systems are made of. automatic: what suits the task by its shapes, which config.json says.
    dual, kfac, fisher: of the residuals, of each layer, of each unit; complete, as the optimizers above. blocks: of
    blocks of parameters; all options below act."""
    out: Path | None = None
    """Directory of the run; must not exist or be empty. None: a new one under runs/."""
    task: TaskOptions = field(default_factory=TaskOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    step: StepOptions = field(default_factory=StepOptions)
    baseline: BaselineOptions = field(default_factory=BaselineOptions)
    conditioning: ConditioningOptions = field(default_factory=ConditioningOptions)
    scheduling: SchedulingOptions = field(default_factory=SchedulingOptions)
    policy: PolicyOptions = field(default_factory=PolicyOptions)
