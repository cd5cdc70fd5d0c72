"""Check of the disk space for a run's files, before anything is computed."""

import shutil
from pathlib import Path

import jax
from jaxtyping import PyTree

from ..._core.memory import readable
from .checkpoints import DESCRIPTIONS, KEPT

# Bytes, at the upper end of what runs of ours have: lines of steps and blocks, and what each assumption set adds.
_STEP_LINE, _BLOCK_LINE, _PER_SET = 1_000, 2_000, 1_500
# Of config, calibration, summary and report.
_REST = 3_000_000


def tree_bytes(tree: PyTree) -> int:
    """Return the bytes of all arrays of a tree, or of their shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype"))


def check_room(path: Path, *, state_bytes: int, steps: int, blocks: int, sets: int) -> None:
    """Refuse a run whose files would fill the disk.

    Args:
        path: directory of the run.
        state_bytes: of parameters and optimizer.
        steps: that are to come.
        blocks: systems of a step.
        sets: assumption sets.

    Raises:
        OSError: with what is needed, what is there, and what to do.
    """
    checkpoint = state_bytes + DESCRIPTIONS
    lines = steps * (_STEP_LINE + sets * _PER_SET // 4 + blocks * (_BLOCK_LINE + sets * _PER_SET))
    # A new checkpoint is complete before the oldest goes.
    needed, free = (KEPT + 1) * checkpoint + lines + _REST, shutil.disk_usage(path).free
    if needed > free:
        raise OSError(
            f"{path} is about to hold some {readable(needed)} ({KEPT + 1} checkpoints of {readable(checkpoint)}, lines "
            f"of {steps} steps with {readable(lines)}), and its file system has {readable(free)} left: make room "
            "there, name a directory on another one with --out, or ask for fewer --steps"
        )
