"""The command line."""

from ..._core.extras import require_extra

require_extra("lab", "the command line")

from .main import main as main  # noqa: E402
