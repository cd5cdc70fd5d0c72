"""Arguments that were renamed: the old name still serves for one release, and warns."""

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

Named = TypeVar("Named", bound=Callable[..., Any])


def renamed(**new_names: str) -> Callable[[Named], Named]:
    """Let a function or a class take arguments by their old names as well, with a `DeprecationWarning`.

    Args:
        **new_names: the present name of each old one.
    """

    def decorate(named: Named) -> Named:
        owner: Any = named
        function = owner.__init__ if inspect.isclass(named) else named

        def warn(old: str) -> None:
            warnings.warn(
                f"{owner.__name__}: {old}= is called {new_names[old]}= now; the old name goes with the next release",
                DeprecationWarning,
                stacklevel=_levels(),
            )

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            for old in [name for name in kwargs if name in new_names]:
                new = new_names[old]
                if new in kwargs:
                    raise TypeError(f"{owner.__name__}: {old}= is the old name of {new}=: give only the latter")
                warn(old)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        if not inspect.isclass(named):
            return called  # pyright: ignore[reportReturnType]
        owner.__init__ = called
        for old, new in new_names.items():
            setattr(owner, old, property(functools.partial(_read, old=old, new=new)))
        return owner

    return decorate


def _read(module: Any, *, old: str, new: str) -> Any:
    """The field that `old` was the name of."""
    warnings.warn(
        f"{type(module).__name__}.{old} is called {new} now; the old name goes with the next release",
        DeprecationWarning,
        stacklevel=_levels(),
    )
    return getattr(module, new)


def _levels() -> int:
    """How far up the user's code is: beyond this file and equinox, which stands between a class and its `__init__`."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and (frame.f_code.co_filename == __file__ or "equinox" in frame.f_globals["__name__"]):
        frame, level = frame.f_back, level + 1
    return level
