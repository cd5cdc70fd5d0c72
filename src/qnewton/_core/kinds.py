"""Refuse arguments of the wrong kind, each with one sentence that says what to write instead."""

from collections.abc import Callable, Iterable, Iterator


def check_kind(value: object, kind: type | tuple[type, ...], name: str, example: str) -> None:
    """Refuse a value that is no instance of a class.

    Args:
        value: as it was given.
        kind: the class that it must be an instance of, or several.
        name: of the argument, with its owner, e.g. `newton: adaptation`.
        example: what to give, e.g. `LevenbergMarquardt()`.

    Raises:
        TypeError: with the name, the value and the example.
    """
    if isinstance(value, kind):
        return
    if isinstance(value, type):
        made = f"make one, {value.__name__}(...)" if issubclass(value, kind) else f"give {example}"
        raise TypeError(f"{name} is the class {value.__name__}: {made}")
    raise TypeError(f"{name} is {said(value)}: give {example}")


def check_kinds(values: object, kind: type, name: str, example: str) -> None:
    """Refuse what is no sequence of instances of a class, one instance by itself included.

    Args:
        values: as they were given.
        kind: the class of every member.
        name: of the argument, with its owner.
        example: of a member, e.g. `Damp(5e-3)`.

    Raises:
        TypeError: with the name, the value and the example.
    """
    if isinstance(values, kind):
        raise TypeError(f"{name} is one {type(values).__name__}: give a sequence, ({type(values).__name__}(...),)")
    if isinstance(values, str) or not isinstance(values, Iterable) or isinstance(values, Iterator):
        raise TypeError(f"{name} is {said(values)}: give a sequence, e.g. ({example},)")
    for value in values:
        check_kind(value, kind, f"a member of {name}", example)


def check_function(value: object, name: str, example: str) -> Callable:
    """Refuse what cannot be called.

    Returns:
        The value.

    Raises:
        TypeError: with the name, the value and the example.
    """
    if not callable(value):
        raise TypeError(f"{name} is {said(value)}, which cannot be called: give {example}")
    return value


def said(value: object) -> str:
    """A short word for a value: itself where it is short, else its class."""
    if isinstance(value, str | int | float | bool | None):
        return repr(value)
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    return f"of the class {type(value).__name__}"
