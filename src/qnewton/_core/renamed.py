"""Renamed arguments: the old name is accepted for one release, with a warning."""

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Named = TypeVar("Named", bound=Callable[..., Any])


def renamed(**new_names: str) -> Callable[[Named], Named]:
    """Let a function or class accept arguments by their old names, with a `DeprecationWarning`.

    Args:
        **new_names: the present name of each old one.
    """

    def decorate(named: Named) -> Named:
        if not inspect.isclass(named):
            return _taking(named, named.__name__, new_names)  # pyright: ignore[reportReturnType]
        owner: Any = named
        make, taking = owner.__new__, set()

        def take(cls: Any) -> None:
            if cls not in taking:
                taking.add(cls)
                cls.__init__ = _taking(cls.__init__, cls.__name__, new_names)

        def made(cls: Any, *args: Any, **kwargs: Any) -> Any:
            # A subclass gets its `__init__` from equinox after all hooks of its bases; by now it has one.
            take(cls)
            return make(cls, *args, **kwargs)

        take(owner)
        owner.__new__ = made
        for old, new in new_names.items():
            setattr(owner, old, property(functools.partial(_read, old=old, new=new)))
        return owner

    return decorate


def _taking(function: Callable[..., Any], owner: str, new_names: Mapping[str, str]) -> Callable[..., Any]:
    """Return the function with old names accepted for its new ones, unless something else uses the old name."""
    own = inspect.signature(function).parameters
    names = {old: new for old, new in new_names.items() if new in own and old not in own}

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        for old in [name for name in kwargs if name in names]:
            new = names[old]
            if new in kwargs:
                raise TypeError(f"{owner}: {old}= is the old name of {new}=: give only the latter")
            warnings.warn(
                f"{owner}: {old}= is called {new}= now; the old name goes with the next release",
                DeprecationWarning,
                stacklevel=_levels(),
            )
            kwargs[new] = kwargs.pop(old)
        return function(*args, **kwargs)

    return called


def _read(module: Any, *, old: str, new: str) -> Any:
    """Return the field that used to be called `old`."""
    warnings.warn(
        f"{type(module).__name__}.{old} is called {new} now; the old name goes with the next release",
        DeprecationWarning,
        stacklevel=_levels(),
    )
    return getattr(module, new)


def _levels() -> int:
    """Return the stack level of the user's code, beyond this file and equinox's wrapper of `__init__`."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and (frame.f_code.co_filename == __file__ or "equinox" in frame.f_globals["__name__"]):
        frame, level = frame.f_back, level + 1
    return level
