"""Hybrid quantum-classical Newton training.

Every Newton system of a training step is a task that a scheduler gives to the solver that is predicted to finish it
soonest: a classical one (calibrated seconds) or a quantum linear solver algorithm (modelled seconds).

The public names are those of `api.py`. They are loaded when the first of them is asked for, so that a command which
needs few of them (`qnewton plan`) does not wait for all.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import version

    from .api import *  # noqa: F403

    __version__ = version("qnewton")
else:

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("qnewton")
        # Python's own questions about a module are not about names of ours.
        if name.startswith("__"):
            raise AttributeError(f"module 'qnewton' has no attribute {name!r}")
        found = vars(importlib.import_module(".api", __name__)).get(name)
        # A folder, e.g. `qnewton.solvers`, is an attribute once it is imported.
        found = globals().get(name) if found is None else found
        if found is None:
            raise AttributeError(f"module 'qnewton' has no attribute {name!r}")
        return found

    def __dir__() -> list[str]:
        api = importlib.import_module(".api", __name__)
        return sorted({*globals(), *(name for name in vars(api) if not name.startswith("_"))})
