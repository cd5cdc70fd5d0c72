"""Several processes of one program (`jax.distributed`): equal numbers in all, or an error, and no deadlock.

A step is one program on all devices, so its processes must trace the same one. Two things could make them differ: what
a process measured of its machine, and how the optimizer was made there. The first is taken from process 0. The second
is compared when an optimizer's state is made. Both go through the key-value store of the coordination service, which
needs no device, runs while a program is traced, and gives up after a while; a collective would wait for ever.
"""

import dataclasses
import enum
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, MethodType
from typing import Protocol, TypeVar, cast

import jax
import numpy as np

from .._core.closures import cells

Value = TypeVar("Value")

PATIENCE_SECONDS = 300
"""How long a process waits for another one, as `jax.distributed.initialize` does by default."""
_PREFIX = "qnewton"
_MADE_BY_HAND = {"objective", "classical"}
"""What may differ: a model's closures, and a calibration, in the place of which that of process 0 is taken."""


class _Met:
    """Counter of this process's arrivals at each synchronisation point."""

    def __init__(self):
        self._counts: Counter[str] = Counter()

    def at(self, place: str) -> str:
        self._counts[place] += 1
        return f"{_PREFIX}/{place}/{self._counts[place]}"


_met = _Met()


def several() -> bool:
    """Whether this is one of several processes."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def of_first(what: str, make: Callable[[], Value]) -> Value:
    """Return process 0's value in every process; with one process, its own.

    Args:
        what: the value's name in words; the same on all processes, which ask for values of one name in the same order.
        make: called on process 0 alone.

    Raises:
        RuntimeError: where process 0 fails at it, or does not come to it.
    """
    if not several():
        return make()
    key = _met.at(what)
    if jax.process_index() > 0:
        failure, made = pickle.loads(_awaited(key, 0, what))
        if failure is not None:
            raise RuntimeError(f"process 0 failed at {what}: {failure}")
        return made
    try:
        made = make()
    except Exception as error:
        # Or the others would wait in vain.
        _store().key_value_set_bytes(key, pickle.dumps((str(error), None)))
        raise
    _store().key_value_set_bytes(key, pickle.dumps((None, made)))
    return made


def check_agreed(user: str, made: object) -> None:
    """Compare values across processes; no effect with one process.

    Args:
        user: the optimizer.
        made: anything that says how it was made: records, functions, numbers, shapes.

    Raises:
        ValueError: on every process, where one differs from process 0; names it, and the first line that differs.
        RuntimeError: where a process does not come to it.
    """
    if not several():
        return
    key, here = _met.at("init"), "\n".join([f"optimizer: {user}", *_lines(made, "")])
    _store().key_value_set_bytes(f"{key}/{jax.process_index()}", here.encode())
    texts = [_awaited(f"{key}/{k}", k, f"the init of {user}").decode() for k in range(jax.process_count())]
    for process, text in enumerate(texts):
        if text != texts[0]:
            first, other = _first_difference(texts[0], text)
            raise ValueError(
                f"{user}: process {process} has made another optimizer than process 0 ({other!r} where that has "
                f"{first!r}), and they would wait for each other for ever: make it alike on all processes"
            )


def _awaited(key: str, process: int, what: str) -> bytes:
    try:
        return _store().blocking_key_value_get_bytes(key, PATIENCE_SECONDS * 1000)
    except jax.errors.JaxRuntimeError as error:
        if "DEADLINE_EXCEEDED" not in str(error):
            raise
        raise RuntimeError(
            f"process {process} has not come to {what} within {PATIENCE_SECONDS} s: every process must run the same "
            "program, and make its optimizers in the same order"
        ) from error


class _Store(Protocol):
    def key_value_set_bytes(self, key: str, value: bytes) -> None: ...

    def blocking_key_value_get_bytes(self, key: str, timeout_in_ms: int) -> bytes: ...


def _store() -> _Store:
    # jax has no public name for it; libraries of checkpoints use this one.
    from jax._src.distributed import global_state

    return cast(_Store, global_state.client)


def _first_difference(one: str, other: str) -> tuple[str, str]:
    lines, others = one.splitlines(), other.splitlines()
    for a, b in zip(lines, others, strict=False):
        if a != b:
            return a, b
    return (lines[len(others)], "nothing") if len(lines) > len(others) else ("nothing", others[len(lines)])


def _lines(made: object, at: str, depth: int = 8) -> Iterator[str]:
    """Yield a description of a value, one line per part, without anything specific to one process."""
    if depth == 0:
        return
    parts: Mapping[str, object] = {}
    if made is None or isinstance(made, bool | int | float | str | enum.Enum | np.dtype):
        yield f"{at}: {made!r}"
    elif hasattr(made, "shape") and hasattr(made, "dtype"):
        yield f"{at}: {made.dtype}{list(made.shape)}"  # pyright: ignore[reportAttributeAccessIssue]
    elif isinstance(made, Mapping):
        parts = {str(key): value for key, value in made.items()}
    elif isinstance(made, tuple | list):
        yield f"{at}: {type(made).__name__} of {len(made)}"
        parts = {str(k): value for k, value in enumerate(made)}
    elif dataclasses.is_dataclass(made):
        yield f"{at}: {type(made).__name__}"
        parts = {field.name: getattr(made, field.name, None) for field in dataclasses.fields(made)}
    elif hasattr(made, "__qualname__"):
        yield f"{at}: {made.__qualname__}"  # pyright: ignore[reportAttributeAccessIssue]
        parts = _held(made)
    else:
        yield f"{at}: {type(made).__name__}"
    for name, part in parts.items():
        if name not in _MADE_BY_HAND:
            yield from _lines(part, f"{at}.{name}" if at else name, depth - 1)


def _held(function: object) -> dict[str, object]:
    """Return the object of a method, or the variables that a function closes over."""
    if isinstance(function, MethodType):
        return {"self": function.__self__}
    return cells(function) if isinstance(function, FunctionType) else {}
