"""Modules of version 0.1 that are private now: their old import path gives the same module, with a warning.

`import qnewton` puts the finder in place. It answers for nothing but the old paths below, so that no other import
waits for it.
"""

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGE = __name__.rpartition(".")[0]

MOVED_FOLDERS = {
    "core": "_core",
    "curvature": "_curvature",
    "conditioning": "_conditioning",
    "estimation": "_estimation",
    "solvers": "_solvers",
    "hardware": "_hardware",
    "planning": "_pricing",
    "scheduling.policies": "_pricing.policies",
    "scheduling": "_scheduling",
    "optim": "_optim",
    "experiments": "lab._experiments",
    "report": "lab._report",
    "cli": "lab._cli",
}
"""Old folder to new one, those inside another first; what is in them kept its name."""

STILL_THERE = {"curvature", "conditioning", "solvers", "hardware", "scheduling", "optim"}
"""Namespaces that have the name of an old folder, of which only what was inside is looked for here."""


class MovedModules(MetaPathFinder):
    """Import finder for modules of qnewton by their old path."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return None, which lets the import go on unchanged, if there is no such module."""
        old = fullname.removeprefix(f"{PACKAGE}.")
        if old in STILL_THERE or not fullname.startswith(f"{PACKAGE}."):
            return None
        for before, now in MOVED_FOLDERS.items():
            if old == before or old.startswith(f"{before}."):
                new = f"{PACKAGE}.{now}{old.removeprefix(before)}"
                return ModuleSpec(fullname, _Alias(new)) if _is_there(new) else None
        return None


class _Alias(Loader):
    """Loader that replaces the module created for the old name by the module under its new name."""

    def __init__(self, new: str):
        self._new = new

    def exec_module(self, module: ModuleType) -> None:
        warnings.warn(
            f"{module.__name__} is private now, as {self._new}, and its old path goes with the next release: take the "
            f"names you need from {PACKAGE} and its namespaces (docs/parts.md)",
            DeprecationWarning,
            stacklevel=2,
        )
        sys.modules[module.__name__] = importlib.import_module(self._new)


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
