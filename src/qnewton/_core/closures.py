"""Values that functions hold besides their arguments."""

from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType

from jaxtyping import PyTree


def cells(function: FunctionType) -> dict[str, object]:
    """Return the variables that a function closes over, by name, without those that nothing was assigned to yet."""
    held: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            held[name] = cell.cell_contents
        except ValueError:
            continue
    return held


def closed_over(function: object, depth: int = 4) -> Iterator[tuple[str, PyTree]]:
    """Yield the values that a user's function closes over, by name, functions among them searched too.

    Functions of qnewton are left out: they handle the context themselves.
    """
    if depth == 0 or str(getattr(function, "__module__", "")).startswith("qnewton."):
        return
    if isinstance(function, partial):
        held: dict[str, object] = {"an argument of a partial": (function.args, function.keywords)}
        yield from closed_over(function.func, depth - 1)
    elif isinstance(function, MethodType):
        held = {"self": function.__self__}
    elif isinstance(function, FunctionType):
        held = cells(function)
    else:
        held = {type(function).__name__: function}
    for name, value in held.items():
        if isinstance(value, partial | MethodType | FunctionType):
            yield from closed_over(value, depth - 1)
        else:
            yield name, value
