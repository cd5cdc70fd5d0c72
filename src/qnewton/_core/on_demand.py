"""Lazy loading of the names that a folder offers.

A folder lists its names once, as imports under `if TYPE_CHECKING`, which type checkers read and Python passes over:

    if TYPE_CHECKING:
        from .cholesky import Cholesky as Cholesky
    else:
        __getattr__, __dir__, __all__ = on_demand(__name__)

Most of what importing a module of ours takes is that its classes are generated anew, so a program loads those that it
uses. The list is read from the source, as SPEC 1 of Scientific Python (`lazy_loader.attach_stub`) does it. A name must
not be that of a module of its folder, since importing that module would put it in the name's place.
"""

import ast
import contextlib
import gc
import importlib.util
import sys
from collections.abc import Callable, Iterator
from importlib.abc import InspectLoader


def on_demand(
    package: str, listed_in: str | None = None
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a folder.

    Args:
        package: name of the folder, `__name__` in its `__init__.py`; or of a file that only lists names.
        listed_in: the module that has the imports; None: the folder's own file.

    Raises:
        ImportError: if there is no source, for instance in a distribution of byte code alone.
    """
    homes = {name: (module, inside) for module, inside, name in _listed(listed_in or package)}

    def load(name: str) -> object:
        if name == "__path__":
            return []  # Python asks for it where something inside a namespace is imported (`_moved_modules`)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, inside = homes[name]
        with _collector_paused():
            home = importlib.import_module(module, sys.modules[package].__package__)
        found = getattr(home, inside) if inside else home
        setattr(sys.modules[package], name, found)  # where Python finds it the next time without asking
        return found

    def names() -> list[str]:
        return sorted(homes)

    return load, names, sorted(homes)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause garbage collection inside: what modules create stays, and repeated scans of it take a tenth of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _listed(listed_in: str) -> Iterator[tuple[str, str, str]]:
    """Yield relative module, name in it (empty for the module itself) and public name.

    They come from every line `from . import x as x`.
    """
    spec = importlib.util.find_spec(listed_in)
    source = spec.loader.get_source(listed_in) if spec and isinstance(spec.loader, InspectLoader) else None
    if source is None:
        raise ImportError(f"the names of {listed_in} are read from its source, which is not there", name=listed_in)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            dots = "." * node.level
            for name in (alias.name for alias in node.names if alias.asname == alias.name):
                yield (dots + node.module, name, name) if node.module else (dots + name, "", name)
