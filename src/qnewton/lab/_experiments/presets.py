"""Named starting points for the options of a run."""

from dataclasses import replace

from .options import (
    ConditioningOptions,
    SchedulingOptions,
    StepOptions,
    TaskOptions,
    TrainingOptions,
    TrainOptions,
)
from .task_options import BertOptions, GptOptions

# Who may solve the systems of a family, as the library has it where nobody is named.
FAMILY_SCHEDULING = SchedulingOptions(
    solvers=("inverse", "cholesky", "lu", "qlsa"), assumptions=("end_to_end", "paper")
)

# For as many steps as the digits need (docs/one-newton.md).
_DEFAULT = TrainOptions(
    preset="default", family="automatic", training=TrainingOptions(steps=30), scheduling=FAMILY_SCHEDULING
)

# Of blocks, what the measurements favour: one joint Gauss-Newton system, Levenberg-Marquardt damping
# (benchmarks/presets.py).
_BLOCKS = TrainOptions()

# Q-Newton, arXiv 2405.00252, as published for its MLP: exact Hessian per tensor, symmetric pruning, r = 5e-3, condition
# numbers from determinant and norm, LU against QLSA, directions clipped to +-100, learning rate 1e-2 with 20 warm-up
# steps and linear decay, batch 2,048, 20 epochs. On MNIST that is 20 x 30 = 600 updates. Where the batch is the whole
# training set, 20 epochs would end inside the warm-up, so the preset keeps the number of updates.
#
# The keep ratio is the middle of what the released sweeps try (0.025 to 1 and 0.1 to 0.9); which one the paper's main
# runs had is not known to us (docs/presets.md). The bound on the condition number is exponentially loose, so the number
# that is as good as true is recorded beside it.
_PAPER = TrainOptions(
    preset="paper",
    training=TrainingOptions(steps=600, batch_size=2048, evaluate_every=10),
    step=StepOptions(
        curvature="hessian", partition="per-tensor", learning_rate=1e-2, warmup_steps=20, decay=True, clip=100.0
    ),
    conditioning=ConditioningOptions(("prune(keep=0.5)", "damp(relative=0.005)"), "fixed"),
    # The paper sweeps the gate time; by their true condition numbers the larger tensors of this network would be worth
    # a quantum solve at 1 ns.
    scheduling=SchedulingOptions(
        solvers=("lu", "qlsa"), gate_time_s=1e-9, estimator="determinant-norm", second_estimator="automatic"
    ),
)

# The released code damps first, by (max|H| + 1e-6) r, and prunes each row alone; its keep ratios run from 0.025 to 1.
# Its determinant-norm function is called by nothing: it logs singular values.
_PAPER_CODE = replace(
    _PAPER,
    preset="paper-code",
    conditioning=ConditioningOptions(("damp(relative=0.005, offset=1e-6)", "prune-rows(keep=0.5)"), "fixed"),
    scheduling=SchedulingOptions(solvers=("lu", "qlsa"), gate_time_s=1e-9),
)

# Complete optimizers with their own defaults.
_KFAC = replace(_DEFAULT, preset="kfac", optimizer="kfac", family="blocks")
# Every step factors matrices with a row per example and output; 128 examples of ten classes are 1,280.
_DUAL_NEWTON = replace(
    _KFAC, preset="dual-newton", optimizer="dual-newton", training=TrainingOptions(steps=30, batch_size=128)
)

# Small batches: see benchmarks/language.py.
_FISHER_NEWTON = TrainOptions(
    preset="fisher-newton",
    optimizer="fisher-newton",
    training=TrainingOptions(steps=300, batch_size=32, evaluate_every=20),
    step=StepOptions(learning_rate=0.02, warmup_steps=30, decay=True),
    scheduling=replace(FAMILY_SCHEDULING, solvers=("gauss-jordan", *FAMILY_SCHEDULING.solvers)),
)

_ALL = (_DEFAULT, _BLOCKS, _PAPER, _PAPER_CODE, _KFAC, _DUAL_NEWTON, _FISHER_NEWTON)
PRESETS = {preset.preset: preset for preset in _ALL}

# Of Q-Newton's language models, and what benchmarks/language.py found best.
_PAPER_RATES: dict[type[TaskOptions], float] = {BertOptions: 0.05, GptOptions: 0.1}
_FISHER_RATES: dict[type[TaskOptions], float] = {BertOptions: 0.005, GptOptions: 0.04}


def preset_for(name: str, task: type[TaskOptions]) -> TrainOptions:
    """The preset of that name for a task.

    On the language models `fisher-newton` has the rate that was tuned on each, and `paper` and `paper-code` train them
    as Q-Newton trained its: frozen embeddings, the empirical Fisher matrix of each tensor of linear layers up to 4 x
    hidden x intermediate + 4 x hidden parameters, the raw gradient elsewhere, batches of 128, weight decay of 0.01,
    1,000 steps of warm-up and linear decay, at 0.05 for BERT and 0.1 for Mistral. Not as published: of three epochs,
    which are 45 steps of the text that we ship, nothing would be left after the warm-up, so it is 2,000 steps; and the
    embeddings are not pretrained but eigenvectors of co-occurrences in that text.
    """
    found = PRESETS[name]
    rates = _FISHER_RATES if name == "fisher-newton" else _PAPER_RATES if name.startswith("paper") else {}
    if task not in rates:
        return found
    step = replace(found.step, learning_rate=rates[task])
    if name == "fisher-newton":
        return replace(found, step=step)
    step = replace(
        step, curvature="empirical-fisher(damping_floor=0)", warmup_steps=1000, largest="published", weight_decay=0.01
    )
    # Of these runs it is the damping that follows the pruning, and those of the released code keep everything.
    conditioning = PRESETS["paper"].conditioning
    if name == "paper-code":
        conditioning = replace(conditioning, conditioners=conditioning.conditioners[1:])
    training = replace(found.training, steps=2000, batch_size=128)
    return replace(
        found,
        task=task(embeddings="frozen"),  # pyright: ignore[reportCallIssue]
        step=step,
        conditioning=conditioning,
        training=training,
    )
