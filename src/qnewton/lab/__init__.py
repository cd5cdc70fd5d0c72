"""The lab, an extra around the library: tasks, trainings with their files, reports, command line."""

from typing import TYPE_CHECKING

from .._core.extras import require_extra

require_extra("lab", "qnewton.lab, the command line included,")

if TYPE_CHECKING:
    from ._experiments.tasks.base import Data as Data
    from ._experiments.tasks.base import Task as Task
    from ._runfile import Run as Run
    from ._runfile import RunFileError as RunFileError
    from ._runfile import read_params as read_params
    from ._runfile import read_result as read_result
    from ._runfile import read_run as read_run
else:
    from .._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
