"""Tasks, presets, the training loop and the files of a run."""

from ..._core.extras import require_extra

require_extra("lab", "qnewton.lab._experiments")
