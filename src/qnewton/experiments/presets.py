"""Named starting points for the options of a run."""

from dataclasses import replace

from .options import ConditioningOptions, SchedulingOptions, StepOptions, TrainingOptions, TrainOptions

# What the measurements favour: one joint Gauss-Newton system, Levenberg-Marquardt damping (benchmarks/presets.py).
_DEFAULT = TrainOptions()

# Q-Newton, arXiv 2405.00252, as published for its MLP: exact Hessian per tensor, r = 5e-3, LU against QLSA, directions
# clipped to +-100, learning rate 1e-2 with 20 warm-up steps and linear decay, batch 2,048, 20 epochs. On MNIST that is
# 20 x 30 = 600 updates. Where the batch is the whole training set, 20 epochs would end inside the warm-up, so the
# preset keeps the number of updates.
_PAPER = TrainOptions(
    preset="paper",
    training=TrainingOptions(steps=600, batch_size=2048, evaluate_every=10),
    step=StepOptions(
        curvature="hessian", partition="per-tensor", learning_rate=1e-2, warmup_steps=20, decay=True, clip=100.0
    ),
    conditioning=ConditioningOptions(damping=5e-3, adapt_damping=False),
    # The paper sweeps the gate time; at 1 ns the larger tensors of this network are worth a quantum solve.
    scheduling=SchedulingOptions(solvers=("lu", "qlsa"), gate_time_s=1e-9),
)

# The released code damps first, by (max|H| + 1e-6) r, and prunes each row alone; its keep ratios run from 0.025 to 1.
_PAPER_CODE = replace(
    _PAPER,
    preset="paper-code",
    conditioning=ConditioningOptions(damping=5e-3, adapt_damping=False, keep=0.5, order="damp-prune-rows"),
)

# Complete optimizers with their own defaults, for as many steps as the digits need (docs/design.md, time to target).
_RECIPE = TrainOptions(preset="recipe", optimizer="recipe", training=TrainingOptions(steps=30))
_KFAC = replace(_RECIPE, preset="kfac", optimizer="kfac")
# Every step factors matrices with a row per example and output; 128 examples of ten classes are 1,280.
_DUAL_NEWTON = TrainOptions(
    preset="dual-newton", optimizer="dual-newton", training=TrainingOptions(steps=30, batch_size=128)
)

PRESETS = {preset.preset: preset for preset in (_DEFAULT, _PAPER, _PAPER_CODE, _RECIPE, _KFAC, _DUAL_NEWTON)}
