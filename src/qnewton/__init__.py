"""Hybrid quantum-classical Newton training.

Every Newton system of a training step is a task that a scheduler gives to the solver that is predicted to finish it
soonest: a classical one (calibrated seconds) or a quantum linear solver algorithm (modelled seconds).

The public names are those of `api.py`. Each is loaded when it is first asked for, so that a command which needs few of
them (`qnewton plan`) does not wait for all.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import version

    from .api import *  # noqa: F403

    __version__ = version("qnewton")
else:
    from ._core.on_demand import on_demand

    _load, __dir__, __all__ = on_demand(__name__, f"{__name__}.api")

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("qnewton")
        return _load(name)
