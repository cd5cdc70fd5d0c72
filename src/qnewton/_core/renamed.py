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
        # Between the caller and a module's `__init__` stand two frames of equinox.
        level = 4 if inspect.isclass(named) else 2

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            for old in [name for name in kwargs if name in new_names]:
                new = new_names[old]
                if new in kwargs:
                    raise TypeError(f"{owner.__name__}: {old}= is the old name of {new}=: give only the latter")
                warnings.warn(
                    f"{owner.__name__}: {old}= is called {new}= now; the old name goes with the next release",
                    DeprecationWarning,
                    stacklevel=level,
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        if not inspect.isclass(named):
            return called  # pyright: ignore[reportReturnType]
        owner.__init__ = called
        return owner

    return decorate
