"""The lab around the library, brought by the extra `lab`: tasks, trainings with their files, reports, command line."""

from .._core.extras import require_extra

require_extra("lab", "qnewton.lab, the command line included,")
